//! The magnitudes of complex numbers, whose real parts lie before the imaginary ones, and the gradient.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{Map, Rows, map_part, rows};
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN, elementwise, last_axis};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "magnitude",
    parts: &[IS_NAN, INDEX, ELEMENTWISE, wgsl!("conv/magnitude.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "magnitude_bwd",
    parts: &[INDEX, ELEMENTWISE, wgsl!("conv/magnitude_bwd.wgsl")],
    bindings: &[("x", Read), ("y", Read), ("d_y", Read), ("d_x", Write)],
    ..Kernel::PLAIN
};

/// `x` `[..,2 F]` to `[..,F]`.
pub(crate) fn magnitude(x: &Tensor) -> Result<Tensor> {
    let f = last_axis(x) / 2;
    let mut shape = x.shape().to_vec();
    shape.pop();
    shape.push(f);
    let y = Tensor::empty(shape, &x.device())?;
    match x.gpu() {
        Some(gpu) => {
            elementwise(&FORWARD, y.len()).words(&[f as u32]).run(gpu, &[Some(x), Some(&y)])?
        }
        None => {
            let x = x.cpu();
            y.cpu_mut(|y| rows(&Magnitudes(&x), [f], [y], 3 * f));
        }
    }
    Ok(y)
}

/// The gradient of `x`, from `y` = magnitude(x).
pub(crate) fn backward(x: &Tensor, y: &Tensor, d_y: &Tensor) -> Result<Tensor> {
    let f = last_axis(y);
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&BACKWARD, d_x.len())
            .words(&[f as u32])
            .run(gpu, &[Some(x), Some(y), Some(d_y), Some(&d_x)])?,
        None => {
            let slopes = Slopes { x: &x.cpu(), y: &y.cpu(), d_y: &d_y.cpu() };
            d_x.cpu_mut(|d_x| rows(&slopes, [f], [d_x], 4 * f));
        }
    }
    Ok(d_x)
}

struct Magnitudes<'a>(&'a [f32]);

impl Rows<1> for Magnitudes<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y]: [&mut [f32]; 1]) {
        let f = y.len();
        let (re, im) = self.0[2 * row * f..][..2 * f].split_at(f);
        map_part(simd, &Magnitude, 0, [re, im], [y]);
    }
}

struct Magnitude;

impl Map<2, 1> for Magnitude {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [re, im]: [S::f32s; 2],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        [simd.sqrt_f32s(simd.mul_add_f32s(re, re, simd.mul_f32s(im, im)))]
    }
}

struct Slopes<'a> {
    x: &'a [f32],
    y: &'a [f32],
    d_y: &'a [f32],
}

impl Rows<1> for Slopes<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, half: usize, [d_x]: [&mut [f32]; 1]) {
        let f = d_x.len();
        let x = &self.x[half * f..][..f];
        let [y, d_y] = [self.y, self.d_y].map(|of| &of[half / 2 * f..][..f]);
        map_part(simd, &Slope, 0, [x, y, d_y], [d_x]);
    }
}

struct Slope;

impl Map<3, 1> for Slope {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [x, y, d_y]: [S::f32s; 3],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        let zero = simd.splat_f32s(0.0);
        let d_x = simd.mul_f32s(d_y, simd.div_f32s(x, y));
        [simd.select_f32s(simd.equal_f32s(y, zero), zero, d_x)]
    }
}
