//! Products of bytes on a GPU, four at a time: by its own instruction where it has one, else as the driver or wgpu
//! writes it out.

use super::call::Forward;
use super::matrix::QuantizedMatrix;
use super::recurrence::Frames;
use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{
    ACTIVATIONS, ELEMENTWISE, INDEX, IS_NAN, ROW_REDUCE, ROWWISE, elementwise, last_axis, rowwise,
    switches,
};
use crate::ops::elementwise::copy::copy;
use crate::ops::frames::gather::gather;
use crate::{Result, Tensor};
use std::sync::Arc;

pub(crate) static QUANTIZE: Kernel = Kernel {
    name: "quantize_rows",
    parts: &[IS_NAN, INDEX, ROW_REDUCE, ROWWISE, wgsl!("quantized/quantize_rows.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) static PRODUCT: Kernel = Kernel {
    name: "quantized_product",
    parts: &[INDEX, ELEMENTWISE, wgsl!("quantized/quantized_product.wgsl")],
    bindings: &[("x", Read), ("weight", Read), ("of_weight", Read), ("bias", Read), ("y", Write)],
    variants: || switches(["BIAS"]),
    ..Kernel::PLAIN
};

pub(crate) static LSTM: Kernel = Kernel {
    name: "quantized_lstm",
    parts: &[IS_NAN, ACTIVATIONS, INDEX, ELEMENTWISE, wgsl!("quantized/quantized_lstm.wgsl")],
    bindings: &[
        ("x_part", Read),
        ("bytes", Read),
        ("weight", Read),
        ("of_weight", Read),
        ("rows", Read),
        ("c", Write),
        ("h", Write),
        ("y", Write),
    ],
    variants: || switches(["Y"]),
    ..Kernel::PLAIN
};

/// The most words of gates that are made ahead of the recurrence.
const AHEAD: usize = 1 << 24;

/// The words of a row of so many bytes, without its scale and zero.
fn words(terms: usize) -> usize {
    terms.div_ceil(4)
}

/// Rows `[..,C]` as bytes, `[N,2 + words]`.
fn quantize(gpu: &Arc<Gpu>, x: &Tensor) -> Result<Tensor> {
    let c = last_axis(x);
    let (n, words) = (x.len() / c, words(c));
    let bytes = Tensor::empty([n, words + 2], &x.device())?;
    rowwise(&QUANTIZE, n).words(&[c as u32, words as u32]).run(gpu, &[Some(x), Some(&bytes)])?;
    Ok(bytes)
}

/// W x (+ b) `[..,O]` of `x` `[..,I]`.
pub(super) fn product(
    gpu: &Arc<Gpu>,
    x: &Tensor,
    matrix: &QuantizedMatrix,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let bytes = quantize(gpu, x)?;
    let [weight, of_weight] = matrix.on_gpu(&x.device())?;
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = matrix.outputs();
    }
    let y = Tensor::empty(shape, &x.device())?;
    elementwise(&PRODUCT, y.len())
        .constants(&[("BIAS", bias.is_some().into())])
        .words(&[matrix.outputs() as u32, words(matrix.terms()) as u32])
        .run(gpu, &[Some(&bytes), Some(weight), Some(of_weight), bias, Some(&y)])?;
    Ok(y)
}

/// Runs a direction of a layer: its last h and c.
pub(super) fn lstm(
    gpu: &Arc<Gpu>,
    call: &Forward<'_>,
    batch: usize,
    frames: &Frames,
) -> Result<[Tensor; 2]> {
    let (size, device) = (call.hidden_size, call.x.device());
    let [h, c] = [0, 1].map(|part| match call.state {
        Some(states) => copy_of(states[part]),
        None => Tensor::zeros([batch, size], &device),
    });
    let (h, c) = (h?, c?);
    let (mut places, mut outputs) = (vec![[0u32; 2]; batch], vec![[0u32; 2]; batch]);
    for row in &frames.rows {
        places[row.at] = [row.start as u32, row.length as u32];
        outputs[row.at] = [row.to as u32, row.length as u32];
    }
    let rows = Tensor::from_u32(bytemuck::cast_slice(&outputs), [batch, 2], &device)?;
    let steps = frames.rows.first().map_or(0, |row| row.length);
    let most = AHEAD.min((gpu.max_binding() / 4) as usize);
    let ahead = (most / (4 * size * batch)).clamp(1, steps.max(1));
    let (words, [weight, of_weight]) = (words(size), call.weight_hh.on_gpu(&device)?);
    let (width, column) = call.y.map_or((0, 0), |y| (y.stride(), y.first));
    let x = call.x.reshape([call.x.len() / call.weight_ih.terms(), call.weight_ih.terms()])?;
    for first in (0..steps).step_by(ahead) {
        let end = steps.min(first + ahead);
        // The frames of all rows at each step; where a row has ended, some frame, which nobody looks at.
        let numbers = (first..end).flat_map(|step| {
            places.iter().map(move |&[start, length]| match (step as u32, call.reverse) {
                (step, _) if step >= length => 0,
                (step, true) => start + length - 1 - step,
                (step, false) => start + step,
            })
        });
        let numbers: Vec<_> = numbers.collect();
        let numbers = Tensor::from_u32(&numbers, [numbers.len()], &device)?;
        let x = gather(&x, None, &numbers)?;
        let x_part = product(gpu, &x, &call.weight_ih, call.bias.as_ref())?;
        for step in first..end {
            let bytes = quantize(gpu, &h)?;
            let uniform = [size, words, step, first, batch, call.reverse.into(), width, column];
            elementwise(&LSTM, batch * size)
                .constants(&[("Y", call.y.is_some().into())])
                .words(&uniform.map(|word| word as u32))
                .run(
                    gpu,
                    &[
                        Some(&x_part),
                        Some(&bytes),
                        Some(weight),
                        Some(of_weight),
                        Some(&rows),
                        Some(&c),
                        Some(&h),
                        call.y.map(|y| y.tensor),
                    ],
                )?;
        }
    }
    Ok([h, c])
}

fn copy_of(state: &Tensor) -> Result<Tensor> {
    let own = Tensor::empty(state.shape(), &state.device())?;
    copy(state, &own)?;
    Ok(own)
}
