//! y[0] (+)= scale * the sum of x, in a fixed order.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, long_sum, rowwise, switches,
};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "reduce_sum",
    parts: &[INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, wgsl!("sums/reduce_sum.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || switches(["ACCUMULATE"]),
    ..Kernel::PLAIN
};

/// The elements that a workgroup adds up: 256 for each of its 64 invocations, as the kernel has it.
const BLOCK: usize = 64 * 256;

/// `y` is `[1]`.
pub(crate) fn reduce_sum(x: &Tensor, scale: f32, accumulate: bool, y: &Tensor) -> Result<()> {
    let Some(gpu) = x.gpu() else {
        y.cpu_mut(|y| {
            let sum = scale * long_sum::sum(x.cpu().iter().copied());
            y[0] = if accumulate { y[0] + sum } else { sum };
        });
        return Ok(());
    };
    let launch = |x: &Tensor, scale: f32, accumulate: bool, y: &Tensor| {
        let groups = x.len().div_ceil(BLOCK).max(1);
        rowwise(&KERNEL, groups)
            .constants(&[("ACCUMULATE", accumulate.into())])
            .words(&[scale.to_bits(), x.len() as u32])
            .run(gpu, &[Some(x), Some(y)])
    };
    if x.len() <= BLOCK {
        return launch(x, scale, accumulate, y);
    }
    // Each workgroup leaves the sum of its block, and these are added up in turn.
    let parts = Tensor::empty([x.len().div_ceil(BLOCK)], &x.device())?;
    launch(x, 1.0, false, &parts)?;
    reduce_sum(&parts, scale, accumulate, y)
}
