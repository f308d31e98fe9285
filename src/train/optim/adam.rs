//! Adam and AdamW.

use super::moments::Moments;
use super::optimizer;
use super::steps::Steps;
use crate::Result;
use crate::autograd::Params;
use crate::file::State;
use crate::ops::optim::rule::{Kind, Rule};

/// Adam (Kingma & Ba 2015, arXiv 1412.6980) with PyTorch's rules and defaults, but for its weight decay, which
/// is decoupled (Loshchilov & Hutter 2019) unless asked for otherwise.
///
/// ```
/// use wgpu_lstm::train::Adam;
/// let adam = Adam::new(2e-3).weight_decay(1e-2);
/// assert_eq!(adam.learning_rate(), 2e-3);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct Adam {
    moments: Moments,
    amsgrad: bool,
    steps: Steps,
}

impl Adam {
    /// Adam with betas of 0.9 and 0.999, an epsilon of 1e-8 and no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        let moments = Moments::new(0.0, true);
        Self { moments, amsgrad: false, steps: Steps::new(learning_rate) }
    }

    /// Sets the decay rates of the two moments, each from 0 up to, but not, 1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        self.moments.betas = (beta1, beta2);
        self
    }

    /// Sets the number that is added to the denominator (Keras: 1e-7). It must be above 0, since a parameter
    /// whose gradients were all 0 would otherwise become NaN. As in PyTorch, it is added once the bias of the
    /// mean of squares is corrected; Keras adds it before, so with the same number, such as its 1e-7, early steps
    /// differ where gradients are small.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.moments.epsilon = epsilon;
        self
    }

    /// Sets the weight decay: the share, times the learning rate, that each parameter loses in a step. It is
    /// decoupled, as Keras' and that of [`AdamW`]; see [`Adam::coupled_weight_decay`].
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.moments.weight_decay = weight_decay;
        self
    }

    /// Makes the weight decay PyTorch's `Adam(weight_decay=…)`: the share of each parameter that is added to
    /// its gradient. See [`crate::train::Optimizer`].
    pub fn coupled_weight_decay(mut self) -> Self {
        self.moments.decoupled = false;
        self
    }

    /// Divides by the largest mean of squares so far instead of the present one (Reddi et al. 2018, arXiv
    /// 1904.09237). It takes a third number for each parameter.
    pub fn amsgrad(mut self) -> Self {
        self.amsgrad = true;
        self
    }

    fn rule(&self) -> Result<Rule> {
        let kind = if self.amsgrad { Kind::AmsGrad } else { Kind::Adam };
        let options = ["Adam::betas", "Adam::epsilon", "Adam::weight_decay"];
        self.moments.rule(kind, self.steps.rate, options)
    }
}

optimizer!(Adam, 1e-3, Some(1.0));

/// [`Adam`] with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101), of 0.01 by default as in
/// PyTorch (Keras: 0.004).
///
/// ```
/// use wgpu_lstm::Device;
/// use wgpu_lstm::nn::{Group, Params};
/// use wgpu_lstm::train::AdamW;
/// let adam = AdamW::new(1e-3).weight_decay(0.05);
/// assert_eq!(adam.learning_rate(), 1e-3);
/// // As is usual, without decay of biases.
/// let params = Params::new(&Device::auto()?);
/// params.group(|name| name.contains(".bias"), Group::new().weight_decay(0.0))?;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct AdamW {
    moments: Moments,
    amsgrad: bool,
    steps: Steps,
}

impl AdamW {
    /// AdamW with betas of 0.9 and 0.999, an epsilon of 1e-8 and a weight decay of 0.01.
    pub fn new(learning_rate: f32) -> Self {
        let moments = Moments::new(1e-2, true);
        Self { moments, amsgrad: false, steps: Steps::new(learning_rate) }
    }

    /// Sets the decay rates of the two moments, each from 0 up to, but not, 1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        self.moments.betas = (beta1, beta2);
        self
    }

    /// Sets the number above 0 that is added to the denominator (Keras: 1e-7), as in PyTorch after the bias of the
    /// mean of squares is corrected: see [`Adam::epsilon`] for where Keras' early steps differ.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.moments.epsilon = epsilon;
        self
    }

    /// Sets the weight decay: the share, times the learning rate, that each parameter loses in a step.
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.moments.weight_decay = weight_decay;
        self
    }

    /// See [`Adam::amsgrad`].
    pub fn amsgrad(mut self) -> Self {
        self.amsgrad = true;
        self
    }

    fn rule(&self) -> Result<Rule> {
        let kind = if self.amsgrad { Kind::AmsGrad } else { Kind::Adam };
        let options = ["AdamW::betas", "AdamW::epsilon", "AdamW::weight_decay"];
        self.moments.rule(kind, self.steps.rate, options)
    }
}

optimizer!(AdamW, 1e-3, Some(1.0));
