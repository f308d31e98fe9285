//! Training a model: epochs, batches, steps.

mod checkpoint;
mod diagnosis;
mod of_batch;
mod rate;

use super::callback::Callback;
use super::check::{Parts, operation};
use super::evaluate::Totals;
use super::feed::{Feed, Next, Order, Plan, no_data};
use super::history::{Epoch, Evaluation, History};
use super::run::{Place, Run, Wishes};
use super::sequential::{Position, Sequential, Trainer};
use super::{Fit, Loss, Metric, Progress};
use crate::autograd::Var;
use crate::data::{Origin, Sequences, Source, Targets};
use crate::nn::LayerState;
use crate::{Error, Result};
use rate::Rate;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
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
    /// [`Error::Token`] and [`Error::NotFinite`] for what the model or its loss does not take, within
    /// [`Error::At`] where it is in a frame of a sequence or in the validation data;
    /// [`Error::Option`] for an option that makes no sense, [`Error::Unsupported`] for two that do not
    /// go together, [`Error::Count`] if there is not one of the sample weights for each sequence;
    /// [`Error::State`] if a stateful layer remembers other rows; [`Error::Loss`] if the loss fits
    /// neither the targets nor the last layer; [`Error::Diverged`] if a gradient or the loss is no longer
    /// finite; [`Error::Layer`]; and those of the layers' builds and of the device. Data are checked before
    /// the first step; after a later error the parameters keep the steps made so far.
    pub fn fit(&mut self, x: &Sequences, y: &Targets, options: Fit<'_>) -> Result<History> {
        self.train(Origin::Memory { x, y: Some(y), weights: options.sample_weights }, options)
    }

    /// As [`Sequential::fit`], on data that need not lie in memory: a reference to a [`crate::data::Dataset`] or
    /// an [`crate::data::IterableDataset`]. Threads load the next batches while the device works:
    /// [`Fit::workers`].
    ///
    /// The same samples give the same bits as sequences in memory do. All options hold, but
    /// [`Fit::sample_weights`], since samples bring their own; [`Fit::validation_split`] and
    /// [`Fit::bucket_by_length`] need samples by index. A training that goes on from a checkpoint loads the
    /// batches that are left of an epoch; a stream is passed over up to there.
    ///
    /// [`History::warnings`] tells of the options alone.
    ///
    /// ```
    /// use wgpu_lstm::data::{IterableDataset, Sample};
    /// use wgpu_lstm::prelude::*;
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(Dense::new(2));
    /// model.compile(Adam::default(), Loss::CrossEntropy, &[]);
    /// let counts = IterableDataset::new(1, |_| {
    ///     let sample = |i: u32| Ok(Sample::new([i as f32, 1.0]).targets(Targets::classes([i % 2])));
    ///     Ok((0..20).map(sample))
    /// });
    /// let fit = Fit::new().batch_size(8).validation_dataset(&counts).quiet();
    /// assert!(model.fit_dataset(&counts, fit)?.epochs[0].validation.is_some());
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Sequential::fit`]. What is wrong with a sample is [`Error::Sample`], with its index, when its
    /// batch is due: the parameters then keep the steps made so far. So are errors and panics of the data set.
    /// [`Error::Unsupported`] for an option that the data cannot serve, [`Error::Empty`] if they have no samples.
    pub fn fit_dataset<'d>(
        &mut self,
        data: impl Into<Source<'d>>,
        options: Fit<'_>,
    ) -> Result<History> {
        let data = match data.into().0 {
            Origin::Memory { x, y: Some(y), .. } => return self.fit(x, y, options),
            data => data,
        };
        self.train(data, options)
    }

    fn train(&mut self, data: Origin<'_>, options: Fit<'_>) -> Result<History> {
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
            let parts = self.split(data, &options, &loss)?;
            self.check_metrics(&loss, &metrics)?;
            let told = self.width() > 0;
            self.build(data.features())?;
            if !told {
                // Only now it is known which classes there are, and of how many values a target is.
                self.check_origins(data, &options, &loss)?;
            }
            if let Some(precision) = options.precision {
                self.params.set_precision(precision);
            }
            let Trainer { optimizer, position } = &mut trainer;
            let mut warnings = match data {
                Origin::Memory { x, y: Some(y), .. } => self.unusual(x, y, &loss),
                _ => Vec::new(),
            };
            warnings.extend(self.unusual_options(&options, position.steps, optimizer.as_ref()));
            let samples = match data {
                Origin::Stream(stream) => stream.most(),
                _ => Some(parts.training.len()),
            };
            let progress = Progress::new(options.epochs, samples, options.quiet);
            for warning in &warnings {
                log::warn!("{warning}");
                progress.say(&format!("warning: {warning}"));
            }
            let training = Training {
                model: self,
                data,
                parts,
                feed: None,
                loss: &loss,
                metrics: &metrics,
                totals: self.totals(&loss, &metrics)?,
                last: None,
                rate: Rate::new(optimizer.as_mut()),
                place: Place { epochs: options.epochs, steps: position.steps, ..Place::default() },
                position,
                progress,
                samples: 0,
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
    data: Origin<'a>,
    parts: Parts,
    options: Fit<'f>,
    /// The batches of this epoch.
    feed: Option<Arc<Feed<'a>>>,
    /// The sequences of this epoch that were trained on since it began here.
    samples: usize,
    loss: &'a Loss,
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

impl<'a> Training<'a, '_> {
    fn run(mut self) -> Result<History> {
        // A loop of the user's own may have left gradients.
        self.model.params.zero_gradients()?;
        self.resume()?;
        self.place.batches = self.feed()?.batches();
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
        let validates = self.options.validation.is_some() || !self.parts.validation.is_empty();
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
        let feed = Arc::new(self.feed()?);
        self.feed = Some(Arc::clone(&feed));
        self.place.batches = feed.batches();
        self.samples = 0;
        if self.place.batch == 0 {
            self.totals = self.model.totals(self.loss, self.metrics)?;
        }
        if let Some(average) = &mut self.options.average {
            average.restore(&self.model.params)?;
        }
        feed.run(self.place.batch, self.options.workers, |next| {
            while self.wishes.stop.is_none() && self.step(&feed, next)? {}
            self.look()
        })?;
        if self.place.batch == 0 && self.wishes.stop.is_none() {
            return Err(no_data(self.data.features(), feed.op));
        }
        let training = self.totals.read()?;
        if !training.loss.is_finite() {
            return Err(self.diverged(None, "the loss".into()));
        }
        let samples_per_second = self.samples as f32 / began.elapsed().as_secs_f32();
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

    /// The batches of the epoch that comes.
    fn feed(&self) -> Result<Feed<'a>> {
        let Fit { seed, shuffle, buckets, .. } = self.options;
        let (size, epoch) = (self.options.size(), self.position.epochs);
        let plan = match self.data {
            Origin::Stream(_) => Plan::Stream { size, epoch, seed: shuffle.then_some(seed) },
            _ => {
                let shuffle = shuffle.then_some((seed, epoch));
                let rows = self.parts.training.clone();
                Plan::Order(Order::new(rows, &self.parts.lengths[0], size, buckets, shuffle)?)
            }
        };
        let op = operation(self.data, "fit");
        Ok(Feed::new(self.model, self.data, plan, Some(self.loss), op))
    }

    /// Makes a step of the optimizer, by the gradients of one batch or of several. Returns whether there was a
    /// batch left.
    fn step(&mut self, feed: &Feed<'a>, next: &mut Next<'_, 'a>) -> Result<bool> {
        let (model, params) = (self.model, &self.model.params);
        let (mut made, mut samples) = (Vec::new(), 0);
        while made.len() < self.options.accumulate
            && let Some(part) = next()?
        {
            samples += part.rows.len();
            made.push(feed.batch(&part)?);
        }
        if made.is_empty() {
            return Ok(false);
        }
        self.unseen.push(Unseen { batch: self.place.batch, keys: params.draws().1 });
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
        self.place.batch += made.len();
        self.samples += samples;
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
        Ok(true)
    }

    fn validate(&self) -> Result<Option<Evaluation>> {
        let (data, rows, lengths) = match self.options.validation {
            Some(data) => (data, 0..data.len().unwrap_or(0), &self.parts.lengths[1]),
            None if self.parts.validation.is_empty() => return Ok(None),
            None => (self.data, self.parts.validation.clone(), &self.parts.lengths[0]),
        };
        let size = self.options.size();
        let op = operation(data, "validation");
        let plan = match data {
            Origin::Stream(_) => Plan::Stream { size, epoch: 0, seed: None },
            _ => Plan::Order(Order::new(rows, lengths, size, None, None)?),
        };
        // Validation starts without a state; training then resumes with its own.
        let _aside = Aside::new(self.model);
        let feed = Feed::new(self.model, data, plan, Some(self.loss), op);
        feed.evaluate(self.options.workers, self.metrics).map(Some)
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
pub(super) struct Aside<'a>(&'a Sequential, Vec<LayerState>);

impl<'a> Aside<'a> {
    pub(super) fn new(model: &'a Sequential) -> Self {
        Self(model, model.swap_states(Vec::new()))
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.swap_states(std::mem::take(&mut self.1));
    }
}
