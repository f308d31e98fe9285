//! Training a model: epochs, batches, steps.

use super::batch::{self, Batch, BatchTargets, Counting};
use super::evaluate::Totals;
use super::sequential::{Compiled, Sequential};
use super::{Epoch, Fit, History, Loss, Progress};
use crate::autograd::{Tape, Var};
use crate::data::{Sequences, Targets};
use crate::nn::LayerState;
use crate::{Error, Result, loss};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

impl Sequential {
    /// Trains the model on sequences `x` with targets `y`. Each call shuffles alike: see [`Fit::seed`].
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `compile`; [`Error::Empty`] without sequences; [`Error::Features`] if
    /// they have others than the model takes; [`Error::Targets`] if there is not one target for each
    /// sequence (or frame, if the model gives sequences); [`Error::Label`], [`Error::Target`],
    /// [`Error::Token`] and [`Error::NotFinite`] for what the model or its loss does not take;
    /// [`Error::Option`] for an option that makes no sense, [`Error::Unsupported`] for two that do not
    /// go together, [`Error::Count`] if there is not one of the sample weights for each sequence;
    /// [`Error::State`] if a stateful layer remembers other rows; [`Error::Loss`] if the loss fits
    /// neither the targets nor the last layer; [`Error::NotFinite`] if the loss is no longer a
    /// number; [`Error::Layer`]; and those of the layers' builds and of the device. Data are checked before
    /// the first step; after a later error the parameters keep the steps made so far.
    pub fn fit(&mut self, x: &Sequences, y: &Targets, options: Fit<'_>) -> Result<History> {
        let Some(mut compiled) = self.compiled.take() else {
            return Err(Error::NotBuilt { what: "the training", call: "compile" });
        };
        // A layer of the user's own may panic: `compiled` is restored even then.
        let result = catch_unwind(AssertUnwindSafe(|| {
            // All checks come before the first parameter is made or changed.
            let rows = self.split(x, y, &options, &compiled.loss)?;
            self.build(x.features())?;
            self.run_epochs(x, y, options, rows, &mut compiled)
        }));
        self.compiled = Some(compiled);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn run_epochs(
        &self,
        x: &Sequences,
        y: &Targets,
        options: Fit<'_>,
        (mut rows, validation_rows): (Vec<usize>, Vec<usize>),
        compiled: &mut Compiled,
    ) -> Result<History> {
        let mut history = History::default();
        let metrics = compiled.metrics.clone();
        let classes = compiled.loss.of_classes();
        let counting = Counting {
            samples: options.sample_weights,
            classes: classes.as_ref(),
            ..self.counting()
        };
        let mut progress = Progress::new(options.epochs, rows.len(), &metrics, options.quiet);
        let device = self.params.device();
        // A loop of the user's own may have left gradients.
        self.params.zero_gradients()?;
        for epoch in 0..options.epochs {
            let began = Instant::now();
            progress.begin(epoch);
            if options.shuffle {
                let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
                rng.set_stream(epoch as u64);
                rows.sort_unstable();
                rows.shuffle(&mut rng);
            }
            let mut totals = Totals::new(&device, &metrics)?;
            for rows in rows.chunks(options.batch_size) {
                let batch = batch::batch(x, Some(y), self.rows(), rows, counting, &device)?;
                let tape = Tape::new(&self.params);
                let loss = self.loss(&tape, &batch, &compiled.loss, &mut totals)?;
                tape.backward(&loss)?;
                compiled.optimizer.step(&self.params)?;
                device.submit()?;
                if progress.advance(rows.len()) {
                    progress.show(&totals.read()?);
                }
            }
            let training = totals.read()?;
            if !training.loss.is_finite() {
                return Err(Error::NotFinite {
                    what: "the loss",
                    place: format!("epoch {}", epoch + 1),
                    help: "a smaller learning rate may help, or inputs of a size of about 1",
                });
            }
            let samples_per_second = rows.len() as f32 / began.elapsed().as_secs_f32();
            let evaluate = |(x, y): (&Sequences, &Targets), rows: &[usize], samples| {
                // Validation starts without a state; training then resumes with its own.
                let _aside = Aside::new(self);
                self.evaluate_rows(x, y, rows, samples, options.batch_size, compiled)
            };
            let validation = match options.validation {
                Some(data) => Some(evaluate(data, &(0..data.0.len()).collect::<Vec<_>>(), None)?),
                None if validation_rows.is_empty() => None,
                None => Some(evaluate((x, y), &validation_rows, options.sample_weights)?),
            };
            let done = Epoch { training, validation, samples_per_second };
            progress.end(epoch, &done);
            history.epochs.push(done);
        }
        Ok(history)
    }

    /// The loss of a batch; adds it and the metrics to the totals.
    pub(super) fn loss(
        &self,
        tape: &Tape,
        batch: &Batch,
        kind: &Loss,
        totals: &mut Totals,
    ) -> Result<Var> {
        let output = self.forward_for_loss(tape, &batch.x, kind)?;
        let weights = batch.weights.as_ref();
        let bad = |expected, found: &str| {
            Err(Error::Loss { loss: kind.name(), expected, found: found.into() })
        };
        let mut weight = batch.weight;
        let loss = match (&batch.targets, kind.of_classes()) {
            (BatchTargets::Classes(labels), Some(options)) => {
                weight = options.total(labels, weights);
                options.loss(tape, &output, labels, weights)?
            }
            (BatchTargets::Values(y), None) => match *kind {
                Loss::BinaryCrossEntropy => loss::binary_cross_entropy(tape, &output, y, weights)?,
                Loss::MeanAbsoluteError => loss::mean_absolute_error(tape, &output, y, weights)?,
                Loss::Huber { delta } => loss::huber(tape, &output, y, delta, weights)?,
                Loss::Quantile { quantile } => loss::quantile(tape, &output, y, quantile, weights)?,
                _ => loss::mean_squared_error(tape, &output, y, weights)?,
            },
            (_, Some(_)) => return bad("Targets::classes", "Targets::values"),
            (_, None) => return bad("Targets::values", "Targets::classes"),
        };
        let loss = tape.regularized(&loss)?;
        totals.add(&loss, weight, &output, batch, kind)?;
        Ok(loss)
    }
}

/// The saved states of a model's layers, which are restored when this is dropped.
struct Aside<'a>(&'a Sequential, Vec<LayerState>);

impl<'a> Aside<'a> {
    fn new(model: &'a Sequential) -> Self {
        Self(model, model.swap_states(Vec::new()))
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.swap_states(std::mem::take(&mut self.1));
    }
}
