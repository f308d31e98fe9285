//! What stands around the LSTM: normalisation, pooling, attention, CTC and the options of losses,
//! against plain f64 sums and their central differences.

mod attention;
mod losses;
mod norm_lstm;
mod projected;

use super::oracle::{Random, central_difference, widen};
use super::{close, devices, tensor};
use crate::lengths::Counted;
use crate::ops::frames::embedding::Places;
use crate::ops::frames::{embedding, pool, swap_axes};
use crate::ops::norm::layer_norm;
use crate::ops::optim::regularizer;
use crate::{Device, Lengths, Mask, Tensor};

fn dot(a: &[f64], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, &b)| a * f64::from(b)).sum()
}

/// The sum over the rows of what each of them has of a gradient.
fn column_sums(rows: &Tensor, c: usize) -> Vec<f32> {
    let rows = rows.to_vec().unwrap();
    (0..c).map(|j| rows.iter().skip(j).step_by(c).sum()).collect()
}

fn normal(x: &[f64], gain: &[f64], shift: &[f64], epsilon: f64) -> Vec<f64> {
    let c = gain.len();
    x.chunks(c)
        .flat_map(|x| {
            let mean = x.iter().sum::<f64>() / c as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / c as f64;
            let root = (variance + epsilon).sqrt();
            (0..c).map(move |j| gain[j] * (x[j] - mean) / root + shift[j])
        })
        .collect()
}

#[test]
fn layer_norms() {
    let mut r = Random::new(31);
    for [rows, c] in [[1, 1], [3, 7], [5, 65], [2, 300]] {
        let (x, d_y) = (r.uniform(rows * c, -2.0, 3.0), r.uniform(rows * c, -1.0, 1.0));
        let (gain, shift) = (r.uniform(c, -1.0, 2.0), r.uniform(c, -1.0, 1.0));
        let (x64, gain64, shift64) = (widen(&x), widen(&gain), widen(&shift));
        let epsilon = f64::from(1e-3f32);
        let y = normal(&x64, &gain64, &shift64, epsilon);
        let plain = normal(&x64, &gain64, &vec![0.0; c], epsilon);
        let of = |x: &[f64], gain: &[f64]| dot(&normal(x, gain, &shift64, epsilon), &d_y);
        let d_x = central_difference(&mut |x| of(x, &gain64), &x64, 1e-5);
        let d_gain = central_difference(&mut |gain| of(&x64, gain), &gain64, 1e-5);
        let d_gain: Vec<_> = d_gain.iter().map(|d| 0.25 + d).collect();
        let sum_of = |j: usize| d_y.iter().skip(j).step_by(c).map(|&d| f64::from(d)).sum::<f64>();
        let d_shift: Vec<_> = (0..c).map(|j| 0.5 + sum_of(j)).collect();
        for (name, device) in devices() {
            let what = format!("layer norm of {rows} x {c}, {name}");
            let x = tensor(&x, [rows, c], device);
            let (gain, shift) = (tensor(&gain, [c], device), tensor(&shift, [c], device));
            let found = layer_norm::layer_norm(&x, &gain, None, 1e-3).unwrap();
            close(&what, &found.0, &plain, 1e-5);
            let (found, stats) = layer_norm::layer_norm(&x, &gain, Some(&shift), 1e-3).unwrap();
            close(&what, &found, &y, 1e-5);
            let d_y = tensor(&d_y, [rows, c], device);
            // Both are added to what is there.
            let gains = tensor(&vec![0.25; c], [c], device);
            let biases = tensor(&vec![0.5; c], [c], device);
            let found =
                layer_norm::backward(&x, &gain, &stats, &d_y, &gains, Some(&biases)).unwrap();
            close(&what, &biases, &d_shift, 1e-4);
            if c > 1 {
                close(&what, &found, &d_x, 1e-4);
                close(&what, &gains, &d_gain, 1e-4);
                let plain = tensor(&vec![0.25; c], [c], device);
                layer_norm::backward(&x, &gain, &stats, &d_y, &plain, None).unwrap();
                close(&what, &plain, &d_gain, 1e-4);
            } else {
                assert!(found.to_vec().unwrap()[0].abs() < 1e-3, "{what}");
            }
        }
    }
}

/// All steps, those before a length, and those of a mask with holes and an empty row.
fn counted(b: usize, t: usize, device: &Device) -> Vec<(Counted, Vec<bool>)> {
    let lengths: Vec<_> = (0..b).map(|row| (row * 5 + t / 2) % t + 1).collect();
    let of_lengths = (0..b * t).map(|i| i % t < lengths[i / t]).collect();
    let mask: Vec<_> =
        (0..b * t).map(|i| i / t != 1 && !(i * 7 + i / t).is_multiple_of(3)).collect();
    let of_mask = Mask::new(&mask, [b, t], device).unwrap();
    vec![
        (Counted::All, vec![true; b * t]),
        (Counted::Lengths(Lengths::new(&lengths, device).unwrap()), of_lengths),
        (Counted::Mask(of_mask), mask),
    ]
}

fn pooled(kind: pool::Kind, x: &[f64], [b, t, c]: [usize; 3], on: &[bool]) -> Vec<f64> {
    (0..b * c)
        .map(|i| {
            let (row, j) = (i / c, i % c);
            let frames = (0..t).filter(|at| on[row * t + at]).map(|at| x[(row * t + at) * c + j]);
            let frames: Vec<_> = frames.collect();
            let sum: f64 = frames.iter().sum();
            match kind {
                _ if frames.is_empty() => 0.0,
                pool::Kind::Sum => sum,
                pool::Kind::Mean => sum / frames.len() as f64,
                pool::Kind::Max => frames.into_iter().fold(f64::NEG_INFINITY, f64::max),
                pool::Kind::Last => frames[frames.len() - 1],
                pool::Kind::First => frames[0],
            }
        })
        .collect()
}

#[test]
fn pools() {
    let mut r = Random::new(32);
    for dims in [[1, 1, 1], [3, 7, 5], [2, 17, 65]] {
        let [b, t, c] = dims;
        let (x, d_y) = (r.uniform(b * t * c, -2.0, 3.0), r.uniform(b * c, -1.0, 1.0));
        for (name, device) in devices() {
            for (steps, on) in counted(b, t, device) {
                use pool::Kind::{First, Last, Max, Mean, Sum};
                for kind in [Sum, Mean, Max, Last, First] {
                    let what = format!("{kind:?} of {dims:?} by {}, {name}", steps.code());
                    let mut poisoned = x.clone();
                    for (frame, _) in on.iter().enumerate().filter(|(_, on)| !**on) {
                        poisoned[frame * c..][..c].fill(f32::NAN);
                    }
                    let x64 = widen(&x);
                    let input = tensor(&poisoned, dims, device);
                    let (y, found) = pool::pool(kind, &input, dims, &steps).unwrap();
                    close(&what, &y, &pooled(kind, &x64, dims, &on), 1e-5);
                    let mut of = |x: &[f64]| dot(&pooled(kind, x, dims, &on), &d_y);
                    let d_x = central_difference(&mut of, &x64, 1e-7);
                    let d_y = tensor(&d_y, [b, c], device);
                    let found = pool::backward(kind, &d_y, dims, &steps, Some(&found)).unwrap();
                    close(&what, &found, &d_x, 1e-4);
                }
            }
        }
    }
}

#[test]
fn penalties_and_norms() {
    let mut r = Random::new(38);
    for [rows, c] in [[1, 1], [7, 65], [130, 67], [3, 5000]] {
        let mut x = r.uniform(rows * c, -1.0, 1.0);
        x[0] = 0.0;
        let (l1, l2) = (0.25f32, 0.5f32);
        let x64 = widen(&x);
        let sum: f64 = x64.iter().map(|x| 0.25 * x.abs() + 0.5 * x * x).sum();
        let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
        let d_x: Vec<_> = x64.iter().map(|x| 2.0 * (0.25 * sign(*x) + x)).collect();
        let scale = |j: usize| {
            let norm = x64.iter().skip(j).step_by(c).map(|x| x * x).sum::<f64>().sqrt();
            if norm > 0.75 { 0.75 / norm } else { 1.0 }
        };
        let scales: Vec<_> = (0..c).map(scale).collect();
        let held: Vec<_> = x64.iter().enumerate().map(|(i, x)| x * scales[i % c]).collect();
        for (name, device) in devices() {
            let what = format!("penalty of {rows} x {c}, {name}");
            let x = tensor(&x, [rows, c], device);
            close(&what, &regularizer::penalty(&x, [l1, l2]).unwrap(), &[sum], 1e-5);
            let (two, found) = (tensor(&[2.0], [1], device), Tensor::empty([rows, c], device));
            let found = found.unwrap();
            regularizer::backward(&x, [l1, l2], &two, &found, false).unwrap();
            close(&what, &found, &d_x, 1e-5);
            regularizer::backward(&x, [l1, l2], &two, &found, true).unwrap();
            let twice: Vec<_> = d_x.iter().map(|d| 2.0 * d).collect();
            close(&what, &found, &twice, 1e-5);
            regularizer::max_norm(&x, c, 0.75).unwrap();
            close(&what, &x, &held, 1e-5);
        }
    }
}

#[test]
fn tables_and_swapped_axes() {
    let mut r = Random::new(39);
    for [n, rows, size] in [[1, 1, 1], [70, 9, 3], [129, 40, 65]] {
        let ids: Vec<_> = (0..n).map(|_| r.below(rows) as u32).collect();
        let floats: Vec<_> = ids.iter().map(|&id| id as f32).collect();
        let (table, d_y) = (r.uniform(rows * size, -1.0, 1.0), r.uniform(n * size, -1.0, 1.0));
        let first = r.uniform(rows * size, -1.0, 1.0);
        let padding = (rows > 1).then_some(1);
        let of = |place: usize| ids[place] as usize;
        let y: Vec<_> =
            (0..n * size).map(|i| f64::from(table[of(i / size) * size + i % size])).collect();
        let mut sums = widen(&first);
        for i in (0..n * size).filter(|i| Some(of(i / size)) != padding) {
            sums[of(i / size) * size + i % size] += f64::from(d_y[i]);
        }
        for (name, device) in devices() {
            let what = format!("{n} of {rows} x {size}, {name}");
            let numbers = Tensor::from_u32(&ids, [n], device).unwrap();
            for ids in [numbers, tensor(&floats, [n], device)] {
                let table = tensor(&table, [rows, size], device);
                close(&what, &embedding::embedding(&ids, &table, [rows, size]).unwrap(), &y, 0.0);
                let (d_y, d) =
                    (tensor(&d_y, [n, size], device), tensor(&first, [rows, size], device));
                let drawn = (0..n).filter(|&place| Some(of(place)) != padding);
                let drawn = Places::new(drawn.map(|place| (place as u32, of(place) as u32)));
                embedding::backward(&drawn, &d_y, &d, [rows, size]).unwrap();
                close(&what, &d, &sums, 1e-5);
                // The rows drawn alone: those sums without what was there before.
                let rows: Vec<_> = drawn.rows().map(|row| row as usize).collect();
                let found = embedding::backward_rows(&drawn, &d_y, size).unwrap();
                let of_row = |row: &usize| row * size..(row + 1) * size;
                let sums = rows.iter().flat_map(of_row).map(|i| sums[i] - f64::from(first[i]));
                if !rows.is_empty() {
                    close(&what, &found, &sums.collect::<Vec<_>>(), 1e-5);
                }
            }
            let x = tensor(&d_y, [1, n, size], device);
            assert_eq!(swap_axes::swap_axes(&x).unwrap().to_vec().unwrap(), d_y, "{what}");
            let x = tensor(&table, [rows, 1, size], device);
            let y = swap_axes::swap_axes(&x).unwrap();
            assert_eq!((y.shape(), y.to_vec().unwrap()), (&[1, rows, size][..], table.clone()));
        }
    }
    for (name, device) in devices() {
        let x: Vec<f32> = (0..2 * 3 * 2).map(|i| i as f32).collect();
        let y = swap_axes::swap_axes(&tensor(&x, [2, 3, 2], device)).unwrap();
        let expected = [0., 1., 6., 7., 2., 3., 8., 9., 4., 5., 10., 11.];
        assert_eq!(y.to_vec().unwrap(), expected, "{name}");
    }
}
