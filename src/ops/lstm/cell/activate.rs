//! The activations of gates on the CPU's vectors, and their slopes.

use super::options::{Cell, GateActivation};
use crate::ops::common::math::{exp_m1, sigmoid, softplus, tanh};
use pulp::Simd;

#[inline(always)]
pub(super) fn activate<S: Simd>(simd: S, activation: GateActivation, x: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    let (zero, one) = (c(0.0), c(1.0));
    // What is no number is not below another, and stays.
    let negative = simd.less_than_f32s(x, zero);
    match activation {
        GateActivation::Sigmoid => sigmoid(simd, x),
        GateActivation::Tanh => tanh(simd, x),
        GateActivation::Relu => simd.select_f32s(negative, zero, x),
        GateActivation::Affine { alpha, beta } => simd.mul_add_f32s(c(alpha), x, c(beta)),
        GateActivation::HardSigmoid { alpha, beta } => {
            let y = simd.mul_add_f32s(c(alpha), x, c(beta));
            let y = simd.select_f32s(simd.less_than_f32s(y, zero), zero, y);
            simd.select_f32s(simd.greater_than_f32s(y, one), one, y)
        }
        GateActivation::LeakyRelu { alpha } => {
            simd.select_f32s(negative, simd.mul_f32s(c(alpha), x), x)
        }
        GateActivation::ScaledTanh { alpha, beta } => {
            simd.mul_f32s(c(alpha), tanh(simd, simd.mul_f32s(c(beta), x)))
        }
        GateActivation::Elu { alpha } => {
            simd.select_f32s(negative, simd.mul_f32s(c(alpha), exp_m1(simd, x)), x)
        }
        GateActivation::Softsign => simd.div_f32s(x, simd.add_f32s(one, simd.abs_f32s(x))),
        GateActivation::Softplus => softplus(simd, x),
        GateActivation::ThresholdedRelu { alpha } => {
            simd.select_f32s(simd.less_than_or_equal_f32s(x, c(alpha)), zero, x)
        }
    }
}

/// The slope of an activation, from its value.
#[inline(always)]
pub(super) fn slope<S: Simd>(simd: S, activation: GateActivation, y: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    let (zero, one) = (c(0.0), c(1.0));
    let negative = simd.less_than_f32s(y, zero);
    let positive = simd.greater_than_f32s(y, zero);
    let slope = match activation {
        GateActivation::Sigmoid => return simd.mul_f32s(y, simd.sub_f32s(one, y)),
        GateActivation::Tanh => return simd.sub_f32s(one, simd.mul_f32s(y, y)),
        GateActivation::Affine { alpha, .. } => return c(alpha),
        GateActivation::ScaledTanh { alpha, beta } => {
            let square = simd.div_f32s(simd.mul_f32s(y, y), c(alpha));
            return simd.mul_f32s(c(beta), simd.sub_f32s(c(alpha), square));
        }
        GateActivation::Softsign => {
            let rest = simd.sub_f32s(one, simd.abs_f32s(y));
            return simd.mul_f32s(rest, rest);
        }
        GateActivation::Softplus => {
            return simd.neg_f32s(exp_m1(simd, simd.neg_f32s(y)));
        }
        GateActivation::Relu => simd.select_f32s(positive, one, zero),
        GateActivation::HardSigmoid { alpha, .. } => {
            let below = simd.select_f32s(simd.less_than_f32s(y, one), c(alpha), zero);
            simd.select_f32s(positive, below, zero)
        }
        GateActivation::LeakyRelu { alpha } => simd.select_f32s(negative, c(alpha), one),
        GateActivation::Elu { alpha } => {
            simd.select_f32s(negative, simd.add_f32s(y, c(alpha)), one)
        }
        GateActivation::ThresholdedRelu { .. } => {
            simd.select_f32s(simd.equal_f32s(y, zero), zero, one)
        }
    };
    // The comparisons would make a number of a NaN.
    simd.select_f32s(simd.equal_f32s(y, y), slope, y)
}

/// Which values an activation has where a clip holds what comes in, low and high.
pub(crate) fn held_values(activation: GateActivation, clip: f32) -> [f32; 2] {
    let simd = pulp::Scalar::new();
    let [a, b] = [clip, -clip].map(|x| activate(simd, activation, x));
    [a.min(b), a.max(b)]
}

/// Between which values of a gate, and of g, no clip holds what comes in; `None` without a clip.
#[derive(Clone, Copy)]
pub(crate) struct Free {
    pub(super) gate: Option<[f32; 2]>,
    pub(super) g: Option<[f32; 2]>,
}

impl Cell {
    pub(crate) fn free(&self) -> Free {
        let between = |activation| {
            let [low, high] = held_values(activation, self.clip?);
            // The value may have been rounded otherwise than here.
            Some([low + 1e-6 * low.abs(), high - 1e-6 * high.abs()])
        };
        Free { gate: between(self.recurrent), g: between(self.input) }
    }
}

/// The slope of an activation behind a clip, from its value: none where the clip holds.
#[inline(always)]
pub(super) fn clipped_slope<S: Simd>(
    simd: S,
    activation: GateActivation,
    free: Option<[f32; 2]>,
    y: S::f32s,
) -> S::f32s {
    let found = slope(simd, activation, y);
    let Some([low, high]) = free else { return found };
    let held = simd.or_m32s(
        simd.less_than_or_equal_f32s(y, simd.splat_f32s(low)),
        simd.greater_than_or_equal_f32s(y, simd.splat_f32s(high)),
    );
    let found = simd.select_f32s(held, simd.splat_f32s(0.0), found);
    simd.select_f32s(simd.equal_f32s(y, y), found, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::bytemuck::cast_slice;

    const ALL: [GateActivation; 12] = [
        GateActivation::Sigmoid,
        GateActivation::Tanh,
        GateActivation::Relu,
        GateActivation::Affine { alpha: 0.5, beta: 0.1 },
        GateActivation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        GateActivation::LeakyRelu { alpha: 0.1 },
        GateActivation::ScaledTanh { alpha: 1.7, beta: 0.6 },
        GateActivation::ScaledTanh { alpha: -0.9, beta: 1.4 },
        GateActivation::Elu { alpha: 0.8 },
        GateActivation::Softsign,
        GateActivation::Softplus,
        GateActivation::ThresholdedRelu { alpha: 0.2 },
    ];

    /// The activation of each number, and the slopes of those values without a clip and with one of 2.
    struct Apply<'a>(GateActivation, &'a [f32]);

    impl pulp::WithSimd for Apply<'_> {
        type Output = Vec<[f32; 3]>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let Self(activation, xs) = self;
            let free = Cell { recurrent: activation, clip: Some(2.0), ..Cell::default() }.free();
            let mut found = Vec::new();
            for &x in xs {
                let y = activate(simd, activation, simd.splat_f32s(x));
                let slopes = [None, free.gate].map(|f| clipped_slope(simd, activation, f, y));
                let all = [y, slopes[0], slopes[1]];
                found.push(all.map(|v| cast_slice::<S::f32s, f32>(&[v])[0]));
            }
            found
        }
    }

    /// In vectors, and one by one.
    fn both(activation: GateActivation, xs: &[f32]) -> [Vec<[f32; 3]>; 2] {
        [pulp::Arch::new(), pulp::Arch::Scalar].map(|arch| arch.dispatch(Apply(activation, xs)))
    }

    /// The value at `x`, and the slope where the value is `y`.
    fn exact(activation: GateActivation, x: f64, y: f64) -> [f64; 2] {
        let step = |on: bool| f64::from(u8::from(on));
        let (_, alpha, beta) = activation.parts();
        let (alpha, beta) = (f64::from(alpha), f64::from(beta));
        match activation {
            GateActivation::Sigmoid => [1.0 / (1.0 + (-x).exp()), y * (1.0 - y)],
            GateActivation::Tanh => [x.tanh(), 1.0 - y * y],
            GateActivation::Relu => [x.max(0.0), step(y > 0.0)],
            GateActivation::Affine { .. } => [alpha * x + beta, alpha],
            GateActivation::HardSigmoid { .. } => {
                [(alpha * x + beta).clamp(0.0, 1.0), alpha * step(y > 0.0 && y < 1.0)]
            }
            GateActivation::LeakyRelu { .. } => {
                [if x < 0.0 { alpha * x } else { x }, if y < 0.0 { alpha } else { 1.0 }]
            }
            GateActivation::ScaledTanh { .. } => {
                [alpha * (beta * x).tanh(), beta * (alpha - y * y / alpha)]
            }
            GateActivation::Elu { .. } => [
                if x < 0.0 { alpha * x.exp_m1() } else { x },
                if y < 0.0 { y + alpha } else { 1.0 },
            ],
            GateActivation::Softsign => [x / (1.0 + x.abs()), (1.0 - y.abs()).powi(2)],
            GateActivation::Softplus => [x.max(0.0) + (-x.abs()).exp().ln_1p(), -(-y).exp_m1()],
            GateActivation::ThresholdedRelu { .. } => {
                [if x > alpha { x } else { 0.0 }, step(y != 0.0)]
            }
        }
    }

    #[test]
    fn activations_and_slopes_agree_with_double_precision() {
        let mut xs: Vec<f32> = (-40_000..=40_000).map(|i| i as f32 * 5e-4 + 1e-5).collect();
        xs.extend([1e-30, -1e-30, 1e-8, -1e-8, -1e-5, 1e-5, 60.0, -60.0]);
        for activation in ALL {
            for found in both(activation, &xs) {
                for (&x, [y, slope, clipped]) in xs.iter().zip(found) {
                    let [value, exact_slope] = exact(activation, x.into(), y.into());
                    // Sums of numbers of either sign are as exact as these.
                    let size = match activation {
                        GateActivation::Affine { alpha, beta }
                        | GateActivation::HardSigmoid { alpha, beta } => (alpha * x).abs() + beta,
                        _ => (value as f32).abs(),
                    };
                    let near = |found: f32, exact: f64, size: f32, ulps: f64| {
                        let ulp = f64::from(size.max(1e-37)) * f64::from(f32::EPSILON);
                        (f64::from(found) - exact).abs() <= ulps * ulp
                    };
                    // A product more than what is below 3 ulp.
                    assert!(near(y, value, size, 4.0), "{activation:?}({x}) = {y}, not {value}");
                    let size = (exact_slope as f32).abs().max(match activation {
                        GateActivation::Softplus => 0.0,
                        _ => 1.0,
                    });
                    assert!(
                        near(slope, exact_slope, size, 4.0),
                        "slope of {activation:?} at {y}: {slope}, not {exact_slope}"
                    );
                    // A value that is rounded to where the clip holds says no more than that.
                    if x.abs() >= 2.0 {
                        assert_eq!(clipped, 0.0, "clipped {activation:?} at {x}");
                    } else if x.abs() < 1.999 {
                        let expected = match activation {
                            // Constant below.
                            GateActivation::Relu if x < 0.0 => 0.0,
                            GateActivation::ThresholdedRelu { .. } if y == 0.0 => 0.0,
                            _ => slope,
                        };
                        assert_eq!(clipped, expected, "clipped {activation:?} at {x}");
                    }
                }
            }
        }
    }

    #[test]
    fn specials_stay_what_they_are() {
        let inf = f32::INFINITY;
        for activation in ALL {
            for found in both(activation, &[f32::NAN, inf, -inf, -0.0]) {
                assert!(found[0][0].is_nan() && found[0][2].is_nan(), "{activation:?}");
                let constant = matches!(activation, GateActivation::Affine { .. });
                assert_eq!(found[0][1].is_nan(), !constant, "{activation:?}");
                let [high, low, zero] = [1, 2, 3].map(|at: usize| found[at][0]);
                let expected = match activation {
                    GateActivation::Sigmoid | GateActivation::HardSigmoid { .. } => [1.0, 0.0],
                    GateActivation::Tanh => [1.0, -1.0],
                    GateActivation::Relu | GateActivation::ThresholdedRelu { .. } => [inf, 0.0],
                    GateActivation::Affine { .. } | GateActivation::LeakyRelu { .. } => [inf, -inf],
                    GateActivation::ScaledTanh { alpha, .. } => [alpha, -alpha],
                    GateActivation::Elu { alpha } => [inf, -alpha],
                    GateActivation::Softsign => {
                        assert!(high.is_nan() && low.is_nan());
                        continue;
                    }
                    GateActivation::Softplus => [inf, 0.0],
                };
                assert_eq!(high, expected[0], "{activation:?}");
                // A sigmoid is never quite 0.
                assert!((low - expected[1]).abs() < 1e-37 || low == expected[1], "{activation:?}");
                let kept = matches!(
                    activation,
                    GateActivation::Relu
                        | GateActivation::LeakyRelu { .. }
                        | GateActivation::Elu { .. }
                );
                if kept {
                    assert_eq!(zero.to_bits(), (-0.0f32).to_bits(), "{activation:?}");
                }
            }
        }
    }
}
