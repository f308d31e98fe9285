//! RMSprop.

use super::steps::Steps;
use super::{check_epsilon, optimizer};
use crate::Result;
use crate::autograd::Params;
use crate::check::{check_not_negative, check_share};
use crate::file::State;
use crate::ops::optim::rule::{Kind, Rule};

/// RMSprop (Tieleman & Hinton 2012; centered: Graves 2013, arXiv 1308.0850), with PyTorch's rules and defaults.
/// Keras differs: a learning rate of 0.001, an alpha, which it calls `rho`, of 0.9, an epsilon of 1e-7 within
/// the root, and the learning rate within the momentum.
///
/// ```
/// use wgpu_lstm::train::RmsProp;
/// let rms_prop = RmsProp::new(1e-3).alpha(0.9).momentum(0.5).centered();
/// assert_eq!(rms_prop.learning_rate(), 1e-3);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct RmsProp {
    alpha: f32,
    epsilon: f32,
    momentum: f32,
    centered: bool,
    weight_decay: f32,
    steps: Steps,
}

impl RmsProp {
    /// RMSprop with an alpha of 0.99, an epsilon of 1e-8, without momentum and weight decay.
    pub fn new(learning_rate: f32) -> Self {
        let (alpha, epsilon, momentum, weight_decay) = (0.99, 1e-8, 0.0, 0.0);
        let steps = Steps::new(learning_rate);
        Self { alpha, epsilon, momentum, centered: false, weight_decay, steps }
    }

    /// Sets the decay rate of the mean of squares, from 0 up to, but not, 1.
    pub fn alpha(mut self, alpha: f32) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the number above 0 that is added to the denominator.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Sets the share of the last step that goes into the next, from 0 up to, but not, 1.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// Divides by the deviation of the gradients instead of their size: the mean is taken off. A variance that
    /// rounding makes negative is 0.
    pub fn centered(mut self) -> Self {
        self.centered = true;
        self
    }

    /// Sets the share of each parameter that is added to its gradient: coupled weight decay, see
    /// [`crate::train::Optimizer`].
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    fn rule(&self) -> Result<Rule> {
        check_share("RmsProp::alpha", self.alpha)?;
        check_epsilon("RmsProp::epsilon", self.epsilon)?;
        check_share("RmsProp::momentum", self.momentum)?;
        check_not_negative("RmsProp::weight_decay", self.weight_decay)?;
        let kind = match (self.centered, self.momentum > 0.0) {
            (false, false) => Kind::RmsProp,
            (false, true) => Kind::RmsPropMomentum,
            (true, false) => Kind::RmsPropCentered,
            (true, true) => Kind::RmsPropCenteredMomentum,
        };
        let (beta1, beta2, epsilon) = (self.momentum, self.alpha, self.epsilon);
        let l2 = self.weight_decay;
        Ok(Rule { beta1, beta2, epsilon, l2, ..Rule::new(kind, self.steps.rate) })
    }
}

optimizer!(RmsProp, 1e-2, Some(1.0));
