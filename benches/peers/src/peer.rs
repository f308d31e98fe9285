//! What a peer has to do.

use crate::case::{Case, Mode};
use anyhow::Result;

/// A library on a device.
pub trait Peer {
    /// The column's head.
    fn name(&self) -> String;

    /// Whether it has what a mode takes.
    fn does(&self, mode: Mode) -> bool;

    /// Gets ready for a case and computes once what is compared, by name: `y` of a forward pass or
    /// of the last of [`CHECKED_STEPS`] steps; `d_x`, `d_weight_ih`, `d_weight_hh` and `d_bias` of a
    /// training step; `prediction` of the Keras program before it trains.
    fn prepare(&mut self, case: &Case) -> Result<Vec<(String, Vec<f32>)>>;

    /// Runs the prepared case so often; the milliseconds of each run, until its results are there.
    fn run(&mut self, reps: usize) -> Result<Vec<f64>>;

    /// Lets go of the prepared case.
    fn release(&mut self);
}

/// Steps, from a state of zeros, after which the output is compared.
pub const CHECKED_STEPS: usize = 10;

/// The milliseconds of each of some runs.
pub fn time(reps: usize, mut run: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    (0..reps)
        .map(|_| {
            let start = std::time::Instant::now();
            run()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}
