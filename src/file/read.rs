//! Reading of a safetensors file, tensor by tensor.

use super::header::{self, Header};
use super::{RESERVED, io, open};
use crate::{Error, Result};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorInfo};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A safetensors file whose header was read and checked against the file's length, so that no tensor asks
/// for more memory than the file has bytes.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    file: File,
    /// The byte at which the tensors begin.
    start: u64,
    texts: BTreeMap<String, String>,
    tensors: BTreeMap<String, TensorInfo>,
}

impl Reader {
    /// Opens a file and reads its header.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (file, bytes) = open(path)?;
        let bad = |entry: &str, expected, found| {
            let path = path.display().to_string();
            Error::File { path, entry: entry.into(), expected, found }
        };
        let read = |at, bytes: &mut [u8]| {
            let read = (&file).seek(SeekFrom::Start(at)).and_then(|_| (&file).read_exact(bytes));
            read.map_err(|error| io("read", path, error))
        };
        let (header, start) = header::read(bytes, read, bad)?;
        let Header { texts, tensors } = header;
        Ok(Self { path: path.into(), file, start, texts, tensors })
    }

    /// The error of an entry that is not what it should be.
    pub(crate) fn bad(
        &self,
        entry: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::File {
            path: self.path.display().to_string(),
            entry: entry.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The text of this name.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// The names and texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// How many values the tensors have that are parameters of a model.
    pub(crate) fn values_of_parameters(&self) -> usize {
        let parameters = self.tensors.iter().filter(|(name, _)| !name.starts_with(RESERVED));
        parameters.map(|(_, info)| info.shape.iter().product::<usize>()).sum()
    }

    /// Checks that a tensor is there, with this shape and numbers that [`Reader::values`] reads.
    pub(crate) fn check(&self, name: &str, shape: &[usize]) -> Result<()> {
        let entry = || format!("tensor {name}");
        let Some(info) = self.tensors.get(name) else {
            return Err(self.bad(entry(), format!("{shape:?}"), "missing"));
        };
        if info.shape != shape {
            return Err(self.bad(entry(), format!("{shape:?}"), format!("{:?}", info.shape)));
        }
        match info.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => Ok(()),
            other => Err(self.bad(entry(), "of F32, F16 or BF16", format!("of {other}"))),
        }
    }

    /// The values of a tensor, as 32-bit floats.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<f32>> {
        let Some(info) = self.tensors.get(name).cloned() else {
            return Err(self.bad(format!("tensor {name}"), "a tensor", "missing"));
        };
        self.check(name, &info.shape)?;
        let read = |error| io("read", &self.path, error);
        let (first, end) = info.data_offsets;
        let (size, widen): (_, Widen) = match info.dtype {
            Dtype::F16 => (2, |bytes, values| {
                values.extend(pairs(bytes).map(|bits| f16::from_bits(bits).to_f32()));
            }),
            Dtype::BF16 => (2, |bytes, values| {
                values.extend(pairs(bytes).map(|bits| bf16::from_bits(bits).to_f32()));
            }),
            _ => (4, |bytes, values| {
                let words = bytes.as_chunks::<4>().0;
                values.extend(words.iter().map(|&word| f32::from_le_bytes(word)));
            }),
        };
        let len = (end - first) / size;
        let mut values = Vec::new();
        values.try_reserve_exact(len).map_err(|_| Error::OutOfMemory {
            what: "a tensor of a file",
            bytes: 4 * len as u64,
        })?;
        self.file.seek(SeekFrom::Start(self.start + first as u64)).map_err(read)?;
        // By parts that a cache holds: memory is written once.
        let mut part = vec![0; PART.min(end - first)];
        let mut left = end - first;
        while left > 0 {
            let bytes = left.min(part.len());
            let part = &mut part[..bytes];
            self.file.read_exact(part).map_err(read)?;
            widen(part, &mut values);
            left -= bytes;
        }
        Ok(values)
    }
}

/// Appends the numbers of some bytes.
type Widen = fn(&[u8], &mut Vec<f32>);

/// The bytes that are read at once.
const PART: usize = 1 << 18;

fn pairs(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|&pair| u16::from_le_bytes(pair))
}
