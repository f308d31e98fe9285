//! Losses that compare number with number: of each row, and the gradient.

use super::activation::sigmoid;
use super::softmax::last_axis;
use super::{ACTIVATIONS, INDEX, product, switches};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, Launch, folded};
use crate::{Result, Tensor};

pub(crate) static FORWARD: Kernel = Kernel {
    name: "pointwise_loss",
    parts: &[ACTIVATIONS, INDEX, include_str!("../../shaders/pointwise_loss.wgsl")],
    bindings: &[("x", Read), ("y", Read), ("weights", Read), ("loss", Write)],
    variants,
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "pointwise_loss_bwd",
    parts: &[ACTIVATIONS, INDEX, include_str!("../../shaders/pointwise_loss_bwd.wgsl")],
    bindings: &[("x", Read), ("y", Read), ("weights", Read), ("d_loss", Read), ("d_x", Write)],
    variants,
};

fn variants() -> Vec<Constants> {
    product(switches(["WEIGHTS"]), &[vec![("KIND", 0)], vec![("KIND", 1)]])
}

/// Which loss; the number is the kernels' `KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a logit: softplus(x) - x y.
    BinaryCrossEntropy = 0,
    /// (x - y)^2.
    SquaredError = 1,
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
    let loss = Tensor::empty([rows], &x.device())?;
    match x.gpu() {
        Some(gpu) => gpu.run(&Launch {
            kernel: &FORWARD,
            grid: folded(rows.div_ceil(64)),
            constants: vec![("WEIGHTS", weights.is_some().into()), ("KIND", kind as u32)],
            uniform: vec![rows as u32, c as u32, scale.to_bits()],
            tensors: vec![Some(x), Some(y), weights, Some(&loss)],
        })?,
        None => {
            let (x, y, weights) = (x.cpu(), y.cpu(), weights.map(Tensor::cpu));
            loss.cpu_mut(|loss| {
                let rows = x.chunks_exact(c).zip(y.chunks_exact(c));
                for (row, (loss, (x, y))) in loss.iter_mut().zip(rows).enumerate() {
                    let sum: f32 = x.iter().zip(y).map(|(&x, &y)| value(kind, x, y)).sum();
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
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => gpu.run(&Launch {
            kernel: &BACKWARD,
            grid: folded(x.len().div_ceil(64)),
            constants: vec![("WEIGHTS", weights.is_some().into()), ("KIND", kind as u32)],
            uniform: vec![(x.len() / c) as u32, c as u32, scale.to_bits()],
            tensors: vec![Some(x), Some(y), weights, Some(d_loss), Some(&d_x)],
        })?,
        None => {
            let (x, y, weights) = (x.cpu(), y.cpu(), weights.map(Tensor::cpu));
            let factor = d_loss.cpu()[0] * scale;
            d_x.cpu_mut(|d_x| {
                for (i, ((d_x, &x), &y)) in d_x.iter_mut().zip(&*x).zip(&*y).enumerate() {
                    let d = match kind {
                        Kind::BinaryCrossEntropy => sigmoid(x) - y,
                        Kind::SquaredError => 2.0 * (x - y),
                    };
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

fn value(kind: Kind, x: f32, y: f32) -> f32 {
    match kind {
        Kind::BinaryCrossEntropy if x < 0.0 => x.exp().ln_1p() - x * y,
        Kind::BinaryCrossEntropy => x + (-x).exp().ln_1p() - x * y,
        Kind::SquaredError => (x - y) * (x - y),
    }
}
