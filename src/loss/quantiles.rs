//! The pinball losses, which make a model learn quantiles.

use super::{RowWeights, pointwise, two_sided};
use crate::autograd::{Tape, Var};
use crate::ops::loss::pointwise_loss::Kind;
use crate::ops::loss::two_sided_loss::Kind as TwoSided;
use crate::{Error, Result, Tensor};

/// The pinball loss, which makes x the `quantile` of y: the mean over the elements of
/// `quantile` (y - x) where x is too small, else of (1 - `quantile`) (x - y)
/// (Koenker & Bassett 1978).
///
/// # Errors
/// [`Error::Option`] if `quantile` is not between 0 and 1, and as [`super::binary_cross_entropy`].
pub fn quantile(
    tape: &Tape,
    prediction: &Var,
    targets: &Tensor,
    quantile: f32,
    weights: Option<&RowWeights>,
) -> Result<Var> {
    check_quantile(quantile)?;
    pointwise("loss::quantile", Kind::Pinball { quantile }, tape, prediction, targets, weights)
}

/// The mean of the pinball losses of several quantiles (Koenker & Bassett 1978; the mean of scikit-learn's
/// `mean_pinball_loss` over the quantiles), for forecasts with an interval.
///
/// `targets` is `[..,C]`, and `prediction` `[..,C·Q]`: the Q quantiles of the first target, in the order of
/// `quantiles`, then those of the second. The result is `[1]`.
///
/// Each output learns its quantile by itself: with few data, or far from all that was learned, the 0.1 may come out
/// above the 0.5. Sort the quantiles of a target then: that never makes the loss worse (Chernozhukov et al. 2010,
/// doi:10.3982/ECTA7880).
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, loss, nn::Params};
/// let device = Device::auto()?;
/// let tape = Tape::new(&Params::new(&device));
/// let x = tape.input(Tensor::from_slice(&[1.0, 2.0, 4.0], [1, 3], &device)?);
/// let y = Tensor::from_slice(&[3.0], [1, 1], &device)?;
/// let loss = loss::quantiles(&tape, &x, &y, &[0.1, 0.5, 0.9], None)?;
/// // (0.1 · 2 + 0.5 · 1 + 0.1 · 1) / 3
/// assert!((loss.tensor().to_vec()?[0] - 0.8 / 3.0).abs() < 1e-6);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// [`Error::Option`] unless the quantiles are between 0 and 1 and each is above the one before it;
/// [`Error::Shape`] if the prediction has not Q outputs for each target; and as
/// [`super::binary_cross_entropy`].
pub fn quantiles(
    tape: &Tape,
    prediction: &Var,
    targets: &Tensor,
    quantiles: &[f32],
    weights: Option<&RowWeights>,
) -> Result<Var> {
    const OP: &str = "loss::quantiles";
    check_quantiles(quantiles)?;
    let outputs = prediction.shape().last().copied().unwrap_or(0);
    let of = quantiles.iter().map(|&q| [1.0 - q, q]);
    let sides: Vec<_> = of.cycle().take(outputs).collect();
    let sides = (&sides[..], quantiles.len());
    two_sided(OP, TwoSided::Pinball, tape, prediction, targets, sides, weights)
}

pub(crate) fn check_quantile(quantile: f32) -> Result<()> {
    if quantile > 0.0 && quantile < 1.0 {
        return Ok(());
    }
    let expected = "between 0 and 1".into();
    let option = "Quantile::quantile";
    Err(Error::Option { option, found: quantile.to_string(), expected })
}

pub(crate) fn check_quantiles(quantiles: &[f32]) -> Result<()> {
    let within = quantiles.iter().all(|&q| q > 0.0 && q < 1.0);
    if within && !quantiles.is_empty() && quantiles.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok(());
    }
    Err(Error::Option {
        option: "Loss::Quantiles",
        found: format!("{quantiles:?}"),
        expected: "one or more between 0 and 1, each above the one before it".into(),
    })
}
