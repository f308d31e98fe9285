//! The bytes of a file, read where they lie: a tensor is never held as bytes and as numbers at once.

use crate::file::{io, open};
use crate::{Error, Result};
use half::{bf16, f16};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A file, or bytes in memory, that is read by ranges.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    name: Arc<str>,
    bytes: Bytes,
    len: u64,
}

#[derive(Debug, Clone)]
enum Bytes {
    File(Arc<Mutex<File>>),
    Memory(Arc<[u8]>),
}

/// How numbers lie in a file, the lowest byte first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Number {
    /// The bytes of one.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Appends the numbers of some bytes, as 32-bit floats.
    fn widen(self, bytes: &[u8], values: &mut Vec<f32>) {
        fn each<const N: usize>(bytes: &[u8], values: &mut Vec<f32>, f: impl Fn([u8; N]) -> f32) {
            values.extend(bytes.as_chunks::<N>().0.iter().map(|&word| f(word)));
        }
        match self {
            Self::F64 => each(bytes, values, |word| f64::from_le_bytes(word) as f32),
            Self::F32 => each(bytes, values, f32::from_le_bytes),
            Self::F16 => each(bytes, values, |word| f16::from_le_bytes(word).to_f32()),
            Self::Bf16 => each(bytes, values, |word| bf16::from_le_bytes(word).to_f32()),
            Self::I64 => each(bytes, values, |word| i64::from_le_bytes(word) as f32),
            Self::I32 => each(bytes, values, |word| i32::from_le_bytes(word) as f32),
            Self::I16 => each(bytes, values, |word| i16::from_le_bytes(word).into()),
            Self::I8 => each(bytes, values, |word: [u8; 1]| i8::from_le_bytes(word).into()),
            Self::U8 => each(bytes, values, |[byte]: [u8; 1]| byte.into()),
            Self::Bool => each(bytes, values, |[byte]: [u8; 1]| f32::from(u8::from(byte != 0))),
        }
    }
}

/// The bytes that are read at once where they become other numbers.
const PART: usize = 1 << 18;

impl Source {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (file, len) = open(path)?;
        let bytes = Bytes::File(Arc::new(Mutex::new(file)));
        Ok(Self { name: path.display().to_string().into(), bytes, len })
    }

    /// What is in memory, under a name for errors.
    pub(crate) fn memory(name: &str, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { name: name.into(), len: bytes.len() as u64, bytes: Bytes::Memory(bytes) }
    }

    /// The path, or the name that was given.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// All bytes that there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The error of an entry that is not what it should be.
    pub(crate) fn bad(
        &self,
        entry: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        let (entry, expected, found) = (entry.into(), expected.into(), found.into());
        Error::File { path: self.name.to_string(), entry, expected, found }
    }

    /// Fills `bytes` from the place `at`; `entry` says of what, for an error.
    ///
    /// # Errors
    /// [`Error::File`] if the file is shorter; [`Error::Io`].
    pub(crate) fn read_into(&self, at: u64, bytes: &mut [u8], entry: &str) -> Result<()> {
        let end = at.checked_add(bytes.len() as u64).filter(|&end| end <= self.len);
        let Some(end) = end else {
            let found = format!("{} of them from byte {at}", bytes.len());
            return Err(self.bad(entry, format!("bytes within the file's {}", self.len), found));
        };
        match &self.bytes {
            // Both fit: they are not past the end of what is in memory.
            Bytes::Memory(all) => bytes.copy_from_slice(&all[at as usize..end as usize]),
            Bytes::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(bytes));
                read.map_err(|error| io("read", Path::new(&*self.name), error))?;
            }
        }
        Ok(())
    }

    /// The bytes of a range.
    ///
    /// # Errors
    /// As [`Source::read_into`], and [`Error::OutOfMemory`].
    pub(crate) fn read(&self, range: Range<u64>, entry: &str) -> Result<Vec<u8>> {
        let len = self.check(&range, entry)?;
        let mut bytes = Vec::new();
        let error = |_| Error::OutOfMemory { what: "a part of a file", bytes: len as u64 };
        bytes.try_reserve_exact(len).map_err(error)?;
        bytes.resize(len, 0);
        self.read_into(range.start, &mut bytes, entry)?;
        Ok(bytes)
    }

    /// The numbers of a range, as 32-bit floats.
    ///
    /// # Errors
    /// As [`Source::read`], and [`Error::File`] if the range is not of whole numbers.
    pub(crate) fn floats(
        &self,
        range: Range<u64>,
        number: Number,
        entry: &str,
    ) -> Result<Vec<f32>> {
        let len = self.check(&range, entry)?;
        let count = len / number.size();
        if count * number.size() != len {
            let expected = format!("numbers of {} bytes", number.size());
            return Err(self.bad(entry, expected, format!("{len} bytes")));
        }
        let mut values = Vec::new();
        let bytes = 4 * count as u64;
        let error = |_| Error::OutOfMemory { what: "a tensor of a file", bytes };
        values.try_reserve_exact(count).map_err(error)?;
        let mut part = vec![0; PART.min(len)];
        let mut at = range.start;
        while at < range.end {
            let bytes = (range.end - at).min(PART as u64) as usize;
            let part = &mut part[..bytes];
            self.read_into(at, part, entry)?;
            number.widen(part, &mut values);
            at += bytes as u64;
        }
        Ok(values)
    }

    /// That this is no pointer of Git LFS, which lies in a file's place until that is fetched.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Io`].
    #[cfg(feature = "onnx")]
    pub(crate) fn check_no_pointer(&self, entry: &str) -> Result<()> {
        const HEAD: &[u8] = b"version https://git-lfs";
        let mut head = [0; HEAD.len()];
        // A pointer is below 1024 bytes.
        if !(HEAD.len() as u64..1024).contains(&self.len) {
            return Ok(());
        }
        self.read_into(0, &mut head, entry)?;
        match head == HEAD {
            true => Err(self.bad(
                entry,
                "the file itself (git lfs pull fetches it)",
                "in a pointer of Git LFS",
            )),
            false => Ok(()),
        }
    }

    /// How many bytes a range has, all of which are in the file.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn check(&self, range: &Range<u64>, entry: &str) -> Result<usize> {
        let len = range.end.checked_sub(range.start).filter(|_| range.end <= self.len);
        len.and_then(|len| usize::try_from(len).ok()).ok_or_else(|| {
            let found = format!("from byte {} to {}", range.start, range.end);
            self.bad(entry, format!("bytes within the file's {}", self.len), found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_as_floats_over_the_edges_of_parts() -> Result<()> {
        let count = PART / 8 + 3;
        let bytes: Vec<u8> = (0..count).flat_map(|i| (i as f64 / 4.0).to_le_bytes()).collect();
        let source = Source::memory("it", bytes);
        let values = source.floats(8..source.len(), Number::F64, "the tensor")?;
        assert!(values.iter().enumerate().all(|(i, &v)| v == (i + 1) as f32 / 4.0));
        assert_eq!(values.len(), count - 1);
        Ok(())
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let source = Source::memory("it", vec![0; 10]);
        #[expect(clippy::reversed_empty_ranges, reason = "as a damaged file has them")]
        for range in [0..11, 5..3, 11..12, u64::MAX - 1..u64::MAX] {
            assert!(matches!(source.read(range, "x"), Err(Error::File { .. })));
        }
        assert!(matches!(source.floats(0..10, Number::F32, "x"), Err(Error::File { .. })));
        assert!(matches!(source.read_into(u64::MAX, &mut [0; 2], "x"), Err(Error::File { .. })));
    }
}
