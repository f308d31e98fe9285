//! The model: what it knows of a series is what its weeks say and a vector of its own. What it says of each week to
//! come is a head's outputs, times the series' scale.

use super::products::FEATURES;
use super::{HORIZON, QUANTILES};
use wgpu_lstm::loss::{Distribution, RowWeights, quantiles};
use wgpu_lstm::nn::{Dense, Dropout, Embedding, Init, Lstm, Params, concat, multiply};
use wgpu_lstm::{Result, Tape, Tensor, Var};

const HIDDEN: usize = 48;

/// What is said of a week to come.
#[derive(Clone, Copy)]
pub enum Head {
    Quantiles,
    Likelihood(Distribution),
}

impl Head {
    /// What the outputs are multiplied by, so that all can be about 1: the scale, but for Student's degrees of freedom,
    /// and for the shape of a negative binomial, which is small where counts are not much more spread than Poisson's.
    fn factors(self, scale: f32) -> Vec<f32> {
        match self {
            Self::Likelihood(Distribution::NegativeBinomial) => vec![scale, -2.0],
            Self::Likelihood(Distribution::StudentT) => vec![scale, scale, 1.0],
            Self::Likelihood(_) => vec![scale; 2],
            Self::Quantiles => vec![scale; QUANTILES.len()],
        }
    }

    /// How much a week counts in training: more if more is sold. Quantile losses are already the greater for it.
    pub fn weight(self, scale: f32) -> f32 {
        if let Self::Quantiles = self { 1.0 / scale.sqrt() } else { scale.sqrt() }
    }

    /// Of outputs `[..,HORIZON·P]` for counts `[..,HORIZON]`.
    pub fn loss(self, tape: &Tape, x: &Var, y: &Tensor, weights: &RowWeights) -> Result<Var> {
        match self {
            Self::Quantiles => quantiles(tape, x, y, &QUANTILES, Some(weights)),
            Self::Likelihood(of) => of.loss(tape, x, y, Some(weights)),
        }
    }

    /// The quantiles of each week that outputs tell of.
    pub fn quantiles(self, outputs: &[f32]) -> Result<Vec<[f32; 3]>> {
        let sorted = |row: &[f32]| {
            let mut row = [row[0], row[1], row[2]];
            row.sort_by(f32::total_cmp);
            row
        };
        let Self::Likelihood(of) = self else {
            return Ok(outputs.chunks(3).map(sorted).collect());
        };
        let [low, median, high] = QUANTILES.map(|p| of.quantile(outputs, p));
        let (low, median, high) = (low?, median?, high?);
        Ok((0..low.len()).map(|i| [low[i], median[i], high[i]]).collect())
    }
}

pub struct Model {
    head: Head,
    series: Option<Embedding>,
    lstm: Lstm,
    dense: Dense,
}

impl Model {
    /// A model of `n` series, each with a vector of size `embedding`, or none where that is 0.
    pub fn new(n: usize, embedding: usize, head: Head, params: &Params) -> Result<Self> {
        let table = (embedding > 0).then(|| Embedding::new(n, embedding).build(params));
        let lstm = Lstm::new(HIDDEN).return_sequences().build(params, FEATURES + embedding)?;
        // So it begins with what each sells on average.
        let dense = Dense::new(HORIZON * head.factors(1.0).len()).bias_init(Init::Constant(1.0));
        Ok(Self { head, series: table.transpose()?, lstm, dense: dense.build(params, HIDDEN)? })
    }

    /// `[B,T,FEATURES]`, of the series with these B numbers and all their scales, to `[B,T,HORIZON·P]`.
    pub fn forward(&self, tape: &Tape, x: Tensor, series: &[usize], scales: &[f32]) -> Result<Var> {
        let [rows, weeks] = [x.shape()[0], x.shape()[1]];
        let numbers: Vec<u32> = series.iter().flat_map(|&i| vec![i as u32; weeks]).collect();
        let x = match &self.series {
            Some(table) => concat(tape, &[x.into(), table.lookup(tape, &numbers, [rows, weeks])?])?,
            None => x.into(),
        };
        let h = Dropout::new(0.2).forward(tape, &self.lstm.forward(tape, &x)?)?;
        let outputs = self.dense.forward(tape, &h)?;
        let factors = |&i: &usize| self.head.factors(scales[i]).repeat(weeks * HORIZON);
        let factors: Vec<f32> = series.iter().flat_map(factors).collect();
        let shape = outputs.shape();
        let factors = Tensor::from_slice(&factors, shape, &outputs.tensor().device())?;
        multiply(tape, &outputs, &factors.into())
    }
}
