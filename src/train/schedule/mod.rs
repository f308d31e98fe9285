//! Schedules of the learning rate.

mod cosine;
mod decay;
mod one_cycle;
mod warm_up;

pub use cosine::{CosineDecay, CosineRestarts};
pub use decay::{Constant, ExponentialDecay, PolynomialDecay, StepDecay};
pub use one_cycle::OneCycle;
pub use warm_up::{InverseSquareRoot, WarmUp};

use crate::{Error, Result};

/// How the learning rate goes with the steps of a training: a factor of the optimizer's rate.
///
/// A schedule is a function of the step's number alone, so that a resumed training needs nothing of it.
/// A closure is one, too. The schedules of this crate count in steps, not in epochs: an epoch has as many as
/// [`crate::train::Run::batches`] says, the sequences by the batch size, rounded up. Their options are `f64`,
/// since a factor near 1 that is taken thousands of times shows its rounding.
///
/// ```
/// use wgpu_lstm::train::{CosineDecay, Fit, Schedule};
/// // Up to the optimizer's rate in 100 steps, and down to a hundredth of it in 900 more.
/// let schedule = CosineDecay::new(900).floor(0.01).warm_up(100);
/// assert!((schedule.factor(49) - 0.5).abs() < 1e-6);
/// assert!((schedule.factor(5000) - 0.01).abs() < 1e-6);
/// let fit = Fit::new().schedule(schedule);
/// # let _ = fit;
/// ```
pub trait Schedule {
    /// The factor for a step, counted from 0 since [`crate::Sequential::compile`].
    fn factor(&self, step: u64) -> f32;

    /// Checks the options before a training; by default there are none.
    ///
    /// # Errors
    /// [`Error::Option`].
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Lets the factor grow evenly over the first `steps` steps, from one part of them to the schedule's
    /// first; the schedule begins after them. PyTorch has this as a `SequentialLR` of
    /// `LinearLR(start_factor=1/steps, total_iters=steps-1)` and the other, from step `steps` on.
    fn warm_up(self, steps: u64) -> WarmUp<Self>
    where
        Self: Sized,
    {
        WarmUp::new(self, steps)
    }
}

impl<F: Fn(u64) -> f32> Schedule for F {
    fn factor(&self, step: u64) -> f32 {
        self(step)
    }
}

/// Checks that a factor is a finite number above 0.
fn check_factor(option: &'static str, factor: f64) -> Result<()> {
    if factor > 0.0 && factor.is_finite() {
        return Ok(());
    }
    let expected = "a finite number above 0".into();
    Err(Error::Option { option, found: factor.to_string(), expected })
}

/// Checks that a floor is from 0 to 1.
fn check_floor(option: &'static str, floor: f64) -> Result<()> {
    if (0.0..=1.0).contains(&floor) {
        return Ok(());
    }
    Err(Error::Option { option, found: floor.to_string(), expected: "from 0 to 1".into() })
}
