//! Lion.

use super::optimizer;
use super::steps::Steps;
use crate::Result;
use crate::autograd::Params;
use crate::check::{check_not_negative, check_share};
use crate::file::State;
use crate::ops::optim::rule::{Kind, Rule};

/// Lion (Chen et al. 2023, arXiv 2302.06675): a step of the same size for every parameter, by the sign of a
/// mean; one number for each parameter. Its rate is to be a third to a tenth of Adam's, and its decoupled
/// weight decay as many times larger. Keras has it, with a learning rate of 0.001.
///
/// ```
/// use wgpu_lstm::train::Lion;
/// let lion = Lion::new(1e-4).weight_decay(0.1);
/// assert_eq!(lion.learning_rate(), 1e-4);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct Lion {
    betas: (f32, f32),
    weight_decay: f32,
    steps: Steps,
}

impl Lion {
    /// Lion with betas of 0.9 and 0.99 and no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        Self { betas: (0.9, 0.99), weight_decay: 0.0, steps: Steps::new(learning_rate) }
    }

    /// Sets the share of the mean in what gives the sign, and its decay rate, each from 0 up to, but not, 1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        self.betas = (beta1, beta2);
        self
    }

    /// Sets the weight decay: the share, times the learning rate, that each parameter loses in a step.
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    fn rule(&self) -> Result<Rule> {
        let (beta1, beta2) = self.betas;
        check_share("Lion::betas", beta1)?;
        check_share("Lion::betas", beta2)?;
        check_not_negative("Lion::weight_decay", self.weight_decay)?;
        let rate = self.steps.rate;
        let decay = rate * self.weight_decay;
        Ok(Rule { beta1, beta2, decay, ..Rule::new(Kind::Lion, rate) })
    }
}

optimizer!(Lion, 1e-4, Some(1.0));
