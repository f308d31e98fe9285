//! y = a + b, where two gradients meet.

use crate::check::Check;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{Map, map};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "add",
    parts: &[INDEX, ELEMENTWISE, wgsl!("elementwise/add.wgsl")],
    bindings: &[("a", Read), ("b", Read), ("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let check = Check::new("add", "both have one shape");
    check.shape("b", b, "of `a`", a.shape())?;
    check.device(a, &[("b", b)])?;
    let y = Tensor::empty(a.shape(), &a.device())?;
    match a.gpu() {
        Some(gpu) => elementwise(&KERNEL, y.len()).run(gpu, &[Some(a), Some(b), Some(&y)])?,
        None => {
            let (a, b) = (a.cpu(), b.cpu());
            y.cpu_mut(|y| map(&Add, [&a, &b], [y]));
        }
    }
    Ok(y)
}

/// a + b.
struct Add;

impl Map<2, 1> for Add {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [a, b]: [S::f32s; 2],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        [simd.add_f32s(a, b)]
    }
}
