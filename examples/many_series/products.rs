//! The counts of all products, and what a model is told of them.

use super::common;
use std::ops::Range;
use wgpu_lstm::data::Table;

/// How many weeks are forecast.
pub const HORIZON: usize = 4;
/// What a week says of a product.
pub const FEATURES: usize = 3;
/// Those of the data.
pub const WEEKS: usize = 105;

pub struct Products {
    pub names: Vec<String>,
    /// `[products,weeks]`
    counts: Vec<f32>,
    /// What each sold on average in the weeks to train on, and one more.
    scales: Vec<f32>,
}

impl Products {
    /// Scaled by the first weeks, `past` of them.
    pub fn read(past: usize) -> anyhow::Result<Self> {
        let table = Table::from_csv(common::data("retail/orders.csv"))?;
        let counts = table.numbers(1..=WEEKS)?;
        let names = table.text("product")?.into_iter().map(str::to_owned).collect();
        let scale = |row: &[f32]| 1.0 + row[..past].iter().sum::<f32>() / past as f32;
        let scales = counts.chunks(WEEKS).map(scale).collect();
        Ok(Self { names, counts, scales })
    }

    pub fn counts(&self, product: usize) -> &[f32] {
        &self.counts[product * WEEKS..][..WEEKS]
    }

    /// The product with the most orders.
    pub fn best(&self) -> usize {
        let most = |a: &usize, b: &usize| self.scales[*a].total_cmp(&self.scales[*b]);
        (0..self.names.len()).max_by(most).unwrap_or(0)
    }

    /// Of these products the first weeks, `[products,weeks,FEATURES]`.
    pub fn features(&self, products: &[usize], weeks: usize) -> Vec<f32> {
        let frame = |i: usize, week: usize| {
            let (count, scale) = (self.counts(i)[week], self.scales[i]);
            [count / scale, count.ln_1p(), scale.ln()]
        };
        products.iter().flat_map(|&i| (0..weeks).flat_map(move |week| frame(i, week))).collect()
    }

    /// What comes after each of the weeks, divided by the scale: `[products,weeks,HORIZON]`.
    pub fn targets(&self, products: &[usize], weeks: usize) -> Vec<f32> {
        let next = |i: usize, week: usize| {
            self.counts(i)[week + 1..][..HORIZON].iter().map(move |count| count / self.scales[i])
        };
        products.iter().flat_map(|&i| (0..weeks).flat_map(move |week| next(i, week))).collect()
    }

    /// How much each week of each product counts in training: more if it sells more, and not at all at the begin.
    pub fn weights(&self, products: &[usize], weeks: usize, first: usize) -> Vec<f32> {
        let weight = |i: usize, week: usize| if week < first { 0.0 } else { self.scales[i].sqrt() };
        products.iter().flat_map(|&i| (0..weeks).map(move |week| weight(i, week))).collect()
    }

    /// The counts that come after each of these weeks, of all products: `[products,weeks,HORIZON]`.
    pub fn to_come(&self, known: Range<usize>) -> Vec<f32> {
        let next = |i: usize, week: usize| self.counts(i)[week + 1..][..HORIZON].to_vec();
        (0..self.names.len())
            .flat_map(|i| known.clone().flat_map(move |week| next(i, week)))
            .collect()
    }

    /// A model's outputs `[products,weeks,HORIZON,3]` behind these weeks as quantiles of counts.
    pub fn forecasts(&self, outputs: &[f32], known: Range<usize>) -> Vec<[f32; 3]> {
        let row = |i: usize, row: &[f32]| {
            let mut row = [0, 1, 2].map(|q| row[q] * self.scales[i]);
            row.sort_by(f32::total_cmp);
            row
        };
        let of_week = HORIZON * 3;
        let each = outputs.chunks(WEEKS * of_week).enumerate();
        each.flat_map(|(i, all)| {
            let rows = &all[known.start * of_week..known.end * of_week];
            rows.chunks(3).map(move |outputs| row(i, outputs))
        })
        .collect()
    }
}
