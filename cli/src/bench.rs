//! `wgpu-lstm bench`

use crate::formats::{Contents, onnx};
use crate::inspect::{takes_only_rows, tokens};
use crate::options::{self, Chain, MODULES};
use crate::text::{table, three_digits};
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use wgpu_lstm::data::Sequences;
use wgpu_lstm::io::onnx::{Model, TensorInfo};
use wgpu_lstm::{Device, Sequential};

/// Times a model on the devices: whole batches, and a stream frame by frame
#[derive(Args)]
#[command(after_help = format!("\
Examples:
  wgpu-lstm bench model.safetensors
  wgpu-lstm bench model.onnx --device cpu --batch 1 --steps 512
  wgpu-lstm bench model.safetensors --threads 1 --batch 1,8,64

Inputs are made up; of a graph of ONNX the first open axis of each is the batch, the second the
steps. `ms` is the median of a call that predicts for a batch, there and back from the host;
`steps/s` counts the frames of all its sequences. `streamed` is one stream whose frames come one by
one, each of which is waited for; graphs, and models that need whole sequences, have none.

{MODULES}"))]
pub struct Bench {
    /// The model; its contents tell its format
    file: PathBuf,
    /// The devices [default: the CPU, and the best GPU if there is one]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    device: Vec<String>,
    /// The threads of the CPU device, on which alone it is then timed
    #[arg(long, value_name = "N", conflicts_with = "device")]
    threads: Option<usize>,
    /// The sequences of a batch, with commas between
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,32")]
    batch: Vec<usize>,
    /// The frames of a sequence
    #[arg(long, value_name = "N", default_value_t = 100)]
    steps: usize,
    /// The time that each line takes, in seconds
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    seconds: f64,
    #[command(flatten)]
    chain: Chain,
}

impl Bench {
    pub fn run(&self) -> Result<()> {
        let time = Duration::try_from_secs_f64(self.seconds);
        let (Ok(time), false) = (time, self.steps == 0 || self.batch.contains(&0)) else {
            bail!("--batch and --steps are at least 1, --seconds is a finite number, not below 0");
        };
        let head = ["device", "batch", "steps", "ms", "steps/s", "way"].map(str::to_owned);
        let mut lines = vec![head.to_vec()];
        for device in self.devices()? {
            match Contents::runs(&self.file, &device, &self.chain)? {
                Contents::Layers(model) => self.layers(&model, &device, time, &mut lines)?,
                Contents::Graph(model) => self.graph(&model, &device, time, &mut lines)?,
                Contents::Weights(_) => bail!("{}: weights alone", self.file.display()),
            }
        }
        crate::print(&table(&lines))
    }

    fn devices(&self) -> Result<Vec<Device>> {
        if self.threads.is_some() || !self.device.is_empty() {
            let names = self.device.iter().map(|name| options::open(Some(name), None));
            let threads = self.threads.map(|threads| options::open(None, Some(threads)));
            return names.chain(threads).collect();
        }
        let (cpu, auto) = (Device::named("cpu")?, Device::auto()?);
        Ok(if auto.is_gpu() { vec![cpu, auto] } else { vec![cpu] })
    }

    fn graph(
        &self,
        model: &Model,
        device: &Device,
        time: Duration,
        lines: &mut Vec<Vec<String>>,
    ) -> Result<()> {
        for &batch in &self.batch {
            let input = |info: &TensorInfo| onnx::made_up(info, batch, self.steps, device);
            let values = model.inputs().iter().map(|info| Ok((info.name.as_str(), input(info)?)));
            let values = values.collect::<Result<Vec<_>>>()?;
            let ms = median(time, || {
                // What is computed last is waited for.
                let outputs = model.run(&values)?;
                outputs.iter().try_for_each(|(_, value)| onnx::array(value).map(drop))
            })?;
            let rate = batch as f64 * self.steps as f64 / ms * 1e3;
            lines.push(line(device.name(), batch, &self.steps.to_string(), ms, rate, "graph"));
        }
        Ok(())
    }

    fn layers(
        &self,
        model: &Sequential,
        device: &Device,
        time: Duration,
        lines: &mut Vec<Vec<String>>,
    ) -> Result<()> {
        let name = device.name().to_owned();
        // One frame is all that a model of rows takes.
        let steps = if takes_only_rows(&model.explain(1, 1)?) { 1 } else { self.steps };
        for &batch in &self.batch {
            let plans = model.explain(batch, steps)?;
            let tokens = plans.first().and_then(tokens);
            let x = sequences(batch, steps, model.input_size().unwrap_or(1), tokens)?;
            let of = |kinds: &[&str]| plans.iter().find(|plan| kinds.contains(&plan.kind.as_str()));
            let way = of(&["lstm"]).or(of(&["rnn", "graph"])).or(plans.first());
            let way = way.map(|plan| plan.path.clone()).unwrap_or_default();
            let ms = median(time, || model.predict(&x).map(drop).map_err(Into::into))?;
            let rate = batch as f64 * steps as f64 / ms * 1e3;
            lines.push(line(&name, batch, &steps.to_string(), ms, rate, short(&way)));
        }
        let Ok(mut stepper) = model.stepper(1) else { return Ok(()) };
        let stream = stepper.join()?;
        let tokens = model.explain(1, 1)?.first().and_then(tokens);
        let x = sequences(1, steps, model.input_size().unwrap_or(1), tokens)?;
        let features = model.input_size().unwrap_or(1);
        let mut frames = x.get(0).chunks(features).cycle();
        let ms = median(time, || {
            let frame = frames.next().unwrap_or_default();
            stepper.step(&[(stream, frame)]).map(drop).map_err(Into::into)
        })?;
        lines.push(line(&name, 1, "streamed", ms, 1e3 / ms, "one frame a call"));
        Ok(())
    }
}

fn line(device: &str, batch: usize, steps: &str, ms: f64, rate: f64, way: &str) -> Vec<String> {
    let (ms, rate) = (three_digits(ms), three_digits(rate));
    vec![device.into(), batch.to_string(), steps.into(), ms, rate, way.into()]
}

/// A path without what explains it.
fn short(path: &str) -> &str {
    match path.split_once(": ") {
        Some(("CPU", _)) | None => path,
        Some((name, _)) => name,
    }
}

/// Made-up frames, the same each time.
fn sequences(
    batch: usize,
    steps: usize,
    features: usize,
    tokens: Option<u64>,
) -> Result<Sequences> {
    let value = |i: usize| match tokens {
        Some(tokens) => (i as u64 * 7919 % tokens.max(1)) as f32,
        None => (i as f32 * 0.7).sin(),
    };
    let values = onnx::filled(&[batch, steps, features], value)?;
    Ok(Sequences::from_array(&values, [batch, steps, features])?)
}

/// The median of what a call takes, in milliseconds, after some that are not counted.
fn median(time: Duration, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let warm = Instant::now();
    for _ in 0..3 {
        call()?;
        if warm.elapsed() > time {
            break;
        }
    }
    let (begin, mut times) = (Instant::now(), Vec::new());
    while times.is_empty() || (begin.elapsed() < time && times.len() < 100_000) {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
