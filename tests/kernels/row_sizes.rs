//! Ops on rows, of all sizes on both sides of what a vector, a workgroup, a part of a sum and a thread take;
//! and what stands in them.

use super::oracle::{Random, widen};
use super::{assert_same_bits, close, devices, tensor};
use crate::ops::loss::pointwise_loss::Kind;
use crate::ops::loss::{answers, cross_entropy, ctc, pointwise_loss};
use crate::ops::norm::{layer_norm, softmax};
use crate::ops::sums::column_sum::column_sum;
use crate::ops::sums::reduce_sum::reduce_sum;
use crate::{Device, Tensor};

const SHAPES: [[usize; 2]; 10] = [
    [1, 1],
    [5, 7],
    [3000, 1],
    [3000, 7],
    [3000, 16],
    [333, 17],
    [70, 1000],
    [5, 1027],
    [1, 30_001],
    [5, 30_001],
];

/// The largest of a row, and the sum of exp(x - largest).
fn exps(x: &[f64]) -> (f64, f64) {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (largest, x.iter().map(|x| (x - largest).exp()).sum())
}

fn softmaxes(x: &[f64], c: usize) -> [Vec<f64>; 2] {
    let (mut y, mut log) = (Vec::new(), Vec::new());
    for x in x.chunks(c) {
        let (largest, sum) = exps(x);
        y.extend(x.iter().map(|x| (x - largest).exp() / sum));
        log.extend(x.iter().map(|x| x - largest - sum.ln()));
    }
    [y, log]
}

#[test]
fn softmaxes_and_their_gradients() {
    let mut r = Random::new(301);
    for [rows, c] in SHAPES {
        let (x, d_y) = (r.uniform(rows * c, -6.0, 6.0), r.uniform(rows * c, -1.0, 1.0));
        let [y, log] = softmaxes(&widen(&x), c);
        let mut d_x = Vec::new();
        for (y, d_y) in y.chunks(c).zip(widen(&d_y).chunks(c)) {
            let dot: f64 = y.iter().zip(d_y).map(|(y, d)| y * d).sum();
            d_x.extend(y.iter().zip(d_y).map(|(y, d)| y * (d - dot)));
        }
        for (name, device) in devices() {
            let what = format!("{rows} x {c}, {name}");
            let [x, d_y] = [&x, &d_y].map(|x| tensor(x, [rows, c], device));
            let found = softmax::softmax(&x).unwrap();
            close(&what, &found, &y, 1e-5);
            close(&what, &softmax::log_softmax(&x).unwrap(), &log, 1e-6);
            close(&what, &softmax::backward(&found, &d_y).unwrap(), &d_x, 1e-5);
        }
    }
}

#[test]
fn cross_entropies() {
    let mut r = Random::new(302);
    for [rows, c] in SHAPES {
        let (x, classes) = (r.uniform(rows * c, -6.0, 6.0), r.uniform(c, 0.1, 2.0));
        let labels: Vec<_> = (0..rows).map(|_| r.below(c) as u32).collect();
        let mut weights = r.uniform(rows, 0.1, 2.0);
        if rows > 1 {
            weights[1] = 0.0;
        }
        for (smoothing, weighted) in [(0.0f32, false), (0.0, true), (0.3, false), (0.3, true)] {
            let class = |j: usize| if weighted { f64::from(classes[j]) } else { 1.0 };
            let share = f64::from(smoothing) / c as f64;
            let all: f64 = (0..c).map(|j| share * class(j)).sum();
            let (mut loss, mut d_x) = (Vec::new(), Vec::new());
            for (row, x) in widen(&x).chunks(c).enumerate() {
                let w = 0.25 * if weighted { f64::from(weights[row]) } else { 1.0 };
                let (label, (largest, sum)) = (labels[row] as usize, exps(x));
                let log = |j: usize| sum.ln() + largest - x[j];
                let right = (1.0 - f64::from(smoothing)) * class(label);
                let spread: f64 = (0..c).map(|j| share * class(j) * log(j)).sum();
                loss.push(w * (right * log(label) + spread));
                d_x.extend((0..c).map(|j| {
                    let target = share * class(j) + if j == label { right } else { 0.0 };
                    0.7 * w * ((right + all) * (-log(j)).exp() - target)
                }));
            }
            for (name, device) in devices() {
                let what = format!("{rows} x {c}, smoothing {smoothing}, {weighted}, {name}");
                let x = tensor(&x, [rows, c], device);
                let wanted = cross_entropy::Wanted {
                    labels: Tensor::from_u32(&labels, [rows], device).unwrap(),
                    weights: weighted.then(|| tensor(&weights, [rows], device)),
                    class_weights: weighted.then(|| tensor(&classes, [c], device)),
                    smoothing,
                    scale: 0.25,
                };
                let (found, stats) = cross_entropy::forward(&x, &wanted).unwrap();
                if c > 1 {
                    close(&what, &found, &loss, 1e-5);
                }
                let d_loss = tensor(&[0.7], [1], device);
                let found = cross_entropy::backward(&x, &wanted, &stats, &d_loss).unwrap();
                if c > 1 {
                    close(&what, &found, &d_x, 1e-5);
                } else {
                    assert!(found.to_vec().unwrap().iter().all(|d| d.abs() < 1e-7), "{what}");
                }
            }
        }
    }
}

#[test]
fn layer_norms() {
    let mut r = Random::new(303);
    for [rows, c] in SHAPES.into_iter().filter(|[_, c]| *c > 1) {
        let (x, d_y) = (r.uniform(rows * c, -2.0, 3.0), r.uniform(rows * c, -1.0, 1.0));
        let (gain, bias) = (r.uniform(c, -1.0, 2.0), r.uniform(c, -1.0, 1.0));
        let (mut y, mut d_x) = (Vec::new(), Vec::new());
        let (mut d_gain, mut d_bias) = (vec![0.0; c], vec![0.0; c]);
        for (x, d_y) in widen(&x).chunks(c).zip(widen(&d_y).chunks(c)) {
            let mean = x.iter().sum::<f64>() / c as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / c as f64;
            let root = 1.0 / (variance + f64::from(1e-3f32)).sqrt();
            let z: Vec<_> = x.iter().map(|x| (x - mean) * root).collect();
            let g: Vec<_> = d_y.iter().zip(&gain).map(|(d, &gain)| d * f64::from(gain)).collect();
            let sum = g.iter().sum::<f64>() / c as f64;
            let dot = g.iter().zip(&z).map(|(g, z)| g * z).sum::<f64>() / c as f64;
            for j in 0..c {
                y.push(f64::from(gain[j]) * z[j] + f64::from(bias[j]));
                d_x.push(root * (g[j] - sum - z[j] * dot));
                d_gain[j] += d_y[j] * z[j];
                d_bias[j] += d_y[j];
            }
        }
        for (name, device) in devices() {
            let what = format!("{rows} x {c}, {name}");
            let [x, d_y] = [&x, &d_y].map(|x| tensor(x, [rows, c], device));
            let [gain, bias] = [&gain, &bias].map(|x| tensor(x, [c], device));
            let (found, stats) = layer_norm::layer_norm(&x, &gain, Some(&bias), 1e-3).unwrap();
            close(&what, &found, &y, 1e-5);
            let [gains, biases] = [(); 2].map(|()| Tensor::zeros([c], device).unwrap());
            let found = layer_norm::backward(&x, &gain, &stats, &d_y, &gains, Some(&biases));
            close(&what, &found.unwrap(), &d_x, 1e-5);
            close(&what, &gains, &d_gain, 1e-5);
            close(&what, &biases, &d_bias, 1e-5);
        }
    }
}

/// The losses of numbers, and sums over columns and over everything.
#[test]
fn numbers_and_sums() {
    let mut r = Random::new(304);
    for [rows, c] in SHAPES {
        let (x, y) = (r.uniform(rows * c, -3.0, 3.0), r.uniform(rows * c, 0.1, 0.9));
        let mut weights = r.uniform(rows, 0.1, 2.0);
        if rows > 1 {
            weights[1] = 0.0;
        }
        let (x64, y64) = (widen(&x), widen(&y));
        let columns: Vec<f64> =
            (0..c).map(|j| 0.5 + x64[j..].iter().step_by(c).sum::<f64>()).collect();
        for (kind, of) in [
            (Kind::BinaryCrossEntropy, {
                |x: f64, y: f64| {
                    [x.max(0.0) + (-x.abs()).exp().ln_1p() - x * y, {
                        1.0 / (1.0 + (-x).exp()) - y
                    }]
                }
            } as fn(f64, f64) -> [f64; 2]),
            (Kind::SquaredError, |x, y| [(x - y).powi(2), 2.0 * (x - y)]),
            (Kind::Pinball { quantile: 0.75 }, |x, y| {
                if x < y { [0.75 * (y - x), -0.75] } else { [0.25 * (x - y), 0.25] }
            }),
        ] {
            for weighted in [false, true] {
                let w = |row: usize| if weighted { f64::from(weights[row]) } else { 1.0 };
                let (mut loss, mut d_x) = (vec![0.0; rows], Vec::new());
                for (i, (&x, &y)) in x64.iter().zip(&y64).enumerate() {
                    let [value, slope] = of(x, y);
                    loss[i / c] += 0.5 * w(i / c) * value;
                    d_x.push(0.7 * 0.5 * w(i / c) * slope);
                }
                for (name, device) in devices() {
                    let what = format!("{kind:?} of {rows} x {c}, weighted {weighted}, {name}");
                    let [x, y] = [&x, &y].map(|x| tensor(x, [rows, c], device));
                    let w = weighted.then(|| tensor(&weights, [rows], device));
                    let found = pointwise_loss::forward(kind, &x, &y, w.as_ref(), 0.5).unwrap();
                    close(&what, &found, &loss, 1e-5);
                    let d = tensor(&[0.7], [1], device);
                    let found = pointwise_loss::backward(kind, &x, &y, w.as_ref(), 0.5, &d);
                    close(&what, &found.unwrap(), &d_x, 1e-5);
                }
            }
        }
        for (name, device) in devices() {
            let what = format!("sums of {rows} x {c}, {name}");
            let (x, sums) = (tensor(&x, [rows, c], device), tensor(&vec![0.5; c], [c], device));
            column_sum(&x, &sums).unwrap();
            close(&what, &sums, &columns, 1e-5);
            let total = Tensor::empty([1], device).unwrap();
            reduce_sum(&x, 1.0, false, &total).unwrap();
            let size: f64 = x64.iter().map(|x| x.abs()).sum();
            let off = f64::from(total.to_vec().unwrap()[0]) - x64.iter().sum::<f64>();
            assert!(off.abs() < 1e-6 * size, "{what}: off by {off} of {size}");
        }
    }
}

/// A row with a NaN or +infinity, or of -infinities alone, has no softmax; -infinity beside numbers is a
/// class that is never taken, also where all of a part of a sum are.
#[test]
fn rows_with_nan_and_infinities() {
    let inf = f32::INFINITY;
    for c in [1, 5, 17, 70, 1100, 20_000] {
        let plain = Random::new(305).uniform(c, -3.0, 3.0);
        let mut rows = vec![plain.clone(), vec![-inf; c]];
        for at in [0, c / 2, c - 1] {
            for special in [f32::NAN, inf, -inf] {
                let mut row = plain.clone();
                row[at] = special;
                rows.push(row);
            }
            let mut row = vec![-inf; c];
            row[at] = 1.5;
            rows.push(row);
            let mut row = plain.clone();
            row[..at].fill(-inf);
            rows.push(row);
        }
        let (n, x) = (rows.len(), rows.concat());
        let [y, log] = softmaxes(&widen(&x), c);
        let labels: Vec<_> = (0..n).map(|row| (row * 3 % c) as u32).collect();
        let losses: Vec<_> =
            labels.iter().enumerate().map(|(row, &l)| 0.0 - log[row * c + l as usize]).collect();
        let mut d_x = y.clone();
        labels.iter().enumerate().for_each(|(row, &l)| d_x[row * c + l as usize] -= 1.0);
        let says = |row: usize| !rows[row].iter().any(|x| x.is_nan());
        for (name, device) in devices() {
            let what = format!("{n} x {c}, {name}");
            let x = tensor(&x, [n, c], device);
            close(&what, &softmax::softmax(&x).unwrap(), &y, 1e-5);
            close(&what, &softmax::log_softmax(&x).unwrap(), &log, 1e-5);
            let wanted = cross_entropy::Wanted {
                labels: Tensor::from_u32(&labels, [n], device).unwrap(),
                weights: None,
                class_weights: None,
                smoothing: 0.0,
                scale: 1.0,
            };
            let (found, stats) = cross_entropy::forward(&x, &wanted).unwrap();
            close(&what, &found, &losses, 1e-5);
            let one = tensor(&[1.0], [1], device);
            let found = cross_entropy::backward(&x, &wanted, &stats, &one).unwrap();
            close(&what, &found, &d_x, 1e-5);
            let found = answers::answers(&x, &wanted.labels, None, true).unwrap().to_vec().unwrap();
            for (row, found) in found.chunks(answers::WIDTH).enumerate() {
                let most = rows[row].iter().copied().fold(-inf, f32::max);
                let class = rows[row].iter().position(|&x| x == most && says(row));
                assert_eq!(
                    found[answers::CLASS],
                    class.map_or(-1.0, |j| j as f32),
                    "{row}, {what}"
                );
                assert_eq!(found[answers::RANK] > 1e38, !says(row), "{row}, {what}");
            }
        }
    }
}

/// The numbers that all of these ops give on a device.
fn everything(device: &Device, [rows, c]: [usize; 2]) -> Vec<f32> {
    let mut r = Random::new(306);
    let mut new = |n: usize| tensor(&r.uniform(n, 0.1, 0.9), [n / c, c], device);
    let (x, y, gain) = (new(rows * c), new(rows * c), new(c));
    let labels: Vec<_> = (0..rows).map(|row| (row * 7 % c) as u32).collect();
    let labels = Tensor::from_u32(&labels, [rows], device).unwrap();
    let wanted = cross_entropy::Wanted {
        labels: labels.clone(),
        weights: None,
        class_weights: None,
        smoothing: 0.1,
        scale: 0.25,
    };
    let one = tensor(&[1.0], [1], device);
    let [d_gain, d_bias, sums] = [(); 3].map(|()| Tensor::zeros([c], device).unwrap());
    let total = Tensor::zeros([1], device).unwrap();
    let (losses, stats) = cross_entropy::forward(&x, &wanted).unwrap();
    let (normal, moments) = layer_norm::layer_norm(&x, &gain, None, 1e-5).unwrap();
    column_sum(&x, &sums).unwrap();
    reduce_sum(&x, 1.0, false, &total).unwrap();
    let kind = Kind::BinaryCrossEntropy;
    let path = ctc::Wanted {
        labels: Tensor::from_u32(&[1, 1, 0].repeat(rows), [rows, 1, 3], device).unwrap(),
        rows: Tensor::from_u32(&[1, 1].repeat(rows), [rows, 2], device).unwrap(),
        scales: tensor(&vec![1.0; rows], [rows], device),
        longest: 1,
        blank: 0,
        impossible: 0.0,
        slope: 0.0,
    };
    let lp = softmax::log_softmax(&x).unwrap();
    let (loss, alpha) = ctc::forward(&lp, [rows, 1, c], &path).unwrap();
    let all = [
        softmax::softmax(&x).unwrap(),
        softmax::backward(&x, &y).unwrap(),
        cross_entropy::backward(&x, &wanted, &stats, &one).unwrap(),
        layer_norm::backward(&x, &gain, &moments, &y, &d_gain, Some(&d_bias)).unwrap(),
        pointwise_loss::forward(kind, &x, &y, None, 1.0).unwrap(),
        pointwise_loss::backward(kind, &x, &y, None, 1.0, &one).unwrap(),
        answers::answers(&x, &labels, None, true).unwrap(),
        ctc::backward(&lp, [rows, 1, c], &path, &alpha, &one).unwrap(),
        losses,
        normal,
        d_gain,
        d_bias,
        sums,
        total,
        lp,
        loss,
    ];
    all.iter().flat_map(|t| t.to_vec().unwrap()).collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for shape in [[1, 7], [3000, 17], [70, 1000], [5, 30_001]] {
        let one = everything(&Device::cpu_with_threads(1).unwrap(), shape);
        for threads in [2, 5] {
            let several = everything(&Device::cpu_with_threads(threads).unwrap(), shape);
            assert_same_bits(format!("{threads} threads, {shape:?}"), &several, &one);
        }
    }
}
