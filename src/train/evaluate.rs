//! Evaluation: the loss and the metrics of a model.

use super::batch::{self, Batch, BatchTargets, Counting};
use super::sequential::{Compiled, Sequential};
use super::{Evaluation, Loss, Metric, Total};
use crate::autograd::{Tape, Var};
use crate::data::{Sequences, Targets};
use crate::ops::loss::accuracy;
use crate::{Device, Error, Result, loss};

impl Sequential {
    /// The loss and the metrics over sequences `x` with targets `y`, 32 at a time.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `compile` and `fit`; of the data as [`Sequential::fit`]; if a layer is
    /// stateful, [`Error::Option`] for sequences that 32 does not divide and [`Error::State`] if it
    /// remembers other rows; and those of the device.
    pub fn evaluate(&self, x: &Sequences, y: &Targets) -> Result<Evaluation> {
        self.evaluate_batches(x, y, 32)
    }

    /// As [`Sequential::evaluate`], `batch_size` sequences at a time. With stateful layers the size must be
    /// that of the batches before.
    ///
    /// # Errors
    /// As [`Sequential::evaluate`]; [`Error::Option`] for a size of 0, too.
    pub fn evaluate_batches(
        &self,
        x: &Sequences,
        y: &Targets,
        batch_size: usize,
    ) -> Result<Evaluation> {
        let Some(compiled) = &self.compiled else {
            return Err(Error::NotBuilt { what: "the evaluation", call: "compile" });
        };
        let Some(features) = self.input_size else {
            return Err(Error::NotBuilt { what: "the model", call: "fit or build" });
        };
        self.check_data(x, y, features, &compiled.loss, "Sequential::evaluate")?;
        self.check_batches("Sequential::evaluate_batches", x.len(), batch_size, true)?;
        self.evaluate_rows(x, y, &(0..x.len()).collect::<Vec<_>>(), None, batch_size, compiled)
    }

    pub(super) fn evaluate_rows(
        &self,
        x: &Sequences,
        y: &Targets,
        rows: &[usize],
        samples: Option<&[f32]>,
        batch_size: usize,
        compiled: &Compiled,
    ) -> Result<Evaluation> {
        let classes = compiled.loss.of_classes();
        let counting = Counting { samples, classes: classes.as_ref(), ..self.counting() };
        let device = self.params.device();
        let mut totals = Totals::new(&device, &compiled.metrics)?;
        for rows in rows.chunks(batch_size) {
            let batch = batch::batch(x, Some(y), self.rows(), rows, counting, &device)?;
            self.loss(&Tape::inference(&self.params), &batch, &compiled.loss, &mut totals)?;
            device.submit()?;
        }
        totals.read()
    }
}

/// The loss and the metrics of an epoch, summed on the device.
pub(super) struct Totals {
    loss: Total,
    metrics: Vec<(Metric, Total)>,
    weight: f64,
    loss_weight: f64,
}

impl Totals {
    pub(super) fn new(device: &Device, metrics: &[Metric]) -> Result<Self> {
        let total = || Total::new(device);
        let metrics = metrics.iter().map(|&m| Ok((m, total()?))).collect::<Result<_>>()?;
        Ok(Self { loss: total()?, metrics, weight: 0.0, loss_weight: 0.0 })
    }

    /// Adds a batch, whose mean loss has this weight among the others.
    pub(super) fn add(
        &mut self,
        loss: &Var,
        weight: f32,
        output: &Var,
        batch: &Batch,
        kind: &Loss,
    ) -> Result<()> {
        self.loss_weight += f64::from(weight);
        self.weight += f64::from(batch.weight);
        self.loss.add(loss.tensor(), weight)?;
        for (metric, total) in &mut self.metrics {
            let (how, expected) = match (metric, kind, &batch.targets) {
                (Metric::Accuracy, _, BatchTargets::Classes(labels)) => {
                    (accuracy::Kind::Categorical, labels.tensor())
                }
                (Metric::Accuracy, Loss::BinaryCrossEntropy, BatchTargets::Values(values)) => {
                    (accuracy::Kind::Binary, values)
                }
                _ => {
                    return Err(Error::Loss {
                        loss: "Metric::Accuracy",
                        expected: "Loss::CrossEntropy or Loss::BinaryCrossEntropy",
                        found: kind.name().into(),
                    });
                }
            };
            let weights = batch.weights.as_ref().map(loss::RowWeights::tensor);
            let hits = accuracy::accuracy(how, output.tensor(), expected, weights)?;
            total.add(&hits, 1.0)?;
        }
        Ok(())
    }

    pub(super) fn read(&self) -> Result<Evaluation> {
        // 0, not NaN, where nothing counted.
        let one_over = |of: f64| if of > 0.0 { 1.0 / of } else { 0.0 };
        let mean = |total: &Total, of: f64| Ok((total.read()? * one_over(of)) as f32);
        let metrics = self.metrics.iter().map(|(_, total)| mean(total, self.weight));
        let metrics = metrics.collect::<Result<_>>()?;
        Ok(Evaluation { loss: mean(&self.loss, self.loss_weight)?, metrics })
    }
}
