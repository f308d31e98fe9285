//! Eleven years of sunspots ahead, in two ways: a model that gives all eleven years at once, and one that gives the
//! next year and then reads what it said. How wrong each is, year by year.
//!
//!     cargo run --release --features csv,plot --example sunspots
//!
//! Tested on each year from 1920 on as the first of eleven; trained anew every eleven years on all before. Beside them a
//! linear model of the same 44 years, the last year, the cycle before, and the mean. Data: NOAA; see data/README.md.

#[path = "../common/mod.rs"]
mod common;
mod learn;

use anyhow::Result;
use common::Scores;
use learn::{counts, fitted};
use wgpu_lstm::data::Table;
use wgpu_lstm::nn::Flatten;
use wgpu_lstm::plot::HeatMap;
use wgpu_lstm::prelude::*;

/// The years that are read, and those that are forecast: about a cycle.
const WINDOW: usize = 44;
const YEARS: usize = 11;
/// The year 1920.
const CUT: usize = 220;
const EPOCHS: usize = 30;

/// The errors over all years of each way to forecast, and of two of them those of the first and the last year.
const NAMES: [&str; 6] =
    ["direct", "recursive", "linear, direct", "the last year", "the cycle before", "the mean"];
const ENDS: [[&str; 2]; 2] = [
    ["direct, 1 year ahead", "direct, 11 years ahead"],
    ["recursive, 1 year ahead", "recursive, 11 years ahead"],
];

/// For each first year to forecast the number of sunspots of it and the next ten.
type Paths = Vec<Vec<f32>>;

fn main() -> Result<()> {
    common::main(run)
}

/// Trains the models, and judges them and the baselines by year: in a second, so that no run is shorter.
pub fn run(device: &Device, seed: u64, _short: bool) -> Result<Scores> {
    let table = Table::from_csv(common::data("sunspots.csv"))?;
    let spots = table.numbers(["sunspots"])?;
    println!("{} years, forecast from {} on", spots.len(), 1700 + CUT);
    // Roots, for what is high varies more; a median of roots is the root of the median.
    let roots = spots.iter().map(|spots| spots.sqrt()).collect::<Vec<f32>>();
    let roots = Sequences::new(1, [roots])?;
    let last = spots.len() - YEARS;
    let new = || Sequential::new(device).seed(seed);
    let lstm = |years| new().add(Lstm::new(16)).add(Dense::new(years));
    let line = Dense::new(YEARS).kernel_init(Init::Zeros);
    let line = || new().add(Flatten::new().timesteps(WINDOW)).add(line.clone());
    let [mut direct, mut recursive, mut linear] = [const { Paths::new() }; 3];
    for cut in (CUT..=last).step_by(YEARS) {
        let scaler = Standardizer::fit(&roots.first_frames(cut)?)?;
        let known = roots.first_frames(spots.len().min(cut + 2 * YEARS - 1))?;
        let known = scaler.transform(&known)?;
        let (_, test) = Windows::new(WINDOW, YEARS).of(&known)?.split_at(cut);
        let mut paths: Paths = test.x.iter().map(<[f32]>::to_vec).collect();
        let model = fitted(lstm(1), &known, cut, 1, EPOCHS)?;
        for year in 0..YEARS {
            let next =
                model.predict(&Sequences::new(1, paths.iter().map(|path| &path[year..]))?)?;
            paths.iter_mut().zip(next.values()).for_each(|(path, x)| path.push(*x));
        }
        recursive.extend(counts(&scaler, paths.iter().map(|path| &path[WINDOW..]))?);
        let found = fitted(lstm(YEARS), &known, cut, YEARS, EPOCHS)?.predict(&test.x)?;
        direct.extend(counts(&scaler, found.iter())?);
        let found = fitted(line(), &known, cut, YEARS, EPOCHS)?.predict(&test.x)?;
        linear.extend(counts(&scaler, found.iter())?);
    }

    let firsts = CUT..=last;
    let truth: Paths = firsts.clone().map(|year| spots[year..year + YEARS].to_vec()).collect();
    let mean = |year: usize| spots[..year].iter().sum::<f32>() / year as f32;
    let ways = [
        direct,
        recursive,
        linear,
        firsts.clone().map(|year| vec![spots[year - 1]; YEARS]).collect(),
        firsts.clone().map(|year| spots[year - YEARS..year].to_vec()).collect(),
        firsts.map(|year| vec![mean(year); YEARS]).collect(),
    ];
    let errors: Vec<f32> = ways.iter().flat_map(|found| by_year(found, &truth)).collect();
    HeatMap::new(&errors, [ways.len(), YEARS])
        .rows(&NAMES)
        .columns(&(1..=YEARS).map(|year| year.to_string()).collect::<Vec<_>>())
        .axes("forecast", "years ahead")
        .plot()?
        .title("sunspots that forecasts are wrong by")
        .save(common::picture("sunspots.svg"))?;
    let errors = errors.chunks(YEARS);
    let mean = |errors: &[f32]| f64::from(errors.iter().sum::<f32>() / YEARS as f32);
    let mut scores: Scores = NAMES.into_iter().zip(errors.clone().map(mean)).collect();
    for ([first, last], errors) in ENDS.into_iter().zip(errors) {
        scores.extend([(first, errors[0].into()), (last, errors[YEARS - 1].into())]);
    }
    Ok(scores)
}

/// The mean absolute error of each of the years ahead.
fn by_year(found: &Paths, truth: &Paths) -> Vec<f32> {
    let error = |year: usize| {
        let missed = found.iter().zip(truth).map(|(path, came)| (path[year] - came[year]).abs());
        missed.sum::<f32>() / truth.len() as f32
    };
    (0..YEARS).map(error).collect()
}
