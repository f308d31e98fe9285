//! Spoken digits: one a recording; then strings of them by CTC, known from a stream while they are spoken.
//!
//!     cargo run --release --features npz,plot --example spoken_digits
//!
//! The data are mel cepstra of the Free Spoken Digit Dataset (`examples/data/README.md`).

#[path = "../common/mod.rs"]
mod common;
mod data;
mod one;
mod strings;

use common::Scores;
use data::Spoken;
use one::{accuracy, moments};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use strings::{BLANK, batch, listen};
use wgpu_lstm::Tape;
use wgpu_lstm::loss::{BeamSearch, Ctc, Emissions};
use wgpu_lstm::plot::HeatMap;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::metrics::ErrorRate;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains, tests and draws; the scores.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let (x, digits) = data::read()?;
    let (test, train): (Vec<_>, Vec<_>) = (0..x.len()).partition(|i| i % 5 == 4);
    println!("{} recordings to train on, {} to test on", train.len(), test.len());
    let scaler = Standardizer::fit(&x.select(&train)?)?;
    let x = scaler.transform(&x)?;
    let parts = [x.select(&train)?, x.select(&test)?];
    let digits = [&train, &test].map(|part| part.iter().map(|&i| digits[i]).collect::<Vec<_>>());

    // One digit a recording: by its frames in turn, and by nothing but their means and deviations.
    let lstm = Sequential::new(device).seed(seed).add(Lstm::new(64)).add(Dropout::new(0.3));
    let one = accuracy(lstm, &parts, &digits, if short { 5 } else { 30 }, seed)?;
    let linear = Sequential::new(device).seed(seed).add(Flatten::new().timesteps(1));
    let linear = accuracy(linear, &moments(&parts)?, &digits, if short { 30 } else { 200 }, seed)?;

    // Strings of digits, in one direction, since what comes is not yet there.
    let mut model = Sequential::new(device)
        .seed(seed)
        .add(Lstm::new(128).return_sequences())
        .add(Dropout::new(0.5))
        .add(Dense::new(11));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let steps = if short { 400 } else { 1600 };
    // More and more digits a string, up to six.
    let draw = |step: u64| {
        Spoken::draw(&parts[0], &digits[0], 1..=(2 + 8 * step / steps).min(6), &mut rng)
    };
    strings::train(&mut model, device, steps, draw)?;

    // All seeds are tested on the same strings: by the ten best beams over the whole of each ...
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let draw = |_| Spoken::draw(&parts[1], &digits[1], 3..=6, &mut rng);
    let strings: Vec<_> = (0..if short { 50 } else { 200 }).map(draw).collect();
    let logits = model.forward(&Tape::inference(model.params()), &batch(&strings, device)?)?;
    let emissions = Emissions::new(&logits)?;
    let beams = Ctc::new().blank(BLANK).beam_search(&emissions, &BeamSearch::new(10))?;
    let mut by_beams = ErrorRate::new();
    strings.iter().zip(&beams).for_each(|(s, found)| by_beams.add(&found[0].labels, &s.digits));

    // ... and as streams, where a digit is known before or after its last frame.
    let mut stepper = model.stepper(1)?;
    let stream = stepper.join()?;
    let (mut by_stream, mut whole, mut delays) = (ErrorRate::new(), 0, Vec::new());
    for (i, string) in strings.iter().enumerate() {
        let (found, known): (Vec<_>, Vec<_>) =
            listen(&mut stepper, stream, string)?.into_iter().unzip();
        by_stream.add(&found, &string.digits);
        if found == string.digits {
            whole += 1;
            let delay = |(known, end): (&usize, &usize)| *known as f64 - *end as f64;
            delays.extend(known.iter().zip(&string.ends).map(delay));
        }
        if i == 0 {
            println!("spoken {:?} up to frames {:?}", string.digits, string.ends);
            println!("known  {found:?} after frames {known:?}");
        }
    }
    delays.sort_by(f64::total_cmp);
    let delay = |share: usize| delays.get(delays.len() * share / 100).copied().unwrap_or(0.0);

    let classes = emissions.classes();
    let chances = emissions.row(0).chunks(classes);
    let chances: Vec<f32> =
        (0..classes).flat_map(|class| chances.clone().map(move |of| of[class].exp())).collect();
    let names: Vec<_> = (0..10).map(|digit| digit.to_string()).chain(["blank".into()]).collect();
    HeatMap::new(&chances, [classes, chances.len() / classes])
        .rows(&names)
        .axes("what is heard", "frame")
        .plot()?
        .title(format!("spoken: {:?}, up to frames {:?}", strings[0].digits, strings[0].ends))
        .save(common::picture("spoken_digits.svg"))?;
    Ok(vec![
        ("accuracy, one digit", one),
        ("accuracy, linear on means and deviations", linear),
        ("digit error rate of strings, by beams", by_beams.rate()),
        ("digit error rate of strings, as streams", by_stream.rate()),
        ("strings without an error, as streams", f64::from(whole) / strings.len() as f64),
        ("delay in frames, median", delay(50)),
        ("delay in frames, 90 %", delay(90)),
    ])
}
