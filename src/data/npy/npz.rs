//! Archives of arrays.

use super::header::{Header, LARGEST};
use super::{NpyArray, Source, check_length};
use crate::file::{io, open};
use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// A file of several arrays with names (`.npz`): what `numpy.savez` and `numpy.savez_compressed` write.
///
/// Arrays of the first are read on demand, as those of `.npy` files; those of the second have to be
/// unpacked into memory, of which [`NpzFile::memory_limit`] is the most. It needs the feature `npz`.
///
/// ```
/// use wgpu_lstm::data::{NpzFile, Targets};
/// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/arrays_packed.npz");
/// let file = NpzFile::open(path)?; // numpy.savez_compressed(path, x=…, y=…)
/// assert_eq!(file.names(), ["x", "y"]);
/// let x = file.array("x")?.sequences()?; // [5,3,2]
/// let y = Targets::classes(file.array("y")?.read_classes()?); // [5]
/// assert_eq!((x.len(), x.frames(0)), (5, 3));
/// # let _ = y;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug)]
pub struct NpzFile {
    path: PathBuf,
    names: Vec<String>,
    limit: u64,
}

impl NpzFile {
    /// Opens a file and reads the names of its arrays.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] if it is no zip archive.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let archive = archive(&path, open(&path)?.0)?;
        let mut names = Vec::new();
        for name in archive.file_names() {
            let name = name.map_err(|error| bad(&path, "the name of an array".into(), &error))?;
            names.extend(name.strip_suffix(".npy").map(str::to_owned));
        }
        Ok(Self { path, names, limit: 1 << 30 })
    }

    /// Sets how many bytes a packed array may have when it is unpacked; the default is 1 GiB. A small file
    /// may unpack to a thousand times its size. It is no limit for what is not packed.
    #[must_use]
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// The names of the arrays, in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// One of the arrays. It is unpacked here if it is packed; its checksum is then compared, too.
    ///
    /// # Errors
    /// [`Error::File`] if there is no such array, if it is larger than [`NpzFile::memory_limit`], damaged,
    /// encrypted or packed in another way than numpy does, and those of [`NpyArray::open`].
    pub fn array(&self, name: &str) -> Result<NpyArray> {
        let (file, length) = open(&self.path)?;
        let mut archive = archive(&self.path, file)?;
        let named = format!("{}: {name}", self.path.display());
        let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|error| match error {
            ZipError::FileNotFound => Error::File {
                path: self.path.display().to_string(),
                entry: format!("the array {name:?}"),
                expected: format!("one of {:?}", self.names),
                found: "missing".into(),
            },
            other => bad(&self.path, format!("the array {name:?}"), &other),
        })?;
        if entry.compression() == CompressionMethod::Stored && !entry.encrypted() {
            let start = entry.data_start().unwrap_or(u64::MAX);
            let end = start.saturating_add(entry.size()).min(length);
            drop(entry);
            return NpyArray::in_file(archive.into_inner(), start..end, &self.path, named);
        }
        let damaged = |error| bad(&self.path, format!("the array {name:?}"), &ZipError::Io(error));
        let mut bytes = Vec::new();
        (&mut entry).take(LARGEST as u64).read_to_end(&mut bytes).map_err(damaged)?;
        let (header, size) = Header::parse(&bytes).map_err(|bad| bad.of(&named))?;
        let expected = size as u64 + header.data() as u64;
        if expected > self.limit {
            return Err(Error::File {
                path: self.path.display().to_string(),
                entry: format!("the array {name:?}"),
                expected: format!("at most {} (NpzFile::memory_limit)", self.limit),
                found: format!("{expected} bytes"),
            });
        }
        // One byte more than there should be, whatever the archive says.
        let more = (expected + 1).saturating_sub(bytes.len() as u64);
        (&mut entry).take(more).read_to_end(&mut bytes).map_err(damaged)?;
        check_length(&named, &header, size, bytes.len() as u64)?;
        Ok(NpyArray { name: named, source: Source::Memory(bytes), start: size as u64, header })
    }
}

fn archive(path: &Path, mut file: File) -> Result<ZipArchive<File>> {
    file.seek(SeekFrom::Start(0)).map_err(|error| io("read", path, error))?;
    ZipArchive::new(file).map_err(|error| bad(path, "the file".into(), &error))
}

fn bad(path: &Path, entry: String, error: &ZipError) -> Error {
    Error::File {
        path: path.display().to_string(),
        entry,
        expected: "as numpy.savez writes it".into(),
        found: format!("unreadable ({error})"),
    }
}
