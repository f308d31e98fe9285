//! How much the price of oil will move in the next week: not where to, which nobody knows, but how far.
//!
//!     cargo run --release --features csv,plot --example volatility
//!
//! An LSTM reads the price day by day, its move and how large the moves of a day, a week, a month and a quarter were,
//! and learns five quantiles of the logarithm of how large those of the next five days are. From 2000 on it is trained
//! anew every two years on what was known then. Data: West Texas Intermediate, of the U.S. Energy Information
//! Administration; see data/README.md.

mod baselines;
#[path = "../common/mod.rs"]
mod common;
mod data;

use baselines::{NAMES, and_its_errors, linear, moving, score};
use common::Scores;
use data::{AHEAD, Oil, SPANS};
use std::ops::Range;
use wgpu_lstm::plot::Forecast;
use wgpu_lstm::prelude::*;

const QUANTILES: [f32; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
/// The first day that has a quarter behind it, and 4 January 2000.
const FIRST: usize = 66;
const CUT: usize = 3549;
/// The days that are read at once in training, and those that are forecast before it is trained anew.
const PIECE: usize = 125;
const BLOCK: usize = 500;
/// What a day says: its move, and how large moves were.
const FEATURES: usize = 1 + SPANS.len();

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Walks through the years, and judges forecasts and baselines.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let oil = Oil::read()?;
    let end = if short { CUT + BLOCK } else { oil.moves.len() - AHEAD };
    println!("{} days, forecast from {} on", oil.days.len(), oil.days[CUT]);
    let mut rows = [(); NAMES.len()].map(|()| Vec::new());
    for from in (CUT..end).step_by(BLOCK) {
        let block = from..end.min(from + BLOCK);
        // Of the last days before it the week behind them is not known yet.
        let past = FIRST..from - AHEAD;
        let model = Sequential::new(device)
            .seed(seed)
            .add(Lstm::new(32).return_sequences())
            .add(Dense::new(QUANTILES.len()));
        rows[0].extend(forecast(model, &oil, past.clone(), block.clone())?);
        let week: Vec<f32> = (FIRST..end).map(|day| oil.sizes(day)[1]).collect();
        let guesses = [linear(&oil, past.clone()), moving(&oil, FIRST), week];
        for (rows, guess) in rows[1..].iter_mut().zip(guesses) {
            rows.extend(and_its_errors(&oil, &guess, past.clone(), block.clone()));
        }
    }

    let truth: Vec<f32> = (CUT..end).map(|day| oil.target(day)).collect();
    // The crash of 2008; in a short run, its last days.
    let last = (end - CUT).min(2400);
    let shown = last - 250..last;
    let of = |q: usize| rows[0][shown.clone()].iter().map(|row| row[q].exp()).collect::<Vec<f32>>();
    Forecast::new(&of(2))
        .truth(&truth[shown.clone()].iter().map(|size| size.exp()).collect::<Vec<f32>>())
        .interval(0.9, &of(0), &of(4))
        .labels(&oil.days[CUT..][shown.clone()])
        .plot()?
        .title("how large the moves of the next week are, % a day, and what is forecast")
        .save(common::picture("volatility.svg"))?;
    let mut scores = Scores::new();
    for (names, rows) in NAMES.iter().zip(&rows) {
        scores.extend(names.iter().copied().zip(score(rows, &truth)?));
    }
    Ok(scores)
}

/// Trains a model on the past, then gives the quantiles of each day of the block.
fn forecast(
    mut model: Sequential,
    oil: &Oil,
    past: Range<usize>,
    block: Range<usize>,
) -> anyhow::Result<Vec<[f32; 5]>> {
    let size = |day: usize| oil.sizes(day)[SPANS.len() - 1];
    let mean = past.clone().map(size).sum::<f32>() / past.len() as f32;
    let frame = |day: usize| {
        let mut frame = vec![oil.moves[day] / mean.exp()];
        frame.extend(oil.sizes(day).map(|size| size - mean));
        frame
    };
    let frames = |days: Range<usize>| days.flat_map(frame).collect::<Vec<f32>>();
    let starts = || (past.start..=past.end - PIECE).step_by(PIECE / 2);
    let x = Sequences::new(FEATURES, starts().map(|day| frames(day..day + PIECE)))?;
    let y = starts().flat_map(|day| (day..day + PIECE).map(|day| oil.target(day) - mean));
    let y = Targets::values(y.collect::<Vec<f32>>(), 1);
    model.compile(AdamW::new(1e-3), Loss::Quantiles(QUANTILES.to_vec()), &[]);
    let epochs = 40;
    let steps = epochs * x.len().div_ceil(4);
    let fit = Fit::new().epochs(epochs).batch_size(4).clip(Clip::GlobalNorm(1.0));
    model.fit(&x, &y, fit.schedule(CosineDecay::new(steps as u64)))?;

    // The days before the block come first, so that the state knows what has been.
    let x = Sequences::new(FEATURES, [frames(block.start - PIECE..block.end)])?;
    let found = model.predict(&x)?;
    let rows = found.sequence(0).chunks_exact(QUANTILES.len()).skip(PIECE);
    let row = |row: &[f32]| {
        // Quantiles that are learned one by one may cross.
        let mut row: [f32; 5] = std::array::from_fn(|q| row[q] + mean);
        row.sort_by(f32::total_cmp);
        row
    };
    Ok(rows.map(row).collect())
}
