//! A training loop of your own, over the same layers: an LSTM goes on with a wave, one value
//! after the other.
//!
//!     cargo run --release --example training_loop
//!
//! `WGPU_LSTM_DEVICE=cpu`, `software` or part of an adapter's name chooses the device.

use wgpu_lstm::nn::{Dense, Lstm, Params};
use wgpu_lstm::train::Adam;
use wgpu_lstm::{Device, Tape, Tensor, Var, loss};

fn main() -> anyhow::Result<()> {
    let device = Device::auto()?;
    println!("device: {device}");
    let params = Params::seeded(&device, 1);
    let lstm = Lstm::new(32).return_sequences().build(&params, 1)?;
    let head = Dense::new(1).build(&params, 32)?;
    let mut adam = Adam::new(5e-3);

    // 16 waves of 50 values; the target is each wave one step on.
    let (batch, timesteps) = (16, 50);
    let wave = |row: usize, t: usize| (0.3 * t as f32 + row as f32).sin();
    let values = |shift: usize| -> Vec<f32> {
        (0..batch).flat_map(|b| (0..timesteps).map(move |t| wave(b, t + shift))).collect()
    };
    let x = Var::from(Tensor::from_slice(&values(0), [batch, timesteps, 1], &device)?);
    let y = Tensor::from_slice(&values(1), [batch, timesteps, 1], &device)?;

    for step in 1..=200 {
        let tape = Tape::new(&params);
        let prediction = head.forward(&tape, &lstm.forward(&tape, &x)?)?;
        let loss = loss::mean_squared_error(&tape, &prediction, &y, None)?;
        tape.backward(&loss)?;
        adam.step(&params)?;
        device.submit()?;
        if step % 50 == 0 {
            println!("step {step}: loss {:.5}", loss.tensor().to_vec()?[0]);
        }
    }

    // Goes on alone: each output is the next input, and the state is handed on.
    let tape = Tape::inference(&params);
    let mut out = lstm.run(&tape, &x, None)?;
    let mut last = head.forward(&tape, &out.output)?.tensor().to_vec()?;
    for t in 0..5 {
        let next: Vec<f32> =
            last.chunks(last.len() / batch).map(|row| row[row.len() - 1]).collect();
        println!(
            "step {}: {:+.3}, the wave is {:+.3}",
            timesteps + t,
            next[0],
            wave(0, timesteps + t)
        );
        let x = Var::from(Tensor::from_slice(&next, [batch, 1, 1], &device)?);
        out = lstm.run(&tape, &x, Some(&out.state))?;
        last = head.forward(&tape, &out.output)?.tensor().to_vec()?;
    }
    Ok(())
}
