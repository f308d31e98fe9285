//! The price's daily moves, and how large they are over some days.

use super::common;
use std::ops::Range;
use wgpu_lstm::data::Table;

/// The days that are forecast: a week.
pub const AHEAD: usize = 5;
/// A day, a week, a month and a quarter: what a day's frame looks back on.
pub const SPANS: [usize; 4] = [1, 5, 22, 66];

pub struct Oil {
    /// On which day each move ended.
    pub days: Vec<String>,
    /// In percent.
    pub moves: Vec<f32>,
}

impl Oil {
    pub fn read() -> anyhow::Result<Self> {
        let table = Table::from_csv(common::data("oil/prices.csv"))?;
        let days = table.text("day")?[1..].iter().map(|&day| day.to_owned()).collect();
        let moves =
            table.numbers(["price"])?.windows(2).map(|p| 100.0 * (p[1] / p[0]).ln()).collect();
        Ok(Self { days, moves })
    }

    /// The logarithm of the root mean square of the moves of these days.
    fn size(&self, days: Range<usize>) -> f32 {
        let moves = &self.moves[days];
        let square = moves.iter().map(|x| x * x).sum::<f32>() / moves.len() as f32;
        // On some days the price did not move.
        square.max(0.01).ln() / 2.0
    }

    /// How large the moves of the week behind this day are, as a logarithm: what is forecast.
    pub fn target(&self, day: usize) -> f32 {
        self.size(day + 1..day + 1 + AHEAD)
    }

    /// How large those up to this day were, over each of the spans.
    pub fn sizes(&self, day: usize) -> [f32; 4] {
        SPANS.map(|span| self.size(day + 1 - span..day + 1))
    }
}
