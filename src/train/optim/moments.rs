//! The options that Adam and its relatives share.

use super::check_epsilon;
use crate::Result;
use crate::check::{check_not_negative, check_share};
use crate::ops::optim::rule::{Kind, Rule};

/// What Adam and its relatives share: two moments, what keeps their quotient finite, and weight decay of
/// either kind.
#[derive(Debug)]
pub(super) struct Moments {
    pub(super) betas: (f32, f32),
    pub(super) epsilon: f32,
    pub(super) weight_decay: f32,
    /// Whether the decay is a share of the parameters, not of their gradients.
    pub(super) decoupled: bool,
}

impl Moments {
    /// Betas of 0.9 and 0.999, and an epsilon of 1e-8.
    pub(super) fn new(weight_decay: f32, decoupled: bool) -> Self {
        Self { betas: (0.9, 0.999), epsilon: 1e-8, weight_decay, decoupled }
    }

    /// The rule of this kind; `options` are the names of betas, epsilon and weight decay.
    pub(super) fn rule(&self, kind: Kind, rate: f32, options: [&'static str; 3]) -> Result<Rule> {
        let Self { betas: (beta1, beta2), epsilon, weight_decay, decoupled } = *self;
        check_share(options[0], beta1)?;
        check_share(options[0], beta2)?;
        check_epsilon(options[1], epsilon)?;
        check_not_negative(options[2], weight_decay)?;
        let (l2, decay) = match decoupled {
            true => (0.0, rate * weight_decay),
            false => (weight_decay, 0.0),
        };
        Ok(Rule { beta1, beta2, epsilon, decay, l2, ..Rule::new(kind, rate) })
    }
}
