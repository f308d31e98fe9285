//! y += x: a gradient into the place where it is summed.

use super::INDEX;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Launch, folded, wgsl};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "add_into",
    parts: &[INDEX, wgsl!("elementwise/add_into.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || vec![vec![]],
};

/// `y` has as many words as `x`, in another buffer.
pub(crate) fn add_into(x: &Tensor, y: &Tensor) -> Result<()> {
    let Some(gpu) = x.gpu() else {
        let x = x.cpu();
        y.cpu_mut(|y| y.iter_mut().zip(&*x).for_each(|(y, x)| *y += x));
        return Ok(());
    };
    gpu.run(&Launch {
        kernel: &KERNEL,
        grid: folded(y.len().div_ceil(64)),
        constants: &[],
        uniform: &[y.len() as u32],
        tensors: &[Some(x), Some(y)],
    })
}
