//! The counts of all products, and what a model is told of them.

use super::common;
use std::ops::Range;
use wgpu_lstm::data::Table;
use wgpu_lstm::{Device, Tensor};

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
    pub scales: Vec<f32>,
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
    pub fn features(
        &self,
        products: &[usize],
        weeks: usize,
        device: &Device,
    ) -> wgpu_lstm::Result<Tensor> {
        let frame = |i: usize, week: usize| {
            let (count, scale) = (self.counts(i)[week], self.scales[i]);
            [count / scale, count.ln_1p(), scale.ln()]
        };
        let of = |&i: &usize| (0..weeks).flat_map(move |week| frame(i, week));
        let frames: Vec<f32> = products.iter().flat_map(of).collect();
        Tensor::from_slice(&frames, [products.len(), weeks, FEATURES], device)
    }

    /// The counts that come after each of the first weeks: `[products,weeks,HORIZON]`.
    pub fn targets(&self, products: &[usize], weeks: usize) -> Vec<f32> {
        self.after(products, 0..weeks)
    }

    /// How much each week of each product counts in training: not at all at the begin.
    pub fn weights(
        &self,
        products: &[usize],
        weeks: usize,
        first: usize,
        weight: impl Fn(f32) -> f32,
    ) -> Vec<f32> {
        let of = |i: usize, week: usize| if week < first { 0.0 } else { weight(self.scales[i]) };
        products.iter().flat_map(|&i| (0..weeks).map(move |week| of(i, week))).collect()
    }

    /// The counts that come after each of these weeks, of all products.
    pub fn to_come(&self, known: Range<usize>) -> Vec<f32> {
        self.after(&(0..self.names.len()).collect::<Vec<_>>(), known)
    }

    fn after(&self, products: &[usize], known: Range<usize>) -> Vec<f32> {
        let next = |i: usize, week: usize| &self.counts(i)[week + 1..][..HORIZON];
        let of = |&i: &usize| known.clone().flat_map(move |week| next(i, week));
        products.iter().flat_map(of).copied().collect()
    }
}
