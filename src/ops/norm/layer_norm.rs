//! Each row with the mean 0 and the variance 1, times a gain, plus a bias.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, last_axis, long_sum, rowwise, switches,
};
use crate::{Result, Tensor};

pub(crate) static FORWARD: Kernel = Kernel {
    name: "layer_norm",
    parts: &[IS_NAN, LONG_SUM, ROW_REDUCE, INDEX, ROWWISE, wgsl!("norm/layer_norm.wgsl")],
    bindings: &[("x", Read), ("gain", Read), ("bias", Read), ("y", Write), ("stats", Write)],
    variants: || switches(["BIAS"]),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "layer_norm_bwd",
    parts: &[IS_NAN, LONG_SUM, ROW_REDUCE, INDEX, ROWWISE, wgsl!("norm/layer_norm_bwd.wgsl")],
    bindings: &[
        ("x", Read),
        ("gain", Read),
        ("stats", Read),
        ("d_y", Read),
        ("d_x", Write),
        ("d_gain", Write),
    ],
    ..Kernel::PLAIN
};

/// `x` `[..,C]` normalised, and for each row what the backward pass needs.
pub(crate) fn layer_norm(
    x: &Tensor,
    gain: &Tensor,
    bias: Option<&Tensor>,
    epsilon: f32,
) -> Result<(Tensor, Tensor)> {
    let c = last_axis(x);
    let rows = x.len() / c;
    let y = Tensor::empty(x.shape(), &x.device())?;
    let stats = Tensor::empty([rows, 2], &x.device())?;
    if let Some(gpu) = x.gpu() {
        rowwise(&FORWARD, rows)
            .constants(&[("BIAS", bias.is_some().into())])
            .words(&[c as u32, epsilon.to_bits()])
            .run(gpu, &[Some(x), Some(gain), bias, Some(&y), Some(&stats)])?;
        return Ok((y, stats));
    }
    let (x, gain, bias) = (x.cpu(), gain.cpu(), bias.map(Tensor::cpu));
    stats.cpu_mut(|stats| {
        for (stats, x) in stats.chunks_exact_mut(2).zip(x.chunks_exact(c)) {
            let mean = long_sum::sum(x.iter().copied()) / c as f32;
            let variance = long_sum::sum(x.iter().map(|x| (x - mean) * (x - mean))) / c as f32;
            stats.copy_from_slice(&[mean, 1.0 / (variance + epsilon).sqrt()]);
        }
    });
    let stats_of = stats.cpu();
    y.cpu_mut(|y| {
        let rows = y.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(stats_of.chunks_exact(2));
        for ((y, x), stats) in rows {
            for (j, (y, x)) in y.iter_mut().zip(x).enumerate() {
                let bias = bias.as_ref().map_or(0.0, |s| s[j]);
                *y = gain[j] * ((x - stats[0]) * stats[1]) + bias;
            }
        }
    });
    Ok((y, stats))
}

/// The gradient of `x`, and that of the gain for each row by itself.
pub(crate) fn backward(
    x: &Tensor,
    gain: &Tensor,
    stats: &Tensor,
    d_y: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let c = last_axis(x);
    let rows = x.len() / c;
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    let d_gain = Tensor::empty(x.shape(), &x.device())?;
    if let Some(gpu) = x.gpu() {
        rowwise(&BACKWARD, rows)
            .words(&[c as u32])
            .run(gpu, &[Some(x), Some(gain), Some(stats), Some(d_y), Some(&d_x), Some(&d_gain)])?;
        return Ok((d_x, d_gain));
    }
    let (x, gain, stats, d_y) = (x.cpu(), gain.cpu(), stats.cpu(), d_y.cpu());
    let of = |i: usize| (x[i] - stats[i / c * 2]) * stats[i / c * 2 + 1];
    d_gain.cpu_mut(|d_gain| {
        d_gain.iter_mut().enumerate().for_each(|(i, d)| *d = d_y[i] * of(i));
    });
    d_x.cpu_mut(|d_x| {
        for (row, d_x) in d_x.chunks_exact_mut(c).enumerate() {
            let g = |j: usize| d_y[row * c + j] * gain[j];
            let sum = long_sum::sum((0..c).map(g)) / c as f32;
            let dot = long_sum::sum((0..c).map(|j| g(j) * of(row * c + j))) / c as f32;
            for (j, d_x) in d_x.iter_mut().enumerate() {
                *d_x = stats[2 * row + 1] * (g(j) - sum - of(row * c + j) * dot);
            }
        }
    });
    Ok((d_x, d_gain))
}
