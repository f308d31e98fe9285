//! Models whose outputs spell sequences of labels.

use super::batch::{Batch, BatchTargets, Rows};
use super::evaluate::Totals;
use super::loss::Loss;
use super::metrics::Found;
use super::prediction::{Meaning, Prediction};
use super::sequential::Sequential;
use crate::autograd::{Tape, Var};
use crate::data::{Kind, Sequences, Targets};
use crate::loss::{Ctc, Emissions, RowWeights};
use crate::{Error, Result};

/// The loss of the labels that a batch has, given the logits; adds it and the metrics to the totals.
pub(super) fn loss(
    (ctc, logits): (&Ctc, &Var),
    tape: &Tape,
    batch: &Batch,
    totals: &mut Totals,
) -> Result<Var> {
    let BatchTargets::Sequences(labels) = &batch.targets else { return Err(other(OTHERS)) };
    let weights = batch.weights.as_ref().map(RowWeights::values);
    let loss = tape.regularized(&ctc.weighted(tape, logits, labels, weights)?)?;
    totals.add(&loss, batch.weight, Found::Paths(logits, *ctc), batch)?;
    Ok(loss)
}

impl Sequential {
    /// Checks targets that are sequences of labels, and the loss of such, against each other and the model.
    pub(super) fn check_spelling(
        &self,
        x: &Sequences,
        y: &Targets,
        loss: &Loss,
        op: &'static str,
    ) -> Result<()> {
        loss.check()?;
        let (ctc, labels) = match (loss.ctc(), &y.kind) {
            (Some(ctc), Kind::Sequences(labels)) => (ctc, labels),
            (Some(_), _) => return Err(other(OTHERS)),
            (None, _) => {
                return Err(Error::Loss {
                    loss: loss.name(),
                    expected: "Targets::classes or Targets::values",
                    found: "Targets::sequences; for labels without a place in time take Loss::Ctc"
                        .into(),
                });
            }
        };
        if self.rows() == Rows::One {
            return Err(Error::Loss {
                loss: "Loss::Ctc",
                expected: "a model that gives a value at each timestep",
                found: "one for a whole sequence; the last recurrent layer lacks return_sequences"
                    .into(),
            });
        }
        if labels.len() != x.len() {
            let (expected, found) = (x.len(), labels.len());
            let help = "a row of labels for each sequence; it may be empty";
            return Err(Error::Targets { op, sequences: x.len(), expected, found, help });
        }
        let classes = self.layers.last().map_or(0, |last| last.output_size());
        for (row, labels) in labels.iter().enumerate() {
            ctc.check_row(row, labels, [self.rows_of(x.frames(row)), classes])?;
        }
        Ok(())
    }
}

const OTHERS: &str = "targets that are one class or number each";

fn other(found: &str) -> Error {
    Error::Loss { loss: "Loss::Ctc", expected: "Targets::sequences", found: found.into() }
}

impl Prediction {
    /// The log-probability of each class at each timestep, for [`Ctc::greedy`], [`Ctc::beam_search`] and
    /// [`Ctc::align`]: of a model trained by [`Loss::Ctc`], or of any that gives logits, or a softmax, of classes.
    ///
    /// ```
    /// use wgpu_lstm::loss::{BeamSearch, Ctc};
    /// use wgpu_lstm::prelude::*;
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4).return_sequences()).add(Dense::new(3));
    /// model.build(1)?;
    /// let x = Sequences::new(1, [vec![0.1, 0.5, -0.2], vec![0.4]])?;
    /// let emissions = model.predict(&x)?.emissions()?;
    /// assert_eq!((emissions.rows(), emissions.row(0).len()), (2, 3 * 3));
    /// let best = Ctc::new().beam_search(&emissions, &BeamSearch::new(8))?;
    /// assert!(best[1][0].labels.len() <= 1);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for outputs that are probabilities each by itself, as of a sigmoid; [`Error::NotFinite`] as
    /// [`Emissions::from_logits`].
    pub fn emissions(&self) -> Result<Emissions> {
        let lengths: Vec<_> = (0..self.sequences()).map(|i| self.rows_of(i).len()).collect();
        match self.meaning {
            Meaning::Probabilities => {
                Emissions::from_probabilities(self.values(), self.width(), &lengths)
            }
            Meaning::Logits | Meaning::Numbers => {
                Emissions::from_logits(self.values(), self.width(), &lengths)
            }
        }
    }
}
