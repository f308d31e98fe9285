//! Electricity a day ahead: what 321 customers in Portugal will draw in each hour of tomorrow, with an interval.
//!
//!     cargo run --release --features csv,plot --example load
//!
//! A day is a frame: its 24 loads, and what the calendar says of the day behind it. The LSTM reads two weeks and learns
//! three quantiles of each hour to come. It walks through the year 2014: each quarter is forecast by a model that was
//! trained, and scaled, on the days before that quarter alone. Data: UCI's ElectricityLoadDiagrams, by hours; see
//! data/README.md.

#[path = "../common/mod.rs"]
mod common;

use common::Scores;
use std::f32::consts::TAU;
use wgpu_lstm::data::Table;
use wgpu_lstm::nn::Flatten;
use wgpu_lstm::plot::Forecast;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::metrics::{Errors, coverage};

const HOURS: usize = 24;
const WINDOW: usize = 14;
const EPOCHS: usize = 40;
const QUANTILES: [f32; 3] = [0.1, 0.5, 0.9];
/// The days of 2012 and 2013, and those of a quarter.
const PAST: usize = 731;
const QUARTER: usize = 92;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Walks through the year, and judges forecasts and baselines.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let loads = Table::from_csv(common::data("load/load.csv"))?.series(1..=HOURS)?;
    let days = if short { PAST + QUARTER } else { loads.frames(0) };
    println!("{days} days of {HOURS} hours, forecast from day {PAST} on");
    let head = Dense::new(HOURS * QUANTILES.len());
    let model = || Sequential::new(device).seed(seed);
    let lstm = || model().add(Lstm::new(64)).add(Dropout::new(0.3)).add(head.clone());
    let flat = || model().add(Flatten::new().timesteps(WINDOW));
    let linear = || flat().add(head.clone().kernel_init(Init::Zeros));
    let mut found = [Vec::new(), Vec::new(), Vec::new()];
    let mut straight = [Vec::new(), Vec::new(), Vec::new()];
    for cut in (PAST..days).step_by(QUARTER) {
        let known = loads.first_frames(days.min(cut + QUARTER))?;
        for (all, value) in found.iter_mut().zip(forecast(lstm(), &known, cut)?) {
            all.extend(value);
        }
        for (all, value) in straight.iter_mut().zip(forecast(linear(), &known, cut)?) {
            all.extend(value);
        }
    }
    let [low, median, high] = &found;

    let hours = &loads.get(0)[..HOURS * days];
    let truth = &hours[HOURS * PAST..];
    let before = |days: usize| &hours[HOURS * (PAST - days)..hours.len() - HOURS * days];
    let drift: Vec<f32> = (HOURS * PAST..hours.len())
        .map(|i| (i - HOURS, i % HOURS, (i / HOURS - 1) as f32))
        .map(|(last, first, days)| hours[last] + (hours[last] - hours[first]) / days)
        .collect();
    let error = |guess: &[f32]| -> anyhow::Result<f64> {
        let mut errors = Errors::new(1)?;
        errors.add(guess, truth, None)?;
        Ok(100.0 * errors.mean_absolute_percentage_error())
    };

    let week = 7 * HOURS;
    let shown = truth.len() - 9 * week..truth.len() - 8 * week;
    let history = &hours[HOURS * PAST + shown.start - 3 * HOURS..][..3 * HOURS];
    let numbers: Vec<f64> = (0..10 * HOURS).map(|hour| hour as f64 / 24.0 - 3.0).collect();
    Forecast::new(&median[shown.clone()])
        .truth(&truth[shown.clone()])
        .interval(0.8, &low[shown.clone()], &high[shown.clone()])
        .history(history)
        .x(&numbers)
        .plot()?
        .title("a week of forecasts a day ahead: kilowatts a customer, days")
        .save(common::picture("load.svg"))?;
    Ok(vec![
        ("mean absolute error, %", error(median)?),
        ("error, a linear model, %", error(&straight[1])?),
        ("error, the week before, %", error(before(7))?),
        ("error, the day before, %", error(before(1))?),
        ("error, the day before and drift, %", error(&drift)?),
        ("hours within the 80 % interval, %", 100.0 * coverage(low, high, truth)?),
        ("within it, a linear model, %", 100.0 * coverage(&straight[0], &straight[2], truth)?),
    ])
}

/// Trains a model on the days before the cut, and forecasts those from it on: each quantile of all their hours.
fn forecast(mut model: Sequential, loads: &Sequences, cut: usize) -> anyhow::Result<[Vec<f32>; 3]> {
    let scaler = Standardizer::fit(&loads.first_frames(cut)?)?;
    let series = with_calendar(&scaler.transform(loads)?)?;
    let hours: Vec<usize> = (0..HOURS).collect();
    let (train, test) = Windows::new(WINDOW, 1).targets(&hours).of(&series)?.split_at(cut);
    model.compile(AdamW::new(3e-3), Loss::Quantiles(QUANTILES.to_vec()), &[]);
    let steps = EPOCHS * train.len().div_ceil(32);
    let fit = Fit::new().epochs(EPOCHS).clip(Clip::GlobalNorm(1.0));
    model.fit(&train.x, &train.y, fit.schedule(CosineDecay::new(steps as u64)))?;

    let outputs: Vec<usize> = hours.iter().flat_map(|&hour| [hour; QUANTILES.len()]).collect();
    let found = scaler.columns(&outputs)?.inverse(&model.predict(&test.x)?)?;
    Ok([0, 1, 2].map(|quantile| found.values().iter().copied().skip(quantile).step_by(3).collect()))
}

/// Each day with the calendar of the one behind it, which is known before: its weekday and its place in the year.
fn with_calendar(loads: &Sequences) -> wgpu_lstm::Result<Sequences> {
    let frames = (0..loads.frames(0)).flat_map(|day| {
        let mut frame = loads.frame(0, day).to_vec();
        frame.extend((0..7).map(|weekday| f32::from(u8::from((day + 1) % 7 == weekday))));
        let (sin, cos) = (TAU * (day + 1) as f32 / 365.25).sin_cos();
        frame.extend([sin, cos]);
        frame
    });
    Sequences::new(HOURS + 9, [frames.collect::<Vec<_>>()])
}
