//! The archive of a `.keras` file: the model as JSON, and its weights as HDF5.

use super::config::LARGEST;
use super::h5::{self, Group};
use crate::io::Source;
use crate::{Error, Result};
use std::io::{Read, Seek, SeekFrom};
use zip::read::ZipFile;
use zip::{CompressionMethod, ZipArchive};

pub(super) const CONFIG: &str = "config.json";
pub(super) const METADATA: &str = "metadata.json";
pub(super) const WEIGHTS: &str = "model.weights.h5";

/// Keras does not compress weights. Where another program did, they may have so many times the bytes of the file.
const LARGEST_RATIO: u64 = 8;

/// And so many more: the HDF5 of a small model is mostly empty.
const SMALL: u64 = 16 << 20;

/// What an archive holds.
pub(super) struct Archive {
    pub(super) config: String,
    pub(super) metadata: Option<String>,
    pub(super) weights: Group,
}

/// Whether a file begins as an archive does.
pub(super) fn is_archive(source: &Source) -> bool {
    let mut signature = [0; 4];
    source.read_into(0, &mut signature, "the file").is_ok() && signature == *b"PK\x03\x04"
}

/// Reads an archive but for its weights' values.
///
/// # Errors
/// [`Error::File`] if it is damaged or lacks one of its parts; [`Error::Io`].
pub(super) fn open(source: &Source) -> Result<Archive> {
    let reader = Reader { source: source.clone(), at: 0 };
    let mut zip = ZipArchive::new(reader).map_err(|error| {
        source.bad("the file", "an archive as Keras writes it", format!("none ({error})"))
    })?;
    let config = text(source, &mut zip, CONFIG)?
        .ok_or_else(|| source.bad(CONFIG, "in the archive of a `.keras` file", "missing"))?;
    let metadata = text(source, &mut zip, METADATA)?;
    let Some(mut entry) = entry(source, &mut zip, WEIGHTS)? else {
        let expected = "in the archive (weights in several files are not read)";
        return Err(source.bad(WEIGHTS, expected, "missing"));
    };
    let weights = match (entry.compression(), entry.data_start()) {
        (CompressionMethod::Stored, Some(start)) if !entry.encrypted() => {
            let end = start.saturating_add(entry.size()).min(source.len());
            h5::open(source, start.min(end)..end)?
        }
        _ => {
            let most = source.len().saturating_mul(LARGEST_RATIO).saturating_add(SMALL);
            let bytes = unpack(source, &mut entry, WEIGHTS, most)?;
            let name = format!("{}: {WEIGHTS}", source.name());
            let unpacked = Source::memory(&name, bytes);
            h5::open(&unpacked, 0..unpacked.len())?
        }
    };
    Ok(Archive { config, metadata, weights })
}

fn entry<'a>(
    source: &Source,
    zip: &'a mut ZipArchive<Reader>,
    name: &str,
) -> Result<Option<ZipFile<'a, Reader>>> {
    match zip.by_name(name) {
        Ok(entry) => Ok(Some(entry)),
        Err(zip::result::ZipError::FileNotFound) => Ok(None),
        Err(error) => Err(source.bad(name, "readable", format!("damaged ({error})"))),
    }
}

fn text(source: &Source, zip: &mut ZipArchive<Reader>, name: &str) -> Result<Option<String>> {
    let Some(mut entry) = entry(source, zip, name)? else { return Ok(None) };
    let bytes = unpack(source, &mut entry, name, LARGEST)?;
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|error| source.bad(name, "a text in UTF-8", format!("none ({error})")))
}

fn unpack(
    source: &Source,
    entry: &mut ZipFile<'_, Reader>,
    name: &str,
    most: u64,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = entry.take(most.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| source.bad(name, "readable", format!("damaged ({error})")))?;
    match bytes.len() as u64 > most {
        true => Err(source.bad(name, format!("at most {most} bytes when unpacked"), "longer")),
        false => Ok(bytes),
    }
}

/// A source from its start to its end.
struct Reader {
    source: Source,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let left = self.source.len().saturating_sub(self.at);
        let count = left.min(bytes.len() as u64) as usize;
        let read = self.source.read_into(self.at, &mut bytes[..count], "the archive");
        read.map_err(|error: Error| std::io::Error::other(error))?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.source.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| std::io::Error::other("a place before the start"))?;
        Ok(self.at)
    }
}
