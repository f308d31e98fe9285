//! The density of tomorrow's exchange rates: as a normal distribution, as Student's t, and as a mixture of normal ones.
//!
//!     cargo run --release --features csv,plot --example density
//!
//! The LSTM of the program `currencies`, with a likelihood in place of the quantiles: it says the parameters of a
//! distribution of each day's move (mixtures: Bishop 1994; Graves 2013, arXiv 1308.0850). Trained on the moves of twelve
//! currencies up to 2016, judged by what it says of those from 2017 on. Data: the reference rates of the European
//! Central Bank; see data/README.md.

mod baselines;
#[path = "../common/mod.rs"]
mod common;
#[path = "../currencies/data.rs"]
mod data;

use baselines::{normal, volatility};
use common::Scores;
use data::{FEATURES, Moves, Scaled};
use wgpu_lstm::loss::Distribution;
use wgpu_lstm::plot::HeatMap;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::metrics::coverage;

const MIXTURE: Distribution = Distribution::Mixture { components: 3, targets: 1 };
/// Each distribution, and what its scores are called.
const HEADS: [(Distribution, [&str; 2]); 3] = [
    (MIXTURE, ["log likelihood, mixture of three", "within 90 %, mixture of three, %"]),
    (Distribution::StudentT, ["log likelihood, Student's t", "within 90 %, Student's t, %"]),
    (Distribution::Normal, ["log likelihood, normal", "within 90 %, normal, %"]),
];
/// How many moves it reads at once, about a year of them, and the move to 3 January 2017.
const YEAR: usize = 250;
const CUT: usize = 4610;
/// What the picture shows of a move: up to how many hundredths of a percent, in how many bands on each side.
const HIGHEST: f32 = 200.0;
const BANDS: usize = 10;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains a model for each distribution, and judges them and the baselines.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let Moves { days, of: moves } = Moves::read()?;
    let end = if short { CUT + 2 * YEAR } else { days.len() };
    println!("{} currencies; {CUT} days to learn from, {} to test", moves.len(), end - CUT);
    let scaled = Scaled::new(&moves, CUT);
    let (mut x, mut y) = (Vec::new(), Vec::<f32>::new());
    for (c, all) in scaled.moves.iter().enumerate() {
        for day in (0..CUT - YEAR).step_by(YEAR / 2) {
            x.push(scaled.frames(c, day..day + YEAR));
            y.extend(&all[day + 1..=day + YEAR]);
        }
    }
    let (x, y) = (Sequences::new(FEATURES, x)?, Targets::values(y, 1));
    // The year before the test comes first, so that the states know what has been.
    let known = CUT - 1 - YEAR..end - 1;
    let test = (0..moves.len()).map(|c| scaled.frames(c, known.clone()));
    let test = Sequences::new(FEATURES, test)?;
    let truth: Vec<f32> = scaled.moves.iter().flat_map(|all| &all[CUT..end]).copied().collect();

    let mut scores = Scores::new();
    for (of, [likelihood, within]) in HEADS {
        println!("\n{likelihood}");
        let outputs = of.outputs(1)?;
        let lstm = Lstm::new(32).return_sequences();
        let mut model = Sequential::new(device).seed(seed).add(lstm).add(Dense::new(outputs));
        model.compile(AdamW::new(5e-3), Loss::Likelihood(of), &[]);
        let epochs = if short { 6 } else { 20 };
        let steps = epochs * x.len().div_ceil(32);
        let fit = Fit::new().epochs(epochs).clip(Clip::GlobalNorm(1.0));
        model.fit(&x, &y, fit.schedule(CosineDecay::new(steps as u64)))?;
        let found = model.predict(&test)?;
        let rows: Vec<f32> =
            (0..moves.len()).flat_map(|c| &found.sequence(c)[YEAR * outputs..]).copied().collect();
        let log = of.log_probability(&rows, &truth)?;
        scores.push((likelihood, log.iter().sum::<f64>() / log.len() as f64));
        let [low, high] = of.interval(&rows, 0.9)?;
        scores.push((within, 100.0 * coverage(&low, &high, &truth)?));
        if of == MIXTURE {
            // The dollar around March 2020; in a short run, its last days.
            let last = (end - CUT).min(900);
            let shown = last - 120..last;
            let rows = &rows[shown.start * outputs..shown.end * outputs];
            draw(&rows.chunks(outputs).collect::<Vec<_>>(), scaled.scales[0], &days[CUT..][shown])?;
        }
    }
    let moving = |all: &Vec<f32>| volatility(all)[CUT..end].to_vec();
    let moving: Vec<f32> = scaled.moves.iter().flat_map(moving).collect();
    scores.push(("log likelihood, moving volatility", normal(&truth, &moving)));
    scores.push(("log likelihood, fixed volatility", normal(&truth, &vec![1.0; truth.len()])));
    Ok(scores)
}

/// Draws how likely each move of each day is.
fn draw(rows: &[&[f32]], scale: f32, days: &[String]) -> anyhow::Result<()> {
    let width = HIGHEST / BANDS as f32;
    let bands = (0..2 * BANDS).map(|band| HIGHEST - (band as f32 + 0.5) * width);
    let mut picture = Vec::new();
    for band in bands.clone() {
        let targets = vec![band / scale; rows.len()];
        let log = MIXTURE.log_probability(&rows.concat(), &targets)?;
        picture.extend(log.iter().map(|log| log.exp() as f32 / scale));
    }
    HeatMap::new(&picture, [2 * BANDS, days.len()])
        .rows(&bands.map(|band| format!("{band}")).collect::<Vec<_>>())
        .columns(days)
        .axes("move", "day")
        .plot()?
        .title("how likely moves of the dollar are, hundredths of a percent")
        .save(common::picture("density.svg"))?;
    Ok(())
}
