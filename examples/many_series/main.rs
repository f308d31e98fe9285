//! Four hundred series, one model: how many orders each product of a shop will have in each of the next four weeks.
//!
//!     cargo run --release --features csv,plot --example many_series
//!
//! As in DeepAR (Salinas et al. 2020, doi:10.1016/j.ijforecast.2019.07.001) all products share an LSTM, each has a
//! vector of its own that is learned along (an embedding), and counts are divided by what the product sells on average.
//! Every four weeks the model is trained anew on all weeks before, in a loop of its own: once to say quantiles, and
//! once for each of three distributions, whose parameters it says. Data: UCI's Online Retail II, by weeks; see
//! data/README.md.

mod baselines;
#[path = "../common/mod.rs"]
mod common;
mod learn;
mod model;
mod products;

use baselines::NAMES;
use common::Scores;
use learn::forecast;
use model::Head;
use products::{HORIZON, Products};
use wgpu_lstm::loss::Distribution;
use wgpu_lstm::plot::Forecast;
use wgpu_lstm::prelude::*;

const QUANTILES: [f32; 3] = [0.1, 0.5, 0.9];
/// The weeks before June 2011, from which on it is forecast; and those at the begin that only give the LSTM a start.
const PAST: usize = 79;
const FIRST: usize = 8;

/// The models, and the sizes of their embeddings, in the order of the baselines' names.
const MODELS: [(Head, usize); 5] = [
    (Head::Quantiles, 8),
    (Head::Quantiles, 0),
    (Head::Likelihood(Distribution::NegativeBinomial), 8),
    (Head::Likelihood(Distribution::StudentT), 8),
    (Head::Likelihood(Distribution::Normal), 8),
];

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Walks through the weeks, and judges models and baselines.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let (weeks, epochs) = if short { (PAST + HORIZON, 10) } else { (products::WEEKS, 20) };
    let (mut truth, mut came) = (Vec::new(), Vec::new());
    let (mut rows, mut shown) = (vec![Vec::new(); NAMES.len()], Vec::<[f32; 3]>::new());
    for past in (PAST..=weeks - HORIZON).step_by(HORIZON) {
        let products = Products::read(past)?;
        let origins = past - 1..(past - 1 + HORIZON).min(weeks - HORIZON);
        println!("{} products, {past} weeks to learn from", products.names.len());
        truth.extend(products.to_come(origins.clone()));
        let mut found = Vec::new();
        for (head, size) in MODELS {
            found.push(forecast(&products, head, size, origins.clone(), epochs, device, seed)?);
        }
        found.extend([
            baselines::of_last_weeks(&products, 8, origins.clone()),
            baselines::of_last_weeks(&products, 4, origins.clone()),
            baselines::last_weeks_and_season(&products, 8, origins.clone()),
            baselines::after_such_weeks(&products, 8, origins.clone(), &QUANTILES),
        ]);
        // Of the product sold most what the first of these weeks foresees.
        let best = products.best();
        let first = best * origins.len() * HORIZON;
        shown.extend_from_slice(&found[0][first..first + HORIZON]);
        came.extend_from_slice(&products.counts(best)[past..past + HORIZON]);
        for (all, found) in rows.iter_mut().zip(found) {
            all.extend(found);
        }
    }
    let products = Products::read(PAST)?;
    let best = products.best();
    let column = |q: usize| shown.iter().map(|row| row[q]).collect::<Vec<f32>>();
    Forecast::new(&column(1))
        .history(&products.counts(best)[..PAST])
        .truth(&came)
        .interval(0.8, &column(0), &column(2))
        .plot()?
        .title(format!("orders a week of \"{}\", four weeks ahead at a time", products.names[best]))
        .save(common::picture("many_series.svg"))?;
    let mut scores = Scores::new();
    for (names, rows) in NAMES.iter().zip(&rows) {
        scores.extend(names.iter().copied().zip(baselines::score(rows, &truth, &QUANTILES)?));
    }
    Ok(scores)
}
