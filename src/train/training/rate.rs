//! The learning rate of a training.

use crate::train::optim::Optimizer;
use crate::train::schedule::Schedule;

/// An optimizer, and its learning rate before a schedule's factor, which it has again when this is dropped.
pub(super) struct Rate<'a> {
    pub(super) optimizer: &'a mut dyn Optimizer,
    pub(super) base: Option<f32>,
    /// The schedule's factor of the last step.
    pub(super) factor: f32,
}

impl<'a> Rate<'a> {
    pub(super) fn new(optimizer: &'a mut dyn Optimizer) -> Self {
        let base = optimizer.learning_rate();
        Self { optimizer, base, factor: 1.0 }
    }

    /// Sets the rate of a step.
    pub(super) fn set(&mut self, schedule: Option<&dyn Schedule>, step: u64) {
        if let (Some(schedule), Some(base)) = (schedule, self.base) {
            self.factor = schedule.factor(step);
            self.optimizer.set_learning_rate(base * self.factor);
        }
    }
}

impl Drop for Rate<'_> {
    fn drop(&mut self) {
        if let Some(base) = self.base {
            self.optimizer.set_learning_rate(base);
        }
    }
}
