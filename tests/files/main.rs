//! Parameters and models in files.

#[path = "../common/mod.rs"]
mod common;
mod crash;
mod format;
mod hostile;
mod kept;
mod models;
mod options;
mod parameters;

use common::Folder;
use std::path::PathBuf;
use wgpu_lstm::Sequential;
use wgpu_lstm::data::Sequences;

/// A folder that is there, and the path of a file in it.
fn place(test: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(&format!("files-{test}"));
    std::fs::create_dir_all(folder.path()).unwrap();
    let path = folder.path().join("model.safetensors");
    (folder, path)
}

/// Sequences of 1 to 6 frames.
fn sequences(features: usize) -> Sequences {
    let row = |n: usize| (0..n * features).map(|i| ((i + 3 * n) as f32 * 0.7).sin()).collect();
    Sequences::new(features, (1..7).map(row).collect::<Vec<Vec<f32>>>()).unwrap()
}

/// The bits of a model's predictions, from no state.
fn bits(model: &Sequential, x: &Sequences) -> Vec<u32> {
    model.reset_state();
    let bits = model.predict(x).unwrap().values().iter().map(|v| v.to_bits()).collect();
    model.reset_state();
    bits
}
