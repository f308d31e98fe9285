//! Sums up to each place of an axis.

use super::walk::{around, check_axis};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, LONG_SUM, elementwise, switches};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "cum_sum",
    parts: &[LONG_SUM, INDEX, ELEMENTWISE, wgsl!("nd/cum_sum.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || switches(["EXCLUSIVE", "REVERSE"]),
    ..Kernel::PLAIN
};

/// The sum of the numbers up to each of an axis, or from each on with `reverse`; without its own if `exclusive`.
pub(crate) fn cum_sum(x: &Tensor, axis: usize, exclusive: bool, reverse: bool) -> Result<Tensor> {
    check_axis("cum_sum", x.shape(), axis)?;
    let [outer, size, inner] = around(x.shape(), axis);
    let y = Tensor::empty(x.shape(), &x.device())?;
    if y.is_empty() {
        return Ok(y);
    }
    if let Some(gpu) = x.gpu() {
        elementwise(&KERNEL, outer * inner)
            .constants(&[("EXCLUSIVE", exclusive.into()), ("REVERSE", reverse.into())])
            .words(&[size as u32, inner as u32])
            .run(gpu, &[Some(x), Some(&y)])?;
        return Ok(y);
    }
    let x = x.cpu();
    let mut sums = vec![0.0; inner];
    y.cpu_mut(|y| {
        for (y, x) in y.chunks_exact_mut(size * inner).zip(x.chunks_exact(size * inner)) {
            sums.fill(0.0);
            for step in 0..size {
                let at = if reverse { size - 1 - step } else { step } * inner;
                for ((y, &x), sum) in y[at..at + inner].iter_mut().zip(&x[at..]).zip(&mut sums) {
                    let before = *sum;
                    *sum += f64::from(x);
                    *y = if exclusive { before } else { *sum } as f32;
                }
            }
        }
    });
    Ok(y)
}
