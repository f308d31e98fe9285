//! NaN, infinities, -0 and subnormal numbers through every op but the recurrence of the LSTM, forward
//! and backward: each device gives NaN where the formula in f64 does, an infinity where the formula
//! does or where its value is too large for f32, and finite numbers near its own elsewhere.
#![allow(clippy::needless_range_loop, reason = "formulas go by index, as papers have them")]

use super::oracle::dense::{Activation, activate, activate_backward};
use super::oracle::{self, Random, widen};
use super::{devices, gpu, has_f16, inner, lacks, tensor};
use crate::device::coresident::Forced;
use crate::lengths::Counted;
use crate::ops::gemm::{Gemm, Matrix, REGISTER, ROWS, SUBGROUP, TILE, WIDE, Way};
use crate::ops::lstm::{Columns, norm};
use crate::ops::threefry::Key;
use crate::ops::{
    accuracy, activation, adam, add, add_into, attention, column_sum, columns, copy, cross_entropy,
    ctc, dropout, embedding, gemm_slices, half, halves, layer_norm, loss_scale, mask_steps, pack,
    penalty, pointwise_loss, pool, reduce_sum, sgd, softmax, swap_axes,
};
use crate::{Device, GpuOptions, Lengths, Mask, Tensor};

const SPECIALS: [f32; 6] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-40, -3e-42];

/// A device may take a number below the smallest normal one for 0.
const SUBNORMAL: f64 = 1.2e-38;

/// An op, an argument of it, which of the argument's places the formula does not look at, and why.
const EXEMPT: &[(&str, &str, &str, &str)] = &[
    ("mask_steps", "x", "steps that are left out", "they become 0, whatever they hold"),
    ("pack", "x", "steps past a row's length", "padding may hold anything"),
    ("dropout", "x", "dropped units", "they become 0, not 0 times what they hold"),
    ("embedding", "d_y", "places of the padding's id", "the padding's row has no gradient"),
    ("pool", "x", "steps that do not count", "padding may hold anything"),
    ("attention", "k", "steps that do not count", "padding may hold anything"),
    ("attention", "values", "steps that do not count", "padding may hold anything"),
    ("attention", "weights", "steps of weight 0, going back", "what counts not has no gradient"),
    ("cross_entropy", "x", "rows of weight 0", "padding may hold anything"),
    ("pointwise_loss", "x", "rows of weight 0", "padding may hold anything"),
    ("pointwise_loss", "y", "rows of weight 0", "padding may hold anything"),
    ("ctc", "x", "steps past a row's length, rows of scale 0", "padding may hold anything"),
    ("norm_lstm", "gates", "steps past a row's length", "padding may hold anything"),
    ("norm_lstm", "d_y", "steps past a row's length", "no output is there"),
];

fn exempt(op: &str, argument: &str) -> bool {
    EXEMPT.iter().any(|(of, which, ..)| *of == op && *which == argument)
}

/// Whether a row of this weight gives 0, whatever else there is.
fn nothing(op: &str, weight: f64) -> bool {
    weight == 0.0 && exempt(op, "x")
}

type Run<'a> = &'a dyn Fn(&Device, &[Vec<f32>]) -> Vec<Vec<f32>>;
type Formula<'a> = &'a dyn Fn(&[Vec<f64>]) -> Vec<Vec<f64>>;

struct Argument {
    name: &'static str,
    values: Vec<f32>,
    /// Places that `EXEMPT` speaks of.
    left_out: Vec<usize>,
}

fn argument(name: &'static str, values: Vec<f32>) -> Argument {
    Argument { name, values, left_out: Vec::new() }
}

impl Argument {
    fn but(self, left_out: impl IntoIterator<Item = usize>) -> Self {
        Self { left_out: left_out.into_iter().collect(), ..self }
    }
}

/// An op with random arguments, and what it is to give.
struct Case<'a> {
    op: &'static str,
    what: String,
    /// Of the arguments, and of the places that get special values.
    seed: u64,
    /// Of an error, over the largest finite value of an output.
    bound: f64,
    arguments: Vec<Argument>,
    run: Run<'a>,
    formula: Formula<'a>,
}

/// Arguments with special values in some places.
struct Variant {
    what: String,
    given: Vec<Vec<f32>>,
    /// What the formula gets: the same, but for values in places that do not count.
    counted: Vec<Vec<f32>>,
}

impl Case<'_> {
    fn check(&self, failures: &mut Vec<String>) {
        self.check_on(devices(), failures);
    }

    /// Notes what is wrong: all of it is worth seeing at once.
    fn check_on(&self, devices: &[(String, Device)], failures: &mut Vec<String>) {
        let formula = |values: &[Vec<f32>]| {
            let wide: Vec<_> = values.iter().map(|v| widen(v)).collect();
            (self.formula)(&wide)
        };
        let variants = self.variants();
        // Without special values, which leave too few finite ones to go by.
        let scales: Vec<_> = formula(&variants[0].given).iter().map(|v| largest(v)).collect();
        for variant in variants {
            let exact = formula(&variant.counted);
            let zeros: Vec<Vec<f32>> =
                variant.counted.iter().map(|v| v.iter().map(|&v| flushed(v)).collect()).collect();
            let flushed = formula(&zeros);
            for (name, device) in devices {
                let found = (self.run)(device, &variant.given);
                assert_eq!(found.len(), exact.len(), "outputs of {}", self.op);
                for (output, found) in found.iter().enumerate() {
                    let least = self.bound * scales[output].max(1e-6);
                    let expected = [&exact[output][..], &flushed[output]];
                    if let Some(error) = difference(found, expected, self.bound, least) {
                        failures.push(format!(
                            "{} {}, {}, seed {}, {name}: output {output}{error}",
                            self.op, self.what, variant.what, self.seed
                        ));
                    }
                }
            }
        }
    }

    /// The arguments as they are; each special value in a place of each argument; in places that do not
    /// count; and all special values at once.
    fn variants(&self) -> Vec<Variant> {
        let mut r = Random::new(self.seed ^ 0x5EED);
        let mut variants = vec![self.variant(&[])];
        for (at, argument) in self.arguments.iter().enumerate() {
            for special in SPECIALS {
                let place = r.below(argument.values.len());
                variants.push(self.variant(&[(at, place, special)]));
            }
            if argument.left_out.is_empty() {
                continue;
            }
            let known = exempt(self.op, argument.name);
            assert!(known, "EXEMPT has no entry for {} of {}", argument.name, self.op);
            for special in &SPECIALS[..3] {
                let place = argument.left_out[r.below(argument.left_out.len())];
                variants.push(self.variant(&[(at, place, *special)]));
            }
        }
        let mut several = Vec::new();
        for special in SPECIALS {
            // A single number would leave nothing else to look at.
            let at = r.below(self.arguments.len());
            let place = r.below(self.arguments[at].values.len());
            let counts = !self.arguments[at].left_out.contains(&place);
            if counts && self.arguments[at].values.len() > 1 {
                several.push((at, place, special));
            }
        }
        variants.push(self.variant(&several));
        variants
    }

    /// With each of these values at an argument's place.
    fn variant(&self, specials: &[(usize, usize, f32)]) -> Variant {
        let given: Vec<_> = self.arguments.iter().map(|a| a.values.clone()).collect();
        let mut variant = Variant { what: String::new(), counted: given.clone(), given };
        for &(at, place, special) in specials {
            let argument = &self.arguments[at];
            variant.what += &format!("{}[{place}] = {special:?} ", argument.name);
            variant.given[at][place] = special;
            if !argument.left_out.contains(&place) {
                variant.counted[at][place] = special;
            }
        }
        variant
    }
}

fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

fn largest(values: &[f64]) -> f64 {
    let finite = values.iter().filter(|v| (**v as f32).is_finite());
    finite.fold(0.0, |largest, v| v.abs().max(largest))
}

/// The first wrong place, if there is one. Both the formula of the arguments as they are and that with
/// zeros for subnormal ones are right.
fn difference(found: &[f32], expected: [&[f64]; 2], bound: f64, least: f64) -> Option<String> {
    let [exact, flushed] = expected;
    if found.len() != exact.len() {
        return Some(format!(" has {} elements, expected {}", found.len(), exact.len()));
    }
    let slack = (bound * largest(exact)).max(least) + SUBNORMAL;
    let right = |i: usize| near(found[i], exact[i], slack) || near(found[i], flushed[i], slack);
    let wrong: Vec<_> = (0..found.len()).filter(|&i| !right(i)).collect();
    let &i = wrong.first()?;
    let (count, all) = (wrong.len(), found.len());
    Some(format!("[{i}] is {:?}, expected {:?} ({count} of {all} wrong)", found[i], exact[i]))
}

fn near(found: f32, expected: f64, slack: f64) -> bool {
    let rounded = expected as f32;
    if rounded.is_finite() && found.is_finite() {
        return (f64::from(found) - expected).abs() <= slack;
    }
    found.is_nan() && rounded.is_nan() || found == rounded
}

#[track_caller]
fn none(failures: &[String]) {
    let shown = failures[..failures.len().min(400)].join("\n");
    assert!(failures.is_empty(), "{} outputs are wrong:\n{shown}", failures.len());
}

fn words(tensor: crate::Result<Tensor>) -> Vec<f32> {
    tensor.unwrap().to_vec().unwrap()
}

/// `f` of each pair.
fn pairs(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()
}

/// Zeros among the values, which make NaN of infinities.
fn with_zeros(mut values: Vec<f32>) -> Vec<f32> {
    values.iter_mut().step_by(5).for_each(|v| *v = 0.0);
    values
}

fn one_gpu() -> Vec<(String, Device)> {
    vec![("GPU".to_owned(), gpu(GpuOptions::default().poison()))]
}

#[test]
fn a_wrong_value_is_seen() {
    let wrong = |found: f32, exact: f64| difference(&[found], [&[exact], &[exact]], 0.1, 0.0);
    assert!(wrong(1.0, 1.05).is_none() && wrong(f32::NAN, f64::NAN).is_none());
    assert!(wrong(f32::INFINITY, 1e39).is_none() && wrong(0.0, 1e-40).is_none());
    assert!(wrong(1.0, 1.5).is_some() && wrong(0.0, f64::NAN).is_some());
    assert!(wrong(f32::NAN, 0.0).is_some() && wrong(f32::MAX, f64::INFINITY).is_some());
    assert!(wrong(f32::NEG_INFINITY, f64::INFINITY).is_some());
    assert!(wrong(f32::NAN, f64::INFINITY).is_some());
}

#[test]
fn activations() {
    let mut failures = Vec::new();
    let (n, seed) = (131, 101);
    let mut r = Random::new(seed);
    for (kind, of) in [
        (activation::Kind::Sigmoid, Activation::Sigmoid),
        (activation::Kind::Tanh, Activation::Tanh),
        (activation::Kind::Relu, Activation::Relu),
    ] {
        Case {
            op: "activation",
            what: format!("{kind:?}"),
            seed,
            bound: 1e-5,
            arguments: vec![argument("x", r.uniform(n, -4.0, 4.0))],
            run: &|device, x| {
                vec![words(activation::activation(kind, &tensor(&x[0], [n], device)))]
            },
            formula: &|x| vec![activate(of, &x[0], 1)],
        }
        .check(&mut failures);
        let y = activate(of, &widen(&r.uniform(n, -4.0, 4.0)), 1);
        let y = y.into_iter().map(|y| y as f32).collect();
        Case {
            op: "activation",
            what: format!("{kind:?} backward"),
            seed,
            bound: 1e-4,
            arguments: vec![argument("y", y), argument("d_y", r.uniform(n, -1.0, 1.0))],
            run: &|device, x| {
                let (y, d_y) = (tensor(&x[0], [n], device), tensor(&x[1], [n], device));
                vec![words(activation::backward(kind, &y, &d_y))]
            },
            formula: &|x| match of {
                // What is off has no gradient, whatever arrives.
                Activation::Relu => {
                    vec![pairs(&x[0], &x[1], |y, d| if y <= 0.0 { 0.0 } else { d })]
                }
                _ => vec![activate_backward(of, &x[0], &x[1], 1)],
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

#[test]
fn sums_and_copies() {
    let mut failures = Vec::new();
    let (n, seed) = (131, 102);
    let mut r = Random::new(seed);
    let mut two =
        || vec![argument("x", r.uniform(n, -1.0, 1.0)), argument("y", r.uniform(n, -1.0, 1.0))];
    Case {
        op: "add",
        what: String::new(),
        seed,
        bound: 1e-6,
        arguments: two(),
        run: &|device, x| {
            vec![words(add::add(&tensor(&x[0], [n], device), &tensor(&x[1], [n], device)))]
        },
        formula: &|x| vec![pairs(&x[0], &x[1], |a, b| a + b)],
    }
    .check(&mut failures);
    Case {
        op: "add_into",
        what: String::new(),
        seed,
        bound: 1e-6,
        arguments: two(),
        run: &|device, x| {
            let y = tensor(&x[1], [n], device);
            add_into::add_into(&tensor(&x[0], [n], device), &y).unwrap();
            vec![y.to_vec().unwrap()]
        },
        formula: &|x| vec![pairs(&x[0], &x[1], |a, b| a + b)],
    }
    .check(&mut failures);
    Case {
        op: "copy",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: two(),
        run: &|device, x| {
            let y = tensor(&x[1], [n], device);
            copy::copy(&tensor(&x[0], [n], device), &y).unwrap();
            vec![y.to_vec().unwrap()]
        },
        formula: &|x| vec![x[0].clone()],
    }
    .check(&mut failures);
    Case {
        op: "reduce_sum",
        what: String::new(),
        seed,
        bound: 1e-5,
        arguments: vec![argument("x", r.uniform(n, 0.0, 1.0)), argument("y", vec![7.0])],
        run: &|device, x| {
            let y = tensor(&x[1], [1], device);
            reduce_sum::reduce_sum(&tensor(&x[0], [n], device), 0.5, true, &y).unwrap();
            vec![y.to_vec().unwrap()]
        },
        formula: &|x| vec![vec![x[1][0] + 0.5 * x[0].iter().sum::<f64>()]],
    }
    .check(&mut failures);
    Case {
        op: "fill",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![argument("value", vec![2.5])],
        run: &|device, x| {
            let y = Tensor::empty([n], device).unwrap();
            y.fill(x[0][0]).unwrap();
            vec![y.to_vec().unwrap()]
        },
        formula: &|x| vec![vec![x[0][0]; n]],
    }
    .check(&mut failures);
    let with_halves: Vec<_> =
        devices().iter().filter(|(_, d)| !d.is_gpu() || has_f16(d)).cloned().collect();
    lacks("f16", with_halves.iter().any(|(_, device)| device.is_gpu()));
    Case {
        op: "half",
        what: String::new(),
        seed,
        bound: 1e-3,
        arguments: vec![argument("x", r.uniform(n, -8.0, 8.0))],
        run: &|device, x| vec![words(half::half(&tensor(&x[0], [n], device)))],
        formula: &|x| vec![x[0].clone()],
    }
    .check_on(&with_halves, &mut failures);
    none(&failures);
}

fn summed_columns(x: &[f64], y: &[f64]) -> Vec<f64> {
    let mut y = y.to_vec();
    for row in x.chunks(y.len()) {
        y.iter_mut().zip(row).for_each(|(y, x)| *y += x);
    }
    y
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn sums_of_columns() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (101, 33, 103);
    let mut r = Random::new(seed);
    let mut case = |devices: &[(String, Device)], what: &str| {
        Case {
            op: "column_sum",
            what: what.to_owned(),
            seed,
            bound: 1e-5,
            arguments: vec![
                argument("x", r.uniform(rows * c, -1.0, 1.0)),
                argument("y", r.uniform(c, -1.0, 1.0)),
            ],
            run: &|device, x| {
                let y = tensor(&x[1], [c], device);
                column_sum::column_sum(&tensor(&x[0], [rows, c], device), &y).unwrap();
                vec![y.to_vec().unwrap()]
            },
            formula: &|x| vec![summed_columns(&x[0], &x[1])],
        }
        .check_on(devices, &mut failures);
    };
    case(devices(), "");
    let sliced = one_gpu();
    inner(&sliced[0].1).force(Forced { slices: Some(3), ..Forced::default() }).unwrap();
    case(&sliced, "in slices");
    none(&failures);
}

#[test]
fn places() {
    let mut failures = Vec::new();
    let ([b, t, c], seed) = ([3, 7, 5], 104);
    let n = b * t * c;
    let mut r = Random::new(seed);
    Case {
        op: "columns",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![
            argument("x", r.uniform(b * t * c, -1.0, 1.0)),
            argument("y", r.uniform(b * t * 7, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let (x, y) = (tensor(&x[0], [b * t, c], device), tensor(&x[1], [b * t, 7], device));
            columns::copy_columns((&x, 1), (&y, 3), 3).unwrap();
            vec![y.to_vec().unwrap()]
        },
        formula: &|x| {
            let mut y = x[1].clone();
            for (y, x) in y.chunks_mut(7).zip(x[0].chunks(c)) {
                y[3..6].copy_from_slice(&x[1..4]);
            }
            vec![y]
        },
    }
    .check(&mut failures);
    Case {
        op: "swap_axes",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![argument("x", r.uniform(n, -1.0, 1.0))],
        run: &|device, x| vec![words(swap_axes::swap_axes(&tensor(&x[0], [b, t, c], device)))],
        formula: &|x| {
            let places = (0..t).flat_map(|at| (0..b).map(move |row| (row * t + at) * c));
            vec![places.flat_map(|place| x[0][place..place + c].to_vec()).collect()]
        },
    }
    .check(&mut failures);
    let on = counting(2, b, t);
    Case {
        op: "mask_steps",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![argument("x", r.uniform(n, -1.0, 1.0)).but((0..n).filter(|i| !on[i / c]))],
        run: &|device, x| {
            let mask = Mask::new(&on, [b, t], device).unwrap();
            vec![words(mask_steps::mask_steps(&tensor(&x[0], [b, t, c], device), &mask))]
        },
        formula: &|x| vec![(0..n).map(|i| if on[i / c] { x[0][i] } else { 0.0 }).collect()],
    }
    .check(&mut failures);
    // The longest row comes first.
    let lengths = [5usize, 7, 2];
    let order: Vec<_> = [1usize, 0, 2]
        .iter()
        .flat_map(|&row| (0..lengths[row]).map(move |at| row * t + at))
        .collect();
    Case {
        op: "pack",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![
            argument("x", r.uniform(n, -1.0, 1.0))
                .but((0..n).filter(|i| i / c % t >= lengths[i / c / t])),
        ],
        run: &|device, x| {
            let lengths = Lengths::new(&lengths, device).unwrap();
            vec![words(pack::pack(&tensor(&x[0], [b, t, c], device), &lengths))]
        },
        formula: &|x| vec![order.iter().flat_map(|at| x[0][at * c..][..c].to_vec()).collect()],
    }
    .check(&mut failures);
    Case {
        op: "pack",
        what: "back".to_owned(),
        seed,
        bound: 0.0,
        arguments: vec![argument("packed", r.uniform(order.len() * c, -1.0, 1.0))],
        run: &|device, x| {
            let lengths = Lengths::new(&lengths, device).unwrap();
            vec![words(pack::unpack(&tensor(&x[0], [order.len(), c], device), &lengths, t))]
        },
        formula: &|x| {
            let mut y = vec![0.0; n];
            for (from, to) in x[0].chunks(c).zip(&order) {
                y[to * c..][..c].copy_from_slice(from);
            }
            vec![y]
        },
    }
    .check(&mut failures);
    none(&failures);
}

#[test]
fn halves_of_rows() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (7, 13, 105);
    let mut r = Random::new(seed);
    for kind in [halves::Kind::Sum, halves::Kind::Mean, halves::Kind::Product] {
        Case {
            op: "halves",
            what: format!("{kind:?}"),
            seed,
            bound: 1e-6,
            arguments: vec![
                argument("x", with_zeros(r.uniform(rows * 2 * c, -1.0, 1.0))),
                argument("d_y", r.uniform(rows * c, -1.0, 1.0)),
            ],
            run: &|device, x| {
                let (x, d_y) =
                    (tensor(&x[0], [rows, 2 * c], device), tensor(&x[1], [rows, c], device));
                vec![words(halves::halves(kind, &x)), words(halves::backward(kind, &x, &d_y))]
            },
            formula: &|x| {
                let (x, d_y) = (&x[0], &x[1]);
                let (mut y, mut d_x) = (vec![0.0; rows * c], vec![0.0; rows * 2 * c]);
                for i in 0..rows * c {
                    let [a, b] = [0, c].map(|half| i / c * 2 * c + half + i % c);
                    (y[i], d_x[a], d_x[b]) = match kind {
                        halves::Kind::Sum => (x[a] + x[b], d_y[i], d_y[i]),
                        halves::Kind::Mean => (0.5 * (x[a] + x[b]), 0.5 * d_y[i], 0.5 * d_y[i]),
                        halves::Kind::Product => (x[a] * x[b], d_y[i] * x[b], d_y[i] * x[a]),
                    };
                }
                vec![y, d_x]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

#[test]
fn dropouts() {
    let mut failures = Vec::new();
    let ([b, t, c], seed) = ([3, 7, 13], 106);
    let n = b * t * c;
    let mut r = Random::new(seed);
    let key = Key([3, 77]);
    for same_steps in [false, true] {
        let block = if same_steps { t * c } else { c };
        let dropped: Vec<_> =
            (0..n).map(|i| key.floats([(i / block * c + i % c) as u32, 2])[0] < 0.4).collect();
        Case {
            op: "dropout",
            what: format!("same steps {same_steps}"),
            seed,
            bound: 1e-6,
            arguments: vec![
                argument("x", r.uniform(n, -1.0, 1.0)).but((0..n).filter(|&i| dropped[i])),
            ],
            run: &|device, x| {
                let x = tensor(&x[0], [b, t, c], device);
                vec![words(dropout::dropout(&x, 0.4, key, same_steps))]
            },
            formula: &|x| {
                let kept = 1.0 - f64::from(0.4f32);
                vec![(0..n).map(|i| if dropped[i] { 0.0 } else { x[0][i] / kept }).collect()]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

/// A product by the kernel and slices of `way`, or as the library chooses.
fn multiply(
    form: u32,
    [m, n, k]: [usize; 3],
    way: Option<(Way, usize)>,
    device: &Device,
    x: &[Vec<f32>],
) -> Vec<Vec<f32>> {
    let [trans_a, trans_b, with_bias, accumulate] = [1, 2, 4, 8].map(|bit| form & bit != 0);
    let (a, b) = (tensor(&x[0], [m, k], device), tensor(&x[1], [k, n], device));
    let bias = tensor(&x[2], [n], device);
    let c = if accumulate {
        tensor(&x[3], [m, n], device)
    } else {
        Tensor::empty([m, n], device).unwrap()
    };
    let a = if trans_a { Matrix::new(&a, m).t() } else { Matrix::new(&a, k) };
    let b = if trans_b { Matrix::new(&b, k).t() } else { Matrix::new(&b, n) };
    let gemm = Gemm { m, n, k, bias: with_bias.then_some(&bias), accumulate };
    match way {
        None => gemm.run(a, b, Matrix::new(&c, n)).unwrap(),
        Some((way, slices)) => {
            let terms = gemm_slices::cut(k, slices);
            gemm.sliced(inner(device), way, terms, a, b, Matrix::new(&c, n)).unwrap();
        }
    }
    vec![c.to_vec().unwrap()]
}

/// A NaN of A reaches a row of C, one of B a column, also by way of a 0; nothing else, though tiles
/// reach past the matrices.
fn products(
    devices: &[(String, Device)],
    forms: &[u32],
    sizes: [usize; 3],
    way: Option<(Way, usize)>,
    failures: &mut Vec<String>,
) {
    let ([m, n, k], seed) = (sizes, 107);
    let mut r = Random::new(seed);
    for &form in forms {
        let [trans_a, trans_b, with_bias, accumulate] = [1, 2, 4, 8].map(|bit| form & bit != 0);
        let name = way.map_or("gemm", |(way, _)| way.0[0].name);
        Case {
            op: "gemm",
            what: format!("{name} {sizes:?}, form {form}, {} slices", way.map_or(1, |w| w.1)),
            seed,
            bound: 1e-5,
            arguments: vec![
                argument("a", with_zeros(r.uniform(m * k, -1.0, 1.0))),
                argument("b", with_zeros(r.uniform(k * n, -1.0, 1.0))),
                argument("bias", r.uniform(n, -1.0, 1.0)),
                argument("c", r.uniform(m * n, -1.0, 1.0)),
            ],
            run: &|device, x| multiply(form, sizes, way, device, x),
            formula: &|x| {
                let bias = with_bias.then_some(&x[2][..]);
                let c = oracle::dense::gemm((trans_a, trans_b), sizes, &x[0], &x[1], bias);
                vec![if accumulate { pairs(&c, &x[3], |c, before| c + before) } else { c }]
            },
        }
        .check_on(devices, failures);
    }
}

#[test]
fn products_on_every_device() {
    let mut failures = Vec::new();
    products(devices(), &[0, 5, 10, 15], [13, 67, 21], None, &mut failures);
    products(devices(), &[0, 15], [5, 67, 21], None, &mut failures);
    products(devices(), &[0, 3], [1, 1, 33], None, &mut failures);
    none(&failures);
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn products_by_every_kernel() {
    let mut failures = Vec::new();
    let devices = one_gpu();
    let mut ways: Vec<Way> = vec![(&TILE, [64, 64]), (&REGISTER, [8, 64]), (&ROWS, [8, 32])];
    if !lacks("subgroup8", inner(&devices[0].1).subgroup_size == Some(8)) {
        ways.push((&SUBGROUP, [32, 64]));
    }
    let wide: Way = (&WIDE, [128, 128]);
    for &way in &ways {
        products(&devices, &[0, 5, 10, 15], [13, 67, 21], Some((way, 1)), &mut failures);
    }
    products(&devices, &[0], [13, 67, 21], Some((wide, 1)), &mut failures);
    for way in [ways[0], ways[2]] {
        products(&devices, &[0, 13], [13, 67, 71], Some((way, 3)), &mut failures);
    }
    none(&failures);
}

/// By the largest, as every device has it.
fn log_softmax(x: &[f64], c: usize) -> Vec<f64> {
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
                vec![
                    words(cross_entropy::forward(&x, &wanted)),
                    words(cross_entropy::backward(&x, &wanted, &d_loss)),
                ]
            },
            formula: &|x| cross_entropies(x, &labels, f64::from(smoothing), 0.25),
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

/// What is NaN says nothing, so nothing right.
#[test]
fn accuracies() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (33, 7, 111);
    let mut r = Random::new(seed);
    let x = r.uniform(rows * c, -3.0, 3.0);
    let best = |x: &[f64]| (1..c).fold(0, |best, j| if x[j] > x[best] { j } else { best });
    // All are right, so that what makes them wrong shows.
    let labels: Vec<_> = widen(&x).chunks(c).map(|x| best(x) as u32).collect();
    let weights = r.uniform(rows, 0.1, 2.0);
    Case {
        op: "accuracy",
        what: "categorical".to_owned(),
        seed,
        bound: 1e-5,
        arguments: vec![argument("x", x.clone()), argument("weights", weights.clone())],
        run: &|device, x| {
            let (x, w) = (tensor(&x[0], [rows, c], device), tensor(&x[1], [rows], device));
            let labels = Tensor::from_u32(&labels, [rows], device).unwrap();
            vec![words(accuracy::accuracy(accuracy::Kind::Categorical, &x, &labels, Some(&w)))]
        },
        formula: &|x| {
            let hit = |row: usize| {
                let of = &x[0][row * c..][..c];
                let right = best(of) == labels[row] as usize && !of.iter().any(|x| x.is_nan());
                f64::from(u8::from(right)) * x[1][row]
            };
            vec![(0..rows).map(hit).collect()]
        },
    }
    .check(&mut failures);
    let bits = x.iter().map(|&x| if x > 0.0 { 1.0 } else { 0.0 }).collect();
    Case {
        op: "accuracy",
        what: "binary".to_owned(),
        seed,
        bound: 1e-5,
        arguments: vec![argument("x", x), argument("y", bits), argument("weights", weights)],
        run: &|device, x| {
            let w = tensor(&x[2], [rows], device);
            let (x, y) = (tensor(&x[0], [rows, c], device), tensor(&x[1], [rows, c], device));
            vec![words(accuracy::accuracy(accuracy::Kind::Binary, &x, &y, Some(&w)))]
        },
        formula: &|x| {
            let right = |i: &usize| {
                let (x, y) = (x[0][*i], x[1][*i]);
                !x.is_nan() && !y.is_nan() && (x > 0.0) == (y > 0.5)
            };
            let hit = |row: usize| {
                let count = (row * c..(row + 1) * c).filter(right).count();
                count as f64 / c as f64 * x[2][row]
            };
            vec![(0..rows).map(hit).collect()]
        },
    }
    .check(&mut failures);
    none(&failures);
}

#[test]
fn layer_norms() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (5, 67, 112);
    let mut r = Random::new(seed);
    Case {
        op: "layer_norm",
        what: String::new(),
        seed,
        bound: 1e-4,
        arguments: vec![
            argument("x", r.uniform(rows * c, -2.0, 3.0)),
            argument("gain", r.uniform(c, -1.0, 2.0)),
            argument("shift", r.uniform(c, -1.0, 1.0)),
            argument("d_y", r.uniform(rows * c, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let (gain, shift) = (tensor(&x[1], [c], device), tensor(&x[2], [c], device));
            let (d_y, x) = (tensor(&x[3], [rows, c], device), tensor(&x[0], [rows, c], device));
            let (y, stats) = layer_norm::layer_norm(&x, &gain, Some(&shift), 1e-3).unwrap();
            let (d_x, d_gain) = layer_norm::backward(&x, &gain, &stats, &d_y).unwrap();
            [y, d_x, d_gain].map(|t| t.to_vec().unwrap()).to_vec()
        },
        formula: &|x| {
            let [x, gain, shift, d_y] = x else { panic!("four arguments") };
            let (mut y, mut d_x, mut d_gain) = (Vec::new(), Vec::new(), Vec::new());
            for (x, d_y) in x.chunks(c).zip(d_y.chunks(c)) {
                let (mean, root) = moments(x);
                let z: Vec<_> = x.iter().map(|x| (x - mean) * root).collect();
                let g = pairs(d_y, gain, |d, gain| d * gain);
                let sum = g.iter().sum::<f64>() / c as f64;
                let dot = pairs(&g, &z, |g, z| g * z).iter().sum::<f64>() / c as f64;
                y.extend((0..c).map(|j| gain[j] * z[j] + shift[j]));
                d_x.extend((0..c).map(|j| root * (g[j] - sum - z[j] * dot)));
                d_gain.extend((0..c).map(|j| d_y[j] * z[j]));
            }
            vec![y, d_x, d_gain]
        },
    }
    .check(&mut failures);
    none(&failures);
}

/// The mean, and one over the root of the variance.
fn moments(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    (mean, 1.0 / (variance + f64::from(1e-3f32)).sqrt())
}

fn lengths(b: usize, t: usize) -> Vec<usize> {
    (0..b).map(|row| (row * 5 + t / 2) % t + 1).collect()
}

/// All steps, those before a length, or those of a mask with holes and an empty row.
fn counting(which: usize, b: usize, t: usize) -> Vec<bool> {
    let lengths = lengths(b, t);
    let counts = |i: usize| match which {
        0 => true,
        1 => i % t < lengths[i / t],
        _ => i / t != 1 && !(i * 7 + i / t).is_multiple_of(3),
    };
    (0..b * t).map(counts).collect()
}

fn counted(which: usize, b: usize, t: usize, device: &Device) -> Counted {
    match which {
        0 => Counted::All,
        1 => Counted::Lengths(Lengths::new(&lengths(b, t), device).unwrap()),
        _ => Counted::Mask(Mask::new(&counting(which, b, t), [b, t], device).unwrap()),
    }
}

/// The pooled frames, and the gradient of all.
fn pooled(
    kind: pool::Kind,
    x: &[f64],
    d_y: &[f64],
    [b, t, c]: [usize; 3],
    on: &[bool],
) -> Vec<Vec<f64>> {
    let (mut y, mut d_x) = (vec![0.0; b * c], vec![0.0; b * t * c]);
    for i in 0..b * c {
        let (row, j) = (i / c, i % c);
        let places: Vec<_> =
            (row * t..(row + 1) * t).filter(|&at| on[at]).map(|at| at * c + j).collect();
        let [Some(&first), Some(&last)] = [places.first(), places.last()] else { continue };
        let sum: f64 = places.iter().map(|&at| x[at]).sum();
        // Nothing is larger than a NaN.
        let larger = |a: usize, b: usize| if x[b] > x[a] || x[b].is_nan() { b } else { a };
        let one = match kind {
            pool::Kind::Sum | pool::Kind::Mean => {
                let share = if kind == pool::Kind::Mean { places.len() as f64 } else { 1.0 };
                y[i] = sum / share;
                places.iter().for_each(|&at| d_x[at] = d_y[i] / share);
                continue;
            }
            pool::Kind::Max => places.iter().fold(first, |a, &b| larger(a, b)),
            pool::Kind::Last => last,
            pool::Kind::First => first,
        };
        (y[i], d_x[one]) = (x[one], d_y[i]);
    }
    vec![y, d_x]
}

#[test]
fn pools() {
    use pool::Kind::{First, Last, Max, Mean, Sum};
    let mut failures = Vec::new();
    let (dims, seed) = ([3, 7, 23], 113);
    let [b, t, c] = dims;
    let n = b * t * c;
    let mut r = Random::new(seed);
    for which in 0..3 {
        let on = counting(which, b, t);
        for kind in [Sum, Mean, Max, Last, First] {
            Case {
                op: "pool",
                what: format!("{kind:?}, steps {which}"),
                seed,
                bound: 1e-5,
                arguments: vec![
                    argument("x", r.uniform(n, -2.0, 3.0)).but((0..n).filter(|i| !on[i / c])),
                    argument("d_y", r.uniform(b * c, -1.0, 1.0)),
                ],
                run: &|device, x| {
                    let steps = counted(which, b, t, device);
                    let (x, d_y) = (tensor(&x[0], dims, device), tensor(&x[1], [b, c], device));
                    let (y, found) = pool::pool(kind, &x, dims, &steps).unwrap();
                    let d_x = pool::backward(kind, &d_y, dims, &steps, Some(&found));
                    vec![y.to_vec().unwrap(), words(d_x)]
                },
                formula: &|x| pooled(kind, &x[0], &x[1], dims, &on),
            }
            .check(&mut failures);
        }
    }
    none(&failures);
}

#[derive(Clone, Copy)]
struct Sizes {
    b: usize,
    u: usize,
    t: usize,
    h: usize,
    v: usize,
}

/// The contexts; the gradients of queries, keys and values; and that of the score for each query.
/// `x`: queries, keys, values, score, the gradient of the contexts.
fn attended(s: Sizes, x: &[Vec<f64>], additive: bool, on: &[bool]) -> Vec<Vec<f64>> {
    let [q, k, values, score, d] = x else { panic!("five arguments") };
    let Sizes { b, u, t, h, v } = s;
    // What has no weight has no gradient: 0 times a NaN of another step is none.
    let weightless = |w: f64| w == 0.0 && exempt("attention", "weights");
    let (mut context, mut d_q) = (vec![0.0; b * u * v], vec![0.0; b * u * h]);
    let (mut d_k, mut d_values) = (vec![0.0; b * t * h], vec![0.0; b * t * v]);
    let mut d_score = vec![0.0; b * u * h];
    for query in 0..b * u {
        let row = query / u;
        let keys: Vec<_> = (row * t..(row + 1) * t).filter(|&key| on[key]).collect();
        let mixed = |key: usize, j: usize| (q[query * h + j] + k[key * h + j]).tanh();
        let part = |key: usize, j: usize| match additive {
            true => score[j] * mixed(key, j),
            false => q[query * h + j] * k[key * h + j],
        };
        let scores: Vec<f64> = keys.iter().map(|&key| (0..h).map(|j| part(key, j)).sum()).collect();
        let weights = activate(Activation::Softmax, &scores, scores.len().max(1));
        let d_weight = |key: usize, w: f64| -> f64 {
            if weightless(w) {
                return 0.0;
            }
            (0..v).map(|j| d[query * v + j] * values[key * v + j]).sum()
        };
        let d_weights: Vec<_> = keys.iter().zip(&weights).map(|(&k, &w)| d_weight(k, w)).collect();
        let dot: f64 = pairs(&weights, &d_weights, |w, d| w * d).iter().sum();
        for (i, &key) in keys.iter().enumerate() {
            for j in 0..v {
                context[query * v + j] += weights[i] * values[key * v + j];
            }
            if weightless(weights[i]) {
                continue;
            }
            for j in 0..v {
                d_values[key * v + j] += weights[i] * d[query * v + j];
            }
            let d_s = weights[i] * (d_weights[i] - dot);
            for (j, score) in score.iter().take(h).enumerate() {
                let (of_q, of_k) = (query * h + j, key * h + j);
                let slope = score * (1.0 - mixed(key, j) * mixed(key, j));
                d_q[of_q] += d_s * if additive { slope } else { k[of_k] };
                d_k[of_k] += d_s * if additive { slope } else { q[of_q] };
                d_score[of_q] += d_s * mixed(key, j);
            }
        }
    }
    let mut all = vec![context, d_q, d_k, d_values];
    if additive {
        all.push(d_score);
    }
    all
}

fn attentions(s: Sizes, additive: bool, failures: &mut Vec<String>) {
    let seed = 114;
    let Sizes { b, u, t, h, v } = s;
    let mut r = Random::new(seed);
    for which in 0..3 {
        let on = counting(which, b, t);
        let off = |size: usize| {
            let on = on.clone();
            (0..b * t * size).filter(move |i| !on[i / size])
        };
        Case {
            op: "attention",
            what: format!("{b}x{u}x{t}x{h}x{v}, additive {additive}, steps {which}"),
            seed,
            bound: 1e-4,
            arguments: vec![
                argument("q", r.uniform(b * u * h, -1.0, 1.0)),
                argument("k", r.uniform(b * t * h, -1.0, 1.0)).but(off(h)),
                argument("values", r.uniform(b * t * v, -1.0, 1.0)).but(off(v)),
                argument("score", r.uniform(h, -1.0, 1.0)),
                argument("d_context", r.uniform(b * u * v, -1.0, 1.0)),
            ],
            run: &|device, x| {
                let call = attention::Attention {
                    q: tensor(&x[0], [b, u, h], device),
                    k: tensor(&x[1], [b, t, h], device),
                    values: tensor(&x[2], [b, t, v], device),
                    score: additive.then(|| tensor(&x[3], [h], device)),
                };
                let (weights, context) = call.forward(&counted(which, b, t, device)).unwrap();
                let d = call.backward(&weights, &tensor(&x[4], [b, u, v], device)).unwrap();
                let all = [Some(context), Some(d.q), Some(d.k), Some(d.values), d.score];
                all.into_iter().flatten().map(|t| t.to_vec().unwrap()).collect()
            },
            formula: &|x| attended(s, x, additive, &on),
        }
        .check(failures);
    }
}

#[test]
fn attentions_by_products() {
    let mut failures = Vec::new();
    attentions(Sizes { b: 3, u: 2, t: 7, h: 5, v: 4 }, false, &mut failures);
    attentions(Sizes { b: 2, u: 1, t: 67, h: 3, v: 65 }, false, &mut failures);
    none(&failures);
}

#[test]
fn attentions_by_sums() {
    let mut failures = Vec::new();
    attentions(Sizes { b: 3, u: 2, t: 7, h: 5, v: 4 }, true, &mut failures);
    none(&failures);
}

const CTC: [usize; 3] = [4, 7, 5];
const LONGEST: usize = 3;
const BLANK: u32 = 2;
const LABELS: [&[u32]; 4] = [&[0, 0, 4], &[], &[1, 3], &[4, 1]];
const FRAMES: [usize; 4] = [6, 4, 7, 7];

/// A row's loss and the gradient of its logits, from the probabilities of all paths: the few steps
/// let none of these vanish.
fn ctc_row(row: usize, x: &[f64], scale: f64, d_loss: f64) -> (f64, Vec<f64>) {
    let ([_, _, c], frames) = (CTC, FRAMES[row]);
    let mut d_x = vec![0.0; x.len()];
    if nothing("ctc", scale) {
        return (0.0, d_x);
    }
    let states: Vec<usize> = std::iter::once(BLANK)
        .chain(LABELS[row].iter().flat_map(|&label| [label, BLANK]))
        .map(|label| label as usize)
        .collect();
    let count = states.len();
    let p = activate(Activation::Softmax, &x[..frames * c], c);
    let of = |t: usize, s: usize| p[t * c + states[s]];
    // Whether a path may go from a state to another.
    let leads = |from: usize, to: usize| {
        let skips = to == from + 2 && states[to] != BLANK as usize && states[to] != states[from];
        to == from || to == from + 1 || skips
    };
    let mut alpha = vec![vec![0.0; count]; frames];
    for t in 0..frames {
        for s in 0..count {
            let sum: f64 = match t {
                0 => f64::from(u8::from(s < 2)),
                _ => (0..=s).filter(|&from| leads(from, s)).map(|from| alpha[t - 1][from]).sum(),
            };
            alpha[t][s] = sum * of(t, s);
        }
    }
    let mut beta = vec![vec![0.0; count]; frames];
    for t in (0..frames).rev() {
        for s in 0..count {
            beta[t][s] = if t + 1 == frames {
                f64::from(u8::from(s + 2 >= count))
            } else {
                let after = (s..count).filter(|&to| leads(s, to));
                after.map(|to| beta[t + 1][to] * of(t + 1, to)).sum()
            };
        }
    }
    let total: f64 = alpha[frames - 1].iter().rev().take(2).sum();
    if total == 0.0 {
        // No path says the labels: the loss that the test names for that, and no gradient.
        return (f64::INFINITY, d_x);
    }
    let factor = d_loss * scale;
    for t in 0..frames {
        for k in 0..c {
            // An infinite factor makes NaN of the difference, as it goes to either part.
            d_x[t * c + k] = factor * p[t * c + k];
            for s in (0..count).filter(|&s| states[s] == k) {
                d_x[t * c + k] -= factor * (alpha[t][s] * beta[t][s] / total);
            }
        }
    }
    (-scale * total.ln(), d_x)
}

fn ctc_wanted(scales: &[f32], device: &Device) -> ctc::Wanted {
    let b = LABELS.len();
    let mut table = vec![0u32; b * LONGEST * 3];
    for (row, labels) in LABELS.iter().enumerate() {
        for (i, label) in labels.iter().enumerate() {
            let next = labels[i + 1..].iter().position(|l| l == label);
            let first = u32::from(!labels[..i].contains(label));
            let entry = [*label, first, next.map_or(0, |n| (i + 1 + n + 1) as u32)];
            table[(row * LONGEST + i) * 3..][..3].copy_from_slice(&entry);
        }
    }
    let rows: Vec<_> =
        (0..b).flat_map(|row| [FRAMES[row] as u32, LABELS[row].len() as u32]).collect();
    ctc::Wanted {
        labels: Tensor::from_u32(&table, [table.len()], device).unwrap(),
        rows: Tensor::from_u32(&rows, [b, 2], device).unwrap(),
        scales: tensor(scales, [b], device),
        longest: LONGEST,
        blank: BLANK,
        impossible: f32::INFINITY,
    }
}

#[test]
fn paths_of_labels() {
    let mut failures = Vec::new();
    let ([b, t, c], seed) = (CTC, 115);
    let mut r = Random::new(seed);
    let scales = vec![1.2, 0.7, 0.0, 0.5];
    let off = |i: &usize| {
        let (row, at) = (i / c / t, i / c % t);
        at >= FRAMES[row] || row == 2
    };
    Case {
        op: "ctc",
        what: String::new(),
        seed,
        bound: 1e-4,
        arguments: vec![
            argument("x", r.uniform(b * t * c, -2.0, 2.0)).but((0..b * t * c).filter(off)),
            argument("scales", scales),
            argument("d_loss", vec![0.7]),
        ],
        run: &|device, x| {
            let wanted = ctc_wanted(&x[1], device);
            let lp = softmax::log_softmax(&tensor(&x[0], CTC, device)).unwrap();
            let (loss, alpha) = ctc::forward(&lp, CTC, &wanted).unwrap();
            let d_loss = tensor(&x[2], [1], device);
            let d_x = ctc::backward(&lp, CTC, &wanted, &alpha, &d_loss);
            vec![loss.to_vec().unwrap(), words(d_x)]
        },
        formula: &|x| {
            let rows = x[0].chunks(t * c).enumerate();
            let (loss, d_x): (Vec<_>, Vec<_>) =
                rows.map(|(row, of)| ctc_row(row, of, x[1][row], x[2][0])).unzip();
            vec![loss, d_x.concat()]
        },
    }
    .check(&mut failures);
    none(&failures);
}

/// A step of the layer-normalised LSTM, as its way back needs it.
struct Step {
    frame: usize,
    h: Vec<f64>,
    c: Vec<f64>,
    /// R h, normalised.
    z: Vec<f64>,
    root_z: f64,
    /// i, f, g, o of each unit.
    gates: Vec<f64>,
    /// The new c, normalised.
    normal: Vec<f64>,
    root_c: f64,
    /// tanh of it, with gain and shift.
    value: Vec<f64>,
}

/// A row's steps forward, from `state` (h, c), which becomes the last.
fn normalised(
    x: &[Vec<f64>],
    frames: std::ops::Range<usize>,
    state: &mut [f64],
    y: &mut [f64],
) -> Vec<Step> {
    let (part, r, norms) = (&x[0], &x[1], &x[2]);
    let h = state.len() / 2;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut steps = Vec::new();
    for frame in frames {
        let (old_h, old_c) = (state[..h].to_vec(), state[h..].to_vec());
        let z: Vec<f64> =
            (0..4 * h).map(|j| (0..h).map(|k| old_h[k] * r[k * 4 * h + j]).sum()).collect();
        let (mean, root_z) = moments(&z);
        let z: Vec<_> = z.iter().map(|z| (z - mean) * root_z).collect();
        let gates: Vec<_> = (0..4 * h)
            .map(|j| {
                let a = part[frame * 4 * h + j] + norms[j] * z[j];
                if j % 4 == 2 { a.tanh() } else { sigmoid(a) }
            })
            .collect();
        for u in 0..h {
            state[h + u] = gates[4 * u + 1] * old_c[u] + gates[4 * u] * gates[4 * u + 2];
        }
        let (mean, root_c) = moments(&state[h..]);
        let normal: Vec<_> = state[h..].iter().map(|c| (c - mean) * root_c).collect();
        let value: Vec<_> =
            (0..h).map(|u| (norms[4 * h + u] * normal[u] + norms[5 * h + u]).tanh()).collect();
        for u in 0..h {
            state[u] = gates[4 * u + 3] * value[u];
            y[frame * h + u] = state[u];
        }
        steps.push(Step { frame, h: old_h, c: old_c, z, root_z, gates, normal, root_c, value });
    }
    steps
}

/// What a row's steps back add to, and the gradient of its state.
struct Back<'a> {
    d_gates: &'a mut [f64],
    d_r: &'a mut [f64],
    d_norms: &'a mut [f64],
    d_h: &'a mut [f64],
    d_c: &'a mut [f64],
}

impl Back<'_> {
    fn step(&mut self, x: &[Vec<f64>], step: &Step) {
        let (r, norms, d_y) = (&x[1], &x[2], &x[4]);
        let h = step.h.len();
        let d_h: Vec<_> = (0..h).map(|u| self.d_h[u] + d_y[step.frame * h + u]).collect();
        let slope = |u: usize| 1.0 - step.value[u] * step.value[u];
        let d: Vec<_> = (0..h).map(|u| d_h[u] * step.gates[4 * u + 3] * slope(u)).collect();
        let g: Vec<_> = (0..h).map(|u| d[u] * norms[4 * h + u]).collect();
        let through = normal_backward(&g, &step.normal);
        let mut d_a = vec![0.0; 4 * h];
        for u in 0..h {
            let [i, f, g, o] = [0, 1, 2, 3].map(|j| step.gates[4 * u + j]);
            let d_c = self.d_c[u] + step.root_c * through[u];
            self.d_c[u] = d_c * f;
            self.d_norms[4 * h + u] += d[u] * step.normal[u];
            self.d_norms[5 * h + u] += d[u];
            d_a[4 * u] = d_c * g * i * (1.0 - i);
            d_a[4 * u + 1] = d_c * step.c[u] * f * (1.0 - f);
            d_a[4 * u + 2] = d_c * i * (1.0 - g * g);
            d_a[4 * u + 3] = d_h[u] * step.value[u] * o * (1.0 - o);
        }
        let g: Vec<_> = (0..4 * h).map(|j| d_a[j] * norms[j]).collect();
        let through = normal_backward(&g, &step.z);
        let d_z: Vec<_> = through.iter().map(|d| step.root_z * d).collect();
        for j in 0..4 * h {
            self.d_norms[j] += d_a[j] * step.z[j];
            self.d_gates[step.frame * 4 * h + j] = d_a[j];
        }
        for k in 0..h {
            self.d_h[k] = (0..4 * h).map(|j| r[k * 4 * h + j] * d_z[j]).sum();
            for j in 0..4 * h {
                self.d_r[k * 4 * h + j] += step.h[k] * d_z[j];
            }
        }
    }
}

/// From the gradient of what is normalised to that of what goes in, but for its root.
fn normal_backward(g: &[f64], normal: &[f64]) -> Vec<f64> {
    let n = g.len() as f64;
    let sum = g.iter().sum::<f64>() / n;
    let dot = pairs(g, normal, |g, normal| g * normal).iter().sum::<f64>() / n;
    pairs(g, normal, |g, normal| g - sum - normal * dot)
}

/// The outputs and the last state; the gradients of the input's part, R, the norms, the first h and c.
/// `x`: the input's part, R, the norms, the first state; the gradients of outputs, last h and c.
fn norm_lstm_formula(x: &[Vec<f64>], [b, t, h]: [usize; 3], lengths: &[usize]) -> Vec<Vec<f64>> {
    let (mut y, mut state) = (vec![0.0; b * t * h], x[3].clone());
    let (mut d_gates, mut d_r) = (vec![0.0; b * t * 4 * h], vec![0.0; h * 4 * h]);
    let (mut d_norms, mut d_h, mut d_c) = (vec![0.0; 6 * h], x[5].clone(), x[6].clone());
    for row in 0..b {
        let frames = row * t..row * t + lengths[row];
        let steps = normalised(x, frames, &mut state[row * 2 * h..][..2 * h], &mut y);
        let mut back = Back {
            d_gates: &mut d_gates,
            d_r: &mut d_r,
            d_norms: &mut d_norms,
            d_h: &mut d_h[row * h..][..h],
            d_c: &mut d_c[row * h..][..h],
        };
        steps.iter().rev().for_each(|step| back.step(x, step));
    }
    vec![y, state, d_gates, d_r, d_norms, d_h, d_c]
}

#[test]
fn layer_normalised_lstms() {
    let mut failures = Vec::new();
    let (sizes, seed) = ([2, 3, 5], 116);
    let [b, t, h] = sizes;
    let lengths = [3usize, 2];
    let mut r = Random::new(seed);
    let off =
        |size: usize| (0..b * t * size).filter(move |i| i / size % t >= lengths[i / size / t]);
    Case {
        op: "norm_lstm",
        what: String::new(),
        seed,
        bound: 1e-4,
        arguments: vec![
            argument("gates", r.uniform(b * t * 4 * h, -1.0, 1.0)).but(off(4 * h)),
            argument("weight_hh", r.uniform(h * 4 * h, -0.5, 0.5)),
            argument("norms", r.uniform(6 * h, 0.2, 1.5)),
            argument("state", r.uniform(b * 2 * h, -1.0, 1.0)),
            argument("d_y", r.uniform(b * t * h, -1.0, 1.0)).but(off(h)),
            argument("d_h", r.uniform(b * h, -1.0, 1.0)),
            argument("d_c", r.uniform(b * h, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let call = norm::Call {
                gates: tensor(&x[0], [b, t, h, 4], device),
                weight_hh: tensor(&x[1], [h, h, 4], device),
                norms: tensor(&x[2], [6 * h], device),
                lengths: Some(Lengths::new(&lengths, device).unwrap()),
                reverse: false,
                epsilon: 1e-3,
            };
            let state = tensor(&x[3], [b, 2 * h], device);
            let y = Tensor::zeros([b, t, h], device).unwrap();
            let columns = Columns { tensor: &y, first: 0 };
            let saved = call.forward(&state, Some(columns), true).unwrap().unwrap();
            let d_y = tensor(&x[4], [b, t, h], device);
            let columns = Columns { tensor: &d_y, first: 0 };
            let (d_h, d_c) = (tensor(&x[5], [b, h], device), tensor(&x[6], [b, h], device));
            let d_r = Tensor::zeros([h, 4 * h], device).unwrap();
            let d = saved.backward(Some(columns), Some(&d_h), Some(&d_c), &d_r).unwrap();
            let all = [y, state, d.gates, d_r, d.norms, d.h, d.c];
            all.iter().map(|t| t.to_vec().unwrap()).collect()
        },
        formula: &|x| norm_lstm_formula(x, sizes, &lengths),
    }
    .check(&mut failures);
    none(&failures);
}

/// The row that a number names, if there is one.
fn named(id: f64, rows: usize) -> Option<usize> {
    (id >= 0.0 && id < rows as f64 && id.fract() == 0.0).then_some(id as usize)
}

#[test]
fn tables() {
    let mut failures = Vec::new();
    let ([n, rows, size], seed) = ([37, 9, 5], 117);
    let mut r = Random::new(seed);
    let ids: Vec<f32> = (0..n).map(|_| r.below(rows) as f32).collect();
    Case {
        op: "embedding",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![
            argument("ids", ids.clone()),
            argument("table", r.uniform(rows * size, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let (ids, table) = (tensor(&x[0], [n], device), tensor(&x[1], [rows, size], device));
            vec![words(embedding::embedding(&ids, &table, [rows, size]))]
        },
        formula: &|x| {
            let row = |&id: &f64| match named(id, rows) {
                Some(id) => x[1][id * size..][..size].to_vec(),
                None => vec![f64::NAN; size],
            };
            vec![x[0].iter().flat_map(row).collect()]
        },
    }
    .check(&mut failures);
    let padding = 1;
    let of_padding: Vec<_> = (0..n * size).filter(|i| ids[i / size] as usize == padding).collect();
    Case {
        op: "embedding",
        what: "backward".to_owned(),
        seed,
        bound: 1e-5,
        arguments: vec![
            argument("ids", ids),
            argument("d_y", r.uniform(n * size, -1.0, 1.0)).but(of_padding),
            argument("d_table", r.uniform(rows * size, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let d_y = tensor(&x[1], [n, size], device);
            let d_table = tensor(&x[2], [rows, size], device);
            let named = |(place, &id)| Some((place, embedding::row_of(id, rows)?));
            let drawn = (0..).zip(&x[0]).filter_map(named);
            let drawn = drawn.filter(|&(_, row)| row as usize != padding);
            let drawn = embedding::Places::new(drawn);
            embedding::backward(&drawn, &d_y, &d_table, [rows, size]).unwrap();
            vec![d_table.to_vec().unwrap()]
        },
        formula: &|x| {
            let mut d_table = x[2].clone();
            for (id, d_y) in x[0].iter().zip(x[1].chunks(size)) {
                let Some(id) = named(*id, rows).filter(|&id| id != padding) else { continue };
                let to = &mut d_table[id * size..][..size];
                to.iter_mut().zip(d_y).for_each(|(to, d)| *to += d);
            }
            vec![d_table]
        },
    }
    .check(&mut failures);
    none(&failures);
}

#[test]
fn penalties() {
    let mut failures = Vec::new();
    let (n, seed) = (4099, 118);
    let mut r = Random::new(seed);
    for (l1, l2) in [(0.25f32, 0.5f32), (0.25, 0.0), (0.0, 0.5)] {
        Case {
            op: "penalty",
            what: format!("l1 {l1}, l2 {l2}"),
            seed,
            bound: 1e-5,
            arguments: vec![
                argument("x", r.uniform(n, -1.0, 1.0)),
                argument("d_loss", vec![2.0]),
                argument("d_x", r.uniform(n, -1.0, 1.0)),
            ],
            run: &|device, x| {
                let (d_loss, d_x) = (tensor(&x[1], [1], device), tensor(&x[2], [n], device));
                let x = tensor(&x[0], [n], device);
                penalty::backward(&x, [l1, l2], &d_loss, &d_x, true).unwrap();
                vec![words(penalty::penalty(&x, [l1, l2])), d_x.to_vec().unwrap()]
            },
            formula: &|x| {
                let [l1, l2] = [l1, l2].map(f64::from);
                let sum: f64 = x[0].iter().map(|x| l1 * x.abs() + l2 * x * x).sum();
                let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
                let slope = |v: f64| x[1][0] * (l1 * sign(v) + 2.0 * l2 * v);
                vec![vec![sum], pairs(&x[0], &x[2], |v, before| before + slope(v))]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

/// A column of a NaN stays as it is: it has no norm, and the NaN must not hide. One of an infinity has
/// a norm above every limit.
#[test]
fn limits_of_norms() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (7, 67, 119);
    let mut r = Random::new(seed);
    Case {
        op: "max_norm",
        what: String::new(),
        seed,
        bound: 1e-5,
        arguments: vec![argument("x", r.uniform(rows * c, -1.0, 1.0))],
        run: &|device, x| {
            let x = tensor(&x[0], [rows, c], device);
            penalty::max_norm(&x, c, 1.5).unwrap();
            vec![x.to_vec().unwrap()]
        },
        formula: &|x| {
            let scale = |j: usize| {
                let norm = x[0].iter().skip(j).step_by(c).map(|x| x * x).sum::<f64>().sqrt();
                if norm > 1.5 { 1.5 / norm } else { 1.0 }
            };
            let scales: Vec<_> = (0..c).map(scale).collect();
            vec![x[0].iter().enumerate().map(|(i, x)| x * scales[i % c]).collect()]
        },
    }
    .check(&mut failures);
    none(&failures);
}

/// Whether a scaled step is left out, and the state of the scale and the count behind it; the count was
/// 3 before.
fn settled(g: &[f64]) -> (bool, Vec<f64>, Vec<f64>) {
    let bad = g.iter().any(|g| !g.is_finite());
    let state = match bad {
        true => vec![32_768.0, 0.0, 0.0, 0.0],
        false => vec![65_536.0, 1.0 / 65_536.0, 1.0, 0.0],
    };
    (bad, state, vec![if bad { 3.0 } else { 4.0 }])
}

#[test]
fn loss_scales() {
    let mut failures = Vec::new();
    let (n, seed) = (259, 120);
    let mut r = Random::new(seed);
    Case {
        op: "loss_scale",
        what: "settle".to_owned(),
        seed,
        bound: 0.0,
        arguments: vec![argument("g", r.uniform(n, -1.0, 1.0))],
        run: &|device, x| {
            let state = loss_scale::state(device).unwrap();
            let count = tensor(&[3.0], [1], device);
            loss_scale::settle(&[&tensor(&x[0], [n], device)], &state, &count).unwrap();
            vec![state.to_vec().unwrap(), count.to_vec().unwrap()]
        },
        formula: &|x| {
            let (_, state, count) = settled(&x[0]);
            vec![state, count]
        },
    }
    .check(&mut failures);
    Case {
        op: "loss_scale",
        what: "rescale".to_owned(),
        seed,
        bound: 1e-6,
        arguments: vec![argument("x", r.uniform(n, -1.0, 1.0))],
        run: &|device, x| {
            let (x, state) = (tensor(&x[0], [n], device), loss_scale::state(device).unwrap());
            let rescale = |inverse| words(loss_scale::rescale(&x, &state, inverse));
            vec![rescale(false), rescale(true)]
        },
        formula: &|x| [65_536.0, 1.0 / 65_536.0].map(|by| scaled(&x[0], by)).to_vec(),
    }
    .check(&mut failures);
    none(&failures);
}

fn scaled(x: &[f64], by: f64) -> Vec<f64> {
    x.iter().map(|x| x * by).collect()
}

/// The parameters and the sums of one step. `x`: parameters, gradients, sums.
fn descended(x: &[Vec<f64>], nesterov: bool) -> [Vec<f64>; 2] {
    let (rate, momentum) = (f64::from(0.1f32), f64::from(0.9f32));
    let v = pairs(&x[2], &x[1], |v, g| momentum * v + g);
    let ahead = pairs(&x[1], &v, |g, v| if nesterov { g + momentum * v } else { v });
    [pairs(&x[0], &ahead, |p, d| p - rate * d), v]
}

#[test]
fn steps_of_descent() {
    let mut failures = Vec::new();
    let (n, seed) = (131, 121);
    let mut r = Random::new(seed);
    for (nesterov, scaling) in [(false, false), (true, false), (false, true), (true, true)] {
        let factors = sgd::Factors { rate: 0.1, momentum: 0.9, nesterov };
        Case {
            op: "sgd",
            what: format!("nesterov {nesterov}, scaled {scaling}"),
            seed,
            bound: 1e-5,
            arguments: ["p", "g", "v"].map(|name| argument(name, r.uniform(n, -1.0, 1.0))).into(),
            run: &|device, x| {
                let [p, g, v] = [0, 1, 2].map(|at| tensor(&x[at], [n], device));
                let state = loss_scale::state(device).unwrap();
                let count = tensor(&[3.0], [1], device);
                let mut g = g;
                if scaling {
                    g = loss_scale::rescale(&g, &state, false).unwrap();
                    loss_scale::settle(&[&g], &state, &count).unwrap();
                }
                sgd::sgd([&p, &g, &v], None, factors, scaling.then_some(&state)).unwrap();
                [p, v, g].map(|t| t.to_vec().unwrap()).to_vec()
            },
            formula: &|x| {
                let [p, v] = match scaling && settled(&x[1]).0 {
                    true => [x[0].clone(), x[2].clone()],
                    false => descended(x, nesterov),
                };
                vec![p, v, vec![0.0; n]]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

const ADAM: adam::Factors =
    adam::Factors { rate: 0.1, step: 4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.01 };

/// The parameters and both sums of the fourth step. `x`: parameters, gradients, sums.
fn adapted(x: &[Vec<f64>]) -> [Vec<f64>; 3] {
    let [rate, beta1, beta2, epsilon, decay] =
        [ADAM.rate, ADAM.beta1, ADAM.beta2, ADAM.epsilon, ADAM.decay].map(f64::from);
    let rate = rate / (1.0 - beta1.powi(4));
    let root = (1.0 - beta2.powi(4)).sqrt();
    let m = pairs(&x[2], &x[1], |m, g| beta1 * m + (1.0 - beta1) * g);
    let v = pairs(&x[3], &x[1], |v, g| beta2 * v + (1.0 - beta2) * g * g);
    let step = pairs(&m, &v, |m, v| rate * m / (v.sqrt() / root + epsilon));
    [pairs(&x[0], &step, |p, step| p * (1.0 - decay) - step), m, v]
}

#[test]
fn steps_of_adam() {
    let mut failures = Vec::new();
    let (n, seed) = (131, 122);
    let mut r = Random::new(seed);
    for scaling in [false, true] {
        Case {
            op: "adam",
            what: format!("scaled {scaling}"),
            seed,
            bound: 1e-4,
            arguments: vec![
                argument("p", r.uniform(n, -1.0, 1.0)),
                argument("g", r.uniform(n, -1.0, 1.0)),
                argument("m", r.uniform(n, -1.0, 1.0)),
                argument("v", r.uniform(n, 0.1, 1.0)),
            ],
            run: &|device, x| {
                let [p, g, m, v] = [0, 1, 2, 3].map(|at| tensor(&x[at], [n], device));
                let state = loss_scale::state(device).unwrap();
                let count = tensor(&[3.0], [1], device);
                let mut g = g;
                if scaling {
                    g = loss_scale::rescale(&g, &state, false).unwrap();
                    loss_scale::settle(&[&g], &state, &count).unwrap();
                }
                adam::adam([&p, &g, &m, &v], None, ADAM, scaling.then_some([&state, &count]))
                    .unwrap();
                [p, m, v, g].map(|t| t.to_vec().unwrap()).to_vec()
            },
            formula: &|x| {
                let [p, m, v] = match scaling && settled(&x[1]).0 {
                    true => [x[0].clone(), x[2].clone(), x[3].clone()],
                    false => adapted(x),
                };
                vec![p, m, v, vec![0.0; n]]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}
