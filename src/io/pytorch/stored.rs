//! Tensors in a file: where their numbers lie, and how they become floats in order.

use super::dtype::DType;
use super::pickle::View;
use crate::io::{Number, Source};
use crate::{Error, Result};
use std::ops::Range;

/// A tensor of a file, or why it cannot be read.
pub(super) type Stored = Result<(Place, View), String>;

/// The names and tensors of a file.
pub(super) type Named = Vec<(String, Stored)>;

/// Where a storage lies.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// These bytes of the file.
    Bytes(Range<u64>),
    /// A packed entry of an archive, from this byte of it on.
    Packed { index: usize, first: u64 },
}

/// Leaves out the tensors by which a file asks for far more memory than it has bytes: a stride of 0 makes any number of
/// values of one. All tensors together may have as many values as no model lacks, 16 for each byte, and what small files
/// expand.
pub(super) fn bound(named: &mut Named, len: u64) {
    const EXPANDED: usize = 1 << 24;
    let most = usize::try_from(len).unwrap_or(usize::MAX).saturating_mul(16);
    let most = most.saturating_add(EXPANDED);
    let mut left = most;
    for (_, stored) in named {
        let Ok((_, view)) = stored else { continue };
        let count = view.shape.iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
        match count.and_then(|count| left.checked_sub(count)) {
            Some(rest) => left = rest,
            None => {
                let (shape, strides) = (&view.shape, &view.strides);
                *stored = Err(format!(
                    "of the shape {shape:?}, with strides {strides:?}, in a file of {len} bytes, whose tensors may \
                     have {most} values in all"
                ));
            }
        }
    }
}

/// The values of a tensor, in the order of its axes. `unpacked` gives the bytes of a packed entry.
pub(super) fn values(
    source: &Source,
    unpacked: impl Fn(usize) -> Result<Source>,
    (place, view): &(Place, View),
    entry: &str,
) -> Result<Vec<f32>> {
    // As `bound` has made sure.
    let count = view.shape.iter().product();
    if count == 0 {
        return Ok(Vec::new());
    }
    match place {
        Place::Bytes(range) => Lying { source, range: range.clone(), view, entry }.values(count),
        Place::Packed { index, first } => {
            let unpacked = unpacked(*index)?;
            let range = *first..unpacked.len();
            Lying { source: &unpacked, range, view, entry }.values(count)
        }
    }
}

/// How a tensor's numbers are read.
pub(super) fn number(source: &Source, view: &View, entry: &str) -> Result<Number> {
    let DType { number, name, .. } = view.dtype;
    let expected = "of real numbers that become 32-bit floats";
    number.ok_or_else(|| source.bad(entry, expected, format!("of {name}")))
}

/// A tensor whose bytes are there.
struct Lying<'a> {
    source: &'a Source,
    /// The bytes of its storage.
    range: Range<u64>,
    view: &'a View,
    entry: &'a str,
}

/// From so many numbers that are passed over for one on, each is read by itself.
const SPARSE: usize = 64;

impl Lying<'_> {
    fn values(&self, count: usize) -> Result<Vec<f32>> {
        let size = self.view.dtype.size;
        let number = number(self.source, self.view, self.entry)?;
        let View { shape, strides, .. } = self.view;
        // The numbers from the first to the last, and what they would be side by side.
        let (mut span, mut plain, mut in_order) = (Some(1_usize), 1, true);
        for (&axis, &stride) in shape.iter().zip(strides).rev() {
            if axis > 1 {
                in_order &= stride == plain;
                span = span.and_then(|s| s.checked_add((axis - 1).checked_mul(stride)?));
            }
            plain *= axis;
        }
        let bytes = |numbers: u64| numbers.checked_mul(size as u64);
        let first = bytes(self.view.offset).and_then(|at| at.checked_add(self.range.start));
        let all = first.zip(span.and_then(|span| bytes(span as u64)));
        let all = all.and_then(|(first, len)| Some(first..first.checked_add(len)?));
        let (Some(all), Some(span)) = (all.filter(|all| all.end <= self.range.end), span) else {
            let there = self.range.end.saturating_sub(self.range.start) / size as u64;
            let View { offset, .. } = self.view;
            let found = format!("{shape:?} from number {offset}, with strides {strides:?}");
            return Err(self.bad(&format!("within the {there} numbers of its storage"), found));
        };
        if in_order {
            return self.source.floats(all, number, self.entry);
        }
        let read: Box<dyn Fn(usize) -> Result<f32>> = if span / SPARSE > count {
            Box::new(|at| {
                let at = all.start + (at * size) as u64;
                let one = self.source.floats(at..at + size as u64, number, self.entry)?;
                Ok(one.first().copied().unwrap_or(f32::NAN))
            })
        } else {
            let numbers = self.source.floats(all, number, self.entry)?;
            Box::new(move |at| Ok(numbers[at]))
        };
        let mut values = Vec::new();
        let error = |_| Error::OutOfMemory { what: "a tensor of a file", bytes: 4 * count as u64 };
        values.try_reserve_exact(count).map_err(error)?;
        let (mut index, mut at) = (vec![0; shape.len()], 0);
        for _ in 0..count {
            values.push(read(at)?);
            // The next index, the last axis the fastest.
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                at -= index[axis] * strides[axis];
                index[axis] = 0;
            }
        }
        Ok(values)
    }

    fn bad(&self, expected: &str, found: String) -> Error {
        self.source.bad(self.entry, expected, found)
    }
}
