//! Activations, losses, metrics and reductions: ops on elements and rows.

use super::oracle::{self, Random, widen};
use super::{close, devices, tensor};
use crate::ops::elementwise::{activation, add, copy};
use crate::ops::frames::{apply_mask, gather};
use crate::ops::loss::{cross_entropy, pointwise_loss};
use crate::ops::norm::softmax;
use crate::ops::sums::reduce_sum;
use crate::{Mask, Tensor};
use oracle::dense::{Activation, activate, activate_backward};

const SHAPES: [[usize; 2]; 6] = [[1, 1], [1, 9], [3, 7], [33, 64], [65, 65], [5, 300]];

#[test]
fn activations_and_their_gradients() {
    let mut r = Random::new(1);
    for [rows, columns] in SHAPES {
        let n = rows * columns;
        let (x, d_y) = (r.uniform(n, -4.0, 4.0), r.uniform(n, -1.0, 1.0));
        for (kind, of) in [
            (Some(activation::Kind::Sigmoid), Activation::Sigmoid),
            (Some(activation::Kind::Tanh), Activation::Tanh),
            (Some(activation::Kind::Relu), Activation::Relu),
            (None, Activation::Softmax),
        ] {
            let y = activate(of, &widen(&x), columns);
            let d_x = activate_backward(of, &y, &widen(&d_y), columns);
            for (name, device) in devices() {
                let x = tensor(&x, [rows, columns], device);
                let d_y = tensor(&d_y, [rows, columns], device);
                let what = format!("{of:?} of {rows} x {columns}, {name}");
                let found = match kind {
                    Some(kind) => activation::activation(kind, &x).unwrap(),
                    None => softmax::softmax(&x).unwrap(),
                };
                close(&what, &found, &y, 1e-5);
                let found = match kind {
                    Some(kind) => activation::backward(kind, &found, &d_y).unwrap(),
                    None => softmax::backward(&found, &d_y).unwrap(),
                };
                close(&what, &found, &d_x, 1e-4);
            }
        }
    }
}

#[test]
fn extremes_saturate_and_nan_stays() {
    let x = [f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 100.0, -100.0, f32::NAN];
    let all = [
        (activation::Kind::Sigmoid, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]),
        (activation::Kind::Tanh, [1.0, -1.0, 1.0, -1.0, 1.0, -1.0]),
    ];
    for (name, device) in devices() {
        for (kind, expected) in all {
            let y = activation::activation(kind, &tensor(&x, [7], device)).unwrap();
            let y = y.to_vec().unwrap();
            for (y, e) in y.iter().zip(expected) {
                assert!((y - e).abs() < 1e-30, "{kind:?}, {name}: {y} for {e}");
            }
            assert!(y[6].is_nan(), "{kind:?}, {name}");
        }
        let y = softmax::softmax(&tensor(&[1e30, 1e30, -1e30, f32::NAN], [2, 2], device)).unwrap();
        let y = y.to_vec().unwrap();
        assert_eq!(y[..2], [0.5, 0.5], "{name}");
        assert!(y[2].is_nan() && y[3].is_nan(), "{name}");
    }
}

#[test]
fn losses_and_gradients() {
    let mut r = Random::new(2);
    for [rows, columns] in SHAPES {
        let n = rows * columns;
        let (x, d_loss) = (r.uniform(n, -3.0, 3.0), r.uniform(1, 0.5, 1.5));
        let labels: Vec<_> = (0..rows).map(|_| r.below(columns) as u32).collect();
        let bits: Vec<_> = (0..n).map(|_| r.below(2) as f32).collect();
        let mut weights = r.uniform(rows, 0.1, 2.0);
        if rows > 1 {
            weights[1] = 0.0;
        }
        for weighted in [false, true] {
            let wide = widen(&weights);
            let w = weighted.then_some(&wide[..]);
            let sum: f64 = if weighted { wide.iter().sum() } else { rows as f64 };
            let (x64, bits64) = (widen(&x), widen(&bits));
            let (ce, d_ce) = oracle::losses::cross_entropy(&x64, &labels, columns, w);
            let (bce, d_bce) = oracle::losses::binary_cross_entropy(&x64, &bits64, columns, w);
            let (mse, d_mse) = oracle::losses::mean_squared_error(&x64, &bits64, columns, w);
            // Padding may hold anything.
            let mut poisoned = x.clone();
            if weighted && rows > 1 {
                poisoned[columns..2 * columns].fill(f32::NAN);
            }
            for (name, device) in devices() {
                let what = format!("{rows} x {columns}, weighted {weighted}, {name}");
                let x = tensor(&poisoned, [rows, columns], device);
                let w = weighted.then(|| tensor(&weights, [rows], device));
                let w = w.as_ref();
                let labels = Tensor::from_u32(&labels, [rows], device).unwrap();
                let y = tensor(&bits, [rows, columns], device);
                let d = tensor(&d_loss, [1], device);
                let total = |rows: &Tensor, scale: f32| {
                    let total = Tensor::empty([1], device).unwrap();
                    reduce_sum::reduce_sum(rows, scale, false, &total).unwrap();
                    total
                };
                let scaled = |d: &[f64]| -> Vec<f64> {
                    d.iter().map(|v| v * f64::from(d_loss[0])).collect()
                };
                let scale = (1.0 / sum) as f32;
                let wanted = cross_entropy::Wanted {
                    labels: labels.clone(),
                    weights: w.cloned(),
                    class_weights: None,
                    smoothing: 0.0,
                    scale,
                };
                let (found, stats) = cross_entropy::forward(&x, &wanted).unwrap();
                close(&what, &total(&found, 1.0), &[ce], 1e-5);
                let found = cross_entropy::backward(&x, &wanted, &stats, &d).unwrap();
                close(&what, &found, &scaled(&d_ce), 1e-4);

                let scale = (1.0 / (sum * columns as f64)) as f32;
                for (kind, value, gradient) in [
                    (pointwise_loss::Kind::BinaryCrossEntropy, bce, &d_bce),
                    (pointwise_loss::Kind::SquaredError, mse, &d_mse),
                ] {
                    let found = pointwise_loss::forward(kind, &x, &y, w, scale).unwrap();
                    close(&what, &total(&found, 1.0), &[value], 1e-5);
                    let found = pointwise_loss::backward(kind, &x, &y, w, scale, &d).unwrap();
                    close(&what, &found, &scaled(gradient), 1e-4);
                }
            }
        }
    }
}

#[test]
fn sums_of_everything() {
    let mut r = Random::new(3);
    for n in [1, 63, 64, 65, 1000] {
        let x = r.uniform(n, 0.0, 1.0);
        let sum: f64 = widen(&x).iter().sum();
        for (name, device) in devices() {
            let y = tensor(&[7.0], [1], device);
            reduce_sum::reduce_sum(&tensor(&x, [n], device), 0.5, true, &y).unwrap();
            close(name, &y, &[7.0 + 0.5 * sum], 1e-5);
        }
    }
}

#[test]
fn fills_copies_sums_and_masks() {
    let mut r = Random::new(4);
    // Past 65,535 workgroups a grid is folded.
    for n in [1, 64, 257, 64 * 65_535 + 1] {
        let x = r.uniform(n, -1.0, 1.0);
        for (name, device) in devices() {
            let (a, y) = (tensor(&x, [n], device), Tensor::empty([n], device).unwrap());
            copy::copy(&a, &y).unwrap();
            assert!(y.to_vec().unwrap() == x, "copy of {n}, {name}");
            let twice = add::add(&a, &y).unwrap().to_vec().unwrap();
            assert!(twice.iter().zip(&x).all(|(y, x)| *y == x + x), "add of {n}, {name}");
            y.fill(2.5).unwrap();
            assert!(y.to_vec().unwrap().iter().all(|&v| v == 2.5), "fill of {n}, {name}");
        }
    }
    for (name, device) in devices() {
        let x = tensor(&[1.0, f32::NAN, 2.0, 3.0], [2, 2, 1], device);
        let mask = Mask::new(&[true, false, true, true], [2, 2], device).unwrap();
        let y = apply_mask::apply_mask(&x, &mask).unwrap();
        assert_eq!(y.to_vec().unwrap(), [1.0, 0.0, 2.0, 3.0], "{name}");
    }
}

/// Frames of odd sizes, in runs that are shorter and longer than a part of a long sum, on several threads.
#[test]
fn frames_by_their_numbers_and_sums_of_runs() {
    let mut r = Random::new(5);
    for c in [1, 3, 16, 65, 300] {
        let lens = [1usize, 0, 16, 17, 700, 2, 5000 / c, 15];
        let frames: usize = lens.iter().sum();
        let mut runs = Vec::new();
        for len in lens {
            let begin = runs.last().map_or(0, |&end| end);
            runs.extend([begin, begin + len as u32]);
        }
        let x = r.uniform(frames * c, -1.0, 1.0);
        let exact = widen(&x);
        let sums: Vec<f64> = runs
            .chunks(2)
            .flat_map(|run| {
                let frames = run[0] as usize..run[1] as usize;
                let exact = &exact;
                (0..c).map(move |j| frames.clone().map(|frame| exact[frame * c + j]).sum())
            })
            .collect();
        let numbers: Vec<_> = (0..frames + 90).map(|_| r.below(frames + 7) as u32).collect();
        let others = r.uniform(7 * c, -1.0, 1.0);
        let both = [&x[..], &others].concat();
        let frame = |&k: &u32| both[k as usize * c..][..c].to_vec();
        let expected: Vec<_> = numbers.iter().flat_map(frame).collect();
        for (name, device) in devices() {
            let what = format!("{frames} frames of {c}, {name}");
            let runs = Tensor::from_u32(&runs, [lens.len(), 2], device).unwrap();
            let x = tensor(&x, [frames, c], device);
            close(&what, &gather::sum_runs(&x, &runs, 0..lens.len()).unwrap(), &sums, 1e-6);
            let some = gather::sum_runs(&x, &runs, 4..7).unwrap();
            close(&what, &some, &sums[4 * c..7 * c], 1e-6);
            let numbers = Tensor::from_u32(&numbers, [numbers.len()], device).unwrap();
            let others = tensor(&others, [7, c], device);
            let y = gather::gather(&x, Some(&others), &numbers).unwrap();
            assert!(y.to_vec().unwrap() == expected, "{what}");
        }
    }
}
