//! `wgpu-lstm run`

mod arguments;
mod arrays;

use crate::formats::{Contents, onnx};
use crate::options::{Chain, MODULES, OnDevice};
use crate::text::three_digits;
use anyhow::{Context, Result, bail};
use arguments::Names;
pub use arrays::{Array, Numbers};
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;
use wgpu_lstm::data::{NpyArray, Sequences};
use wgpu_lstm::io::onnx::{Model, TensorInfo};
use wgpu_lstm::{Device, Sequential};

/// Predicts for what .npy files hold
#[derive(Args)]
#[command(after_help = format!("\
Examples:
  wgpu-lstm run model.safetensors --input x.npy
  wgpu-lstm run model.keras --input x.npy --output y.npy --device cpu
  wgpu-lstm run model.safetensors --input x.npy --streamed
  wgpu-lstm run weights.pt --modules embedding,lstm,fc:relu,head --input x.npy
  wgpu-lstm run model.onnx --input x=x.npy --input h0=h0.npy --output y=y.npy --output hn=hn.npy

Of a model of layers X.npy has numbers [B,T,I], or tokens [B,T]; or rows [B,I], where the layers
look at each frame alone. All kinds of numbers are taken, and become 32-bit floats; what is not
finite is an error. Y.npy gets 32-bit floats [B,O], or [B,T,O] of a model that gives sequences, and
with --streamed.

Of a graph of ONNX each input is named, unless it needs only one; `inspect` lists them, and those
that have a value in the file, which a file replaces. Floats become 32-bit ones; integers and
booleans stay exact, and outputs of these are written as 64-bit integers. NaN goes in and comes out.

Existing files are replaced. What was computed is summed up, and its first rows are printed.

{MODULES}"))]
pub struct Run {
    /// The model; its contents tell its format
    file: PathBuf,
    /// An input; of a graph that needs several each by its name
    #[arg(long, value_name = "[NAME=]X.npy", required = true)]
    input: Vec<String>,
    /// Where an output goes; of a graph the first, or NAME=Y.npy
    #[arg(long, value_name = "[NAME=]Y.npy")]
    output: Vec<String>,
    /// Goes frame by frame, as a stream does, not over whole sequences
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
        let (outputs, ms) = match Contents::runs(&self.file, &device, &self.chain)? {
            Contents::Layers(model) => self.layers(&model)?,
            Contents::Graph(_) if self.streamed => {
                bail!(
                    "--streamed: a graph has no steps of its own; give it a frame, and its states"
                )
            }
            Contents::Graph(model) => self.graph(model, &device)?,
            Contents::Weights(_) => bail!("{}: weights alone", self.file.display()),
        };
        let text = outputs.iter().map(|(name, y)| y.summary(name)).collect::<String>();
        crate::print(&format!("{text}in {} ms on {device}", three_digits(ms)))
    }

    fn layers(&self, model: &Sequential) -> Result<Outputs> {
        let one = |option, name| Names {
            option,
            all: vec![],
            bare: Some(name),
            exists: true,
            described: "a model of layers has one".into(),
        };
        let inputs = one("--input", "input").assign(&self.input)?;
        let outputs = one("--output", "output").assign(&self.output)?;
        let Some((_, path)) = inputs.first() else { bail!("--input: a model takes one") };
        let x = NpyArray::open(path)?;
        let plans = model.explain(1, 1)?;
        let features = model.input_size().unwrap_or(1);
        let frames = arrays::sequences(&x, features, &plans)
            .with_context(|| format!("the input {}", path.display()))?;
        let start = Instant::now();
        let mut y = match self.streamed {
            true => streamed(model, &frames)?,
            false => predict(model, &frames)?,
        };
        let ms = start.elapsed().as_secs_f64() * 1e3;
        // Rows of one frame each give rows.
        if let (&[rows, 1, width], 2) = (&y.shape[..], x.shape().len())
            && features > 1
        {
            y.shape = vec![rows, width];
        }
        for (_, path) in outputs {
            y.write(path)?;
        }
        Ok((vec![("output".to_owned(), y)], ms))
    }

    fn graph(&self, mut model: Model, device: &Device) -> Result<Outputs> {
        let (needed, defaults) = (model.inputs().to_vec(), model.defaults().to_vec());
        let names = |infos: &[TensorInfo]| infos.iter().map(onnx::described).collect::<Vec<_>>();
        let mut described = format!("inputs: {}", list(names(&needed)));
        if !defaults.is_empty() {
            described += &format!("; with a value in the file: {}", list(names(&defaults)));
        }
        let all = needed.iter().chain(&defaults).map(|info| info.name.as_str()).collect();
        let bare = match &needed[..] {
            [info] => Some(info.name.as_str()),
            _ => None,
        };
        let inputs = Names { option: "--input", all, bare, exists: true, described };
        let given = inputs.assign(&self.input)?;
        let is_given = |info: &&TensorInfo| given.iter().any(|(name, _)| *name == info.name);
        if let Some(info) = needed.iter().find(|info| !is_given(info)) {
            bail!("--input: {:?} is missing: NAME=FILE; {}", info.name, inputs.described);
        }
        let described = format!("outputs: {}", list(names(model.outputs())));
        let outputs = model.outputs().to_vec();
        let all: Vec<_> = outputs.iter().map(|info| info.name.as_str()).collect();
        let bare = all.first().copied();
        let outputs = Names { option: "--output", all, bare, exists: false, described };
        let outputs = outputs.assign(&self.output)?;
        let replaced: Vec<_> =
            defaults.iter().filter(is_given).map(|info| info.name.as_str()).collect();
        if !replaced.is_empty() {
            drop(model);
            model = onnx::load_with(&self.file, &replaced, device)?;
        }
        let mut values = Vec::new();
        for info in needed.iter().chain(&defaults).filter(is_given) {
            let Some((name, path)) = given.iter().find(|(name, _)| *name == info.name) else {
                continue;
            };
            let value = onnx::value(info, &NpyArray::open(path)?, device);
            values.push((*name, value.with_context(|| format!("the input {name:?}"))?));
        }
        let start = Instant::now();
        let found = model.run(&values)?;
        let found = found.iter().map(|(name, value)| {
            let array = onnx::array(value).with_context(|| format!("the output {name:?}"))?;
            Ok((name.clone(), array))
        });
        let found = found.collect::<Result<Vec<_>>>()?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        for (name, path) in outputs {
            if let Some((_, y)) = found.iter().find(|(found, _)| found == name) {
                y.write(path)?;
            }
        }
        Ok((found, ms))
    }
}

/// Arrays by name, and the milliseconds that it took to compute them.
type Outputs = (Vec<(String, Array)>, f64);

/// The most names that an error lists.
const MOST: usize = 12;

fn list(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    if names.is_empty() { "none".into() } else { names.join("; ") }
}

fn predict(model: &Sequential, x: &Sequences) -> Result<Array> {
    let found = model.predict(x)?;
    let (sequences, width) = (found.sequences(), found.width());
    let gives_sequence = model.explain(1, 1)?.last().is_some_and(|plan| plan.gives_sequence);
    let shape = match gives_sequence {
        // All sequences of an array have as many frames.
        true => vec![sequences, found.rows() / sequences.max(1), width],
        false => vec![sequences, width],
    };
    Ok(Array { shape, numbers: Numbers::Floats(found.values().to_vec()) })
}

/// All sequences side by side, a stream each: the outputs of every step.
fn streamed(model: &Sequential, x: &Sequences) -> Result<Array> {
    let (rows, steps, features) = (x.len(), x.frames(0), x.features());
    let mut stepper = model.stepper(rows).context("--streamed")?;
    let streams = (0..rows).map(|_| stepper.join()).collect::<wgpu_lstm::Result<Vec<_>>>()?;
    let (mut values, mut width) = (Vec::new(), 0);
    for step in 0..steps {
        let frames: Vec<_> = (streams.iter().enumerate())
            .map(|(row, &stream)| (stream, &x.get(row)[step * features..][..features]))
            .collect();
        let found = stepper.step(&frames)?;
        width = found.width();
        if values.is_empty() {
            values = onnx::filled(&[rows, steps, width], |_| 0.0)?;
        }
        for row in 0..rows {
            values[(row * steps + step) * width..][..width].copy_from_slice(found.row(row));
        }
    }
    Ok(Array { shape: vec![rows, steps, width], numbers: Numbers::Floats(values) })
}
