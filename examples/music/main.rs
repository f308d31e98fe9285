//! Music in four voices: an LSTM learns which note each voice sings, given all before and the voices above, and writes
//! music of its own as a MIDI file and a picture.
//!
//!     cargo run --release --example music
//!
//! Data: 32 old melodies, to which rules put three voices (`examples/data/README.md`). Where there is a file
//! `examples/data/music/own.txt`, which `convert.py` there makes of your own music, the program takes that.

#[path = "../common/mod.rs"]
mod common;
mod counts;
mod files;

use common::Scores;
use counts::Counts;
use files::{Frame, Notes, VOICES};
use rand::SeedableRng;
use rand::distr::{Distribution, weighted::WeightedIndex};
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::prelude::*;

/// Frames that are written: 48 beats.
const WRITTEN: usize = 96;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains, tests, writes and draws; the scores.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let tunes = files::read()?;
    let notes = Notes::of(&tunes);
    let of = |tunes: &[Vec<Frame>]| -> anyhow::Result<(Sequences, Targets)> {
        let sung: Vec<Vec<u32>> = tunes.iter().map(|tune| notes.numbers(tune)).collect();
        let x = Sequences::from_tokens(sung.iter().map(|numbers| notes.before(numbers)))?;
        Ok((x, Targets::classes(sung.concat())))
    };
    // Of ten tunes one tells when to stop, and two are to test on.
    let part = |which: fn(usize) -> bool| -> Vec<Vec<Frame>> {
        (0..tunes.len()).filter(|i| which(i % 10)).map(|i| tunes[i].clone()).collect()
    };
    let (train, held, test) =
        (part(|i| i % 5 != 4 && i != 2), part(|i| i == 2), part(|i| i % 5 == 4));
    println!("{} tunes to train on, {} to test on", train.len() + held.len(), test.len());
    let ((x, y), (held_x, held_y), (test_x, test_y)) = (of(&train)?, of(&held)?, of(&test)?);

    let mut model = Sequential::new(device)
        .seed(seed)
        .add(Embedding::new(VOICES * notes.len() + 1, 32))
        .add(Lstm::new(128).return_sequences())
        .add(Dropout::new(0.5))
        .add(Dense::new(notes.len()).activation(Activation::Softmax));
    model.compile(Adam::new(3e-3), Loss::CrossEntropy, &[Metric::Accuracy]);
    let fit = Fit::new().epochs(if short { 40 } else { 100 }).batch_size(4).seed(seed);
    let fit = fit.clip(Clip::GlobalNorm(1.0)).validation_data(&held_x, &held_y);
    model.fit(&x, &y, fit.callback(EarlyStopping::new("val_loss").patience(8)))?;

    let written = write(&model, &notes, seed)?;
    let midi = std::env::temp_dir().join("music.mid");
    files::save_midi(&written, &midi)?;
    println!("music: {}", midi.display());
    files::draw(&written, &common::picture("music.svg"))?;

    let loss = f64::from(model.evaluate(&test_x, &test_y)?.loss) * VOICES as f64;
    let known = [train, held].concat();
    let counted = |contexts: usize| Counts::new(&known, &notes, contexts).nats_per_frame(&test);
    Ok(vec![
        ("nats a frame", loss),
        ("nats a frame, notes counted", counted(1)),
        ("nats a frame, counted after the note before", counted(2)),
        ("nats a frame, and below the voice above", counted(3)),
    ])
}

/// Music that is drawn note by note, with the probabilities that the model has.
fn write(model: &Sequential, notes: &Notes, seed: u64) -> anyhow::Result<Vec<Frame>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut stepper = model.stepper(1)?;
    let stream = stepper.join()?;
    let mut sung = Vec::new();
    while sung.len() < WRITTEN * VOICES {
        let before = notes.token_before(&sung) as f32;
        let found = stepper.step(&[(stream, &[before])])?;
        sung.push(WeightedIndex::new(found.row(0))?.sample(&mut rng) as u32);
    }
    Ok(notes.frames(&sung))
}
