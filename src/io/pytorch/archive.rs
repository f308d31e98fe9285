//! Zip archives, as `torch.save` and TorchScript write them: a pickle, and a file of numbers for each storage.

use super::pickle::{Pickle, Storage};
use super::stored::{Named, Place};
use crate::io::Source;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Mutex, MutexGuard, PoisonError};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// An archive whose entries are read where they lie, or unpacked if another program packed them.
#[derive(Debug)]
pub(super) struct Archive {
    source: Source,
    zip: Mutex<ZipArchive<At>>,
    /// The entry that was last unpacked: tensors that share a storage follow each other.
    last: Mutex<Option<(usize, Source)>>,
}

impl Archive {
    pub(super) fn open(source: &Source) -> Result<(Self, Named)> {
        let zip = ZipArchive::new(At { source: source.clone(), at: 0 });
        let zip = zip.map_err(|error| bad(source, "the file", &error))?;
        let mut entries = BTreeMap::new();
        for (index, name) in zip.file_names().enumerate() {
            if let Ok(name) = name {
                entries.insert(name.into_owned(), index);
            }
        }
        let archive = Self { source: source.clone(), zip: Mutex::new(zip), last: Mutex::new(None) };
        let root = entries.keys().find_map(|name| {
            let folder = name.strip_suffix("/data.pkl")?;
            (!folder.contains('/')).then(|| folder.to_owned())
        });
        let Some(root) = root else {
            return Err(source.bad("data.pkl", "in a folder of the archive", "missing"));
        };
        if let Some(&index) = entries.get(&format!("{root}/byteorder")) {
            let order = archive.pickled(index)?;
            let order = order.0.read(order.1, "byteorder")?;
            if order != b"little" {
                let found = String::from_utf8_lossy(&order).into_owned();
                return Err(source.bad("byteorder", "little", found));
            }
        }
        let mut named = archive.tensors(&entries, &root, "data")?;
        if entries.contains_key(&format!("{root}/constants.pkl")) {
            let constants = archive.tensors(&entries, &root, "constants")?;
            named.extend(constants.into_iter().map(|(name, stored)| match name.is_empty() {
                true => ("constants".to_owned(), stored),
                false => (format!("constants.{name}"), stored),
            }));
        }
        Ok((archive, named))
    }

    /// The tensors of the pickle `ROOT/NAME.pkl`, whose storages lie in `ROOT/NAME/`.
    fn tensors(&self, entries: &BTreeMap<String, usize>, root: &str, name: &str) -> Result<Named> {
        let file = format!("{name}.pkl");
        let Some(&index) = entries.get(&format!("{root}/{file}")) else { return Ok(Vec::new()) };
        let (source, range) = self.pickled(index)?;
        let (pickle, _) = Pickle::read(&source, range, &file)?;
        let places = pickle.storages.iter().map(|Storage { key, dtype, first }| {
            let entry = format!("{root}/{name}/{key}");
            let Some(&index) = entries.get(&entry) else {
                return Ok(Err(format!("in {entry:?}, which is missing")));
            };
            let first = first.saturating_mul(dtype.size as u64);
            Ok(Ok(match self.place(index)? {
                Place::Bytes(range) => Place::Bytes(range.start.saturating_add(first)..range.end),
                Place::Packed { index, .. } => Place::Packed { index, first },
            }))
        });
        let places = places.collect::<Result<Vec<Result<Place, String>>>>()?;
        let found = pickle.names(&source, &file)?;
        Ok(super::join(&pickle, &places, found))
    }

    /// The bytes of a small entry: where they lie, or unpacked.
    fn pickled(&self, index: usize) -> Result<(Source, std::ops::Range<u64>)> {
        Ok(match self.place(index)? {
            Place::Bytes(range) => (self.source.clone(), range),
            Place::Packed { .. } => {
                let unpacked = self.unpacked(index)?;
                let range = 0..unpacked.len();
                (unpacked, range)
            }
        })
    }

    /// Where an entry lies.
    fn place(&self, index: usize) -> Result<Place> {
        let mut zip = lock(&self.zip);
        let entry = zip.by_index_raw(index).map_err(|error| self.bad(&error))?;
        if entry.encrypted() || entry.compression() != CompressionMethod::Stored {
            return Ok(Place::Packed { index, first: 0 });
        }
        let start = entry.data_start().unwrap_or(u64::MAX);
        let range = start..start.saturating_add(entry.size()).min(self.source.len());
        Ok(Place::Bytes(range))
    }

    /// The bytes of a packed entry: as many as eight times the archive's, or 64 MiB, at most.
    pub(super) fn unpacked(&self, index: usize) -> Result<Source> {
        let mut last = lock(&self.last);
        if let Some((_, source)) = last.as_ref().filter(|(at, _)| *at == index) {
            return Ok(source.clone());
        }
        *last = None;
        let most = self.source.len().saturating_mul(8).max(64 << 20);
        let mut zip = lock(&self.zip);
        let entry = zip.by_index(index).map_err(|error| self.bad(&error))?;
        let mut bytes = Vec::new();
        let read = entry.take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.bad(&ZipError::Io(error)))?;
        if bytes.len() as u64 > most {
            let expected = format!("at most {most} bytes in an archive of {}", self.source.len());
            return Err(self.source.bad("a packed entry", expected, "more"));
        }
        let source = Source::memory(self.source.name(), bytes);
        *last = Some((index, source.clone()));
        Ok(source)
    }

    fn bad(&self, error: &ZipError) -> Error {
        bad(&self.source, "an entry of the archive", error)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bad(source: &Source, entry: &str, error: &ZipError) -> Error {
    source.bad(entry, "as torch.save writes it", format!("unreadable ({error})"))
}

/// A source that is read from a place on.
#[derive(Debug, Clone)]
struct At {
    source: Source,
    at: u64,
}

impl Read for At {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len().saturating_sub(self.at);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.source
            .read_into(self.at, &mut bytes[..len], "the archive")
            .map_err(io::Error::other)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for At {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.source.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
