//! From letters to sounds, in two ways: a bidirectional LSTM with CTC, which emits phones or nothing as it goes through
//! the letters, and an encoder-decoder, whose attention shows which letters a phone comes from.
//!
//!     cargo run --release --features plot --example letters
//!
//! Data: 12,000 words of the CMU Pronouncing Dictionary; see `examples/data/README.md`.

#[path = "../common/mod.rs"]
mod common;
mod data;

use data::{names, of, twice};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::Tape;
use wgpu_lstm::loss::{BeamSearch, Ctc};
use wgpu_lstm::nn::{Params, Seq2Seq};
use wgpu_lstm::plot::HeatMap;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::metrics::{ErrorRate, edit_distance};

/// The steps of an epoch, and the largest rate.
const STEPS: u64 = 160;
const RATE: f32 = 4e-3;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains both, tests and draws.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<common::Scores> {
    let (words, epochs) = if short { ([2000, 300], 3) } else { ([10_000, 2_000], 12) };
    let (train, test, [letters, phones]) = data::read(words)?;
    println!("{} words to train on, {} to test", words[0], words[1]);
    let batch = words[0].div_ceil(STEPS as usize);
    // With CTC, which emits at most a phone a frame.
    let [x, test_x] = [&train, &test].map(|words| Sequences::from_tokens(twice(&words.letters)));
    let mut model = Sequential::new(device)
        .seed(seed)
        .add(Embedding::new(2 * letters.len(), 64))
        .add(Lstm::new(128).bidirectional(Merge::Concat).return_sequences())
        .add(Dropout::new(0.3))
        .add(Dense::new(phones.len())); // No phone has the number 0, that of the blank.
    let ctc = Ctc::new();
    model.compile(Adam::new(RATE), Loss::Ctc(ctc), &[]);
    let schedule = CosineDecay::new(STEPS * epochs as u64).warm_up(50);
    let fit = Fit::new().epochs(epochs).batch_size(batch).seed(seed).schedule(schedule);
    model.fit(&x?, &Targets::sequences(&train.phones), fit)?;
    let emissions = model.predict(&test_x?)?.emissions()?;
    let found = ctc.beam_search(&emissions, &BeamSearch::new(10))?;
    let ctc = found.into_iter().map(|best| best[0].labels.clone()).collect();
    // With an encoder-decoder.
    let params = Params::seeded(device, seed);
    let translator = Seq2Seq::new(letters.len(), phones.len())
        .bidirectional_encoder()
        .dropout(0.3)
        .build(&params)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows: Vec<_> = (0..words[0]).collect();
    let (mut adam, mut steps) = (Adam::new(0.0), 0..);
    for epoch in 1..=epochs {
        rows.shuffle(&mut rng);
        let mut last = f32::NAN;
        for (rows, step) in rows.chunks(batch).zip(&mut steps) {
            let tape = Tape::new(&params);
            let loss =
                translator.loss(&tape, &of(&train.letters, rows), &of(&train.phones, rows))?;
            last = loss.tensor().to_vec()?[0];
            tape.backward(&loss)?;
            adam.set_learning_rate(RATE * schedule.factor(step));
            adam.step(&params)?;
        }
        println!("epoch {epoch}/{epochs}  last loss {last:.3}");
    }
    let found = translator.beam(&params, &test.letters, 5, 20)?;
    let beam: Vec<_> = found.into_iter().map(|best| best[0].tokens.clone()).collect();

    // The longest of some words that are said as the dictionary has them.
    let right = (0..300).filter(|&i| beam[i] == test.phones[i]);
    if let Some(i) = right.max_by_key(|&i| test.letters[i].len()) {
        let (word, said) = (&test.letters[i], &beam[i]);
        let map = &translator.attention_maps(&params, &[word], &[said])?[0];
        let rows = [names(&phones, said), vec!["end".to_owned()]].concat();
        let picture = HeatMap::new(&map.weights, map.shape).rows(&rows);
        picture.columns(&names(&letters, word)).plot()?.save(common::picture("letters.svg"))?;
    }

    // As the word that is spelt most alike.
    let nearest = test.letters.iter().map(|word| {
        let near = (0..words[0]).min_by_key(|&i| edit_distance(word, &train.letters[i]));
        near.map_or_else(Vec::new, |i| train.phones[i].clone())
    });
    let mut scores = Vec::new();
    for (phone, word, said) in [
        ("phone errors, CTC", "word errors, CTC", ctc),
        ("phone errors, attention", "word errors, attention", beam),
        ("phone errors, nearest spelling", "word errors, nearest spelling", nearest.collect()),
    ] {
        let (mut rate, mut wrong) = (ErrorRate::new(), 0);
        for (found, expected) in said.iter().zip(&test.phones) {
            rate.add(found, expected);
            wrong += usize::from(found != expected);
        }
        scores.extend([(phone, rate.rate()), (word, wrong as f64 / said.len() as f64)]);
    }
    Ok(scores)
}
