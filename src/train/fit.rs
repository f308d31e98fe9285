//! The options of a training, and its results.

use crate::Result;
use crate::check::check_positive;
use crate::data::{Sequences, Targets};
use crate::loss::{self, CrossEntropy};

/// The loss that a training minimizes: the name of one in [`crate::loss`], where loops of your own compute
/// it. A loss of your own needs such a loop: see [`crate::Tape::custom`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// The cross-entropy between one class of several and a softmax, or logits: Keras'
    /// `sparse_categorical_crossentropy`.
    CrossEntropy,
    /// A cross-entropy with options: smoothing, class weights, a label that does not count.
    CrossEntropyWith(CrossEntropy),
    /// The cross-entropy between values from 0 to 1 and a sigmoid, or logits: Keras'
    /// `binary_crossentropy`.
    BinaryCrossEntropy,
    /// The mean of the squared differences.
    MeanSquaredError,
    /// The mean of the absolute differences, which outliers affect less.
    MeanAbsoluteError,
    /// Huber's loss: squared up to a difference of `delta`, linear beyond.
    Huber {
        /// The difference at which the loss becomes linear, above 0: 1 in Keras and PyTorch.
        delta: f32,
    },
    /// The pinball loss: the model learns this quantile of the targets.
    Quantile {
        /// The quantile, between 0 and 1.
        quantile: f32,
    },
}

impl Loss {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CrossEntropy | Self::CrossEntropyWith(_) => "Loss::CrossEntropy",
            Self::BinaryCrossEntropy => "Loss::BinaryCrossEntropy",
            Self::MeanSquaredError => "Loss::MeanSquaredError",
            Self::MeanAbsoluteError => "Loss::MeanAbsoluteError",
            Self::Huber { .. } => "Loss::Huber",
            Self::Quantile { .. } => "Loss::Quantile",
        }
    }

    /// The options of a cross-entropy between classes; `None` for any other loss.
    pub(crate) fn of_classes(&self) -> Option<CrossEntropy> {
        match self {
            Self::CrossEntropy => Some(CrossEntropy::new()),
            Self::CrossEntropyWith(options) => Some(options.clone()),
            _ => None,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::CrossEntropyWith(options) => options.check(),
            Self::Huber { delta } => check_positive("Huber::delta", *delta),
            Self::Quantile { quantile } => loss::check_quantile(*quantile),
            _ => Ok(()),
        }
    }
}

/// A number that is measured besides the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metric {
    /// The share of right answers. With a cross-entropy the likeliest class counts; with a binary one the
    /// threshold is 0.5.
    Accuracy,
}

impl Metric {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
        }
    }
}

/// The options of a training.
///
/// ```
/// use wgpu_lstm::train::Fit;
/// let fit = Fit::new().epochs(10).batch_size(32).validation_split(0.2);
/// # let _ = fit;
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `Sequential::fit` has them"]
pub struct Fit<'a> {
    pub(crate) epochs: usize,
    pub(crate) batch_size: usize,
    pub(crate) validation_split: f32,
    pub(crate) validation: Option<(&'a Sequences, &'a Targets)>,
    pub(crate) sample_weights: Option<&'a [f32]>,
    pub(crate) shuffle: bool,
    pub(crate) seed: u64,
    pub(crate) quiet: bool,
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Self {
            epochs: 1,
            batch_size: 32,
            validation_split: 0.0,
            validation: None,
            sample_weights: None,
            shuffle: true,
            seed: 0,
            quiet: false,
        }
    }
}

impl<'a> Fit<'a> {
    /// One epoch in batches of 32, shuffled with the seed 0: Keras' defaults.
    pub fn new() -> Self {
        Self::default()
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

    /// Reserves this share of the sequences for validation: the last of them, before any shuffling, as Keras
    /// does.
    pub fn validation_split(mut self, share: f32) -> Self {
        self.validation_split = share;
        self
    }

    /// Validates on these sequences.
    pub fn validation_data(mut self, x: &'a Sequences, y: &'a Targets) -> Self {
        self.validation = Some((x, y));
        self
    }

    /// Sets the weight of each sequence, which all its frames have: Keras' `sample_weight`. Loss and metrics
    /// are weighted means, in training and over the share of [`Fit::validation_split`]; over
    /// [`Fit::validation_data`] all sequences weigh the same.
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
    /// bit. Each call shuffles by it from its first epoch on: who fits one epoch at a time gives each a seed
    /// of its own.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Prints nothing.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }
}

/// The loss and the metrics over some sequences.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// The mean loss.
    pub loss: f32,
    /// The metrics, in the order in which `compile` got them.
    pub metrics: Vec<f32>,
}

/// One epoch of a training.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Epoch {
    /// The loss and metrics over the epoch's batches, each before its step.
    pub training: Evaluation,
    /// The loss and metrics over the validation data, after the epoch.
    pub validation: Option<Evaluation>,
    /// The sequences trained on per second.
    pub samples_per_second: f32,
}

/// All epochs of a training.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct History {
    /// The epochs, in order.
    pub epochs: Vec<Epoch>,
}
