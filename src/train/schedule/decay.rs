//! Rates that stay, or fall by a formula of the step.

use super::{Schedule, check_factor, check_floor};
use crate::Result;
use crate::check::check_not_zero;

/// The optimizer's own rate throughout: what a [`Schedule::warm_up`] alone ends in.
///
/// ```
/// use wgpu_lstm::train::{Constant, Schedule};
/// let schedule = Constant::new().warm_up(4);
/// assert_eq!([0, 1, 2, 3, 4].map(|step| schedule.factor(step)), [0.25, 0.5, 0.75, 1.0, 1.0]);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Constant;

impl Constant {
    /// A factor of 1.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Schedule for Constant {
    fn factor(&self, _step: u64) -> f32 {
        1.0
    }
}

/// Multiplies the rate by a factor after each so many steps: PyTorch's `StepLR`.
///
/// ```
/// use wgpu_lstm::train::{Schedule, StepDecay};
/// let schedule = StepDecay::new(30, 0.5);
/// assert_eq!([0, 29, 30, 60].map(|step| schedule.factor(step)), [1.0, 1.0, 0.5, 0.25]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a schedule does nothing until `Fit::schedule` has it"]
pub struct StepDecay {
    steps: u64,
    factor: f64,
}

impl StepDecay {
    /// Multiplies by `factor`, above 0, after each `steps` steps, of which there is at least one.
    pub fn new(steps: u64, factor: f64) -> Self {
        Self { steps, factor }
    }
}

impl Schedule for StepDecay {
    fn factor(&self, step: u64) -> f32 {
        self.factor.powf((step / self.steps.max(1)) as f64) as f32
    }

    fn check(&self) -> Result<()> {
        check_not_zero("StepDecay::steps", self.steps)?;
        check_factor("StepDecay::factor", self.factor)
    }
}

/// Multiplies the rate by a factor after each step: PyTorch's `ExponentialLR`.
///
/// ```
/// use wgpu_lstm::train::{ExponentialDecay, Schedule};
/// // A tenth in each thousand steps.
/// let schedule = ExponentialDecay::new(0.1f64.powf(1.0 / 1000.0));
/// assert!((schedule.factor(2000) - 0.01).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a schedule does nothing until `Fit::schedule` has it"]
pub struct ExponentialDecay {
    factor: f64,
}

impl ExponentialDecay {
    /// Multiplies by `factor`, above 0.
    pub fn new(factor: f64) -> Self {
        Self { factor }
    }
}

impl Schedule for ExponentialDecay {
    fn factor(&self, step: u64) -> f32 {
        self.factor.powf(step as f64) as f32
    }

    fn check(&self) -> Result<()> {
        check_factor("ExponentialDecay::factor", self.factor)
    }
}

/// Lets the rate fall to 0, or to a floor, as a power of the share of steps that are left: PyTorch's
/// `PolynomialLR`, Keras' `PolynomialDecay`. It stays there after the last step.
///
/// ```
/// use wgpu_lstm::train::{PolynomialDecay, Schedule};
/// let schedule = PolynomialDecay::new(100).power(2.0);
/// assert_eq!([0, 50, 100, 200].map(|step| schedule.factor(step)), [1.0, 0.25, 0.0, 0.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a schedule does nothing until `Fit::schedule` has it"]
pub struct PolynomialDecay {
    steps: u64,
    power: f64,
    floor: f64,
}

impl PolynomialDecay {
    /// A straight line down to 0 in `steps` steps, at least 1.
    pub fn new(steps: u64) -> Self {
        Self { steps, power: 1.0, floor: 0.0 }
    }

    /// Sets the power, above 0: 1 by default.
    pub fn power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }

    /// Sets the factor at the end, from 0 to 1: 0 by default.
    pub fn floor(mut self, floor: f64) -> Self {
        self.floor = floor;
        self
    }
}

impl Schedule for PolynomialDecay {
    fn factor(&self, step: u64) -> f32 {
        let left = 1.0 - (step as f64 / self.steps.max(1) as f64).min(1.0);
        (self.floor + (1.0 - self.floor) * left.powf(self.power)) as f32
    }

    fn check(&self) -> Result<()> {
        check_not_zero("PolynomialDecay::steps", self.steps)?;
        check_factor("PolynomialDecay::power", self.power)?;
        check_floor("PolynomialDecay::floor", self.floor)
    }
}
