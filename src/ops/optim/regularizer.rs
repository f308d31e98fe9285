//! What keeps values small: l1 |x| + l2 x², its gradient, and a limit of norms.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{
    ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, Launch, ROW_REDUCE, elementwise, switches,
};
use crate::ops::sums::reduce_sum::reduce_sum;
use crate::{Result, Tensor};

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
    y.cpu_mut(|y| {
        let sum: f64 = x.cpu().iter().map(|x| f64::from(l1 * x.abs() + l2 * x * x)).sum();
        y[0] = sum as f32;
    });
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
    d_x.cpu_mut(|d_x| {
        for (d_x, &x) in d_x.iter_mut().zip(&*x) {
            let sign = if x == 0.0 { 0.0 } else { x.signum() };
            let d = d_loss * (l1 * sign + 2.0 * l2 * x);
            *d_x = if accumulate { *d_x + d } else { d };
        }
    });
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
        // Over the largest, so that no square overflows.
        let mut largest = vec![0.0f32; columns];
        for row in x.chunks_exact(columns) {
            for (l, v) in largest.iter_mut().zip(row) {
                *l = if v.abs() > *l || v.is_nan() { v.abs() } else { *l };
            }
        }
        let mut sums = vec![0.0f64; columns];
        for row in x.chunks_exact(columns) {
            for ((sum, v), l) in sums.iter_mut().zip(row).zip(&largest) {
                *sum += if *l > 0.0 { f64::from((v / l) * (v / l)) } else { 0.0 };
            }
        }
        let scales = sums.iter().zip(&largest).map(|(sum, &l)| match f64::from(l) * sum.sqrt() {
            // The share of the largest is NaN where that is infinite, and so is the norm.
            _ if l == f32::INFINITY => 0.0,
            norm if norm > f64::from(limit) => (f64::from(limit) / norm) as f32,
            _ => 1.0,
        });
        let scales: Vec<_> = scales.collect();
        for row in x.chunks_exact_mut(columns) {
            row.iter_mut().zip(&scales).for_each(|(v, scale)| *v *= scale);
        }
    });
    Ok(())
}
