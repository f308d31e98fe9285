//! Models whose last layer decides on whole paths of tags.

use super::batch::{Batch, BatchTargets, Rows};
use super::evaluate::Totals;
use super::loss::Loss;
use super::metrics::{Found, Metric};
use super::sequential::Sequential;
use crate::autograd::{Tape, Var};
use crate::data::{Kind, Sequences, Targets};
use crate::nn::{Crf, Own};
use crate::{Error, Result};

/// The loss of the paths that a batch has, of the layer and its input; adds it and the metrics to the totals.
pub(super) fn loss(
    (crf, x): (&Crf, &Var),
    tape: &Tape,
    batch: &Batch,
    kind: &Loss,
    totals: &mut Totals,
) -> Result<Var> {
    check_loss(kind)?;
    let BatchTargets::Classes(labels) = &batch.targets else { return Err(other(NO_CLASSES)) };
    let answers = totals.log_loss_of_answers().is_some();
    let wanted = (labels, batch.weights.as_ref());
    let (loss, answers) = crf.loss_and_answers(tape, x, wanted, answers)?;
    let loss = tape.regularized(&loss)?;
    totals.add(&loss, batch.weight_of_loss(kind), Found::Answers(answers.as_ref()), batch)?;
    Ok(loss)
}

impl Sequential {
    /// The last layer, if it decides on paths.
    pub(super) fn crf(&self) -> Option<&Crf> {
        self.layers.last().and_then(|last| last.crf(Own))
    }

    /// Checks that loss and metrics are those of paths, if the last layer decides on them.
    pub(super) fn check_crf(&self, loss: &Loss, metrics: &[Metric]) -> Result<()> {
        if self.crf().is_none() {
            return Ok(());
        }
        check_loss(loss)?;
        let of_frames = |metric: &&Metric| {
            let likely = [Metric::LogLoss, Metric::Perplexity];
            metric.of_scores() || likely.contains(metric) || matches!(metric, Metric::TopK(_))
        };
        match metrics.iter().find(of_frames) {
            Some(metric) => Err(Error::Option {
                option: "Sequential::compile",
                found: format!("the metric {} of a model that ends in a Crf", metric.name()),
                expected: "metrics of the tags that it decides on, such as Metric::Accuracy and \
                           Metric::SpanF1"
                    .into(),
            }),
            None => Ok(()),
        }
    }

    /// Checks that the constraints of the last layer, if it decides on paths, leave those of the targets.
    pub(super) fn check_paths(&self, x: &Sequences, y: &Targets) -> Result<()> {
        let Some(crf) = self.crf() else { return Ok(()) };
        let Kind::Classes(labels) = &y.kind else { return Err(other(NO_CLASSES)) };
        if self.layers.iter().skip(1).any(|layer| layer.masked_value(Own).is_some()) {
            // Only a batch tells which frames it leaves out of a path; the loss checks what is left.
            return Ok(());
        }
        let (rows, counting) = (self.rows(), self.counting());
        for i in 0..x.len() {
            let range = rows.range(x, i);
            let counts =
                |at: &usize| rows != Rows::Frames || counting.counts(x, i, at - range.start);
            let path: Vec<u32> = range.clone().filter(counts).map(|at| labels[at]).collect();
            crf.check_path(&path).map_err(|error| error.at(format!("sequence {i}")))?;
        }
        Ok(())
    }
}

fn check_loss(loss: &Loss) -> Result<()> {
    let plain = |loss: &Loss| loss.of_classes() == Some(Default::default());
    if plain(loss) { Ok(()) } else { Err(other(format!("{loss:?}"))) }
}

const NO_CLASSES: &str = "targets that are no classes";

fn other(found: impl Into<String>) -> Error {
    Error::Loss {
        loss: "Crf",
        expected: "Loss::CrossEntropy without options, and Targets::classes",
        found: found.into(),
    }
}
