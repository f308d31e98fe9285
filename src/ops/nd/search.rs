//! Places of the largest and the smallest numbers. They are looked for on the host, which the numbers are read back
//! to: what comes of it is there anyway.

use super::strided::transpose;
use super::walk::{around, check_axis};
use crate::tensor::{count, room_for};
use crate::{Error, Result, Tensor};
use std::cmp::Ordering;

/// The place of the largest number along an axis, which is left out: the first of equals, or the last. A NaN is
/// larger than all, as for numpy. Waits for the device.
pub(crate) fn arg_max(x: &Tensor, axis: usize, last: bool) -> Result<Vec<i64>> {
    extreme(x, axis, |new, old| new > old || (last && new == old))
}

/// The place of the smallest number, as [`arg_max`]; a NaN is smaller than all, as for numpy.
pub(crate) fn arg_min(x: &Tensor, axis: usize, last: bool) -> Result<Vec<i64>> {
    extreme(x, axis, |new, old| new < old || (last && new == old))
}

fn extreme(x: &Tensor, axis: usize, better: impl Fn(f32, f32) -> bool) -> Result<Vec<i64>> {
    check_axis("arg_max", x.shape(), axis)?;
    let [outer, size, inner] = around(x.shape(), axis);
    if outer == 0 || inner == 0 {
        return Ok(Vec::new());
    }
    if size == 0 {
        let found = x.shape().to_vec();
        return Err(Error::Empty {
            op: "arg_max",
            arg: "x",
            axes: "the axis and those beside it",
            found,
        });
    }
    let mut found = room_for("the places of the largest numbers", outer * inner)?;
    let words;
    let host;
    let values: &[f32] = match x.gpu() {
        Some(_) => {
            host = x.to_vec()?;
            &host
        }
        None => {
            words = x.cpu();
            &words
        }
    };
    for row in 0..outer {
        for column in 0..inner {
            let mut numbers =
                values[row * size * inner + column..].iter().step_by(inner).take(size);
            let (mut place, mut best) = (0, numbers.next().copied().unwrap_or(0.0));
            for (at, &x) in (1..).zip(numbers) {
                if !best.is_nan() && (x.is_nan() || better(x, best)) {
                    (place, best) = (at, x);
                }
            }
            found.push(place);
        }
    }
    Ok(found)
}

/// The `k` largest numbers along an axis, or the smallest, the most extreme first and of equals the first, and
/// their places. A NaN is larger than all. Waits for the device.
///
/// # Errors
/// [`Error::Option`] if there are not so many.
pub(crate) fn top_k(
    x: &Tensor,
    axis: usize,
    k: usize,
    largest: bool,
) -> Result<(Tensor, Vec<i64>)> {
    check_axis("top_k", x.shape(), axis)?;
    let size = x.shape()[axis];
    if k > size {
        let expected = format!("at most {size}, the places of the axis");
        return Err(Error::Option { option: "top_k", found: k.to_string(), expected });
    }
    let mut shape = x.shape().to_vec();
    shape[axis] = k;
    let axes = shape.len();
    // The axis as the last one, there and back.
    let order: Vec<_> = (0..axes).filter(|&other| other != axis).chain([axis]).collect();
    let turned = transpose(x, &order)?.to_vec()?;
    let rows = turned.len().checked_div(size).unwrap_or(0);
    let [_, _, inner] = around(&shape, axis);
    let mut values = room_for("the largest numbers", count(&shape))?;
    values.resize(count(&shape), 0.0);
    let mut places = vec![0; values.len()];
    let by_size = |a: f32, b: f32| match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    };
    let mut all: Vec<usize> = Vec::new();
    for row in 0..if k > 0 { rows } else { 0 } {
        let x = &turned[row * size..][..size];
        all.clear();
        all.extend(0..size);
        let order = |&a: &usize, &b: &usize| {
            let more = if largest { by_size(x[b], x[a]) } else { by_size(x[a], x[b]) };
            more.then(a.cmp(&b))
        };
        if k < size {
            all.select_nth_unstable_by(k - 1, order);
            all.truncate(k);
        }
        all.sort_unstable_by(order);
        let (before, column) = (row / inner, row % inner);
        for (rank, &place) in all.iter().enumerate() {
            let at = (before * k + rank) * inner + column;
            (values[at], places[at]) = (x[place], place as i64);
        }
    }
    Ok((Tensor::from_slice(&values, shape, &x.device())?, places))
}
