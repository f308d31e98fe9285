//! `wgpu-lstm convert`

use crate::formats::{Contents, Format, Target, save};
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;
use wgpu_lstm::Device;

/// Writes a model in another format
#[derive(Args)]
#[command(after_help = "\
Examples:
  wgpu-lstm convert model.keras model.safetensors
  wgpu-lstm convert model.safetensors model.onnx
  wgpu-lstm convert model.onnx weights.safetensors --to pytorch

OUT's name says its format, unless --to does. An existing OUT is replaced when the new one is whole.
What the other format cannot say is an error that names it, never a wrong model.")]
pub struct Convert {
    /// The file to read; its contents tell its format
    r#in: PathBuf,
    /// The file to write
    out: PathBuf,
    /// The format of OUT [default: by its name]
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Option<Target>,
}

impl Convert {
    pub fn run(&self) -> Result<()> {
        let target = self.to.map_or_else(|| Target::of(&self.out), Ok)?;
        let format = Format::of(&self.r#in)?;
        // Nothing is computed, so no device is better than this.
        let contents = Contents::load(&self.r#in, format, &Device::cpu_with_threads(1)?)?;
        match contents {
            Contents::Layers(model) => {
                let what = || format!("cannot write {} as {target:?}", self.out.display());
                save(&model, &self.out, target).with_context(what)?;
            }
        }
        crate::print(&format!("{} -> {}", self.r#in.display(), self.out.display()))
    }
}
