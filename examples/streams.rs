//! A whole model frame by frame: streams join, wait while no frame of theirs comes, and leave. Compares with
//! what the model predicts for a whole sequence at once.
//!
//!     cargo run --release --example streams
//!
//! `WGPU_LSTM_DEVICE=cpu`, `software` or part of an adapter's name chooses the device.

use wgpu_lstm::prelude::*;

const FEATURES: usize = 40;

fn main() -> anyhow::Result<()> {
    let device = Device::auto()?;
    println!("device: {device}");
    let mut model = Sequential::new(&device)
        .add(Lstm::new(128))
        .add(Dense::new(10).activation(Activation::Softmax));
    model.build(FEATURES)?; // or train it, or load it

    // Up to three streams at a time. The second waits at every other step, the third comes and goes.
    let mut stepper = model.stepper(3)?;
    let (steady, slow) = (stepper.join()?, stepper.join()?);
    let mut guest = None;
    let mut last = Vec::new();
    for t in 0..10 {
        if t == 4 {
            guest = Some(stepper.join()?);
        }
        if t == 8 {
            guest.take().map(|guest| stepper.leave(guest)).transpose()?;
        }
        let frame = frame(t);
        let mut frames = vec![(steady, &frame[..])];
        frames.extend(guest.map(|guest| (guest, &frame[..])));
        if t % 2 == 0 {
            frames.push((slow, &frame[..]));
        }
        let found = stepper.step(&frames)?;
        for (n, (stream, _)) in frames.iter().enumerate() {
            println!("frame {t} of {stream}: class {}", found.classes()[n]);
        }
        last = found.row(0).to_vec();
    }

    let x: Vec<f32> = (0..10).flat_map(frame).collect();
    let whole = model.predict(&Sequences::from_array(&x, [1, 10, FEATURES])?)?;
    let off = whole.row(0).iter().zip(&last).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("the steady stream: at most {off:.1e} from the whole sequence at once");

    Ok(())
}

/// What a microphone or a sensor would give.
fn frame(t: usize) -> Vec<f32> {
    (0..FEATURES).map(|j| ((t * 7 + j) as f32 * 0.3).sin()).collect()
}
