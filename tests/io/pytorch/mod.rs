//! State dicts of PyTorch.

mod hostile;
mod modules;
mod pickles;
mod reading;
mod written;

use std::path::{Path, PathBuf};
use wgpu_lstm::Error;
use wgpu_lstm::io::pytorch::StateDict;

/// A file of this folder.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/pytorch").join(name)
}

#[track_caller]
fn open(name: &str) -> StateDict {
    StateDict::open(file(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// The entry that an error of a file names, what was expected of it and what was found.
#[track_caller]
fn wrong<T>(result: Result<T, Error>) -> [String; 3] {
    match result.err() {
        Some(Error::File { entry, expected, found, .. }) => [entry, expected, found],
        other => panic!("{other:?}"),
    }
}

/// The bits of numbers, with one for all that are NaN.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}
