//! The losses that a training minimizes, by name.

use crate::Result;
use crate::check::check_positive;
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
