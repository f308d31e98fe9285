//! The cross-entropy against probabilities, and the losses with two sides, over rows of all sizes: on both sides of
//! what a vector, a workgroup, a part of a sum and a thread take.

use super::oracle::{Random, central_difference, widen};
use super::{assert_same_bits, close, devices, tensor};
use crate::ops::loss::{soft_cross_entropy as soft, two_sided_loss as two_sided};
use crate::{Device, Tensor};

const SHAPES: [[usize; 2]; 9] =
    [[1, 1], [5, 7], [3000, 1], [3000, 7], [333, 17], [70, 257], [5, 1027], [2, 4099], [1, 30_001]];

/// Rows of probabilities, of which some are 0.
pub fn probabilities(r: &mut Random, rows: usize, c: usize) -> Vec<f32> {
    let mut y = r.uniform(rows * c, -0.3, 1.0);
    for row in y.chunks_mut(c) {
        row.iter_mut().for_each(|y| *y = y.max(0.0));
        row[0] = row[0].max(0.1);
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|y| *y /= sum);
    }
    y
}

/// What a soft cross-entropy is taken of.
pub struct Soft<'a> {
    pub y: &'a [f64],
    pub weights: &'a [f64],
    pub classes: &'a [f64],
    pub smoothing: f64,
}

impl Soft<'_> {
    fn target(&self, row: usize, j: usize) -> f64 {
        let c = self.classes.len();
        let share = (1.0 - self.smoothing) * self.y[row * c + j] + self.smoothing / c as f64;
        self.classes[j] * share
    }

    /// `0.25 * w * loss` of each row of `x`, and the gradient of their sum times 0.7.
    pub fn of(&self, x: &[f64]) -> [Vec<f64>; 2] {
        let c = self.classes.len();
        let (mut loss, mut d_x) = (Vec::new(), Vec::new());
        for (row, x) in x.chunks(c).enumerate() {
            let w = 0.25 * self.weights[row];
            if w == 0.0 {
                loss.push(0.0);
                d_x.extend(vec![0.0; c]);
                continue;
            }
            let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = x.iter().map(|x| (x - largest).exp()).sum();
            let total: f64 = (0..c).map(|j| self.target(row, j)).sum();
            let of = |j: usize| match self.target(row, j) {
                0.0 => 0.0,
                t => t * (sum.ln() + (largest - x[j])),
            };
            loss.push(w * (0..c).map(of).sum::<f64>());
            d_x.extend(
                (0..c).map(|j| {
                    0.7 * w * (total * (x[j] - largest).exp() / sum - self.target(row, j))
                }),
            );
        }
        [loss, d_x]
    }
}

#[test]
fn probabilities_of_rows() {
    let mut r = Random::new(401);
    for [rows, c] in SHAPES {
        let x = r.uniform(rows * c, -6.0, 6.0);
        let (y, classes) = (probabilities(&mut r, rows, c), r.uniform(c, 0.1, 2.0));
        let mut weights = r.uniform(rows, 0.1, 2.0);
        if rows > 1 {
            weights[1] = 0.0;
        }
        for (smoothing, weighted) in [(0.0f32, false), (0.0, true), (0.3, true)] {
            let ones = [vec![1.0; rows], vec![1.0; c]];
            let own = [widen(&weights), widen(&classes)];
            let [w, k] = if weighted { &own } else { &ones };
            let of =
                Soft { y: &widen(&y), weights: w, classes: k, smoothing: f64::from(smoothing) };
            let x64 = widen(&x);
            let [losses, d_x] = of.of(&x64);
            if rows * c < 100 {
                let mut sum = |x: &[f64]| 0.7 * of.of(x)[0].iter().sum::<f64>();
                for (d, near) in d_x.iter().zip(central_difference(&mut sum, &x64, 1e-5)) {
                    assert!((d - near).abs() < 1e-8, "the formula's own gradient: {d}, {near}");
                }
            }
            for (name, device) in devices() {
                let what = format!("{rows} x {c}, smoothing {smoothing}, {weighted}, {name}");
                let [x, y] = [&x, &y].map(|x| tensor(x, [rows, c], device));
                let wanted = soft::Wanted {
                    y,
                    weights: weighted.then(|| tensor(&weights, [rows], device)),
                    class_weights: weighted.then(|| tensor(&classes, [c], device)),
                    smoothing,
                    scale: 0.25,
                };
                let (found, stats) = soft::forward(&x, &wanted).unwrap();
                close(&what, &found, &losses, 1e-5);
                let d_loss = tensor(&[0.7], [1], device);
                let found = soft::backward(&x, &wanted, &stats, &d_loss).unwrap();
                close(&what, &found, &d_x, 1e-5);
            }
        }
    }
}

/// The loss of an output and its target, and the slope.
pub fn two_sides(kind: two_sided::Kind, x: f64, y: f64, [a, b]: [f64; 2]) -> [f64; 2] {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match kind {
        two_sided::Kind::BinaryCrossEntropy => [
            a * (1.0 - y) * softplus(x) + b * y * softplus(-x),
            a * (1.0 - y) * sigmoid(x) - b * y * sigmoid(-x),
        ],
        two_sided::Kind::Pinball if x < y => [b * (y - x), -b],
        two_sided::Kind::Pinball if x == y => [0.0, 0.0],
        two_sided::Kind::Pinball => [a * (x - y), if (x - y).is_nan() { x - y } else { a }],
    }
}

#[test]
fn two_sides_of_rows() {
    use two_sided::Kind;
    let mut r = Random::new(402);
    let shapes = SHAPES.map(|[rows, c]| [rows, c, 1]);
    let several = [[1, 3, 3], [33, 6, 3], [2050, 10, 5], [7, 258, 2], [3, 1001, 7], [5, 66, 33]];
    for [rows, c, each] in shapes.into_iter().chain(several) {
        let x = r.uniform(rows * c, -4.0, 4.0);
        let sides = r.uniform(2 * c, 0.05, 3.0);
        let mut weights = r.uniform(rows, 0.1, 2.0);
        if rows > 1 {
            weights[1] = 0.0;
        }
        for kind in [Kind::BinaryCrossEntropy, Kind::Pinball] {
            let mut y = r.uniform(rows * c / each, 0.0, 1.0);
            y.iter_mut().step_by(2).for_each(|y| *y = y.round());
            for weighted in [false, true] {
                let (mut losses, mut d_x) = (vec![0.0; rows], Vec::new());
                for (i, &x) in x.iter().enumerate() {
                    let w = 0.5 * if weighted { f64::from(weights[i / c]) } else { 1.0 };
                    let side = [sides[i % c * 2], sides[i % c * 2 + 1]].map(f64::from);
                    let of = two_sides(kind, x.into(), y[i / each].into(), side);
                    losses[i / c] += w * of[0];
                    d_x.push(0.7 * w * of[1]);
                }
                for (name, device) in devices() {
                    let what = format!("{kind:?} of {rows} x {c} by {each}, {weighted}, {name}");
                    let wanted = two_sided::Wanted {
                        kind,
                        y: tensor(&y, [rows, c / each], device),
                        sides: tensor(&sides, [c, 2], device),
                        each,
                        weights: weighted.then(|| tensor(&weights, [rows], device)),
                        scale: 0.5,
                    };
                    let x = tensor(&x, [rows, c], device);
                    close(&what, &two_sided::forward(&x, &wanted).unwrap(), &losses, 1e-5);
                    let d_loss = tensor(&[0.7], [1], device);
                    let found = two_sided::backward(&x, &wanted, &d_loss).unwrap();
                    close(&what, &found, &d_x, 1e-5);
                }
            }
        }
    }
}

/// The numbers that these ops give on a device.
fn everything(device: &Device, [rows, c]: [usize; 2]) -> Vec<f32> {
    let mut r = Random::new(403);
    let mut new =
        |shape: [usize; 2]| tensor(&r.uniform(shape[0] * shape[1], 0.1, 0.9), shape, device);
    let (x, y, sides) = (new([rows, c]), new([rows, c]), new([c, 2]));
    let one = tensor(&[1.0], [1], device);
    let wanted = soft::Wanted {
        y: y.clone(),
        weights: None,
        class_weights: None,
        smoothing: 0.1,
        scale: 0.25,
    };
    let (losses, stats) = soft::forward(&x, &wanted).unwrap();
    let mut all: Vec<Tensor> = vec![soft::backward(&x, &wanted, &stats, &one).unwrap(), losses];
    for kind in [two_sided::Kind::BinaryCrossEntropy, two_sided::Kind::Pinball] {
        let (y, sides) = (y.clone(), sides.clone());
        let wanted = two_sided::Wanted { kind, y, sides, each: 1, weights: None, scale: 0.25 };
        all.push(two_sided::forward(&x, &wanted).unwrap());
        all.push(two_sided::backward(&x, &wanted, &one).unwrap());
    }
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
