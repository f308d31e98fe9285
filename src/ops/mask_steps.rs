//! y = x up to each row's length, 0 past it.

use super::INDEX;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Launch, folded};
use crate::{Lengths, Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "mask_steps",
    parts: &[INDEX, include_str!("../../shaders/mask_steps.wgsl")],
    bindings: &[("x", Read), ("lengths", Read), ("y", Write)],
    variants: || vec![vec![]],
};

/// `x` is `[B,T,C]`, with one length for each row.
pub(crate) fn mask_steps(x: &Tensor, lengths: &Lengths) -> Result<Tensor> {
    let (timesteps, c) = (x.shape()[1], x.shape()[2]);
    let y = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => gpu.run(&Launch {
            kernel: &KERNEL,
            grid: folded(y.len().div_ceil(64)),
            constants: vec![],
            uniform: vec![y.len() as u32, timesteps as u32, c as u32],
            tensors: vec![Some(x), Some(&lengths.tensor), Some(&y)],
        })?,
        None => {
            let x = x.cpu();
            y.cpu_mut(|y| {
                let rows = y.chunks_exact_mut(timesteps * c).zip(x.chunks_exact(timesteps * c));
                for ((y, x), &length) in rows.zip(lengths.values()) {
                    let end = length as usize * c;
                    y[..end].copy_from_slice(&x[..end]);
                    y[end..].fill(0.0);
                }
            });
        }
    }
    Ok(y)
}
