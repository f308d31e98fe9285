//! Rates that grow at first.

use super::Schedule;
use crate::Result;
use crate::check::check_not_zero;

/// A schedule whose rate grows at first: see [`Schedule::warm_up`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a schedule does nothing until `Fit::schedule` has it"]
pub struct WarmUp<S> {
    schedule: S,
    steps: u64,
}

impl<S: Schedule> WarmUp<S> {
    pub(super) fn new(schedule: S, steps: u64) -> Self {
        Self { schedule, steps }
    }
}

impl<S: Schedule> Schedule for WarmUp<S> {
    fn factor(&self, step: u64) -> f32 {
        match step.checked_sub(self.steps) {
            Some(after) => self.schedule.factor(after),
            None => {
                let share = (step + 1) as f64 / self.steps as f64;
                (share * f64::from(self.schedule.factor(0))) as f32
            }
        }
    }

    fn check(&self) -> Result<()> {
        check_not_zero("Schedule::warm_up", self.steps)?;
        self.schedule.check()
    }
}

/// Grows evenly over the first steps, and falls with the inverse square root of the step's number after
/// them: the schedule of the Transformer (Vaswani et al. 2017, arXiv 1706.03762, 5.3), scaled so that its
/// highest factor is 1.
///
/// ```
/// use wgpu_lstm::train::{InverseSquareRoot, Schedule};
/// let schedule = InverseSquareRoot::new(100);
/// assert_eq!([49, 99, 399].map(|step| schedule.factor(step)), [0.5, 1.0, 0.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a schedule does nothing until `Fit::schedule` has it"]
pub struct InverseSquareRoot {
    warm_up: u64,
}

impl InverseSquareRoot {
    /// Grows over `warm_up` steps, at least 1.
    pub fn new(warm_up: u64) -> Self {
        Self { warm_up }
    }
}

impl Schedule for InverseSquareRoot {
    fn factor(&self, step: u64) -> f32 {
        let share = (step as f64 + 1.0) / self.warm_up.max(1) as f64;
        share.min(share.powf(-0.5)) as f32
    }

    fn check(&self) -> Result<()> {
        check_not_zero("InverseSquareRoot::warm_up", self.warm_up)
    }
}
