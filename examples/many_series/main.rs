//! Four hundred series, one model: how many orders each product of a shop will have in each of the next four weeks.
//!
//!     cargo run --release --features csv,plot --example many_series
//!
//! As in DeepAR (Salinas et al. 2020, doi:10.1016/j.ijforecast.2019.07.001) all products share an LSTM, each has a
//! vector of its own that is learned along (an embedding), and counts are divided by what the product sells on average.
//! Every four weeks the model is trained anew on all weeks before, in a loop of its own: its loss is one of quantiles,
//! in whose place a likelihood may stand. Data: UCI's Online Retail II, by weeks; see data/README.md.

mod baselines;
#[path = "../common/mod.rs"]
mod common;
mod model;
mod products;

use common::Scores;
use model::Model;
use products::{HORIZON, Products};
use std::ops::Range;
use wgpu_lstm::plot::Forecast;
use wgpu_lstm::prelude::*;
use wgpu_lstm::{Tape, Tensor, data::KFold, loss, nn::Params};

const QUANTILES: [f32; 3] = [0.1, 0.5, 0.9];
/// The weeks before June 2011, from which on it is forecast; and those at the begin that only give the LSTM a start.
const PAST: usize = 79;
const FIRST: usize = 8;
const EPOCHS: usize = 20;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Walks through the weeks with and without embedding, and judges both and the baselines.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let weeks = if short { PAST + HORIZON } else { products::WEEKS };
    let (mut truth, mut came) = (Vec::new(), Vec::new());
    let (mut rows, mut shown) = (vec![Vec::new(); 6], Vec::<[f32; 3]>::new());
    for past in (PAST..=weeks - HORIZON).step_by(HORIZON) {
        let products = Products::read(past)?;
        let origins = past - 1..(past - 1 + HORIZON).min(weeks - HORIZON);
        println!("{} products, {past} weeks to learn from", products.names.len());
        truth.extend(products.to_come(origins.clone()));
        let found = [
            forecast(&products, 8, origins.clone(), device, seed)?,
            forecast(&products, 0, origins.clone(), device, seed)?,
            baselines::of_last_weeks(&products, 8, origins.clone()),
            baselines::of_last_weeks(&products, 4, origins.clone()),
            baselines::last_weeks_and_season(&products, 8, origins.clone()),
            baselines::after_such_weeks(&products, 8, origins.clone(), &QUANTILES),
        ];
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
    for (names, rows) in baselines::NAMES.iter().zip(&rows) {
        scores.extend(names.iter().copied().zip(baselines::score(rows, &truth, &QUANTILES)?));
    }
    Ok(scores)
}

/// Trains a model on the past, and forecasts from each of the weeks behind it the quantiles of the next ones.
fn forecast(
    products: &Products,
    embedding: usize,
    origins: Range<usize>,
    device: &Device,
    seed: u64,
) -> anyhow::Result<Vec<[f32; 3]>> {
    let (params, n) = (Params::seeded(device, seed), products.names.len());
    let model = Model::new(n, embedding, HORIZON * QUANTILES.len(), &params)?;
    let mut optimizer = AdamW::new(5e-3);
    let batches = n.div_ceil(32);
    let schedule = CosineDecay::new((EPOCHS * batches) as u64);
    // The last weeks of the past are targets alone.
    let known = origins.start + 1 - HORIZON;
    for epoch in 0..EPOCHS {
        let folds = KFold::new(batches).shuffle(seed + epoch as u64).split(n)?;
        for (step, (_, batch)) in folds.iter().enumerate() {
            let tape = Tape::new(&params);
            let shape = [batch.len(), known, products::FEATURES];
            let x = Tensor::from_slice(&products.features(batch, known), shape, device)?;
            let y = products.targets(batch, known);
            let y = Tensor::from_slice(&y, [batch.len(), known, HORIZON], device)?;
            let weights = loss::RowWeights::new(&products.weights(batch, known, FIRST), device)?;
            let found = model.forward(&tape, x.into(), batch)?;
            let loss = loss::quantiles(&tape, &found, &y, &QUANTILES, Some(&weights))?;
            tape.backward(&loss)?;
            params.clip_gradients(Clip::GlobalNorm(1.0))?;
            optimizer.set_learning_rate(5e-3 * schedule.factor((epoch * batches + step) as u64));
            optimizer.step(&params)?;
            device.submit()?;
            if (epoch + 1) % 5 == 0 && step + 1 == batches {
                println!("epoch {}/{EPOCHS}  loss {:.4}", epoch + 1, loss.tensor().to_vec()?[0]);
            }
        }
    }
    let all: Vec<usize> = (0..n).collect();
    let x = products.features(&all, products::WEEKS);
    let x = Tensor::from_slice(&x, [n, products::WEEKS, products::FEATURES], device)?;
    let found = model.forward(&Tape::inference(&params), x.into(), &all)?;
    Ok(products.forecasts(&found.tensor().to_vec()?, origins))
}
