//! Twelve currencies a day ahead: where each will stand tomorrow, which nobody knows, and how far it may move, which is
//! known better.
//!
//!     cargo run --release --features csv,plot --example currencies
//!
//! An LSTM reads the daily moves of a currency against the euro, in basis points (hundredths of a percent), and learns
//! five quantiles of the next one; all share its weights. From 2017 on it is trained anew every two years on all days
//! before, and scaled by them. Data: the reference rates of the European Central Bank; see data/README.md.

mod baselines;
#[path = "../common/mod.rs"]
mod common;
mod data;

use baselines::{NAMES, Quantiles, column, drift, error, hits, of_the_past, score, volatility};
use common::Scores;
use data::{FEATURES, Moves, Scaled};
use std::ops::Range;
use wgpu_lstm::plot::Forecast;
use wgpu_lstm::prelude::*;

const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
/// How many moves it reads at once, about a year of them, and how many it forecasts before it is trained anew.
const YEAR: usize = 250;
const BLOCK: usize = 500;
/// The move to 3 January 2017.
const CUT: usize = 4610;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Walks through the years, and judges forecasts and baselines.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let Moves { days, of: moves } = Moves::read()?;
    let end = if short { CUT + BLOCK } else { days.len() };
    println!("{} currencies, {} days; forecast from {} on", moves.len(), days.len(), days[CUT]);
    let [mut lstm, mut moving, mut fixed] = [(); 3].map(|()| vec![Vec::new(); moves.len()]);
    for from in (CUT..end).step_by(BLOCK) {
        let block = from..end.min(from + BLOCK);
        let model = Sequential::new(device)
            .seed(seed)
            .add(Lstm::new(32).return_sequences())
            .add(Dense::new(QUANTILES.len()));
        for (all, rows) in lstm.iter_mut().zip(forecast(model, &moves, block.clone(), short)?) {
            all.extend(rows);
        }
        for (c, all) in moves.iter().enumerate() {
            moving[c].extend(of_the_past(all, &volatility(all), block.clone()));
            fixed[c].extend(of_the_past(all, &vec![1.0; end], block.clone()));
        }
    }

    let truth: Vec<f32> = moves.iter().flat_map(|all| &all[CUT..end]).copied().collect();
    let drift: Vec<f32> = moves.iter().flat_map(|all| drift(all, CUT..end)).collect();
    let median = column(&lstm, 2);

    // The dollar around March 2020; in a short run, its last days.
    let last = (end - CUT).min(900);
    let dollar =
        |q: usize| lstm[0][last - 150..last].iter().map(|row| row[q]).collect::<Vec<f32>>();
    Forecast::new(&dollar(2))
        .truth(&moves[0][CUT..][last - 150..last])
        .interval(0.9, &dollar(0), &dollar(4))
        .labels(&days[CUT..][last - 150..last])
        .plot()?
        .title("the dollar's daily moves, hundredths of a percent, and what was forecast the day before")
        .save(common::picture("currencies.svg"))?;
    let mut scores = vec![
        ("mean absolute error, basis points", error(&median, &truth)),
        ("error, random walk", error(&vec![0.0; truth.len()], &truth)),
        ("error, drift", error(&drift, &truth)),
        ("direction hit, %", hits(&median, &truth)),
        ("direction hit, drift, %", hits(&drift, &truth)),
    ];
    for (names, rows) in NAMES.iter().zip([&lstm, &moving, &fixed]) {
        scores.extend(names.iter().copied().zip(score(rows, &truth)?));
    }
    Ok(scores)
}

/// Trains a model on the moves before the block, then gives the quantiles of each day in it, of each currency.
fn forecast(
    mut model: Sequential,
    moves: &[Vec<f32>],
    block: Range<usize>,
    short: bool,
) -> anyhow::Result<Quantiles> {
    let scaled = Scaled::new(moves, block.start);
    // Pieces of a year; each day's target is the move of the next.
    let (mut x, mut y) = (Vec::new(), Vec::<f32>::new());
    for (c, all) in scaled.moves.iter().enumerate() {
        for day in (0..block.start - YEAR).step_by(YEAR / 2) {
            x.push(scaled.frames(c, day..day + YEAR));
            y.extend(&all[day + 1..=day + YEAR]);
        }
    }
    let (x, y) = (Sequences::new(FEATURES, x)?, Targets::values(y, 1));
    model.compile(AdamW::new(5e-3), Loss::Quantiles(QUANTILES.map(|q| q as f32).to_vec()), &[]);
    let epochs = if short { 10 } else { 20 };
    let steps = epochs * x.len().div_ceil(32);
    let fit = Fit::new().epochs(epochs).clip(Clip::GlobalNorm(1.0));
    model.fit(&x, &y, fit.schedule(CosineDecay::new(steps as u64)))?;

    // The year before the block comes first, so that the states know what has been.
    let known = block.start - 1 - YEAR..block.end - 1;
    let x = (0..moves.len()).map(|c| scaled.frames(c, known.clone()));
    let found = model.predict(&Sequences::new(FEATURES, x)?)?;
    let rows = |(c, scale): (usize, &f32)| {
        let rows = found.sequence(c).chunks_exact(QUANTILES.len()).skip(YEAR);
        let row = |row: &[f32]| {
            // Quantiles that are learned one by one may cross.
            let mut row = std::array::from_fn(|q| row[q] * scale);
            row.sort_by(f32::total_cmp);
            row
        };
        rows.map(row).collect()
    };
    Ok(scaled.scales.iter().enumerate().map(rows).collect())
}
