//! The softmax of each row, and its gradient.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{LongSum, Rows, load, rows, store};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_EXPS, ROW_REDUCE, ROW_SHARED, last_axis, math, row_shared,
    switches,
};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "softmax",
    parts: &[IS_NAN, LONG_SUM, INDEX, ROW_REDUCE, ROW_SHARED, ROW_EXPS, wgsl!("norm/softmax.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || switches(["LOG", "SHARED"]),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "softmax_bwd",
    parts: &[IS_NAN, LONG_SUM, ROW_REDUCE, INDEX, ROW_SHARED, wgsl!("norm/softmax_bwd.wgsl")],
    bindings: &[("y", Read), ("d_y", Read), ("d_x", Write)],
    variants: || switches(["SHARED"]),
    ..Kernel::PLAIN
};

/// Over the last axis.
pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    forward(x, false)
}

/// Its logarithm.
pub(crate) fn log_softmax(x: &Tensor) -> Result<Tensor> {
    forward(x, true)
}

fn forward(x: &Tensor, log: bool) -> Result<Tensor> {
    let c = last_axis(x);
    let y = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => row_shared(&FORWARD, x.len() / c, c)
            .constants(&[("LOG", log.into())])
            .run(gpu, &[Some(x), Some(&y)])?,
        None => {
            let softmax = Softmax { x: &x.cpu(), c, log };
            y.cpu_mut(|y| rows(&softmax, [c], [y], 2 * c));
        }
    }
    Ok(y)
}

/// The gradient of `x`, from `y` = softmax(x).
pub(crate) fn backward(y: &Tensor, d_y: &Tensor) -> Result<Tensor> {
    let c = last_axis(y);
    let d_x = Tensor::empty(y.shape(), &y.device())?;
    match y.gpu() {
        Some(gpu) => {
            row_shared(&BACKWARD, y.len() / c, c).run(gpu, &[Some(y), Some(d_y), Some(&d_x)])?
        }
        None => {
            let slope = Slope { y: &y.cpu(), d_y: &d_y.cpu(), c };
            d_x.cpu_mut(|d_x| rows(&slope, [c], [d_x], 3 * c));
        }
    }
    Ok(d_x)
}

struct Softmax<'a> {
    x: &'a [f32],
    c: usize,
    log: bool,
}

impl Rows<1> for Softmax<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y]: [&mut [f32]; 1]) {
        let x = &self.x[row * self.c..][..self.c];
        let (largest, sum) = largest_and_sum(simd, x, (!self.log).then_some(&mut *y));
        let zero = simd.splat_f32s(0.0);
        let largest = simd.splat_f32s(largest);
        if self.log {
            let log = simd.splat_f32s(sum.ln());
            for at in (0..x.len()).step_by(S::F32_LANES) {
                let d = simd.sub_f32s(load(simd, x, at, zero), largest);
                store(simd, y, at, simd.sub_f32s(d, log));
            }
        } else {
            let part = simd.splat_f32s(1.0 / sum);
            for at in (0..x.len()).step_by(S::F32_LANES) {
                store(simd, y, at, simd.mul_f32s(load(simd, y, at, zero), part));
            }
        }
    }
}

/// The largest of a row and the sum of exp(x - largest), which are left in `exps`. Of a row with a NaN the
/// sum is NaN, and the largest may be any number.
#[inline(always)]
pub(crate) fn largest_and_sum<S: Simd>(
    simd: S,
    x: &[f32],
    mut exps: Option<&mut [f32]>,
) -> (f32, f32) {
    let low = simd.splat_f32s(f32::NEG_INFINITY);
    let mut most = low;
    for at in (0..x.len()).step_by(S::F32_LANES) {
        most = simd.max_f32s(load(simd, x, at, low), most);
    }
    let largest = simd.reduce_max_f32s(most);
    let (most, mut sum) = (simd.splat_f32s(largest), LongSum::new(simd));
    for at in (0..x.len()).step_by(S::F32_LANES) {
        let exp = math::exp(simd, simd.sub_f32s(load(simd, x, at, low), most));
        if let Some(exps) = &mut exps {
            store(simd, exps, at, exp);
        }
        sum.add(simd, exp);
    }
    (largest, sum.total(simd) as f32)
}

struct Slope<'a> {
    y: &'a [f32],
    d_y: &'a [f32],
    c: usize,
}

impl Rows<1> for Slope<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [d_x]: [&mut [f32]; 1]) {
        let [y, d_y] = [self.y, self.d_y].map(|x| &x[row * self.c..][..self.c]);
        let zero = simd.splat_f32s(0.0);
        let mut products = LongSum::new(simd);
        for at in (0..y.len()).step_by(S::F32_LANES) {
            let (y, d_y) = (load(simd, y, at, zero), load(simd, d_y, at, zero));
            products.add(simd, simd.mul_f32s(y, d_y));
        }
        let dot = simd.splat_f32s(products.total(simd) as f32);
        for at in (0..y.len()).step_by(S::F32_LANES) {
            let (y, d_y) = (load(simd, y, at, zero), load(simd, d_y, at, zero));
            store(simd, d_x, at, simd.mul_f32s(y, simd.sub_f32s(d_y, dot)));
        }
    }
}
