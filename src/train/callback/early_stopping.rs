//! To stop a training that no longer gets better.

use super::Callback;
use super::monitor::{Mode, Monitor};
use crate::Result;
use crate::autograd::{Params, Snapshot};
use crate::check::check_not_negative;
use crate::file::State;
use crate::train::run::Run;

/// Stops a training when a number has not become better for some epochs, and gives the model the weights of
/// its best epoch: Keras' `EarlyStopping`, where `restore_best_weights` is off unless asked for.
///
/// The best weights are kept on the device, as one more copy of the parameters; nothing is read back. They
/// are the model's at the end of the training, whether this callback stopped it or its epochs ran out. Given by
/// reference to a second `fit`, the callback goes on where the first ended; with weights of another model it
/// begins anew.
///
/// ```
/// use wgpu_lstm::train::{EarlyStopping, Fit};
/// let stop = EarlyStopping::new("val_loss").patience(5);
/// let fit = Fit::new().epochs(1000).validation_split(0.2).callback(stop);
/// # let _ = fit;
/// ```
#[derive(Debug)]
#[must_use = "a callback does nothing until `Fit::callback` has it"]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    min_delta: f64,
    baseline: Option<f32>,
    start: usize,
    restore: bool,
    /// The epochs seen so far, those of earlier calls of `fit` among them.
    seen: usize,
    /// The epochs since the last that was better.
    wait: usize,
    best: Option<f32>,
    best_epoch: usize,
    weights: Option<Weights>,
    /// Why it stopped the training, until that has ended.
    stopped: Option<String>,
}

/// The weights of the best epoch.
#[derive(Debug)]
enum Weights {
    OnDevice(Params, Snapshot),
    /// As a checkpoint had them, by name.
    OnHost(State),
}

impl EarlyStopping {
    /// Follows `monitor`, which is `loss`, a metric's name such as `accuracy`, or over the validation data
    /// `val_loss`, `val_accuracy`. Any other name is an [`crate::Error::Option`] after the first epoch. The
    /// patience is 0 epochs, as in Keras: the first epoch that is not better is the last.
    pub fn new(monitor: impl Into<String>) -> Self {
        Self {
            monitor: Monitor::new("EarlyStopping::monitor", monitor),
            patience: 0,
            min_delta: 0.0,
            baseline: None,
            start: 0,
            restore: true,
            seen: 0,
            wait: 0,
            best: None,
            best_epoch: 0,
            weights: None,
            stopped: None,
        }
    }

    /// Sets after how many epochs that are not better the training stops.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// Sets by how much a number must be better to count, at least 0.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta;
        self
    }

    /// Sets whether lower or higher is better, where the name does not say it.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// Sets a number that has to be beaten, too, for the patience to start anew.
    pub fn baseline(mut self, baseline: f32) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// Sets the first epoch, from 0, that is looked at: Keras' `start_from_epoch`.
    pub fn start_from_epoch(mut self, epoch: usize) -> Self {
        self.start = epoch;
        self
    }

    /// Sets whether the model gets the weights of its best epoch at the end, which is so by default.
    pub fn restore_best_weights(mut self, restore: bool) -> Self {
        self.restore = restore;
        self
    }

    /// The best number so far; `None` before the first.
    pub fn best(&self) -> Option<f32> {
        self.best
    }

    /// The epoch of the best number, counted from 0 over all calls of `fit` that had this callback: of the
    /// first one an index of [`crate::train::History::epochs`]. `None` before it.
    pub fn best_epoch(&self) -> Option<usize> {
        self.best.map(|_| self.best_epoch)
    }
}

impl EarlyStopping {
    /// Gives the model its best weights, if they were kept.
    fn put_back(&self, run: &Run<'_>) -> Result<()> {
        match &self.weights {
            Some(Weights::OnDevice(_, snapshot)) => run.params().restore(snapshot),
            Some(Weights::OnHost(state)) => {
                state.values.iter().try_for_each(|(name, values)| run.params().set(name, values))
            }
            None => Ok(()),
        }
    }
}

impl Callback for EarlyStopping {
    fn begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.monitor.check(run)?;
        if let Some(Weights::OnDevice(_, snapshot)) = &self.weights
            && !run.params().has_snapshot(snapshot)
        {
            (self.seen, self.wait, self.best, self.best_epoch) = (0, 0, None, 0);
            (self.weights, self.stopped) = (None, None);
        }
        check_not_negative("EarlyStopping::min_delta", self.min_delta)?;
        // A training that is resumed may have been at its end.
        if let Some(reason) = self.stopped.take().filter(|_| self.wait >= self.patience) {
            run.stop(reason);
        }
        Ok(())
    }

    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
        let value = self.monitor.value(run)?;
        let epoch = self.seen;
        self.seen += 1;
        if epoch < self.start {
            return Ok(());
        }
        self.wait += 1;
        if self.monitor.improves(value, self.best, self.min_delta) {
            if self.restore {
                // The old copy's memory is there for the new one.
                self.weights = None;
                let params = run.params();
                self.weights = Some(Weights::OnDevice(params.clone(), params.snapshot()?));
            }
            (self.best, self.best_epoch) = (Some(value), epoch);
            let beaten =
                |&baseline: &f32| self.monitor.improves(value, Some(baseline), self.min_delta);
            if self.baseline.as_ref().is_none_or(beaten) {
                self.wait = 0;
            }
            return Ok(());
        }
        if self.wait >= self.patience {
            let name = self.monitor.name();
            let reason = match self.best {
                Some(best) => {
                    format!(
                        "{name} is {value}, not better than {best} of epoch {}",
                        self.best_epoch + 1
                    )
                }
                None => format!("{name} is {value}"),
            };
            self.stopped = Some(reason.clone());
            run.stop(reason);
        }
        Ok(())
    }

    fn end(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.stopped = None;
        self.put_back(run)
    }

    fn diverged(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.put_back(run)
    }

    fn state(&self) -> Result<State> {
        let mut state = State::new();
        state.set_number("seen", self.seen as f64);
        state.set_number("wait", self.wait as f64);
        if let Some(reason) = &self.stopped {
            state.set_text("stopped", reason);
        }
        if let Some(best) = self.best {
            state.set_values("best", vec![best]);
            state.set_number("best_epoch", self.best_epoch as f64);
        }
        let mut weights = State::new();
        match &self.weights {
            Some(Weights::OnDevice(params, snapshot)) => {
                for (name, values) in params.values_of(snapshot)? {
                    weights.set_values(&name, values);
                }
            }
            Some(Weights::OnHost(state)) => weights = state.clone(),
            None => {}
        }
        state.nest("weights", weights);
        Ok(state)
    }

    fn set_state(&mut self, state: &State) -> Result<()> {
        self.seen = state.number("seen")? as usize;
        self.wait = state.number("wait")? as usize;
        self.stopped = state.text("stopped").ok().map(str::to_owned);
        (self.best, self.best_epoch) = (None, 0);
        if let Ok([best]) = state.values("best") {
            (self.best, self.best_epoch) = (Some(*best), state.number("best_epoch")? as usize);
        }
        let weights = state.nested("weights");
        self.weights = (!weights.is_empty()).then_some(Weights::OnHost(weights));
        Ok(())
    }
}
