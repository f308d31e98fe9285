//! RAdam.

use super::moments::Moments;
use super::optimizer;
use super::steps::Steps;
use crate::Result;
use crate::autograd::Params;
use crate::file::State;
use crate::ops::optim::rule::{Kind, Rule};

/// Adam that leaves its second moment out until that is reliable, as a warm-up of the rate would (Liu et al.
/// 2020, arXiv 1908.03265), with PyTorch's rules and defaults. Keras has none.
///
/// ```
/// use wgpu_lstm::train::RAdam;
/// let optimizer = RAdam::new(1e-3).weight_decay(1e-2).decoupled_weight_decay();
/// assert_eq!(optimizer.learning_rate(), 1e-3);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct RAdam {
    moments: Moments,
    steps: Steps,
}

impl RAdam {
    /// RAdam with betas of 0.9 and 0.999, an epsilon of 1e-8 and no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        Self { moments: Moments::new(0.0, false), steps: Steps::new(learning_rate) }
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

    fn rule(&self) -> Result<Rule> {
        let options = ["RAdam::betas", "RAdam::epsilon", "RAdam::weight_decay"];
        self.moments.rule(Kind::RAdam, self.steps.rate, options)
    }
}

optimizer!(RAdam, 1e-3, Some(1.0));
