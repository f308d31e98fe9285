//! Losses for training loops: each computes one number on the device, and its gradient.
//!
//! Losses without options are functions: [`mean_squared_error`]. Those with options are values that are
//! made once and used at each step: [`CrossEntropy`], [`BinaryCrossEntropy`] and [`Ctc`], each with a function
//! for the plain form, and [`Distribution`], the likelihood of targets. [`crate::train::Loss`] names them for [`crate::Sequential`], which computes them on the
//! logits of its last layer, before a softmax or sigmoid. [`Ctc`] is for loops of your own; it has the decoders,
//! too: [`Ctc::greedy`], [`Ctc::beam_search`] with a language model, and [`Ctc::align`] for known labels.
//!
//! The loss of whole paths of tags, whose parameters are trained, too, is a layer's: [`crate::nn::Crf`].
//!
//! Several losses in one step, each with a weight: give all of them to
//! [`Tape::backward_from`], with the weights as their gradients.
//!
//! All but [`Ctc`] count every row, padding too: for sequences of different lengths give them
//! [`RowWeights::from_lengths`], for those with a mask [`RowWeights::from_mask`].

mod binary;
mod classes;
mod ctc;
mod likelihood;
mod quantiles;

pub use binary::BinaryCrossEntropy;
pub(crate) use classes::likeliest;
pub use classes::{CrossEntropy, Labels, cross_entropy};
pub use ctc::{Alignment, BeamSearch, Ctc, Decoded, Emissions, Reduction, Span, ctc};
pub use likelihood::Distribution;
pub(crate) use quantiles::{check_quantile, check_quantiles};
pub use quantiles::{quantile, quantiles};

use crate::autograd::{Tape, Var};
use crate::check::{Check, check_positive};
use crate::ops::common::last_axis;
use crate::ops::loss::pointwise_loss::{self, Kind};
use crate::ops::loss::two_sided_loss;
use crate::ops::sums::reduce_sum::reduce_sum;
use crate::tensor::{count, room_for};
use crate::{DType, Device, Error, Lengths, Mask, Result, Tensor};
use std::sync::Arc;

/// The weight of each row in a loss. Rows of weight 0 have no effect, even if they hold NaN.
#[derive(Debug, Clone)]
pub struct RowWeights {
    host: Arc<[f32]>,
    tensor: Tensor,
    sum: f32,
    shares: Shares,
}

/// The weights of a mean, scaled by a power of two if their sum over all elements, or one over it, would
/// otherwise be no float.
#[derive(Debug, Clone)]
struct Shares {
    host: Arc<[f32]>,
    tensor: Tensor,
    sum: f64,
}

impl RowWeights {
    /// One weight for each row: none negative, not all 0.
    ///
    /// # Errors
    /// [`Error::Option`] for others, and those of [`Tensor::from_slice`].
    pub fn new(weights: &[f32], device: &Device) -> Result<Self> {
        let new = Self::new_allow_zero_sum(weights, device)?;
        if new.sum > 0.0 && new.sum.is_finite() && weights.iter().all(|&w| w >= 0.0) {
            check_sum("RowWeights::weights", new.sum)?;
            return Ok(new);
        }
        Err(Error::Option {
            option: "RowWeights::weights",
            found: format!("{} values with the sum {}", weights.len(), new.sum),
            expected: "finite values of at least 0, one of them above".into(),
        })
    }

    /// As [`RowWeights::new`], but all weights may be 0: the loss of such a batch is 0.
    pub(crate) fn new_allow_zero_sum(weights: &[f32], device: &Device) -> Result<Self> {
        // In f64: f32 stops counting at 16,777,216.
        let sum = weights.iter().map(|&w| f64::from(w)).sum::<f64>();
        let host: Arc<[f32]> = weights.into();
        let tensor = Tensor::from_slice(weights, [weights.len()], device)?;
        let largest = weights.iter().fold(0.0f32, |largest, &w| largest.max(w));
        let shares = if largest == 0.0 || (1e-9..=1e9).contains(&largest) {
            Shares { host: host.clone(), tensor: tensor.clone(), sum }
        } else {
            // A power of two, which changes no digit.
            let unit = 2f64.powi(-(f64::from(largest).log2().floor() as i32));
            let host: Arc<[f32]> = weights.iter().map(|&w| (f64::from(w) * unit) as f32).collect();
            let tensor = Tensor::from_slice(&host, [weights.len()], device)?;
            Shares { host, tensor, sum: sum * unit }
        };
        Ok(Self { host, tensor, sum: sum as f32, shares })
    }

    /// The weight 1 for each timestep of a sequence, 0 for the padding behind it: for values `[B,T,..]`.
    ///
    /// # Errors
    /// Those of [`RowWeights::new`].
    pub fn from_lengths(lengths: &Lengths, timesteps: usize) -> Result<Self> {
        let len = count(&[lengths.values().len(), timesteps]);
        let mut weights: Vec<f32> = room_for("a weight for each frame", len)?;
        for &length in lengths.values() {
            weights.extend((0..timesteps).map(|t| f32::from(t < length as usize)));
        }
        Self::new(&weights, &lengths.tensor.device())
    }

    /// The weight 1 for each timestep that a mask lets count, 0 for all others: for values `[B,T,..]`.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Mask, loss::RowWeights};
    /// let mask = Mask::new(&[true, false, true, true], [2, 2], &Device::auto()?)?;
    /// assert_eq!(RowWeights::from_mask(&mask)?.values(), [1.0, 0.0, 1.0, 1.0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`RowWeights::new`]: [`Error::Option`] for a mask that leaves out every step.
    pub fn from_mask(mask: &Mask) -> Result<Self> {
        let mut weights = room_for("a weight for each frame", mask.values().len())?;
        weights.extend(mask.values().iter().map(|&on| f32::from(on)));
        Self::new(&weights, &mask.tensor.device())
    }

    /// The weights' sum.
    pub fn sum(&self) -> f32 {
        self.sum
    }

    /// The weights on the host.
    pub fn values(&self) -> &[f32] {
        &self.host
    }

    pub(crate) fn tensor(&self) -> &Tensor {
        &self.tensor
    }
}

/// Checks that a mean over weights with this sum can be taken in floats.
pub(crate) fn check_sum(option: &'static str, sum: f32) -> Result<()> {
    check_total(option, sum.into())
}

/// Checks, before the sum is rounded, that a mean over weights with this sum can be taken in floats.
fn check_total(option: &'static str, sum: f64) -> Result<()> {
    if sum == 0.0 || ((sum as f32).is_finite() && one_over(sum).is_normal()) {
        return Ok(());
    }
    let found = format!("of values with the sum {sum}");
    let expected = "neither close to 0 nor as large as no float: values of about 1".into();
    Err(Error::Option { option, found, expected })
}

/// One over a sum of weights; 0 where nothing counts.
fn one_over(sum: f64) -> f32 {
    if sum > 0.0 { (1.0 / sum) as f32 } else { 0.0 }
}

/// Sigmoid and binary cross-entropy in one: the mean over the elements of
/// softplus(x) - x y, where `logits` x is `[..,C]` and `targets` y as large, from 0 to 1.
///
/// Keras' `binary_crossentropy` and PyTorch's `BCEWithLogitsLoss`. The result is `[1]`.
/// [`BinaryCrossEntropy`] has weights.
///
/// # Errors
/// [`Error::Shape`] if `targets` is not as large as `logits` or there is not one weight for
/// each row, [`Error::OtherDevice`], [`Error::DType`].
pub fn binary_cross_entropy(
    tape: &Tape,
    logits: &Var,
    targets: &Tensor,
    weights: Option<&RowWeights>,
) -> Result<Var> {
    pointwise(
        "loss::binary_cross_entropy",
        Kind::BinaryCrossEntropy,
        tape,
        logits,
        targets,
        weights,
    )
}

/// The mean over the elements of (x - y)², where `prediction` x is `[..,C]` and `targets` y as
/// large. The result is `[1]`.
///
/// # Errors
/// As [`binary_cross_entropy`].
pub fn mean_squared_error(
    tape: &Tape,
    prediction: &Var,
    targets: &Tensor,
    weights: Option<&RowWeights>,
) -> Result<Var> {
    pointwise("loss::mean_squared_error", Kind::SquaredError, tape, prediction, targets, weights)
}

/// The mean over the elements of |x - y|; otherwise as [`mean_squared_error`].
///
/// # Errors
/// As [`binary_cross_entropy`].
pub fn mean_absolute_error(
    tape: &Tape,
    prediction: &Var,
    targets: &Tensor,
    weights: Option<&RowWeights>,
) -> Result<Var> {
    pointwise("loss::mean_absolute_error", Kind::AbsoluteError, tape, prediction, targets, weights)
}

/// The mean over the elements of (x - y)² / 2 where |x - y| is at most `delta`, else of
/// `delta` (|x - y| - `delta` / 2) (Huber 1964; Keras' and PyTorch's `Huber`).
///
/// # Errors
/// [`Error::Option`] if `delta` is not above 0, and as [`binary_cross_entropy`].
pub fn huber(
    tape: &Tape,
    prediction: &Var,
    targets: &Tensor,
    delta: f32,
    weights: Option<&RowWeights>,
) -> Result<Var> {
    check_positive("Huber::delta", delta)?;
    pointwise("loss::huber", Kind::Huber { delta }, tape, prediction, targets, weights)
}

fn pointwise(
    op: &'static str,
    kind: Kind,
    tape: &Tape,
    prediction: &Var,
    targets: &Tensor,
    weights: Option<&RowWeights>,
) -> Result<Var> {
    let x = prediction.tensor();
    let (rows, columns) = rows(op, x)?;
    let check = Check::new(op, "one target for each element of the prediction");
    check.dtype("targets", targets, DType::F32)?;
    check.shape("targets", targets, "the prediction's shape", x.shape())?;
    check.device(x, &[("targets", targets)])?;
    let scale = scale(op, x, rows, weights, columns)?;
    let w = weights.map(|w| w.shares.tensor.clone());
    let losses = pointwise_loss::forward(kind, x, targets, w.as_ref(), scale)?;
    let y = targets.clone();
    record(tape, prediction, &losses, move |x, d_loss| {
        pointwise_loss::backward(kind, x, &y, w.as_ref(), scale, d_loss)
    })
}

/// A loss whose sides weigh `sides` of each output, of which so many have one target.
fn two_sided(
    op: &'static str,
    kind: two_sided_loss::Kind,
    tape: &Tape,
    prediction: &Var,
    targets: &Tensor,
    (sides, each): (&[[f32; 2]], usize),
    weights: Option<&RowWeights>,
) -> Result<Var> {
    let x = prediction.tensor();
    let (rows, columns) = rows(op, x)?;
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = columns / each;
    }
    let help = match each {
        1 => "one target for each element of the prediction",
        _ => "the prediction has an output for each quantile of each target",
    };
    let check = Check::new(op, help);
    check.dtype("targets", targets, DType::F32)?;
    if !columns.is_multiple_of(each) {
        let mut expected = targets.shape().to_vec();
        if let Some(last) = expected.last_mut() {
            *last *= each;
        }
        let found = x.shape().to_vec();
        return Err(Error::Shape {
            op,
            arg: "prediction",
            axes: "[..,C*Q]",
            expected,
            found,
            help,
        });
    }
    check.shape("targets", targets, "[..,C]", &shape)?;
    check.device(x, &[("targets", targets)])?;
    let scale = scale(op, x, rows, weights, columns)?;
    let wanted = two_sided_loss::Wanted {
        kind,
        y: targets.clone(),
        sides: Tensor::from_slice(sides.as_flattened(), [columns, 2], &x.device())?,
        each,
        weights: weights.map(|w| w.shares.tensor.clone()),
        scale,
    };
    let losses = two_sided_loss::forward(x, &wanted)?;
    record(tape, prediction, &losses, move |x, d_loss| two_sided_loss::backward(x, &wanted, d_loss))
}

/// Checks a weight of a class: sums and products of larger or smaller ones may overflow or vanish during a
/// training.
fn check_weight(option: &'static str, weight: f32) -> Result<()> {
    if weight == 0.0 || (1e-12..=1e12).contains(&weight) {
        return Ok(());
    }
    let expected = "0, or from 1e-12 to 1e12".into();
    Err(Error::Option { option, found: weight.to_string(), expected })
}

/// The rows and columns of a prediction `[..,C]`.
fn rows(op: &'static str, x: &Tensor) -> Result<(usize, usize)> {
    let found = x.shape().to_vec();
    if found.is_empty() {
        return Err(Error::Rank { op, arg: "prediction", axes: "[..,C]", found });
    }
    if x.is_empty() {
        return Err(Error::Empty { op, arg: "prediction", axes: "[..,C]", found });
    }
    Check::new(op, "").dtype("prediction", x, DType::F32)?;
    Ok((x.len() / last_axis(x), last_axis(x)))
}

/// One over the sum of the weights of all elements.
fn scale(
    op: &'static str,
    x: &Tensor,
    rows: usize,
    weights: Option<&RowWeights>,
    columns: usize,
) -> Result<f32> {
    let sum = match weights {
        Some(weights) => {
            let check = Check::new(op, "one weight for each row of the prediction");
            check.shape("weights", &weights.tensor, "[N]", &[rows])?;
            check.device(x, &[("weights", &weights.tensor)])?;
            weights.shares.sum
        }
        None => rows as f64,
    };
    Ok(one_over(sum * columns as f64))
}

fn record(
    tape: &Tape,
    x: &Var,
    losses: &Tensor,
    backward: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor> + Send + 'static,
) -> Result<Var> {
    let loss = Tensor::empty([1], &losses.device())?;
    reduce_sum(losses, 1.0, false, &loss)?;
    let (id, x) = (tape.id(x), x.tensor().clone());
    Ok(tape.push_one(loss, id.is_some(), move |d_loss, gradients| {
        gradients.add(id, backward(&x, d_loss)?)
    }))
}
