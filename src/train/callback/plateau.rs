//! To reduce the rate of a training that no longer gets better.

use super::Callback;
use super::monitor::{Mode, Monitor};
use crate::Result;
use crate::check::{check_not_negative, check_share};
use crate::file::State;
use crate::train::run::Run;

/// Multiplies the learning rate by a factor when a number has not become better for more than some epochs:
/// PyTorch's `ReduceLROnPlateau` with its rules and defaults.
///
/// A schedule's factor comes on top of the rate that this callback sets. An optimizer without a rate
/// ([`crate::train::Optimizer::learning_rate`]) stays as it is.
///
/// ```
/// use wgpu_lstm::train::{Fit, ReduceOnPlateau};
/// let reduce = ReduceOnPlateau::new("val_loss").factor(0.5).patience(3);
/// let fit = Fit::new().epochs(100).validation_split(0.2).callback(reduce);
/// # let _ = fit;
/// ```
#[derive(Debug)]
#[must_use = "a callback does nothing until `Fit::callback` has it"]
pub struct ReduceOnPlateau {
    monitor: Monitor,
    factor: f32,
    patience: usize,
    threshold: f64,
    absolute: bool,
    cooldown: usize,
    min_rate: f32,
    best: Option<f32>,
    /// The epochs that were not better since the last that was, or the last reduction.
    bad: usize,
    /// The epochs of the cooldown that are left.
    cooling: usize,
}

/// The least change of the rate: PyTorch's `eps`.
const LEAST_CHANGE: f64 = 1e-8;

impl ReduceOnPlateau {
    /// Follows `monitor`, as [`super::EarlyStopping::new`] does. The factor is 0.1, the patience 10 epochs,
    /// the threshold 1e-4 of the best number.
    pub fn new(monitor: impl Into<String>) -> Self {
        Self {
            monitor: Monitor::new("ReduceOnPlateau::monitor", monitor),
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            absolute: false,
            cooldown: 0,
            min_rate: 0.0,
            best: None,
            bad: 0,
            cooling: 0,
        }
    }

    /// Sets by what the rate is multiplied, from 0 up to, but not, 1.
    pub fn factor(mut self, factor: f32) -> Self {
        self.factor = factor;
        self
    }

    /// Sets how many epochs that are not better are left as they are: the next one reduces the rate.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// Sets by what share of the best number another must be better to count.
    pub fn threshold(mut self, share: f64) -> Self {
        (self.threshold, self.absolute) = (share, false);
        self
    }

    /// Sets by how much a number must be better to count: PyTorch's `threshold_mode="abs"`.
    pub fn min_delta(mut self, delta: f64) -> Self {
        (self.threshold, self.absolute) = (delta, true);
        self
    }

    /// Sets whether lower or higher is better, where the name does not say it.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// Sets how many epochs after a reduction do not count.
    pub fn cooldown(mut self, epochs: usize) -> Self {
        self.cooldown = epochs;
        self
    }

    /// Sets the rate below which it is not reduced.
    pub fn min_rate(mut self, rate: f32) -> Self {
        self.min_rate = rate;
        self
    }

    fn improves(&self, value: f32) -> bool {
        let Some(best) = self.best else { return !value.is_nan() };
        let (value, best, sign) = (f64::from(value), f64::from(best), self.monitor.sign());
        let limit = match self.absolute {
            true => best - sign * self.threshold,
            false => best * (1.0 - sign * self.threshold),
        };
        sign * value < sign * limit
    }
}

impl Callback for ReduceOnPlateau {
    fn begin(&mut self, _run: &mut Run<'_>) -> Result<()> {
        check_share("ReduceOnPlateau::factor", self.factor)?;
        check_not_negative("ReduceOnPlateau::threshold", self.threshold)?;
        check_not_negative("ReduceOnPlateau::min_rate", self.min_rate)
    }

    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
        let value = self.monitor.value(run)?;
        if self.improves(value) {
            (self.best, self.bad) = (Some(value), 0);
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad <= self.patience {
            return Ok(());
        }
        (self.cooling, self.bad) = (self.cooldown, 0);
        if let Some(rate) = *run.base_rate {
            let reduced = (rate * self.factor).max(self.min_rate);
            if f64::from(rate) - f64::from(reduced) > LEAST_CHANGE {
                run.set_learning_rate(reduced);
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<State> {
        let mut state = State::new();
        state.set_number("bad", self.bad as f64);
        state.set_number("cooling", self.cooling as f64);
        if let Some(best) = self.best {
            state.set_values("best", vec![best]);
        }
        Ok(state)
    }

    fn set_state(&mut self, state: &State) -> Result<()> {
        self.bad = state.number("bad")? as usize;
        self.cooling = state.number("cooling")? as usize;
        self.best = state.values("best").ok().and_then(|best| best.first().copied());
        Ok(())
    }
}
