//! Throughput of an LSTM layer, forward and training step, on every device of this machine.
//!
//!     cargo bench --bench lstm [-- FILTER]
//!
//! Ids are `forward/<device>/<way>/<shape>`, the same with `train`, and `step/<device>/<way>/<shape>`
//! for a stepper with one stream. A way is a strategy, or `auto-f16` for mixed precision. Criterion's `elem/s` are tokens
//! a second (rows times timesteps); GFLOP/s and, for steps, p50 and p99 are printed after each.
//! A hardware GPU that was idle runs slowly at first: criterion's warm-up, or a longer one where it does not
//! measure, goes by time. A training step is forward, backward with the gradient of the input, and Adam: three times the
//! arithmetic of a forward pass.
//!
//! Measured are the CPU, a hardware GPU and the software adapter; with `WGPU_LSTM_DEVICE` that device alone.
//! `LSTM_SHAPES` chooses among `main` (the default: minutes), `grid` (one size varied at a time),
//! `deepbench` and `flashrnn` (public shapes; for GPUs), with commas between.
//!
//! `lengths/<device>/…` is a training step over rows of 1 to T timesteps, `mixed`, and over rows
//! of T, `full`; their ratio is printed, from runs that take turns. `fit` prints how the cost grows
//! with T and B, `profile` which kernels a GPU's time goes to, `startup` the time from the start of a
//! process to its first prediction, `subnormal` what numbers below 1.2e-38 cost,
//! `large` what parameters do that are larger than a binding, `data` what it costs that samples come from a file.

mod data;
mod devices;
mod fit;
mod large;
mod layer;
mod profile;
mod shapes;
mod startup;
mod subnormal;
mod warm;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group};
use devices::devices;
use layer::{Layer, Pass, Way, params, ways};
use shapes::Shape;
use std::time::{Duration, Instant};
use wgpu_lstm::nn::{Init, Lstm, LstmStepper, StreamId};
use wgpu_lstm::{Device, Lengths, Result};

fn main() {
    match startup::is_child() {
        Ok(true) => return,
        Ok(false) => {}
        Err(error) => panic!("{error}"),
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
    // These are no benchmarks of criterion's.
    if wanted("fit") {
        fit::run();
    }
    if wanted("profile") {
        profile::run();
    }
    if wanted("startup") {
        startup::run();
    }
    if wanted_any("large/") {
        large::run();
    }
    if wanted_any("data/") {
        data::run();
    }
    if wanted_any("subnormal/") {
        subnormal::run();
    }
}

/// Whether the filter names one of a group, or the whole of it.
fn wanted_any(group: &str) -> bool {
    wanted(group) || std::env::args().skip(1).any(|arg| arg.starts_with(group))
}

/// Whether the filter on the command line may let a benchmark run: criterion asks it again, but then
/// the benchmark's layer would have been made in vain. What follows an option is taken for its value,
/// but for options that have none.
fn wanted(id: &str) -> bool {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let filter = args.iter().enumerate().find(|(n, arg)| {
        !arg.starts_with('-')
            && (*n == 0
                || ["--bench", "--noplot"].contains(&args[n - 1].as_str())
                || !args[n - 1].starts_with('-'))
    });
    let idle = args.iter().any(|arg| arg == "--list" || arg == "--test");
    !idle && filter.is_none_or(|(_, filter)| id.contains(filter.as_str()))
}

fn passes(c: &mut Criterion) {
    for pass in Pass::ALL {
        for shape in shapes::chosen() {
            for (name, device) in devices() {
                for &way in ways(device) {
                    measure(c, pass, shape, (name, device), way);
                }
            }
        }
    }
}

fn measure(c: &mut Criterion, pass: Pass, shape: Shape, (name, device): (&str, &Device), way: Way) {
    let group = format!("{}/{name}/{}", pass.name(), way.name);
    let id = format!("{group}/{shape}");
    if !wanted(&id) {
        return;
    }
    let layer =
        Layer::new(device, shape, way).and_then(|mut layer| layer.time(pass, 2).map(|_| layer));
    let mut layer = match layer {
        Ok(layer) => layer,
        // The strategy does not do this shape.
        Err(error) => return println!("{id}: none ({error})"),
    };
    let mut group = c.benchmark_group(group);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(400)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements((shape.b * shape.t) as u64));
    let mut best = f64::INFINITY;
    group.bench_function(BenchmarkId::from_parameter(shape), |bencher| {
        bencher.iter_custom(|n| {
            let took = layer.time(pass, n).unwrap_or_else(|error| panic!("{error}"));
            best = best.min(took.as_secs_f64() / n as f64);
            took
        });
    });
    // Criterion's own filter may have left it out.
    if best.is_finite() {
        println!("{id}: {:.1} GFLOP/s at best", pass.factor() * shape.flop() / best * 1e-9);
    }
}

/// One frame of one stream.
fn steps(c: &mut Criterion) {
    const SHAPES: [Shape; 3] = [
        Shape::new([1, 1, 128, 128], 1),
        Shape::new([1, 1, 128, 128], 2),
        Shape::new([1, 1, 512, 512], 1),
    ];
    for (name, device) in devices() {
        for &way in ways(device) {
            for shape in SHAPES {
                let group = format!("step/{name}/{}", way.name);
                let id = format!("{group}/{shape}");
                if !wanted(&id) {
                    continue;
                }
                let (mut stepper, stream) = match stepper_of(device, shape, way) {
                    Ok(made) => made,
                    Err(error) => {
                        println!("{id}: none ({error})");
                        continue;
                    }
                };
                let frame = vec![0.5; shape.i];
                let mut times = vec![];
                let mut group = c.benchmark_group(group);
                group.sample_size(10).sampling_mode(SamplingMode::Flat);
                group.warm_up_time(Duration::from_millis(400));
                group.measurement_time(Duration::from_secs(1));
                group.bench_function(BenchmarkId::from_parameter(shape), |bencher| {
                    bencher.iter_custom(|n| {
                        let begin = Instant::now();
                        for _ in 0..n {
                            let start = Instant::now();
                            let y = stepper.step(&[(stream, &frame)]);
                            y.unwrap_or_else(|error| panic!("{error}"));
                            times.push(start.elapsed().as_secs_f64() * 1e6);
                        }
                        begin.elapsed()
                    });
                });
                // Criterion's own filter may have left it out.
                if times.is_empty() {
                    continue;
                }
                times.sort_by(f64::total_cmp);
                let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
                println!("{id}: p50 {:.1} µs, p99 {:.1} µs", at(0.5), at(0.99));
            }
        }
    }
}

/// A stepper with one stream, which has made its first step.
fn stepper_of(device: &Device, shape: Shape, way: Way) -> Result<(LstmStepper, StreamId)> {
    let params = params(device, way.precision);
    let lstm = Lstm::new(shape.h).num_layers(shape.layers).strategy(way.strategy);
    let lstm = lstm.recurrent_init(Init::PyTorch);
    let mut stepper = lstm.build(&params, shape.i)?.stepper(&params, 1)?;
    let stream = stepper.join()?;
    stepper.step(&[(stream, &vec![0.5; shape.i])])?;
    Ok((stepper, stream))
}

/// What rows of different lengths cost, against rows that are all as long as the longest.
fn lengths(c: &mut Criterion) {
    let shape = Shape::new([32, 64, 64, 128], 1);
    // Even from 1 to T, in no order.
    let mixed: Vec<_> =
        (0..shape.b).map(|row| 1 + (row * 13 % shape.b) * (shape.t - 1) / (shape.b - 1)).collect();
    for (name, device) in devices() {
        let layer = |mixed_lengths: bool| {
            let mut layer = Layer::new(device, shape, Way::AUTO)?;
            if mixed_lengths {
                layer.x = layer.x.with_lengths(Some(Lengths::new(&mixed, device)?));
            }
            Ok::<_, wgpu_lstm::Error>(layer)
        };
        let time = |layer: &mut Layer, n| {
            layer.time(Pass::Train, n).unwrap_or_else(|error| panic!("{error}"))
        };
        if !wanted(&format!("lengths/{name}/mixed")) && !wanted(&format!("lengths/{name}/full")) {
            continue;
        }
        let mut pair =
            [true, false].map(|m| layer(m).unwrap_or_else(|error| panic!("{name}: {error}")));
        let mut group = c.benchmark_group(format!("lengths/{name}"));
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        for (layer, id) in pair.iter_mut().zip(["mixed", "full"]) {
            group.bench_function(id, |bencher| bencher.iter_custom(|n| time(layer, n)));
        }
        let mut times = [vec![], vec![]];
        for round in 0..12 {
            for (layer, times) in pair.iter_mut().zip(&mut times) {
                let took = time(layer, 1);
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
    }
}

criterion_group!(benches, passes, steps, lengths);
