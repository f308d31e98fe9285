//! y = a + b, where two gradients meet.

use super::{Check, INDEX};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Launch, folded, wgsl};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "add",
    parts: &[INDEX, wgsl!("elementwise/add.wgsl")],
    bindings: &[("a", Read), ("b", Read), ("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let check = Check::new("add", "both have one shape");
    check.shape("b", b, "of `a`", a.shape())?;
    check.device(a, &[("b", b)])?;
    let y = Tensor::empty(a.shape(), &a.device())?;
    match a.gpu() {
        Some(gpu) => gpu.run(&Launch {
            kernel: &KERNEL,
            grid: folded(y.len().div_ceil(64)),
            constants: &[],
            uniform: &[y.len() as u32],
            tensors: &[Some(a), Some(b), Some(&y)],
        })?,
        None => {
            let (a, b) = (a.cpu(), b.cpu());
            y.cpu_mut(|y| {
                for ((y, a), b) in y.iter_mut().zip(&*a).zip(&*b) {
                    *y = a + b;
                }
            });
        }
    }
    Ok(y)
}
