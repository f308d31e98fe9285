//! A training as its callbacks see it.

use super::evaluate::Totals;
use super::{Evaluation, History, Metric, Optimizer, Sequential};
use crate::Result;
use crate::autograd::{Params, Var};
use std::path::{Path, PathBuf};

/// A training that is going on: what a [`super::Callback`] is told, and what it can change.
pub struct Run<'a> {
    pub(super) model: &'a Sequential,
    pub(super) optimizer: &'a mut dyn Optimizer,
    pub(super) history: &'a History,
    pub(super) metrics: &'a [Metric],
    pub(super) totals: &'a Totals,
    /// The loss of the last batch.
    pub(super) loss: Option<&'a Var>,
    pub(super) place: Place,
    pub(super) validates: bool,
    /// The rate before a schedule's factor, and the factor of the last step.
    pub(super) base_rate: &'a mut Option<f32>,
    pub(super) factor: f32,
    pub(super) wishes: &'a mut Wishes,
}

/// How far a training is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// The epoch, from 0, of this call of `fit`; and how many there are.
    pub(super) epoch: usize,
    pub(super) epochs: usize,
    /// The batches of this epoch that are done; and how many there are, if that is known.
    pub(super) batch: usize,
    pub(super) batches: Option<usize>,
    /// The steps made since `compile`.
    pub(super) steps: u64,
}

/// What callbacks asked of a training.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) stop: Option<String>,
    pub(super) checkpoints: Vec<PathBuf>,
    /// Numbers for the epoch that is done.
    pub(super) logged: Vec<(String, f32)>,
}

impl Run<'_> {
    /// The model, to predict and evaluate with; its parameters are [`Run::params`]. Stateful layers go on from
    /// the states of the training then, and change them.
    pub fn model(&self) -> &Sequential {
        self.model
    }

    /// The parameters; in [`super::Callback::before_step`] with their gradients.
    pub fn params(&self) -> &Params {
        self.model.params()
    }

    /// The epochs that are done: those of this call of `fit`, and those before the checkpoint that it resumed.
    pub fn history(&self) -> &History {
        self.history
    }

    /// Whether there are validation data.
    pub fn has_validation(&self) -> bool {
        self.validates
    }

    /// Adds a number of your own to the epoch that is done, in [`super::Callback::after_epoch`]: callbacks
    /// after this one find it by its name, in [`super::Epoch::value`], and log it. One whose name begins with
    /// `val_` belongs to the validation, if there is one.
    pub fn log(&mut self, name: impl Into<String>, value: f32) {
        self.wishes.logged.push((name.into(), value));
    }

    /// The metrics, in the order of [`Evaluation::metrics`].
    pub fn metrics(&self) -> &[Metric] {
        self.metrics
    }

    /// The number of the epoch, from 0.
    pub fn epoch(&self) -> usize {
        self.place.epoch
    }

    /// The epochs that were asked for.
    pub fn epochs(&self) -> usize {
        self.place.epochs
    }

    /// The batches of this epoch that are done, of which a step takes several with
    /// [`super::Fit::accumulate`].
    pub fn batch(&self) -> usize {
        self.place.batch
    }

    /// The batches of an epoch; 0 of a stream ([`crate::data::IterableDataset`]), where nobody knows.
    pub fn batches(&self) -> usize {
        self.place.batches.unwrap_or(0)
    }

    /// The optimizer's steps made since [`Sequential::compile`].
    pub fn steps(&self) -> u64 {
        self.place.steps
    }

    /// Loss and metrics over the batches of this epoch so far. Waits for the device.
    ///
    /// # Errors
    /// Those of the device.
    pub fn so_far(&self) -> Result<Evaluation> {
        self.totals.read()
    }

    /// The loss of the last batch with its penalties, before the step that it led to; `None` before the first
    /// batch of this training. Waits for the device.
    ///
    /// # Errors
    /// Those of the device.
    pub fn loss(&self) -> Result<Option<f32>> {
        let values = self.loss.map(|loss| loss.tensor().to_vec()).transpose()?;
        Ok(values.and_then(|values| values.first().copied()))
    }

    /// The learning rate of the last step, or what a callback set since, times the schedule's factor of that
    /// step; `None` if the optimizer has none.
    pub fn learning_rate(&self) -> Option<f32> {
        self.optimizer.learning_rate()
    }

    /// Sets the learning rate from the next step on, before the factor of a schedule if there is one. In
    /// [`super::Callback::before_step`] the next step is the one that comes.
    pub fn set_learning_rate(&mut self, rate: f32) {
        *self.base_rate = Some(rate);
        self.optimizer.set_learning_rate(rate * self.factor);
    }

    /// Multiplies the learning rate by `factor` from the next step on.
    pub fn scale_learning_rate(&mut self, factor: f32) {
        if let Some(rate) = *self.base_rate {
            self.set_learning_rate(rate * factor);
        }
    }

    /// Ends the training after this step or epoch. [`History::stopped`] has the first reason given.
    pub fn stop(&mut self, reason: impl Into<String>) {
        self.wishes.stop.get_or_insert(reason.into());
    }

    /// Writes a checkpoint as soon as all callbacks have run, of [`super::Callback::before_step`] after the step:
    /// see [`super::Fit::resume`]. It is a file of the model, too, for [`Sequential::load`], unless a layer of your
    /// own has no [`crate::nn::Layer::config`]. An existing file is replaced when the new one is whole. Missing
    /// folders are made.
    pub fn save_checkpoint(&mut self, path: impl AsRef<Path>) {
        self.wishes.checkpoints.push(path.as_ref().to_owned());
    }
}
