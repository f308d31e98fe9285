//! Adadelta.

use super::steps::Steps;
use super::{check_epsilon, optimizer};
use crate::Result;
use crate::autograd::Params;
use crate::check::{check_not_negative, check_share};
use crate::file::State;
use crate::ops::optim::rule::{Kind, Rule};

/// Adadelta (Zeiler 2012, arXiv 1212.5701), with PyTorch's rules and defaults: a learning rate of 1, as in the
/// paper. Keras differs: a learning rate of 0.001, a rho of 0.95, an epsilon of 1e-7.
///
/// ```
/// use wgpu_lstm::train::Adadelta;
/// assert_eq!(Adadelta::default().rho(0.95).learning_rate(), 1.0);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct Adadelta {
    rho: f32,
    epsilon: f32,
    weight_decay: f32,
    steps: Steps,
}

impl Adadelta {
    /// Adadelta with a rho of 0.9, an epsilon of 1e-6 and no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        let steps = Steps::new(learning_rate);
        Self { rho: 0.9, epsilon: 1e-6, weight_decay: 0.0, steps }
    }

    /// Sets the decay rate of the means of squares, of gradients and of steps, from 0 up to, but not, 1.
    pub fn rho(mut self, rho: f32) -> Self {
        self.rho = rho;
        self
    }

    /// Sets the number above 0 that is added within both roots; the first steps go with it.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Sets the share of each parameter that is added to its gradient: coupled weight decay, see
    /// [`crate::train::Optimizer`].
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    fn rule(&self) -> Result<Rule> {
        check_share("Adadelta::rho", self.rho)?;
        check_epsilon("Adadelta::epsilon", self.epsilon)?;
        check_not_negative("Adadelta::weight_decay", self.weight_decay)?;
        let (beta2, epsilon, l2) = (self.rho, self.epsilon, self.weight_decay);
        Ok(Rule { beta2, epsilon, l2, ..Rule::new(Kind::Adadelta, self.steps.rate) })
    }
}

optimizer!(Adadelta, 1.0, None);
