//! A recogniser of digits, while they are spoken: silero-vad finds where somebody speaks, and an LSTM says
//! what.
//!
//!     cargo run --release --features npz,plot,pytorch --example recogniser [FILE.wav | -]
//!
//! Without a file it is trained, and tested on voices that it has never heard. `-` listens to 16-bit samples, 16,000 a
//! second of one channel: `arecord -q -f S16_LE -r 16000 -c 1 | …`. What it learns from are the mel cepstra of the Free
//! Spoken Digit Dataset (`examples/data/README.md`); those of what it hears are made here in the same way.

mod audio;
#[path = "../common/mod.rs"]
mod common;
#[path = "../spoken_digits/data.rs"]
#[allow(dead_code, reason = "not all that the other program does")]
mod data;
mod decoder;
mod features;
mod listener;
mod live;
#[path = "../voice_activity/model.rs"]
#[allow(dead_code, reason = "not all that the other program does")]
mod model;
mod nearest;
mod streams;
mod voices;

use common::Scores;
use decoder::Decoder;
use live::{kept, listener};
use nearest::nearest;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use streams::{Stream, VOICES};
use voices::Voices;
use wgpu_lstm::Error;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::metrics::ErrorRate;

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1) {
        Some(input) if !input.starts_with("--") => live::hear(&input),
        _ => common::main(run),
    }
}

/// Trains, tests and draws; the scores.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let (x, digits) = data::read()?;
    let (test, train): (Vec<_>, Vec<_>) = (0..x.len()).partition(|i| i % 5 == 4);
    let of = |part: &[usize]| {
        Ok::<_, Error>((x.select(part)?, part.iter().map(|&i| digits[i]).collect()))
    };
    let (train, test): ((_, Vec<u32>), _) = (of(&train)?, of(&test)?);
    let scaler = Standardizer::fit(&train.0)?;
    let recordings = (scaler.transform(&train.0)?, train.1.clone());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let voices = Voices::new(train, &scaler, 85..=130, 0.75..1.35, &mut rng)?;
    let mut model = Sequential::new(device)
        .seed(seed)
        .add(Lstm::new(128).return_sequences())
        .add(Dropout::new(0.5))
        .add(Dense::new(11).activation(Activation::Softmax));
    model.compile(Adam::new(5e-3), Loss::CrossEntropy, &[Metric::Accuracy]);
    let (strings, epochs) = if short { (1500, 3) } else { (8000, 8) };
    let (x, y) = voices.strings(strings, &mut rng)?;
    let schedule = CosineDecay::new((epochs * strings.div_ceil(32)) as u64).warm_up(50);
    let fit = Fit::new().epochs(epochs).seed(seed).schedule(schedule);
    model.fit(&x, &y, fit.clip(Clip::GlobalNorm(1.0)))?;
    let kept = kept(short);
    model.save(&kept)?;

    // How often the model errs, and the recording that is most alike. All seeds are tested on the same streams.
    let [mut known, mut person, mut synthetic] = [[ErrorRate::new(); 2]; 3];
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (mut stepper, many) = (model.stepper(1)?, if short { 100 } else { 300 });
    let stream = stepper.join()?;
    let voices = Voices::new(test, &scaler, 100..=100, 0.99..1.01, &mut rng)?;
    for spoken in (0..many).map(|_| voices.draw(1, &mut rng)) {
        stepper.reset(stream)?;
        let (mut decoder, mut found) = (Decoder::default(), Vec::new());
        for frame in spoken.frames.chunks(data::FEATURES) {
            found.extend(decoder.push(stepper.step(&[(stream, frame)])?.row(0)));
        }
        found.extend(decoder.end());
        known[0].add(&found, &spoken.digits);
        known[1].add(&[nearest(&recordings, &spoken.frames)], &spoken.digits);
    }
    let (sounds, mut delays) = (streams::read()?, Vec::new());
    for round in 0..if short { 1 } else { 4 } {
        for (sounds, voice) in sounds.chunks(10).zip(VOICES) {
            let stream = Stream::draw(sounds, &mut rng);
            let mut listener = listener(&kept, &scaler)?;
            let said = listener.hear_all(&stream.samples)?;
            let found: Vec<_> = said.iter().flat_map(|said| said.digits.clone()).collect();
            let digits: Vec<_> = found.iter().map(|found| found.0).collect();
            let alike: Vec<_> =
                said.iter().map(|said| nearest(&recordings, &said.frames)).collect();
            println!("{voice:8} {:?}\n   heard {digits:?}\n   alike {alike:?}", stream.digits);
            let rates = if voice == VOICES[0] { &mut person } else { &mut synthetic };
            rates[0].add(&digits, &stream.digits);
            rates[1].add(&alike, &stream.digits);
            delays.extend(stream.delays(&found));
            if (round, voice) == (0, VOICES[0]) {
                streams::draw(&listener.trace, &stream)?;
            }
        }
    }
    delays.sort_by(f64::total_cmp);
    let delay = |share: usize| delays.get(delays.len() * share / 100).copied().unwrap_or(0.0);
    Ok(vec![
        ("digit errors, voices of the training", known[0].rate()),
        ("digit errors, voices of the training, nearest", known[1].rate()),
        ("digit errors, a person not heard before", person[0].rate()),
        ("digit errors, a person not heard before, nearest", person[1].rate()),
        ("digit errors, four synthetic voices", synthetic[0].rate()),
        ("digit errors, four synthetic voices, nearest", synthetic[1].rate()),
        ("delay in ms, median", delay(50)),
        ("delay in ms, 90 %", delay(90)),
    ])
}
