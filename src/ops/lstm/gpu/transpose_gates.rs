//! R, from `[from, to]` to `[to, from]`, for the backward pass.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Launch, folded};
use crate::ops::{INDEX, REAL};
use crate::{Result, Tensor};

/// The kernels for 32 bits and for 16.
pub(crate) static KERNELS: [Kernel; 2] = [
    kernel("transpose_gates", &[REAL[0], INDEX, TEXT]),
    kernel("transpose_gates_f16", &[REAL[1], INDEX, TEXT]),
];

const TEXT: &str = include_str!("../../../../shaders/transpose_gates.wgsl");

const fn kernel(name: &'static str, parts: &'static [&'static str]) -> Kernel {
    Kernel { name, parts, bindings: &[("x", Read), ("y", Write)], variants: || vec![vec![]] }
}

/// `x` `[rows, columns, 4]`, on a GPU, with its first two axes swapped.
pub(crate) fn transpose_gates(x: &Tensor) -> Result<Tensor> {
    let shape = [x.shape()[1], x.shape()[0], 4];
    let y = match x.gpu().filter(|_| x.is_half()) {
        Some(gpu) => Tensor::empty_f16(shape, gpu)?,
        None => Tensor::empty(shape, &x.device())?,
    };
    transpose_gates_into(x, &y)?;
    Ok(y)
}

/// Writes `x` into `y`, in another buffer, with its first two axes swapped.
pub(super) fn transpose_gates_into(x: &Tensor, y: &Tensor) -> Result<()> {
    let (rows, columns) = (x.shape()[0], x.shape()[1]);
    if let Some(gpu) = x.gpu() {
        gpu.run(&Launch {
            kernel: &KERNELS[usize::from(x.is_half())],
            grid: folded((rows * columns).div_ceil(64)),
            constants: &[],
            uniform: &[rows as u32, columns as u32],
            tensors: &[Some(x), Some(y)],
        })?;
    }
    Ok(())
}
