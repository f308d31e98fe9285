//! Numbers by indices that are on the host, as ONNX's Gather and its kin; negative ones count from the end.

use super::take::take;
use super::walk::{around, check_axis, len, place};
use crate::tensor::{count, room_for};
use crate::{Device, Error, Result, Tensor};

/// Checks that indices fill their shape.
pub(super) fn check_count(op: &'static str, found: usize, shape: &[usize]) -> Result<()> {
    let expected = count(shape);
    if found == expected {
        return Ok(());
    }
    Err(Error::Count { op, shape: shape.to_vec(), expected, found })
}

/// Places of an axis, which is replaced by the shape of the indices.
///
/// # Errors
/// [`Error::Option`] for an index that is not there.
pub(crate) fn gather(x: &Tensor, axis: usize, indices: &[i64], shape: &[usize]) -> Result<Tensor> {
    check_axis("gather", x.shape(), axis)?;
    check_count("gather", indices.len(), shape)?;
    let of = around(x.shape(), axis);
    let places = places("gather", indices, of[1])?;
    let whole = [&x.shape()[..axis], shape, &x.shape()[axis + 1..]].concat();
    take(x, of, &places, 0.0, whole)
}

/// The places that these indices of an axis mean.
pub(super) fn places(op: &'static str, indices: &[i64], size: usize) -> Result<Vec<usize>> {
    let mut places = room_for("the places of indices", indices.len())?;
    for &index in indices {
        places.push(place(op, index, size)?);
    }
    Ok(places)
}

/// Where each index of `shape` leads along an axis of an array: the place in that of what is at the same place of
/// the other axes.
pub(super) fn along(
    op: &'static str,
    of: &[usize],
    axis: usize,
    indices: &[i64],
    shape: &[usize],
) -> Result<Vec<usize>> {
    check_axis(op, of, axis)?;
    check_count(op, indices.len(), shape)?;
    let fits = |at: usize| at == axis || shape[at] <= of[at];
    if shape.len() != of.len() || !(0..of.len()).all(fits) {
        let help = "the indices have as many axes, none but theirs longer";
        let (expected, found) = (of.to_vec(), shape.to_vec());
        return Err(Error::Shape { op, arg: "indices", axes: "at most", expected, found, help });
    }
    let mut places = room_for("the places of indices", indices.len())?;
    // The place of all axes but this one, counted on like a clock.
    let strides: Vec<_> = (0..of.len()).map(|axis| len(&of[axis + 1..])).collect();
    let (mut clock, mut base) = (vec![0; of.len()], 0);
    for &index in indices {
        places.push(base + place(op, index, of[axis])? * strides[axis]);
        for at in (0..of.len()).rev() {
            let stride = if at == axis { 0 } else { strides[at] };
            clock[at] += 1;
            base += stride;
            if clock[at] < shape[at] {
                break;
            }
            base -= clock[at] * stride;
            clock[at] = 0;
        }
    }
    Ok(places)
}

/// Of each index the number at that place of the axis, and at the index's own place of the other axes.
pub(crate) fn gather_elements(
    x: &Tensor,
    axis: usize,
    indices: &[i64],
    shape: &[usize],
) -> Result<Tensor> {
    let places = along("gather_elements", x.shape(), axis, indices, shape)?;
    take(x, [1, x.len(), 1], &places, 0.0, shape.to_vec())
}

/// Where each row of indices, the last axis of `shape`, leads in an array of shape `of` behind its first
/// `batch_axes`, which both have: a number among the parts that the row does not go into.
pub(super) fn into_parts(
    op: &'static str,
    of: &[usize],
    batch_axes: usize,
    indices: &[i64],
    shape: &[usize],
) -> Result<(Vec<usize>, usize)> {
    check_count(op, indices.len(), shape)?;
    let depth = shape.last().copied().unwrap_or(0);
    let fits = shape.len() > batch_axes
        && batch_axes.checked_add(depth).is_some_and(|axes| depth > 0 && axes <= of.len())
        && of[..batch_axes] == shape[..batch_axes];
    if !fits {
        let axes = "[batch.., .., K], with K axes of the other at most,";
        let help = "the axes of the batch come first in both, and K is at least 1";
        let (expected, found) = (of.to_vec(), shape.to_vec());
        return Err(Error::Shape { op, arg: "indices", axes, expected, found, help });
    }
    let sizes = &of[batch_axes..batch_axes + depth];
    let rows = indices.len() / depth;
    let each = rows.checked_div(len(&of[..batch_axes])).unwrap_or(0);
    let mut places = room_for("the places of indices", rows)?;
    for (row, indices) in indices.chunks_exact(depth).enumerate() {
        let mut at = row / each;
        for (&index, &size) in indices.iter().zip(sizes) {
            at = at * size + place(op, index, size)?;
        }
        places.push(at);
    }
    Ok((places, len(&of[batch_axes + depth..])))
}

/// The parts of `x` that rows of indices lead to, behind the first `batch_axes`.
pub(crate) fn gather_nd(
    x: &Tensor,
    batch_axes: usize,
    indices: &[i64],
    shape: &[usize],
) -> Result<Tensor> {
    let (places, inner) = into_parts("gather_nd", x.shape(), batch_axes, indices, shape)?;
    let depth = shape.last().copied().unwrap_or(0);
    let whole = [&shape[..shape.len() - 1], &x.shape()[batch_axes + depth..]].concat();
    take(x, [1, x.len().checked_div(inner).unwrap_or(0), inner], &places, 0.0, whole)
}

/// `off_on[1]` at each index of a new axis of `depth` places, elsewhere `off_on[0]`; also for an index that the
/// axis does not have.
pub(crate) fn one_hot(
    indices: &[i64],
    shape: &[usize],
    depth: usize,
    axis: usize,
    off_on: [f32; 2],
    device: &Device,
) -> Result<Tensor> {
    check_count("one_hot", indices.len(), shape)?;
    if axis > shape.len() {
        let expected = format!("at most {}", shape.len());
        return Err(Error::Option { option: "one_hot's axis", found: axis.to_string(), expected });
    }
    let whole = [&shape[..axis], &[depth], &shape[axis..]].concat();
    let total = count(&whole);
    let mut values = room_for("one-hot vectors", total)?;
    values.resize(total, off_on[0]);
    let inner = len(&shape[axis..]);
    for (at, &index) in indices.iter().enumerate() {
        if let Ok(place) = place("one_hot", index, depth) {
            values[(at / inner * depth + place) * inner + at % inner] = off_on[1];
        }
    }
    Tensor::from_slice(&values, whole, device)
}
