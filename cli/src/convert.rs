//! `wgpu-lstm convert`

use crate::formats::{Contents, Target, save};
use crate::options::{Chain, MODULES, file};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use wgpu_lstm::Device;

/// Writes a model in another format
#[derive(Args)]
#[command(after_help = format!("\
Examples:
  wgpu-lstm convert model.keras model.safetensors
  wgpu-lstm convert model.safetensors model.onnx
  wgpu-lstm convert model.keras weights.safetensors --to pytorch --names rnn,head
  wgpu-lstm convert model.onnx model.safetensors
  wgpu-lstm convert weights.pt model.keras --modules embedding,lstm,fc:relu,head

OUT's name says its format, unless --to does. An existing OUT is replaced when the new one is whole.
What the other format cannot say is an error that names it, never a wrong model. A graph of ONNX is
taken as a chain of layers if it is one; `inspect` tells. A state dict of PyTorch holds parameters
alone: a note tells, a line for each layer, what else the program that loads it has to say.

{MODULES}"))]
pub struct Convert {
    /// The file to read; its contents tell its format
    r#in: PathBuf,
    /// The file to write
    out: PathBuf,
    /// The format of OUT [default: by its name]
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Option<Target>,
    /// With --to pytorch: the modules' names, one for each layer with parameters
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    names: Vec<String>,
    #[command(flatten)]
    chain: Chain,
}

impl Convert {
    pub fn run(&self) -> Result<()> {
        let target = self.to.map_or_else(|| Target::of(&self.out), Ok)?;
        if !self.names.is_empty() && target != Target::Pytorch {
            bail!("--names are the modules of a state dict: they go with --to pytorch");
        }
        let out = file(&self.out)?;
        // Nothing is computed, so no device is better than this.
        let device = Device::cpu_with_threads(1)?;
        let model = match Contents::runs(&self.r#in, &device, &self.chain)? {
            Contents::Layers(model) => model,
            Contents::Graph(graph) => graph.to_sequential().context(
                "this graph is no chain of layers, which alone other formats can hold; `run` and \
                 `bench` take it as it is",
            )?,
            Contents::Weights(_) => bail!("{}: weights alone", self.r#in.display()),
        };
        save(&model, out, target, &self.names).map_err(|error| match error.downcast_ref() {
            // These name the file.
            Some(wgpu_lstm::Error::Io { .. }) => error,
            _ => error.context(format!("cannot write {} as {target}", out.display())),
        })?;
        crate::print(&format!("{} -> {}", self.r#in.display(), out.display()))
    }
}
