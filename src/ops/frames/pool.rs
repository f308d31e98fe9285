//! One frame of each row's frames, and the gradient. The gradient of a sum repeats a frame.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, wgsl};
use crate::lengths::Counted;
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, STEPS, elementwise, product};
use crate::{Result, Tensor};

pub(crate) static FORWARD: Kernel = Kernel {
    name: "pool",
    parts: &[INDEX, STEPS, IS_NAN, LONG_SUM, ELEMENTWISE, wgsl!("frames/pool.wgsl")],
    bindings: &[("x", Read), ("steps", Read), ("y", Write), ("found", Write)],
    variants,
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "pool_bwd",
    parts: &[INDEX, STEPS, ELEMENTWISE, wgsl!("frames/pool_bwd.wgsl")],
    bindings: &[("d_y", Read), ("steps", Read), ("found", Read), ("d_x", Write)],
    variants,
    ..Kernel::PLAIN
};

fn variants() -> Vec<Constants> {
    let kinds = [0, 1, 2, 3, 4].map(|kind| vec![("KIND", kind)]);
    product([0, 1, 2].map(|steps| vec![("STEPS", steps)]).to_vec(), &kinds)
}

/// What is made of a row's frames; the number is the kernels' `KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sum = 0,
    Mean = 1,
    Max = 2,
    Last = 3,
    First = 4,
}

/// `x` `[B,T,C]` to `[B,C]`; and what the backward pass needs.
pub(crate) fn pool(
    kind: Kind,
    x: &Tensor,
    [b, t, c]: [usize; 3],
    steps: &Counted,
) -> Result<(Tensor, Tensor)> {
    let y = Tensor::empty([b, c], &x.device())?;
    let found = Tensor::empty([b, c], &x.device())?;
    if let Some(gpu) = x.gpu() {
        elementwise(&FORWARD, b * c)
            .constants(&[("STEPS", steps.code()), ("KIND", kind as u32)])
            .words(&[t as u32, c as u32])
            .run(gpu, &[Some(x), steps.tensor(), Some(&y), Some(&found)])?;
        return Ok((y, found));
    }
    let x = x.cpu();
    y.cpu_mut(|y| {
        found.cpu_mut(|found| {
            let rows = y.chunks_exact_mut(c).zip(found.chunks_exact_mut(c));
            // In double precision: a float that has grown large loses what is added to it.
            let mut sums = vec![0.0f64; if matches!(kind, Kind::Sum | Kind::Mean) { c } else { 0 }];
            for (row, (y, found)) in rows.enumerate() {
                y.fill(0.0);
                sums.fill(0.0);
                found.fill(t as f32);
                let mut number = 0;
                for at in (0..t).filter(|&at| steps.counts(row, at)) {
                    let frame = &x[(row * t + at) * c..][..c];
                    number += 1;
                    if !sums.is_empty() {
                        sums.iter_mut().zip(frame).for_each(|(sum, &v)| *sum += f64::from(v));
                        continue;
                    }
                    for ((y, found), &v) in y.iter_mut().zip(&mut *found).zip(frame) {
                        match kind {
                            Kind::Max if number > 1 && !(v > *y || v.is_nan()) => {}
                            Kind::First if number > 1 => {}
                            _ => (*y, *found) = (v, at as f32),
                        }
                    }
                }
                y.iter_mut().zip(&sums).for_each(|(y, &sum)| *y = sum as f32);
                if kind == Kind::Mean {
                    y.iter_mut().for_each(|y| *y /= number.max(1) as f32);
                    found.fill(number as f32);
                }
            }
        });
    });
    Ok((y, found))
}

/// The gradient of `x`. A sum needs no `found`.
pub(crate) fn backward(
    kind: Kind,
    d_y: &Tensor,
    [b, t, c]: [usize; 3],
    steps: &Counted,
    found: Option<&Tensor>,
) -> Result<Tensor> {
    let d_x = Tensor::empty([b, t, c], &d_y.device())?;
    if let Some(gpu) = d_y.gpu() {
        elementwise(&BACKWARD, b * t * c)
            .constants(&[("STEPS", steps.code()), ("KIND", kind as u32)])
            .words(&[t as u32, c as u32])
            .run(gpu, &[Some(d_y), steps.tensor(), found, Some(&d_x)])?;
        return Ok(d_x);
    }
    let (d_y, found) = (d_y.cpu(), found.map(Tensor::cpu));
    d_x.cpu_mut(|d_x| {
        for (frame, d_x) in d_x.chunks_exact_mut(c).enumerate() {
            let (row, at) = (frame / t, frame % t);
            if !steps.counts(row, at) {
                d_x.fill(0.0);
                continue;
            }
            for (j, d_x) in d_x.iter_mut().enumerate() {
                let i = row * c + j;
                let found = found.as_ref().map_or(0.0, |f| f[i]);
                *d_x = match kind {
                    Kind::Sum => d_y[i],
                    Kind::Mean => d_y[i] / found,
                    Kind::Max | Kind::Last | Kind::First if found == at as f32 => d_y[i],
                    Kind::Max | Kind::Last | Kind::First => 0.0,
                };
            }
        }
    });
    Ok(d_x)
}
