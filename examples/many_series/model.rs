//! The model: what it knows of a series is what its weeks say and a vector of its own.

use super::products::FEATURES;
use wgpu_lstm::nn::{Dense, Dropout, Embedding, Lstm, Params, concat};
use wgpu_lstm::{Result, Tape, Var};

const HIDDEN: usize = 48;

pub struct Model {
    series: Option<Embedding>,
    lstm: Lstm,
    head: Dense,
}

impl Model {
    /// A model of `n` series, each with a vector of size `embedding`, or none where that is 0.
    pub fn new(n: usize, embedding: usize, outputs: usize, params: &Params) -> Result<Self> {
        let table = (embedding > 0).then(|| Embedding::new(n, embedding).build(params));
        let lstm = Lstm::new(HIDDEN).return_sequences().build(params, FEATURES + embedding)?;
        Ok(Self {
            series: table.transpose()?,
            lstm,
            head: Dense::new(outputs).build(params, HIDDEN)?,
        })
    }

    /// `[B,T,FEATURES]`, of the series with these B numbers, to `[B,T,outputs]`.
    pub fn forward(&self, tape: &Tape, x: Var, series: &[usize]) -> Result<Var> {
        let [rows, weeks] = [x.shape()[0], x.shape()[1]];
        let numbers: Vec<u32> = series.iter().flat_map(|&i| vec![i as u32; weeks]).collect();
        let x = match &self.series {
            Some(table) => concat(tape, &[x, table.lookup(tape, &numbers, [rows, weeks])?])?,
            None => x,
        };
        let h = Dropout::new(0.2).forward(tape, &self.lstm.forward(tape, &x)?)?;
        self.head.forward(tape, &h)
    }
}
