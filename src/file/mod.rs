//! What is kept in files: safetensors files, and the states that outlive a process.

pub(crate) mod header;
mod read;
mod state;
mod write;

pub(crate) use read::Reader;
pub use state::State;
pub(crate) use write::{Entry, Sink, replace, write, write_floats};

use crate::{Error, Result};
use std::fmt::Display;
use std::fs::File;
use std::path::Path;

/// What begins the names of tensors and texts that are no part of a model: those of a training. Parameters
/// are not called so.
pub(crate) const RESERVED: &str = "__";

/// That a file could not be read or written.
pub(crate) fn io(action: &'static str, path: &Path, error: impl Display) -> Error {
    Error::Io { action, path: path.display().to_string(), error: error.to_string() }
}

/// Opens a file, and says how many bytes it has.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let read = |error| io("read", path, error);
    // Opening a pipe would wait for a writer; after it another file may have taken the name.
    std::fs::metadata(path).and_then(|found| regular(&found)).map_err(read)?;
    let file = File::open(path).map_err(read)?;
    let found = file.metadata().map_err(read)?;
    regular(&found).map_err(read)?;
    Ok((file, found.len()))
}

/// That what has a path is no file whose content ends, such as a folder, a pipe or a device.
fn regular(found: &std::fs::Metadata) -> std::io::Result<()> {
    let error = || std::io::Error::other("it is no regular file");
    found.is_file().then_some(()).ok_or_else(error)
}
