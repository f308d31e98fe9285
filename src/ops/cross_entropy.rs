//! Softmax and cross-entropy in one: the loss of each row, and the gradient.

use super::softmax::{largest_and_sum, last_axis};
use super::{INDEX, ROW_REDUCE, switches};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Launch, folded};
use crate::{Result, Tensor};

pub(crate) static FORWARD: Kernel = Kernel {
    name: "cross_entropy",
    parts: &[ROW_REDUCE, INDEX, include_str!("../../shaders/cross_entropy.wgsl")],
    bindings: &[("x", Read), ("labels", Read), ("weights", Read), ("loss", Write)],
    variants: || switches(["WEIGHTS"]),
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "cross_entropy_bwd",
    parts: &[ROW_REDUCE, INDEX, include_str!("../../shaders/cross_entropy_bwd.wgsl")],
    bindings: &[("x", Read), ("labels", Read), ("weights", Read), ("d_loss", Read), ("d_x", Write)],
    variants: || switches(["WEIGHTS"]),
};

/// `scale * w * loss` of each row of the logits `x` `[..,C]`. The labels are below C.
pub(crate) fn forward(
    x: &Tensor,
    labels: &Tensor,
    weights: Option<&Tensor>,
    scale: f32,
) -> Result<Tensor> {
    let c = last_axis(x);
    let rows = x.len() / c;
    let loss = Tensor::empty([rows], &x.device())?;
    match x.gpu() {
        Some(gpu) => gpu.run(&Launch {
            kernel: &FORWARD,
            grid: folded(rows),
            constants: vec![("WEIGHTS", weights.is_some().into())],
            uniform: vec![rows as u32, c as u32, scale.to_bits()],
            tensors: vec![Some(x), Some(labels), weights, Some(&loss)],
        })?,
        None => {
            let (x, labels, weights) = (x.cpu(), labels.cpu(), weights.map(Tensor::cpu));
            loss.cpu_mut(|loss| {
                for (row, loss) in loss.iter_mut().enumerate() {
                    let x = &x[row * c..(row + 1) * c];
                    let weight = weights.as_ref().map_or(1.0, |w| w[row]);
                    let (largest, sum) = largest_and_sum(x);
                    let right = x[labels.as_u32()[row] as usize];
                    // A row of weight 0 is padding: whatever it holds does not count.
                    *loss = match weight {
                        0.0 => 0.0,
                        w => w * scale * (sum.ln() + (largest - right)),
                    };
                }
            });
        }
    }
    Ok(loss)
}

/// The gradient of the logits, given that of the loss (`[1]`).
pub(crate) fn backward(
    x: &Tensor,
    labels: &Tensor,
    weights: Option<&Tensor>,
    scale: f32,
    d_loss: &Tensor,
) -> Result<Tensor> {
    let c = last_axis(x);
    let rows = x.len() / c;
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => gpu.run(&Launch {
            kernel: &BACKWARD,
            grid: folded(rows),
            constants: vec![("WEIGHTS", weights.is_some().into())],
            uniform: vec![rows as u32, c as u32, scale.to_bits()],
            tensors: vec![Some(x), Some(labels), weights, Some(d_loss), Some(&d_x)],
        })?,
        None => {
            let (x, labels, weights) = (x.cpu(), labels.cpu(), weights.map(Tensor::cpu));
            let factor = d_loss.cpu()[0] * scale;
            d_x.cpu_mut(|d_x| {
                let rows = d_x.chunks_exact_mut(c).zip(x.chunks_exact(c));
                for (row, (d_x, x)) in rows.enumerate() {
                    let weight = weights.as_ref().map_or(1.0, |w| w[row]);
                    if weight == 0.0 {
                        d_x.fill(0.0);
                        continue;
                    }
                    let (largest, sum) = largest_and_sum(x);
                    for (d_x, x) in d_x.iter_mut().zip(x) {
                        *d_x = factor * weight * (x - largest).exp() / sum;
                    }
                    d_x[labels.as_u32()[row] as usize] -= factor * weight;
                }
            });
        }
    }
    Ok(d_x)
}
