//! Numbers that are put to indices, as ONNX's ScatterElements and ScatterND. Indices are on the host.

use super::gather::{along, into_parts};
use crate::check::Check;
use crate::ops::frames::gather;
use crate::tensor::room_for;
use crate::{Result, Tensor};

/// What becomes of the number that is there, and the one that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scatter {
    /// Of several that come to one place the last stays.
    Set,
    Add,
    Mul,
    /// NaN if one is.
    Min,
    /// NaN if one is.
    Max,
}

/// Puts each number of `updates` to its index along an axis, and to its own place of the other axes. The indices
/// have the shape of `updates`.
pub(crate) fn scatter_elements(
    x: &Tensor,
    axis: usize,
    indices: &[i64],
    updates: &Tensor,
    how: Scatter,
) -> Result<Tensor> {
    let places = along("scatter_elements", x.shape(), axis, indices, updates.shape())?;
    scatter("scatter_elements", x, &places, updates, 1, how)
}

/// Puts each part of `updates` to where its row of indices, the last axis of `shape`, leads in `x`.
pub(crate) fn scatter_nd(
    x: &Tensor,
    indices: &[i64],
    shape: &[usize],
    updates: &Tensor,
    how: Scatter,
) -> Result<Tensor> {
    let (places, inner) = into_parts("scatter_nd", x.shape(), 0, indices, shape)?;
    let depth = shape.last().copied().unwrap_or(0);
    let expected = [&shape[..shape.len() - 1], &x.shape()[depth..]].concat();
    let check = Check::new("scatter_nd", "the indices but their last axis, and what these lead to");
    check.shape("updates", updates, "of the indices", &expected)?;
    scatter("scatter_nd", x, &places, updates, inner, how)
}

/// Puts parts of `inner` numbers to these places, counted in parts.
fn scatter(
    op: &'static str,
    x: &Tensor,
    places: &[usize],
    updates: &Tensor,
    inner: usize,
    how: Scatter,
) -> Result<Tensor> {
    Check::new(op, "").device(x, &[("updates", updates)])?;
    if x.is_empty() || updates.is_empty() {
        return Ok(x.clone());
    }
    let device = x.device();
    if x.gpu().is_none() {
        let y = Tensor::empty(x.shape(), &device)?;
        let (x, updates) = (x.cpu(), updates.cpu());
        y.cpu_mut(|y| {
            y.copy_from_slice(&x);
            put(y, places, &updates, inner, how);
        });
        return Ok(y);
    }
    if how == Scatter::Set {
        // Each part of the result is one of `x` or, past these, of `updates`.
        let parts = x.len() / inner;
        let mut numbers = room_for("the places of indices", parts)?;
        numbers.extend(0..parts as u32);
        for (update, &place) in places.iter().enumerate() {
            numbers[place] = (parts + update) as u32;
        }
        let numbers = Tensor::from_u32(&numbers, [parts], &device)?;
        let updates = updates.reshape([places.len(), inner])?;
        let y = gather::gather(&x.reshape([parts, inner])?, Some(&updates), &numbers)?;
        return y.reshape(x.shape());
    }
    // Several may come to one place, in their order: that is the host's work.
    let mut y = x.to_vec()?;
    put(&mut y, places, &updates.to_vec()?, inner, how);
    Tensor::from_slice(&y, x.shape(), &device)
}

fn put(y: &mut [f32], places: &[usize], updates: &[f32], inner: usize, how: Scatter) {
    for (&place, update) in places.iter().zip(updates.chunks_exact(inner)) {
        let y = &mut y[place * inner..][..inner];
        for (y, &x) in y.iter_mut().zip(update) {
            *y = match how {
                Scatter::Set => x,
                Scatter::Add => *y + x,
                Scatter::Mul => *y * x,
                Scatter::Min if x < *y || x.is_nan() => x,
                Scatter::Max if x > *y || x.is_nan() => x,
                Scatter::Min | Scatter::Max => *y,
            };
        }
    }
}
