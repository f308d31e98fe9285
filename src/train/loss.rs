//! The losses that a training minimizes, by name.

use crate::Result;
use crate::check::check_positive;
use crate::loss::{self, BinaryCrossEntropy, CrossEntropy, Ctc, Distribution};

/// The loss that a training minimizes: the name of one in [`crate::loss`], where loops of your own compute
/// it. A loss of your own needs such a loop: see [`crate::Tape::custom`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// The cross-entropy between one class of several and a softmax, or logits: with
    /// [`Targets::classes`](crate::data::Targets::classes) Keras' `sparse_categorical_crossentropy`, with
    /// [`Targets::probabilities`](crate::data::Targets::probabilities) its `categorical_crossentropy`. Of a model that
    /// ends in a [`Crf`](crate::nn::Crf) it is that of whole paths of tags.
    CrossEntropy,
    /// A cross-entropy with options: smoothing, class weights, a label that does not count.
    CrossEntropyWith(CrossEntropy),
    /// The cross-entropy between values from 0 to 1 and a sigmoid, or logits: Keras'
    /// `binary_crossentropy`.
    BinaryCrossEntropy,
    /// A binary cross-entropy with weights of its classes: PyTorch's `pos_weight`, Keras' `class_weight`.
    BinaryCrossEntropyWith(BinaryCrossEntropy),
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
    /// The mean of the pinball losses of several quantiles of each target, for forecasts with an interval. The
    /// quantiles are between 0 and 1, each above the one before it.
    ///
    /// The last layer has an output for each quantile of each target: with two targets and the quantiles 0.1, 0.5,
    /// 0.9 six outputs, the three of the first target first. [`crate::loss::quantiles`] says what there is about
    /// quantiles that cross. Metrics of numbers are taken of the quantile 0.5, and
    /// [`Metric::Coverage`](super::Metric::Coverage) and
    /// [`Metric::IntervalWidth`](super::Metric::IntervalWidth) of two quantiles.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Sequential, data::{Sequences, Targets}, nn::{Dense, Lstm}};
    /// use wgpu_lstm::train::{Adam, Fit, Loss, Metric};
    /// let x = Sequences::from_array(&[0.5; 8 * 4], [8, 4, 1])?;
    /// let y = Targets::values([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], 1);
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(Dense::new(3));
    /// // The interval in which 80 % of the targets are to lie.
    /// let coverage = Metric::Coverage { lower: 0, upper: 2 };
    /// model.compile(Adam::default(), Loss::Quantiles(vec![0.1, 0.5, 0.9]), &[coverage]);
    /// model.fit(&x, &y, Fit::new().quiet())?;
    /// let forecast = model.predict(&x)?;
    /// let [low, middle, high] = [0, 1, 2].map(|j| forecast.column(j));
    /// assert_eq!((low.len(), middle.len(), high.len()), (8, 8, 8));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    Quantiles(Vec<f32>),
    /// The negative log likelihood of the targets, by a distribution whose parameters the model predicts: for
    /// forecasts that say how sure they are, counts among them, and for densities with several peaks. The last layer
    /// has [`Distribution::outputs`] units and no activation. No metric goes with it; the loss is one, and
    /// [`Distribution::mean`] and [`Distribution::quantile`] give numbers for [`super::metrics`].
    Likelihood(Distribution),
    /// Connectionist temporal classification: the targets are [`Targets::sequences`](crate::data::Targets::sequences),
    /// labels in their order without a place in time, and the model gives logits, or a softmax, of the labels and the
    /// blank at each timestep. The number of timesteps may be another than that of the frames, as after a pool over time.
    /// PyTorch's `ctc_loss` with the reduction `mean`.
    ///
    /// A model of one direction may say a label well before its end, and needs more data than where it is known which
    /// frame is what: then train by frames, with [`Loss::CrossEntropy`].
    ///
    /// [`Metric::ErrorRate`](super::Metric::ErrorRate) and [`Metric::EditDistance`](super::Metric::EditDistance) measure
    /// the labels that [`Ctc::greedy`] reads; [`Prediction::emissions`](super::Prediction::emissions) is for that and
    /// for [`Ctc::beam_search`].
    ///
    /// ```
    /// use wgpu_lstm::loss::Ctc;
    /// use wgpu_lstm::prelude::*;
    ///
    /// // A bump upwards is a 1, one downwards a 2; when they come is not said.
    /// let x = [0., 1., 1., 0., -1., 0., 0., -1., 0., 0., 1., 0.];
    /// let (x, y) = (Sequences::from_array(&x, [2, 6, 1])?, Targets::sequences([[1, 2], [2, 1]]));
    /// let mut model = Sequential::new(&Device::auto()?)
    ///     .add(Lstm::new(8).return_sequences())
    ///     .add(Dense::new(3)); // two labels and the blank
    /// let ctc = Ctc::new();
    /// model.compile(Adam::new(0.05), Loss::Ctc(ctc), &[Metric::ErrorRate]);
    /// model.fit(&x, &y, Fit::new().epochs(60).quiet())?;
    /// assert_eq!(model.evaluate(&x, &y)?.metrics, [0.0]);
    /// let said = ctc.greedy(&model.predict(&x)?.emissions()?)?;
    /// assert_eq!([said[0].labels(), said[1].labels()], [[1, 2], [2, 1]]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    Ctc(Ctc),
}

impl Loss {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CrossEntropy | Self::CrossEntropyWith(_) => "Loss::CrossEntropy",
            Self::BinaryCrossEntropy | Self::BinaryCrossEntropyWith(_) => {
                "Loss::BinaryCrossEntropy"
            }
            Self::MeanSquaredError => "Loss::MeanSquaredError",
            Self::MeanAbsoluteError => "Loss::MeanAbsoluteError",
            Self::Huber { .. } => "Loss::Huber",
            Self::Quantile { .. } => "Loss::Quantile",
            Self::Quantiles(_) => "Loss::Quantiles",
            Self::Likelihood(_) => "Loss::Likelihood",
            Self::Ctc(_) => "Loss::Ctc",
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

    /// Whether it is between yes or no and a sigmoid.
    pub(crate) fn is_binary(&self) -> bool {
        matches!(self, Self::BinaryCrossEntropy | Self::BinaryCrossEntropyWith(_))
    }

    /// The options of the loss of sequences of labels; `None` for any other loss.
    pub(crate) fn ctc(&self) -> Option<&Ctc> {
        match self {
            Self::Ctc(options) => Some(options),
            _ => None,
        }
    }

    /// Whether it takes logits, and a model's outputs are such.
    pub(crate) fn of_logits(&self) -> bool {
        self.is_binary() || self.of_classes().is_some() || self.ctc().is_some()
    }

    /// The quantiles that there are outputs for of each target; none for any other loss.
    pub(crate) fn quantiles(&self) -> &[f32] {
        match self {
            Self::Quantiles(quantiles) => quantiles,
            _ => &[],
        }
    }

    /// The distribution that there are outputs for the parameters of; `None` for any other loss.
    pub(crate) fn distribution(&self) -> Option<Distribution> {
        match self {
            Self::Likelihood(distribution) => Some(*distribution),
            _ => None,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::CrossEntropyWith(options) => options.check(),
            Self::BinaryCrossEntropyWith(options) => options.check(),
            Self::Huber { delta } => check_positive("Huber::delta", *delta),
            Self::Quantile { quantile } => loss::check_quantile(*quantile),
            Self::Quantiles(quantiles) => loss::check_quantiles(quantiles),
            Self::Likelihood(distribution) => distribution.check(),
            Self::Ctc(options) => options.check(),
            _ => Ok(()),
        }
    }
}
