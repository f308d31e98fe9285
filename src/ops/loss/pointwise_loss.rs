//! Losses that compare number with number: of each row, and the gradient.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, wgsl};
use crate::ops::common::{
    ACTIVATIONS, ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, elementwise, last_axis, long_sum, product,
    switches,
};
use crate::ops::elementwise::activation::sigmoid;
use crate::{Result, Tensor};

pub(crate) static FORWARD: Kernel = Kernel {
    name: "pointwise_loss",
    parts: &[IS_NAN, ACTIVATIONS, INDEX, LONG_SUM, ELEMENTWISE, wgsl!("loss/pointwise_loss.wgsl")],
    bindings: &[("x", Read), ("y", Read), ("weights", Read), ("loss", Write)],
    variants,
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "pointwise_loss_bwd",
    parts: &[IS_NAN, ACTIVATIONS, INDEX, ELEMENTWISE, wgsl!("loss/pointwise_loss_bwd.wgsl")],
    bindings: &[("x", Read), ("y", Read), ("weights", Read), ("d_loss", Read), ("d_x", Write)],
    variants,
    ..Kernel::PLAIN
};

fn variants() -> Vec<Constants> {
    product(switches(["WEIGHTS"]), &[0, 1, 2, 3, 4].map(|kind| vec![("KIND", kind)]))
}

/// The loss between a prediction and a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// softplus(x) - x y, of a logit x.
    BinaryCrossEntropy,
    /// (x - y)^2.
    SquaredError,
    /// |x - y|.
    AbsoluteError,
    /// (x - y)^2 / 2 up to a difference of delta, linear from there on.
    Huber { delta: f32 },
    /// quantile (y - x) where x is too small, (1 - quantile) (x - y) where it is too large.
    Pinball { quantile: f32 },
}

impl Kind {
    /// The kernels' `KIND`, and their parameter.
    fn code(self) -> (u32, f32) {
        match self {
            Self::BinaryCrossEntropy => (0, 0.0),
            Self::SquaredError => (1, 0.0),
            Self::AbsoluteError => (2, 0.0),
            Self::Huber { delta } => (3, delta),
            Self::Pinball { quantile } => (4, quantile),
        }
    }

    fn value(self, x: f32, y: f32) -> f32 {
        let d = x - y;
        match self {
            Self::BinaryCrossEntropy if x < 0.0 => x.exp().ln_1p() - x * y,
            Self::BinaryCrossEntropy => x + (-x).exp().ln_1p() - x * y,
            Self::SquaredError => d * d,
            Self::AbsoluteError => d.abs(),
            Self::Huber { delta } if d.abs() > delta => delta * (d.abs() - 0.5 * delta),
            Self::Huber { .. } => 0.5 * d * d,
            Self::Pinball { quantile } if d < 0.0 => -quantile * d,
            Self::Pinball { quantile } => (1.0 - quantile) * d,
        }
    }

    fn slope(self, x: f32, y: f32) -> f32 {
        let d = x - y;
        // Rust's signum is 1 at 0; a NaN must stay.
        let sign = if d == 0.0 { 0.0 } else { d.signum() };
        match self {
            Self::BinaryCrossEntropy => sigmoid(x) - y,
            Self::SquaredError => 2.0 * d,
            Self::AbsoluteError => sign,
            Self::Huber { delta } if d.abs() > delta => delta * sign,
            Self::Huber { .. } => d,
            Self::Pinball { quantile } if d < 0.0 => -quantile,
            Self::Pinball { quantile } => (1.0 - quantile) * sign,
        }
    }
}

/// `scale * w * the sum of the losses` of each row of `x` and `y` `[..,C]`.
pub(crate) fn forward(
    kind: Kind,
    x: &Tensor,
    y: &Tensor,
    weights: Option<&Tensor>,
    scale: f32,
) -> Result<Tensor> {
    let c = last_axis(x);
    let rows = x.len() / c;
    let (code, parameter) = kind.code();
    let loss = Tensor::empty([rows], &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&FORWARD, rows)
            .constants(&[("WEIGHTS", weights.is_some().into()), ("KIND", code)])
            .words(&[c as u32, scale.to_bits(), parameter.to_bits()])
            .run(gpu, &[Some(x), Some(y), weights, Some(&loss)])?,
        None => {
            let (x, y, weights) = (x.cpu(), y.cpu(), weights.map(Tensor::cpu));
            loss.cpu_mut(|loss| {
                let rows = x.chunks_exact(c).zip(y.chunks_exact(c));
                for (row, (loss, (x, y))) in loss.iter_mut().zip(rows).enumerate() {
                    let sum = long_sum::sum(x.iter().zip(y).map(|(&x, &y)| kind.value(x, y)));
                    *loss = match weights.as_ref().map_or(1.0, |w| w[row]) {
                        0.0 => 0.0,
                        w => w * scale * sum,
                    };
                }
            });
        }
    }
    Ok(loss)
}

/// The gradient of `x`, given that of the loss (`[1]`).
pub(crate) fn backward(
    kind: Kind,
    x: &Tensor,
    y: &Tensor,
    weights: Option<&Tensor>,
    scale: f32,
    d_loss: &Tensor,
) -> Result<Tensor> {
    let c = last_axis(x);
    let (code, parameter) = kind.code();
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&BACKWARD, x.len())
            .constants(&[("WEIGHTS", weights.is_some().into()), ("KIND", code)])
            .words(&[c as u32, scale.to_bits(), parameter.to_bits()])
            .run(gpu, &[Some(x), Some(y), weights, Some(d_loss), Some(&d_x)])?,
        None => {
            let (x, y, weights) = (x.cpu(), y.cpu(), weights.map(Tensor::cpu));
            let factor = d_loss.cpu()[0] * scale;
            d_x.cpu_mut(|d_x| {
                for (i, ((d_x, &x), &y)) in d_x.iter_mut().zip(&*x).zip(&*y).enumerate() {
                    let d = kind.slope(x, y);
                    *d_x = match weights.as_ref().map_or(1.0, |w| w[i / c]) {
                        0.0 => 0.0,
                        w => w * factor * d,
                    };
                }
            });
        }
    }
    Ok(d_x)
}
