//! `wgpu-lstm run`

mod arrays;

use crate::formats::{Contents, onnx};
use crate::options::{Chain, OnDevice};
use crate::text::three_digits;
use anyhow::{Context, Result, bail};
pub use arrays::Array;
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;
use wgpu_lstm::io::onnx::Model;
use wgpu_lstm::{Device, Sequential};

/// Predicts for the sequences of a .npy file
#[derive(Args)]
#[command(after_help = "\
Examples:
  wgpu-lstm run model.safetensors --input x.npy
  wgpu-lstm run model.keras --input x.npy --output y.npy --device cpu
  wgpu-lstm run model.safetensors --input x.npy --streamed

  wgpu-lstm run weights.pt --modules embedding,lstm,head --input x.npy
  wgpu-lstm run model.onnx --input x=x.npy --input lengths=lengths.npy

X.npy has numbers [B,T,I], or tokens [B,T] for a model that begins with an embedding; all kinds of
numbers are taken. Y.npy gets 32-bit floats [B,O], or [B,T,O] of a model that gives sequences.")]
pub struct Run {
    /// The model; its contents tell its format
    file: PathBuf,
    /// The input, a .npy file; of a graph with several inputs each as NAME=X.npy
    #[arg(long, value_name = "X.npy", required = true)]
    input: Vec<String>,
    /// Where the output goes, of a graph the first
    #[arg(long, value_name = "Y.npy")]
    output: Option<PathBuf>,
    /// Goes frame by frame, as a stream does, instead of over whole sequences
    #[arg(long)]
    streamed: bool,
    #[command(flatten)]
    device: OnDevice,
    #[command(flatten)]
    chain: Chain,
}

impl Run {
    pub fn run(&self) -> Result<()> {
        let device = self.device.open()?;
        let contents = Contents::runs(&self.file, &device, &self.chain)?;
        let start = Instant::now();
        let outputs = match &contents {
            Contents::Layers(model) => {
                let x = self.input(None)?;
                let y = if self.streamed { streamed(model, &x)? } else { predict(model, &x)? };
                vec![("output".to_owned(), y)]
            }
            Contents::Graph(_) if self.streamed => {
                bail!(
                    "--streamed: a graph has no steps of its own; give it a frame, and its states"
                )
            }
            Contents::Graph(model) => self.graph(model, &device)?,
            Contents::Weights(_) => bail!("{}: weights alone", self.file.display()),
        };
        let ms = start.elapsed().as_secs_f64() * 1e3;
        if let (Some(path), Some((_, first))) = (&self.output, outputs.first()) {
            first.write(path)?;
        }
        let text = outputs.iter().map(|(name, y)| y.summary(name)).collect::<String>();
        crate::print(&format!("{text}in {} ms on {device}", three_digits(ms)))
    }

    /// The array of an input of this name, or of the only one.
    fn input(&self, name: Option<&str>) -> Result<Array> {
        let named = self.input.iter().find_map(|text| {
            let (before, path) = text.split_once('=')?;
            (Some(before) == name).then_some(path)
        });
        if let Some(path) = named {
            return Array::read(path.as_ref());
        }
        match (&self.input[..], name) {
            ([path], _) => Array::read(path.as_ref()),
            (_, None) => bail!("--input: a model of layers takes one"),
            (_, Some(name)) => bail!("--input: the graph takes {name:?} too: --input {name}=X.npy"),
        }
    }

    fn graph(&self, model: &Model, device: &Device) -> Result<Vec<(String, Array)>> {
        let values = model.inputs().iter().map(|info| {
            let value = onnx::value(info, &self.input(Some(&info.name))?, device)?;
            Ok((info.name.as_str(), value))
        });
        let outputs = model.run(&values.collect::<Result<Vec<_>>>()?)?;
        outputs.iter().map(|(name, value)| Ok((name.clone(), onnx::array(value)?))).collect()
    }
}

fn predict(model: &Sequential, x: &Array) -> Result<Array> {
    let found = model.predict(&x.sequences()?)?;
    let (sequences, width) = (found.sequences(), found.width());
    let gives_sequence = model.explain(1, 1)?.last().is_some_and(|plan| plan.gives_sequence);
    let shape = match gives_sequence {
        // All sequences of an array have as many frames.
        true => vec![sequences, found.rows() / sequences.max(1), width],
        false => vec![sequences, width],
    };
    Ok(Array { shape, values: found.values().to_vec() })
}

/// All sequences side by side, a stream each: the outputs of every step.
fn streamed(model: &Sequential, x: &Array) -> Result<Array> {
    let &[rows, steps, ref features @ ..] = &x.shape[..] else {
        bail!("the input is {:?}, expected [B,T,I] or [B,T]", x.shape);
    };
    let features = features.first().copied().unwrap_or(1);
    let mut stepper = model.stepper(rows).context("--streamed")?;
    let streams = (0..rows).map(|_| stepper.join()).collect::<wgpu_lstm::Result<Vec<_>>>()?;
    let mut values = Vec::new();
    for step in 0..steps {
        let at = |row: usize| &x.values[(row * steps + step) * features..][..features];
        let frames: Vec<_> = streams.iter().enumerate().map(|(i, &s)| (s, at(i))).collect();
        values.push(stepper.step(&frames)?.values().to_vec());
    }
    let width = values.first().map_or(0, |all| all.len() / rows.max(1));
    let frames = (0..rows).flat_map(|row| {
        values.iter().flat_map(move |all| all[row * width..][..width].iter().copied())
    });
    Ok(Array { shape: vec![rows, steps, width], values: frames.collect() })
}
