//! One cycle: up to the full rate and down below the first one.

use super::{Schedule, check_factor};
use crate::check::check_not_zero;
use crate::{Error, Result};
use std::f64::consts::PI;

/// The one-cycle policy (Smith & Topin 2018, arXiv 1708.07120) as PyTorch's `OneCycleLR` has it: the rate
/// rises from a fraction of the optimizer's to all of it, and falls far below the first. Momentum stays as it
/// is. After the last step the rate stays.
///
/// The optimizer's rate is PyTorch's `max_lr`: [`crate::Sequential::find_rate`] helps to find it.
///
/// ```
/// use wgpu_lstm::train::{OneCycle, Schedule};
/// let schedule = OneCycle::new(100);
/// assert!((schedule.factor(0) - 1.0 / 25.0).abs() < 1e-6);
/// assert!((schedule.factor(29) - 1.0).abs() < 1e-6);
/// assert!(schedule.factor(99) < 1e-5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a schedule does nothing until `Fit::schedule` has it"]
pub struct OneCycle {
    steps: u64,
    rise: f64,
    first: f64,
    last: f64,
    linear: bool,
    three_phases: bool,
}

impl OneCycle {
    /// A cycle of `steps` steps, at least 1, with PyTorch's defaults: 30 % of them rise from a 25th, then
    /// the rate falls to a 10,000th of that, both along a cosine.
    pub fn new(steps: u64) -> Self {
        let (first, last) = (25.0, 1e4);
        Self { steps, rise: 0.3, first, last, linear: false, three_phases: false }
    }

    /// Sets the share of steps that rise, above 0 and at most 1, or with three phases 0.5: PyTorch's
    /// `pct_start`.
    pub fn rise(mut self, share: f64) -> Self {
        self.rise = share;
        self
    }

    /// Sets by what the optimizer's rate is divided at first, above 0: PyTorch's `div_factor`.
    pub fn first_divisor(mut self, divisor: f64) -> Self {
        self.first = divisor;
        self
    }

    /// Sets by what the first rate is divided at last, above 0: PyTorch's `final_div_factor`.
    pub fn last_divisor(mut self, divisor: f64) -> Self {
        self.last = divisor;
        self
    }

    /// Goes along straight lines, not cosines: PyTorch's `anneal_strategy="linear"`.
    pub fn linear(mut self) -> Self {
        self.linear = true;
        self
    }

    /// Falls in two phases, first as long as it rose back to the first rate, then to the last, as in the
    /// paper: PyTorch's `three_phase`.
    pub fn three_phases(mut self) -> Self {
        self.three_phases = true;
        self
    }
}

impl Schedule for OneCycle {
    fn factor(&self, step: u64) -> f32 {
        let (steps, step) = (self.steps as f64, step as f64);
        let first = 1.0 / self.first;
        let last = first / self.last;
        let rise = self.rise * steps - 1.0;
        // Where each phase ends, and at what factor.
        let phases = match self.three_phases {
            true => vec![(rise, 1.0), (2.0 * rise, first), (steps - 1.0, last)],
            false => vec![(rise, 1.0), (steps - 1.0, last)],
        };
        let (mut began, mut from) = (0.0, first);
        for (end, to) in phases {
            if step <= end {
                let at = if end > began { (step - began) / (end - began) } else { 1.0 };
                let gone = if self.linear { at } else { (1.0 - (PI * at).cos()) / 2.0 };
                return (from + (to - from) * gone) as f32;
            }
            (began, from) = (end, to);
        }
        last as f32
    }

    fn check(&self) -> Result<()> {
        check_not_zero("OneCycle::steps", self.steps)?;
        // Of three phases the second is as long as the first.
        let most = if self.three_phases { 0.5 } else { 1.0 };
        if !(self.rise > 0.0 && self.rise <= most) {
            return Err(Error::Option {
                option: "OneCycle::rise",
                found: self.rise.to_string(),
                expected: format!("above 0 and at most {most}"),
            });
        }
        check_factor("OneCycle::first_divisor", self.first)?;
        check_factor("OneCycle::last_divisor", self.last)
    }
}
