//! y[0] (+)= scale * the sum of x, in a fixed order.

use super::{ROW_REDUCE, switches};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Launch};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "reduce_sum",
    parts: &[ROW_REDUCE, include_str!("../../shaders/reduce_sum.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || switches(["ACCUMULATE"]),
};

/// `y` is `[1]`.
pub(crate) fn reduce_sum(x: &Tensor, scale: f32, accumulate: bool, y: &Tensor) -> Result<()> {
    let Some(gpu) = x.gpu() else {
        y.cpu_mut(|y| {
            let sum = scale * x.cpu().iter().sum::<f32>();
            y[0] = if accumulate { y[0] + sum } else { sum };
        });
        return Ok(());
    };
    gpu.run(&Launch {
        kernel: &KERNEL,
        grid: [1, 1, 1],
        constants: &[("ACCUMULATE", accumulate.into())],
        uniform: &[x.len() as u32, scale.to_bits()],
        tensors: &[Some(x), Some(y)],
    })
}
