//! Rates that fall as half a cosine's wave does, once or again and again.

use super::{Schedule, check_factor, check_floor};
use crate::Result;
use crate::check::check_not_zero;
use std::f64::consts::PI;

/// From 1 to the floor, where `at` goes from 0 to 1.
fn fall(at: f64, floor: f64) -> f64 {
    floor + (1.0 - floor) * (1.0 + (PI * at).cos()) / 2.0
}

/// Lets the rate fall to 0, or to a floor, as half a wave of a cosine (Loshchilov & Hutter 2017, arXiv
/// 1608.03983): PyTorch's `CosineAnnealingLR`. It stays there after the last step, as Keras' `CosineDecay`
/// does; PyTorch's rises again.
///
/// ```
/// use wgpu_lstm::train::{CosineDecay, Schedule};
/// let schedule = CosineDecay::new(100).floor(0.1);
/// assert!((schedule.factor(50) - 0.55).abs() < 1e-6);
/// assert!((schedule.factor(150) - 0.1).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a schedule does nothing until `Fit::schedule` has it"]
pub struct CosineDecay {
    steps: u64,
    floor: f64,
}

impl CosineDecay {
    /// Down to 0 in `steps` steps, at least 1.
    pub fn new(steps: u64) -> Self {
        Self { steps, floor: 0.0 }
    }

    /// Sets the factor at the end, from 0 to 1: 0 by default.
    pub fn floor(mut self, floor: f64) -> Self {
        self.floor = floor;
        self
    }
}

impl Schedule for CosineDecay {
    fn factor(&self, step: u64) -> f32 {
        fall((step as f64 / self.steps.max(1) as f64).min(1.0), self.floor) as f32
    }

    fn check(&self) -> Result<()> {
        check_not_zero("CosineDecay::steps", self.steps)?;
        check_floor("CosineDecay::floor", self.floor)
    }
}

/// Cosine decay that starts anew at the full rate whenever it reaches the floor: SGDR (Loshchilov & Hutter
/// 2017, arXiv 1608.03983), PyTorch's `CosineAnnealingWarmRestarts`.
///
/// ```
/// use wgpu_lstm::train::{CosineRestarts, Schedule};
/// // 10 steps down, then 20, then 40 …
/// let schedule = CosineRestarts::new(10).growth(2);
/// assert_eq!([0, 10, 30, 70].map(|step| schedule.factor(step)), [1.0; 4]);
/// assert!((schedule.factor(20) - 0.5).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a schedule does nothing until `Fit::schedule` has it"]
pub struct CosineRestarts {
    steps: u64,
    growth: u64,
    floor: f64,
}

impl CosineRestarts {
    /// Starts anew after each `steps` steps, at least 1.
    pub fn new(steps: u64) -> Self {
        Self { steps, growth: 1, floor: 0.0 }
    }

    /// Sets how many times as long as the one before each run down is, at least 1: PyTorch's `T_mult`.
    pub fn growth(mut self, growth: u64) -> Self {
        self.growth = growth;
        self
    }

    /// Sets the factor that each run ends at, from 0 to 1: 0 by default.
    pub fn floor(mut self, floor: f64) -> Self {
        self.floor = floor;
        self
    }
}

impl Schedule for CosineRestarts {
    fn factor(&self, step: u64) -> f32 {
        let (mut at, mut length) = (step, self.steps.max(1));
        if self.growth <= 1 {
            at %= length;
        }
        while at >= length {
            at -= length;
            length = length.saturating_mul(self.growth);
        }
        fall(at as f64 / length as f64, self.floor) as f32
    }

    fn check(&self) -> Result<()> {
        check_not_zero("CosineRestarts::steps", self.steps)?;
        check_factor("CosineRestarts::growth", self.growth as f64)?;
        check_floor("CosineRestarts::floor", self.floor)
    }
}
