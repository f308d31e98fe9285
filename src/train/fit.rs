//! The options of a training.

use super::average::Averaging;
use super::callback::{Callback, MaxSteps, MaxTime, OfEpochs};
use super::feed::Size;
use super::run::Run;
use super::schedule::Schedule;
use crate::Result;
use crate::autograd::{Clip, Precision};
use crate::data::{Origin, Sequences, Source, Targets};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The options of a training.
///
/// ```
/// use wgpu_lstm::train::Fit;
/// let fit = Fit::new().epochs(10).batch_size(32).validation_split(0.2);
/// # let _ = fit;
/// ```
#[must_use = "options do nothing until `Sequential::fit` has them"]
pub struct Fit<'a> {
    pub(crate) epochs: usize,
    pub(crate) batch_size: usize,
    pub(crate) validation_split: f32,
    pub(crate) batch_frames: Option<usize>,
    pub(crate) buckets: Option<usize>,
    pub(crate) workers: usize,
    pub(crate) validation: Option<Origin<'a>>,
    pub(crate) sample_weights: Option<&'a [f32]>,
    pub(crate) shuffle: bool,
    pub(crate) seed: u64,
    pub(crate) quiet: bool,
    pub(crate) resume: Option<PathBuf>,
    pub(crate) accumulate: usize,
    pub(crate) clip: Option<Clip>,
    pub(crate) precision: Option<Precision>,
    pub(crate) average: Option<Box<dyn Averaging + 'a>>,
    pub(crate) schedule: Option<Box<dyn Schedule + 'a>>,
    pub(crate) callbacks: Vec<Box<dyn Callback + 'a>>,
}

impl fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fit").field("epochs", &self.epochs).finish_non_exhaustive()
    }
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Self {
            epochs: 1,
            batch_size: 32,
            batch_frames: None,
            buckets: None,
            workers: 1,
            validation_split: 0.0,
            validation: None,
            sample_weights: None,
            shuffle: true,
            seed: 0,
            quiet: false,
            resume: None,
            accumulate: 1,
            clip: None,
            precision: None,
            average: None,
            schedule: None,
            callbacks: Vec::new(),
        }
    }
}

impl<'a> Fit<'a> {
    /// One epoch in batches of 32, shuffled with the seed 0: Keras' defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// When a batch is full.
    pub(super) fn size(&self) -> Size {
        match self.batch_frames {
            Some(frames) => Size::Frames(frames),
            None => Size::Sequences(self.batch_size),
        }
    }

    /// Sets the number of passes over all sequences.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Sets the number of sequences of a training step.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Makes batches of so many frames at most, padding included, instead of [`Fit::batch_size`] sequences: as
    /// many sequences as come next and fit, so that a batch of long ones has fewer. The work of a step and its
    /// memory are then about the same whatever the lengths: fairseq's `max_tokens`. It holds for validation, too.
    ///
    /// Data of [`crate::Sequential::fit_dataset`] must tell their lengths ([`crate::data::Dataset::frames`]) or be
    /// a stream. A sequence that is longer is an error; so is a stateful layer.
    ///
    /// ```
    /// use wgpu_lstm::train::Fit;
    /// let fit = Fit::new().batch_frames(4096).bucket_by_length(20);
    /// # let _ = fit;
    /// ```
    pub fn batch_frames(mut self, frames: usize) -> Self {
        self.batch_frames = Some(frames);
        self
    }

    /// Makes batches of sequences of similar lengths, which need little padding: `tf.data`'s
    /// `bucket_by_sequence_length`. The sequences to train on are divided by their lengths into so many buckets of
    /// as many sequences each. For each epoch the sequences are shuffled within their bucket, cut into batches,
    /// and the batches are shuffled; all by [`Fit::seed`] and the epoch. Without [`Fit::shuffle`] the batches go
    /// from the shortest to the longest.
    ///
    /// More buckets need less padding, and make the batches of one epoch more like those of another. There are
    /// as many batches as without: one at the edge of two buckets has sequences of both. Validation keeps its
    /// order.
    ///
    /// Data of [`crate::Sequential::fit_dataset`] must tell their lengths ([`crate::data::Dataset::frames`]). A
    /// stateful layer is an error.
    pub fn bucket_by_length(mut self, buckets: usize) -> Self {
        self.buckets = Some(buckets);
        self
    }

    /// Sets how many threads load the samples of [`crate::Sequential::fit_dataset`] while the device works: 1 by
    /// default, PyTorch's `num_workers`. Each has at most two batches ready or at work, which is what the data
    /// take in memory besides the batch that is being used. Order and bits do not depend on the number. For
    /// 0, and where there are no threads, samples are loaded in place; a stream is read by one thread at most.
    ///
    /// There are at most as many as batches, and 256. No thread outlives `fit`, which waits for those that are in
    /// [`crate::data::Dataset::get`] or wait for a sample of a stream: where that may take for ever, take 0.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Reserves this share of the sequences for validation: the last of them, before any shuffling, as Keras
    /// does.
    pub fn validation_split(mut self, share: f32) -> Self {
        self.validation_split = share;
        self
    }

    /// Validates on these sequences.
    pub fn validation_data(mut self, x: &'a Sequences, y: &'a Targets) -> Self {
        self.validation = Some(Origin::Memory { x, y: Some(y), weights: None });
        self
    }

    /// Validates on the samples of a reference to a [`crate::data::Dataset`] or a
    /// [`crate::data::IterableDataset`], which are loaded as those of [`crate::Sequential::fit_dataset`] are.
    pub fn validation_dataset(mut self, data: impl Into<Source<'a>>) -> Self {
        self.validation = Some(data.into().0);
        self
    }

    /// Sets the weight of each sequence, which all its frames have: Keras' `sample_weight`. Loss and metrics
    /// are weighted means, in training and over the share of [`Fit::validation_split`]; over
    /// [`Fit::validation_data`] all sequences weigh the same. Samples of [`crate::Sequential::fit_dataset`]
    /// have their own: [`crate::data::Sample::weight`].
    pub fn sample_weights(mut self, weights: &'a [f32]) -> Self {
        self.sample_weights = Some(weights);
        self
    }

    /// Sets whether the sequences are shuffled anew for each epoch.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Sets the seed of [`Fit::shuffle`]. The same seed on the same device gives the same weights, bit for
    /// bit. Epochs are counted from [`crate::Sequential::compile`] on, whichever call of `fit` runs them: two
    /// epochs in one call and one in each of two give the same weights.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Goes on from a checkpoint, if there is a file of this name; else the training begins anew. A program that
    /// was killed and runs again ends with the bits of one that was not, if it asks for checkpoints
    /// ([`Run::save_checkpoint`]) of the same name.
    ///
    /// The model must be made and compiled as then; data, loss, metrics, options of the steps, whether weights are averaged, and the callbacks
    /// in their order must be the same. Groups of parameters ([`crate::nn::Params::group`]) and the schedule are no
    /// part of the file: set them as then. The learning rate is the file's. [`Fit::epochs`] counts from the
    /// beginning of the training that was saved, and may be larger than then; why a training stopped is not kept,
    /// so that one that ran out of its time goes on.
    pub fn resume(mut self, path: impl AsRef<Path>) -> Self {
        self.resume = Some(path.as_ref().to_owned());
        self
    }

    /// Sets how the learning rate goes with the steps: a [`Schedule`], or a closure from the number of a step
    /// to a factor of the optimizer's rate. Steps are counted from [`crate::Sequential::compile`] on, those of
    /// earlier calls of `fit` included.
    ///
    /// ```
    /// use wgpu_lstm::train::Fit;
    /// let warm_up = Fit::new().schedule(|step: u64| ((step + 1) as f32 / 100.0).min(1.0));
    /// # let _ = warm_up;
    /// ```
    pub fn schedule(mut self, schedule: impl Schedule + 'a) -> Self {
        self.schedule = Some(Box::new(schedule));
        self
    }

    /// Sets how many batches an optimizer's step takes (Keras: `gradient_accumulation_steps`), for large
    /// batches in the memory of small ones: all inputs of a step are on the device at once, but what layers
    /// keep for the backward pass is that of one batch.
    ///
    /// The gradient is that of one batch of all their rows: the mean of the batches' means, each weighted as
    /// it counts in [`super::Epoch::training`], by rows, frames, sample weights and classes. The last step of
    /// an epoch takes the batches that are left. Dropout draws for each batch. Schedules, callbacks of steps
    /// and [`Run::steps`] count steps, [`Run::batch`] counts batches.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.accumulate = batches;
        self
    }

    /// Limits the gradients of each step. Callbacks see them in [`Callback::before_step`] as they are before
    /// that.
    pub fn clip(mut self, clip: Clip) -> Self {
        self.clip = Some(clip);
        self
    }

    /// The precision of the steps, and of the model from then on; without it, what the model has. Where the device has
    /// no other, [`Precision::Full`] stays in effect: [`Params::precision`](crate::nn::Params::precision) tells.
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(16)).add(Dense::new(1));
    /// model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
    /// let x = Sequences::from_array(&[0.5; 32], [4, 8, 1])?;
    /// let y = Targets::values([0.0, 1.0, 1.0, 0.0], 1);
    /// model.fit(&x, &y, Fit::new().precision(Precision::Mixed).quiet())?;
    /// println!("trained in {:?} precision", model.params().precision());
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = Some(precision);
        self
    }

    /// Averages the weights over the steps: see [`super::Ema`] and [`super::Swa`].
    ///
    /// The model has the averages from the end of each epoch's steps on, for the validation and for
    /// [`Callback::after_epoch`], and again after `fit`; the steps themselves go on with the weights. Lend
    /// one average (`&mut ema`) to several calls of `fit`, which then continue as one: it keeps the weights
    /// where the model has the averages. A call without it in between trains the averages, and is lost with the
    /// next that has it; restore the weights before ([`Averaging::restore`]).
    pub fn average(mut self, average: impl Averaging + 'a) -> Self {
        self.average = Some(Box::new(average));
        self
    }

    /// Adds a callback, which runs after those before it: one of this crate, one of your own, or a mutable
    /// reference to either.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Calls `f` after each epoch.
    ///
    /// ```
    /// use wgpu_lstm::train::Fit;
    /// let fit = Fit::new().epochs(100).on_epoch(|run| {
    ///     if run.history().epochs.last().is_some_and(|epoch| epoch.training.loss < 0.01) {
    ///         run.stop("the loss is small enough");
    ///     }
    ///     Ok(())
    /// });
    /// # let _ = fit;
    /// ```
    pub fn on_epoch(self, f: impl FnMut(&mut Run<'_>) -> Result<()> + 'a) -> Self {
        self.callback(OfEpochs(f))
    }

    /// Stops after `steps` steps, at least 1, those before a checkpoint that this training resumes among
    /// them. [`crate::train::History::stopped`] says so.
    pub fn max_steps(self, steps: u64) -> Self {
        self.callback(MaxSteps { limit: steps, made: 0 })
    }

    /// Stops after the step during which this time has passed since `fit` began.
    /// [`crate::train::History::stopped`] says so.
    pub fn max_time(self, time: Duration) -> Self {
        self.callback(MaxTime { limit: time, began: Instant::now() })
    }

    /// Prints nothing.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }
}
