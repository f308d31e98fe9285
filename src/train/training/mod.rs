//! Training a model: epochs, batches, steps.

mod checkpoint;
mod diagnosis;
mod rate;

use super::batch::{self, Batch, BatchTargets, Counting};
use super::callback::Callback;
use super::evaluate::Totals;
use super::history::{Epoch, Evaluation, History};
use super::metrics::Found;
use super::run::{Place, Run, Wishes};
use super::sequential::{Position, Sequential, Trainer};
use super::{Fit, Loss, Metric, Progress};
use crate::autograd::{Tape, Var};
use crate::data::{Sequences, Targets};
use crate::loss::CrossEntropy;
use crate::nn::{LayerState, Own};
use crate::{Error, Result, loss};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rate::Rate;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// The time between two looks at whether a gradient was not finite, each of which waits for the device.
const LOOK: Duration = Duration::from_secs(2);

impl Sequential {
    /// Trains the model on sequences `x` with targets `y`. A second call goes on where the first ended: see
    /// [`Fit::seed`].
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `compile`; [`Error::Empty`] without sequences; [`Error::Features`] if
    /// they have others than the model takes; [`Error::Targets`] if there is not one target for each
    /// sequence (or frame, if the model gives sequences); [`Error::Label`], [`Error::Target`],
    /// [`Error::Token`] and [`Error::NotFinite`] for what the model or its loss does not take;
    /// [`Error::Option`] for an option that makes no sense, [`Error::Unsupported`] for two that do not
    /// go together, [`Error::Count`] if there is not one of the sample weights for each sequence;
    /// [`Error::State`] if a stateful layer remembers other rows; [`Error::Loss`] if the loss fits
    /// neither the targets nor the last layer; [`Error::Diverged`] if a gradient or the loss is no longer
    /// finite; [`Error::Layer`]; and those of the layers' builds and of the device. Data are checked before
    /// the first step; after a later error the parameters keep the steps made so far.
    pub fn fit(&mut self, x: &Sequences, y: &Targets, options: Fit<'_>) -> Result<History> {
        let taken = self.compiled.as_mut().and_then(|compiled| {
            let (loss, metrics) = (compiled.loss.clone(), compiled.metrics.clone());
            Some((compiled.trainer.take()?, loss, metrics))
        });
        let Some((mut trainer, loss, metrics)) = taken else {
            return Err(Error::NotBuilt { what: "the training", call: "compile" });
        };
        // A layer of the user's own may panic: the trainer is put back even then.
        let result = catch_unwind(AssertUnwindSafe(|| {
            // All checks come before the first parameter is made or changed.
            let (rows, validation_rows) = self.split(x, y, &options, &loss)?;
            self.check_metrics(&loss, &metrics)?;
            self.build(x.features())?;
            let Trainer { optimizer, position } = &mut trainer;
            let mut warnings = self.unusual(x, y, &loss);
            warnings.extend(self.unusual_options(&options, position.steps));
            let progress = Progress::new(options.epochs, rows.len(), options.quiet);
            for warning in &warnings {
                log::warn!("{warning}");
                progress.say(&format!("warning: {warning}"));
            }
            let classes = loss.of_classes();
            let training = Training {
                model: self,
                x,
                y,
                classes: classes.as_ref(),
                validation_rows,
                loss: &loss,
                metrics: &metrics,
                totals: self.totals(&loss, &metrics)?,
                last: None,
                rate: Rate::new(optimizer.as_mut()),
                place: Place {
                    epochs: options.epochs,
                    batches: rows.len().div_ceil(options.batch_size),
                    steps: position.steps,
                    ..Place::default()
                },
                position,
                progress,
                rows,
                history: History { warnings, ..History::default() },
                wishes: Wishes::default(),
                options,
                looked: Instant::now(),
                unseen: Vec::new(),
            };
            let _unguarded = Unguarded(self);
            training.run()
        }));
        if let Some(compiled) = &mut self.compiled {
            compiled.trainer = Some(trainer);
        }
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// The loss of a batch; adds it and the metrics to the totals.
    pub(super) fn loss(
        &self,
        tape: &Tape,
        batch: &Batch,
        kind: &Loss,
        totals: &mut Totals,
    ) -> Result<Var> {
        let (last, x) = self.before_last(tape, &batch.x)?;
        let weights = batch.weights.as_ref();
        let head = last.head(Own).filter(|_| !totals.take_outputs());
        if let (BatchTargets::Classes(labels), Some(options), Some(head)) =
            (&batch.targets, kind.of_classes(), head)
        {
            let answers = totals.log_loss_of_answers();
            let found = head.part_by_part(tape, &x, &options, labels, weights, answers)?;
            if let Some((loss, answers)) = found {
                let loss = tape.regularized(&loss)?;
                let found = Found::Answers(answers.as_ref());
                totals.add(&loss, batch.weight_of_loss(kind), found, batch)?;
                return Ok(loss);
            }
        }
        let output = self.last_for_loss(last, tape, &x, kind)?;
        let bad = |expected, found: &str| {
            Err(Error::Loss { loss: kind.name(), expected, found: found.into() })
        };
        let loss = match (&batch.targets, kind.of_classes()) {
            (BatchTargets::Classes(labels), Some(options)) => {
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
        let found = Found::Outputs(output.tensor());
        totals.add(&loss, batch.weight_of_loss(kind), found, batch)?;
        Ok(loss)
    }
}

/// A step: its first batch, and the keys drawn before it.
#[derive(Clone, Copy)]
struct Unseen {
    batch: usize,
    keys: u64,
}

/// A training as it goes.
struct Training<'a, 'f> {
    model: &'a Sequential,
    x: &'a Sequences,
    y: &'a Targets,
    options: Fit<'f>,
    /// The sequences to train on, in the order of this epoch.
    rows: Vec<usize>,
    validation_rows: Vec<usize>,
    loss: &'a Loss,
    /// The loss, if it is one of classes.
    classes: Option<&'a CrossEntropy>,
    metrics: &'a [Metric],
    rate: Rate<'a>,
    position: &'a mut Position,
    place: Place,
    totals: Totals,
    /// The loss of the last batch.
    last: Option<Var>,
    history: History,
    wishes: Wishes,
    progress: Progress,
    looked: Instant,
    /// The steps of which nobody has seen yet whether their gradients were finite.
    unseen: Vec<Unseen>,
}

impl Training<'_, '_> {
    fn run(mut self) -> Result<History> {
        // A loop of the user's own may have left gradients.
        self.model.params.zero_gradients()?;
        self.resume()?;
        self.model.params.set_guard(true)?;
        self.call(|callback, run| callback.begin(run))?;
        self.save()?;
        // A checkpoint of the step that stopped a training has the end of its epoch before it.
        let open = |place: &Place, wishes: &Wishes| wishes.stop.is_none() || place.batch > 0;
        while self.place.epoch < self.place.epochs && open(&self.place, &self.wishes) {
            let ended = self.epoch();
            if matches!(ended, Err(Error::Diverged { .. })) {
                self.call(|callback, run| callback.diverged(run))?;
            }
            ended?;
        }
        if let Some(average) = &mut self.options.average {
            // Where no epoch was left.
            average.apply(&self.model.params)?;
        }
        self.call(|callback, run| callback.end(run))?;
        self.save()?;
        if let Some(reason) = &self.wishes.stop {
            self.progress.say(&format!("stopped: {reason}"));
        }
        self.history.stopped = self.wishes.stop;
        Ok(self.history)
    }

    /// Calls all callbacks.
    fn call(&mut self, f: impl Fn(&mut dyn Callback, &mut Run<'_>) -> Result<()>) -> Result<()> {
        let mut callbacks = std::mem::take(&mut self.options.callbacks);
        let validates = self.options.validation.is_some() || !self.validation_rows.is_empty();
        let result = callbacks.iter_mut().try_for_each(|callback| {
            let mut run = Run {
                model: self.model,
                optimizer: &mut *self.rate.optimizer,
                history: &self.history,
                metrics: self.metrics,
                totals: &self.totals,
                loss: self.last.as_ref(),
                place: self.place,
                validates,
                base_rate: &mut self.rate.base,
                factor: self.rate.factor,
                wishes: &mut self.wishes,
            };
            let called = f(callback.as_mut(), &mut run);
            for (name, value) in self.wishes.logged.drain(..) {
                if let Some(epoch) = self.history.epochs.last_mut() {
                    epoch.add(name, value);
                }
            }
            called
        });
        self.options.callbacks = callbacks;
        result
    }

    /// Runs an epoch, or the rest of one.
    fn epoch(&mut self) -> Result<()> {
        let began = Instant::now();
        self.progress.begin(self.place.epoch);
        if self.options.shuffle {
            let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
            rng.set_stream(self.position.epochs);
            self.rows.sort_unstable();
            self.rows.shuffle(&mut rng);
        }
        if self.place.batch == 0 {
            self.totals = self.model.totals(self.loss, self.metrics)?;
        }
        if let Some(average) = &mut self.options.average {
            average.restore(&self.model.params)?;
        }
        let before = self.place.batch;
        while self.place.batch < self.place.batches && self.wishes.stop.is_none() {
            self.step()?;
        }
        self.look()?;
        let training = self.totals.read()?;
        if !training.loss.is_finite() {
            return Err(self.diverged(None, "the loss".into()));
        }
        let steps = (self.place.batch - before) * self.options.batch_size;
        let samples_per_second = steps.min(self.rows.len()) as f32 / began.elapsed().as_secs_f32();
        if let Some(average) = &mut self.options.average {
            average.apply(&self.model.params)?;
        }
        let validation = self.validate()?;
        if let Some(average) = &mut self.options.average {
            average.observe(validation.as_ref().unwrap_or(&training).loss);
        }
        let learning_rate = self.rate.optimizer.learning_rate();
        let done = Epoch { training, validation, samples_per_second, learning_rate };
        self.progress.end(self.place.epoch, &done);
        self.history.epochs.push(done);
        self.position.epochs += 1;
        self.call(|callback, run| callback.after_epoch(run))?;
        self.place.epoch += 1;
        self.place.batch = 0;
        self.save()
    }

    /// The sequences of a batch of this epoch.
    fn batch_rows(&self, batch: usize) -> &[usize] {
        let size = self.options.batch_size;
        let end = (batch + 1).saturating_mul(size).min(self.rows.len());
        self.rows.get(batch * size..end).unwrap_or_default()
    }

    /// The batches of a step that begins with this one.
    fn batches_of_step(&self, first: usize) -> Range<usize> {
        first..first.saturating_add(self.options.accumulate).min(self.place.batches)
    }

    fn batch(&self, batch: usize) -> Result<Batch> {
        let counting = Counting {
            samples: self.options.sample_weights,
            classes: self.classes,
            ..self.model.counting()
        };
        let device = self.model.params.device();
        let rows = self.batch_rows(batch);
        batch::batch(self.x, Some(self.y), self.model.rows(), rows, counting, &device)
    }

    /// Makes a step of the optimizer, by the gradients of one batch or of several.
    fn step(&mut self) -> Result<()> {
        let (model, params) = (self.model, &self.model.params);
        let batches = self.batches_of_step(self.place.batch);
        self.unseen.push(Unseen { batch: batches.start, keys: params.draws().1 });
        let samples: usize = batches.clone().map(|batch| self.batch_rows(batch).len()).sum();
        let made = batches.clone().map(|batch| self.batch(batch)).collect::<Result<Vec<_>>>()?;
        self.last = model.add_gradients(&made, self.loss, &mut self.totals)?;
        self.rate.set(self.options.schedule.as_deref(), self.place.steps);
        self.call(|callback, run| callback.before_step(run))?;
        if let Some(clip) = self.options.clip {
            params.clip_gradients(clip)?;
        }
        self.rate.optimizer.step(params)?;
        if let Some(average) = &mut self.options.average {
            average.update(params)?;
        }
        params.device().submit()?;
        self.place.batch = batches.end;
        self.place.steps += 1;
        self.position.steps = self.place.steps;
        if self.looked.elapsed() >= LOOK {
            self.look()?;
        }
        self.call(|callback, run| callback.after_step(run))?;
        self.save()?;
        if self.progress.advance(samples) {
            self.progress.show(&self.totals.glance()?);
        }
        Ok(())
    }

    fn validate(&self) -> Result<Option<Evaluation>> {
        let evaluate = |(x, y): (&Sequences, &Targets), rows: &[usize], samples| {
            // Validation starts without a state; training then resumes with its own.
            let _aside = Aside::new(self.model);
            let measured = (self.loss, self.metrics);
            self.model.evaluate_rows(x, y, rows, samples, self.options.batch_size, measured)
        };
        match self.options.validation {
            Some(data) => evaluate(data, &(0..data.0.len()).collect::<Vec<_>>(), None).map(Some),
            None if self.validation_rows.is_empty() => Ok(None),
            None => {
                let samples = self.options.sample_weights;
                evaluate((self.x, self.y), &self.validation_rows, samples).map(Some)
            }
        }
    }
}

/// Ends the guard of a training when this is dropped.
struct Unguarded<'a>(&'a Sequential);

impl Drop for Unguarded<'_> {
    fn drop(&mut self) {
        // Without a guard nothing is allocated, so this cannot fail.
        let _ = self.0.params.set_guard(false);
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
