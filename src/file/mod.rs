//! What is kept in files: safetensors files, and the states that outlive a process.

mod header;
mod read;
mod state;
mod write;

pub(crate) use read::Reader;
pub use state::State;
pub(crate) use write::{Entry, Sink, write};

use crate::Error;
use std::fmt::Display;
use std::path::Path;

/// What begins the names of tensors and texts that are no part of a model: those of a training. Parameters
/// are not called so.
pub(crate) const RESERVED: &str = "__";

/// That a file could not be read or written.
fn io(action: &'static str, path: &Path, error: impl Display) -> Error {
    Error::Io { action, path: path.display().to_string(), error: error.to_string() }
}

/// That what has a path is no file whose content ends, such as a folder, a pipe or a device.
fn regular(found: &std::fs::Metadata) -> std::io::Result<()> {
    let error = || std::io::Error::other("it is no regular file");
    found.is_file().then_some(()).ok_or_else(error)
}
