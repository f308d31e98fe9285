//! One value from the two halves of each row: what a bidirectional layer makes of its directions.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

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
    y.cpu_mut(|y| {
        for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(2 * c)) {
            for (j, y) in y.iter_mut().enumerate() {
                let (a, b) = (x[j], x[c + j]);
                *y = match kind {
                    Kind::Sum => a + b,
                    Kind::Mean => 0.5 * (a + b),
                    Kind::Product => a * b,
                };
            }
        }
    });
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
    d_x.cpu_mut(|d_x| {
        let rows = d_x.chunks_exact_mut(2 * c).zip(x.chunks_exact(2 * c)).zip(d_y.chunks_exact(c));
        for ((d_x, x), d_y) in rows {
            for (j, d_x) in d_x.iter_mut().enumerate() {
                *d_x = match kind {
                    Kind::Sum => d_y[j % c],
                    Kind::Mean => 0.5 * d_y[j % c],
                    Kind::Product => d_y[j % c] * x[(j + c) % (2 * c)],
                };
            }
        }
    });
    Ok(d_x)
}
