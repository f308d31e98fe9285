//! Strings of digits by CTC: the model is told which digits there are, but not where.

use super::data::{FEATURES, Spoken};
use wgpu_lstm::loss::Ctc;
use wgpu_lstm::nn::StreamId;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::Stepper;
use wgpu_lstm::{Lengths, Result, Tape, Tensor, Var};

/// The class of the blank; those before it are the digits.
pub const BLANK: u32 = 10;
const BATCH: usize = 16;
const RATE: f32 = 1e-2;

/// Trains on strings that are joined anew for each step.
pub fn train(
    model: &mut Sequential,
    device: &Device,
    steps: u64,
    mut draw: impl FnMut(u64) -> Spoken,
) -> Result<()> {
    model.build(FEATURES)?;
    let (schedule, mut adam) = (OneCycle::new(steps).rise(0.2), Adam::new(RATE));
    for step in 0..steps {
        let strings: Vec<_> = (0..BATCH).map(|_| draw(step)).collect();
        let digits: Vec<_> = strings.iter().map(|string| &string.digits).collect();
        let tape = Tape::new(model.params());
        let logits = model.forward(&tape, &batch(&strings, device)?)?;
        let loss = Ctc::new().blank(BLANK).loss(&tape, &logits, &digits)?;
        tape.backward(&loss)?;
        model.params().clip_gradients(Clip::GlobalNorm(1.0))?;
        adam.set_learning_rate(RATE * schedule.factor(step));
        adam.step(model.params())?;
        device.submit()?;
        if step % 100 == 99 {
            println!("step {:4} of {steps}: loss {:.3}", step + 1, loss.tensor().to_vec()?[0]);
        }
    }
    Ok(())
}

/// Strings as one batch.
pub fn batch(strings: &[Spoken], device: &Device) -> Result<Var> {
    let x = Sequences::new(FEATURES, strings.iter().map(|string| &string.frames))?;
    let (values, shape, lengths) = x.pad();
    let x = Var::from(Tensor::from_slice(&values, shape, device)?);
    Ok(x.with_lengths(Some(Lengths::new(&lengths, device)?)))
}

/// The digits of a string that comes frame by frame, each with the number of frames after which it is known: with
/// the first that says so.
pub fn listen(
    stepper: &mut Stepper,
    stream: StreamId,
    string: &Spoken,
) -> Result<Vec<(u32, usize)>> {
    stepper.reset(stream)?;
    let (mut heard, mut last) = (Vec::new(), BLANK);
    for (before, frame) in string.frames.chunks(FEATURES).enumerate() {
        let class = stepper.step(&[(stream, frame)])?.classes()[0] as u32;
        if class != last && class != BLANK {
            heard.push((class, before + 1));
        }
        last = class;
    }
    Ok(heard)
}
