//! Frame by frame: several streams step through one layer, join and leave, and wait where no frame
//! has come. Prints how long a step takes.
//!
//!     cargo run --release --example streams
//!
//! `WGPU_LSTM_DEVICE=cpu`, `software` or part of an adapter's name chooses the device.

use anyhow::Result;
use std::time::Instant;
use wgpu_lstm::Device;
use wgpu_lstm::nn::{Lstm, Params};

fn main() -> Result<()> {
    let device = Device::auto()?;
    println!("device: {device}");
    let params = Params::new(&device);
    let layer = Lstm::new(128).build(&params, 40)?;
    for streams in [1, 8, 64] {
        let mut stepper = layer.stepper(&params, streams)?;
        let ids = (0..streams).map(|_| stepper.join()).collect::<wgpu_lstm::Result<Vec<_>>>()?;
        let frame = [0.1; 40];
        let frames: Vec<_> = ids.iter().map(|&id| (id, &frame[..])).collect();
        stepper.step(&frames)?; // The first call compiles the kernels.
        let began = Instant::now();
        let mut last = 0.0;
        for _ in 0..200 {
            last = stepper.step(&frames)?[0][0];
        }
        let micros = began.elapsed().as_micros() as f64 / 200.0;
        println!("{streams:3} streams: {micros:7.1} µs a step (h[0] is {last:.4})");
        // One hangs up, another calls: its place begins at zero.
        stepper.leave(ids[0])?;
        let late = stepper.join()?;
        stepper.step(&[(late, &frame)])?;
    }
    Ok(())
}
