//! Functions of one number.

use super::functions::{self, Function};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::map;
use crate::ops::common::{ACTIVATIONS, ELEMENTWISE, INDEX, IS_NAN, elementwise};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "unary",
    parts: &[IS_NAN, ACTIVATIONS, INDEX, ELEMENTWISE, wgsl!("nd/unary.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || (0..functions::COUNT).map(|kind| vec![("KIND", kind)]).collect(),
    ..Kernel::PLAIN
};

/// A function of one number, named as ONNX's operators; those with options as they are named there. NaN gives
/// NaN, but for the booleans: of them NaN is true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Unary {
    Neg,
    Abs,
    Sqrt,
    Exp,
    Log,
    Reciprocal,
    Sign,
    Floor,
    Ceil,
    /// To the nearest whole number, halves to the even one.
    Round,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Erf,
    Relu,
    /// alpha x below 0.
    LeakyRelu(f32),
    /// 0 unless above alpha.
    ThresholdedRelu(f32),
    /// alpha (e^x - 1) below 0.
    Elu(f32),
    /// gamma x, below 0 gamma alpha (e^x - 1): alpha and gamma.
    Selu(f32, f32),
    /// alpha (e^(x / alpha) - 1) below 0.
    Celu(f32),
    Sigmoid,
    /// alpha x + beta, at least 0 and at most 1.
    HardSigmoid(f32, f32),
    HardSwish,
    /// x sigmoid(alpha x); SiLU with 1.
    Swish(f32),
    Softplus,
    Softsign,
    Mish,
    /// By the error function.
    Gelu,
    /// By tanh.
    GeluTanh,
    /// At least the first, at most the second.
    Clip(f32, f32),
    /// Nearer to 0 by a bias, and 0 within lambda of it: bias and lambda.
    Shrink(f32, f32),
}

impl Unary {
    /// The number by which the kernel and its twin know it, and its options.
    fn function(self) -> Function {
        let (kind, a, b) = match self {
            Self::Neg => (functions::NEG, 0.0, 0.0),
            Self::Abs => (functions::ABS, 0.0, 0.0),
            Self::Sqrt => (functions::SQRT, 0.0, 0.0),
            Self::Exp => (functions::EXP, 0.0, 0.0),
            Self::Log => (functions::LOG, 0.0, 0.0),
            Self::Reciprocal => (functions::RECIPROCAL, 0.0, 0.0),
            Self::Sign => (functions::SIGN, 0.0, 0.0),
            Self::Floor => (functions::FLOOR, 0.0, 0.0),
            Self::Ceil => (functions::CEIL, 0.0, 0.0),
            Self::Round => (functions::ROUND, 0.0, 0.0),
            Self::Sin => (functions::SIN, 0.0, 0.0),
            Self::Cos => (functions::COS, 0.0, 0.0),
            Self::Tan => (functions::TAN, 0.0, 0.0),
            Self::Asin => (functions::ASIN, 0.0, 0.0),
            Self::Acos => (functions::ACOS, 0.0, 0.0),
            Self::Atan => (functions::ATAN, 0.0, 0.0),
            Self::Sinh => (functions::SINH, 0.0, 0.0),
            Self::Cosh => (functions::COSH, 0.0, 0.0),
            Self::Tanh => (functions::TANH, 0.0, 0.0),
            Self::Asinh => (functions::ASINH, 0.0, 0.0),
            Self::Acosh => (functions::ACOSH, 0.0, 0.0),
            Self::Atanh => (functions::ATANH, 0.0, 0.0),
            Self::Erf => (functions::ERF, 0.0, 0.0),
            Self::Relu => (functions::RELU, 0.0, 0.0),
            Self::LeakyRelu(alpha) => (functions::LEAKY_RELU, alpha, 0.0),
            Self::ThresholdedRelu(alpha) => (functions::THRESHOLDED_RELU, alpha, 0.0),
            Self::Elu(alpha) => (functions::ELU, alpha, 0.0),
            Self::Selu(alpha, gamma) => (functions::SELU, alpha, gamma),
            Self::Celu(alpha) => (functions::CELU, alpha, 0.0),
            Self::Sigmoid => (functions::SIGMOID, 0.0, 0.0),
            Self::HardSigmoid(alpha, beta) => (functions::HARD_SIGMOID, alpha, beta),
            Self::HardSwish => (functions::HARD_SWISH, 0.0, 0.0),
            Self::Swish(alpha) => (functions::SWISH, alpha, 0.0),
            Self::Softplus => (functions::SOFTPLUS, 0.0, 0.0),
            Self::Softsign => (functions::SOFTSIGN, 0.0, 0.0),
            Self::Mish => (functions::MISH, 0.0, 0.0),
            Self::Gelu => (functions::GELU, 0.0, 0.0),
            Self::GeluTanh => (functions::GELU_TANH, 0.0, 0.0),
            Self::Clip(low, high) => (functions::CLIP, low, high),
            Self::Shrink(bias, lambda) => (functions::SHRINK, bias, lambda),
        };
        Function { kind, a, b }
    }
}

/// A function of each number of `x`.
pub(crate) fn unary(kind: Unary, x: &Tensor) -> Result<Tensor> {
    let y = Tensor::empty(x.shape(), &x.device())?;
    let function = kind.function();
    match x.gpu() {
        Some(gpu) => elementwise(&KERNEL, x.len())
            .constants(&[("KIND", function.kind)])
            .words(&[function.a.to_bits(), function.b.to_bits()])
            .run(gpu, &[Some(x), Some(&y)])?,
        None => {
            let x = x.cpu();
            y.cpu_mut(|y| map(&function, [&x], [y]));
        }
    }
    Ok(y)
}
