//! Penalties and limits that keep parameters and outputs small.

use crate::autograd::{ParamId, Tape, Var};
use crate::check::check_positive;
use crate::ops::optim::regularizer;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A term of the loss that keeps values small: `l1` times the sum of |x|, plus `l2` times the sum
/// of x², as Keras has them.
///
/// [`crate::Sequential`] adds them to its loss. In a loop of your own, [`Tape::regularized`] does.
///
/// ```
/// use wgpu_lstm::nn::{Lstm, Regularizer};
/// let layer = Lstm::new(16)
///     .kernel_regularizer(Regularizer::l2(1e-4))
///     .activity_regularizer(Regularizer::l1(1e-5));
/// # let _ = layer;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use = "a regularizer does nothing until a layer has it"]
pub struct Regularizer {
    l1: f32,
    l2: f32,
}

impl Regularizer {
    /// A penalty of `factor` times the sum of |x| (lasso).
    pub fn l1(factor: f32) -> Self {
        Self { l1: factor, l2: 0.0 }
    }

    /// A penalty of `factor` times the sum of x² (ridge, weight decay).
    pub fn l2(factor: f32) -> Self {
        Self { l1: 0.0, l2: factor }
    }

    /// A penalty of `l1` times the sum of |x| plus `l2` times the sum of x² (elastic net).
    pub fn l1_l2(l1: f32, l2: f32) -> Self {
        Self { l1, l2 }
    }

    pub(super) fn factors(self) -> Option<[f32; 2]> {
        (self != Self::default()).then_some([self.l1, self.l2])
    }

    pub(super) fn check(self, option: &'static str) -> Result<()> {
        match [self.l1, self.l2].into_iter().find(|f| !(0.0..f32::MAX).contains(f)) {
            Some(bad) => Err(Error::Option {
                option,
                found: bad.to_string(),
                expected: "finite factors of at least 0".into(),
            }),
            None => Ok(()),
        }
    }
}

/// Adds the penalty on a layer's outputs to the tape, as a mean over the rows of the batch. Steps that do
/// not count have none.
pub(super) fn penalize_activity(tape: &Tape, regularizer: Regularizer, x: &Var) -> Result<()> {
    let Some(factors) = regularizer.factors() else { return Ok(()) };
    let rows = x.shape().first().copied().unwrap_or(1).max(1) as f32;
    let factors = factors.map(|f| f / rows);
    let saved = super::functions::zero_padding_untaped("activity_regularizer", x)?;
    let id = tape.id(x);
    let y = regularizer::penalty(&saved, factors)?;
    tape.penalize(tape.push_one(y, id.is_some(), move |d_loss, gradients| {
        let d_x = crate::Tensor::empty(saved.shape(), &saved.device())?;
        regularizer::backward(&saved, factors, d_loss, &d_x, false)?;
        gradients.add(id, d_x)
    }));
    Ok(())
}

/// The penalty and the limit of norms of one parameter of a layer.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Constraints {
    pub(super) regularizer: Regularizer,
    pub(super) max_norm: Option<f32>,
}

impl Constraints {
    /// Checks both; the arguments are the paths of the methods that set them.
    pub(super) fn check(self, regularizer: &'static str, max_norm: &'static str) -> Result<()> {
        self.regularizer.check(regularizer)?;
        self.max_norm.map_or(Ok(()), |limit| check_positive(max_norm, limit))
    }

    /// Applies both to a parameter whose rows are `columns` words long in memory.
    pub(super) fn apply(self, params: &super::Params, id: ParamId, columns: usize) {
        params.set_constraints(id, self.regularizer.factors(), self.max_norm.map(|l| (l, columns)));
    }
}
