//! y = a + b, where two gradients meet.

use crate::check::Check;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "add",
    parts: &[INDEX, ELEMENTWISE, wgsl!("elementwise/add.wgsl")],
    bindings: &[("a", Read), ("b", Read), ("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let check = Check::new("add", "both have one shape");
    check.shape("b", b, "of `a`", a.shape())?;
    check.device(a, &[("b", b)])?;
    let y = Tensor::empty(a.shape(), &a.device())?;
    match a.gpu() {
        Some(gpu) => elementwise(&KERNEL, y.len()).run(gpu, &[Some(a), Some(b), Some(&y)])?,
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
