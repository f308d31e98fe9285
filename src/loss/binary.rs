//! The cross-entropy between yes or no and a sigmoid.

use super::{RowWeights, binary_cross_entropy, check_weight, two_sided};
use crate::autograd::{Tape, Var};
use crate::ops::loss::two_sided_loss::Kind;
use crate::{Error, Result, Tensor};
use std::sync::Arc;

const OP: &str = "loss::BinaryCrossEntropy";

/// A binary cross-entropy with weights, for classes of which one is rare.
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, loss::BinaryCrossEntropy, nn::Params};
/// let device = Device::auto()?;
/// let tape = Tape::new(&Params::new(&device));
/// let logits = tape.input(Tensor::zeros([2, 1], &device)?);
/// let targets = Tensor::from_slice(&[1.0, 0.0], [2, 1], &device)?;
/// // Yes counts three times.
/// let loss = BinaryCrossEntropy::new().pos_weight([3.0]).loss(&tape, &logits, &targets, None)?;
/// assert!((loss.tensor().to_vec()?[0] - 2.0 * 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use = "a loss does nothing until it is computed"]
pub struct BinaryCrossEntropy {
    /// The weights of no and yes: of all outputs, or of each; none without.
    sides: Arc<[[f32; 2]]>,
}

impl BinaryCrossEntropy {
    /// The plain binary cross-entropy: see [`binary_cross_entropy`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how much yes counts, where no counts 1: of each output, or one number for all of them. PyTorch's
    /// `pos_weight`. The number of rows that are no over that of rows that are yes makes both count alike.
    pub fn pos_weight(self, weights: impl Into<Vec<f32>>) -> Self {
        let mut weights = weights.into();
        if weights.is_empty() {
            // Which is no weight that the check lets through.
            weights.push(f32::NAN);
        }
        Self { sides: weights.into_iter().map(|yes| [1.0, yes]).collect() }
    }

    /// Sets how much no (class 0) and yes (class 1) count, of all outputs: Keras' `class_weight={0: .., 1: ..}`,
    /// scikit-learn's `class_weight`. As in Keras and with `pos_weight` the mean is over the number of rows,
    /// whatever they weigh, so that `[1.0, w]` is [`BinaryCrossEntropy::pos_weight`] of w. The later of the two
    /// calls holds.
    ///
    /// ```
    /// use wgpu_lstm::train::Loss;
    /// use wgpu_lstm::loss::BinaryCrossEntropy;
    /// // scikit-learn's "balanced", of 900 rows that are no and 100 that are yes: N / (2 n) each.
    /// let weights = [900.0, 100.0].map(|n| 1000.0 / (2.0 * n));
    /// let loss = Loss::BinaryCrossEntropyWith(BinaryCrossEntropy::new().class_weights(weights));
    /// # let _ = loss;
    /// ```
    pub fn class_weights(self, weights: [f32; 2]) -> Self {
        Self { sides: [weights].into() }
    }

    /// Checks the options as far as no logits are needed.
    pub(crate) fn check(&self) -> Result<()> {
        let weights = self.sides.iter().flatten();
        weights.copied().try_for_each(|w| check_weight("BinaryCrossEntropy::pos_weight", w))
    }

    /// Checks that there is a weight for each output, or for all of them, if there are weights.
    pub(crate) fn check_outputs(&self, outputs: usize) -> Result<()> {
        if self.sides.len() <= 1 || self.sides.len() == outputs {
            return Ok(());
        }
        Err(Error::Option {
            option: "BinaryCrossEntropy::pos_weight",
            found: format!("{} weights", self.sides.len()),
            expected: format!("1, or {outputs}, one for each output"),
        })
    }

    /// The mean over the elements of w₀ (1 - y) softplus(x) + w₁ y softplus(-x), where `logits` x is `[..,C]`
    /// and `targets` y as large, from 0 to 1: `[1]`. Without weights it is [`binary_cross_entropy`].
    ///
    /// # Errors
    /// As [`binary_cross_entropy`]; [`Error::Option`] for weights that are not 0 or from 1e-12 to 1e12, or as many
    /// as neither 1 nor C.
    pub fn loss(
        &self,
        tape: &Tape,
        logits: &Var,
        targets: &Tensor,
        weights: Option<&RowWeights>,
    ) -> Result<Var> {
        let Some(&first) = self.sides.first() else {
            return binary_cross_entropy(tape, logits, targets, weights);
        };
        self.check()?;
        let outputs = logits.shape().last().copied().unwrap_or(0);
        self.check_outputs(outputs)?;
        let sides: Vec<_> =
            (0..outputs).map(|j| self.sides.get(j).copied().unwrap_or(first)).collect();
        two_sided(OP, Kind::BinaryCrossEntropy, tape, logits, targets, (&sides, 1), weights)
    }
}
