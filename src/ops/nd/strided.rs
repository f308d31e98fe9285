//! Copies by strides: transposes, slices, broadcasts, axes backwards.

use super::walk::{self, Walk, broadcast, broadcast_stride, check_axis, stride};
use super::{WALK, launch};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::some_rows;
use crate::ops::common::{ELEMENTWISE, INDEX};
use crate::{Error, Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "strided",
    parts: &[WALK, INDEX, ELEMENTWISE, wgsl!("nd/strided.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// Checks that no place of a walk lies outside of `len` numbers.
pub(super) fn check_places(
    op: &'static str,
    len: usize,
    shape: &[usize],
    strides: &[isize],
    offset: usize,
) -> Result<()> {
    let mut ends = [offset as i128; 2];
    for (&size, &stride) in shape.iter().zip(strides) {
        let way = (size as i128 - 1).saturating_mul(stride as i128);
        let end = &mut ends[usize::from(way > 0)];
        *end = end.saturating_add(way);
    }
    let inside = ends[0] >= 0 && ends[1] < len as i128 || shape.contains(&0);
    if inside && shape.len() == strides.len() {
        return Ok(());
    }
    let found = format!("the shape {shape:?} with the strides {strides:?} from {offset} on");
    Err(Error::Option { option: op, found, expected: format!("places among {len}") })
}

/// y[i,j,..] = x[`offset` + i `strides[0]` + j `strides[1]` + ..], counted in numbers from the begin of `x`. It
/// shares the numbers of `x` where nothing moves.
///
/// # Errors
/// [`Error::Option`] where that leads out of `x`.
pub(crate) fn strided(
    x: &Tensor,
    shape: &[usize],
    strides: &[isize],
    offset: usize,
) -> Result<Tensor> {
    check_places("strided", x.len(), shape, strides, offset)?;
    let walk = Walk::new("strided", shape, |axis| [strides[axis]], [offset])?;
    // A kernel's binding begins at a multiple of 256 bytes.
    let can_share = x.gpu().is_none() || (x.offset + offset).is_multiple_of(64);
    if walk.is_one_run() && walk.step() == [1] && can_share && walk.len() > 0 {
        return Ok(x.view(offset, shape));
    }
    let y = Tensor::empty(shape, &x.device())?;
    if y.is_empty() {
        return Ok(y);
    }
    if x.gpu().is_some() {
        let both = |axis| [strides[axis], stride(shape, axis)];
        copy(x, &y, &Walk::new("strided", shape, both, [offset, 0])?)?;
        return Ok(y);
    }
    let x = x.cpu();
    let (run, [step]) = (walk.run(), walk.step());
    y.cpu_mut(|y| {
        some_rows(y, run, |first, y| {
            for (number, y) in (first..).zip(y.chunks_exact_mut(run)) {
                let [at] = walk.start(number);
                match step {
                    1 => y.copy_from_slice(&x[at..at + run]),
                    0 => y.fill(x[at]),
                    step => {
                        for (i, y) in (0..).zip(y) {
                            *y = x[at.wrapping_add_signed(i * step)];
                        }
                    }
                }
            }
        });
    });
    Ok(y)
}

/// Copies numbers of `x` to places of `y`, on a GPU.
pub(super) fn copy(x: &Tensor, y: &Tensor, walk: &Walk<2>) -> Result<()> {
    let Some(gpu) = x.gpu() else { return Ok(()) };
    match walk.len() {
        0 => Ok(()),
        _ => launch(gpu, &KERNEL, &[], &walk.words([0; 3]), &[Some(x), Some(y)]),
    }
}

/// Axis i of the result is axis `axes[i]` of `x`.
///
/// # Errors
/// [`Error::Option`] unless each axis is there once.
pub(crate) fn transpose(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let (shape, strides) = transposed(x.shape(), axes)?;
    strided(x, &shape, &strides, 0)
}

/// The shape of a transpose, and the strides that lead to it.
pub(super) fn transposed(shape: &[usize], axes: &[usize]) -> Result<(Vec<usize>, Vec<isize>)> {
    let once = |axis| axes.iter().filter(|&&other| other == axis).count() == 1;
    if axes.len() != shape.len() || !(0..shape.len()).all(once) {
        let expected = format!("each axis of {shape:?} once");
        return Err(Error::Option { option: "transpose", found: format!("{axes:?}"), expected });
    }
    Ok(axes.iter().map(|&axis| (shape[axis], stride(shape, axis))).unzip())
}

/// `x` broadcast with `shape`, as ONNX's Expand.
pub(crate) fn expand(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let whole = broadcast("expand", &[x.shape(), shape])?;
    let strides = (0..whole.len()).map(|axis| broadcast_stride(x.shape(), &whole, axis));
    strided(x, &whole, &strides.collect::<Vec<_>>(), 0)
}

/// Of an axis `count` places, from `first` on with a `step`, which may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SliceAxis {
    pub(crate) axis: usize,
    pub(crate) first: usize,
    pub(crate) step: isize,
    pub(crate) count: usize,
}

/// Some places of some axes; all of the others.
///
/// # Errors
/// [`Error::Option`] for a place that is not there.
pub(crate) fn slice(x: &Tensor, parts: &[SliceAxis]) -> Result<Tensor> {
    let (shape, strides, offset) = sliced(x.shape(), parts)?;
    strided(x, &shape, &strides, offset)
}

/// The shape of a slice, the strides that lead to it, and where it begins.
pub(super) fn sliced(
    shape: &[usize],
    parts: &[SliceAxis],
) -> Result<(Vec<usize>, Vec<isize>, usize)> {
    let mut strides: Vec<_> = (0..shape.len()).map(|axis| stride(shape, axis)).collect();
    let (mut found, mut offset) = (shape.to_vec(), 0);
    for &SliceAxis { axis, first, step, count } in parts {
        check_axis("slice", shape, axis)?;
        check_places("slice", shape[axis], &[count], &[step], first)?;
        found[axis] = count;
        if count > 0 {
            offset = first.saturating_mul(strides[axis] as usize).saturating_add(offset);
        }
        // Of one place the step does not matter, and might be as large as a number can be.
        strides[axis] = strides[axis].saturating_mul(if count > 1 { step } else { 1 });
    }
    // An axis that comes twice has been checked for the first time alone.
    let len = walk::len(shape);
    check_places("slice", len, &found, &strides, offset)?;
    Ok((found, strides, offset))
}

/// `x` with the places of these axes backwards.
pub(crate) fn flip(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let of = |&axis: &usize| {
        let count = x.shape().get(axis).copied().unwrap_or(0);
        SliceAxis { axis, first: count.saturating_sub(1), step: -1, count }
    };
    slice(x, &axes.iter().map(of).collect::<Vec<_>>())
}
