//! The softmax of each row, and its gradient.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_EXPS, ROW_REDUCE, ROWWISE, last_axis, long_sum, rowwise, switches,
};
use crate::{Result, Tensor};

pub(crate) static FORWARD: Kernel = Kernel {
    name: "softmax",
    parts: &[IS_NAN, LONG_SUM, ROW_REDUCE, ROW_EXPS, INDEX, ROWWISE, wgsl!("norm/softmax.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || switches(["LOG"]),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "softmax_bwd",
    parts: &[IS_NAN, LONG_SUM, ROW_REDUCE, INDEX, ROWWISE, wgsl!("norm/softmax_bwd.wgsl")],
    bindings: &[("y", Read), ("d_y", Read), ("d_x", Write)],
    ..Kernel::PLAIN
};

/// Over the last axis.
pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    forward(x, false)
}

/// Its logarithm.
pub(crate) fn log_softmax(x: &Tensor) -> Result<Tensor> {
    forward(x, true)
}

fn forward(x: &Tensor, log: bool) -> Result<Tensor> {
    let c = last_axis(x);
    let y = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => rowwise(&FORWARD, x.len() / c)
            .constants(&[("LOG", log.into())])
            .words(&[c as u32])
            .run(gpu, &[Some(x), Some(&y)])?,
        None => {
            let x = x.cpu();
            y.cpu_mut(|y| {
                for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                    softmax_row(x, y, log);
                }
            });
        }
    }
    Ok(y)
}

/// The gradient of `x`, from `y` = softmax(x).
pub(crate) fn backward(y: &Tensor, d_y: &Tensor) -> Result<Tensor> {
    let c = last_axis(y);
    let d_x = Tensor::empty(y.shape(), &y.device())?;
    match y.gpu() {
        Some(gpu) => rowwise(&BACKWARD, y.len() / c)
            .words(&[c as u32])
            .run(gpu, &[Some(y), Some(d_y), Some(&d_x)])?,
        None => {
            let (y, d_y) = (y.cpu(), d_y.cpu());
            d_x.cpu_mut(|d_x| {
                let rows = d_x.chunks_exact_mut(c).zip(y.chunks_exact(c));
                for ((d_x, y), d_y) in rows.zip(d_y.chunks_exact(c)) {
                    let dot = long_sum::sum(y.iter().zip(d_y).map(|(y, d)| y * d));
                    for ((d_x, y), d_y) in d_x.iter_mut().zip(y).zip(d_y) {
                        *d_x = y * (d_y - dot);
                    }
                }
            });
        }
    }
    Ok(d_x)
}

/// The largest of `x`, or NaN if there is one; and the sum of exp(x - largest).
pub(crate) fn largest_and_sum(x: &[f32]) -> (f32, f32) {
    let largest = x.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m || v.is_nan() { v } else { m });
    (largest, long_sum::sum(x.iter().map(|v| (v - largest).exp())))
}

fn softmax_row(x: &[f32], y: &mut [f32], log: bool) {
    let (largest, sum) = largest_and_sum(x);
    for (y, x) in y.iter_mut().zip(x) {
        *y = if log { x - largest - sum.ln() } else { (x - largest).exp() / sum };
    }
}
