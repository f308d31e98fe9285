//! The gradients of a step, which may be those of several batches.

use super::Loss;
use super::batch::Batch;
use super::evaluate::Totals;
use super::sequential::Sequential;
use crate::autograd::{Tape, Var};
use crate::{Result, Tensor};

impl Sequential {
    /// Computes the gradients of a step, those of one batch with all the rows. Each batch's mean loss counts
    /// by its share of the weights, of which there is a share at the beginning already: nothing has to be
    /// divided in the end. Returns the mean loss of the last batch.
    pub(super) fn add_gradients(
        &self,
        batches: &[Batch],
        kind: &Loss,
        totals: &mut Totals,
    ) -> Result<Option<Var>> {
        if let [batch] = batches {
            let tape = Tape::new(&self.params);
            let loss = self.loss(&tape, batch, kind, totals)?;
            tape.backward(&loss)?;
            return Ok(Some(loss));
        }
        let mut last = None;
        let device = self.params.device();
        let weights: Vec<_> = batches.iter().map(|b| f64::from(b.weight_of_loss(kind))).collect();
        let all: f64 = weights.iter().sum();
        for (batch, weight) in batches.iter().zip(weights) {
            let tape = Tape::new(&self.params);
            let loss = self.loss(&tape, batch, kind, totals)?;
            // Where nothing counts only penalties are left, of which each batch has all.
            let share = if all > 0.0 { weight / all } else { 1.0 / batches.len() as f64 };
            let share = Tensor::from_slice(&[share as f32], [1], &device)?;
            tape.backward_from(&[(&loss, share)])?;
            device.submit()?;
            last = Some(loss);
        }
        Ok(last)
    }
}
