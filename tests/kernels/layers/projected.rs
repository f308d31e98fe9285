//! A projection with its cross-entropy, some rows at a time, against both in f64.

use super::super::metrics::answer;
use super::super::oracle::{Random, central_difference, widen};
use super::super::{close, close_values, devices, tensor};
use crate::Tensor;
use crate::ops::loss::answers::{CLASS, LOG_LOSS, RANK, WIDTH};
use crate::ops::loss::cross_entropy::Wanted;
use crate::ops::loss::projected::{Projected, rows_at_a_time};

/// Rows that are worked on at a time.
const ROWS: usize = 64;

/// Rows, features and classes: one part, a full one, one more row, many parts.
const SHAPES: [[usize; 3]; 7] =
    [[1, 3, 3], [7, 2, 3], [64, 5, 9], [65, 4, 130], [1000, 3, 3], [130, 5, 1031], [70, 2, 30_001]];

struct Case {
    sizes: [usize; 3],
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    labels: Vec<u32>,
    weights: Option<Vec<f32>>,
    classes: Option<Vec<f32>>,
    smoothing: f32,
}

/// The losses' sum, and its gradients.
struct Exact {
    loss: f64,
    d_x: Vec<f64>,
    d_weight: Vec<f64>,
    d_bias: Vec<f64>,
    answers: Vec<[f64; 3]>,
}

const SCALE: f32 = 0.25;
const D_LOSS: f32 = 0.7;

impl Case {
    /// Sixteenths, whose sums have no rounding: ranks are then those in f64.
    fn new(sizes: [usize; 3], options: bool) -> Self {
        let [n, i, c] = sizes;
        let mut r = Random::new(401);
        let mut coarse = |len: usize| -> Vec<f32> {
            r.uniform(len, -2.0, 2.0).iter().map(|x| (x * 16.0).round() / 16.0).collect()
        };
        let (x, weight, bias) = (coarse(n * i), coarse(i * c), coarse(c));
        let labels = (0..n).map(|_| r.below(c) as u32).collect();
        let weights = options.then(|| {
            let mut weights = r.uniform(n, 0.1, 2.0);
            weights.iter_mut().skip(1).step_by(3).for_each(|w| *w = 0.0);
            weights
        });
        let classes = options.then(|| r.uniform(c, 0.1, 2.0));
        let smoothing = if options { 0.3 } else { 0.0 };
        Self { sizes, x, weight, bias, labels, weights, classes, smoothing }
    }

    fn exact(&self, x: &[f64], weight: &[f64], bias: &[f64]) -> Exact {
        let [n, i, c] = self.sizes;
        let s = f64::from(self.smoothing);
        let class = |j: usize| self.classes.as_ref().map_or(1.0, |k| f64::from(k[j]));
        let mut all = Exact {
            loss: 0.0,
            d_x: vec![0.0; n * i],
            d_weight: vec![0.0; i * c],
            d_bias: vec![0.0; c],
            answers: Vec::new(),
        };
        for row in 0..n {
            let w = self.weights.as_ref().map_or(1.0, |w| f64::from(w[row]));
            let (x, label) = (&x[row * i..][..i], self.labels[row] as usize);
            let logit = |j: usize| bias[j] + (0..i).map(|f| x[f] * weight[f * c + j]).sum::<f64>();
            let logits: Vec<f64> = (0..c).map(logit).collect();
            all.answers.push(answer(&logits, label));
            if w == 0.0 {
                all.answers[row] = [f64::INFINITY, 0.0, -1.0];
                continue;
            }
            let sum: f64 = logits.iter().map(|x| x.exp()).sum();
            let target = |j: usize| {
                s / c as f64 * class(j) + if j == label { (1.0 - s) * class(j) } else { 0.0 }
            };
            let targets: f64 = (0..c).map(target).sum();
            for (j, logit) in logits.iter().enumerate() {
                let t = target(j);
                all.loss += f64::from(SCALE) * w * t * (sum.ln() - logit);
                let d = f64::from(SCALE * D_LOSS) * w * (targets * logit.exp() / sum - t);
                all.d_bias[j] += d;
                for (f, x) in x.iter().enumerate() {
                    all.d_x[row * i + f] += d * weight[f * c + j];
                    all.d_weight[f * c + j] += d * x;
                }
            }
        }
        all
    }
}

#[test]
fn parts_of_a_projection_and_its_loss() {
    for sizes @ [n, i, c] in SHAPES {
        for (options, has_bias) in [(false, true), (true, true), (false, false)] {
            let mut case = Case::new(sizes, options);
            if !has_bias {
                case.bias.fill(0.0);
            }
            let [x, weight, bias] = [&case.x, &case.weight, &case.bias].map(|v| widen(v));
            let exact = case.exact(&x, &weight, &bias);
            if n < 10 {
                let all = [&x[..], &weight, &bias].concat();
                let differences = central_difference(
                    &mut |all| {
                        let (x, rest) = all.split_at(n * i);
                        let (weight, bias) = rest.split_at(i * c);
                        f64::from(D_LOSS) * case.exact(x, weight, bias).loss
                    },
                    &all,
                    1e-5,
                );
                let found = [&exact.d_x[..], &exact.d_weight, &exact.d_bias].concat();
                for (found, expected) in found.iter().zip(differences) {
                    assert!((found - expected).abs() < 1e-8, "{sizes:?}: {found} for {expected}");
                }
            }
            let before: Vec<f32> = (0..(i + 1) * c).map(|at| (at % 5) as f32 * 0.25).collect();
            let added = |d: &[f64], before: &[f32]| -> Vec<f64> {
                d.iter().zip(before).map(|(d, b)| d + f64::from(*b)).collect()
            };
            for (name, device) in devices() {
                let what = format!("{sizes:?}, options {options}, bias {has_bias}, {name}");
                let of = |values: &Option<Vec<f32>>| {
                    values.as_ref().map(|values| tensor(values, [values.len()], device))
                };
                let wanted = Wanted {
                    labels: Tensor::from_u32(&case.labels, [n], device).unwrap(),
                    weights: of(&case.weights),
                    class_weights: of(&case.classes),
                    smoothing: case.smoothing,
                    scale: SCALE,
                };
                let projected = Projected {
                    x: tensor(&case.x, [n, i], device),
                    weight: tensor(&case.weight, [i, c], device),
                    tied: false,
                    bias: has_bias.then(|| tensor(&case.bias, [c], device)),
                    wanted,
                    rows: ROWS,
                };
                let (losses, stats, answers) = projected.forward(Some(true)).unwrap();
                let loss = losses.to_vec().unwrap().iter().map(|&x| f64::from(x)).sum::<f64>();
                close_values(&what, &[loss as f32], &[exact.loss], 1e-5);
                let (mut found, mut expected) = (Vec::new(), Vec::new());
                for (row, answer) in answers.unwrap().to_vec().unwrap().chunks(WIDTH).enumerate() {
                    let [rank, log_loss, class] = exact.answers[row];
                    let whole = [if answer[RANK] > 1e38 { f32::INFINITY } else { answer[RANK] }];
                    let whole = [whole[0], answer[CLASS]].map(f64::from);
                    assert_eq!(whole, [rank, class], "row {row} of {what}");
                    found.push(answer[LOG_LOSS]);
                    expected.push(log_loss);
                }
                close_values(&what, &found, &expected, 1e-5);
                assert!(projected.forward(None).unwrap().2.is_none());
                let (d_weight, d_bias) =
                    (tensor(&before[c..], [i, c], device), tensor(&before[..c], [c], device));
                let d_loss = tensor(&[D_LOSS], [1], device);
                let sum = has_bias.then_some(&d_bias);
                let d_x = projected.backward(&stats, &d_loss, &d_weight, sum, true).unwrap();
                let d_x = d_x.unwrap();
                // A software adapter adds up the terms of all classes one by one.
                close(&what, &d_x, &exact.d_x, if c > 10_000 { 5e-5 } else { 1e-5 });
                close(&what, &d_weight, &added(&exact.d_weight, &before[c..]), 1e-5);
                if has_bias {
                    close(&what, &d_bias, &added(&exact.d_bias, &before[..c]), 1e-5);
                }
                let none = projected.backward(&stats, &d_loss, &d_weight, sum, false).unwrap();
                assert!(none.is_none());
            }
        }
    }
}

#[test]
fn rows_at_a_time_begin_where_bindings_may() {
    for classes in [1, 3, 1000, 30_001, 262_145, 1 << 24] {
        for gpu in [false, true] {
            let rows = rows_at_a_time(usize::MAX, classes, gpu);
            let Some(rows) = rows.filter(|_| classes > 1000) else {
                assert_eq!(rows, None, "{classes}");
                continue;
            };
            assert!(rows >= ROWS && rows.is_multiple_of(ROWS), "{classes}: {rows}");
            assert!(rows == ROWS || rows * classes <= 1 << 24, "{classes}: {rows}");
            // What is one part is made whole.
            assert_eq!(rows_at_a_time(rows, classes, gpu), None);
            assert_eq!(rows_at_a_time(rows + 1, classes, gpu), Some(rows));
        }
    }
}
