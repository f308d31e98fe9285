//! Data on the host: made of other types and of files, cut, split, scaled; and on their way to a model.

#[cfg(feature = "npz")]
mod archives;
mod arrays;
mod bad_samples;
#[path = "../common/mod.rs"]
mod common;
mod conversions;
mod cut;
mod dataset;
mod lengths;
mod loading;
mod predictions;
mod scalers;
mod splits;
#[cfg(feature = "csv")]
mod tables;
mod texts;
#[cfg(feature = "tokenizers")]
mod tokenizer;
mod vocabulary;
mod windows;

use common::Folder;
use std::path::{Path, PathBuf};
use wgpu_lstm::Error;

/// A file of `tests/vectors`.
fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(vectors(name)).unwrap()).unwrap()
}

/// An empty folder for a test, gone after it.
fn folder(test: &str) -> Folder {
    let folder = Folder::new(test);
    std::fs::create_dir_all(folder.path()).unwrap();
    folder
}

/// What is wrong with a file: the entry, and what was found there.
#[track_caller]
fn wrong<T: std::fmt::Debug>(result: wgpu_lstm::Result<T>) -> (String, String) {
    match result.unwrap_err() {
        Error::File { entry, found, .. } => (entry, found),
        other => panic!("{other:?}"),
    }
}

/// What is wrong with an option: its path, and what was found.
#[track_caller]
fn option<T: std::fmt::Debug>(result: wgpu_lstm::Result<T>) -> (&'static str, String) {
    match result.unwrap_err() {
        Error::Option { option, found, .. } => (option, found),
        other => panic!("{other:?}"),
    }
}
