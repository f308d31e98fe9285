//! Adamax.

use super::moments::Moments;
use super::optimizer;
use super::steps::Steps;
use crate::Result;
use crate::autograd::Params;
use crate::file::State;
use crate::ops::optim::rule::{Kind, Rule};

/// Adamax, Adam by the largest gradient instead of the mean of squares (Kingma & Ba 2015, arXiv 1412.6980,
/// §7.1), with PyTorch's rules and defaults (Keras: a learning rate of 0.001, an epsilon of 1e-7 that it adds
/// in another place).
///
/// ```
/// use wgpu_lstm::train::Adamax;
/// assert_eq!(Adamax::default().learning_rate(), 2e-3);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct Adamax {
    moments: Moments,
    steps: Steps,
}

impl Adamax {
    /// Adamax with betas of 0.9 and 0.999, an epsilon of 1e-8 and no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        Self { moments: Moments::new(0.0, false), steps: Steps::new(learning_rate) }
    }

    /// Sets the decay rates of the mean and of the largest gradient, each from 0 up to, but not, 1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        self.moments.betas = (beta1, beta2);
        self
    }

    /// Sets the number above 0 that is added to the size of a gradient.
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

    fn rule(&self) -> Result<Rule> {
        let options = ["Adamax::betas", "Adamax::epsilon", "Adamax::weight_decay"];
        self.moments.rule(Kind::Adamax, self.steps.rate, options)
    }
}

optimizer!(Adamax, 2e-3, Some(1.0));
