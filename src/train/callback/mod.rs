//! What a training calls as it goes.

mod budget;
mod checkpoint;
mod csv;
mod early_stopping;
mod events;
mod gradient_stats;
mod monitor;
mod plateau;
mod tensor_board;

pub(super) use budget::{MaxSteps, MaxTime};
pub use checkpoint::Checkpoint;
pub use csv::CsvLog;
pub use early_stopping::EarlyStopping;
pub use gradient_stats::{GradientStats, Statistics};
pub use monitor::Mode;
pub use plateau::ReduceOnPlateau;
pub use tensor_board::TensorBoard;

use super::run::Run;
use crate::Result;
use crate::file::State;

/// Something that a training calls as it goes: to look, to stop it, to change its rate, to keep something.
///
/// All methods do nothing by default. See [`Run`] for what a callback is told and what it can do.
///
/// ```
/// use wgpu_lstm::train::{Callback, Run};
/// use wgpu_lstm::Result;
///
/// /// Stops a training after so many steps.
/// struct Steps(u64);
///
/// impl Callback for Steps {
///     fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
///         if run.steps() >= self.0 {
///             run.stop("enough steps");
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Callback {
    /// Before the first step, of a resumed training too.
    ///
    /// # Errors
    /// Any: it ends the training, here and below.
    fn begin(&mut self, _run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// Between the backward pass of a step and the optimizer's, while the gradients are there.
    ///
    /// # Errors
    /// Any.
    fn before_step(&mut self, _run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// After each step.
    ///
    /// # Errors
    /// Any.
    fn after_step(&mut self, _run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// After each epoch and its validation; [`Run::history`] ends with it.
    ///
    /// # Errors
    /// Any.
    fn after_epoch(&mut self, _run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// After a step whose gradients or loss were not finite, before `fit` gives [`crate::Error::Diverged`].
    ///
    /// # Errors
    /// Any, which `fit` then gives instead.
    fn diverged(&mut self, _run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// After the last step, or after the one that stopped the training; not after an error.
    ///
    /// # Errors
    /// Any.
    fn end(&mut self, _run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// What a checkpoint keeps of it: the best loss so far, for example. By default nothing.
    ///
    /// # Errors
    /// Those of the device.
    fn state(&self) -> Result<State> {
        Ok(State::new())
    }

    /// Goes on from what [`Callback::state`] gave.
    ///
    /// # Errors
    /// [`crate::Error::Missing`] for that of another callback.
    fn set_state(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }
}

impl<C: Callback + ?Sized> Callback for &mut C {
    fn begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        (**self).begin(run)
    }

    fn before_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        (**self).before_step(run)
    }

    fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        (**self).after_step(run)
    }

    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
        (**self).after_epoch(run)
    }

    fn diverged(&mut self, run: &mut Run<'_>) -> Result<()> {
        (**self).diverged(run)
    }

    fn end(&mut self, run: &mut Run<'_>) -> Result<()> {
        (**self).end(run)
    }

    fn state(&self) -> Result<State> {
        (**self).state()
    }

    fn set_state(&mut self, state: &State) -> Result<()> {
        (**self).set_state(state)
    }
}

/// A closure that is called after each epoch.
pub(super) struct OfEpochs<F>(pub(super) F);

impl<F: FnMut(&mut Run<'_>) -> Result<()>> Callback for OfEpochs<F> {
    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
        (self.0)(run)
    }
}
