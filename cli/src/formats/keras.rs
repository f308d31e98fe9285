//! Models of Keras.

use anyhow::Result;
use std::path::Path;
use wgpu_lstm::io::keras;
use wgpu_lstm::{Device, Sequential};

pub fn load(path: &Path, device: &Device) -> Result<Sequential> {
    Ok(keras::load(path, device)?)
}

/// A whole model, or the weights alone, as the name says.
pub fn save(model: &Sequential, path: &Path) -> Result<()> {
    Ok(keras::save(model, path)?)
}
