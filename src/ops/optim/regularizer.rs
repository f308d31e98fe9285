//! What keeps values small: l1 |x| + l2 x², its gradient, and a limit of norms.

use super::columns::{BLOCK, Columns, by_columns, scale_columns};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{Fold, Map, map, total};
use crate::ops::common::{
    ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, Launch, ROW_REDUCE, elementwise, switches,
};
use crate::ops::sums::reduce_sum::reduce_sum;
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "regularizer",
    parts: &[IS_NAN, LONG_SUM, ROW_REDUCE, wgsl!("optim/regularizer.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "regularizer_bwd",
    parts: &[INDEX, ELEMENTWISE, wgsl!("optim/regularizer_bwd.wgsl")],
    bindings: &[("x", Read), ("d_loss", Read), ("d_x", Write)],
    variants: || switches(["ACCUMULATE"]),
    ..Kernel::PLAIN
};

pub(crate) static MAX_NORM: Kernel = Kernel {
    name: "max_norm",
    parts: &[INDEX, IS_NAN, LONG_SUM, ELEMENTWISE, wgsl!("optim/max_norm.wgsl")],
    bindings: &[("x", Write)],
    ..Kernel::PLAIN
};

/// The sum of l1 |x| + l2 x² over all elements, `[1]`.
pub(crate) fn penalty(x: &Tensor, [l1, l2]: [f32; 2]) -> Result<Tensor> {
    let y = Tensor::empty([1], &x.device())?;
    if let Some(gpu) = x.gpu() {
        let groups = x.len().div_ceil(4096).min(256);
        let parts = Tensor::empty([groups], &x.device())?;
        gpu.run(&Launch {
            kernel: &FORWARD,
            grid: [groups as u32, 1, 1],
            constants: &[],
            uniform: &[x.len() as u32, groups as u32, l1.to_bits(), l2.to_bits()],
            tensors: &[Some(x), Some(&parts)],
        })?;
        reduce_sum(&parts, 1.0, false, &y)?;
        return Ok(y);
    }
    y.cpu_mut(|y| y[0] = total(&Penalty([l1, l2]), &x.cpu()) as f32);
    Ok(y)
}

/// The gradient, given that of the sum, into `d_x` or added to it.
pub(crate) fn backward(
    x: &Tensor,
    [l1, l2]: [f32; 2],
    d_loss: &Tensor,
    d_x: &Tensor,
    accumulate: bool,
) -> Result<()> {
    if let Some(gpu) = x.gpu() {
        return elementwise(&BACKWARD, x.len())
            .constants(&[("ACCUMULATE", accumulate.into())])
            .words(&[l1.to_bits(), l2.to_bits()])
            .run(gpu, &[Some(x), Some(d_loss), Some(d_x)]);
    }
    let (x, d_loss) = (x.cpu(), d_loss.cpu()[0]);
    let slope = Slope { l1, l2, d_loss, accumulate };
    d_x.cpu_mut(|d_x| map(&slope, [&x], [d_x]));
    Ok(())
}

/// Scales each column of `x`, rows of `columns` words, down to a norm of at most `limit`.
pub(crate) fn max_norm(x: &Tensor, columns: usize, limit: f32) -> Result<()> {
    if let Some(gpu) = x.gpu() {
        return elementwise(&MAX_NORM, columns)
            .words(&[(x.len() / columns) as u32, limit.to_bits()])
            .run(gpu, &[Some(x)]);
    }
    x.cpu_mut(|x| {
        let mut scales = vec![0.0; columns];
        by_columns(&Scales { x, limit }, x.len(), &mut scales);
        scale_columns(x, &scales);
    });
    Ok(())
}

/// l1 |x| + l2 x², summed up.
struct Penalty([f32; 2]);

impl Fold for Penalty {
    #[inline(always)]
    fn of<S: Simd>(&self, _: S, x: &[f32]) -> f64 {
        let [l1, l2] = self.0;
        // Sums that a processor makes at a time.
        let mut sums = [0.0; 32];
        let (blocks, rest) = x.as_chunks::<32>();
        for block in blocks {
            for (sum, &x) in sums.iter_mut().zip(block) {
                *sum += f64::from(l1 * x.abs() + l2 * x * x);
            }
        }
        for (sum, &x) in sums.iter_mut().zip(rest) {
            *sum += f64::from(l1 * x.abs() + l2 * x * x);
        }
        sums.iter().sum()
    }
}

/// d_loss (l1 sign(x) + 2 l2 x), or that added to what is there.
struct Slope {
    l1: f32,
    l2: f32,
    d_loss: f32,
    accumulate: bool,
}

impl Map<1, 1> for Slope {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [x]: [S::f32s; 1],
        [d_x]: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        let c = |v: f32| simd.splat_f32s(v);
        // A NaN is neither, but makes the sum below one.
        let below = simd.select_f32s(simd.less_than_f32s(x, c(0.0)), c(-1.0), c(0.0));
        let sign = simd.select_f32s(simd.greater_than_f32s(x, c(0.0)), c(1.0), below);
        let square = simd.mul_f32s(c(2.0 * self.l2), x);
        let d = simd.add_f32s(simd.mul_f32s(c(self.l1), sign), square);
        let d = simd.mul_f32s(c(self.d_loss), d);
        [if self.accumulate { simd.add_f32s(d_x, d) } else { d }]
    }
}

/// What to multiply each column by for its norm to be at most `limit`.
struct Scales<'a> {
    x: &'a [f32],
    limit: f32,
}

impl Columns for Scales<'_> {
    #[inline(always)]
    fn block(&self, first: usize, count: usize, scales: &mut [f32]) {
        // Over the largest, so that no square overflows.
        let (mut largest, mut sums) = ([0.0f32; BLOCK], [0.0f64; BLOCK]);
        for row in self.x.chunks_exact(count) {
            for (l, v) in largest.iter_mut().zip(&row[first..][..scales.len()]) {
                *l = if v.abs() > *l || v.is_nan() { v.abs() } else { *l };
            }
        }
        for row in self.x.chunks_exact(count) {
            let row = &row[first..][..scales.len()];
            for ((sum, v), l) in sums.iter_mut().zip(row).zip(&largest) {
                *sum += if *l > 0.0 { f64::from((v / l) * (v / l)) } else { 0.0 };
            }
        }
        for ((scale, sum), l) in scales.iter_mut().zip(sums).zip(largest) {
            *scale = match f64::from(l) * sum.sqrt() {
                // The share of the largest is NaN where that is infinite, and so is the norm.
                _ if l == f32::INFINITY => 0.0,
                norm if norm > f64::from(self.limit) => (f64::from(self.limit) / norm) as f32,
                _ => 1.0,
            };
        }
    }
}
