//! The six experiments of Hochreiter & Schmidhuber 1997, and the continual grammar of Gers et al. 2000: how many
//! sequences an LSTM needs until the papers' criteria hold on fresh ones, beside the papers' figures, and what a plain
//! recurrent layer of twice the units, with about as many weights, makes of them.
//!
//!     cargo run --release --example classics -- all
//!     cargo run --release --example classics -- 4
//!
//! Training is of today: Adam, batches of 8, clipped gradients, through all timesteps; the cells have forget gates, which
//! begin open (chrono initialization). Sequences are always drawn anew, for training as for tests. The plain layer gets
//! as many as the LSTM needed, and at least 30,000.

mod draw;
mod learn;
mod reber;
mod streams;
mod tasks;

use anyhow::{Result, ensure};
use learn::Outcome;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use tasks::TASKS;
use wgpu_lstm::prelude::*;

/// What came out, by the names that stand in the table of `examples/README.md`.
type Scores = Vec<(&'static str, f64)>;

/// As that of `examples/common`, with the name of an experiment.
fn main() -> Result<()> {
    let (mut name, mut seed, mut short) = ("all".to_owned(), 0, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--short" => short = true,
            "--seed" => seed = arguments.next().unwrap_or_default().parse()?,
            _ => name = argument,
        }
    }
    let device = Device::auto()?;
    println!("device: {device}");
    let start = Instant::now();
    for (name, value) in experiments(&name, &device, seed, short)? {
        println!("score {name}: {value:.4}");
    }
    println!("seconds: {:.1}", start.elapsed().as_secs_f64());
    Ok(())
}

/// All experiments. Short: after a few batches each is given up.
pub fn run(device: &Device, seed: u64, short: bool) -> Result<Scores> {
    experiments("all", device, seed, short)
}

fn experiments(name: &str, device: &Device, seed: u64, short: bool) -> Result<Scores> {
    println!("{:46}{:>18}{:>10}{:>9}{:>9}{:>8}", "", "paper", "LSTM", "wrong", "beside", "s");
    let mut scores = Vec::new();
    for task in TASKS.iter().filter(|task| ["all", task.name].contains(&name)) {
        let (start, mut rng) = (Instant::now(), ChaCha8Rng::seed_from_u64(seed));
        let [limit, least] = if short { [1_024; 2] } else { [task.limit, 30_000] };
        let lstm = task.lstm(limit, &mut rng, device)?;
        let rnn = task.rnn(lstm.used.max(least), &mut rng, device)?;
        let title = format!("{} {}, sequences", task.name, task.title);
        let paper = format!("1997: {}", task.published);
        scores.extend(row(&title, &paper, lstm, ("plain RNN", rnn), start));
    }
    if ["all", "continual"].contains(&name) {
        let (start, mut rng) = (Instant::now(), ChaCha8Rng::seed_from_u64(seed));
        let [limit, test] = if short { [64_000, 16_000] } else { [4_000_000, 1_000_000] };
        // The sigmoid of 100 is 1: that gate is open and stays so, as if there were none.
        let [lstm, open] = [1.0, 100.0].map(|bias| {
            streams::learn(Lstm::new(8).forget_bias(bias), limit, test, &mut rng, device)
        });
        let paper = "2000: 62 % of nets";
        let beside = ("no forget gate", open?);
        scores.extend(row("continual grammar, symbols", paper, lstm?, beside, start));
    }
    ensure!(!scores.is_empty(), "no experiment {name:?}; there are all, 1, 2a to 6b and continual");
    Ok(scores)
}

/// Says what came of an experiment, and its scores: what was used until it was solved, and the shares that are wrong.
fn row(
    title: &str,
    paper: &str,
    lstm: Outcome,
    (other, beside): (&str, Outcome),
    start: Instant,
) -> Scores {
    let used = if lstm.solved { lstm.used.to_string() } else { format!("> {}", lstm.used) };
    let [wrong, wrong_beside] = [&lstm, &beside].map(|outcome| 100.0 * outcome.wrong);
    let seconds = start.elapsed().as_secs_f64();
    println!("{title:46}{paper:>18}{used:>10}{wrong:>8.2}%{wrong_beside:>8.2}%{seconds:>8.1}");
    let (short, _) = title.rsplit_once(", ").unwrap_or((title, ""));
    let scores = [
        (format!("{title} ({paper})"), lstm.used as f64),
        (format!("{short}, % wrong"), wrong),
        (format!("{short}, % wrong, {other}"), wrong_beside),
    ];
    // Their names live as long as the program.
    scores.into_iter().map(|(name, value)| (&*name.leak(), value)).collect()
}
