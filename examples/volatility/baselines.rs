//! Forecasts without a network, and what forecasts are worth.

use super::QUANTILES;
use super::data::Oil;
use std::ops::Range;
use wgpu_lstm::train::metrics::{coverage, crps};

/// What a model and the baselines are judged by.
pub const NAMES: [[&str; 3]; 4] = [
    ["error of the median, %", "CRPS, %", "weeks within the 90 % interval, %"],
    ["error, linear (HAR), %", "CRPS, linear (HAR), %", "within, linear (HAR), %"],
    ["error, moving volatility, %", "CRPS, moving volatility, %", "within, moving volatility, %"],
    ["error, the week before, %", "CRPS, the week before, %", "within, the week before, %"],
];

/// A linear function of the sizes over a day, a week, a month and a quarter that errs least in these days: the
/// heterogeneous autoregression of Corsi 2009 (doi:10.1093/jjfinec/nbp001) on logarithms. For each of all days.
pub fn linear(oil: &Oil, past: Range<usize>) -> Vec<f32> {
    let row = |day: usize| {
        let [a, b, c, d] = oil.sizes(day).map(f64::from);
        [1.0, a, b, c, d]
    };
    // The normal equations, with the targets as a last column.
    let mut sums = [[0.0; 6]; 5];
    for day in past.clone() {
        let (x, y) = (row(day), f64::from(oil.target(day)));
        for (sum, a) in sums.iter_mut().zip(x) {
            sum.iter_mut().zip(x.iter().chain([&y])).for_each(|(value, b)| *value += a * b);
        }
    }
    // They are positive definite, so that no pivot is sought (Gauss & Jordan).
    for i in 0..5 {
        let row = sums[i].map(|value| value / sums[i][i]);
        for other in &mut sums {
            let factor = other[i];
            (0..6).for_each(|j| other[j] -= factor * row[j]);
        }
        sums[i] = row;
    }
    let of = |day: usize| row(day).iter().zip(&sums).map(|(x, sum)| x * sum[5]).sum::<f64>() as f32;
    (past.start..oil.moves.len()).map(of).collect()
}

/// The root of the mean of squared moves, in which each counts 6 % less than the one behind it (RiskMetrics 1996), as
/// a logarithm; for each day from `first` on.
pub fn moving(oil: &Oil, first: usize) -> Vec<f32> {
    let mut square = oil.moves[0] * oil.moves[0];
    let next = |x: &f32| {
        square += 0.06 * (x * x - square);
        square.ln() / 2.0
    };
    oil.moves.iter().map(next).skip(first).collect()
}

/// Quantiles for each day of the block: a guess and by how much it was wrong in the past, whose first day is that of
/// the first guess.
pub fn and_its_errors(
    oil: &Oil,
    guess: &[f32],
    past: Range<usize>,
    block: Range<usize>,
) -> Vec<[f32; 5]> {
    let error = |day: usize| oil.target(day) - guess[day - past.start];
    let mut errors: Vec<f32> = past.clone().map(error).collect();
    errors.sort_by(f32::total_cmp);
    let errors = QUANTILES.map(|q| errors[(q * errors.len() as f32) as usize]);
    block.map(|day| errors.map(|error| guess[day - past.start] + error)).collect()
}

/// The mean absolute error of the median, the quantile loss, both of logarithms and times 100, and the share of truths
/// between the outer quantiles.
pub fn score(rows: &[[f32; 5]], truth: &[f32]) -> anyhow::Result<[f64; 3]> {
    let missed = rows.iter().zip(truth).map(|(row, y)| f64::from((row[2] - y).abs())).sum::<f64>();
    let loss = crps(rows.as_flattened(), truth, &QUANTILES.map(f64::from))?;
    let [low, high] = [0, 4].map(|q| rows.iter().map(|row| row[q]).collect::<Vec<f32>>());
    let missed = missed / truth.len() as f64;
    Ok([100.0 * missed, 100.0 * loss, 100.0 * coverage(&low, &high, truth)?])
}
