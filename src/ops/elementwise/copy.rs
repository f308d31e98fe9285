//! y = x, between buffers of a device.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::device::threads;
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "copy",
    parts: &[INDEX, ELEMENTWISE, wgsl!("elementwise/copy.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// `y` has as many words as `x`, in another buffer.
pub(crate) fn copy(x: &Tensor, y: &Tensor) -> Result<()> {
    let Some(gpu) = x.gpu() else {
        let x = x.cpu();
        y.cpu_mut(|y| threads::copy(&x, y));
        return Ok(());
    };
    y.windows(y.len(), 1).try_for_each(|window| {
        let n = window.len();
        elementwise(&KERNEL, n).run(gpu, &[Some(&x.window(&window)), Some(&y.window(&window))])
    })
}
