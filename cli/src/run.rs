//! `wgpu-lstm run`

mod arrays;

use crate::formats::{Contents, Format};
use crate::options::OnDevice;
use crate::text::three_digits;
use anyhow::{Context, Result, bail};
pub use arrays::Array;
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;
use wgpu_lstm::Sequential;

/// Predicts for the sequences of a .npy file
#[derive(Args)]
#[command(after_help = "\
Examples:
  wgpu-lstm run model.safetensors --input x.npy
  wgpu-lstm run model.keras --input x.npy --output y.npy --device cpu
  wgpu-lstm run model.safetensors --input x.npy --streamed

X.npy has numbers [B,T,I], or tokens [B,T] for a model that begins with an embedding; all kinds of
numbers are taken. Y.npy gets 32-bit floats [B,O], or [B,T,O] of a model that gives sequences.")]
pub struct Run {
    /// The model; its contents tell its format
    file: PathBuf,
    /// The input: a .npy file
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// Where the output goes; without it a summary is printed
    #[arg(long, value_name = "Y.npy")]
    output: Option<PathBuf>,
    /// Goes frame by frame, as a stream does, instead of over whole sequences
    #[arg(long)]
    streamed: bool,
    #[command(flatten)]
    device: OnDevice,
}

impl Run {
    pub fn run(&self) -> Result<()> {
        let format = Format::of(&self.file)?;
        let device = self.device.open()?;
        let contents = Contents::load(&self.file, format, &device)?;
        let x = Array::read(&self.input)?;
        let start = Instant::now();
        let y = match &contents {
            Contents::Layers(model) if self.streamed => streamed(model, &x)?,
            Contents::Layers(model) => predict(model, &x)?,
        };
        let ms = start.elapsed().as_secs_f64() * 1e3;
        if let Some(path) = &self.output {
            y.write(path)?;
        }
        crate::print(&format!("{}in {} ms on {device}", y.summary(), three_digits(ms)))
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
