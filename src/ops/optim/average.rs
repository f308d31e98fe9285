//! A moving average: mean += share (x - mean).

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{Map, map};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};
use pulp::Simd;

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
        mean.cpu_mut(|mean| map(&Toward(share), [&x], [mean]));
        return Ok(());
    };
    x.windows(x.len(), 1).try_for_each(|window| {
        elementwise(&KERNEL, window.len())
            .words(&[share.to_bits()])
            .run(gpu, &[Some(&x.window(&window)), Some(&mean.window(&window))])
    })
}

/// A share of the way from a mean to x.
struct Toward(f32);

impl Map<1, 1> for Toward {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [x]: [S::f32s; 1],
        [mean]: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        let way = simd.mul_f32s(simd.splat_f32s(self.0), simd.sub_f32s(x, mean));
        [simd.add_f32s(mean, way)]
    }
}
