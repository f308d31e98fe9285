//! Forecasts without a network, and what forecasts are worth. The rows are those of a model: three quantiles for each
//! product, week that is known last and week to come.

use super::products::{HORIZON, Products, WEEKS};
use std::ops::Range;
use wgpu_lstm::train::metrics::{coverage, crps};

/// What models and baselines are judged by.
pub const NAMES: [&[&str]; 9] = [
    &[
        "absolute error, % of all orders",
        "quantile loss, % of all orders",
        "within the 80 % interval, %",
    ],
    &["error without embedding, %", "loss without embedding, %"],
    &["error, negative binomial, %", "loss, negative binomial, %", "within, negative binomial, %"],
    &["error, Student's t, %", "loss, Student's t, %", "within, Student's t, %"],
    &["error, normal, %", "loss, normal, %", "within, normal, %"],
    &["error, mean of 8 weeks, %", "loss, range of 8 weeks, %", "within this range, %"],
    &["error, mean of 4 weeks, %"],
    &["error, mean of 8 weeks and season, %"],
    &["error, after such weeks, %", "loss, after such weeks, %", "within, after such weeks, %"],
];

/// The absolute error of the median and the quantile loss, both in percent of all that came, and the share that is
/// between the outer quantiles.
pub fn score(rows: &[[f32; 3]], truth: &[f32], quantiles: &[f32; 3]) -> anyhow::Result<[f64; 3]> {
    let all = f64::from(truth.iter().sum::<f32>()) / truth.len() as f64;
    let missed = rows.iter().zip(truth).map(|(row, y)| f64::from((row[1] - y).abs())).sum::<f64>();
    let [low, high] = [0, 2].map(|q| rows.iter().map(|row| row[q]).collect::<Vec<f32>>());
    let values: Vec<f32> = rows.iter().flatten().copied().collect();
    let levels = quantiles.map(f64::from);
    let loss = crps(&values, truth, &levels)?;
    let missed = missed / truth.len() as f64;
    Ok([100.0 * missed / all, 100.0 * loss / all, 100.0 * coverage(&low, &high, truth)?])
}

/// The mean of the last weeks, between the least and the greatest of them.
pub fn of_last_weeks(products: &Products, weeks: usize, known: Range<usize>) -> Vec<[f32; 3]> {
    rows(products, known, |counts, week, _| {
        let last = &counts[week + 1 - weeks..=week];
        let mean = last.iter().sum::<f32>() / weeks as f32;
        let least = last.iter().copied().fold(f32::INFINITY, f32::min);
        let most = last.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        [least, mean, most]
    })
}

/// The mean of the last weeks, times how much more or less all products together sold a year before.
pub fn last_weeks_and_season(
    products: &Products,
    weeks: usize,
    known: Range<usize>,
) -> Vec<[f32; 3]> {
    let total =
        |week: usize| -> f32 { (0..products.names.len()).map(|i| products.counts(i)[week]).sum() };
    let totals: Vec<f32> = (0..WEEKS).map(total).collect();
    rows(products, known, |counts, week, ahead| {
        let sum = |end: usize, of: &[f32]| of[end + 1 - weeks..=end].iter().sum::<f32>();
        [sum(week, counts) * totals[week + ahead - 52] / sum(week - 52, &totals); 3]
    })
}

/// What followed, in the past of all products, weeks whose mean was about that of the last weeks: quantiles of what
/// came divided by the mean, for each of eight groups of means.
pub fn after_such_weeks(
    products: &Products,
    weeks: usize,
    known: Range<usize>,
    quantiles: &[f32; 3],
) -> Vec<[f32; 3]> {
    let mean = |counts: &[f32], week: usize| {
        1.0 + counts[week + 1 - weeks..=week].iter().sum::<f32>() / weeks as f32
    };
    let of_group = |group: &[(f32, f32)]| {
        let mut ratios: Vec<f32> = group.iter().map(|(mean, came)| came / mean).collect();
        ratios.sort_by(f32::total_cmp);
        (group[0].0, quantiles.map(|q| ratios[(q * ratios.len() as f32) as usize]))
    };
    let groups = |ahead: usize| -> Vec<(f32, [f32; 3])> {
        let past = weeks..known.start + 1 - HORIZON;
        let mut all: Vec<(f32, f32)> = (0..products.names.len())
            .map(|i| products.counts(i))
            .flat_map(|counts| past.clone().map(|week| (mean(counts, week), counts[week + ahead])))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.chunks(all.len().div_ceil(8)).map(of_group).collect()
    };
    let groups: Vec<_> = (1..=HORIZON).map(groups).collect();
    rows(products, known.clone(), |counts, week, ahead| {
        let mean = mean(counts, week);
        let groups = &groups[ahead - 1];
        let (_, ratios) = groups.iter().rfind(|group| group.0 <= mean).unwrap_or(&groups[0]);
        ratios.map(|ratio| ratio * mean)
    })
}

/// Of each product, week known and week to come what `forecast` makes of the counts, the week and how far ahead it is.
fn rows(
    products: &Products,
    known: Range<usize>,
    forecast: impl Fn(&[f32], usize, usize) -> [f32; 3],
) -> Vec<[f32; 3]> {
    let mut rows = Vec::new();
    for i in 0..products.names.len() {
        for week in known.clone() {
            rows.extend((1..=HORIZON).map(|ahead| forecast(products.counts(i), week, ahead)));
        }
    }
    rows
}
