//! Gradient descent.

use super::optimizer;
use super::steps::Steps;
use crate::Result;
use crate::autograd::Params;
use crate::check::{check_not_negative, check_share};
use crate::file::State;
use crate::ops::optim::rule::{Kind, Rule};

/// Gradient descent, with momentum if asked for (Sutskever et al. 2013, in PyTorch's form; Keras' momentum
/// has the rate within, so that the two differ where the rate changes).
///
/// ```
/// use wgpu_lstm::train::Sgd;
/// let sgd = Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(5e-4);
/// assert_eq!(sgd.learning_rate(), 0.1);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct Sgd {
    momentum: f32,
    nesterov: bool,
    weight_decay: f32,
    steps: Steps,
}

impl Sgd {
    /// Gradient descent without momentum.
    pub fn new(learning_rate: f32) -> Self {
        let steps = Steps::new(learning_rate);
        Self { momentum: 0.0, nesterov: false, weight_decay: 0.0, steps }
    }

    /// Sets the share of the last step that goes into the next, from 0 up to, but not, 1.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// Uses Nesterov's momentum, which looks ahead.
    pub fn nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }

    /// Sets the share of each parameter that is added to its gradient: coupled weight decay, see
    /// [`crate::train::Optimizer`]. Without momentum it is the decoupled one, too.
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    fn rule(&self) -> Result<Rule> {
        check_share("Sgd::momentum", self.momentum)?;
        check_not_negative("Sgd::weight_decay", self.weight_decay)?;
        let kind = match (self.momentum > 0.0, self.nesterov) {
            (false, _) => Kind::Descent,
            (true, false) => Kind::Momentum,
            (true, true) => Kind::Nesterov,
        };
        let (beta1, l2) = (self.momentum, self.weight_decay);
        Ok(Rule { beta1, l2, ..Rule::new(kind, self.steps.rate) })
    }
}

optimizer!(Sgd, 1e-3, None);
