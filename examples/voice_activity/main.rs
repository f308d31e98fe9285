//! Where somebody speaks: silero-vad over a WAV file, or over samples as they come.
//!
//!     cargo run --release --features pytorch --example voice_activity [FILE.wav | -]
//!
//! Without a file it hears a sentence of a public reading. `-` reads 16-bit samples, 16,000 a second of one channel,
//! from standard input: `arecord -q -f S16_LE -r 16000 -c 1 | …`. Each segment is printed when the pause behind it is
//! long enough. `WGPU_LSTM_DEVICE=auto`, `software` or part of an adapter's name chooses another device than the CPU.

mod model;
mod segments;

use anyhow::{Context, Result, ensure};
use model::{Frames, RATE};
use segments::Segments;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};
use wgpu_lstm::train::Stepper;
use wgpu_lstm::{Device, nn::StreamId};

fn main() -> Result<()> {
    // One stream is too little work for a GPU.
    let named = std::env::var_os(wgpu_lstm::DEVICE_VARIABLE).is_some();
    let device = if named { Device::auto()? } else { Device::cpu()? };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/silero");
    let model = model::load(&data.join("weights.safetensors"), &device)?;
    let mut stepper = model.stepper(1)?;
    let stream = stepper.join()?;
    let mut hearing = Hearing {
        frames: Frames::new(),
        segments: Segments::default(),
        stepper,
        stream,
        samples: 0,
        steps: 0,
        spent: Duration::ZERO,
    };
    match std::env::args().nth(1).as_deref() {
        Some("-") => hearing.raw(std::io::stdin().lock())?,
        Some(file) => hearing.wav(Path::new(file))?,
        None => hearing.wav(&data.join("speech.wav"))?,
    }
    hearing.end()
}

struct Hearing {
    frames: Frames,
    segments: Segments,
    stepper: Stepper,
    stream: StreamId,
    samples: usize,
    steps: u32,
    spent: Duration,
}

impl Hearing {
    fn raw(&mut self, mut input: impl Read) -> Result<()> {
        let mut bytes = [0; 2 * model::FRAME];
        let mut have = 0;
        loop {
            match input.read(&mut bytes[have..])? {
                0 => return Ok(()),
                more => have += more,
            }
            let (whole, rest) = bytes[..have].as_chunks::<2>();
            let values = whole.iter().map(|&b| f32::from(i16::from_le_bytes(b)) / 32768.0);
            self.hear(values)?;
            have = rest.len();
            bytes[0] = rest.first().copied().unwrap_or(0);
        }
    }

    /// A file of 16,000 samples a second or a multiple, of which some are then left out; the channels' mean.
    fn wav(&mut self, path: &Path) -> Result<()> {
        let mut reader =
            hound::WavReader::open(path).with_context(|| format!("{}", path.display()))?;
        let hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format } =
            reader.spec();
        let every = sample_rate as usize / RATE;
        ensure!(
            every >= 1 && (sample_rate as usize).is_multiple_of(RATE),
            "{} has {sample_rate} samples a second, expected {RATE} or a multiple: convert it, by sox or ffmpeg",
            path.display(),
        );
        let samples: Vec<f32> = match sample_format {
            hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>()?,
            hound::SampleFormat::Int => {
                let scale = 1.0 / (1_u64 << (bits_per_sample - 1)) as f32;
                let values = reader.samples::<i32>().map(|s| Ok(s? as f32 * scale));
                values.collect::<Result<_, hound::Error>>()?
            }
        };
        let channels = usize::from(channels);
        let frames = samples.chunks_exact(channels).step_by(every);
        self.hear(frames.map(|frame| frame.iter().sum::<f32>() / channels as f32))
    }

    fn hear(&mut self, samples: impl IntoIterator<Item = f32>) -> Result<()> {
        self.samples += self.frames.push(samples);
        while let Some(frame) = self.frames.next() {
            self.step(&frame)?;
        }
        Ok(())
    }

    fn step(&mut self, frame: &[f32]) -> Result<()> {
        let now = Instant::now();
        let probability = self.stepper.step(&[(self.stream, frame)])?.row(0)[0];
        self.spent += now.elapsed();
        self.steps += 1;
        self.segments.push(probability).into_iter().for_each(print);
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        if let Some(frame) = std::mem::replace(&mut self.frames, Frames::new()).last() {
            self.step(&frame)?;
        }
        self.segments.finish(self.samples).into_iter().for_each(print);
        let each = self.spent.as_secs_f64() / f64::from(self.steps.max(1));
        let length = self.samples as f64 / RATE as f64;
        println!("{length:.2} s of sound, {:.0} µs a frame of 32 ms", 1e6 * each);
        Ok(())
    }
}

fn print(segment: Range<usize>) {
    let seconds = |samples: usize| samples as f64 / RATE as f64;
    println!("speech from {:6.2} s to {:6.2} s", seconds(segment.start), seconds(segment.end));
}
