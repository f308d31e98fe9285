//! Connectionist temporal classification: labels without an alignment in time.

use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::ops::loss::ctc as op;
use crate::ops::norm::softmax::log_softmax;
use crate::ops::sums::reduce_sum::reduce_sum;
use crate::{DType, Error, Result, Tensor};
use std::collections::HashMap;

/// Connectionist temporal classification (Graves et al. 2006): the loss of models that emit labels in the
/// right order at any time, and a blank in between.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "a loss does nothing until it is computed"]
pub struct Ctc {
    blank: u32,
    skips: bool,
}

impl Ctc {
    /// A loss with the blank at class 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the class of the blank.
    pub fn blank(mut self, class: u32) -> Self {
        self.blank = class;
        self
    }

    /// Gives rows that cannot spell their labels a loss of 0: those with too few frames, which are an error
    /// otherwise, and those whose logits exclude every path, whose loss is infinite otherwise (their
    /// gradient is 0 in any case). PyTorch's `zero_infinity`.
    pub fn zero_infinity(mut self) -> Self {
        self.skips = true;
        self
    }

    /// The loss of `logits` `[B,T,C]`, whose rows' lengths count ([`Var::with_lengths`]), against
    /// the labels of each row: `[1]`, PyTorch's `mean`: of each row's loss over the number of its
    /// labels.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::Empty`], [`Error::DType`]; [`Error::Count`] if there are not
    /// labels for each row; [`Error::Label`] for one of C or more; [`Error::Option`] if the blank is
    /// among them or no class; [`Error::TooFewFrames`] if a row has fewer than its labels need;
    /// [`Error::Unsupported`] for a mask; [`Error::Length`], [`Error::Shape`] and
    /// [`Error::OtherDevice`] for lengths that do not fit.
    pub fn loss<L: AsRef<[u32]>>(&self, tape: &Tape, logits: &Var, labels: &[L]) -> Result<Var> {
        const OP: &str = "loss::ctc";
        let x = logits.tensor();
        let check = Check::new(OP, "logits of each frame");
        check.dtype("logits", x, DType::F32)?;
        let [batch, timesteps, classes] = check.dims("logits", x, "[B,T,C]")?;
        if labels.len() != batch {
            let (shape, expected, found) = (vec![batch], batch, labels.len());
            return Err(Error::Count { op: OP, shape, expected, found });
        }
        let bad_blank = |found: String, expected: String| {
            Err(Error::Option { option: "Ctc::blank", found, expected })
        };
        if self.blank as usize >= classes {
            return bad_blank(self.blank.to_string(), format!("below {classes}, the classes"));
        }
        no_mask(logits)?;
        if let Some(lengths) = logits.lengths() {
            lengths.check(OP, batch, timesteps)?;
        }
        let longest = labels.iter().map(|l| l.as_ref().len()).max().unwrap_or(0);
        let mut table = Vec::with_capacity(batch * longest.max(1) * 3);
        let mut rows = Vec::with_capacity(2 * batch);
        let mut scales = Vec::with_capacity(batch);
        for (row, labels) in labels.iter().enumerate() {
            let labels = labels.as_ref();
            if let Some(&found) = labels.iter().find(|&&l| l as usize >= classes) {
                return Err(Error::Label { row, found, classes });
            }
            if labels.contains(&self.blank) {
                let found = format!("{}, which is among the labels of row {row}", self.blank);
                return bad_blank(found, "a class that is no label".into());
            }
            let frames = logits.lengths().map_or(timesteps, |l| l.values()[row] as usize);
            let repeats = labels.windows(2).filter(|pair| pair[0] == pair[1]).count();
            let expected = labels.len() + repeats;
            let possible = expected <= frames;
            if !possible && !self.skips {
                return Err(Error::TooFewFrames { row, expected, found: frames });
            }
            table.extend(links(labels));
            table.resize((row + 1) * longest * 3, 0);
            rows.extend([frames as u32, labels.len() as u32]);
            let share = 1.0 / (batch * labels.len().max(1)) as f32;
            scales.push(if possible { share } else { 0.0 });
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
        };
        let shape = [batch, timesteps, classes];
        let lp = log_softmax(x)?;
        let (losses, alpha) = op::forward(&lp, shape, &wanted)?;
        let loss = Tensor::empty([1], &device)?;
        reduce_sum(&losses, 1.0, false, &loss)?;
        let id = tape.id(logits);
        Ok(tape.push_one(loss, id.is_some(), move |d_loss, gradients| {
            gradients.add(id, op::backward(&lp, shape, &wanted, &alpha, d_loss)?)
        }))
    }

    /// Decodes the path of the likeliest class of each frame: repeats are merged, blanks removed. Waits for
    /// the device.
    ///
    /// # Errors
    /// [`Error::Rank`] if `logits` is not `[B,T,C]`, [`Error::Unsupported`] for a mask,
    /// [`Error::Shape`] and [`Error::Length`] for lengths that do not fit, and those of
    /// [`Tensor::to_vec`].
    pub fn best_path(&self, logits: &Var) -> Result<Vec<Vec<u32>>> {
        let x = logits.tensor();
        let check = Check::new("Ctc::best_path", "");
        let [batch, timesteps, classes] = check.dims("logits", x, "[B,T,C]")?;
        no_mask(logits)?;
        if let Some(lengths) = logits.lengths() {
            lengths.check("Ctc::best_path", batch, timesteps)?;
        }
        let words = x.to_vec()?;
        let rows = words.chunks_exact(timesteps * classes).enumerate();
        Ok(rows
            .map(|(row, words)| {
                let frames = logits.lengths().map_or(timesteps, |l| l.values()[row] as usize);
                let mut path: Vec<_> = words.chunks_exact(classes).take(frames).map(best).collect();
                path.dedup();
                path.retain(|&label| label != self.blank);
                path
            })
            .collect())
    }
}

fn no_mask(logits: &Var) -> Result<()> {
    match logits.mask() {
        Some(_) => Err(Error::Unsupported {
            what: "Ctc",
            with: "Var::with_mask",
            help: "say by Var::with_lengths which steps count",
        }),
        None => Ok(()),
    }
}

fn best(frame: &[f32]) -> u32 {
    (0..frame.len()).fold(0, |b, j| if frame[j] > frame[b] { j } else { b }) as u32
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
