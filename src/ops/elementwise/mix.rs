//! y = b + t (a - b), element by element: a where a gate t is open, b where it is shut.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{Map, map};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "mix",
    parts: &[INDEX, ELEMENTWISE, wgsl!("elementwise/mix.wgsl")],
    bindings: &[("a", Read), ("b", Read), ("t", Read), ("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "mix_bwd",
    parts: &[INDEX, ELEMENTWISE, wgsl!("elementwise/mix_bwd.wgsl")],
    bindings: &[
        ("a", Read),
        ("b", Read),
        ("t", Read),
        ("d_y", Read),
        ("d_a", Write),
        ("d_b", Write),
        ("d_t", Write),
    ],
    ..Kernel::PLAIN
};

/// Of a, b and t, which have one shape.
pub(crate) fn mix([a, b, t]: [&Tensor; 3]) -> Result<Tensor> {
    let y = Tensor::empty(a.shape(), &a.device())?;
    match a.gpu() {
        Some(gpu) => {
            elementwise(&FORWARD, y.len()).run(gpu, &[Some(a), Some(b), Some(t), Some(&y)])?;
        }
        None => {
            let (a, b, t) = (a.cpu(), b.cpu(), t.cpu());
            y.cpu_mut(|y| map(&Mix, [&a, &b, &t], [y]));
        }
    }
    Ok(y)
}

/// The gradients of a, b and t.
pub(crate) fn backward([a, b, t]: [&Tensor; 3], d_y: &Tensor) -> Result<[Tensor; 3]> {
    let new = || Tensor::empty(a.shape(), &a.device());
    let [d_a, d_b, d_t] = [new()?, new()?, new()?];
    match a.gpu() {
        Some(gpu) => {
            let tensors = [a, b, t, d_y, &d_a, &d_b, &d_t].map(Some);
            elementwise(&BACKWARD, a.len()).run(gpu, &tensors)?;
        }
        None => {
            let (a, b, t, d_y) = (a.cpu(), b.cpu(), t.cpu(), d_y.cpu());
            let run = |d: [&mut [f32]; 3]| map(&Mix, [&a, &b, &t, &d_y], d);
            d_a.cpu_mut(|d_a| d_b.cpu_mut(|d_b| d_t.cpu_mut(|d_t| run([d_a, d_b, d_t]))));
        }
    }
    Ok([d_a, d_b, d_t])
}

struct Mix;

impl Map<3, 1> for Mix {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [a, b, t]: [S::f32s; 3],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        [simd.add_f32s(b, simd.mul_f32s(t, simd.sub_f32s(a, b)))]
    }
}

impl Map<4, 3> for Mix {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [a, b, t, d_y]: [S::f32s; 4],
        _: [S::f32s; 3],
    ) -> [S::f32s; 3] {
        let rest = simd.sub_f32s(simd.splat_f32s(1.0), t);
        [simd.mul_f32s(t, d_y), simd.mul_f32s(rest, d_y), simd.mul_f32s(simd.sub_f32s(a, b), d_y)]
    }
}
