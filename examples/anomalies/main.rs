//! What happened to a sensor? Four of them measure humidity and temperature every five seconds; at two somebody makes
//! steam for a while, and what a forecast then misses gives it away.
//!
//!     cargo run --release --features csv,plot --example anomalies
//!
//! An LSTM learns from the first two and a half hours of each sensor, in which nothing happens, what comes next. It
//! sees no label; they only judge. Data: Suthaharan et al. 2010, a sensor network with labelled events; see
//! data/README.md.

#[path = "../common/mod.rs"]
mod common;
mod data;
mod picture;

use common::Scores;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::metrics::{average_precision, roc_auc};

/// The rows of each sensor that are learned from, and how many of them at once.
const QUIET: usize = 1800;
const PIECE: usize = 60;

/// Of the two sensors with events, by forecast, by level and by change.
const NAMES: [[[&str; 2]; 3]; 2] = [
    [
        ["AUC indoors", "precision indoors"],
        ["AUC indoors, level", "precision indoors, level"],
        ["AUC indoors, change", "precision indoors, change"],
    ],
    [
        ["AUC outdoors", "precision outdoors"],
        ["AUC outdoors, level", "precision outdoors, level"],
        ["AUC outdoors, change", "precision outdoors, change"],
    ],
];

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains on the quiet rows, and judges how well misses tell events.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let motes = data::motes(QUIET)?;
    // Pieces of the quiet rows; each row's target is the next one.
    let (mut x, mut y) = (Vec::new(), Vec::<f32>::new());
    for mote in &motes {
        for begin in (0..QUIET - PIECE).step_by(PIECE / 2) {
            x.push(mote.rows.get(0)[2 * begin..2 * (begin + PIECE)].to_vec());
            y.extend_from_slice(&mote.rows.get(0)[2 * (begin + 1)..2 * (begin + PIECE + 1)]);
        }
    }
    let (x, y) = (Sequences::new(2, x)?, Targets::values(y, 2));
    let mut model = Sequential::new(device).seed(seed);
    model = model.add(Lstm::new(16).return_sequences()).add(Dense::new(2));
    model.compile(AdamW::new(5e-3), Loss::MeanSquaredError, &[]);
    let epochs = if short { 30 } else { 60 };
    let steps = epochs * x.len().div_ceil(16);
    let fit = Fit::new().epochs(epochs).batch_size(16).clip(Clip::GlobalNorm(1.0));
    model.fit(&x, &y, fit.schedule(CosineDecay::new(steps as u64)))?;

    let mut scores = Scores::new();
    let eventful = motes.iter().filter(|mote| mote.events.contains(&true));
    for (names, mote) in NAMES.iter().zip(eventful) {
        let found = model.predict(&mote.rows)?;
        let row = |i: usize| mote.rows.frame(0, i);
        let of_rows = |score: &dyn Fn(usize) -> f32| -> Vec<f32> {
            (1..mote.events.len()).map(score).collect()
        };
        // What the forecast of a row missed; how far the row is from the quiet ones; from the row before.
        let missed = smoothed(&of_rows(&|i| distance(row(i), found.row(i - 1))));
        let level = of_rows(&|i| distance(row(i), &[0.0; 2]));
        let change = smoothed(&of_rows(&|i| distance(row(i), row(i - 1))));
        let events = &mote.events[1..];
        for (names, score) in names.iter().zip([&missed, &level, &change]) {
            let (score, events) = (&score[QUIET..], &events[QUIET..]);
            scores.push((names[0], roc_auc(score, events, None)?));
            scores.push((names[1], average_precision(score, events, None)?));
        }
        let place = names[0][0].replace("AUC ", "anomalies_");
        picture::draw(&mote.rows, &missed, events, &format!("{place}.svg"))?;
    }
    Ok(scores)
}

/// The square of how far one row is from another.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// The mean of each value, the 7 before it and the 7 behind: an event is told half a minute later.
fn smoothed(values: &[f32]) -> Vec<f32> {
    let mean = |i: usize| {
        let near = &values[i.saturating_sub(7)..values.len().min(i + 8)];
        near.iter().sum::<f32>() / near.len() as f32
    };
    (0..values.len()).map(mean).collect()
}
