//! The gradients of a step, which may be those of several batches.

use super::Loss;
use super::batch::{Batch, BatchTargets};
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
        let mut last = None;
        let device = self.params.device();
        let all: f64 = batches.iter().map(|batch| f64::from(weight(batch, kind))).sum();
        for batch in batches {
            let tape = Tape::new(&self.params);
            let loss = self.loss(&tape, batch, kind, totals)?;
            if batches.len() == 1 {
                tape.backward(&loss)?;
                return Ok(Some(loss));
            }
            let share = match all > 0.0 {
                true => f64::from(weight(batch, kind)) / all,
                // Only penalties are left, of which each batch has all.
                false => 1.0 / batches.len() as f64,
            };
            let share = Tensor::from_slice(&[share as f32], [1], &device)?;
            tape.backward_from(&[(&loss, share)])?;
            device.submit()?;
            last = Some(loss);
        }
        Ok(last)
    }
}

/// What a batch's mean loss counts among others.
fn weight(batch: &Batch, kind: &Loss) -> f32 {
    match (&batch.targets, kind.of_classes()) {
        (BatchTargets::Classes(labels), Some(options)) => {
            options.total(labels, batch.weights.as_ref())
        }
        _ => batch.weight,
    }
}
