//! y = x in 16-bit floats, rounded to the nearest: what mixed precision multiplies.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Need, Wgsl, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "half_f16",
    parts: &[
        Wgsl::lines("enable f16;").needing(Need::F16),
        INDEX,
        ELEMENTWISE,
        wgsl!("elementwise/half.wgsl"),
    ],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// A copy of `x`: on a GPU of 16-bit floats. A CPU holds none of them; there it is of 32-bit floats
/// with the values that 16 bits can hold.
pub(crate) fn half(x: &Tensor) -> Result<Tensor> {
    let y = match x.gpu() {
        Some(gpu) => Tensor::empty_f16(x.shape(), gpu)?,
        None => Tensor::empty(x.shape(), &x.device())?,
    };
    half_into(x, &y)?;
    Ok(y)
}

/// Writes `x` as 16-bit floats into `y`, which has as many elements.
pub(crate) fn half_into(x: &Tensor, y: &Tensor) -> Result<()> {
    let n = x.len();
    if n == 0 {
        return Ok(());
    }
    let Some(gpu) = x.gpu() else {
        let x = x.cpu();
        y.cpu_mut(|y| {
            for (y, x) in y.iter_mut().zip(x.iter()) {
                *y = ::half::f16::from_f32(*x).to_f32();
            }
        });
        return Ok(());
    };
    x.windows(n, 1).try_for_each(|window| {
        let n = window.len();
        // Two to a word.
        let tensors = [Some(&x.view(window.start, [n])), Some(&y.view(window.start / 2, [n]))];
        elementwise(&KERNEL, n.div_ceil(2)).words(&[n as u32]).run(gpu, &tensors)
    })
}
