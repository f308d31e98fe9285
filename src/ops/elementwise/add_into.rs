//! y += x: a gradient into the place where it is summed.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "add_into",
    parts: &[INDEX, ELEMENTWISE, wgsl!("elementwise/add_into.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// `y` has as many words as `x`, in another buffer.
pub(crate) fn add_into(x: &Tensor, y: &Tensor) -> Result<()> {
    let Some(gpu) = x.gpu() else {
        let x = x.cpu();
        y.cpu_mut(|y| y.iter_mut().zip(&*x).for_each(|(y, x)| *y += x));
        return Ok(());
    };
    elementwise(&KERNEL, y.len()).run(gpu, &[Some(x), Some(y)])
}
