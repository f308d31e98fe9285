//! NaN, infinities, -0 and subnormal numbers through every op but the recurrence of the LSTM, forward
//! and backward: each device gives NaN where the formula in f64 does, an infinity where the formula
//! does or where its value is too large for f32, and finite numbers near its own elsewhere.
#![allow(clippy::needless_range_loop, reason = "formulas go by index, as papers have them")]

mod ctc;
mod elements;
mod frames;
mod gradients;
mod losses;
pub(super) mod norm_lstm;
mod parameters;
mod products;

use super::oracle::{Random, widen};
use super::{devices, gpu};
use crate::{Device, GpuOptions, Tensor};

const SPECIALS: [f32; 6] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-40, -3e-42];

/// A device may take a number below the smallest normal one for 0.
const SUBNORMAL: f64 = 1.2e-38;

/// An op, an argument of it, which of the argument's places the formula does not look at, and why.
const EXEMPT: &[(&str, &str, &str, &str)] = &[
    ("apply_mask", "x", "steps that are left out", "they become 0, whatever they hold"),
    ("pack", "x", "steps past a row's length", "padding may hold anything"),
    ("dropout", "x", "dropped units", "they become 0, not 0 times what they hold"),
    ("embedding", "d_y", "places of the padding's id", "the padding's row has no gradient"),
    ("pool", "x", "steps that do not count", "padding may hold anything"),
    ("attention", "k", "steps that do not count", "padding may hold anything"),
    ("attention", "values", "steps that do not count", "padding may hold anything"),
    ("cross_entropy", "x", "rows of weight 0", "padding may hold anything"),
    ("soft_cross_entropy", "x", "rows of weight 0", "padding may hold anything"),
    ("soft_cross_entropy", "y", "rows of weight 0", "padding may hold anything"),
    ("two_sided_loss", "x", "rows of weight 0", "padding may hold anything"),
    ("two_sided_loss", "y", "rows of weight 0", "padding may hold anything"),
    ("pointwise_loss", "x", "rows of weight 0", "padding may hold anything"),
    ("pointwise_loss", "y", "rows of weight 0", "padding may hold anything"),
    ("answers", "x", "rows of weight 0", "padding may hold anything"),
    ("metric_sums", "x", "rows of weight 0", "padding may hold anything"),
    ("metric_sums", "y", "rows of weight 0", "padding may hold anything"),
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
