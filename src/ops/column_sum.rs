//! y += the sum of the rows of x: the gradient of a bias.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Launch};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "column_sum",
    parts: &[include_str!("../../shaders/column_sum.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || vec![vec![]],
};

/// `x` is read as `[rows, C]`, where C is the length of `y`.
pub(crate) fn column_sum(x: &Tensor, y: &Tensor) -> Result<()> {
    let c = y.len();
    let rows = x.len() / c;
    let Some(gpu) = x.gpu() else {
        let x = x.cpu();
        y.cpu_mut(|y| {
            for row in x.chunks_exact(c) {
                for (y, x) in y.iter_mut().zip(row) {
                    *y += x;
                }
            }
        });
        return Ok(());
    };
    gpu.run(&Launch {
        kernel: &KERNEL,
        grid: [c.div_ceil(16) as u32, 1, 1],
        constants: &[],
        uniform: &[rows as u32, c as u32],
        tensors: &[Some(x), Some(y)],
    })
}
