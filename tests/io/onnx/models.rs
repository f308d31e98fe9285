//! Published models, which `scripts/fetch_models.sh` fetches.

use std::path::PathBuf;
use wgpu_lstm::Device;
use wgpu_lstm::io::onnx::Model;

/// The path of a file, or nothing, with a word, if it was not fetched.
pub(crate) fn fetched(name: &str) -> Option<PathBuf> {
    let set = std::env::var_os("WGPU_LSTM_MODELS").map(PathBuf::from);
    let folder =
        set.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/models"));
    let path = folder.join(name);
    if !path.exists() {
        println!("left out: {} is not there; scripts/fetch_models.sh fetches it", path.display());
        return None;
    }
    Some(path)
}

pub(crate) fn model(name: &str, device: &Device) -> Option<Model> {
    fetched(name).map(|path| Model::load(path, device).unwrap())
}
