//! Some columns of one matrix into some columns of another: what joins and parts features.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::some_rows;
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "copy_columns",
    parts: &[INDEX, ELEMENTWISE, wgsl!("frames/copy_columns.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

fn stride(tensor: &Tensor) -> usize {
    tensor.shape().last().copied().unwrap_or(1)
}

/// `y[:, y_first..][..width] = x[:, x_first..][..width]`, by rows of the last axis.
pub(crate) fn copy_columns(
    (x, x_first): (&Tensor, usize),
    (y, y_first): (&Tensor, usize),
    width: usize,
) -> Result<()> {
    let (xs, ys) = (stride(x), stride(y));
    let n = x.len() / xs * width;
    let Some(gpu) = x.gpu() else {
        let x = x.cpu();
        y.cpu_mut(|y| {
            some_rows(y, ys, |first, y| {
                let rows = y.chunks_exact_mut(ys).zip(x[first * xs..].chunks_exact(xs));
                for (y, x) in rows {
                    y[y_first..y_first + width].copy_from_slice(&x[x_first..x_first + width]);
                }
            });
        });
        return Ok(());
    };
    elementwise(&KERNEL, n)
        .words(&[width, xs, x_first, ys, y_first].map(|w| w as u32))
        .run(gpu, &[Some(x), Some(y)])
}
