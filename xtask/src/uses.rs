//! `cargo xtask uses`: runs the programs of `examples/README.md` and writes their scores into it.

use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/README.md");

/// What the programs need between them.
const FEATURES: &str = "csv,npz,plot,pytorch";

const SEEDS: u64 = 3;

/// Runs these, or all, with each of some seeds.
pub fn write(names: &[&str]) -> Result<()> {
    let mut page = fs::read_to_string(PAGE)?;
    let all: Vec<String> = page.lines().filter_map(|line| Some(begun(line)?.to_owned())).collect();
    for name in names {
        ensure!(
            all.iter().any(|known| known == name),
            "no program {name} in {PAGE}; there are {all:?}"
        );
    }
    for name in all.iter().filter(|name| names.is_empty() || names.contains(&name.as_str())) {
        let table = table(name)?;
        let begin = format!("<!-- scores {name} -->\n");
        let (before, rest) = page.split_once(&begin).context("the table's begin")?;
        let (_, after) = rest.split_once("<!-- end -->").context("the table's end")?;
        page = format!("{before}{begin}{table}<!-- end -->{after}");
        fs::write(PAGE, &page)?;
    }
    Ok(())
}

/// The name of the program whose table begins with this line.
fn begun(line: &str) -> Option<&str> {
    line.strip_prefix("<!-- scores ")?.strip_suffix(" -->")
}

fn table(name: &str) -> Result<String> {
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    for seed in 0..SEEDS {
        eprintln!("{name}, seed {seed}");
        for line in output(name, seed)?.lines() {
            let score =
                line.strip_prefix("score ").or(line.strip_prefix("seconds").and(Some(line)));
            let Some((label, value)) = score.and_then(|score| score.rsplit_once(": ")) else {
                continue;
            };
            let value: f64 = value.parse().with_context(|| line.to_owned())?;
            match rows.iter_mut().find(|(known, _)| known == label) {
                Some((_, values)) => values.push(value),
                None => rows.push((label.to_owned(), vec![value])),
            }
        }
    }
    ensure!(!rows.is_empty(), "{name} printed no score");
    let mut text = format!("| median of {SEEDS} seeds | value | least to most |\n|---|--:|--:|\n");
    let mut seconds = String::new();
    for (label, mut values) in rows {
        values.sort_by(f64::total_cmp);
        let [least, median, most] = [0, values.len() / 2, values.len() - 1].map(|i| values[i]);
        if label == "seconds" {
            match median.round() {
                ..2.0 => writeln!(seconds, "\nAbout a second a run.")?,
                median => writeln!(seconds, "\n{median} seconds a run.")?,
            }
        } else if least == most {
            writeln!(text, "| {label} | {} | |", short(median))?;
        } else {
            writeln!(
                text,
                "| {label} | {} | {} to {} |",
                short(median),
                short(least),
                short(most)
            )?;
        }
    }
    Ok(text + &seconds)
}

/// As many digits as say something.
fn short(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

fn output(name: &str, seed: u64) -> Result<String> {
    let root = Path::new(PAGE).parent().and_then(Path::parent).context("the project's folder")?;
    let seed = seed.to_string();
    let mut command = Command::new("cargo");
    command.args([
        "run",
        "--locked",
        "--release",
        "--features",
        FEATURES,
        "--example",
        name,
        "--",
        "--seed",
        &seed,
    ]);
    let output = command.current_dir(root).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        bail!("{name} failed: {}\n{text}", output.status);
    }
    Ok(text)
}
