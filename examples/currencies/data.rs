//! The daily moves of the currencies, and what a model reads of them.

use super::common;
use std::ops::Range;
use wgpu_lstm::data::Table;

/// What a day says of a currency.
pub const FEATURES: usize = 3;

pub struct Moves {
    /// On which day each move ended.
    pub days: Vec<String>,
    /// Of each currency its moves against the euro, in hundredths of a percent.
    pub of: Vec<Vec<f32>>,
}

impl Moves {
    pub fn read() -> anyhow::Result<Self> {
        let table = Table::from_csv(common::data("currencies/rates.csv"))?;
        let days = table.text("day")?[1..].iter().map(|&day| day.to_owned()).collect();
        let moves = |name: &String| -> anyhow::Result<Vec<f32>> {
            let rates = table.numbers([name])?;
            Ok(rates.windows(2).map(|pair| 1e4 * (pair[1] / pair[0]).ln()).collect())
        };
        Ok(Self { days, of: table.names()[1..].iter().map(moves).collect::<Result<_, _>>()? })
    }
}

/// The moves of each currency divided by their own size in the past.
pub struct Scaled {
    pub scales: Vec<f32>,
    pub moves: Vec<Vec<f32>>,
    /// Of each day how large the moves of all currencies were.
    all: Vec<f32>,
}

impl Scaled {
    /// By the first moves, `past` of them.
    pub fn new(moves: &[Vec<f32>], past: usize) -> Self {
        let size = |all: &[f32]| (all.iter().map(|x| x * x).sum::<f32>() / past as f32).sqrt();
        let scales: Vec<f32> = moves.iter().map(|all| size(&all[..past])).collect();
        let scaled = |(all, scale): (&Vec<f32>, &f32)| all.iter().map(|x| x / scale).collect();
        let moves: Vec<Vec<f32>> = moves.iter().zip(&scales).map(scaled).collect();
        let mean =
            |day: usize| moves.iter().map(|all| all[day].abs()).sum::<f32>() / moves.len() as f32;
        let all = (0..moves[0].len()).map(mean).collect();
        Self { scales, moves, all }
    }

    /// Of each of these days the move, how large it was, and how large those of all currencies were.
    pub fn frames(&self, currency: usize, days: Range<usize>) -> Vec<f32> {
        let moves = &self.moves[currency];
        days.flat_map(|day| [moves[day], moves[day].abs(), self.all[day]]).collect()
    }
}
