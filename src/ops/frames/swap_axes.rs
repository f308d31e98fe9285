//! `[A,B,C]` to `[B,A,C]`: between time-major and batch-first.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::some_rows;
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "swap_axes",
    parts: &[INDEX, ELEMENTWISE, wgsl!("frames/swap_axes.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// `x` is `[A,B,C]`.
pub(crate) fn swap_axes(x: &Tensor) -> Result<Tensor> {
    let &[a, b, c] = x.shape() else { return Ok(x.clone()) };
    let y = Tensor::empty([b, a, c], &x.device())?;
    swap_axes_into(x, &y)?;
    Ok(y)
}

/// Writes `x` with its first two axes swapped into `y`, in another buffer.
pub(crate) fn swap_axes_into(x: &Tensor, y: &Tensor) -> Result<()> {
    let &[a, b, c] = x.shape() else { return Ok(()) };
    if let Some(gpu) = x.gpu() {
        return elementwise(&KERNEL, x.len())
            .words(&[a, b, c].map(|w| w as u32))
            .run(gpu, &[Some(x), Some(y)]);
    }
    let x = x.cpu();
    y.cpu_mut(|y| {
        some_rows(y, c, |first, y| {
            for (row, y) in (first..).zip(y.chunks_exact_mut(c)) {
                y.copy_from_slice(&x[(row % a * b + row / a) * c..][..c]);
            }
        });
    });
    Ok(())
}

/// `x` as `[a,b,c]` with its first two axes swapped.
pub(crate) fn swapped(x: &Tensor, [a, b, c]: [usize; 3]) -> Result<Tensor> {
    match a.min(b) {
        // Nothing moves.
        1 => Ok(x.clone()),
        _ => swap_axes(&x.reshape([a, b, c])?),
    }
}
