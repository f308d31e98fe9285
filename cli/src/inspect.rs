//! `wgpu-lstm inspect`

mod graph;
mod layers;
mod weights;
pub use layers::{takes_only_rows, takes_rows, tokens};

use crate::formats::{Contents, Format, safetensors};
use crate::options::OnDevice;
use crate::text::thousands;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Prints what a file has, and which way a device runs each layer
#[derive(Args)]
#[command(after_help = "\
Examples:
  wgpu-lstm inspect model.safetensors
  wgpu-lstm inspect model.keras --device cpu --batch 1 --steps 500
  wgpu-lstm inspect model.onnx --json | jq .layers

Of a model it prints layers, shapes, types, gate order, parameters and options. For batches of
--batch sequences of --steps frames it says which way each layer takes on the device, and why: of an
LSTM Sequence, Stepwise or Persistent on a GPU, rows over threads on the CPU.

Of a graph of ONNX it prints inputs, outputs and operators; where the graph is a chain of layers, it
prints these as those of a model, as `convert` makes them, and else what stands against it. For that
the graph runs once, on made-up inputs; models of layers do not run.

Of a state dict it prints the modules, as far as names and shapes of tensors tell, and what
--modules of the other commands takes where they do not. --device, --batch and --steps say nothing
of it.")]
pub struct Inspect {
    /// The file; its contents tell its format
    file: PathBuf,
    #[command(flatten)]
    device: OnDevice,
    /// The sequences of a batch
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch: usize,
    /// The frames of a sequence
    #[arg(long, value_name = "N", default_value_t = 100)]
    steps: usize,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What is told of any file: pairs in order, then texts, or their values as JSON.
struct Report {
    lines: Vec<(&'static str, String)>,
    text: String,
    json: Map<String, Value>,
}

impl Report {
    fn line(&mut self, name: &'static str, text: impl Into<String>) {
        self.lines.push((name, text.into()));
    }

    fn value(&mut self, name: &str, value: Value) {
        self.json.insert(name.into(), value);
    }
}

impl Inspect {
    pub fn run(&self) -> Result<()> {
        if self.batch == 0 || self.steps == 0 {
            bail!("--batch and --steps are at least 1");
        }
        let format = Format::of(&self.file)?;
        let named = || self.file.display().to_string();
        let bytes = std::fs::metadata(&self.file).with_context(named)?.len();
        let mut report = Report { lines: vec![], text: String::new(), json: Map::new() };
        report.line("file", named());
        report.line("format", format.to_string());
        report.line("bytes", thousands(bytes));
        report.value("file", json!(named()));
        report.value("format", json!(format.to_string()));
        report.value("bytes", json!(bytes));
        if format == Format::Own
            && let Ok(header) = safetensors::Header::read(&self.file)
        {
            let types = header.types().join(", ");
            report.line("numbers", types.clone());
            report.value("numbers", json!(types));
            if let Some(version) = header.text("wgpu_lstm.version") {
                report.line("written by", format!("wgpu-lstm {version}"));
                report.value("version", json!(version));
            }
        }
        match Contents::load(&self.file, format, &self.device.open()?)? {
            Contents::Layers(model) => {
                layers::input(&model, &mut report)?;
                layers::tell(&model, [self.batch, self.steps], &mut report)?;
            }
            Contents::Weights(dict) => weights::tell(&dict, &mut report),
            Contents::Graph(model) => {
                graph::tell(&model, [self.batch, self.steps], &mut report)?;
            }
        }
        if self.json {
            return crate::print_json(&Value::Object(report.json));
        }
        let width = report.lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines = report
            .lines
            .iter()
            .map(|(name, text)| format!("{name:width$}  {}\n", crate::text::wrap(text, width + 2)));
        crate::print(&format!("{}\n{}", lines.collect::<String>(), report.text))
    }
}
