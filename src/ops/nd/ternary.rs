//! Functions of three numbers, whose shapes are broadcast.

use super::walk::{Walk, broadcast, broadcast_stride};
use super::{WALK, launch};
use crate::check::Check;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::some_rows;
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN, switches};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "ternary",
    parts: &[IS_NAN, WALK, INDEX, ELEMENTWISE, wgsl!("nd/ternary.wgsl")],
    bindings: &[("a", Read), ("b", Read), ("c", Read), ("y", Write)],
    variants: || switches(["MULTIPLY_ADD"]),
    ..Kernel::PLAIN
};

/// `a` where `cond` is not 0, else `b`, the shapes broadcast as numpy's: ONNX's Where.
pub(crate) fn select(cond: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ternary("select", false, [cond, a, b], |c, a, b| if c == 0.0 { b } else { a })
}

/// `x` `factor` + `shift`, the shapes broadcast as numpy's.
pub(crate) fn multiply_add(x: &Tensor, factor: &Tensor, shift: &Tensor) -> Result<Tensor> {
    ternary("multiply_add", true, [x, factor, shift], |x, factor, shift| x * factor + shift)
}

fn ternary(
    op: &'static str,
    multiply_add: bool,
    x: [&Tensor; 3],
    f: impl Fn(f32, f32, f32) -> f32 + Sync,
) -> Result<Tensor> {
    Check::new(op, "").device(x[0], &[("b", x[1]), ("c", x[2])])?;
    let shape = broadcast(op, &x.map(Tensor::shape))?;
    let strides = |axis| x.map(|x| broadcast_stride(x.shape(), &shape, axis));
    let walk = Walk::new(op, &shape, strides, [0; 3])?;
    let y = Tensor::empty(shape, &x[0].device())?;
    if y.is_empty() {
        return Ok(y);
    }
    if let Some(gpu) = x[0].gpu() {
        let tensors = [Some(x[0]), Some(x[1]), Some(x[2]), Some(&y)];
        let constants = [("MULTIPLY_ADD", multiply_add.into())];
        launch(gpu, &KERNEL, &constants, &walk.words([0; 3]), &tensors)?;
        return Ok(y);
    }
    let words = x.map(Tensor::cpu);
    let [a, b, c] = words.each_ref().map(|words| &words[..]);
    y.cpu_mut(|y| {
        some_rows(y, walk.run(), |first, y| {
            for (run, y) in (first..).zip(y.chunks_exact_mut(walk.run())) {
                along(walk.start(run), walk.step(), [a, b, c], y, &f);
            }
        });
    });
    Ok(y)
}

/// One run, with loops that know the steps which there mostly are.
fn along(
    [a, b, c]: [usize; 3],
    step: [isize; 3],
    x: [&[f32]; 3],
    y: &mut [f32],
    f: &impl Fn(f32, f32, f32) -> f32,
) {
    let n = y.len();
    match step {
        [1, 1, 1] => {
            let (a, b, c) = (&x[0][a..][..n], &x[1][b..][..n], &x[2][c..][..n]);
            y.iter_mut().enumerate().for_each(|(i, y)| *y = f(a[i], b[i], c[i]));
        }
        [1, 0, 0] => {
            let (b, c) = (x[1][b], x[2][c]);
            y.iter_mut().zip(&x[0][a..][..n]).for_each(|(y, &a)| *y = f(a, b, c));
        }
        // Of what is dense and broadcast no stride is negative.
        step => {
            let [p, q, r] = step.map(|step| step as usize);
            y.iter_mut()
                .enumerate()
                .for_each(|(i, y)| *y = f(x[0][a + i * p], x[1][b + i * q], x[2][c + i * r]));
        }
    }
}
