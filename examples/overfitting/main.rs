//! How much data does a model need? One that tells phones learns from 5 to 100 % of the labels in three ways: plain,
//! regularised, and pre-trained on all of the speech without labels, then fine-tuned.
//!
//!     cargo run --release --features npz,plot --example overfitting
//!
//! The data are those of the program `phones`: pairs of phones, spoken by one man (`examples/data/README.md`).

#[path = "../common/mod.rs"]
mod common;
#[path = "../phones/data.rs"]
#[allow(dead_code, reason = "where one phone ends is of no use here")]
mod data;
mod models;
mod picture;

use common::Scores;
use picture::Line;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::prelude::*;

/// Percent of the labels that are known.
const SHARES: [usize; 5] = [5, 10, 25, 50, 100];
const WAYS: [&str; 4] = ["plain", "regularised", "pre-trained", "linear"];

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains, tests and draws; the scores.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let data = data::read()?;
    let (test, mut train): (Vec<_>, Vec<_>) = (0..data.x.len()).partition(|pair| pair % 5 == 4);
    if short {
        train.truncate(400);
    }
    println!("{} pairs to train on, {} to test on", train.len(), test.len());
    // Of the speech without labels all is known, and so are its means and deviations.
    let scaler = Standardizer::fit(&data.x.select(&train)?)?;
    let x = scaler.transform(&data.x)?;
    let of = |pairs: &[usize]| -> Result<_, wgpu_lstm::Error> {
        Ok((x.select(pairs)?, data.y.of_sequences(&data.x, pairs)?))
    };
    let (test_x, test_y) = of(&test)?;
    let (classes, epochs) = (data.names.len(), if short { 4.0 } else { 25.0 });

    println!("\nlearns to fill in speech without labels");
    let speech = x.select(&train)?;
    let base = models::pretrained(device, seed, &speech, if short { 8 } else { 60 })?;
    let mut found = WAYS.map(|_| vec![Vec::new(); SHARES.len()]);
    let mut learned = vec![Vec::new(); SHARES.len()];
    for draw in 0..if short { 1 } else { 3 } {
        let seed = 3 * seed + draw;
        train.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        for (at, share) in SHARES.into_iter().enumerate() {
            let (x, y) = of(&train[..train.len() * share / 100])?;
            println!("\n{share} % of the labels, {} pairs", x.len());
            // With fewer pairs an epoch has fewer steps: more epochs, yet fewer steps in all.
            let epochs = (epochs * (100.0 / share as f64).powf(0.3)) as usize;
            for (way, found) in WAYS.iter().zip(&mut found) {
                let top = Dense::new(classes).activation(Activation::Softmax);
                let (mut model, rate, decay) = match *way {
                    "plain" => (models::network(device, seed, 0.0).add(top), 3e-3, 0.0),
                    "linear" => (models::linear(device, seed, classes), 1e-2, 0.3),
                    "regularised" => (models::network(device, seed, 0.5).add(top), 3e-3, 0.01),
                    _ => (models::network(device, seed, 0.5).add(top), 3e-3, 0.01),
                };
                let fit = Fit::new().epochs(epochs).seed(seed).clip(Clip::GlobalNorm(1.0)).quiet();
                let mut fit =
                    fit.schedule(CosineDecay::new((epochs * x.len().div_ceil(32)) as u64));
                if *way == "pre-trained" {
                    fit = models::tune(&mut model, &base, fit, epochs)?;
                }
                let optimizer = AdamW::new(rate).weight_decay(decay);
                model.compile(optimizer, Loss::CrossEntropy, &[Metric::Accuracy]);
                model.fit(&x, &y, fit)?;
                let accuracy = |x, y| Ok::<_, wgpu_lstm::Error>(model.evaluate(x, y)?.metrics[0]);
                found[at].push(f64::from(accuracy(&test_x, &test_y)?));
                println!("{way}: {:.3}", found[at][found[at].len() - 1]);
                if *way == "plain" {
                    learned[at].push(f64::from(accuracy(&x, &y)?));
                }
            }
        }
    }

    let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let mut scores = Scores::new();
    for (at, share) in SHARES.into_iter().enumerate() {
        for (way, found) in WAYS.iter().zip(&found) {
            scores.push((format!("{share} %, {way}").leak(), mean(&found[at])));
        }
        scores.push((format!("{share} %, plain, on these").leak(), mean(&learned[at])));
    }
    let names = WAYS.map(String::from).into_iter().chain(["plain, on what it learned from".into()]);
    let values = found.into_iter().chain([learned]);
    let line = |(name, values): (String, _)| Line { dashed: name.contains(','), name, values };
    let lines: Vec<_> = names.zip(values).map(line).collect();
    let path = common::picture("overfitting.svg");
    picture::save("phones told in speech that was not heard", &SHARES, &lines, &path)?;
    Ok(scores)
}
