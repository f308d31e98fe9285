//! The exponential moving average of the weights.

use super::{Averages, Averaging};
use crate::Result;
use crate::autograd::Params;
use crate::check::check_share;
use crate::file::State;

/// The exponential moving average of the weights: after each step
/// `average = decay * average + (1 - decay) * weights`, the first time `average = weights`, so that no
/// correction of a bias is needed (PyTorch: `swa_utils.AveragedModel` with `get_ema_multi_avg_fn`; Keras:
/// `use_ema`; Polyak & Juditsky 1992).
///
/// ```
/// use wgpu_lstm::train::{Ema, Fit};
/// let mut ema = Ema::new(0.999);
/// let fit = Fit::new().epochs(10).average(&mut ema);
/// # let _ = fit;
/// ```
#[derive(Debug)]
#[must_use = "an average does nothing until it is told of steps"]
pub struct Ema {
    decay: f32,
    warm_up: bool,
    averages: Averages,
}

impl Ema {
    /// An average with this decay, from 0 up to, but not, 1: of about the last 1 / (1 - decay) steps.
    pub fn new(decay: f32) -> Self {
        Self { decay, warm_up: false, averages: Averages::default() }
    }

    /// Lets the first weights, which are far from where the training goes, count less: the decay is
    /// `min(decay, (1 + n) / (10 + n))` where n weights were averaged before (TensorFlow:
    /// `ExponentialMovingAverage` with `num_updates`).
    pub fn warm_up(mut self) -> Self {
        self.warm_up = true;
        self
    }
}

impl Averaging for Ema {
    fn update(&mut self, params: &Params) -> Result<()> {
        self.check()?;
        let (decay, warm_up) = (f64::from(self.decay), self.warm_up);
        self.averages.add(params, |n| {
            let n = n as f64;
            let decay = if warm_up { decay.min((1.0 + n) / (10.0 + n)) } else { decay };
            (1.0 - decay) as f32
        })
    }

    fn check(&self) -> Result<()> {
        check_share("Ema::decay", self.decay)
    }

    fn apply(&mut self, params: &Params) -> Result<()> {
        self.averages.apply(params)
    }

    fn restore(&mut self, params: &Params) -> Result<()> {
        self.averages.restore(params)
    }

    fn state(&self, params: &Params) -> Result<State> {
        self.averages.state(params)
    }

    fn set_state(&mut self, params: &Params, state: &State) -> Result<()> {
        self.averages.set_state(params, state)
    }
}
