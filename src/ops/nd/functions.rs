//! What [`super::unary`] computes on the CPU, in vectors where `math.rs` has what is needed; the rest lane by lane.

use crate::ops::common::math;
use crate::ops::common::vector::Map;
use pulp::Simd;

pub(super) const NEG: u32 = 0;
pub(super) const ABS: u32 = 1;
pub(super) const SQRT: u32 = 2;
pub(super) const EXP: u32 = 3;
pub(super) const LOG: u32 = 4;
pub(super) const RECIPROCAL: u32 = 5;
pub(super) const SIGN: u32 = 6;
pub(super) const FLOOR: u32 = 7;
pub(super) const CEIL: u32 = 8;
pub(super) const ROUND: u32 = 9;
pub(super) const SHRINK: u32 = 10;
pub(super) const SIN: u32 = 11;
pub(super) const COS: u32 = 12;
pub(super) const TAN: u32 = 13;
pub(super) const ASIN: u32 = 14;
pub(super) const ACOS: u32 = 15;
pub(super) const ATAN: u32 = 16;
pub(super) const SINH: u32 = 17;
pub(super) const COSH: u32 = 18;
pub(super) const TANH: u32 = 19;
pub(super) const ASINH: u32 = 20;
pub(super) const ACOSH: u32 = 21;
pub(super) const ATANH: u32 = 22;
pub(super) const ERF: u32 = 23;
pub(super) const RELU: u32 = 24;
pub(super) const LEAKY_RELU: u32 = 25;
pub(super) const THRESHOLDED_RELU: u32 = 26;
pub(super) const ELU: u32 = 27;
pub(super) const SELU: u32 = 28;
pub(super) const CELU: u32 = 29;
pub(super) const SIGMOID: u32 = 30;
pub(super) const HARD_SIGMOID: u32 = 31;
pub(super) const HARD_SWISH: u32 = 32;
pub(super) const SWISH: u32 = 33;
pub(super) const SOFTPLUS: u32 = 34;
pub(super) const SOFTSIGN: u32 = 35;
pub(super) const MISH: u32 = 36;
pub(super) const GELU: u32 = 37;
pub(super) const GELU_TANH: u32 = 38;
pub(super) const CLIP: u32 = 39;
/// How many there are; their numbers are the kernel's `KIND`.
pub(super) const COUNT: u32 = 40;

/// A function by its number, and its options.
#[derive(Clone, Copy)]
pub(super) struct Function {
    pub(super) kind: u32,
    pub(super) a: f32,
    pub(super) b: f32,
}

/// `f` of each lane.
#[inline(always)]
fn lanes<S: Simd>(x: S::f32s, f: impl Fn(f32) -> f32) -> S::f32s {
    let mut vector = [x];
    let lanes = pulp::bytemuck::cast_slice_mut::<S::f32s, f32>(&mut vector);
    lanes.iter_mut().for_each(|lane| *lane = f(*lane));
    vector[0]
}

/// p[0] + p[1] x + p[2] x^2 + ...
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, p: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(p[N - 1]);
    for &coefficient in p[..N - 1].iter().rev() {
        sum = simd.mul_add_f32s(sum, x, simd.splat_f32s(coefficient));
    }
    sum
}

/// The error function: x P(x^2) below 0.93, and 1 - e^-Q(|x|) up to 4, past which it is 1. The coefficients were
/// fitted for the least relative error, 2e-8, by iterated weighted least squares.
#[inline(always)]
fn erf<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    let t = simd.abs_f32s(x);
    let near = [
        std::f32::consts::FRAC_2_SQRT_PI,
        -0.376_124_8,
        0.112_816_83,
        -2.676_171_6e-2,
        4.985_937e-3,
        -5.953_725e-4,
    ];
    let near = simd.mul_f32s(x, polynomial(simd, simd.mul_f32s(x, x), near));
    let far = [
        5.028_384_6e-4,
        1.126_334_2,
        0.639_574_3,
        0.101_704_516,
        -2.108_633_5e-2,
        2.738_833_4e-3,
        -1.628_953_3e-4,
    ];
    let held = simd.select_f32s(simd.less_than_f32s(t, c(4.0)), t, c(4.0));
    let far = simd.neg_f32s(polynomial(simd, held, far));
    let far = simd.sub_f32s(c(1.0), math::exp(simd, far));
    let far = simd.select_f32s(simd.less_than_f32s(t, c(4.0)), far, c(1.0));
    let far = simd.select_f32s(simd.less_than_f32s(x, c(0.0)), simd.neg_f32s(far), far);
    let y = simd.select_f32s(simd.less_than_f32s(t, c(0.93)), near, far);
    simd.select_f32s(simd.equal_f32s(x, x), y, x)
}

/// At least `low` and at most `high`; a NaN stays.
#[inline(always)]
fn clip<S: Simd>(simd: S, x: S::f32s, low: f32, high: f32) -> S::f32s {
    let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    simd.select_f32s(simd.greater_than_f32s(x, high), high, x)
}

/// y, but 0 where x is -infinity: times a gate of 0 that would be no number, but the limit is 0.
#[inline(always)]
fn sunk<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
    let is = simd.equal_f32s(x, simd.splat_f32s(f32::NEG_INFINITY));
    simd.select_f32s(is, simd.splat_f32s(-0.0), y)
}

/// Half of x times a gate from 0 to 2.
#[inline(always)]
fn gated<S: Simd>(simd: S, x: S::f32s, gate: S::f32s) -> S::f32s {
    sunk(simd, x, simd.mul_f32s(simd.mul_f32s(simd.splat_f32s(0.5), x), gate))
}

impl Map<1, 1> for Function {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, _: usize, [x]: [S::f32s; 1], _: [S::f32s; 1]) -> [S::f32s; 1] {
        let c = |v: f32| simd.splat_f32s(v);
        let (zero, one, a, b) = (c(0.0), c(1.0), self.a, self.b);
        let below = simd.less_than_f32s(x, zero);
        [match self.kind {
            NEG => simd.neg_f32s(x),
            ABS => simd.abs_f32s(x),
            SQRT => simd.sqrt_f32s(x),
            EXP => math::exp(simd, x),
            LOG => math::ln(simd, x),
            RECIPROCAL => simd.div_f32s(one, x),
            SIGN => {
                let up = simd.select_f32s(simd.greater_than_f32s(x, zero), one, zero);
                let y = simd.select_f32s(below, c(-1.0), up);
                simd.select_f32s(simd.equal_f32s(x, x), y, x)
            }
            FLOOR => lanes::<S>(x, f32::floor),
            CEIL => lanes::<S>(x, f32::ceil),
            ROUND => lanes::<S>(x, f32::round_ties_even),
            SIN => lanes::<S>(x, f32::sin),
            COS => lanes::<S>(x, f32::cos),
            TAN => lanes::<S>(x, f32::tan),
            ASIN => lanes::<S>(x, f32::asin),
            ACOS => lanes::<S>(x, f32::acos),
            ATAN => lanes::<S>(x, f32::atan),
            SINH => lanes::<S>(x, f32::sinh),
            COSH => lanes::<S>(x, f32::cosh),
            TANH => math::tanh(simd, x),
            ASINH => lanes::<S>(x, |x| f64::from(x).asinh() as f32),
            ACOSH => lanes::<S>(x, |x| f64::from(x).acosh() as f32),
            ATANH => lanes::<S>(x, |x| f64::from(x).atanh() as f32),
            ERF => erf(simd, x),
            RELU => simd.select_f32s(below, zero, x),
            LEAKY_RELU => simd.select_f32s(below, simd.mul_f32s(c(a), x), x),
            THRESHOLDED_RELU => {
                let y = simd.select_f32s(simd.greater_than_f32s(x, c(a)), x, zero);
                simd.select_f32s(simd.equal_f32s(x, x), y, x)
            }
            ELU => simd.select_f32s(below, simd.mul_f32s(c(a), math::exp_m1(simd, x)), x),
            SELU => {
                let low = simd.mul_f32s(c(b), simd.mul_f32s(c(a), math::exp_m1(simd, x)));
                simd.select_f32s(below, low, simd.mul_f32s(c(b), x))
            }
            CELU => {
                let low = math::exp_m1(simd, simd.div_f32s(x, c(a)));
                simd.select_f32s(below, simd.mul_f32s(c(a), low), x)
            }
            SIGMOID => math::sigmoid(simd, x),
            HARD_SIGMOID => clip(simd, simd.mul_add_f32s(c(a), x, c(b)), 0.0, 1.0),
            HARD_SWISH => {
                let gate = clip(simd, simd.add_f32s(simd.div_f32s(x, c(6.0)), c(0.5)), 0.0, 1.0);
                let low = simd.less_than_or_equal_f32s(x, c(-3.0));
                simd.select_f32s(low, zero, simd.mul_f32s(x, gate))
            }
            SWISH => {
                let y = simd.mul_f32s(x, math::sigmoid(simd, simd.mul_f32s(c(a), x)));
                if a > 0.0 { sunk(simd, x, y) } else { y }
            }
            SOFTPLUS => math::softplus(simd, x),
            SOFTSIGN => lanes::<S>(x, |x| match x.is_infinite() {
                true => x.signum(),
                false => x / (1.0 + x.abs()),
            }),
            MISH => sunk(simd, x, simd.mul_f32s(x, math::tanh(simd, math::softplus(simd, x)))),
            GELU => {
                let root = std::f32::consts::FRAC_1_SQRT_2;
                gated(simd, x, simd.add_f32s(one, erf(simd, simd.mul_f32s(x, c(root)))))
            }
            GELU_TANH => {
                let cube = simd.mul_f32s(simd.mul_f32s(x, x), x);
                let inner = simd.mul_add_f32s(c(0.044_715), cube, x);
                gated(
                    simd,
                    x,
                    simd.add_f32s(one, math::tanh(simd, simd.mul_f32s(c(0.797_884_6), inner))),
                )
            }
            CLIP => clip(simd, x, a, b),
            // SHRINK
            _ => {
                let low =
                    simd.select_f32s(simd.less_than_f32s(x, c(-b)), simd.add_f32s(x, c(a)), zero);
                let high = simd.greater_than_f32s(x, c(b));
                let y = simd.select_f32s(high, simd.sub_f32s(x, c(a)), low);
                simd.select_f32s(simd.equal_f32s(x, x), y, x)
            }
        }]
    }
}
