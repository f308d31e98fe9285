//! What it costs that samples come from a file: a step of a training by `fit_dataset`, against one by `fit` with
//! all of them in memory.

use crate::devices::devices;
use crate::wanted;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use wgpu_lstm::data::{Dataset, Sample, Sequences, Targets};
use wgpu_lstm::nn::{Dense, Lstm};
use wgpu_lstm::train::{Adam, Fit, Loss};
use wgpu_lstm::{Device, Error, Result, Sequential};

const STEPS: usize = 40;
const ROWS: usize = 32;
const FRAMES: usize = 64;
const FEATURES: usize = 64;
const CLASSES: usize = 10;
const SIZE: usize = FRAMES * FEATURES;

/// The threads that load; without any in memory.
const WAYS: [(&str, Option<usize>); 4] =
    [("memory", None), ("in place", Some(0)), ("1 worker", Some(1)), ("2 workers", Some(2))];

/// Sequences in a file, one after the other.
struct OnDisk {
    path: PathBuf,
    file: Mutex<File>,
}

impl OnDisk {
    fn write(path: &Path) -> Result<(Self, Sequences, Targets)> {
        let values: Vec<f32> = (0..STEPS * ROWS * SIZE).map(|i| (i as f32 * 0.7).sin()).collect();
        std::fs::write(path, bytemuck::cast_slice(&values)).map_err(Error::custom)?;
        let labels: Vec<_> = (0..STEPS * ROWS).map(|row| (row % CLASSES) as u32).collect();
        let x = Sequences::from_array(&values, [STEPS * ROWS, FRAMES, FEATURES])?;
        let file = Mutex::new(File::open(path).map_err(Error::custom)?);
        Ok((Self { path: path.to_owned(), file }, x, Targets::classes(labels)))
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Dataset for OnDisk {
    fn features(&self) -> usize {
        FEATURES
    }

    fn len(&self) -> usize {
        STEPS * ROWS
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let mut values = vec![0.0f32; SIZE];
        let mut read = || {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start((index * SIZE * 4) as u64))?;
            file.read_exact(bytemuck::cast_slice_mut(&mut values))
        };
        read().map_err(Error::custom)?;
        let label = Targets::classes([(index % CLASSES) as u32]);
        Ok(Sample::new(values).targets(label))
    }
}

pub fn run() {
    println!(
        "\nsamples from a file: a step of a training of 128 units, [{ROWS},{FRAMES},{FEATURES}], in ms, the median \
         of 9 epochs of {STEPS} steps"
    );
    let path = std::env::temp_dir().join(format!("wgpu-lstm-bench-{}", std::process::id()));
    for (name, device) in devices() {
        if !wanted(&format!("data/{name}")) {
            continue;
        }
        match measure(device, &path) {
            Ok(times) => {
                for ((way, _), time) in WAYS.iter().zip(times) {
                    let more = 100.0 * (time / times[0] - 1.0);
                    println!("data/{name}/{way}: {time:.3} ms, {more:+.1} %");
                }
            }
            Err(error) => println!("data/{name}: {error}"),
        }
    }
}

/// Milliseconds of a step by each way, in rounds that take turns.
fn measure(device: &Device, path: &Path) -> Result<[f64; 4]> {
    let (data, x, y) = OnDisk::write(path)?;
    let model = || {
        let mut model = Sequential::new(device).add(Lstm::new(128)).add(Dense::new(CLASSES));
        model.compile(Adam::default(), Loss::CrossEntropy, &[]);
        model
    };
    let (mut models, mut times) = (WAYS.map(|_| model()), WAYS.map(|_| Vec::new()));
    for round in 0..10 {
        for (((_, workers), model), times) in WAYS.iter().zip(&mut models).zip(&mut times) {
            let fit = Fit::new().batch_size(ROWS).quiet();
            let begin = Instant::now();
            match workers {
                None => model.fit(&x, &y, fit)?,
                Some(workers) => model.fit_dataset(&data, fit.workers(*workers))?,
            };
            // The first one compiles.
            if round > 0 {
                times.push(begin.elapsed().as_secs_f64() * 1e3 / STEPS as f64);
            }
        }
    }
    Ok(times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }))
}
