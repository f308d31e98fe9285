//! Evaluation: the loss and the metrics of a model.

use super::batch::{self, Batch, Counting, Rows};
use super::history::Evaluation;
use super::loss::Loss;
use super::metrics::{ConfusionMatrix, Found, Measure, Metric};
use super::sequential::Sequential;
use super::total::Total;
use crate::autograd::{Tape, Var};
use crate::data::{Kind, Sequences, Targets};
use crate::file::State;
use crate::{Error, Result};

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
        self.check_metrics(&compiled.loss, &compiled.metrics)?;
        self.check_batches("Sequential::evaluate_batches", x.len(), batch_size, true)?;
        let measured = (&compiled.loss, &compiled.metrics[..]);
        self.evaluate_rows(x, y, &(0..x.len()).collect::<Vec<_>>(), None, batch_size, measured)
    }

    pub(super) fn evaluate_rows(
        &self,
        x: &Sequences,
        y: &Targets,
        rows: &[usize],
        samples: Option<&[f32]>,
        batch_size: usize,
        (loss, metrics): (&Loss, &[Metric]),
    ) -> Result<Evaluation> {
        let classes = loss.of_classes();
        let counting = Counting { samples, classes: classes.as_ref(), ..self.counting() };
        let device = self.params.device();
        let mut totals = self.totals(loss, metrics)?;
        for rows in rows.chunks(batch_size) {
            let batch = batch::batch(x, Some(y), self.rows(), rows, counting, &device)?;
            self.loss(&Tape::inference(&self.params), &batch, loss, &mut totals)?;
            device.submit()?;
        }
        totals.read()
    }

    /// How often each class of targets `y` was taken for each, over sequences `x`, 32 at a time: what
    /// [`super::Metric::F1`] and others sum up. For models with a cross-entropy, or with a binary one and one
    /// output, whose classes are no (0) and yes (1). Labels that the loss ignores do not count.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Sequential, data::{Sequences, Targets}, nn::{Dense, Lstm}};
    /// use wgpu_lstm::train::{Loss, Sgd};
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(Dense::new(3));
    /// model.compile(Sgd::new(0.1), Loss::CrossEntropy, &[]);
    /// model.build(2)?;
    /// let x = Sequences::from_array(&[0.5; 4 * 5 * 2], [4, 5, 2])?;
    /// let matrix = model.confusion_matrix(&x, &Targets::classes([0, 1, 2, 2]))?;
    /// assert_eq!(matrix.row(2).iter().sum::<f64>(), 2.0);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sequential::evaluate`]; [`Error::Loss`] for another loss, [`Error::Option`] for several
    /// outputs with a binary one.
    pub fn confusion_matrix(&self, x: &Sequences, y: &Targets) -> Result<ConfusionMatrix> {
        const OP: &str = "Sequential::confusion_matrix";
        let Some(compiled) = &self.compiled else {
            return Err(Error::NotBuilt { what: "the confusion matrix", call: "compile" });
        };
        let Some(features) = self.input_size else {
            return Err(Error::NotBuilt { what: "the model", call: "fit or build" });
        };
        let loss = &compiled.loss;
        self.check_data(x, y, features, loss, OP)?;
        let classes = loss.of_classes();
        if classes.is_none() && *loss != Loss::BinaryCrossEntropy {
            let expected = "Loss::CrossEntropy or Loss::BinaryCrossEntropy";
            return Err(Error::Loss { loss: OP, expected, found: loss.name().into() });
        }
        if classes.is_none() && self.width() != 1 {
            return Err(Error::Option {
                option: OP,
                found: format!("of {} outputs with Loss::BinaryCrossEntropy", self.width()),
                expected: "of one, or of classes".into(),
            });
        }
        let found = self.predict(x)?;
        let mut matrix = ConfusionMatrix::new(self.width().max(2))?;
        for row in 0..found.rows() {
            let label = match &y.kind {
                Kind::Classes(labels) => labels[row],
                Kind::Values { values, .. } => u32::from(values[row] > 0.5),
            };
            if classes.as_ref().is_none_or(|options| options.counts(label)) {
                let says = !found.row(row).iter().any(|x| x.is_nan());
                matrix.add_row(row, label, says.then(|| found.classes[row]), 1.0)?;
            }
        }
        Ok(matrix)
    }

    /// Totals of nothing yet.
    pub(super) fn totals(&self, loss: &Loss, metrics: &[Metric]) -> Result<Totals> {
        let device = self.params.device();
        let sequences = self.rows() != Rows::One;
        Ok(Totals {
            loss: Total::new(&device)?,
            loss_weight: 0.0,
            metrics: Measure::new(&device, loss, metrics, self.width(), sequences)?,
        })
    }

    /// The outputs of the last layer; 0 if only its build tells.
    fn width(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.output_size())
    }

    /// Checks the metrics against the loss and the model, as far as it is built.
    pub(super) fn check_metrics(&self, loss: &Loss, metrics: &[Metric]) -> Result<()> {
        let sequences = self.rows() != Rows::One;
        metrics.iter().try_for_each(|metric| metric.check(loss, self.width(), sequences))
    }
}

/// The loss and the metrics of an epoch, summed on the device.
pub(super) struct Totals {
    loss: Total,
    loss_weight: f64,
    metrics: Measure,
}

impl Totals {
    /// Whether a metric takes all outputs of a batch.
    pub(super) fn take_outputs(&self) -> bool {
        self.metrics.take_outputs()
    }

    /// Whether the answers of each batch are to have the log loss; `None` if no metric takes them.
    pub(super) fn log_loss_of_answers(&self) -> Option<bool> {
        self.metrics.log_loss_of_answers()
    }

    /// Adds a batch, whose mean loss has this weight among the others.
    pub(super) fn add(
        &mut self,
        loss: &Var,
        weight: f32,
        found: Found<'_>,
        batch: &Batch,
    ) -> Result<()> {
        self.loss_weight += f64::from(weight);
        self.loss.add(loss.tensor(), weight)?;
        self.metrics.add(found, batch)
    }

    /// The sums as they go. Waits for the device.
    pub(super) fn state(&self) -> Result<State> {
        let mut state = self.metrics.state()?;
        state.set_number("loss_weight", self.loss_weight);
        state.nest("loss", self.loss.state()?);
        Ok(state)
    }

    /// Goes on from what [`Totals::state`] gave.
    pub(super) fn set_state(&mut self, state: &State) -> Result<()> {
        self.loss_weight = state.number("loss_weight")?;
        self.loss.set_state(&state.nested("loss"))?;
        self.metrics.set_state(state)
    }

    /// Reads loss and metrics. Waits for the device.
    pub(super) fn read(&self) -> Result<Evaluation> {
        self.read_some(true)
    }

    /// As [`Totals::read`], but without the metrics that take all outputs: a look that costs little.
    pub(super) fn glance(&self) -> Result<Evaluation> {
        self.read_some(false)
    }

    fn read_some(&self, all: bool) -> Result<Evaluation> {
        // 0, not NaN, where nothing counted.
        let one_over = if self.loss_weight > 0.0 { 1.0 / self.loss_weight } else { 0.0 };
        let loss = (self.loss.read()? * one_over) as f32;
        let (metrics, names) = self.metrics.read(all)?;
        Ok(Evaluation { loss, metrics, names })
    }
}
