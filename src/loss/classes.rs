//! The cross-entropy between one class of several, or probabilities of all, and a softmax.

use super::{RowWeights, check_total, check_weight, one_over, record, rows};
use crate::autograd::{Tape, Var};
use crate::check::{Check, check_not_zero};
use crate::ops::loss::{cross_entropy as op, soft_cross_entropy as soft};
use crate::{Device, Error, Result, Tensor};
use std::sync::Arc;

const OP: &str = "loss::cross_entropy";

/// The right classes: one for each row, as numbers from 0; or a probability of each.
///
/// ```
/// use wgpu_lstm::{Device, loss::Labels};
/// let labels = Labels::new(&[2, 0, 1], &Device::auto()?)?;
/// assert_eq!(labels.tensor().shape(), [3]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Labels {
    /// A copy on the host: a check then needs no read-back.
    host: Arc<[u32]>,
    tensor: Tensor,
    /// `[N,C]`, where a row is not one class alone.
    probabilities: Option<Tensor>,
}

impl Labels {
    /// Labels on a device.
    ///
    /// # Errors
    /// Those of [`Tensor::from_u32`].
    pub fn new(labels: &[u32], device: &Device) -> Result<Self> {
        let tensor = Tensor::from_u32(labels, [labels.len()], device)?;
        Ok(Self { host: labels.into(), tensor, probabilities: None })
    }

    /// Soft labels on a device: the probability of each of so many classes, row by row, `[N,C]`; one-hot rows are
    /// such. PyTorch's `cross_entropy` with class probabilities, Keras' `CategoricalCrossentropy`. The values of a
    /// row are to be from 0 on and to add up to 1; others are taken as they are, as PyTorch does.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, Tensor, loss::{Labels, cross_entropy}, nn::Params};
    /// let device = Device::auto()?;
    /// let tape = Tape::new(&Params::new(&device));
    /// let logits = tape.input(Tensor::from_slice(&[2.0, 0.0, 1.0, 1.0], [2, 2], &device)?);
    /// // The first row is rather the class 0; of the second nothing is known.
    /// let labels = Labels::probabilities(&[0.9, 0.1, 0.5, 0.5], 2, &device)?;
    /// assert_eq!(labels.values(), [0, 0]);
    /// let loss = cross_entropy(&tape, &logits, &labels, None)?;
    /// let first = 0.9 * (1.0 + (-2f32).exp()).ln() + 0.1 * (1.0 + 2f32.exp()).ln();
    /// assert!((loss.tensor().to_vec()?[0] - (first + 2f32.ln()) / 2.0).abs() < 1e-6);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for no classes, [`Error::Count`] if the rows are not whole, and those of
    /// [`Tensor::from_slice`].
    pub fn probabilities(values: &[f32], classes: usize, device: &Device) -> Result<Self> {
        check_not_zero("Labels::classes", classes)?;
        let rows = values.len() / classes;
        // Checks that there are whole rows.
        let probabilities =
            Tensor::from_slice(values, [values.len().div_ceil(classes), classes], device)?;
        let mut labels = crate::tensor::room_for("a label for each row", rows)?;
        labels.extend(values.chunks_exact(classes).map(likeliest));
        Ok(Self { probabilities: Some(probabilities), ..Self::new(&labels, device)? })
    }

    /// Whether the rows have probabilities.
    pub(crate) fn are_soft(&self) -> bool {
        self.probabilities.is_some()
    }

    /// The labels on the device, `[N]`: of probabilities the likeliest class, of equals the first.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The labels on the host: of probabilities the likeliest class, of equals the first.
    pub fn values(&self) -> &[u32] {
        &self.host
    }
}

/// The likeliest class of a row of probabilities, of equals the first.
pub(crate) fn likeliest(row: &[f32]) -> u32 {
    (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best }) as u32
}

/// A cross-entropy with PyTorch's options.
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, loss::{CrossEntropy, Labels}, nn::Params};
/// let device = Device::auto()?;
/// let tape = Tape::new(&Params::new(&device));
/// let logits = tape.input(Tensor::zeros([3, 2], &device)?);
/// // The second row does not count.
/// let labels = Labels::new(&[0, 9, 1], &device)?;
/// let kind = CrossEntropy::new().ignore_index(9).label_smoothing(0.1);
/// let loss = kind.loss(&tape, &logits, &labels, None)?;
/// assert!((loss.tensor().to_vec()?[0] - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use = "a loss does nothing until it is computed"]
pub struct CrossEntropy {
    ignored: Option<u32>,
    smoothing: f32,
    class_weights: Option<Arc<[f32]>>,
}

impl CrossEntropy {
    /// The plain cross-entropy: the mean of -log softmax(logits)\[label\].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a label whose rows do not count, such as that of padding. It need not be a class. As in PyTorch it does
    /// not go with probabilities: rows of those may have the weight 0.
    pub fn ignore_index(mut self, label: u32) -> Self {
        self.ignored = Some(label);
        self
    }

    /// Sets the share of each target that is spread over all classes evenly (Szegedy et al. 2016,
    /// arXiv 1512.00567).
    pub fn label_smoothing(mut self, share: f32) -> Self {
        self.smoothing = share;
        self
    }

    /// Sets the weight of each class: PyTorch's `weight`. The mean is weighted by the class of each row's
    /// label; where rows have probabilities, each class' part of the loss is, but the mean is over the rows.
    pub fn class_weights(mut self, weights: impl Into<Vec<f32>>) -> Self {
        self.class_weights = Some(weights.into().into());
        self
    }

    /// Checks the options as far as no logits are needed.
    pub(crate) fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.smoothing) {
            let (option, found) = ("CrossEntropy::label_smoothing", self.smoothing.to_string());
            return Err(Error::Option { option, found, expected: "from 0 to 1".into() });
        }
        let mut weights = self.class_weights.iter().flat_map(|w| w.iter());
        weights.try_for_each(|&w| check_weight("CrossEntropy::class_weights", w))
    }

    /// Checks that the options go with probabilities.
    pub(crate) fn check_soft(&self) -> Result<()> {
        match self.ignored {
            Some(_) => Err(Error::Unsupported {
                what: "CrossEntropy::ignore_index",
                with: "rows of probabilities",
                help: "give rows that do not count the weight 0",
            }),
            None => Ok(()),
        }
    }

    /// Checks that there is a weight for each class, if there are weights.
    pub(crate) fn check_classes(&self, classes: usize) -> Result<()> {
        match &self.class_weights {
            Some(weights) if weights.len() != classes => Err(Error::Option {
                option: "CrossEntropy::class_weights",
                found: format!("{} weights", weights.len()),
                expected: format!("{classes}, one for each class"),
            }),
            _ => Ok(()),
        }
    }

    /// The first label that is no class and not ignored.
    pub(crate) fn check_labels(&self, labels: &[u32], classes: usize) -> Result<()> {
        let bad = |&label: &u32| Some(label) != self.ignored && label as usize >= classes;
        match labels.iter().position(bad) {
            Some(row) => Err(Error::Label { row, found: labels[row], classes }),
            None => Ok(()),
        }
    }

    fn class_weight(&self, label: u32) -> f32 {
        let weights = self.class_weights.as_deref();
        weights.map_or(1.0, |w| w.get(label as usize).copied().unwrap_or(0.0))
    }

    /// Whether a label counts.
    pub(crate) fn counts(&self, label: u32) -> bool {
        Some(label) != self.ignored
    }

    /// The sum of the weights over which the mean is taken.
    pub(crate) fn total(&self, labels: &Labels, weights: Option<&RowWeights>) -> f32 {
        self.total_of(labels, weights.map(|w| (w.values(), w.sum().into()))) as f32
    }

    /// The sum of the products of class weights and row weights, given the row weights and their sum.
    fn total_of(&self, labels: &Labels, weights: Option<(&[f32], f64)>) -> f64 {
        if labels.are_soft() || (self.ignored.is_none() && self.class_weights.is_none()) {
            return weights.map_or(labels.host.len() as f64, |(_, sum)| sum);
        }
        let row = |i: usize| weights.map_or(1.0, |(w, _)| w.get(i).copied().unwrap_or(0.0));
        let of = |(i, &label): (usize, &u32)| match self.counts(label) {
            true => f64::from(row(i)) * f64::from(self.class_weight(label)),
            false => 0.0,
        };
        labels.host.iter().enumerate().map(of).sum()
    }

    /// The loss of `logits` `[..,C]`, whose axes but the last are rows: `[1]`. 0 if no row counts.
    /// [`crate::nn::Dense::cross_entropy`] computes it without holding the logits.
    ///
    /// # Errors
    /// As [`cross_entropy`]; [`Error::Option`] for a smoothing or weights that make no sense.
    pub fn loss(
        &self,
        tape: &Tape,
        logits: &Var,
        labels: &Labels,
        weights: Option<&RowWeights>,
    ) -> Result<Var> {
        let x = logits.tensor();
        let (rows, classes) = rows(OP, x)?;
        if let Some(y) = &labels.probabilities {
            let wanted = self.soft(x, [rows, classes], y, weights)?;
            let (losses, stats) = soft::forward(x, &wanted)?;
            return record(tape, logits, &losses, move |x, d_loss| {
                soft::backward(x, &wanted, &stats, d_loss)
            });
        }
        let wanted = self.wanted(x, [rows, classes], labels, weights)?;
        let (losses, stats) = op::forward(x, &wanted)?;
        record(tape, logits, &losses, move |x, d_loss| op::backward(x, &wanted, &stats, d_loss))
    }

    /// What is wanted of logits `[rows,classes]`, where `y` has the probabilities.
    fn soft(
        &self,
        x: &Tensor,
        [rows, classes]: [usize; 2],
        y: &Tensor,
        weights: Option<&RowWeights>,
    ) -> Result<soft::Wanted> {
        self.check()?;
        self.check_soft()?;
        let check = Check::new(OP, "a probability for each of the logits");
        check.shape("labels", y, "[N,C]", &[rows, classes])?;
        check.device(x, &[("labels", y)])?;
        check_weights(x, rows, weights)?;
        let shares = weights.map(|w| &w.shares);
        Ok(soft::Wanted {
            y: y.clone(),
            weights: shares.map(|w| w.tensor.clone()),
            class_weights: self.weights_of(classes, &x.device())?,
            smoothing: self.smoothing,
            scale: one_over(shares.map_or(rows as f64, |w| w.sum)),
        })
    }

    /// The weights of the classes on a device.
    fn weights_of(&self, classes: usize, device: &Device) -> Result<Option<Tensor>> {
        self.check_classes(classes)?;
        let of = |values: &Arc<[f32]>| Tensor::from_slice(values, [classes], device);
        self.class_weights.as_ref().map(of).transpose()
    }

    /// What is wanted of logits `[rows,classes]`, which are on the device of `x`; not of probabilities.
    pub(crate) fn wanted(
        &self,
        x: &Tensor,
        [rows, classes]: [usize; 2],
        labels: &Labels,
        weights: Option<&RowWeights>,
    ) -> Result<op::Wanted> {
        self.check()?;
        let check = Check::new(OP, "one label for each row of the logits");
        check.shape("labels", &labels.tensor, "[N]", &[rows])?;
        self.check_labels(&labels.host, classes)?;
        check.device(x, &[("labels", &labels.tensor)])?;
        check_weights(x, rows, weights)?;
        let class_weights = self.weights_of(classes, &x.device())?;
        let shares = weights.map(|w| &w.shares);
        let mut row_weights = shares.map(|w| w.tensor.clone());
        let mut classes_of_rows = labels.tensor.clone();
        if self.ignored.is_some() {
            let row = |i: usize| shares.map_or(1.0, |w| w.host[i]);
            let counts: Vec<_> = labels.host.iter().map(|&label| self.counts(label)).collect();
            let values: Vec<_> =
                counts.iter().enumerate().map(|(i, &on)| if on { row(i) } else { 0.0 }).collect();
            row_weights = Some(Tensor::from_slice(&values, [rows], &x.device())?);
            // A kernel must not index by a label that is no class.
            let values: Vec<_> =
                labels.host.iter().zip(counts).map(|(&l, on)| if on { l } else { 0 }).collect();
            classes_of_rows = Tensor::from_u32(&values, [rows], &x.device())?;
        }
        let total = self.total_of(labels, shares.map(|w| (&*w.host, w.sum)));
        check_total("CrossEntropy::class_weights", total)?;
        Ok(op::Wanted {
            labels: classes_of_rows,
            weights: row_weights,
            class_weights,
            smoothing: self.smoothing,
            scale: one_over(total),
        })
    }
}

/// Checks that there is a weight for each row, if there are weights.
fn check_weights(x: &Tensor, rows: usize, weights: Option<&RowWeights>) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    let check = Check::new(OP, "one weight for each row of the prediction");
    check.shape("weights", &weights.tensor, "[N]", &[rows])?;
    check.device(x, &[("weights", &weights.tensor)])
}

/// Softmax and cross-entropy in one: the mean over the rows of -log softmax(logits)\[label\],
/// or the weighted mean. [`CrossEntropy`] has options. Of [`Labels::probabilities`] y it is the mean over the rows
/// of the sum of -y\[j\] log softmax(logits)\[j\].
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
    CrossEntropy::new().loss(tape, logits, labels, weights)
}
