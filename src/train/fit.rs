//! The options of a training, and what it gives.

use crate::Result;
use crate::check::check_positive;
use crate::data::{Sequences, Targets};
use crate::loss::{self, CrossEntropy};

/// What a training makes small: the name of one of the losses in [`crate::loss`], which loops of your own
/// compute there. For a loss of your own take such a loop: see [`crate::Tape::custom`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// Between one class of several and a softmax, or logits: Keras'
    /// `sparse_categorical_crossentropy`.
    CrossEntropy,
    /// The same with options: smoothing, class weights, a label that does not count.
    CrossEntropyWith(CrossEntropy),
    /// Between values of 0 and 1 and a sigmoid, or logits: Keras' `binary_crossentropy`.
    BinaryCrossEntropy,
    /// Between numbers.
    MeanSquaredError,
    /// Between numbers, of which some are far off.
    MeanAbsoluteError,
    /// Squared up to a difference of `delta`, linear from there on.
    Huber {
        /// Above 0: 1 in Keras and PyTorch.
        delta: f32,
    },
    /// The pinball loss: the model learns this quantile of the targets.
    Quantile {
        /// Between 0 and 1.
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

    /// Its cross-entropy between classes, if it is one.
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

/// What is measured besides the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metric {
    /// The share of right answers: with a cross-entropy, where the likeliest class is the right
    /// one; with a binary one, where 0.5 parts right from wrong.
    Accuracy,
}

impl Metric {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
        }
    }
}

/// How to train.
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

    /// How often all sequences are gone through.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Sequences in a step of training.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Keeps this share of the sequences for validation: the last of them, before any shuffling,
    /// as Keras does.
    pub fn validation_split(mut self, share: f32) -> Self {
        self.validation_split = share;
        self
    }

    /// Validates on these sequences.
    pub fn validation_data(mut self, x: &'a Sequences, y: &'a Targets) -> Self {
        self.validation = Some((x, y));
        self
    }

    /// How much each sequence counts, its frames included: Keras' `sample_weight`. Loss and metrics
    /// are weighted means, in training and over the share of [`Fit::validation_split`]; over
    /// [`Fit::validation_data`] all sequences count the same.
    pub fn sample_weights(mut self, weights: &'a [f32]) -> Self {
        self.sample_weights = Some(weights);
        self
    }

    /// Whether each epoch goes through the sequences in an order of its own.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// The seed of that order. The same seed on the same device gives the same weights, bit for
    /// bit.
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
    /// In the order that `compile` got them.
    pub metrics: Vec<f32>,
}

/// One epoch of a training.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Epoch {
    /// Over the epoch's batches, each before its step.
    pub training: Evaluation,
    /// After the epoch.
    pub validation: Option<Evaluation>,
    /// Sequences trained on each second.
    pub samples_per_second: f32,
}

/// All epochs of a training.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct History {
    /// The epochs, in order.
    pub epochs: Vec<Epoch>,
}
