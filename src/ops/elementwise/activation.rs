//! Elementwise activations, and their gradients.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, wgsl};
use crate::ops::common::vector::{Map, map};
use crate::ops::common::{ACTIVATIONS, ELEMENTWISE, INDEX, IS_NAN, elementwise, math};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "activation",
    parts: &[IS_NAN, ACTIVATIONS, INDEX, ELEMENTWISE, wgsl!("elementwise/activation.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: kinds,
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "activation_bwd",
    parts: &[IS_NAN, ACTIVATIONS, INDEX, ELEMENTWISE, wgsl!("elementwise/activation_bwd.wgsl")],
    bindings: &[("saved", Read), ("d_y", Read), ("d_x", Write)],
    variants: kinds,
    ..Kernel::PLAIN
};

fn kinds() -> Vec<Constants> {
    (0..=THRESHOLDED_RELU).map(|kind| vec![("KIND", kind)]).collect()
}

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Sigmoid,
    Tanh,
    Relu,
    Elu { alpha: f32 },
    Selu,
    Gelu,
    GeluTanh,
    Silu,
    Softplus,
    Softsign,
    HardSigmoid { alpha: f32, beta: f32 },
    LeakyRelu { alpha: f32 },
    Exp,
    Relu6,
    HardSilu,
    Mish,
    ThresholdedRelu { alpha: f32 },
}

// The kernels' `KIND`.
const SIGMOID: u32 = 0;
const TANH: u32 = 1;
const RELU: u32 = 2;
const ELU: u32 = 3;
const GELU: u32 = 4;
const GELU_TANH: u32 = 5;
const SILU: u32 = 6;
const SOFTPLUS: u32 = 7;
const SOFTSIGN: u32 = 8;
const HARD_SIGMOID: u32 = 9;
const LEAKY_RELU: u32 = 10;
const EXP: u32 = 11;
const RELU_6: u32 = 12;
const HARD_SILU: u32 = 13;
const MISH: u32 = 14;
const THRESHOLDED_RELU: u32 = 15;

/// Klambauer et al. 2017.
const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_SCALE: f32 = 1.050_701;

impl Kind {
    /// The kernels' `KIND`, alpha and beta.
    fn parts(self) -> (u32, [f32; 2]) {
        match self {
            Self::Sigmoid => (SIGMOID, [0.0; 2]),
            Self::Tanh => (TANH, [0.0; 2]),
            Self::Relu => (RELU, [0.0; 2]),
            Self::Elu { alpha } => (ELU, [alpha, 1.0]),
            Self::Selu => (ELU, [SELU_ALPHA * SELU_SCALE, SELU_SCALE]),
            Self::Gelu => (GELU, [0.0; 2]),
            Self::GeluTanh => (GELU_TANH, [0.0; 2]),
            Self::Silu => (SILU, [0.0; 2]),
            Self::Softplus => (SOFTPLUS, [0.0; 2]),
            Self::Softsign => (SOFTSIGN, [0.0; 2]),
            Self::HardSigmoid { alpha, beta } => (HARD_SIGMOID, [alpha, beta]),
            Self::LeakyRelu { alpha } => (LEAKY_RELU, [alpha, 0.0]),
            Self::Exp => (EXP, [0.0; 2]),
            Self::Relu6 => (RELU_6, [0.0; 2]),
            Self::HardSilu => (HARD_SILU, [0.0; 2]),
            Self::Mish => (MISH, [0.0; 2]),
            Self::ThresholdedRelu { alpha } => (THRESHOLDED_RELU, [alpha, 0.0]),
        }
    }

    /// Whether the slope is told from x, not from y.
    pub(crate) fn slope_is_of_x(self) -> bool {
        self.parts().0 > RELU
    }
}

/// act(x) of vectors, as the kernel.
struct Activate<const KIND: u32>([f32; 2]);

impl<const KIND: u32> Map<1, 1> for Activate<KIND> {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, _: usize, [x]: [S::f32s; 1], _: [S::f32s; 1]) -> [S::f32s; 1] {
        let c = |v: f32| simd.splat_f32s(v);
        let (zero, one) = (c(0.0), c(1.0));
        let [alpha, beta] = self.0.map(c);
        // Where a comparison with NaN is false, x goes on.
        let negative = simd.less_than_f32s(x, zero);
        [match KIND {
            SIGMOID => math::sigmoid(simd, x),
            TANH => math::tanh(simd, x),
            // Not a maximum: a NaN stays.
            RELU => simd.select_f32s(negative, zero, x),
            ELU => {
                let below = simd.mul_f32s(alpha, math::exp_m1(simd, x));
                simd.select_f32s(negative, below, simd.mul_f32s(beta, x))
            }
            GELU => simd.mul_f32s(x, normal(simd, x)),
            GELU_TANH => {
                let half = simd.mul_f32s(c(0.5), x);
                simd.mul_add_f32s(half, math::tanh(simd, gelu_inside(simd, x)), half)
            }
            SILU => simd.mul_f32s(x, math::sigmoid(simd, x)),
            SOFTPLUS => math::softplus(simd, x),
            SOFTSIGN => simd.div_f32s(x, simd.add_f32s(one, simd.abs_f32s(x))),
            HARD_SIGMOID => between(simd, simd.mul_add_f32s(alpha, x, beta), one),
            LEAKY_RELU => simd.select_f32s(negative, simd.mul_f32s(alpha, x), x),
            EXP => math::exp(simd, x),
            RELU_6 => between(simd, x, c(6.0)),
            HARD_SILU => {
                let part = simd.mul_add_f32s(x, c(1.0 / 6.0), c(0.5));
                simd.mul_f32s(x, between(simd, part, one))
            }
            MISH => simd.mul_f32s(x, math::tanh(simd, math::softplus(simd, x))),
            _ => simd.select_f32s(simd.less_than_or_equal_f32s(x, alpha), zero, x),
        }]
    }
}

/// From 0 to `most`; a NaN stays.
#[inline(always)]
fn between<S: Simd>(simd: S, x: S::f32s, most: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    let x = simd.select_f32s(simd.less_than_f32s(x, zero), zero, x);
    simd.select_f32s(simd.less_than_f32s(most, x), most, x)
}

/// The standard normal distribution up to x.
#[inline(always)]
fn normal<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let half = simd.splat_f32s(0.5);
    let erf = math::erf(simd, simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2)));
    simd.mul_add_f32s(half, erf, half)
}

/// sqrt(2 / pi).
const GELU_SCALE: f32 = 0.797_884_6;
const GELU_CUBE: f32 = 0.044_715;

/// What the tanh of [`Kind::GeluTanh`] is taken of.
#[inline(always)]
fn gelu_inside<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let square = simd.mul_f32s(x, x);
    let (scale, cube) = (simd.splat_f32s(GELU_SCALE), simd.splat_f32s(GELU_SCALE * GELU_CUBE));
    simd.mul_f32s(x, simd.mul_add_f32s(cube, square, scale))
}

/// d_y act'(x) of vectors: up to [`Kind::Relu`] from y, then from x.
struct Slope<const KIND: u32>([f32; 2]);

impl<const KIND: u32> Map<2, 1> for Slope<KIND> {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [v, d_y]: [S::f32s; 2],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        let c = |v: f32| simd.splat_f32s(v);
        let (zero, one) = (c(0.0), c(1.0));
        let [alpha, beta] = self.0.map(c);
        let not_above = |limit| simd.less_than_or_equal_f32s(v, limit);
        let inside = |x, high| {
            let low = simd.greater_than_f32s(x, zero);
            simd.and_m32s(low, simd.less_than_f32s(x, high))
        };
        let slope = match KIND {
            SIGMOID => return [simd.mul_f32s(simd.mul_f32s(d_y, v), simd.sub_f32s(one, v))],
            TANH => simd.sub_f32s(one, simd.mul_f32s(v, v)),
            RELU => return [simd.select_f32s(not_above(zero), zero, d_y)],
            ELU => {
                simd.select_f32s(not_above(zero), simd.mul_f32s(alpha, math::exp(simd, v)), beta)
            }
            GELU => {
                let held = between(simd, simd.abs_f32s(v), c(40.0));
                let power = simd.mul_f32s(simd.mul_f32s(held, held), c(-0.5));
                // 1 / sqrt(2 pi)
                let density = simd.mul_f32s(c(0.398_942_3), math::exp(simd, power));
                let odd = simd.select_f32s(simd.less_than_f32s(v, zero), simd.neg_f32s(held), held);
                simd.mul_add_f32s(odd, density, normal(simd, v))
            }
            GELU_TANH => {
                // Past 10 it is 0 or 1.
                let v = {
                    let held = between(simd, simd.abs_f32s(v), c(10.0));
                    simd.select_f32s(simd.less_than_f32s(v, zero), simd.neg_f32s(held), held)
                };
                let tanh = math::tanh(simd, gelu_inside(simd, v));
                let square = simd.mul_f32s(v, v);
                let inner = c(3.0 * GELU_CUBE * GELU_SCALE);
                let inner = simd.mul_add_f32s(inner, square, c(GELU_SCALE));
                let bend = simd.sub_f32s(one, simd.mul_f32s(tanh, tanh));
                let bend = simd.mul_f32s(simd.mul_f32s(bend, inner), v);
                simd.mul_f32s(c(0.5), simd.add_f32s(simd.add_f32s(one, tanh), bend))
            }
            SILU => {
                let s = math::sigmoid(simd, v);
                let rest = simd.mul_f32s(v, simd.sub_f32s(one, s));
                simd.mul_add_f32s(s, rest, s)
            }
            SOFTPLUS => math::sigmoid(simd, v),
            SOFTSIGN => {
                let part = simd.div_f32s(one, simd.add_f32s(one, simd.abs_f32s(v)));
                simd.mul_f32s(part, part)
            }
            HARD_SIGMOID => {
                let y = simd.mul_add_f32s(alpha, v, beta);
                simd.select_f32s(inside(y, one), alpha, zero)
            }
            LEAKY_RELU => simd.select_f32s(not_above(zero), alpha, one),
            EXP => math::exp(simd, v),
            RELU_6 => simd.select_f32s(inside(v, c(6.0)), one, zero),
            HARD_SILU => {
                let between = simd.mul_add_f32s(v, c(1.0 / 3.0), c(0.5));
                let low = simd.select_f32s(not_above(c(-3.0)), zero, between);
                simd.select_f32s(simd.less_than_f32s(v, c(3.0)), low, one)
            }
            MISH => {
                let tanh = math::tanh(simd, math::softplus(simd, v));
                let bend = simd.sub_f32s(one, simd.mul_f32s(tanh, tanh));
                let bend = simd.mul_f32s(bend, math::sigmoid(simd, v));
                simd.mul_add_f32s(v, bend, tanh)
            }
            _ => simd.select_f32s(not_above(alpha), zero, one),
        };
        [simd.mul_f32s(d_y, slope)]
    }
}

/// Runs an expression for the `KIND` of an activation, which vectors have as a constant.
macro_rules! for_kind {
    ($kind:expr, $each:ident => $run:expr) => {
        for_kind!(@ $kind, $each, $run, [
            SIGMOID, TANH, RELU, ELU, GELU, GELU_TANH, SILU, SOFTPLUS, SOFTSIGN, HARD_SIGMOID,
            LEAKY_RELU, EXP, RELU_6, HARD_SILU, MISH
        ])
    };
    (@ $kind:expr, $each:ident, $run:expr, [$($of:ident),*]) => {
        match $kind {
            $($of => {
                const $each: u32 = $of;
                $run
            })*
            _ => {
                const $each: u32 = THRESHOLDED_RELU;
                $run
            }
        }
    };
}

pub(crate) fn activation(kind: Kind, x: &Tensor) -> Result<Tensor> {
    let y = Tensor::empty(x.shape(), &x.device())?;
    let (number, options) = kind.parts();
    match x.gpu() {
        Some(gpu) => elementwise(&FORWARD, x.len())
            .constants(&[("KIND", number)])
            .words(&options.map(f32::to_bits))
            .run(gpu, &[Some(x), Some(&y)])?,
        None => {
            let x = x.cpu();
            y.cpu_mut(|y| for_kind!(number, KIND => map(&Activate::<KIND>(options), [&x], [y])));
        }
    }
    Ok(y)
}

/// The gradient of `x`, from `saved`: `y` = act(x) or, if [`Kind::slope_is_of_x`], `x`.
pub(crate) fn backward(kind: Kind, saved: &Tensor, d_y: &Tensor) -> Result<Tensor> {
    let d_x = Tensor::empty(saved.shape(), &saved.device())?;
    let (number, options) = kind.parts();
    match saved.gpu() {
        Some(gpu) => elementwise(&BACKWARD, saved.len())
            .constants(&[("KIND", number)])
            .words(&options.map(f32::to_bits))
            .run(gpu, &[Some(saved), Some(d_y), Some(&d_x)])?,
        None => {
            let (v, d_y) = (saved.cpu(), d_y.cpu());
            d_x.cpu_mut(|d_x| {
                for_kind!(number, KIND => map(&Slope::<KIND>(options), [&v, &d_y], [d_x]));
            });
        }
    }
    Ok(d_x)
}
