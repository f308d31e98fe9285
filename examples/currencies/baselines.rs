//! Intervals without a network, and what intervals are worth.

#[path = "../common/moving.rs"]
mod moving;

use super::QUANTILES;
pub use moving::volatility;
use std::ops::Range;
use wgpu_lstm::train::metrics::{coverage, crps};

/// What intervals are judged by: those of the LSTM, and those of quantiles of the past.
pub const NAMES: [[&str; 2]; 3] = [
    ["CRPS, basis points", "days within the 90 % interval, %"],
    ["CRPS, moving volatility", "within it, moving volatility, %"],
    ["CRPS, fixed volatility", "within it, fixed volatility, %"],
];

/// Of each currency the five quantiles of each day.
pub type Quantiles = Vec<Vec<[f32; 5]>>;

/// The quantiles of the moves before the block, each divided by its volatility, times the volatility of each day in it.
pub fn of_the_past(moves: &[f32], volatility: &[f32], block: Range<usize>) -> Vec<[f32; 5]> {
    // The volatility of the first days is not known well.
    let mut past: Vec<f32> = (100..block.start).map(|day| moves[day] / volatility[day]).collect();
    past.sort_by(f32::total_cmp);
    let quantiles = QUANTILES.map(|q| past[(q * past.len() as f64) as usize]);
    block.map(|day| quantiles.map(|q| q * volatility[day])).collect()
}

/// What a currency moved on average before each of these days.
pub fn drift(moves: &[f32], days: Range<usize>) -> Vec<f32> {
    days.map(|day| moves[..day].iter().sum::<f32>() / day as f32).collect()
}

/// One of the quantiles, of all days of all currencies.
pub fn column(rows: &Quantiles, quantile: usize) -> Vec<f32> {
    rows.iter().flatten().map(|row| row[quantile]).collect()
}

/// The continuous ranked probability score, and how many percent of the truths lie between the outer quantiles.
pub fn score(rows: &Quantiles, truth: &[f32]) -> anyhow::Result<[f64; 2]> {
    let all: Vec<f32> = rows.iter().flatten().flatten().copied().collect();
    let within = coverage(&column(rows, 0), &column(rows, 4), truth)?;
    Ok([crps(&all, truth, &QUANTILES)?, 100.0 * within])
}

/// The mean absolute error of a guess.
pub fn error(guess: &[f32], truth: &[f32]) -> f64 {
    let errors = guess.iter().zip(truth).map(|(x, y)| f64::from((x - y).abs()));
    errors.sum::<f64>() / truth.len() as f64
}

/// Of the days with a move how many percent were guessed to the right side.
pub fn hits(guess: &[f32], truth: &[f32]) -> f64 {
    let moved: Vec<_> = guess.iter().zip(truth).filter(|(_, y)| **y != 0.0).collect();
    let hits = moved.iter().filter(|(x, y)| (**x > 0.0) == (**y > 0.0)).count();
    100.0 * hits as f64 / moved.len() as f64
}
