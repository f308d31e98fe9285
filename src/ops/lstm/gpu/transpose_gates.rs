//! R, from `[from, to]` to `[to, from]`, for the backward pass.

use super::kernels::REAL;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Wgsl, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

/// The kernels for 32 bits and for 16.
pub(crate) static KERNELS: [Kernel; 2] = [
    kernel("transpose_gates", &[REAL[0], INDEX, ELEMENTWISE, TEXT]),
    kernel("transpose_gates_f16", &[REAL[1], INDEX, ELEMENTWISE, TEXT]),
];

const TEXT: Wgsl = wgsl!("lstm/transpose_gates.wgsl");

const fn kernel(name: &'static str, parts: &'static [Wgsl]) -> Kernel {
    Kernel { name, parts, bindings: &[("x", Read), ("y", Write)], ..Kernel::PLAIN }
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
        elementwise(&KERNELS[usize::from(x.is_half())], rows * columns)
            .words(&[rows as u32, columns as u32])
            .run(gpu, &[Some(x), Some(y)])?;
    }
    Ok(())
}
