//! The number that a callback follows from epoch to epoch.

use crate::train::run::Run;
use crate::train::{Epoch, Evaluation};
use crate::{Error, Result};

/// Whether the number that a callback follows is better the lower it is, or the higher.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// What the number's name says: a loss or an error is better the lower, an accuracy or another score
    /// the higher, and so is a coverage, though it is best at what its quantiles say.
    #[default]
    Auto,
    /// The lower the better.
    Min,
    /// The higher the better.
    Max,
}

/// What is in the name of a metric that is better the higher it is.
const HIGHER: [&str; 9] =
    ["accuracy", "auc", "precision", "recall", "f1", "r2", "mcc", "bleu", "coverage"];

/// What an epoch measured, by name, and what of it a callback follows.
#[derive(Debug, Clone)]
pub(super) struct Monitor {
    /// The option that names it, such as `EarlyStopping::monitor`.
    option: &'static str,
    name: String,
    pub(super) mode: Mode,
}

impl Monitor {
    pub(super) fn new(option: &'static str, name: impl Into<String>) -> Self {
        Self { option, name: name.into(), mode: Mode::Auto }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Checks, before the first epoch, that there will be such a number. What callbacks before it add by
    /// [`Run::log`] is not known yet.
    pub(super) fn check(&self, run: &Run<'_>) -> Result<()> {
        let of_validation = self.name.starts_with("val_");
        if of_validation && !run.has_validation() {
            return Err(Error::Option {
                option: self.option,
                found: self.name.clone(),
                expected: "a number of the training, since there are no validation data; or \
                           Fit::validation_split"
                    .into(),
            });
        }
        Ok(())
    }

    /// The number after the last epoch.
    pub(super) fn value(&self, run: &Run<'_>) -> Result<f32> {
        let epoch = run.history().epochs.last();
        epoch.and_then(|epoch| epoch.value(&self.name)).ok_or_else(|| {
            let names = epoch.map(values).unwrap_or_default().into_iter().map(|(name, _)| name);
            let expected = format!("one of {}", names.collect::<Vec<_>>().join(", "));
            Error::Option { option: self.option, found: self.name.clone(), expected }
        })
    }

    /// 1 if lower is better, -1 if higher is: the number times this is better the lower.
    pub(super) fn sign(&self) -> f64 {
        match self.mode {
            Mode::Min => 1.0,
            Mode::Max => -1.0,
            Mode::Auto if HIGHER.iter().any(|part| self.name.contains(part)) => -1.0,
            Mode::Auto => 1.0,
        }
    }

    /// Whether `value` is better than `best` by more than `delta`; a NaN never is, and any other number is
    /// better than none.
    pub(super) fn improves(&self, value: f32, best: Option<f32>, delta: f64) -> bool {
        let value = f64::from(value) * self.sign();
        match best {
            Some(best) => value + delta < f64::from(best) * self.sign(),
            None => !value.is_nan(),
        }
    }
}

/// What an epoch measured, by name: `loss`, the metrics, then the same over the validation data with `val_`
/// before the name.
pub(super) fn values(epoch: &Epoch) -> Vec<(String, f32)> {
    let mut values = measured("", &epoch.training);
    if let Some(validation) = &epoch.validation {
        values.extend(measured("val_", validation));
    }
    values
}

/// What an evaluation has, by name.
pub(super) fn measured(prefix: &str, evaluation: &Evaluation) -> Vec<(String, f32)> {
    let metrics = evaluation.names.iter().zip(&evaluation.metrics);
    let metrics = metrics.map(|(name, &value)| (format!("{prefix}{name}"), value));
    [(format!("{prefix}loss"), evaluation.loss)].into_iter().chain(metrics).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Average, Metric};

    #[test]
    fn the_name_of_a_metric_says_which_way_is_better() {
        let scores = [
            Metric::Accuracy,
            Metric::BinaryAccuracy { threshold: 0.5 },
            Metric::TopK(3),
            Metric::Precision(Average::Macro),
            Metric::Recall(Average::Macro),
            Metric::F1(Average::Macro),
            Metric::Mcc,
            Metric::RocAuc,
            Metric::AveragePrecision,
            Metric::R2,
            Metric::Coverage { lower: 0, upper: 1 },
            Metric::F1(Average::Macro).at(0.3),
            Metric::Bleu,
            Metric::SpanF1 { tags: Vec::new() },
        ];
        let errors = [
            Metric::LogLoss,
            Metric::Perplexity,
            Metric::MeanAbsoluteError,
            Metric::MeanSquaredError,
            Metric::RootMeanSquaredError,
            Metric::MeanAbsolutePercentageError,
            Metric::SymmetricMeanAbsolutePercentageError,
            Metric::Mase { scale: 1.0 },
            Metric::Pinball { quantile: 0.1 },
            Metric::Crps { quantiles: vec![0.5] },
            Metric::IntervalWidth { lower: 0, upper: 1 },
            Metric::EditDistance,
            Metric::ErrorRate,
        ];
        let sign = |metric: &Metric| Monitor::new("", format!("val_{}", metric.name())).sign();
        scores.iter().for_each(|metric| assert_eq!(sign(metric), -1.0, "{metric:?}"));
        errors.iter().for_each(|metric| assert_eq!(sign(metric), 1.0, "{metric:?}"));
        assert_eq!(Monitor::new("", "val_loss").sign(), 1.0);
    }
}
