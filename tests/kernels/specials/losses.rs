//! Softmaxes, losses, and what metrics are made of.

use super::super::metrics::{answer, term};
use super::super::oracle::dense::{Activation, activate, activate_backward};
use super::super::oracle::{Random, widen};
use super::super::soft_losses::{Soft, probabilities, two_sides};
use super::super::tensor;
use super::{Case, argument, none, nothing, words};
use crate::Tensor;
use crate::ops::loss::metric_sums::{Sum, Term, Wanted};
use crate::ops::loss::{
    answers, cross_entropy, metric_sums, pointwise_loss, soft_cross_entropy, two_sided_loss,
};
use crate::ops::norm::softmax;

/// By the largest, as every device has it.
pub(super) fn log_softmax(x: &[f64], c: usize) -> Vec<f64> {
    x.chunks(c)
        .flat_map(|x| {
            let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = x.iter().map(|x| (x - largest).exp()).sum();
            x.iter().map(move |x| x - largest - sum.ln())
        })
        .collect()
}

#[test]
fn softmaxes() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (3, 67, 108);
    let mut r = Random::new(seed);
    Case {
        op: "softmax",
        what: String::new(),
        seed,
        bound: 1e-5,
        arguments: vec![argument("x", r.uniform(rows * c, -3.0, 3.0))],
        run: &|device, x| {
            let x = tensor(&x[0], [rows, c], device);
            vec![words(softmax::softmax(&x)), words(softmax::log_softmax(&x))]
        },
        formula: &|x| vec![activate(Activation::Softmax, &x[0], c), log_softmax(&x[0], c)],
    }
    .check(&mut failures);
    let y = activate(Activation::Softmax, &widen(&r.uniform(rows * c, -3.0, 3.0)), c);
    Case {
        op: "softmax",
        what: "backward".to_owned(),
        seed,
        bound: 1e-4,
        arguments: vec![
            argument("y", y.into_iter().map(|y| y as f32).collect()),
            argument("d_y", r.uniform(rows * c, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let (y, d_y) = (tensor(&x[0], [rows, c], device), tensor(&x[1], [rows, c], device));
            vec![words(softmax::backward(&y, &d_y))]
        },
        formula: &|x| vec![activate_backward(Activation::Softmax, &x[0], &x[1], c)],
    }
    .check(&mut failures);
    none(&failures);
}

/// The losses of the rows, and the gradient. `x`: the logits, the rows' weights, the classes' weights,
/// the gradient of the sum. Without smoothing a class counts only where it is the label.
fn cross_entropies(x: &[Vec<f64>], labels: &[u32], smoothing: f64, scale: f64) -> Vec<Vec<f64>> {
    let [x, weights, classes, d_loss] = x else { panic!("four arguments") };
    let c = classes.len();
    let (logs, share) = (log_softmax(x, c), smoothing / c as f64);
    let of_class = |j: usize| if smoothing > 0.0 { share * classes[j] } else { 0.0 };
    let all: f64 = (0..c).map(of_class).sum();
    let (mut loss, mut d_x) = (Vec::new(), Vec::new());
    for (row, logs) in logs.chunks(c).enumerate() {
        let (w, label) = (weights[row], labels[row] as usize);
        if nothing("cross_entropy", w) {
            loss.push(0.0);
            d_x.extend(vec![0.0; c]);
            continue;
        }
        let right = (1.0 - smoothing) * classes[label];
        let mut value = right * -logs[label];
        if smoothing > 0.0 {
            value += (0..c).map(|j| of_class(j) * -logs[j]).sum::<f64>();
        }
        loss.push(w * scale * value);
        d_x.extend((0..c).map(|j| {
            let target = of_class(j) + if j == label { right } else { 0.0 };
            d_loss[0] * scale * w * ((right + all) * logs[j].exp() - target)
        }));
    }
    vec![loss, d_x]
}

#[test]
fn cross_entropies_of_rows() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (5, 67, 109);
    let mut r = Random::new(seed);
    let labels: Vec<_> = (0..rows).map(|_| r.below(c) as u32).collect();
    let mut weights = r.uniform(rows, 0.1, 2.0);
    weights[1] = 0.0;
    for smoothing in [0.0f32, 0.3] {
        Case {
            op: "cross_entropy",
            what: format!("smoothing {smoothing}"),
            seed,
            bound: 1e-4,
            arguments: vec![
                argument("x", r.uniform(rows * c, -3.0, 3.0)).but(c..2 * c),
                argument("weights", weights.clone()),
                argument("class_weights", r.uniform(c, 0.1, 2.0)),
                argument("d_loss", vec![0.7]),
            ],
            run: &|device, x| {
                let wanted = cross_entropy::Wanted {
                    labels: Tensor::from_u32(&labels, [rows], device).unwrap(),
                    weights: Some(tensor(&x[1], [rows], device)),
                    class_weights: Some(tensor(&x[2], [c], device)),
                    smoothing,
                    scale: 0.25,
                };
                let (d_loss, x) = (tensor(&x[3], [1], device), tensor(&x[0], [rows, c], device));
                let (loss, stats) = cross_entropy::forward(&x, &wanted).unwrap();
                let d_x = cross_entropy::backward(&x, &wanted, &stats, &d_loss);
                vec![loss.to_vec().unwrap(), words(d_x)]
            },
            formula: &|x| cross_entropies(x, &labels, f64::from(smoothing), 0.25),
        }
        .check(&mut failures);
    }
    none(&failures);
}

/// A class of probability 0 does not count, whatever its logit.
#[test]
fn cross_entropies_against_probabilities() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (5, 67, 119);
    let mut r = Random::new(seed);
    let mut weights = r.uniform(rows, 0.1, 2.0);
    weights[1] = 0.0;
    for smoothing in [0.0f32, 0.3] {
        Case {
            op: "soft_cross_entropy",
            what: format!("smoothing {smoothing}"),
            seed,
            bound: 1e-4,
            arguments: vec![
                argument("x", r.uniform(rows * c, -3.0, 3.0)).but(c..2 * c),
                argument("y", probabilities(&mut r, rows, c)).but(c..2 * c),
                argument("weights", weights.clone()),
                argument("class_weights", r.uniform(c, 0.1, 2.0)),
            ],
            run: &|device, x| {
                let of = |at: usize, shape: &[usize]| tensor(&x[at], shape, device);
                let wanted = soft_cross_entropy::Wanted {
                    y: of(1, &[rows, c]),
                    weights: Some(of(2, &[rows])),
                    class_weights: Some(of(3, &[c])),
                    smoothing,
                    scale: 0.25,
                };
                let (d_loss, x) = (tensor(&[0.7], [1], device), of(0, &[rows, c]));
                let (loss, stats) = soft_cross_entropy::forward(&x, &wanted).unwrap();
                let d_x = soft_cross_entropy::backward(&x, &wanted, &stats, &d_loss);
                vec![loss.to_vec().unwrap(), words(d_x)]
            },
            formula: &|x| {
                let smoothing = f64::from(smoothing);
                Soft { y: &x[1], weights: &x[2], classes: &x[3], smoothing }.of(&x[0]).to_vec()
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

#[test]
fn losses_with_two_sides() {
    let mut failures = Vec::new();
    let (rows, c, each, seed) = (7, 12, 3, 120);
    let mut r = Random::new(seed);
    let mut weights = r.uniform(rows, 0.1, 2.0);
    weights[1] = 0.0;
    for kind in [two_sided_loss::Kind::BinaryCrossEntropy, two_sided_loss::Kind::Pinball] {
        let targets = c / each;
        Case {
            op: "two_sided_loss",
            what: format!("{kind:?}"),
            seed,
            bound: 1e-4,
            arguments: vec![
                argument("x", r.uniform(rows * c, -2.0, 2.0)).but(c..2 * c),
                argument("y", r.uniform(rows * targets, 0.1, 0.9)).but(targets..2 * targets),
                argument("weights", weights.clone()),
                argument("sides", r.uniform(2 * c, 0.1, 2.0)),
            ],
            run: &|device, x| {
                let of = |at: usize, shape: &[usize]| tensor(&x[at], shape, device);
                let wanted = two_sided_loss::Wanted {
                    kind,
                    y: of(1, &[rows, targets]),
                    sides: of(3, &[c, 2]),
                    each,
                    weights: Some(of(2, &[rows])),
                    scale: 0.5,
                };
                let (d_loss, x) = (tensor(&[0.7], [1], device), of(0, &[rows, c]));
                vec![
                    words(two_sided_loss::forward(&x, &wanted)),
                    words(two_sided_loss::backward(&x, &wanted, &d_loss)),
                ]
            },
            formula: &|x| {
                let (mut loss, mut d_x) = (vec![0.0; rows], vec![0.0; rows * c]);
                for row in (0..rows).filter(|&row| !nothing("two_sided_loss", x[2][row])) {
                    let mut sum = 0.0;
                    for i in row * c..(row + 1) * c {
                        let side = [x[3][i % c * 2], x[3][i % c * 2 + 1]];
                        let [value, slope] = two_sides(kind, x[0][i], x[1][i / each], side);
                        sum += value;
                        d_x[i] = 0.7 * 0.5 * x[2][row] * slope;
                    }
                    loss[row] = 0.5 * x[2][row] * sum;
                }
                vec![loss, d_x]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

/// The loss of a number and its slope.
fn pointwise(kind: pointwise_loss::Kind, x: f64, y: f64) -> [f64; 2] {
    use pointwise_loss::Kind;
    let d = x - y;
    let sign = if d == 0.0 { 0.0 } else { d.signum() };
    match kind {
        Kind::BinaryCrossEntropy => {
            let softplus = x.max(0.0) + (-x.abs()).exp().ln_1p();
            [softplus - x * y, 1.0 / (1.0 + (-x).exp()) - y]
        }
        Kind::SquaredError => [d * d, 2.0 * d],
        Kind::AbsoluteError => [d.abs(), sign],
        Kind::Huber { delta } => {
            let delta = f64::from(delta);
            if d.abs() > delta {
                [delta * (d.abs() - 0.5 * delta), delta * sign]
            } else {
                [0.5 * d * d, d]
            }
        }
        Kind::Pinball { quantile } => {
            let q = f64::from(quantile);
            if d < 0.0 { [-q * d, -q] } else { [(1.0 - q) * d, (1.0 - q) * sign] }
        }
    }
}

#[test]
fn losses_between_numbers() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (7, 13, 110);
    let mut r = Random::new(seed);
    let mut weights = r.uniform(rows, 0.1, 2.0);
    weights[1] = 0.0;
    for kind in [
        pointwise_loss::Kind::BinaryCrossEntropy,
        pointwise_loss::Kind::SquaredError,
        pointwise_loss::Kind::AbsoluteError,
        pointwise_loss::Kind::Huber { delta: 0.75 },
        pointwise_loss::Kind::Pinball { quantile: 0.75 },
    ] {
        Case {
            op: "pointwise_loss",
            what: format!("{kind:?}"),
            seed,
            bound: 1e-4,
            arguments: vec![
                argument("x", r.uniform(rows * c, -2.0, 2.0)).but(c..2 * c),
                argument("y", r.uniform(rows * c, 0.1, 0.9)).but(c..2 * c),
                argument("weights", weights.clone()),
                argument("d_loss", vec![0.7]),
            ],
            run: &|device, x| {
                let (d, w) = (tensor(&x[3], [1], device), tensor(&x[2], [rows], device));
                let (x, y) = (tensor(&x[0], [rows, c], device), tensor(&x[1], [rows, c], device));
                vec![
                    words(pointwise_loss::forward(kind, &x, &y, Some(&w), 0.5)),
                    words(pointwise_loss::backward(kind, &x, &y, Some(&w), 0.5, &d)),
                ]
            },
            formula: &|x| {
                let (mut loss, mut d_x) = (vec![0.0; rows], vec![0.0; rows * c]);
                for row in (0..rows).filter(|&row| !nothing("pointwise_loss", x[2][row])) {
                    let mut sum = 0.0;
                    for i in row * c..(row + 1) * c {
                        let [value, slope] = pointwise(kind, x[0][i], x[1][i]);
                        sum += value;
                        d_x[i] = x[3][0] * 0.5 * x[2][row] * slope;
                    }
                    loss[row] = 0.5 * x[2][row] * sum;
                }
                vec![loss, d_x]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

/// A row with a NaN says nothing, and is behind all classes.
#[test]
fn answers_of_rows() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (33, 7, 111);
    let mut r = Random::new(seed);
    let labels: Vec<_> = (0..rows).map(|_| r.below(c) as u32).collect();
    let mut weights = r.uniform(rows, 0.1, 2.0);
    weights[4] = 0.0;
    // A rank behind all classes is no size to measure errors by.
    let split = |y: &[f64]| {
        let column =
            |j: usize| y.iter().skip(j).step_by(3).map(|&v| if v > 1e30 { -2.0 } else { v });
        vec![
            column(0).collect::<Vec<_>>(),
            y.iter().skip(1).step_by(3).copied().collect(),
            column(2).collect(),
        ]
    };
    Case {
        op: "answers",
        what: String::new(),
        seed,
        bound: 1e-5,
        arguments: vec![
            argument("x", r.uniform(rows * c, -3.0, 3.0)).but(4 * c..5 * c),
            argument("weights", weights),
        ],
        run: &|device, x| {
            let (x, w) = (tensor(&x[0], [rows, c], device), tensor(&x[1], [rows], device));
            let labels = Tensor::from_u32(&labels, [rows], device).unwrap();
            let found = words(answers::answers(&x, &labels, Some(&w), true));
            let narrow = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
            split(&widen(&found)).into_iter().map(narrow).collect()
        },
        formula: &|x| {
            let answer = |row: usize| {
                let (own, label) = (&x[0][row * c..][..c], labels[row] as usize);
                if nothing("answers", x[1][row]) {
                    return [f64::INFINITY, 0.0, -1.0];
                }
                let [rank, _, class] = answer(own, label);
                [rank, -log_softmax(own, c)[label], class]
            };
            split(&(0..rows).flat_map(answer).collect::<Vec<_>>())
        },
    }
    .check(&mut failures);
    none(&failures);
}

/// What is NaN makes a sum of numbers NaN, and counts as no answer.
#[test]
fn sums_of_metrics() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (5, 3, 113);
    let mut r = Random::new(seed);
    let mut weights = r.uniform(rows, 0.1, 2.0);
    weights[2] = 0.0;
    for of in [
        Term::Absolute,
        Term::Squared,
        Term::Percentage,
        Term::Symmetric,
        Term::Pinball(0.3),
        Term::LogLoss,
        Term::Below(0.1),
        Term::Value,
        Term::Right(0.1),
        Term::Yes(0.1),
        Term::BothYes(0.1),
        Term::No(0.1),
        Term::BothNo(0.1),
    ] {
        Case {
            op: "metric_sums",
            what: format!("{of:?}"),
            seed,
            bound: 1e-5,
            arguments: vec![
                argument("x", r.uniform(rows * c, -2.0, 2.0)).but(2 * c..3 * c),
                argument("y", r.uniform(rows * c, -2.0, 2.0)).but(2 * c..3 * c),
                argument("weights", weights.clone()),
            ],
            run: &|device, x| {
                let w = tensor(&x[2], [rows], device);
                let (x, y) = (tensor(&x[0], [rows, c], device), tensor(&x[1], [rows, c], device));
                let each = |j: usize| Sum { term: of, columns: (j, 1) };
                let wanted = Wanted::new((0..c).map(each).collect(), 0, device).unwrap();
                vec![words(metric_sums::metric_sums(&wanted, &x, &y, Some(&w)))]
            },
            formula: &|x| {
                let value = |j: usize, row: usize| match x[2][row] {
                    w if nothing("metric_sums", w) => 0.0,
                    w => w * term(of, x[0][row * c + j], x[1][row * c + j]),
                };
                vec![(0..c).map(|j| (0..rows).map(|row| value(j, row)).sum()).collect()]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}
