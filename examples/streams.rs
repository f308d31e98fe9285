//! Frame by frame: streams step through one layer, wait while no frame of theirs comes, join and
//! leave. Compares with the whole sequence at once, then prints how long a step takes.
//!
//!     cargo run --release --example streams
//!
//! `WGPU_LSTM_DEVICE=cpu`, `software` or part of an adapter's name chooses the device.

use anyhow::Result;
use std::time::Instant;
use wgpu_lstm::nn::{Lstm, Params};
use wgpu_lstm::{Device, Tape, Tensor};

const FEATURES: usize = 40;

fn main() -> Result<()> {
    let device = Device::auto()?;
    println!("device: {device}");
    let params = Params::new(&device);
    let layer = Lstm::new(128).build(&params, FEATURES)?;

    // Two streams, of which the second waits at every other step.
    let mut stepper = layer.stepper(&params, 2)?;
    let (steady, slow) = (stepper.join()?, stepper.join()?);
    let (mut last, mut slow_last) = (Vec::new(), Vec::new());
    for t in 0..10 {
        let frame = frame(t);
        let mut frames = vec![(steady, &frame[..])];
        if t % 2 == 0 {
            frames.push((slow, &frame[..]));
        }
        let mut outputs = stepper.step(&frames)?;
        if t % 2 == 0 {
            slow_last = outputs.remove(1);
        }
        last = outputs.remove(0);
    }
    for (name, last, every) in [("steady", &last, 1), ("slow", &slow_last, 2)] {
        let x: Vec<f32> = (0..10).step_by(every).flat_map(frame).collect();
        let x = Tensor::from_slice(&x, [1, 10 / every, FEATURES], &device)?;
        let whole = layer.forward(&Tape::inference(&params), &x.into())?.tensor().to_vec()?;
        let off = whole.iter().zip(last).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name} stream: at most {off:.1e} from the whole sequence at once");
    }

    for streams in [1, 8, 64] {
        let mut stepper = layer.stepper(&params, streams)?;
        let ids = (0..streams).map(|_| stepper.join()).collect::<wgpu_lstm::Result<Vec<_>>>()?;
        let frame = frame(0);
        let frames: Vec<_> = ids.iter().map(|&id| (id, &frame[..])).collect();
        stepper.step(&frames)?; // The first call compiles the kernels.
        let began = Instant::now();
        for _ in 0..200 {
            stepper.step(&frames)?;
        }
        println!(
            "{streams:3} streams: {:7.1} µs a step",
            began.elapsed().as_micros() as f64 / 200.0
        );
    }
    Ok(())
}

fn frame(t: usize) -> Vec<f32> {
    (0..FEATURES).map(|j| ((t * 7 + j) as f32 * 0.3).sin()).collect()
}
