//! R, from `[from, to]` to `[to, from]`, for the backward pass.

use super::super::INDEX;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Launch, folded};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "transpose_gates",
    parts: &[INDEX, include_str!("../../../shaders/transpose_gates.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || vec![vec![]],
};

/// `x` is `[rows, columns, 4]` on a GPU.
pub(crate) fn transpose_gates(x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = (x.shape()[0], x.shape()[1]);
    let y = Tensor::empty([columns, rows, 4], &x.device())?;
    if let Some(gpu) = x.gpu() {
        gpu.run(&Launch {
            kernel: &KERNEL,
            grid: folded((rows * columns).div_ceil(64)),
            constants: &[],
            uniform: &[rows as u32, columns as u32],
            tensors: &[Some(x), Some(&y)],
        })?;
    }
    Ok(y)
}
