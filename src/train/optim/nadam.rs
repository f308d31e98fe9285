//! NAdam.

use super::moments::Moments;
use super::optimizer;
use super::steps::Steps;
use crate::Result;
use crate::autograd::Params;
use crate::check::check_not_negative;
use crate::file::State;
use crate::ops::optim::rule::{Kind, Rule};

/// Adam with Nesterov's momentum, which is less at first (Dozat 2016), with PyTorch's rules and defaults (Keras'
/// `Nadam`: a learning rate of 0.001, an epsilon of 1e-7).
///
/// ```
/// use wgpu_lstm::train::NAdam;
/// let optimizer = NAdam::new(1e-3).weight_decay(1e-2).decoupled_weight_decay();
/// assert_eq!(optimizer.learning_rate(), 1e-3);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct NAdam {
    moments: Moments,
    momentum_decay: f32,
    steps: Steps,
}

impl NAdam {
    /// NAdam with betas of 0.9 and 0.999, an epsilon of 1e-8 and no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        let moments = Moments::new(0.0, false);
        Self { moments, momentum_decay: 4e-3, steps: Steps::new(learning_rate) }
    }

    /// Sets the decay rates of the two moments, each from 0 up to, but not, 1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        self.moments.betas = (beta1, beta2);
        self
    }

    /// Sets the number above 0 that is added to the denominator.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.moments.epsilon = epsilon;
        self
    }

    /// Sets the share of each parameter that is added to its gradient: coupled weight decay, see
    /// [`crate::train::Optimizer`].
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.moments.weight_decay = weight_decay;
        self
    }

    /// Makes the weight decay decoupled: the share, times the learning rate, that each parameter loses in a
    /// step.
    pub fn decoupled_weight_decay(mut self) -> Self {
        self.moments.decoupled = true;
        self
    }

    /// Sets how fast the momentum goes from half of the first beta to all of it: 0.004 by default.
    pub fn momentum_decay(mut self, momentum_decay: f32) -> Self {
        self.momentum_decay = momentum_decay;
        self
    }

    fn rule(&self) -> Result<Rule> {
        let options = ["NAdam::betas", "NAdam::epsilon", "NAdam::weight_decay"];
        let rule = self.moments.rule(Kind::NAdam, self.steps.rate, options)?;
        check_not_negative("NAdam::momentum_decay", self.momentum_decay)?;
        Ok(Rule { slowing: self.momentum_decay, ..rule })
    }
}

optimizer!(NAdam, 2e-3, Some(1.0));
