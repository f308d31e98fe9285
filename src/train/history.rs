//! The results of a training.

use std::fmt;

/// The loss and the metrics over some sequences.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// The mean loss.
    pub loss: f32,
    /// The metrics, in the order in which `compile` got them.
    pub metrics: Vec<f32>,
    /// The metrics' names, in the same order: `accuracy`, for example. Where two would have one name the
    /// later one gets a number, as in Keras: `f1`, `f1_1`.
    pub names: Vec<String>,
}

/// `loss 0.25, accuracy 0.9`.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {}", self.loss)?;
        self.names
            .iter()
            .zip(&self.metrics)
            .try_for_each(|(name, value)| write!(f, ", {name} {value}"))
    }
}

impl Evaluation {
    /// The value with this name: `loss`, or a metric by its name; `None` if there is none.
    pub fn value(&self, name: &str) -> Option<f32> {
        match self.names.iter().position(|own| own == name) {
            Some(at) => self.metrics.get(at).copied(),
            None => (name == "loss").then_some(self.loss),
        }
    }
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
    /// The learning rate of the last step; `None` if the optimizer has none.
    pub learning_rate: Option<f32>,
}

impl Epoch {
    /// Adds a number of a callback's own.
    pub(super) fn add(&mut self, name: String, value: f32) {
        let (to, name) = match (name.strip_prefix("val_"), &mut self.validation) {
            (Some(inside), Some(validation)) => (validation, inside.to_owned()),
            _ => (&mut self.training, name),
        };
        to.names.push(name);
        to.metrics.push(value);
    }

    /// The value with this name, as Keras' callbacks monitor it: `loss` or `accuracy` of the training,
    /// `val_loss` or `val_accuracy` of the validation; `None` if there is none.
    ///
    /// ```
    /// use wgpu_lstm::train::Epoch;
    /// fn better(now: &Epoch, before: &Epoch) -> bool {
    ///     now.value("val_accuracy") > before.value("val_accuracy")
    /// }
    /// # let _ = better;
    /// ```
    pub fn value(&self, name: &str) -> Option<f32> {
        match name.strip_prefix("val_") {
            Some(name) => self.validation.as_ref()?.value(name),
            None => self.training.value(name),
        }
    }
}

/// All epochs of a training. With the feature `plot`, `History::plot` draws them.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct History {
    /// The epochs, in order.
    pub epochs: Vec<Epoch>,
    /// Why the training ended before its last epoch, if a callback stopped it.
    pub stopped: Option<String>,
    /// What is unusual and hardly lets a model learn: columns of inputs, or of targets for a loss between numbers,
    /// whose mean or standard deviation is beyond 100; inputs that are the same in every frame, or look like tokens
    /// without an Embedding; logits from a layer that gives none; a learning rate of 0 or, for Adam and its
    /// relatives, above 1; no epochs; and other options that train nothing. The crate `log` is told, too, as the
    /// training begins.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name() {
        let evaluation = |loss, accuracy| Evaluation {
            loss,
            metrics: vec![accuracy],
            names: vec!["accuracy".into()],
        };
        let mut epoch = Epoch {
            training: evaluation(1.0, 2.0),
            validation: Some(evaluation(3.0, 4.0)),
            samples_per_second: 1.0,
            learning_rate: None,
        };
        let values = |epoch: &Epoch| {
            ["loss", "accuracy", "val_loss", "val_accuracy", "f1"].map(|name| epoch.value(name))
        };
        assert_eq!(values(&epoch), [Some(1.0), Some(2.0), Some(3.0), Some(4.0), None]);
        epoch.validation = None;
        assert_eq!(values(&epoch), [Some(1.0), Some(2.0), None, None, None]);
    }
}
