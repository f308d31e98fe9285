//! CTC and the options of losses.

use super::super::oracle::{Random, central_difference, widen};
use super::super::{close, close_values, devices, tensor};
use crate::Tensor;
use crate::ops::loss::{cross_entropy, ctc, pointwise_loss};
use crate::ops::norm::softmax;

/// -log of the sum over all paths, by the definition's recursion in f64.
fn ctc_loss(x: &[f64], c: usize, frames: usize, labels: &[u32], blank: u32) -> f64 {
    let states: Vec<usize> = std::iter::once(blank)
        .chain(labels.iter().flat_map(|&l| [l, blank]))
        .map(|l| l as usize)
        .collect();
    let p = |t: usize, s: usize| {
        let x = &x[t * c..][..c];
        x[states[s]].exp() / x.iter().map(|x| x.exp()).sum::<f64>()
    };
    let mut alpha = vec![0.0; states.len()];
    let mut log = 0.0;
    for t in 0..frames {
        let before = alpha.clone();
        for s in 0..states.len() {
            let mut sum = if t == 0 { f64::from(s < 2) } else { before[s] };
            if t > 0 && s > 0 {
                sum += before[s - 1];
            }
            if t > 0 && s > 1 && states[s] != states[s - 2] && states[s] != blank as usize {
                sum += before[s - 2];
            }
            alpha[s] = sum * p(t, s);
        }
        let sum: f64 = alpha.iter().sum();
        alpha.iter_mut().for_each(|a| *a /= sum);
        log += sum.ln();
    }
    let last: f64 = alpha.iter().rev().take(2).sum();
    -(log + last.ln())
}

#[test]
fn paths_of_labels() {
    let mut r = Random::new(34);
    for (b, t, c, longest) in [(1, 1, 2, 1), (3, 11, 5, 4), (2, 80, 9, 35), (2, 3, 70, 2)] {
        let x = r.uniform(b * t * c, -2.0, 2.0);
        let blank = r.below(c) as u32;
        let mut labels: Vec<Vec<u32>> = Vec::new();
        let mut frames = Vec::new();
        for row in 0..b {
            let length = if row == 1 { 0 } else { longest };
            let label = |r: &mut Random| (blank + 1 + r.below(c - 1) as u32) % c as u32;
            labels.push((0..length).map(|_| label(&mut r)).collect());
            let least: usize =
                length + labels[row].windows(2).filter(|pair| pair[0] == pair[1]).count();
            if least > t {
                labels[row].truncate(1);
            }
            frames.push((least + r.below(t)).clamp(1, t));
        }
        let scales = r.uniform(b, 0.5, 1.5);
        let x64 = widen(&x);
        let of_row = |row: usize, x: &[f64]| {
            f64::from(scales[row]) * ctc_loss(x, c, frames[row], &labels[row], blank)
        };
        let rows = || x64.chunks(t * c).enumerate();
        let losses: Vec<_> = rows().map(|(row, x)| of_row(row, x)).collect();
        let d_x: Vec<_> = rows()
            .flat_map(|(row, x)| central_difference(&mut |x| of_row(row, x), x, 1e-5))
            .map(|d| 0.7f32 as f64 * d)
            .collect();
        // The kernels' table, made another way than the library's.
        let mut table = vec![0u32; b * longest * 3];
        for (row, labels) in labels.iter().enumerate() {
            for (i, label) in labels.iter().enumerate() {
                let next = labels[i + 1..].iter().position(|l| l == label);
                let entry = [*label, u32::from(!labels[..i].contains(label)), {
                    next.map_or(0, |n| (i + 1 + n + 1) as u32)
                }];
                table[(row * longest + i) * 3..][..3].copy_from_slice(&entry);
            }
        }
        let sizes: Vec<_> =
            (0..b).flat_map(|row| [frames[row] as u32, labels[row].len() as u32]).collect();
        for (name, device) in devices() {
            let what = format!("ctc of {b} x {t} x {c}, {longest} labels, {name}");
            let wanted = ctc::Wanted {
                labels: Tensor::from_u32(&table, [table.len()], device).unwrap(),
                rows: Tensor::from_u32(&sizes, [b, 2], device).unwrap(),
                scales: tensor(&scales, [b], device),
                longest,
                blank,
                impossible: f32::INFINITY,
                slope: f32::NAN,
            };
            let lp = softmax::log_softmax(&tensor(&x, [b, t, c], device)).unwrap();
            let (loss, alpha) = ctc::forward(&lp, [b, t, c], &wanted).unwrap();
            close(&what, &loss, &losses, 1e-5);
            let d_loss = tensor(&[0.7], [1], device);
            let found = ctc::backward(&lp, [b, t, c], &wanted, &alpha, &d_loss).unwrap();
            close(&what, &found, &d_x, 1e-4);
        }
    }
}

#[test]
fn cross_entropies_with_smoothing_and_class_weights() {
    let mut r = Random::new(35);
    for [rows, c] in [[1, 1], [3, 7], [5, 65], [2, 130]] {
        let (x, weights) = (r.uniform(rows * c, -3.0, 3.0), r.uniform(rows, 0.1, 2.0));
        let classes = r.uniform(c, 0.1, 2.0);
        let labels: Vec<_> = (0..rows).map(|_| r.below(c) as u32).collect();
        let s = f64::from(0.3f32);
        let of = |x: &[f64]| -> f64 {
            let log = |row: usize, j: usize| {
                let x = &x[row * c..][..c];
                x.iter().map(|x| x.exp()).sum::<f64>().ln() - x[j]
            };
            (0..rows)
                .map(|row| {
                    let l = labels[row] as usize;
                    let right = (1.0 - s) * f64::from(classes[l]) * log(row, l);
                    let all = (0..c).map(|j| f64::from(classes[j]) * log(row, j)).sum::<f64>();
                    0.25 * f64::from(weights[row]) * (right + s / c as f64 * all)
                })
                .sum()
        };
        let x64 = widen(&x);
        let d_x = central_difference(&mut |x| of(x), &x64, 1e-5);
        for (name, device) in devices() {
            let what = format!("smoothed cross-entropy of {rows} x {c}, {name}");
            let x = tensor(&x, [rows, c], device);
            let wanted = cross_entropy::Wanted {
                labels: Tensor::from_u32(&labels, [rows], device).unwrap(),
                weights: Some(tensor(&weights, [rows], device)),
                class_weights: Some(tensor(&classes, [c], device)),
                smoothing: 0.3,
                scale: 0.25,
            };
            let (losses, stats) = cross_entropy::forward(&x, &wanted).unwrap();
            let sum: f32 = losses.to_vec().unwrap().iter().sum();
            if c > 1 {
                close_values(&what, &[sum], &[of(&x64)], 1e-5);
                let one = tensor(&[1.0], [1], device);
                let found = cross_entropy::backward(&x, &wanted, &stats, &one).unwrap();
                close(&what, &found, &d_x, 1e-4);
            } else {
                assert!(sum.abs() < 1e-5, "{what}");
            }
        }
    }
}

#[test]
fn losses_between_numbers() {
    let mut r = Random::new(36);
    for [rows, c] in [[1, 1], [3, 7], [33, 65]] {
        let n = rows * c;
        let (x, y, weights) =
            (r.uniform(n, -2.0, 2.0), r.uniform(n, -2.0, 2.0), r.uniform(rows, 0.1, 2.0));
        for kind in [
            pointwise_loss::Kind::AbsoluteError,
            pointwise_loss::Kind::Huber { delta: 0.75 },
            pointwise_loss::Kind::Pinball { quantile: 0.75 },
        ] {
            let of = |i: usize, x: f64| {
                let d = x - f64::from(y[i]);
                let value = match kind {
                    pointwise_loss::Kind::Huber { .. } if d.abs() > 0.75 => {
                        0.75 * (d.abs() - 0.375)
                    }
                    pointwise_loss::Kind::Huber { .. } => d * d / 2.0,
                    pointwise_loss::Kind::Pinball { .. } => (-0.75 * d).max(0.25 * d),
                    _ => d.abs(),
                };
                0.5 * f64::from(weights[i / c]) * value
            };
            let x64 = widen(&x);
            let sums: Vec<f64> = (0..rows)
                .map(|row| (row * c..(row + 1) * c).map(|i| of(i, x64[i])).sum())
                .collect();
            let d_x: Vec<_> =
                (0..n).map(|i| (of(i, x64[i] + 1e-7) - of(i, x64[i] - 1e-7)) / 2e-7).collect();
            for (name, device) in devices() {
                let what = format!("{kind:?} of {rows} x {c}, {name}");
                let (x, y) = (tensor(&x, [rows, c], device), tensor(&y, [rows, c], device));
                let w = tensor(&weights, [rows], device);
                let found = pointwise_loss::forward(kind, &x, &y, Some(&w), 0.5).unwrap();
                close(&what, &found, &sums, 1e-5);
                let one = tensor(&[1.0], [1], device);
                let found = pointwise_loss::backward(kind, &x, &y, Some(&w), 0.5, &one).unwrap();
                close(&what, &found, &d_x, 1e-4);
            }
        }
    }
}
