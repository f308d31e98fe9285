//! y += x: a gradient into the place where it is summed.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{Map, map};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};
use pulp::Simd;

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
        y.cpu_mut(|y| map(&AddInto, [&x], [y]));
        return Ok(());
    };
    elementwise(&KERNEL, y.len()).run(gpu, &[Some(x), Some(y)])
}

/// x + y.
struct AddInto;

impl Map<1, 1> for AddInto {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, _: usize, [x]: [S::f32s; 1], [y]: [S::f32s; 1]) -> [S::f32s; 1] {
        [simd.add_f32s(y, x)]
    }
}
