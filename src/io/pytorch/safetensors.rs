//! Safetensors files: a header of names, types, shapes and places, and the numbers.

use super::dtype::{DType, UNKNOWN};
use super::pickle::View;
use super::stored::{Named, Place};
use crate::Result;
use crate::file::header;
use crate::io::Source;

/// Whether a file's bytes begin as such a file's do.
pub(super) fn begins(first: &[u8; 9], len: u64) -> bool {
    let [.., brace] = *first;
    let mut header = [0; 8];
    header.copy_from_slice(&first[..8]);
    brace == b'{' && u64::from_le_bytes(header) < len
}

pub(super) fn open(source: &Source) -> Result<Named> {
    let read = |range, bytes: &mut [u8]| source.read_into(range, bytes, "the header");
    let bad = |entry: &str, expected, found| source.bad(entry, expected, found);
    let (header, start) = header::read(source.len(), read, bad)?;
    let mut named: Named = Vec::new();
    let mut tensors: Vec<_> = header.tensors.into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    for (name, info) in tensors {
        let place = |at: usize| start.saturating_add(at as u64);
        let (first, end) = info.data_offsets;
        let dtype = DType::of_safetensors(&info.dtype.to_string()).unwrap_or(UNKNOWN);
        let mut strides = vec![1; info.shape.len()];
        for axis in (1..info.shape.len()).rev() {
            // Of a tensor without values it may overflow, and is not looked at.
            strides[axis - 1] = info.shape[axis].saturating_mul(strides[axis]);
        }
        let view = View { dtype, offset: 0, shape: info.shape, strides };
        named.push((name, Ok((Place::Bytes(place(first)..place(end)), view))));
    }
    Ok(named)
}
