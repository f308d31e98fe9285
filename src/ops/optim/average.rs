//! A moving average: mean += share (x - mean).

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "average",
    parts: &[INDEX, ELEMENTWISE, wgsl!("optim/average.wgsl")],
    bindings: &[("x", Read), ("mean", Write)],
    ..Kernel::PLAIN
};

/// `mean` has as many words as `x`, in another buffer.
pub(crate) fn average(x: &Tensor, mean: &Tensor, share: f32) -> Result<()> {
    let Some(gpu) = x.gpu() else {
        let x = x.cpu();
        mean.cpu_mut(|mean| mean.iter_mut().zip(&*x).for_each(|(m, x)| *m += share * (x - *m)));
        return Ok(());
    };
    x.windows(x.len(), 1).try_for_each(|window| {
        elementwise(&KERNEL, window.len())
            .words(&[share.to_bits()])
            .run(gpu, &[Some(&x.window(&window)), Some(&mean.window(&window))])
    })
}
