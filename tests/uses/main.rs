//! The programs of `examples/README.md` in their short form: that they run, and that the scores of their tables are
//! theirs.

#![allow(clippy::duplicate_mod, reason = "each program has what they share as its own")]

mod anomalies;
mod classics;
mod currencies;
mod density;
mod ecg;
mod language_model;
mod letters;
mod load;
mod many_series;
mod music;
mod overfitting;
mod phones;
#[cfg(feature = "pytorch")]
mod recogniser;
mod scans;
mod semantic_roles;
mod sentiment;
mod spoken_digits;
mod sunspots;
mod tagging;
mod vanishing;
mod volatility;

use wgpu_lstm::Device;

type Scores = Vec<(&'static str, f64)>;

/// The scores of a short run on the CPU. Each of them, and no other, stands in the program's table.
fn short(name: &str, run: fn(&Device, u64, bool) -> anyhow::Result<Scores>) -> Scores {
    let scores = run(&Device::named("cpu").unwrap(), 0, true).unwrap();
    let page = include_str!("../../examples/README.md");
    let (_, section) = page.split_once(&format!("<!-- scores {name} -->")).unwrap();
    let (table, _) = section.split_once("<!-- end -->").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let mut named: Vec<_> = rows.map(|(name, _)| name).skip(1).collect();
    let mut found: Vec<_> = scores.iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, named, "run `cargo xtask uses {name}`");
    assert!(scores.iter().all(|(_, value)| value.is_finite()), "{scores:?}");
    scores
}

/// One of them.
fn of(scores: &[(&'static str, f64)], name: &str) -> f64 {
    scores.iter().find(|(found, _)| *found == name).unwrap_or_else(|| panic!("{name}")).1
}
