//! Evaluation: the loss and the metrics of a model.

use super::batch::{Batch, Rows};
use super::feed::{Feed, Plan, no_data};
use super::history::Evaluation;
use super::loss::Loss;
use super::metrics::{ConfusionMatrix, Found, Measure, Metric};
use super::sequential::{Compiled, Sequential};
use super::total::Total;
use crate::autograd::{Tape, Var};
use crate::data::{Kind, Origin, Sequences, Source, Targets};
use crate::file::State;
use crate::loss::likeliest;
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
            return Err(self.not_built());
        };
        self.check_data(x, y, features, &compiled.loss, "Sequential::evaluate")?;
        self.check_metrics(&compiled.loss, &compiled.metrics)?;
        self.check_batches("Sequential::evaluate_batches", x.len(), batch_size, true)?;
        let data = Origin::Memory { x, y: Some(y), weights: None };
        self.evaluate_source(data, batch_size, compiled, "Sequential::evaluate")
    }

    /// As [`Sequential::evaluate_batches`], over data that need not lie in memory: a reference to a
    /// [`crate::data::Dataset`] or an [`crate::data::IterableDataset`]. A thread loads the next batch while the
    /// device works.
    ///
    /// ```
    /// use wgpu_lstm::data::{IterableDataset, Sample};
    /// use wgpu_lstm::prelude::*;
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(Dense::new(1));
    /// model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
    /// model.build(2)?;
    /// let zeros = IterableDataset::new(2, |_| {
    ///     let sample = |i: usize| Ok(Sample::new(vec![0.0; 2 * (i + 1)]).targets(Targets::values([0.5], 1)));
    ///     Ok((0..10).map(sample))
    /// });
    /// assert!(model.evaluate_dataset(&zeros, 4)?.loss > 0.0);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sequential::evaluate_batches`]; [`Error::Sample`] for what is wrong with a sample.
    pub fn evaluate_dataset<'d>(
        &self,
        data: impl Into<Source<'d>>,
        batch_size: usize,
    ) -> Result<Evaluation> {
        const OP: &str = "Sequential::evaluate_dataset";
        let Some(compiled) = &self.compiled else {
            return Err(Error::NotBuilt { what: "the evaluation", call: "compile" });
        };
        let Some(features) = self.input_size else {
            return Err(Error::NotBuilt { what: "the model", call: "fit or build" });
        };
        let data = data.into().0;
        self.check_origin(data, features, &compiled.loss, OP)?;
        self.check_metrics(&compiled.loss, &compiled.metrics)?;
        self.check_batches(OP, data.len().unwrap_or(0), batch_size, true)?;
        self.evaluate_source(data, batch_size, compiled, OP)
    }

    fn evaluate_source(
        &self,
        data: Origin<'_>,
        batch_size: usize,
        compiled: &Compiled,
        op: &'static str,
    ) -> Result<Evaluation> {
        let plan = Plan::in_order(data, batch_size)?;
        let feed = Feed::new(self, data, plan, Some(&compiled.loss), op);
        feed.evaluate(1, &compiled.metrics)
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
            return Err(self.not_built());
        };
        let loss = &compiled.loss;
        self.check_data(x, y, features, loss, OP)?;
        let classes = loss.of_classes();
        if classes.is_none() && !loss.is_binary() {
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
        let counting = self.counting();
        // A value for each frame of all sequences: that of a frame that is masked does not count.
        let of_frames = counting.masked.is_some() && self.rows() == Rows::Frames;
        let frames =
            (0..x.len()).filter(|_| of_frames).flat_map(|i| (0..x.frames(i)).map(move |t| (i, t)));
        let counts: Vec<_> = frames.map(|(i, t)| counting.counts(x, i, t)).collect();
        let left_out = |row: usize| counts.get(row) == Some(&false);
        for row in (0..found.rows()).filter(|&row| !left_out(row)) {
            let label = match &y.kind {
                Kind::Classes(labels) => labels[row],
                Kind::Values { values, width } if classes.is_some() => {
                    likeliest(&values[row * width..][..*width])
                }
                Kind::Values { values, .. } => u32::from(values[row] > 0.5),
                // Such targets have a loss of their own, which was refused.
                Kind::Sequences(_) => continue,
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
    pub(super) fn width(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.output_size())
    }

    /// Checks the metrics against the loss and the model, as far as it is built.
    pub(super) fn check_metrics(&self, loss: &Loss, metrics: &[Metric]) -> Result<()> {
        self.check_crf(loss, metrics)?;
        let sequences = self.rows() != Rows::One;
        metrics.iter().try_for_each(|metric| metric.check(loss, self.width(), sequences))
    }
}

impl Feed<'_> {
    /// Loss and metrics over all batches, which so many threads load.
    pub(super) fn evaluate(&self, workers: usize, metrics: &[Metric]) -> Result<Evaluation> {
        let (model, Some(loss)) = (self.model, self.loss) else {
            return Err(Error::NotBuilt { what: "the evaluation", call: "compile" });
        };
        let mut totals = model.totals(loss, metrics)?;
        let mut batches = 0;
        self.run(0, workers, |next| {
            while let Some(part) = next()? {
                let batch = self.batch(&part)?;
                model.loss(&Tape::inference(&model.params), &batch, loss, &mut totals)?;
                model.params.device().submit()?;
                batches += 1;
            }
            Ok(())
        })?;
        match batches {
            0 => Err(no_data(self.data.features(), self.op)),
            _ => totals.read(),
        }
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
