//! Functions of one, two and three numbers.

use super::*;
use nd::{Binary, Unary};

/// The error function: its series, or the continued fraction of what is missing to 1.
fn erf(x: f64) -> f64 {
    let t = x.abs();
    if t < 2.5 {
        let term = |n: i32, before: f64| -before * x * x / f64::from(n);
        let (mut power, mut sum) = (x, x);
        for n in 1..80 {
            power = term(n, power);
            sum += power / f64::from(2 * n + 1);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    if t > 6.0 || t.is_nan() {
        return x.signum();
    }
    let fraction = (1..=60).rev().fold(0.0, |f, n| f64::from(n) / 2.0 / (t + f));
    x.signum() * (1.0 - (-t * t).exp() / (std::f64::consts::PI.sqrt() * (t + fraction)))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// 0 where a number without end is gated by 0.
fn gated(x: f64, gate: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { x * gate }
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn elu(x: f64, alpha: f64) -> f64 {
    if x < 0.0 { alpha * x.exp_m1() } else { x }
}

type Formula = fn(f64) -> f64;

const ALL: &[(Unary, Formula)] = &[
    (Unary::Neg, |x| -x),
    (Unary::Abs, f64::abs),
    (Unary::Sqrt, f64::sqrt),
    (Unary::Exp, f64::exp),
    (Unary::Log, f64::ln),
    (Unary::Reciprocal, |x| 1.0 / x),
    (Unary::Sign, |x| if x == 0.0 { 0.0 } else { x.signum() }),
    (Unary::Floor, f64::floor),
    (Unary::Ceil, f64::ceil),
    (Unary::Round, f64::round_ties_even),
    (Unary::Asin, f64::asin),
    (Unary::Acos, f64::acos),
    (Unary::Atan, f64::atan),
    (Unary::Sinh, f64::sinh),
    (Unary::Cosh, f64::cosh),
    (Unary::Tanh, f64::tanh),
    (Unary::Asinh, f64::asinh),
    (Unary::Acosh, f64::acosh),
    (Unary::Atanh, f64::atanh),
    (Unary::Erf, erf),
    (Unary::Relu, |x| if x < 0.0 { 0.0 } else { x }),
    (Unary::LeakyRelu(0.25), |x| if x < 0.0 { 0.25 * x } else { x }),
    (Unary::ThresholdedRelu(0.75), |x| if x > 0.75 || x.is_nan() { x } else { 0.0 }),
    (Unary::Elu(1.5), |x| elu(x, 1.5)),
    (Unary::Selu(1.5, 1.25), |x| 1.25 * elu(x, 1.5)),
    (Unary::Celu(2.0), |x| if x < 0.0 { 2.0 * (x / 2.0).exp_m1() } else { x }),
    (Unary::Sigmoid, sigmoid),
    (Unary::HardSigmoid(0.25, 0.5), |x| (0.25 * x + 0.5).clamp(0.0, 1.0)),
    (Unary::HardSwish, |x| gated(x, (x / 6.0 + 0.5).clamp(0.0, 1.0))),
    (Unary::Swish(1.0), |x| gated(x, sigmoid(x))),
    (Unary::Swish(-0.5), |x| if x == f64::INFINITY { f64::NAN } else { x * sigmoid(-0.5 * x) }),
    (Unary::Softplus, softplus),
    (Unary::Softsign, |x| if x.is_infinite() { x.signum() } else { x / (1.0 + x.abs()) }),
    (Unary::Mish, |x| gated(x, softplus(x).tanh())),
    (Unary::Gelu, |x| gated(x, 0.5 + 0.5 * erf(x / 2f64.sqrt()))),
    (Unary::GeluTanh, |x| {
        let root = (2.0 / std::f64::consts::PI).sqrt();
        gated(x, 0.5 + 0.5 * (root * (x + 0.044_715 * x.powi(3))).tanh())
    }),
    (Unary::Clip(-0.5, 2.0), |x| x.clamp(-0.5, 2.0)),
    (Unary::Clip(f32::NEG_INFINITY, f32::INFINITY), |x| x),
    (Unary::Shrink(0.25, 0.5), |x| {
        if x.is_nan() {
            x
        } else if x > 0.5 {
            x - 0.25
        } else if x < -0.5 {
            x + 0.25
        } else {
            0.0
        }
    }),
];

/// Fails unless each number is what was expected, but for a part of it, or of 1 if it is smaller.
#[track_caller]
fn each_close(what: &str, x: &[f32], found: &[f32], expected: &[f64], bound: f64) {
    for ((&x, &y), &e) in x.iter().zip(found).zip(expected) {
        let rounded = e as f32;
        let fine = match rounded.is_finite() && y.is_finite() {
            true => (f64::from(y) - e).abs() <= bound * e.abs().max(1.0),
            false => y == rounded || y.is_nan() && rounded.is_nan(),
        };
        assert!(fine, "{what} of {x}: {y}, expected {rounded}");
    }
}

fn specials() -> Vec<f32> {
    let some = [0.0f32, 1e-7, 1e-3, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 5.0];
    let more = [8.0, 16.0, 50.0, 87.0, 100.0, 1e4, 1e9, f32::INFINITY];
    let all = some.iter().chain(&more).flat_map(|&x| [x, -x]);
    all.chain([f32::NAN]).collect()
}

fn exactness(device: &Device) -> f64 {
    if device.is_gpu() { 4e-5 } else { 1e-6 }
}

#[test]
fn functions_of_one_number() {
    let mut r = Random::new(901);
    for n in [1, 17, 1000] {
        let mut x = r.uniform(n, -6.0, 6.0);
        if n > 100 {
            let special = specials();
            x[3..3 + special.len()].copy_from_slice(&special);
        }
        for (kind, formula) in ALL {
            let expected: Vec<_> = x.iter().map(|&x| formula(x.into())).collect();
            for (name, device) in devices() {
                let found = nd::unary(*kind, &tensor(&x, [n], device)).unwrap().to_vec().unwrap();
                let what = format!("{kind:?}, {name}");
                each_close(&what, &x, &found, &expected, exactness(device));
            }
        }
    }
}

/// Of large numbers a sine is as exact as these are.
#[test]
fn sines_and_what_is_made_of_them() {
    let x = Random::new(902).uniform(300, -10.0, 10.0);
    let all: [(Unary, Formula); 3] =
        [(Unary::Sin, f64::sin), (Unary::Cos, f64::cos), (Unary::Tan, f64::tan)];
    for (name, device) in devices() {
        for (kind, formula) in all {
            let x: Vec<_> = x.iter().copied().filter(|&x| x.cos().abs() > 0.1).collect();
            let expected: Vec<_> = x.iter().map(|&x| formula(x.into())).collect();
            let found = nd::unary(kind, &tensor(&x, [x.len()], device)).unwrap().to_vec().unwrap();
            each_close(&format!("{kind:?}, {name}"), &x, &found, &expected, 1e-4);
            let ends = tensor(&[f32::NAN, f32::INFINITY, -f32::INFINITY], [3], device);
            let found = nd::unary(kind, &ends).unwrap().to_vec().unwrap();
            assert!(found.iter().all(|y| y.is_nan()), "{kind:?}, {name}: {found:?}");
        }
    }
}

fn floored(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
}

fn either(a: f64, b: f64, is_a: bool) -> f64 {
    match a.is_nan() || b.is_nan() {
        true => f64::NAN,
        false if is_a => a,
        false => b,
    }
}

type Pair = fn(f64, f64) -> f64;

const PAIRS: &[(Binary, Pair)] = &[
    (Binary::Add, |a, b| a + b),
    (Binary::Sub, |a, b| a - b),
    (Binary::Mul, |a, b| a * b),
    (Binary::Div, |a, b| a / b),
    (Binary::IntDiv, |a, b| (a / b).trunc()),
    (Binary::Pow, f64::powf),
    (Binary::Min, |a, b| either(a, b, a < b)),
    (Binary::Max, |a, b| either(a, b, a > b)),
    (Binary::Mod, floored),
    (Binary::Fmod, |a, b| a % b),
    (Binary::Prelu, |a, b| if a < 0.0 { a * b } else { a }),
    (Binary::Equal, |a, b| truth(a == b)),
    (Binary::Less, |a, b| truth(a < b)),
    (Binary::LessOrEqual, |a, b| truth(a <= b)),
    (Binary::Greater, |a, b| truth(a > b)),
    (Binary::GreaterOrEqual, |a, b| truth(a >= b)),
    (Binary::And, |a, b| truth(a != 0.0 && b != 0.0)),
    (Binary::Or, |a, b| truth(a != 0.0 || b != 0.0)),
    (Binary::Xor, |a, b| truth((a != 0.0) != (b != 0.0))),
];

#[test]
fn functions_of_two_numbers() {
    let some = [0.0f32, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 7.0, 10.0, 40.0, f32::INFINITY];
    let all: Vec<f32> = some.iter().flat_map(|&x| [x, -x]).chain([f32::NAN]).collect();
    let n = all.len();
    for (kind, formula) in PAIRS {
        let pairs = all.iter().flat_map(|&a| all.iter().map(move |&b| formula(a.into(), b.into())));
        let expected: Vec<_> = pairs.collect();
        let a: Vec<_> = all.iter().flat_map(|&a| vec![a; n]).collect();
        for (name, device) in devices() {
            let (a, b) = (tensor(&a, [n, n], device), tensor(&all, [n], device));
            let found = nd::binary(*kind, &a, &b).unwrap().to_vec().unwrap();
            for (i, (&y, &e)) in found.iter().zip(&expected).enumerate() {
                let (a, b) = (all[i / n], all[i % n]);
                // A remainder of quotients that no float tells apart.
                let rest = matches!(kind, Binary::Mod | Binary::Fmod) && device.is_gpu();
                if rest && (a.is_infinite() != b.is_infinite() || a.is_nan()) {
                    continue;
                }
                let what = format!("{kind:?} of {a} and {b}, {name}");
                each_close(&what, &[a], &[y], &[e], exactness(device));
            }
        }
    }
}

/// Shapes that go together, in all ways that there are; some are empty.
const SHAPES: &[[&[usize]; 2]] = &[
    [&[], &[]],
    [&[1], &[]],
    [&[5], &[]],
    [&[17], &[17]],
    [&[3, 1], &[1, 4]],
    [&[2, 3, 4], &[4]],
    [&[2, 3, 4], &[3, 1]],
    [&[2, 1, 4], &[2, 3, 1]],
    [&[4, 1, 6], &[5, 6]],
    [&[70, 33], &[33]],
    [&[70, 33], &[70, 1]],
    [&[2, 1, 3, 1, 2], &[1, 5, 1, 4, 1]],
    [&[1, 2, 1, 2, 1, 2, 1], &[2, 1, 2, 1, 2, 1, 2]],
    [&[3, 7, 301], &[1, 7, 1]],
    [&[40_001], &[40_001]],
    [&[40_001], &[1]],
    [&[1], &[0, 3]],
    [&[0], &[1]],
    [&[2, 0, 1], &[3]],
];

#[test]
fn shapes_are_broadcast() {
    let mut r = Random::new(903);
    for [a, b] in SHAPES {
        for turned in [false, true] {
            let (a, b) = if turned { (b, a) } else { (a, b) };
            let (x, y) = (Nd::random(&mut r, a), Nd::random(&mut r, b));
            let shape = nd::broadcast("test", &[a, b]).unwrap();
            for kind in [Binary::Sub, Binary::Less] {
                let f = PAIRS.iter().find(|pair| pair.0 == kind).unwrap().1;
                let expected = Nd::build(&shape, |at| f(x.spread(at), y.spread(at)));
                let what = format!("{kind:?} of {a:?} and {b:?}");
                everywhere(&what, 1e-6, &expected, |device| {
                    nd::binary(kind, &x.on(device), &y.on(device))
                });
            }
        }
    }
    refused(|device| {
        nd::binary(Binary::Add, &tensor(&[0.0; 2], [2], device), &tensor(&[0.0; 3], [3], device))
    });
    let cpus = [1, 2].map(|n| tensor(&[0.0], [1], &Device::cpu_with_threads(n).unwrap()));
    assert!(nd::binary(Binary::Add, &cpus[0], &cpus[1]).is_err());
}

#[test]
fn functions_of_three_numbers() {
    let mut r = Random::new(904);
    let shapes: [[&[usize]; 3]; 9] = [
        [&[], &[], &[]],
        [&[2, 3], &[2, 3], &[2, 3]],
        [&[2, 1], &[3], &[]],
        [&[1, 3, 1], &[2, 1, 1], &[5]],
        [&[3, 5, 33], &[5, 1], &[5, 1]],
        [&[65, 70], &[1], &[65, 1]],
        [&[1], &[9, 4], &[4]],
        [&[0, 2], &[1, 2], &[2]],
        [&[20_001], &[1], &[1]],
    ];
    for of in shapes {
        let [mut c, a, b] = of.map(|shape| Nd::random(&mut r, shape));
        let shape = nd::broadcast("test", &of).unwrap();
        let sums = Nd::build(&shape, |at| c.spread(at) * a.spread(at) + b.spread(at));
        everywhere(&format!("{of:?}"), 1e-6, &sums, |device| {
            nd::multiply_add(&c.on(device), &a.on(device), &b.on(device))
        });
        c.data.iter_mut().for_each(|c| *c = if *c < 0.0 { 0.0 } else { *c });
        let chosen =
            Nd::build(&shape, |at| if c.spread(at) == 0.0 { b.spread(at) } else { a.spread(at) });
        everywhere(&format!("select of {of:?}"), 0.0, &chosen, |device| {
            nd::select(&c.on(device), &a.on(device), &b.on(device))
        });
    }
    for (name, device) in devices() {
        let [c, a, b] =
            [[0.0, f32::NAN], [f32::NAN, 2.0], [3.0, 4.0]].map(|x| tensor(&x, [2], device));
        assert_eq!(nd::select(&c, &a, &b).unwrap().to_vec().unwrap(), [3.0, 2.0], "{name}");
        let sums = nd::multiply_add(&c, &a, &b).unwrap().to_vec().unwrap();
        assert!(sums.iter().all(|y| y.is_nan()), "{name}");
    }
}
