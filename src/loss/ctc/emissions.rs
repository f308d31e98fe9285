//! What a model says of each frame, on the host.

use super::check_steps;
use crate::autograd::Var;
use crate::check::{Check, check_not_zero};
use crate::tensor::{count, room_for};
use crate::{Error, Result};
use rayon::prelude::*;

/// The log-probability of each class at each frame of some sequences, on the host: what [`Ctc::greedy`],
/// [`Ctc::beam_search`] and [`Ctc::align`] read. torchaudio calls it so, too.
///
/// ```
/// use wgpu_lstm::{Device, Tensor, Var, loss::{Ctc, Emissions}};
/// // Two sequences of 3 and 2 frames, with 3 classes: the likeliest are 1, 0, 1 and 2, 2.
/// let p = [0.1, 0.8, 0.1, 0.7, 0.2, 0.1, 0.0, 1.0, 0.0, 0.2, 0.2, 0.6, 0.1, 0.3, 0.6];
/// let emissions = Emissions::from_probabilities(&p, 3, &[3, 2])?;
/// let found = Ctc::new().greedy(&emissions)?;
/// assert_eq!([found[0].labels(), found[1].labels()], [vec![1, 1], vec![2]]);
///
/// // The same of logits on a device.
/// let logits = Tensor::zeros([4, 9, 3], &Device::auto()?)?;
/// let emissions = Emissions::new(&Var::from(logits))?;
/// assert_eq!((emissions.rows(), emissions.row(3).len()), (4, 9 * 3));
/// assert!((emissions.row(3)[0] + 3f32.ln()).abs() < 1e-6);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// [`Ctc::greedy`]: super::Ctc::greedy
/// [`Ctc::beam_search`]: super::Ctc::beam_search
/// [`Ctc::align`]: super::Ctc::align
#[derive(Debug, Clone, PartialEq)]
pub struct Emissions {
    values: Vec<f32>,
    classes: usize,
    /// The first frame of each row, and the one behind the last.
    starts: Vec<usize>,
}

/// The frames of one row.
#[derive(Clone, Copy)]
pub(super) struct Frames<'a> {
    pub(super) row: usize,
    pub(super) classes: usize,
    values: &'a [f32],
}

impl<'a> Frames<'a> {
    pub(super) fn count(self) -> usize {
        self.values.len() / self.classes
    }

    pub(super) fn iter(self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.classes)
    }
}

impl Emissions {
    /// The log-softmax of logits `[B,T,C]`, whose rows' lengths count ([`Var::with_lengths`]). Waits for the
    /// device; native only. In a browser read the logits by
    /// [`Tensor::to_vec_async`](crate::Tensor::to_vec_async) and give them to [`Emissions::from_logits`].
    ///
    /// # Errors
    /// [`Error::Rank`] and [`Error::Empty`] if `logits` is not `[B,T,C]`, [`Error::Unsupported`] for a mask,
    /// [`Error::Shape`] and [`Error::Length`] for lengths that do not fit, [`Error::NotFinite`] as
    /// [`Emissions::from_logits`], and those of [`Tensor::to_vec`](crate::Tensor::to_vec).
    pub fn new(logits: &Var) -> Result<Self> {
        const OP: &str = "Emissions::new";
        let x = logits.tensor();
        let [batch, timesteps, classes] = Check::new(OP, "").dims("logits", x, "[B,T,C]")?;
        check_steps(OP, logits, batch, timesteps)?;
        let words = x.to_vec()?;
        let length = |row| logits.lengths().map_or(timesteps, |l| l.values()[row] as usize);
        let rows = words.chunks_exact(timesteps * classes).enumerate();
        let rows = rows.map(|(row, words)| &words[..length(row) * classes]);
        Self::of(rows, classes, log_softmax)
    }

    /// The log-softmax of logits on the host: the `classes` logits of each frame of the first sequence, then
    /// of the second …, without padding, as [`Prediction::values`](crate::train::Prediction::values) has
    /// them. `lengths` are the frames of each sequence, which may be 0.
    ///
    /// Log-probabilities are logits, too: their log-softmax is what they are.
    ///
    /// # Errors
    /// [`Error::Count`] if there are not as many values as `lengths` and `classes` say; [`Error::Option`] for
    /// 0 classes; [`Error::NotFinite`] for NaN, +∞, or a frame that is -∞ in all classes.
    pub fn from_logits(values: &[f32], classes: usize, lengths: &[usize]) -> Result<Self> {
        let rows = parts("Emissions::from_logits", values, classes, lengths)?;
        Self::of(rows.into_iter(), classes, log_softmax)
    }

    /// As [`Emissions::from_logits`], of probabilities, such as those of a last layer with a softmax.
    ///
    /// # Errors
    /// As [`Emissions::from_logits`], and [`Error::Option`] for a frame whose numbers are not of at least 0,
    /// or do not add up to 1 within a hundredth.
    pub fn from_probabilities(values: &[f32], classes: usize, lengths: &[usize]) -> Result<Self> {
        let rows = parts("Emissions::from_probabilities", values, classes, lengths)?;
        Self::of(rows.into_iter(), classes, logs)
    }

    /// Puts together what `frame` makes of each frame of each row.
    fn of<'a>(
        rows: impl Iterator<Item = &'a [f32]> + Clone,
        classes: usize,
        frame: fn(&[f32], &mut Vec<f32>) -> Result<(), Bad>,
    ) -> Result<Self> {
        let frames: usize = rows.clone().map(|row| row.len() / classes).sum();
        let mut values = room_for("log-probabilities", count(&[frames, classes]))?;
        let mut starts = vec![0];
        for (row, words) in rows.enumerate() {
            for (t, words) in words.chunks_exact(classes).enumerate() {
                let place = || format!("frame {t} of row {row}");
                frame(words, &mut values).map_err(|bad| bad.error(place()))?;
            }
            starts.push(values.len() / classes);
        }
        Ok(Self { values, classes, starts })
    }

    /// The number of sequences.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// The number of classes, the blank among them.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The log-probabilities of sequence `i`, frame by frame; empty if there is no such sequence.
    pub fn row(&self, i: usize) -> &[f32] {
        match self.starts.get(i..).unwrap_or_default() {
            [start, end, ..] => &self.values[start * self.classes..end * self.classes],
            _ => &[],
        }
    }

    /// What `f` makes of each row, on rayon's threads; of several errors that of the first row.
    pub(super) fn each<T: Send>(
        &self,
        f: impl Fn(Frames<'_>) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let of = |row| f(Frames { row, classes: self.classes, values: self.row(row) });
        let found: Vec<_> = (0..self.rows()).into_par_iter().map(of).collect();
        found.into_iter().collect()
    }
}

/// What is wrong with a frame.
enum Bad {
    Logits,
    Probabilities(f64),
}

impl Bad {
    fn error(self, place: String) -> Error {
        match self {
            Self::Logits => Error::NotFinite {
                what: "a logit, or a softmax's sum,",
                place,
                help: "a class that cannot be may have -inf, but not all classes of a frame",
            },
            Self::Probabilities(sum) => Error::Option {
                option: "Emissions::from_probabilities",
                found: format!("numbers with the sum {sum} at {place}"),
                expected:
                    "numbers of at least 0 with the sum 1; give logits and log-probabilities to \
                           Emissions::from_logits"
                        .into(),
            },
        }
    }
}

/// The values of each row.
fn parts<'a>(
    op: &'static str,
    values: &'a [f32],
    classes: usize,
    lengths: &[usize],
) -> Result<Vec<&'a [f32]>> {
    check_not_zero("Emissions::classes", classes)?;
    let frames = lengths.iter().fold(0, |sum: usize, &length| sum.saturating_add(length));
    let expected = count(&[frames, classes]);
    if values.len() != expected {
        let (shape, found) = (vec![frames, classes], values.len());
        return Err(Error::Count { op, shape, expected, found });
    }
    let mut rest = values;
    let mut next = |&length: &usize| {
        let (row, behind) = rest.split_at(length * classes);
        rest = behind;
        row
    };
    Ok(lengths.iter().map(&mut next).collect())
}

fn log_softmax(frame: &[f32], to: &mut Vec<f32>) -> Result<(), Bad> {
    let largest = f64::from(frame.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = frame.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
    let log = largest + sum.ln();
    to.extend(frame.iter().map(|&x| (f64::from(x) - log) as f32));
    if log.is_finite() { Ok(()) } else { Err(Bad::Logits) }
}

fn logs(frame: &[f32], to: &mut Vec<f32>) -> Result<(), Bad> {
    let sum: f64 = frame.iter().map(|&p| f64::from(p)).sum();
    to.extend(frame.iter().map(|&p| (f64::from(p) / sum).ln() as f32));
    let right = (sum - 1.0).abs() <= 0.01 && frame.iter().all(|&p| p >= 0.0);
    if right { Ok(()) } else { Err(Bad::Probabilities(sum)) }
}
