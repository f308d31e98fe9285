//! A sequence with its mirror images before and after it, and the gradient.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::some_rows;
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

pub(crate) static FORWARD: Kernel = Kernel {
    name: "reflect",
    parts: &[INDEX, ELEMENTWISE, wgsl!("conv/reflect.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "reflect_bwd",
    parts: &[INDEX, ELEMENTWISE, wgsl!("conv/reflect_bwd.wgsl")],
    bindings: &[("d_y", Read), ("d_x", Write)],
    ..Kernel::PLAIN
};

/// `x` `[B,T,C]` to `[B,before+T+after,C]`: PyTorch's `ReflectionPad1d`. Both are less than T.
pub(crate) fn reflect(x: &Tensor, [b, t, c]: [usize; 3], edges: [usize; 2]) -> Result<Tensor> {
    let [before, after] = edges;
    let all = before + t + after;
    let y = Tensor::empty([b, all, c], &x.device())?;
    if let Some(gpu) = x.gpu() {
        elementwise(&FORWARD, y.len())
            .words(&[t, c, before, all].map(|word| word as u32))
            .run(gpu, &[Some(x), Some(&y)])?;
        return Ok(y);
    }
    let x = x.cpu();
    y.cpu_mut(|y| {
        some_rows(y, all * c, |first, y| {
            for (row, y) in (first..).zip(y.chunks_exact_mut(all * c)) {
                let x = &x[row * t * c..][..t * c];
                y[before * c..][..t * c].copy_from_slice(x);
                let frames = x.chunks_exact(c).skip(1);
                y.chunks_exact_mut(c).take(before).rev().zip(frames).for_each(copy);
                let frames = x.chunks_exact(c).rev().skip(1);
                y.chunks_exact_mut(c).skip(before + t).zip(frames).for_each(copy);
            }
        });
    });
    Ok(y)
}

fn copy((to, from): (&mut [f32], &[f32])) {
    to.copy_from_slice(from);
}

/// The gradient of `x`.
pub(crate) fn backward(d_y: &Tensor, [b, t, c]: [usize; 3], edges: [usize; 2]) -> Result<Tensor> {
    let [before, after] = edges;
    let all = before + t + after;
    let d_x = Tensor::empty([b, t, c], &d_y.device())?;
    if let Some(gpu) = d_y.gpu() {
        elementwise(&BACKWARD, d_x.len())
            .words(&[t, c, before, all].map(|word| word as u32))
            .run(gpu, &[Some(d_y), Some(&d_x)])?;
        return Ok(d_x);
    }
    let d_y = d_y.cpu();
    d_x.cpu_mut(|d_x| {
        some_rows(d_x, t * c, |first, d_x| {
            for (row, d_x) in (first..).zip(d_x.chunks_exact_mut(t * c)) {
                let d_y = &d_y[row * all * c..][..all * c];
                d_x.copy_from_slice(&d_y[before * c..][..t * c]);
                let images = d_y.chunks_exact(c).take(before).rev();
                d_x.chunks_exact_mut(c).skip(1).zip(images).for_each(add);
                let images = d_y.chunks_exact(c).skip(before + t);
                d_x.chunks_exact_mut(c).rev().skip(1).zip(images).for_each(add);
            }
        });
    });
    Ok(d_x)
}

fn add((to, from): (&mut [f32], &[f32])) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}
