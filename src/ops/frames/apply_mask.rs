//! y = x where a mask says so, 0 elsewhere.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::some_rows;
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise, last_axis};
use crate::{Mask, Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "apply_mask",
    parts: &[INDEX, ELEMENTWISE, wgsl!("frames/apply_mask.wgsl")],
    bindings: &[("x", Read), ("mask", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// `x` is `[B,T,C]`.
pub(crate) fn apply_mask(x: &Tensor, mask: &Mask) -> Result<Tensor> {
    let c = last_axis(x);
    let y = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&KERNEL, y.len())
            .words(&[c as u32])
            .run(gpu, &[Some(x), Some(&mask.tensor), Some(&y)])?,
        None => {
            let x = x.cpu();
            let on = mask.values();
            y.cpu_mut(|y| {
                some_rows(y, c, |first, y| {
                    let frames = y.chunks_exact_mut(c).zip(x[first * c..].chunks_exact(c));
                    for ((y, x), &on) in frames.zip(&on[first..]) {
                        if on { y.copy_from_slice(x) } else { y.fill(0.0) }
                    }
                });
            });
        }
    }
    Ok(y)
}
