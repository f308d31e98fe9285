//! From times to a Markdown table.

use crate::case::{Case, Mode, Place};
use std::fmt::Write;

/// What came of a peer in a case.
pub enum Outcome {
    /// Milliseconds of each run, by rounds.
    Times(Vec<Vec<f64>>),
    /// Its results differ: where, and by how much.
    Wrong(String),
    /// It failed.
    Failed(String),
    /// It does not do this.
    None,
}

pub struct Row {
    pub case: Case,
    /// As many as there are columns; the first is ours.
    pub outcomes: Vec<Outcome>,
}

/// The value below which a share of the sorted ones lie.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(at - 1).copied().unwrap_or(f64::NAN)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n == 0 {
        return f64::NAN;
    }
    (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0
}

/// The median over the rounds of the rounds' medians.
fn typical(rounds: &[Vec<f64>]) -> f64 {
    median(&rounds.iter().map(|times| median(times)).collect::<Vec<_>>())
}

fn ms(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.4}"),
    }
}

/// One line of the table for each number that a case gives: the median, and for steps p99.
fn lines(row: &Row) -> Vec<(String, Vec<Option<f64>>)> {
    let of = |f: &dyn Fn(&[Vec<f64>]) -> f64| {
        let value = |outcome: &Outcome| match outcome {
            Outcome::Times(rounds) => Some(f(rounds)),
            _ => None,
        };
        row.outcomes.iter().map(value).collect::<Vec<_>>()
    };
    let mode = row.case.mode.name();
    if row.case.mode == Mode::Step {
        return [("p50", 0.5), ("p99", 0.99)]
            .map(|(name, share)| {
                let all = |rounds: &[Vec<f64>]| quantile(&rounds.concat(), share);
                (format!("{mode} {name}"), of(&all))
            })
            .into();
    }
    vec![(mode.to_owned(), of(&typical))]
}

/// The table of a place: milliseconds, and in brackets how many times ours that is.
pub struct Table {
    place: Place,
    /// GFLOP/s of the device.
    peak: Option<f64>,
    notes: Vec<String>,
}

impl Table {
    pub fn new(place: Place, peak: Option<f64>) -> Self {
        Self { place, peak, notes: vec![] }
    }

    pub fn head(&self, columns: &[String]) -> String {
        let of_peak = if self.peak.is_some() { ", of peak" } else { "" };
        let mut text =
            format!("\n### {}\n\n| shape | mode | GFLOP/s of ours{of_peak} |", title(self.place));
        for column in columns {
            let _ = write!(text, " {column} |");
        }
        text.push_str("\n|---|---|--:|");
        text.push_str(&"--:|".repeat(columns.len()));
        text.push('\n');
        text
    }

    /// The lines of a case.
    pub fn lines(&mut self, row: &Row) -> String {
        let mut text = String::new();
        for (mode, values) in lines(row) {
            let ours = values.first().copied().flatten();
            let flop = row.case.flop();
            let speed = ours.filter(|_| flop > 0.0).map_or("–".into(), |ms| {
                let speed = flop / ms * 1e-6;
                let share = self.peak.map(|peak| format!(", {:.1} %", 100.0 * speed / peak));
                format!("{speed:.1}{}", share.unwrap_or_default())
            });
            let _ = write!(text, "| {} | {mode} | {speed} |", row.case);
            for (n, (outcome, value)) in row.outcomes.iter().zip(values).enumerate() {
                let notes = &mut self.notes;
                let cell = match (outcome, value, ours) {
                    (_, Some(v), Some(ours)) if n > 0 => format!("{} ({:.2}×)", ms(v), v / ours),
                    (_, Some(v), _) => ms(v),
                    (Outcome::Wrong(what), ..) => format!("WRONG ({})", note(notes, what)),
                    (Outcome::Failed(why), ..) => format!("– ({})", note(notes, why)),
                    (Outcome::Times(_) | Outcome::None, ..) => "–".into(),
                };
                let _ = write!(text, " {cell} |");
            }
            text.push('\n');
        }
        text
    }

    /// What the numbers in the cells stand for.
    pub fn notes(&self) -> String {
        let note = |(n, note)| format!("\n({}) {note}  ", n + 1);
        self.notes.iter().enumerate().map(note).collect()
    }
}

fn title(place: Place) -> &'static str {
    match place {
        Place::Cpu => "CPU",
        Place::Software => "Software adapter",
        Place::Gpu => "GPU",
    }
}

/// The number of a note, which is kept once.
fn note(notes: &mut Vec<String>, text: &str) -> usize {
    let text = text.replace('\n', " ");
    let at = notes.iter().position(|n| *n == text).unwrap_or_else(|| {
        notes.push(text);
        notes.len() - 1
    });
    at + 1
}
