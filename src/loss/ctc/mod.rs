//! Connectionist temporal classification: labels without an alignment in time.

mod align;
mod beam;
mod emissions;
mod search;

pub use align::{Alignment, Span};
pub use beam::{BeamSearch, Decoded};
pub use emissions::Emissions;

use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::ops::loss::ctc as op;
use crate::ops::norm::softmax::log_softmax;
use crate::ops::sums::reduce_sum::reduce_sum;
use crate::{DType, Error, Result, Tensor};
use std::collections::HashMap;

/// Connectionist temporal classification (Graves et al. 2006): the loss of models that emit labels in the
/// right order at any time, and a blank in between: PyTorch's `ctc_loss`.
///
/// What a model has learned is read off by [`Ctc::greedy`] or [`Ctc::beam_search`]; [`Ctc::align`] finds when
/// labels that are known are said. All three take [`Emissions`].
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, loss::Ctc, nn::Params};
/// let device = Device::auto()?;
/// let tape = Tape::new(&Params::new(&device));
/// // One row of 4 frames and 3 classes, of which 0 is the blank.
/// let logits = tape.input(Tensor::zeros([1, 4, 3], &device)?);
/// let loss = Ctc::new().loss(&tape, &logits, &[[1, 2]])?;
/// // 15 of the 81 paths spell 1, 2; the mean is over the labels.
/// assert!((loss.tensor().to_vec()?[0] - (81f32 / 15.0).ln() / 2.0).abs() < 1e-5);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// A training loop, and the share of labels that are wrong after it:
///
/// ```
/// use wgpu_lstm::loss::{Ctc, Emissions};
/// use wgpu_lstm::nn::{Dense, Lstm, Params};
/// use wgpu_lstm::train::{Adam, metrics::ErrorRate};
/// use wgpu_lstm::{Device, Tape, Tensor, Var};
///
/// let device = Device::auto()?;
/// let params = Params::new(&device);
/// let lstm = Lstm::new(8).return_sequences().build(&params, 1)?;
/// let head = Dense::new(3).build(&params, 8)?; // two labels and the blank
/// // Two rows of six frames: a bump upwards is a 1, one downwards a 2.
/// let x = [0., 1., 1., 0., -1., 0., 0., -1., 0., 0., 1., 0.];
/// let x = Var::from(Tensor::from_slice(&x, [2, 6, 1], &device)?);
/// let labels = [[1, 2], [2, 1]];
/// let (ctc, mut adam) = (Ctc::new(), Adam::new(0.05));
/// let logits = |tape: &Tape| head.forward(tape, &lstm.forward(tape, &x)?);
/// for _ in 0..60 {
///     let tape = Tape::new(&params);
///     let loss = ctc.loss(&tape, &logits(&tape)?, &labels)?;
///     tape.backward(&loss)?;
///     adam.step(&params)?;
/// }
/// let emissions = Emissions::new(&logits(&Tape::inference(&params))?)?;
/// let mut rate = ErrorRate::new();
/// for (found, labels) in ctc.greedy(&emissions)?.iter().zip(&labels) {
///     rate.add(&found.labels(), labels);
/// }
/// assert_eq!(rate.rate(), 0.0);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "a loss does nothing until it is computed"]
pub struct Ctc {
    blank: u32,
    skips: bool,
    reduction: Reduction,
}

/// How the losses of a batch's rows become one: PyTorch's `reduction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Reduction {
    /// A loss for each row.
    None,
    /// Their sum.
    Sum,
    /// The mean over the rows, each loss over the number of the row's labels, or over 1 if it has none.
    #[default]
    Mean,
}

impl Ctc {
    /// The blank at class 0, [`Reduction::Mean`], and infinite losses where no path fits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the class of the blank.
    pub fn blank(mut self, class: u32) -> Self {
        self.blank = class;
        self
    }

    /// Gives rows that cannot spell their labels a loss and a gradient of 0: PyTorch's `zero_infinity`. They
    /// have too few frames, or logits that rule out every path. Without it, as in PyTorch, their loss is
    /// infinite and the gradient of their logits NaN.
    pub fn zero_infinity(mut self) -> Self {
        self.skips = true;
        self
    }

    /// Sets how the rows' losses become one.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, Tensor, loss::{Ctc, Reduction}, nn::Params};
    /// let device = Device::auto()?;
    /// let tape = Tape::new(&Params::new(&device));
    /// let logits = tape.input(Tensor::zeros([2, 3, 3], &device)?);
    /// // Two equal labels need a blank in between: three frames are too few for the second row.
    /// let each = Ctc::new().reduction(Reduction::None);
    /// let losses = each.loss(&tape, &logits, &[vec![1, 2], vec![1, 1, 2]])?.tensor().to_vec()?;
    /// // 5 of the 27 paths spell 1, 2.
    /// assert!((losses[0] - (27f32 / 5.0).ln()).abs() < 1e-5);
    /// assert_eq!(losses[1], f32::INFINITY);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// The loss of `logits` `[B,T,C]`, whose rows' lengths count ([`Var::with_lengths`]), against
    /// the labels of each row, of which there may be none: `[1]`, or `[B]` with [`Reduction::None`].
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::Empty`], [`Error::DType`]; [`Error::Count`] if there are not
    /// labels for each row; [`Error::Label`] for one of C or more; [`Error::Option`] if the blank is
    /// among them or no class; [`Error::Unsupported`] for a mask; [`Error::Length`], [`Error::Shape`] and
    /// [`Error::OtherDevice`] for lengths that do not fit.
    pub fn loss<L: AsRef<[u32]>>(&self, tape: &Tape, logits: &Var, labels: &[L]) -> Result<Var> {
        self.weighted(tape, logits, labels, None)
    }

    /// As [`Ctc::loss`], where each row counts by a weight, of which there are as many; the loss is 0 if all are.
    pub(crate) fn weighted<L: AsRef<[u32]>>(
        &self,
        tape: &Tape,
        logits: &Var,
        labels: &[L],
        weights: Option<&[f32]>,
    ) -> Result<Var> {
        const OP: &str = "loss::ctc";
        let x = logits.tensor();
        let check = Check::new(OP, "logits of each frame");
        check.dtype("logits", x, DType::F32)?;
        let [batch, timesteps, classes] = check.dims("logits", x, "[B,T,C]")?;
        check_count(OP, batch, labels.len())?;
        self.check_blank(classes)?;
        check_steps(OP, logits, batch, timesteps)?;
        let longest = labels.iter().map(|l| l.as_ref().len()).max().unwrap_or(0);
        let mut table = Vec::with_capacity(batch * longest.max(1) * 3);
        let mut rows = Vec::with_capacity(2 * batch);
        let mut scales = Vec::with_capacity(batch);
        let sum = weights.map_or(batch as f64, |w| w.iter().map(|&w| f64::from(w)).sum());
        for (row, labels) in labels.iter().enumerate() {
            let labels = labels.as_ref();
            self.check_labels(row, labels, classes)?;
            let frames = logits.lengths().map_or(timesteps, |l| l.values()[row] as usize);
            table.extend(links(labels));
            table.resize((row + 1) * longest * 3, 0);
            rows.extend([frames as u32, labels.len() as u32]);
            let weight = weights.map_or(1.0, |w| w[row]);
            scales.push(match self.reduction {
                // The kernels need not look at it.
                _ if self.skips && !fits(labels, frames) => 0.0,
                _ if weight == 0.0 => 0.0,
                Reduction::Mean => (f64::from(weight) / (sum * labels.len().max(1) as f64)) as f32,
                Reduction::None | Reduction::Sum => weight,
            });
        }
        if longest == 0 {
            table.resize(3, 0);
        }
        let device = x.device();
        let wanted = op::Wanted {
            labels: Tensor::from_u32(&table, [table.len()], &device)?,
            rows: Tensor::from_u32(&rows, [batch, 2], &device)?,
            scales: Tensor::from_slice(&scales, [batch], &device)?,
            longest,
            blank: self.blank,
            impossible: if self.skips { 0.0 } else { f32::INFINITY },
            slope: if self.skips { 0.0 } else { f32::NAN },
        };
        let shape = [batch, timesteps, classes];
        let lp = log_softmax(x)?;
        let (losses, alpha) = op::forward(&lp, shape, &wanted)?;
        let loss = match self.reduction {
            Reduction::None => losses,
            Reduction::Sum | Reduction::Mean => {
                let sum = Tensor::empty([1], &device)?;
                reduce_sum(&losses, 1.0, false, &sum)?;
                sum
            }
        };
        let id = tape.id(logits);
        Ok(tape.push_one(loss, id.is_some(), move |d_loss, gradients| {
            gradients.add(id, op::backward(&lp, shape, &wanted, &alpha, d_loss)?)
        }))
    }

    /// Checks the options against what `fit` makes of them.
    pub(crate) fn check(&self) -> Result<()> {
        match self.reduction {
            Reduction::Mean => Ok(()),
            found => Err(Error::Option {
                option: "Ctc::reduction",
                found: format!("{found:?} in Loss::Ctc"),
                expected: "Reduction::Mean, since fit takes means over the sequences of a batch; for another one \
                           train in a loop of your own"
                    .into(),
            }),
        }
    }

    /// The labels that the classes of a path spell.
    pub(crate) fn spelt(&self, path: &[u32]) -> Vec<u32> {
        let runs = path.chunk_by(|a, b| a == b).map(|run| run[0]);
        runs.filter(|&class| class != self.blank).collect()
    }

    /// Checks the labels of a sequence of so many frames and classes, 0 classes if there is no saying yet.
    pub(crate) fn check_row(
        &self,
        row: usize,
        labels: &[u32],
        [frames, classes]: [usize; 2],
    ) -> Result<()> {
        if classes > 0 {
            self.check_blank(classes)?;
            self.check_labels(row, labels, classes)?;
        }
        if self.skips || fits(labels, frames) {
            return Ok(());
        }
        Err(Error::Option {
            option: "Targets::sequences",
            found: format!("{} labels for {frames} frames (sequence {row})", labels.len()),
            expected: "a frame for each label, and one more between equal ones; Ctc::zero_infinity leaves out \
                       sequences that have fewer"
                .into(),
        })
    }

    /// Checks the labels of a row.
    fn check_labels(&self, row: usize, labels: &[u32], classes: usize) -> Result<()> {
        if let Some(&found) = labels.iter().find(|&&l| l as usize >= classes) {
            return Err(Error::Label { row, found, classes });
        }
        if labels.contains(&self.blank) {
            let found = format!("{}, which is among the labels of row {row}", self.blank);
            return bad_blank(found, "a class that is no label".into());
        }
        Ok(())
    }

    fn check_blank(&self, classes: usize) -> Result<()> {
        if (self.blank as usize) < classes {
            return Ok(());
        }
        bad_blank(self.blank.to_string(), format!("below {classes}, the classes"))
    }
}

fn bad_blank(found: String, expected: String) -> Result<()> {
    Err(Error::Option { option: "Ctc::blank", found, expected })
}

/// Checks that there are labels for each row.
fn check_count(op: &'static str, batch: usize, found: usize) -> Result<()> {
    if found == batch {
        return Ok(());
    }
    Err(Error::Count { op, shape: vec![batch], expected: batch, found })
}

/// Checks that there is no mask, and that lengths fit.
fn check_steps(op: &'static str, logits: &Var, batch: usize, timesteps: usize) -> Result<()> {
    if logits.mask().is_some() {
        return Err(Error::Unsupported {
            what: "Ctc",
            with: "Var::with_mask",
            help: "its steps follow each other: leave out Masking and Embedding::mask_zero; by Var::with_lengths, and in \
                   sequences of different lengths, those behind a row's end do not count",
        });
    }
    logits.lengths().map_or(Ok(()), |lengths| lengths.check(op, batch, timesteps))
}

/// Whether so many frames can spell the labels.
fn fits(labels: &[u32], frames: usize) -> bool {
    least_frames(labels) <= frames
}

/// The fewest frames that spell the labels: one for each, and a blank between equal ones.
fn least_frames(labels: &[u32]) -> usize {
    labels.len() + labels.windows(2).filter(|pair| pair[0] == pair[1]).count()
}

/// Each label with its neighbours of the same kind: see [`op::Wanted`].
fn links(labels: &[u32]) -> Vec<u32> {
    let mut last = HashMap::new();
    let mut table = Vec::with_capacity(3 * labels.len());
    for (i, &label) in labels.iter().enumerate() {
        let before = last.insert(label, i);
        table.extend([label, u32::from(before.is_none()), 0]);
        if let Some(before) = before {
            table[3 * before + 2] = i as u32 + 1;
        }
    }
    table
}

/// As [`Ctc::loss`], with the blank at 0.
///
/// # Errors
/// As [`Ctc::loss`].
pub fn ctc<L: AsRef<[u32]>>(tape: &Tape, logits: &Var, labels: &[L]) -> Result<Var> {
    Ctc::new().loss(tape, logits, labels)
}
