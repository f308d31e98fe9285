//! Some of a frame's features.

use std::ops::Range;
use wgpu_lstm::nn::{Layer, Params};
use wgpu_lstm::{Error, Result, Tape, Tensor, Var};

/// A layer that passes on some features of each frame, so that tokens of several kinds, side by side in a frame, can
/// each have an embedding of their own. It stands at a model's input: no gradient goes through it.
pub struct Columns(pub Range<usize>);

impl Layer for Columns {
    fn kind(&self) -> &'static str {
        "columns"
    }

    fn build_on(&mut self, _: &Params, input_size: usize) -> Result<()> {
        match self.0.end <= input_size {
            true => Ok(()),
            false => Err(Error::custom(format!("no columns {:?} of {input_size}", self.0))),
        }
    }

    fn output_size(&self) -> usize {
        self.0.len()
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn forward(&self, _: &Tape, x: &Var) -> Result<Var> {
        let [rows, frames, features] = x.shape()[..] else {
            return Err(Error::custom("columns of what is not [B,T,F]"));
        };
        let all = x.tensor().to_vec()?;
        let own: Vec<f32> =
            all.chunks(features).flat_map(|frame| &frame[self.0.clone()]).copied().collect();
        let own = Tensor::from_slice(&own, [rows, frames, self.0.len()], &x.tensor().device())?;
        Ok(Var::constant(own).with_lengths(x.lengths().cloned()).with_mask(x.mask().cloned()))
    }

    /// What is far from 1 is no slip: these are numbers of tokens.
    fn takes_tokens(&self) -> bool {
        true
    }

    fn parameter_count(&self) -> usize {
        0
    }
}
