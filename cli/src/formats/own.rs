//! Models that `Sequential::save` wrote.

use anyhow::Result;
use std::path::Path;
use wgpu_lstm::{Device, Sequential};

/// The text in a file's header that has the layers.
pub const MODEL: &str = "wgpu_lstm.model";

pub fn load(path: &Path, device: &Device) -> Result<Sequential> {
    Ok(Sequential::load(path, device)?)
}

pub fn save(model: &Sequential, path: &Path) -> Result<()> {
    Ok(model.save(path)?)
}
