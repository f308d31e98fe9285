//! A language model after the recipe of AWD-LSTM (Merity et al. 2018): recurrent weights are dropped, the same features
//! are dropped at all words of a piece, and the weights are averaged once the validation no longer gets better. Beside it
//! what counting gives: five words at a time, smoothed after Kneser and Ney, alone and mixed with the model.
//!
//!     cargo run --release --features plot --example language_model
//!
//! Data: six books of a Bible in modern English, cut into words; see `examples/data/README.md`.

#[path = "../common/mod.rs"]
mod common;
mod data;
mod kneser_ney;

use data::{ROWS, order, pieces};
use kneser_ney::KneserNey;
use rand::SeedableRng;
use rand::distr::{Distribution, weighted::WeightedIndex};
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::Swa;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains, tests, draws and writes a text.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<common::Scores> {
    let (vocabulary, [train, held, test]) = data::read(short)?;
    println!("{} words to train on, {} to test", train.len(), test.len());
    println!("{} different ones; the rarer are one", vocabulary.len() - 2);
    let (x, y) = pieces(&train)?;
    let (held_x, held_y) = pieces(&held)?;
    let (test_x, _) = pieces(&test)?;

    // The state is carried from epoch to epoch, and nearly never begins from zeros in training. With the library's first
    // values a seed's cells latched, and from zeros went where no training had been; with these they did not.
    let lstm = || {
        let lstm = Lstm::new(160).kernel_init(Init::PyTorch).recurrent_init(Init::PyTorch);
        lstm.forget_bias(0.0).weight_drop(0.3).return_sequences().stateful()
    };
    let mut model = Sequential::new(device)
        .seed(seed)
        .add(Embedding::new(vocabulary.len(), 128))
        .add(Dropout::new(0.3).features())
        .add(lstm())
        .add(Dropout::new(0.3).features())
        .add(lstm())
        .add(Dropout::new(0.3).features())
        .add(Dense::new(vocabulary.len()).activation(Activation::Softmax));
    model.compile(Adam::new(3e-3), Loss::CrossEntropy, &[Metric::Perplexity]);
    let fit = Fit::new().epochs(if short { 5 } else { 10 }).batch_size(ROWS).shuffle(false);
    let fit = fit.clip(Clip::GlobalNorm(0.5)).average(Swa::triggered(1));
    let history = model.fit(&x, &y, fit.validation_data(&held_x, &held_y))?;
    history.plot().save(common::picture("language_model.svg"))?;
    write(&model, &vocabulary, seed)?;

    model.reset_state();
    let found = model.predict_batches(&test_x, ROWS)?;
    let counted = KneserNey::new(&train, 5, vocabulary.len());
    let words = order(test.len());
    let p: Vec<[f64; 2]> = words
        .iter()
        .zip(found.iter())
        .map(|(&i, p)| [p[test[i] as usize].into(), counted.p(&test[i.saturating_sub(4)..=i])])
        .collect();
    let perplexity = |of: fn(&[f64; 2]) -> f64| {
        (-p.iter().map(|p| of(p).ln()).sum::<f64>() / p.len() as f64).exp()
    };
    Ok(vec![
        ("perplexity", perplexity(|p| p[0])),
        ("perplexity, five words counted", perplexity(|p| p[1])),
        ("perplexity, half of each", perplexity(|p| (p[0] + p[1]) / 2.0)),
    ])
}

/// Prints words that are drawn as the model has them, the likely ones a little more often.
fn write(model: &Sequential, vocabulary: &Vocabulary, seed: u64) -> anyhow::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut stepper = model.stepper(1)?;
    let stream = stepper.join()?;
    let mut text = vec![vocabulary.number(data::END).unwrap_or(Vocabulary::UNKNOWN)];
    while text.len() < 120 {
        let last = text[text.len() - 1] as f32;
        let found = stepper.step(&[(stream, &[last])])?;
        let mut p: Vec<f32> = found.row(0).iter().map(|p| p.powf(1.2)).collect();
        p[Vocabulary::UNKNOWN as usize] = 0.0;
        text.push(WeightedIndex::new(p)?.sample(&mut rng) as u32);
    }
    println!("{}", vocabulary.decode(&text)?);
    Ok(())
}
