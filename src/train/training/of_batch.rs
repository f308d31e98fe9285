//! The loss of a batch.

use crate::autograd::{Tape, Var};
use crate::nn::{Layer, Own};
use crate::train::batch::{Batch, BatchTargets, Rows};
use crate::train::evaluate::Totals;
use crate::train::metrics::Found;
use crate::train::sequential::Sequential;
use crate::train::{Loss, crf, ctc};
use crate::{Error, Result, loss};

impl Sequential {
    /// The loss of a batch; adds it and the metrics to the totals.
    pub(in crate::train) fn loss(
        &self,
        tape: &Tape,
        batch: &Batch,
        kind: &Loss,
        totals: &mut Totals,
    ) -> Result<Var> {
        let (last, x) = Self::before_last(&self.all(), tape, &batch.x)?;
        self.loss_of((last, &x), tape, batch, kind, totals)
    }

    /// As [`Sequential::loss`], of the last layer and its input.
    pub(in crate::train) fn loss_of(
        &self,
        (last, x): (&dyn Layer, &Var),
        tape: &Tape,
        batch: &Batch,
        kind: &Loss,
        totals: &mut Totals,
    ) -> Result<Var> {
        // A mask that is not the first layer's is known only here. Labels without a place in time belong to no frame.
        let of_frames = self.rows() == Rows::Frames && kind.ctc().is_none();
        let late = x.mask().filter(|_| of_frames && self.counting().masked.is_none());
        let masked = late.map(|mask| batch.masked(mask)).transpose()?;
        let batch = masked.as_ref().unwrap_or(batch);
        if let Some(crf) = last.crf(Own) {
            return crf::loss((crf, x), tape, batch, kind, totals);
        }
        let weights = batch.weights.as_ref();
        let head = last.head(Own).filter(|_| !totals.take_outputs());
        if let (BatchTargets::Classes(labels), Some(options), Some(head)) =
            (&batch.targets, kind.of_classes(), head)
        {
            let answers = totals.log_loss_of_answers();
            let found = head.part_by_part(tape, x, &options, labels, weights, answers)?;
            if let Some((loss, answers)) = found {
                let loss = tape.regularized(&loss)?;
                let found = Found::Answers(answers.as_ref());
                totals.add(&loss, batch.weight_of_loss(kind), found, batch)?;
                return Ok(loss);
            }
        }
        let output = self.last_for_loss(last, tape, x, kind)?;
        if let Some(ctc) = kind.ctc() {
            return ctc::loss((ctc, &output), tape, batch, totals);
        }
        let bad = |expected, found: &str| {
            Err(Error::Loss { loss: kind.name(), expected, found: found.into() })
        };
        let loss = match (&batch.targets, kind.of_classes()) {
            (BatchTargets::Classes(labels), Some(options)) => {
                options.loss(tape, &output, labels, weights)?
            }
            (BatchTargets::Values(y), None) => match kind {
                Loss::BinaryCrossEntropy => loss::binary_cross_entropy(tape, &output, y, weights)?,
                Loss::MeanAbsoluteError => loss::mean_absolute_error(tape, &output, y, weights)?,
                Loss::BinaryCrossEntropyWith(options) => options.loss(tape, &output, y, weights)?,
                Loss::Huber { delta } => loss::huber(tape, &output, y, *delta, weights)?,
                Loss::Quantile { quantile: q } => loss::quantile(tape, &output, y, *q, weights)?,
                Loss::Quantiles(all) => loss::quantiles(tape, &output, y, all, weights)?,
                Loss::Likelihood(of) => of.loss(tape, &output, y, weights)?,
                _ => loss::mean_squared_error(tape, &output, y, weights)?,
            },
            (_, Some(_)) => return bad("Targets::classes", "Targets::values"),
            (_, None) => return bad("Targets::values", "Targets::classes"),
        };
        let loss = tape.regularized(&loss)?;
        let found = Found::Outputs(output.tensor());
        totals.add(&loss, batch.weight_of_loss(kind), found, batch)?;
        Ok(loss)
    }
}
