//! The mean of the weights from some step on.

use super::{Averages, Averaging};
use crate::Result;
use crate::autograd::Params;
use crate::check::check_not_zero;
use crate::file::State;

/// The mean of the weights from some step on: stochastic weight averaging (Izmailov et al. 2018,
/// arXiv 1803.05407; PyTorch: `swa_utils.AveragedModel`), and averaged descent (Polyak & Juditsky 1992,
/// PyTorch: `ASGD`), also from the step on at which the loss no longer improves (Merity et al. 2018,
/// arXiv 1708.02182: NT-ASGD, the optimizer of AWD-LSTM, if it averages the steps of [`super::super::Sgd`]).
///
/// ```
/// use wgpu_lstm::train::{Fit, Swa};
/// // The mean of what is there every 100 steps after the first 1,000.
/// let fit = Fit::new().epochs(10).average(Swa::new().start(1000).every(100));
/// // NT-ASGD.
/// let fit = Fit::new().epochs(10).average(Swa::triggered(5));
/// # let _ = fit;
/// ```
#[derive(Debug)]
#[must_use = "an average does nothing until it is told of steps"]
pub struct Swa {
    /// The steps before the first that can count; `None` until the loss settles it.
    start: Option<u64>,
    every: u64,
    patience: usize,
    steps: u64,
    /// The losses observed, while they matter.
    losses: Vec<f32>,
    averages: Averages,
}

impl Default for Swa {
    fn default() -> Self {
        Self::new()
    }
}

impl Swa {
    /// The mean of the weights after every step.
    pub fn new() -> Self {
        Self {
            start: Some(0),
            every: 1,
            patience: 0,
            steps: 0,
            losses: Vec::new(),
            averages: Averages::default(),
        }
    }

    /// The mean of the weights from then on that an observed loss ([`Averaging::observe`]) is above the least
    /// one of those observed more than `patience` losses earlier. Merity et al. take 5.
    pub fn triggered(patience: usize) -> Self {
        Self { start: None, patience, ..Self::new() }
    }

    /// Leaves out this many steps at the beginning.
    pub fn start(mut self, steps: u64) -> Self {
        self.start = Some(steps);
        self
    }

    /// Takes the weights of one step in so many only: of the steps in an epoch, for one a epoch as PyTorch's
    /// example does.
    pub fn every(mut self, steps: u64) -> Self {
        self.every = steps;
        self
    }
}

impl Averaging for Swa {
    fn update(&mut self, params: &Params) -> Result<()> {
        self.check()?;
        self.steps += 1;
        let since = self.start.map(|start| self.steps.saturating_sub(start));
        match since {
            Some(since) if since > 0 && since.is_multiple_of(self.every) => {
                self.averages.add(params, |n| (1.0 / (n as f64 + 1.0)) as f32)
            }
            _ => self.averages.restore(params),
        }
    }

    fn check(&self) -> Result<()> {
        check_not_zero("Swa::every", self.every)
    }

    fn apply(&mut self, params: &Params) -> Result<()> {
        self.averages.apply(params)
    }

    fn restore(&mut self, params: &Params) -> Result<()> {
        self.averages.restore(params)
    }

    fn observe(&mut self, loss: f32) {
        if self.start.is_some() {
            return;
        }
        let earlier = &self.losses[..self.losses.len().saturating_sub(self.patience)];
        if loss > earlier.iter().copied().fold(f32::INFINITY, f32::min) {
            self.start = Some(self.steps);
            self.losses.clear();
        } else {
            self.losses.push(loss);
        }
    }

    fn state(&self, params: &Params) -> Result<State> {
        let mut state = State::new();
        state.set_number("steps", self.steps as f64);
        state.set_number("start", self.start.map_or(-1.0, |start| start as f64));
        state.set_values("losses", self.losses.clone());
        state.nest("averages", self.averages.state(params)?);
        Ok(state)
    }

    fn set_state(&mut self, params: &Params, state: &State) -> Result<()> {
        let (steps, start) = (state.number("steps")?, state.number("start")?);
        let losses = state.values("losses")?.to_vec();
        self.averages.set_state(params, &state.nested("averages"))?;
        self.steps = steps as u64;
        self.start = (start >= 0.0).then_some(start as u64);
        self.losses = losses;
        Ok(())
    }
}
