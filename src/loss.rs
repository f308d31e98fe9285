//! Losses for training loops: each gives one number on the device, and its gradient.

use crate::ops::Check;
use crate::ops::pointwise_loss::{self, Kind};
use crate::ops::reduce_sum::reduce_sum;
use crate::ops::{cross_entropy as op, softmax::last_axis};
use crate::tape::{Tape, Var};
use crate::{DType, Device, Error, Lengths, Result, Tensor};

/// The right classes: one for each row, as numbers from 0.
///
/// ```
/// use wgpu_lstm::{Device, loss::Labels};
/// let labels = Labels::new(&[2, 0, 1], &Device::auto()?)?;
/// assert_eq!(labels.tensor().shape(), [3]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Labels {
    tensor: Tensor,
    /// Where the largest is, and which: so that a check needs no read-back.
    largest: (usize, u32),
}

impl Labels {
    /// Labels on a device.
    ///
    /// # Errors
    /// Those of [`Tensor::from_u32`].
    pub fn new(labels: &[u32], device: &Device) -> Result<Self> {
        let largest = labels.iter().copied().enumerate().max_by_key(|&(_, label)| label);
        Ok(Self {
            tensor: Tensor::from_u32(labels, [labels.len()], device)?,
            largest: largest.unwrap_or_default(),
        })
    }

    /// The labels on the device, `[N]`.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    pub(crate) fn check(&self, op: &'static str, rows: usize, classes: usize) -> Result<()> {
        Check::new(op, "one label for each row of the logits").shape(
            "labels",
            &self.tensor,
            "[N]",
            &[rows],
        )?;
        let (row, found) = self.largest;
        if found as usize >= classes {
            return Err(Error::Label { row, found, classes });
        }
        Ok(())
    }
}

/// How much each row counts. Rows of weight 0 count nothing, whatever they hold.
#[derive(Debug, Clone)]
pub struct RowWeights {
    tensor: Tensor,
    sum: f32,
}

impl RowWeights {
    /// One weight for each row, none negative, not all of them 0.
    ///
    /// # Errors
    /// [`Error::Option`], and those of [`Tensor::from_slice`].
    pub fn new(weights: &[f32], device: &Device) -> Result<Self> {
        // In f64: f32 stops counting at 16,777,216.
        let sum = weights.iter().map(|&w| f64::from(w)).sum::<f64>() as f32;
        if !(sum > 0.0 && sum.is_finite()) || weights.iter().any(|&w| w < 0.0) {
            return Err(Error::Option {
                option: "weights",
                found: format!("{} values with the sum {sum}", weights.len()),
                expected: "finite values of at least 0, one of them above".into(),
            });
        }
        Ok(Self { tensor: Tensor::from_slice(weights, [weights.len()], device)?, sum })
    }

    /// 1 for each timestep of a sequence, 0 for the padding behind it: for values `[B,T,..]`.
    ///
    /// # Errors
    /// Those of [`RowWeights::new`].
    pub fn from_lengths(lengths: &Lengths, timesteps: usize) -> Result<Self> {
        let weights: Vec<f32> = lengths
            .values()
            .iter()
            .flat_map(|&l| (0..timesteps).map(move |t| f32::from(t < l as usize)))
            .collect();
        Self::new(&weights, &lengths.tensor.device())
    }

    /// The weights' sum.
    pub fn sum(&self) -> f32 {
        self.sum
    }

    pub(crate) fn tensor(&self) -> &Tensor {
        &self.tensor
    }
}

/// Softmax and cross-entropy in one: the mean over the rows of -log softmax(logits)\[label\],
/// or the weighted mean.
///
/// `logits` is `[..,C]`: all axes but the last are rows. The result is `[1]`.
///
/// # Errors
/// [`Error::Label`] for a label of C or more, [`Error::Shape`] if there is not one label and
/// weight for each row, [`Error::OtherDevice`].
pub fn cross_entropy(
    tape: &Tape,
    logits: &Var,
    labels: &Labels,
    weights: Option<&RowWeights>,
) -> Result<Var> {
    const OP: &str = "loss::cross_entropy";
    let x = logits.tensor();
    let (rows, classes) = rows(OP, x)?;
    labels.check(OP, rows, classes)?;
    Check::new(OP, "").device(x, &[("labels", &labels.tensor)])?;
    let scale = scale(OP, x, rows, weights, 1)?;
    let w = weights.map(|w| w.tensor.clone());
    let losses = op::forward(x, &labels.tensor, w.as_ref(), scale)?;
    let labels = labels.tensor.clone();
    record(tape, logits, &losses, move |x, d_loss| {
        op::backward(x, &labels, w.as_ref(), scale, d_loss)
    })
}

/// Sigmoid and binary cross-entropy in one: the mean over the elements of
/// softplus(x) - x y, where `logits` x is `[..,C]` and `targets` y as large, from 0 to 1.
///
/// Keras' `binary_crossentropy` and PyTorch's `BCEWithLogitsLoss`. The result is `[1]`.
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
    check.shape("targets", targets, "of the prediction", x.shape())?;
    check.device(x, &[("targets", targets)])?;
    let scale = scale(op, x, rows, weights, columns)?;
    let w = weights.map(|w| w.tensor.clone());
    let losses = pointwise_loss::forward(kind, x, targets, w.as_ref(), scale)?;
    let y = targets.clone();
    record(tape, prediction, &losses, move |x, d_loss| {
        pointwise_loss::backward(kind, x, &y, w.as_ref(), scale, d_loss)
    })
}

/// The rows and columns of `[..,C]`.
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
            weights.sum
        }
        None => rows as f32,
    };
    Ok(1.0 / (sum * columns as f32))
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
    let mut vars = tape.push(vec![loss.clone()], id.is_some(), move |d, gradients| {
        if let Some(Some(d_loss)) = d.first() {
            gradients.add(id, backward(&x, d_loss)?)?;
        }
        Ok(())
    });
    Ok(vars.pop().unwrap_or_else(|| Var::constant(loss)))
}
