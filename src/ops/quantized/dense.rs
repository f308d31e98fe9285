//! y = W x + b with a weight of 8 bits.

use super::gpu;
use super::matrix::QuantizedMatrix;
use super::product::floats;
use super::rows::Rows;
use crate::tensor::room_for;
use crate::{Result, Tensor};

/// `[..,O]` of `x` `[..,I]`, whose size the caller has checked, and of a bias `[O]`.
pub(crate) fn dense(x: &Tensor, weight: &QuantizedMatrix, bias: Option<&Tensor>) -> Result<Tensor> {
    if let Some(gpu) = x.gpu() {
        return gpu::product(gpu, x, weight, bias);
    }
    let (terms, units) = (weight.terms(), weight.outputs());
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = units;
    }
    let y = Tensor::empty(shape, &x.device())?;
    let packed = weight.packed()?;
    let (words, outputs) = (x.cpu(), packed.lines.outputs());
    let bias = bias.map(|bias| {
        let mut bias = bias.cpu().to_vec();
        bias.resize(outputs, 0.0);
        bias
    });
    let padded = x.on_threads(|| -> Result<Vec<f32>> {
        let rows = Rows::of_floats(&words, terms)?;
        let which: Vec<_> = (0..rows.len()).collect();
        let mut padded = room_for("the outputs of a layer", which.len() * outputs)?;
        padded.resize(which.len() * outputs, 0.0);
        floats((&rows, &which), packed, bias.as_deref(), &mut padded);
        Ok(padded)
    })?;
    y.cpu_mut(|y| {
        for (to, from) in y.chunks_exact_mut(units).zip(padded.chunks_exact(outputs)) {
            to.copy_from_slice(&from[..units]);
        }
    });
    Ok(y)
}
