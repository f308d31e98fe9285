//! The metrics by name, and what each needs.

use super::average::Average;
use super::spans::SpanF1;
use crate::train::loss::Loss;
use crate::train::prediction::logit;
use crate::{Error, Result};

/// A number that is measured besides the loss, over an epoch or an evaluation.
///
/// Padding does not count, nor do rows whose label the loss ignores; the rest counts by its sample weight. All
/// are of the whole epoch at once, whatever the batches. Where nothing counts a metric is 0.
///
/// An output that is not a number is a wrong answer to the metrics that compare classes or tokens, and makes
/// all others NaN.
///
/// Metrics of classes go with [`Loss::CrossEntropy`]; those marked *(binary)* with
/// [`Loss::BinaryCrossEntropy`] too, where yes is a logit above 0, a probability above a half. Metrics of
/// numbers go with all other losses. x is the output, y the target; with [`Loss::Quantiles`] x is the output for the
/// quantile 0.5, which must be one of them, unless a metric says otherwise.
///
/// Of a model that ends in a [`Crf`](crate::nn::Crf) the classes are the tags of the likeliest path; `TopK`, `LogLoss`,
/// `Perplexity`, `RocAuc` and `AveragePrecision`, which compare what each frame says alone, are not for such models.
///
/// # Cost
/// Sums are made on the device, in one or two dispatches a step for all metrics. *(all outputs)* marks what
/// keeps the outputs on the device until the epoch ends, and is finished on the host then.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Metric {
    /// `accuracy` *(binary)*: the share of right answers. The likeliest class counts, of equals the first.
    Accuracy,
    /// `binary_accuracy` (binary alone): as `Accuracy`, where yes is a probability above the threshold,
    /// between 0 and 1: Keras' `BinaryAccuracy`.
    BinaryAccuracy {
        /// The probability above which the answer is yes.
        threshold: f32,
    },
    /// `top_5_accuracy` of `TopK(5)`: the share of rows whose class is among the k likeliest, of equals the
    /// first ones: Keras' `TopKCategoricalAccuracy`.
    TopK(usize),
    /// `precision` *(binary)*: of the answers with a class, the share that is right, tp / (tp + fp); 0
    /// without any.
    Precision(Average),
    /// `recall` *(binary)*: of the rows of a class, the share that is answered with it, tp / (tp + fn); 0
    /// without any.
    Recall(Average),
    /// `f1` *(binary)*: the harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn); 0 of 0 / 0. All
    /// three as in scikit-learn with `zero_division=0`.
    F1(Average),
    /// `mcc` *(binary, of one output)*: Matthews' coefficient of correlation between labels and answers, from
    /// -1 to 1 (Gorodkin 2004; scikit-learn's `matthews_corrcoef`); 0 where either is always the same.
    Mcc,
    /// `roc_auc` *(binary) (all outputs)*: the chance that a positive row has a higher score than a negative
    /// one: [`crate::train::metrics::roc_auc`]. Of several outputs or classes the mean over those that have both
    /// kinds of rows, each class against the rest (scikit-learn's `multi_class="ovr"`); NaN if none has.
    RocAuc,
    /// `average_precision` *(binary) (all outputs)*: the area under the curve of precision and recall:
    /// [`crate::train::metrics::average_precision`]. Of several outputs, or of more than two classes, the mean.
    AveragePrecision,
    /// `log_loss` *(binary)*: the mean of -log p of the right class, without the loss's smoothing and
    /// class weights (scikit-learn's `log_loss`).
    LogLoss,
    /// `perplexity`: exp of the log loss.
    Perplexity,
    /// `mae`: the mean of |x - y|.
    MeanAbsoluteError,
    /// `mse`: the mean of (x - y)².
    MeanSquaredError,
    /// `rmse`: the root of the mean of (x - y)².
    RootMeanSquaredError,
    /// `mape`: the mean of |x - y| / max(|y|, 2⁻⁵²): 1 is 100 %, as in scikit-learn.
    MeanAbsolutePercentageError,
    /// `smape`: the mean of 2 |x - y| / (|x| + |y|), from 0 to 2, and 0 where both are 0 (Makridakis 1993).
    SymmetricMeanAbsolutePercentageError,
    /// `mase`: the mean of |x - y|, over a scale (Hyndman & Koehler 2006).
    Mase {
        /// The mean absolute error of a simple forecast on the training data, above 0:
        /// [`crate::train::metrics::naive_error`].
        scale: f32,
    },
    /// `r2`: 1 less the sum of (x - y)² over that of (y - mean y)², averaged over the columns (scikit-learn's
    /// `r2_score`). A column without any spread has 1 if all of it is right, else 0; NaN of fewer than
    /// two rows.
    R2,
    /// `pinball`: the mean of `quantile` (y - x) where x is too small, else of (1 - `quantile`) (x - y)
    /// (Koenker & Bassett 1978). With [`Loss::Quantiles`] x are the outputs of that quantile.
    Pinball {
        /// The quantile, between 0 and 1.
        quantile: f32,
    },
    /// `crps`: the continuous ranked probability score of a model that predicts these quantiles, one in each
    /// column: twice the pinball loss, averaged over the quantiles (Gneiting & Ranjan 2011). With
    /// [`Loss::Quantiles`] these are the quantiles, of every target; with another loss each target is repeated in
    /// each column.
    Crps {
        /// The quantile of each column, between 0 and 1.
        quantiles: Vec<f32>,
    },
    /// `coverage`: the share of rows whose target, in the column `lower`, lies between the outputs of two
    /// columns, bounds included. With [`Loss::Quantiles`] two quantiles by their place, over all targets: those of
    /// 0.1 and 0.9 are to cover 0.8.
    Coverage {
        /// The column of the lower bound.
        lower: usize,
        /// The column of the upper bound, not before that of the lower.
        upper: usize,
    },
    /// `interval_width`: the mean of the difference of the outputs of two columns, the width of a forecast's
    /// interval: of two intervals that cover as much the narrower one says more. With [`Loss::Quantiles`] as
    /// `Coverage`. Below 0 quantiles cross.
    IntervalWidth {
        /// The column of the lower bound.
        lower: usize,
        /// The column of the upper bound, not before that of the lower.
        upper: usize,
    },
    /// `f1_at_0.3` of `F1(..)` and 0.3 (binary alone): a metric of yes and no where yes is a probability above a
    /// threshold. [`Metric::at`] makes it.
    At {
        /// [`Metric::Accuracy`], or one of precision, recall, F1 and Matthews' coefficient.
        metric: Box<Metric>,
        /// The probability above which the answer is yes, between 0 and 1.
        threshold: f32,
    },
    /// `edit_distance` *(all outputs)*: the mean over the sequences of the edits that make the labels of the
    /// likeliest classes (Levenshtein 1966), for models that give sequences. With [`Loss::Ctc`] the labels are what
    /// those classes spell, read greedily, and so for the two metrics below.
    EditDistance,
    /// `error_rate` *(all outputs)*: all edits over the length of all labels: a word or character error rate
    /// where these are the classes.
    ErrorRate,
    /// `bleu` *(all outputs)*: BLEU of the likeliest classes with up to 4 tokens, for models that give
    /// sequences (Papineni et al. 2002): [`crate::train::metrics::Bleu`].
    Bleu,
    /// `span_f1` *(all outputs)*: F1 of the spans that the likeliest tags make (CoNLL), for models that give
    /// sequences: [`crate::train::metrics::SpanF1`].
    SpanF1 {
        /// The name of each class: `O`, `B-X` or `I-X`.
        tags: Vec<String>,
    },
}

/// What the outputs of a model are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Logits of classes of which one is right.
    Classes,
    /// Logits of labels and a blank, along which a path spells labels.
    Labels,
    /// Logits of yes.
    Binary,
    /// Numbers.
    Numbers,
}

impl Family {
    pub(crate) fn of(loss: &Loss) -> Self {
        match loss {
            loss if loss.is_binary() => Self::Binary,
            loss if loss.of_classes().is_some() => Self::Classes,
            loss if loss.ctc().is_some() => Self::Labels,
            _ => Self::Numbers,
        }
    }
}

impl Metric {
    /// The same where yes is a probability above `threshold` instead of a half: Keras' `thresholds` of `Precision`
    /// and `Recall`. For [`Metric::Accuracy`], `Precision`, `Recall`, `F1` and `Mcc` with
    /// [`Loss::BinaryCrossEntropy`].
    ///
    /// ```
    /// use wgpu_lstm::train::{Average, Metric};
    /// // Of the rows that are yes, how many are found where 0.3 is enough?
    /// let recall = Metric::Recall(Average::Class(1)).at(0.3);
    /// assert!(matches!(recall, Metric::At { threshold: 0.3, .. }));
    /// ```
    #[must_use]
    pub fn at(self, threshold: f32) -> Self {
        Self::At { metric: self.into(), threshold }
    }

    /// The metric, and the logit above which the answer is yes.
    pub(super) fn and_cut(&self) -> (&Self, f32) {
        match self {
            Self::At { metric, threshold } => (metric, logit(*threshold)),
            Self::BinaryAccuracy { threshold } => (&Self::Accuracy, logit(*threshold)),
            _ => (self, 0.0),
        }
    }

    /// The name in [`crate::train::Evaluation::names`], unless a metric before it has it.
    pub(crate) fn name(&self) -> String {
        self.words().0
    }

    /// The names in [`crate::train::Evaluation::names`]: none twice.
    pub(crate) fn names(metrics: &[Self]) -> Vec<String> {
        let mut names: Vec<String> = Vec::with_capacity(metrics.len());
        for metric in metrics {
            let name = metric.name();
            let numbered = |n: usize| if n == 0 { name.clone() } else { format!("{name}_{n}") };
            let free = (0..=names.len()).map(numbered).find(|name| !names.contains(name));
            names.push(free.unwrap_or(name));
        }
        names
    }

    /// The name, and the path.
    fn words(&self) -> (String, &'static str) {
        let (name, path) = match self {
            Self::Accuracy => ("accuracy", "Metric::Accuracy"),
            Self::BinaryAccuracy { .. } => ("binary_accuracy", "Metric::BinaryAccuracy"),
            Self::TopK(k) => return (format!("top_{k}_accuracy"), "Metric::TopK"),
            Self::Precision(_) => ("precision", "Metric::Precision"),
            Self::Recall(_) => ("recall", "Metric::Recall"),
            Self::F1(_) => ("f1", "Metric::F1"),
            Self::Mcc => ("mcc", "Metric::Mcc"),
            Self::RocAuc => ("roc_auc", "Metric::RocAuc"),
            Self::AveragePrecision => ("average_precision", "Metric::AveragePrecision"),
            Self::LogLoss => ("log_loss", "Metric::LogLoss"),
            Self::Perplexity => ("perplexity", "Metric::Perplexity"),
            Self::MeanAbsoluteError => ("mae", "Metric::MeanAbsoluteError"),
            Self::MeanSquaredError => ("mse", "Metric::MeanSquaredError"),
            Self::RootMeanSquaredError => ("rmse", "Metric::RootMeanSquaredError"),
            Self::MeanAbsolutePercentageError => ("mape", "Metric::MeanAbsolutePercentageError"),
            Self::SymmetricMeanAbsolutePercentageError => {
                ("smape", "Metric::SymmetricMeanAbsolutePercentageError")
            }
            Self::Mase { .. } => ("mase", "Metric::Mase"),
            Self::R2 => ("r2", "Metric::R2"),
            Self::Pinball { .. } => ("pinball", "Metric::Pinball"),
            Self::Crps { .. } => ("crps", "Metric::Crps"),
            Self::Coverage { .. } => ("coverage", "Metric::Coverage"),
            Self::IntervalWidth { .. } => ("interval_width", "Metric::IntervalWidth"),
            Self::At { metric, threshold } => {
                return (format!("{}_at_{threshold}", metric.name()), "Metric::at");
            }
            Self::EditDistance => ("edit_distance", "Metric::EditDistance"),
            Self::ErrorRate => ("error_rate", "Metric::ErrorRate"),
            Self::Bleu => ("bleu", "Metric::Bleu"),
            Self::SpanF1 { .. } => ("span_f1", "Metric::SpanF1"),
        };
        (name.to_owned(), path)
    }

    /// Whether it compares sequences.
    pub(crate) fn of_sequences(&self) -> bool {
        matches!(self, Self::EditDistance | Self::ErrorRate | Self::Bleu | Self::SpanF1 { .. })
    }

    /// Whether it needs the scores of all rows.
    pub(crate) fn of_scores(&self) -> bool {
        matches!(self, Self::RocAuc | Self::AveragePrecision)
    }

    /// The classes of which precision, recall and F1 are taken, if it is one of them.
    fn average(&self) -> Option<Average> {
        match *self {
            Self::Precision(average) | Self::Recall(average) | Self::F1(average) => Some(average),
            _ => None,
        }
    }

    /// Whether it comes from how often each class was answered.
    pub(crate) fn of_counts(&self) -> bool {
        match self {
            Self::At { metric, .. } => metric.of_counts(),
            _ => self.average().is_some() || *self == Self::Mcc,
        }
    }

    /// Whether it compares classes, or yes and no, row by row.
    fn of_answers(&self) -> bool {
        matches!(self, Self::Accuracy | Self::LogLoss) || self.of_counts() || self.of_scores()
    }

    /// Whether it compares one output with each target.
    pub(super) fn of_numbers(&self) -> bool {
        matches!(
            self,
            Self::MeanAbsoluteError
                | Self::MeanSquaredError
                | Self::RootMeanSquaredError
                | Self::MeanAbsolutePercentageError
                | Self::SymmetricMeanAbsolutePercentageError
                | Self::Mase { .. }
                | Self::R2
        )
    }

    /// Checks its options, and that it fits the loss and the outputs: so many, 0 if that is not known yet;
    /// and whether the model gives sequences.
    pub(crate) fn check(&self, loss: &Loss, width: usize, sequences: bool) -> Result<()> {
        const CLASSES: &str = "Loss::CrossEntropy";
        const EITHER: &str = "Loss::CrossEntropy or Loss::BinaryCrossEntropy";
        const SEQUENCES: &str = "Loss::CrossEntropy or Loss::Ctc";
        const NUMBERS: &str = "a loss that compares numbers, such as Loss::MeanSquaredError";
        let family = Family::of(loss);
        let (fits, expected) = match self {
            Self::BinaryAccuracy { .. } | Self::At { .. } => {
                (family == Family::Binary, "Loss::BinaryCrossEntropy")
            }
            Self::TopK(_) | Self::Perplexity => (family == Family::Classes, CLASSES),
            Self::SpanF1 { .. } => (family == Family::Classes, CLASSES),
            _ if self.of_sequences() => {
                (matches!(family, Family::Classes | Family::Labels), SEQUENCES)
            }
            _ if self.of_answers() => (matches!(family, Family::Classes | Family::Binary), EITHER),
            _ => (family == Family::Numbers, NUMBERS),
        };
        let path = self.words().1;
        if loss.distribution().is_some() {
            let expected = "a loss of which outputs are numbers, classes or yes and no, not parameters; Distribution::mean \
                            and Distribution::quantile make numbers of predictions for train::metrics";
            return Err(Error::Loss { loss: path, expected, found: loss.name().into() });
        }
        if !fits {
            return Err(Error::Loss { loss: path, expected, found: loss.name().into() });
        }
        let option = |option, found: String, expected: String| {
            Err(Error::Option { option, found, expected })
        };
        if self.of_sequences() && !sequences {
            let found = "of a model that gives one row a sequence".to_owned();
            return option(path, found, "of one that gives sequences".into());
        }
        let quantiles = loss.quantiles();
        if self.of_numbers() && !quantiles.is_empty() && !quantiles.contains(&0.5) {
            let expected = "the quantile 0.5 in Loss::Quantiles, of which it is taken";
            return Err(Error::Loss { loss: path, expected, found: format!("{quantiles:?}") });
        }
        // Of each target, where there are quantiles.
        let columns = if quantiles.is_empty() { width } else { quantiles.len() };
        let share = |p: f32| p > 0.0 && p < 1.0;
        let between = || "between 0 and 1".to_owned();
        match self {
            Self::TopK(0) => option(path, "0".into(), "at least 1".into()),
            Self::BinaryAccuracy { threshold: p } if !share(*p) => {
                option("BinaryAccuracy::threshold", p.to_string(), between())
            }
            Self::Pinball { quantile: p } if !share(*p) => {
                option("Pinball::quantile", p.to_string(), between())
            }
            Self::Pinball { quantile: p } if !quantiles.is_empty() && !quantiles.contains(p) => {
                option("Pinball::quantile", p.to_string(), format!("one of {quantiles:?}"))
            }
            Self::Mase { scale } if !(*scale > 0.0 && scale.is_finite()) => {
                option("Mase::scale", scale.to_string(), "above 0, and finite".into())
            }
            Self::Crps { quantiles } => match quantiles.iter().find(|&&p| !share(p)) {
                Some(p) => option("Crps::quantiles", p.to_string(), between()),
                None if !loss.quantiles().is_empty() && loss.quantiles() != quantiles => {
                    let expected = format!("{:?}, those of the loss", loss.quantiles());
                    option("Crps::quantiles", format!("{quantiles:?}"), expected)
                }
                None if quantiles.is_empty() || (columns > 0 && quantiles.len() != columns) => {
                    let found = format!("{} quantiles", quantiles.len());
                    option("Crps::quantiles", found, outputs(width, "as many as outputs"))
                }
                None => Ok(()),
            },
            Self::Coverage { lower, upper } | Self::IntervalWidth { lower, upper }
                if lower > upper || (columns > 0 && *upper >= columns) =>
            {
                let expected = match quantiles.is_empty() {
                    true => outputs(width, "columns, that of the lower bound first"),
                    false => format!("places in {quantiles:?}, that of the lower bound first"),
                };
                option(path, format!("of the columns {lower} and {upper}"), expected)
            }
            Self::At { metric, threshold } => {
                if !(metric.of_counts() || **metric == Self::Accuracy)
                    || matches!(**metric, Self::At { .. })
                {
                    let expected =
                        "of accuracy, precision, recall, F1 or Matthews' coefficient".into();
                    return option(path, format!("of {}", metric.name()), expected);
                }
                if !share(*threshold) {
                    return option("Metric::at::threshold", threshold.to_string(), between());
                }
                metric.check(loss, width, sequences)
            }
            Self::SpanF1 { tags } => {
                let tags = SpanF1::new(tags)?.tags();
                if width > 0 && tags != width {
                    let expected = outputs(width, "a tag for each class");
                    return option("SpanF1::tags", format!("{tags} tags"), expected);
                }
                Ok(())
            }
            Self::Mcc if family == Family::Binary && width > 1 => option(
                path,
                format!("of {width} outputs with Loss::BinaryCrossEntropy"),
                "of one, or of classes: of several outputs there is no one coefficient".into(),
            ),
            _ => match self.average() {
                // One output is no and yes.
                Some(Average::Class(class)) if width > 0 && class >= width.max(2) => {
                    let expected = outputs(width, "the number of a class");
                    option(path, format!("of class {class}"), expected)
                }
                _ => Ok(()),
            },
        }
    }
}

/// What an option should be, of a model with so many outputs.
fn outputs(width: usize, expected: &str) -> String {
    match width {
        0 => expected.to_owned(),
        1 => format!("{expected}; the model has 1 output"),
        _ => format!("{expected}; the model has {width} outputs"),
    }
}
