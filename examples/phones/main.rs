//! Which phone is this? Each frame of speech is told by itself, with what came before, and with what comes after as
//! well: why speech is read in both directions where it can be.
//!
//!     cargo run --release --features npz,plot --example phones
//!
//! The data are the pairs of phones of which a synthetic voice is made, spoken by one man, with the bound between the
//! two in each (`examples/data/README.md`). The pairs to test on are in no training.

#[path = "../common/mod.rs"]
mod common;
mod data;

use common::Scores;
use std::ops::Range;
use wgpu_lstm::plot::HeatMap;
use wgpu_lstm::prelude::*;

/// The frames that the picture shows, by their distance from the bound.
const SHOWN: Range<i32> = -12..12;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains, tests and draws; the scores.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let data = data::read()?;
    let (test, train): (Vec<_>, Vec<_>) = (0..data.x.len()).partition(|pair| pair % 5 == 4);
    println!(
        "{} phones; {} pairs to train on, {} to test on",
        data.names.len(),
        train.len(),
        test.len()
    );
    let scaler = Standardizer::fit(&data.x.select(&train)?)?;
    let [x, test_x] = [&train, &test].map(|part| scaler.transform(&data.x.select(part)?));
    let [y, test_y] = [&train, &test].map(|part| data.y.of_sequences(&data.x, part));
    let (x, test_x, y, truth) = (x?, test_x?, y?, test_y?.labels()?);

    let new = || Sequential::new(device).seed(seed);
    // First values as PyTorch draws them, smaller than those by default: from there a deep model learns less of so
    // few data by heart.
    let lstm = |units| Lstm::new(units).pytorch_init().return_sequences();
    let both = |units| lstm(units).bidirectional(Merge::Concat);
    let deep = both(128).num_layers(2).dropout(0.5);
    let models = [
        ("by a frame alone, linear", 5e-2, new()),
        ("one direction", 3e-3, new().add(lstm(96)).add(Dropout::new(0.3))),
        ("two directions", 3e-3, new().add(both(96)).add(Dropout::new(0.3))),
        ("two directions, two layers", 3e-3, new().add(deep).add(Dropout::new(0.5))),
    ];
    // How far each frame to test on is from the bound between its two phones.
    let away = |&pair: &usize| {
        let bound = data.bounds[pair] as i32;
        (0..data.x.frames(pair) as i32).map(move |frame| frame - bound)
    };
    let away: Vec<i32> = test.iter().flat_map(away).collect();
    let (mut scores, mut picture) = (Scores::new(), Vec::new());
    for (name, rate, model) in models {
        println!("\n{name}");
        let mut model = model.add(Dense::new(data.names.len()).activation(Activation::Softmax));
        model.compile(Adam::new(rate), Loss::CrossEntropy, &[Metric::Accuracy]);
        let epochs = if short { 3 } else { 25 };
        let steps = (epochs * x.len().div_ceil(32)) as u64;
        let fit = Fit::new().epochs(epochs).seed(seed).clip(Clip::GlobalNorm(1.0));
        model.fit(&x, &y, fit.schedule(CosineDecay::new(steps)))?;

        let found = model.predict(&test_x)?.classes();
        let right = found.iter().zip(&truth).map(|(found, truth)| *found == *truth as usize);
        let right: Vec<(i32, bool)> = away.iter().copied().zip(right).collect();
        scores.push((name, share(&right, |_| true)));
        picture.extend(SHOWN.map(|at| share(&right, |frame| frame == at) as f32));
    }
    HeatMap::new(&picture, [scores.len(), SHOWN.count()])
        .rows(&scores.iter().map(|(name, _)| name).collect::<Vec<_>>())
        .columns(&SHOWN.map(|at| at.to_string()).collect::<Vec<_>>())
        .axes("", "frames from the bound between the two phones")
        .range(0.0, 1.0)
        .plot()?
        .title("frames whose phone is told")
        .save(common::picture("phones.svg"))?;
    Ok(scores)
}

/// The share of frames told rightly, of those at some distances from the bound.
fn share(right: &[(i32, bool)], at: impl Fn(i32) -> bool) -> f64 {
    let those: Vec<bool> = right.iter().filter(|(away, _)| at(*away)).map(|of| of.1).collect();
    those.iter().filter(|right| **right).count() as f64 / those.len().max(1) as f64
}
