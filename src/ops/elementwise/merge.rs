//! One value from the two halves of each row: what a bidirectional layer makes of its directions.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{Map, Rows, map_part, rows};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};
use pulp::Simd;

/// What is made of the halves a and b.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// a + b.
    Sum,
    /// (a + b) / 2.
    Mean,
    /// a b.
    Product,
}

pub(crate) static FORWARD: Kernel = Kernel {
    name: "merge",
    parts: &[INDEX, ELEMENTWISE, wgsl!("elementwise/merge.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || [0, 1, 2].map(|kind| vec![("KIND", kind)]).to_vec(),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "merge_bwd",
    parts: &[INDEX, ELEMENTWISE, wgsl!("elementwise/merge_bwd.wgsl")],
    bindings: &[("x", Read), ("d_y", Read), ("d_x", Write)],
    variants: FORWARD.variants,
    ..Kernel::PLAIN
};

fn launch<const N: usize>(
    kernel: &'static Kernel,
    kind: Kind,
    n: usize,
    c: usize,
    t: [&Tensor; N],
) -> Result<()> {
    let Some(gpu) = t[0].gpu() else { return Ok(()) };
    elementwise(kernel, n)
        .constants(&[("KIND", kind as u32)])
        .words(&[c as u32])
        .run(gpu, &t.map(Some))
}

/// `[..,2C]` to `[..,C]`.
pub(crate) fn merge(kind: Kind, x: &Tensor) -> Result<Tensor> {
    let mut shape = x.shape().to_vec();
    let c = shape.pop().unwrap_or(0) / 2;
    shape.push(c);
    let y = Tensor::empty(shape, &x.device())?;
    if x.gpu().is_some() {
        launch(&FORWARD, kind, y.len(), c, [x, &y])?;
        return Ok(y);
    }
    let x = x.cpu();
    y.cpu_mut(|y| rows(&Merge { kind, x: &x, c }, [c], [y], 3 * c));
    Ok(y)
}

/// The gradient of `x`.
pub(crate) fn backward(kind: Kind, x: &Tensor, d_y: &Tensor) -> Result<Tensor> {
    let c = x.shape().last().copied().unwrap_or(0) / 2;
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    if x.gpu().is_some() {
        launch(&BACKWARD, kind, d_x.len(), c, [x, d_y, &d_x])?;
        return Ok(d_x);
    }
    let (x, d_y) = (x.cpu(), d_y.cpu());
    d_x.cpu_mut(|d_x| rows(&Slope { kind, x: &x, d_y: &d_y, c }, [2 * c], [d_x], 5 * c));
    Ok(d_x)
}

struct Merge<'a> {
    kind: Kind,
    x: &'a [f32],
    c: usize,
}

impl Rows<1> for Merge<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y]: [&mut [f32]; 1]) {
        let (a, b) = self.x[row * 2 * self.c..][..2 * self.c].split_at(self.c);
        map_part(simd, &self.kind, 0, [a, b], [y]);
    }
}

/// Of a and b.
impl Map<2, 1> for Kind {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [a, b]: [S::f32s; 2],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        [match self {
            Kind::Sum => simd.add_f32s(a, b),
            Kind::Mean => simd.mul_f32s(simd.splat_f32s(0.5), simd.add_f32s(a, b)),
            Kind::Product => simd.mul_f32s(a, b),
        }]
    }
}

struct Slope<'a> {
    kind: Kind,
    x: &'a [f32],
    d_y: &'a [f32],
    c: usize,
}

impl Rows<1> for Slope<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [d_x]: [&mut [f32]; 1]) {
        let (a, b) = self.x[row * 2 * self.c..][..2 * self.c].split_at(self.c);
        let (d_a, d_b) = d_x.split_at_mut(self.c);
        let d_y = &self.d_y[row * self.c..][..self.c];
        map_part(simd, &self.kind, 0, [a, b, d_y], [d_a, d_b]);
    }
}

/// The gradients of a and b, of both and that of what was made of them.
impl Map<3, 2> for Kind {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [a, b, d_y]: [S::f32s; 3],
        _: [S::f32s; 2],
    ) -> [S::f32s; 2] {
        match self {
            Kind::Sum => [d_y; 2],
            Kind::Mean => [simd.mul_f32s(simd.splat_f32s(0.5), d_y); 2],
            Kind::Product => [simd.mul_f32s(d_y, b), simd.mul_f32s(d_y, a)],
        }
    }
}
