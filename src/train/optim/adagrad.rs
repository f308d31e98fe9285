//! Adagrad.

use super::steps::Steps;
use super::{check_epsilon, optimizer};
use crate::Result;
use crate::autograd::Params;
use crate::check::check_not_negative;
use crate::file::State;
use crate::ops::optim::rule::{Kind, Rule};

/// Adagrad (Duchi et al. 2011), with PyTorch's rules and defaults. Keras differs: a learning rate of 0.001, a
/// first sum of 0.1 and an epsilon of 1e-7 within the root.
///
/// ```
/// use wgpu_lstm::train::Adagrad;
/// let adagrad = Adagrad::new(1e-2).initial_accumulator_value(0.1);
/// assert_eq!(adagrad.learning_rate(), 1e-2);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct Adagrad {
    lr_decay: f32,
    initial_accumulator_value: f32,
    epsilon: f32,
    weight_decay: f32,
    steps: Steps,
}

impl Adagrad {
    /// Adagrad with a first sum of 0, an epsilon of 1e-10, without decay of the rate or of weights.
    pub fn new(learning_rate: f32) -> Self {
        let (lr_decay, initial_accumulator_value, epsilon, weight_decay) = (0.0, 0.0, 1e-10, 0.0);
        let steps = Steps::new(learning_rate);
        Self { lr_decay, initial_accumulator_value, epsilon, weight_decay, steps }
    }

    /// Divides the rate of step t, from 0 on, by 1 + t times this.
    pub fn lr_decay(mut self, lr_decay: f32) -> Self {
        self.lr_decay = lr_decay;
        self
    }

    /// Sets the sum of squares before the first step, at least 0.
    pub fn initial_accumulator_value(mut self, value: f32) -> Self {
        self.initial_accumulator_value = value;
        self
    }

    /// Sets the number above 0 that is added to the denominator.
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
        check_not_negative("Adagrad::lr_decay", self.lr_decay)?;
        check_not_negative("Adagrad::initial_accumulator_value", self.initial_accumulator_value)?;
        check_epsilon("Adagrad::epsilon", self.epsilon)?;
        check_not_negative("Adagrad::weight_decay", self.weight_decay)?;
        let (epsilon, l2, slowing) = (self.epsilon, self.weight_decay, self.lr_decay);
        let first = self.initial_accumulator_value;
        Ok(Rule { epsilon, l2, slowing, first, ..Rule::new(Kind::Adagrad, self.steps.rate) })
    }
}

optimizer!(Adagrad, 1e-2, Some(1.0));
