//! Copies that join, cut, lengthen and turn around.

use super::strided::{copy, strided};
use super::take::{NONE, take};
use super::ternary::select;
use super::walk::{Walk, around, check_axis, len, stride};
use crate::check::Check;
use crate::tensor::room_for;
use crate::{Error, Result, Tensor};

/// The parts one behind the other along an axis; all other axes are alike.
pub(crate) fn concat(parts: &[&Tensor], axis: usize) -> Result<Tensor> {
    let Some((&first, others)) = parts.split_first() else {
        let expected = "at least one tensor".into();
        return Err(Error::Option { option: "concat", found: "none".into(), expected });
    };
    let mut shape = first.shape().to_vec();
    check_axis("concat", &shape, axis)?;
    let check = Check::new("concat", "all axes but the one that is joined are alike");
    for part in others {
        let mut expected = first.shape().to_vec();
        if let (Some(size), Some(expected)) = (part.shape().get(axis), expected.get_mut(axis)) {
            *expected = *size;
            shape[axis] = shape[axis].saturating_add(*size);
        }
        check.shape("part", part, "of the first", &expected)?;
        check.device(first, &[("part", part)])?;
    }
    let mut filled = parts.iter().filter(|part| !part.is_empty());
    if let (Some(only), None) = (filled.next(), filled.next()) {
        return Ok((*only).clone());
    }
    let y = Tensor::empty(shape.as_slice(), &first.device())?;
    if y.is_empty() {
        return Ok(y);
    }
    let [outer, _, inner] = around(&shape, axis);
    if first.gpu().is_some() {
        let mut at = 0;
        for part in parts {
            let strides = |axis| [stride(part.shape(), axis), stride(&shape, axis)];
            copy(part, &y, &Walk::new("concat", part.shape(), strides, [0, at])?)?;
            at += part.shape()[axis] * inner;
        }
        return Ok(y);
    }
    let words: Vec<_> = parts.iter().map(|part| part.cpu()).collect();
    y.cpu_mut(|mut rest| {
        for row in 0..outer {
            for (words, part) in words.iter().zip(parts) {
                let len = part.shape()[axis] * inner;
                let (here, behind) = rest.split_at_mut(len);
                here.copy_from_slice(&words[row * len..][..len]);
                rest = behind;
            }
        }
    });
    Ok(y)
}

/// Parts of these sizes, which together are the axis.
pub(crate) fn split(x: &Tensor, axis: usize, sizes: &[usize]) -> Result<Vec<Tensor>> {
    check_axis("split", x.shape(), axis)?;
    let size = x.shape()[axis];
    if sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size)) != Some(size) {
        let expected = format!("sizes that together are {size}, the places of the axis");
        return Err(Error::Option { option: "split", found: format!("{sizes:?}"), expected });
    }
    let strides: Vec<_> = (0..x.shape().len()).map(|axis| stride(x.shape(), axis)).collect();
    let mut shape = x.shape().to_vec();
    let mut first = 0usize;
    let mut part = |&size: &usize| {
        shape[axis] = size;
        let offset = first.saturating_mul(strides[axis] as usize);
        first += size;
        strided(x, &shape, &strides, offset)
    };
    sizes.iter().map(&mut part).collect()
}

/// What lies past the ends of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PadMode {
    Constant(f32),
    /// The last place, over and over.
    Edge,
    /// The places back from the end, which itself comes once.
    Reflect,
    /// The places from the other end on.
    Wrap,
}

/// So many places before and after those of each axis; where they are negative, so many fewer.
///
/// # Errors
/// [`Error::Option`] if an axis would have less than no places, or has none that could be repeated.
pub(crate) fn pad(x: &Tensor, before: &[isize], after: &[isize], mode: PadMode) -> Result<Tensor> {
    let axes = x.shape().len();
    if before.len() != axes || after.len() != axes {
        let found = format!("{} before and {} after", before.len(), after.len());
        let expected = format!("{axes} of each, a number for each axis");
        return Err(Error::Option { option: "pad", found, expected });
    }
    let mut y = x.clone();
    for (axis, (&before, &after)) in before.iter().zip(after).enumerate() {
        if (before, after) != (0, 0) {
            y = pad_axis(&y, axis, before, after, mode)?;
        }
    }
    Ok(y)
}

fn pad_axis(x: &Tensor, axis: usize, before: isize, after: isize, mode: PadMode) -> Result<Tensor> {
    let mut shape = x.shape().to_vec();
    let size = shape[axis] as i128;
    let count = size + before as i128 + after as i128;
    let constant = matches!(mode, PadMode::Constant(_));
    if count < 0 || (size == 0 && count > 0 && !constant) {
        let found = format!("{before} and {after} places more");
        let expected = format!("places for an axis of {size}, which its own are repeated for");
        return Err(Error::Option { option: "pad", found, expected });
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut places = room_for("the places of a padded axis", count)?;
    places.extend((0..count).map(|i| {
        let at = i as i128 - before as i128;
        let place = match mode {
            PadMode::Constant(_) if !(0..size).contains(&at) => return NONE,
            PadMode::Constant(_) => at,
            PadMode::Edge => at.clamp(0, size - 1),
            PadMode::Wrap => at.rem_euclid(size),
            PadMode::Reflect => {
                let there = at.rem_euclid((2 * size - 2).max(1));
                if there < size { there } else { 2 * size - 2 - there }
            }
        };
        place as usize
    }));
    let value = if let PadMode::Constant(value) = mode { value } else { 0.0 };
    let of = around(&shape, axis);
    shape[axis] = count;
    take(x, of, &places, value, shape)
}

/// For each place b of the axis `batch` the first `lengths[b]` places of the axis `time` backwards: ONNX's
/// ReverseSequence. The two axes are the first two.
pub(crate) fn reverse_sequence(
    x: &Tensor,
    time: usize,
    batch: usize,
    lengths: &[i64],
) -> Result<Tensor> {
    let &[first, second, ..] = x.shape() else {
        let axes = "at least two, time and batch";
        let found = x.shape().to_vec();
        return Err(Error::Rank { op: "reverse_sequence", arg: "x", axes, found });
    };
    let (steps, rows) = match (time, batch) {
        (0, 1) => (first, second),
        (1, 0) => (second, first),
        _ => {
            let found = format!("{time} for time and {batch} for the batch");
            let expected = "0 and 1, or 1 and 0".into();
            return Err(Error::Option { option: "reverse_sequence's axes", found, expected });
        }
    };
    let fine = |&length: &i64| (0..=steps as i64).contains(&length);
    if lengths.len() != rows || !lengths.iter().all(fine) {
        let expected = format!("{rows}, each at most {steps}");
        let found = format!("{lengths:?}");
        return Err(Error::Option { option: "reverse_sequence's lengths", found, expected });
    }
    if x.is_empty() {
        return Ok(x.clone());
    }
    let mut places = room_for("the places of a sequence", steps * rows)?;
    places.extend((0..steps * rows).map(|place| {
        let (t, b) =
            if time == 0 { (place / rows, place % rows) } else { (place % steps, place / steps) };
        let length = lengths[b] as usize;
        let t = if t < length { length - 1 - t } else { t };
        if time == 0 { t * rows + b } else { b * steps + t }
    }));
    let inner = len(&x.shape()[2..]);
    take(x, [1, steps * rows, inner], &places, 0.0, x.shape().to_vec())
}

/// The triangle of the last two axes above the `k`-th diagonal, or below it, with the diagonal; 0 elsewhere.
pub(crate) fn trilu(x: &Tensor, upper: bool, k: i64) -> Result<Tensor> {
    let &[.., rows, columns] = x.shape() else {
        let axes = "at least two, rows and columns";
        return Err(Error::Rank { op: "trilu", arg: "x", axes, found: x.shape().to_vec() });
    };
    if x.is_empty() {
        return Ok(x.clone());
    }
    let mut mask = room_for("the mask of a triangle", rows * columns)?;
    mask.extend((0..rows as i64).flat_map(|row| {
        let diagonal = row.saturating_add(k);
        (0..columns as i64).map(move |column| {
            f32::from(if upper { column >= diagonal } else { column <= diagonal })
        })
    }));
    let device = x.device();
    let mask = Tensor::from_slice(&mask, [rows, columns], &device)?;
    select(&mask, x, &Tensor::zeros(Vec::new(), &device)?)
}
