//! Throughput of an LSTM layer, forward and training step, on every device of this machine.
//!
//!     cargo bench
//!
//! Ids are `forward/<device>/<shape>` and `train/<device>/<shape>`. Criterion's `elem/s` are
//! tokens a second (rows times timesteps); GFLOP/s are printed before, from one timed run:
//! 8 T B H (I + H) a forward pass, three times that a training step. A training step is
//! forward, backward with the gradient of the input, and Adam.
//!
//! `lengths/<device>/…` is a training step over rows of 1 to T timesteps, `mixed`, and over rows
//! of T, `full`; their ratio is printed, from runs that take turns.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use wgpu_lstm::nn::{Lstm, Params};
use wgpu_lstm::train::Adam;
use wgpu_lstm::{Device, GpuOptions, Lengths, Result, Tape, Tensor, Var};

const SHAPES: [[usize; 4]; 3] = [[32, 64, 64, 128], [1, 200, 128, 128], [32, 100, 256, 256]];

/// The CPU, the best hardware GPU and the software adapter, as far as they are there.
fn devices() -> Vec<(&'static str, Device)> {
    let mut devices = vec![];
    for (name, device) in [
        ("cpu", Device::named("cpu")),
        ("gpu", Device::gpu(GpuOptions::default())),
        ("software", Device::gpu(GpuOptions::default().software())),
    ] {
        match device {
            Ok(device) => {
                println!("{name}: {device}");
                devices.push((name, device));
            }
            Err(error) => println!("{name}: none ({error})"),
        }
    }
    devices
}

struct Layer {
    device: Device,
    params: Params,
    lstm: Lstm,
    adam: Adam,
    x: Var,
    d_y: Tensor,
}

impl Layer {
    fn new(device: &Device, [b, t, i, h]: [usize; 4]) -> Result<Self> {
        let params = Params::new(device);
        let values = |n: usize| -> Vec<f32> { (0..n).map(|k| (k as f32).sin()).collect() };
        Ok(Self {
            device: device.clone(),
            lstm: Lstm::new(h).return_sequences().build(&params, i)?,
            params,
            adam: Adam::default(),
            x: Tensor::from_slice(&values(b * t * i), [b, t, i], device)?.into(),
            d_y: Tensor::from_slice(&values(b * t * h), [b, t, h], device)?,
        })
    }

    fn forward(&self) -> Result<()> {
        self.lstm.forward(&Tape::inference(&self.params), &self.x)?;
        self.device.submit()
    }

    fn train(&mut self) -> Result<()> {
        let tape = Tape::new(&self.params);
        let x = tape.input(self.x.tensor().clone()).with_lengths(self.x.lengths().cloned());
        let y = self.lstm.forward(&tape, &x)?;
        tape.backward_from(&[(&y, self.d_y.clone())])?;
        self.adam.step(&self.params)?;
        self.device.submit()
    }
}

type Run = fn(&mut Layer) -> Result<()>;

/// The time of `n` runs, the device's work included.
fn time(layer: &mut Layer, n: u64, run: Run) -> Duration {
    let result = (|| {
        layer.device.synchronize()?;
        let start = Instant::now();
        for _ in 0..n {
            run(layer)?;
        }
        layer.device.synchronize()?;
        Ok::<_, wgpu_lstm::Error>(start.elapsed())
    })();
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn bench(c: &mut Criterion) {
    let devices = devices();
    let passes: [(&str, f64, Run); 2] =
        [("forward", 1.0, |layer| layer.forward()), ("train", 3.0, Layer::train)];
    for (pass, factor, run) in passes {
        for shape in SHAPES {
            let [b, t, i, h] = shape;
            let id = format!("B{b}_T{t}_I{i}_H{h}");
            for (name, device) in &devices {
                let mut group = c.benchmark_group(format!("{pass}/{name}"));
                group.sample_size(10).warm_up_time(Duration::from_millis(500));
                group.throughput(Throughput::Elements((b * t) as u64));
                let mut layer = match Layer::new(device, shape) {
                    Ok(layer) => layer,
                    Err(error) => panic!("{id} on {name}: {error}"),
                };
                time(&mut layer, 2, run);
                let seconds = time(&mut layer, 3, run).as_secs_f64() / 3.0;
                let flop = factor * 8.0 * (t * b * h * (i + h)) as f64;
                println!("{pass}/{name}/{id}: {:.1} GFLOP/s", flop / seconds * 1e-9);
                group.bench_function(BenchmarkId::from_parameter(&id), |bencher| {
                    bencher.iter_custom(|n| time(&mut layer, n, run));
                });
            }
        }
    }
}

/// What rows of different lengths cost, against rows that are all as long as the longest.
fn lengths(c: &mut Criterion) {
    let shape = [32, 64, 64, 128];
    let [b, t, _, _] = shape;
    // Even from 1 to T, in no order.
    let mixed: Vec<_> = (0..b).map(|row| 1 + (row * 13 % b) * (t - 1) / (b - 1)).collect();
    for (name, device) in devices() {
        let layer = |lengths: Option<Lengths>| -> Result<Layer> {
            let mut layer = Layer::new(&device, shape)?;
            layer.x = layer.x.with_lengths(lengths);
            Ok(layer)
        };
        let pair = Lengths::new(&mixed, &device)
            .and_then(|lengths| Ok([layer(Some(lengths))?, layer(None)?]));
        let [mut mixed, mut full] = pair.unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut times = [vec![], vec![]];
        for round in 0..12 {
            for (layer, times) in [&mut mixed, &mut full].into_iter().zip(&mut times) {
                let took = time(layer, 1, Layer::train);
                if round > 1 {
                    times.push(took.as_secs_f64());
                }
            }
        }
        let [mixed_time, full_time] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        });
        println!("lengths/{name}: mixed takes {:.2} of full", mixed_time / full_time);
        let mut group = c.benchmark_group(format!("lengths/{name}"));
        group.sample_size(10).warm_up_time(Duration::from_millis(500));
        for (id, layer) in [("mixed", &mut mixed), ("full", &mut full)] {
            group.bench_function(id, |b| b.iter_custom(|n| time(layer, n, Layer::train)));
        }
    }
}

criterion_group!(benches, bench, lengths);
criterion_main!(benches);
