//! Which frames of a batch make up the chain of each row.

use super::limits::Limits;
use crate::autograd::Var;
use crate::check::Check;
use crate::lengths::Counted;
use crate::loss::{Labels, RowWeights};
use crate::tensor::{count, room_for};
use crate::{Device, Error, Result, Tensor};

const OP: &str = "crf";

/// The labels of each frame `[B*T]`, and the frames' weights.
pub(super) type Wanted<'a> = (&'a Labels, Option<&'a RowWeights>);

/// The frames of each row that count, and what its loss is multiplied with.
pub(super) struct Table {
    words: Vec<u32>,
    batch: usize,
}

impl Table {
    /// Of the frames that lengths or a mask of `x` `[B,T,K]` count; with labels, of those that have a weight, too.
    pub(super) fn new(
        x: &Var,
        [batch, timesteps, tags]: [usize; 3],
        wanted: Option<Wanted<'_>>,
        limits: &Limits,
    ) -> Result<Self> {
        let steps = x.counted(OP, batch, timesteps)?;
        if let Some(wanted) = wanted {
            check(x, batch * timesteps, wanted)?;
        }
        let weights = wanted.and_then(|(_, weights)| weights).map(RowWeights::values);
        let labels = wanted.map(|(labels, _)| labels.values());
        let counts = |row: usize, t: usize| {
            let at = row * timesteps + t;
            let counted = match &steps {
                Counted::All => true,
                Counted::Lengths(lengths) => t < lengths.values()[row] as usize,
                Counted::Mask(mask) => mask.values()[at],
            };
            counted && weights.is_none_or(|weights| weights[at] != 0.0)
        };
        let width = 2 + 2 * timesteps;
        let mut words = room_for("the chains of a batch", count(&[batch, width]))?;
        let (mut sums, mut path) = (Vec::with_capacity(batch), Vec::with_capacity(timesteps));
        for row in 0..batch {
            let begin = words.len();
            words.extend([0, 0]);
            path.clear();
            let mut sum = 0.0;
            for t in (0..timesteps).filter(|&t| counts(row, t)) {
                let at = row * timesteps + t;
                let tag = labels.map_or(0, |labels| labels[at]);
                if tag as usize >= tags {
                    return Err(Error::Label { row: at, found: tag, classes: tags });
                }
                words.extend([at as u32, tag]);
                path.push(tag);
                sum += weights.map_or(1.0, |weights| f64::from(weights[at]));
            }
            if labels.is_some() {
                check_path(limits, &path).map_err(|error| error.at(format!("row {row}")))?;
            }
            words[begin] = path.len() as u32;
            words.resize(begin + width, 0);
            sums.push(sum);
        }
        // A row's loss has the mean weight of its frames, and all are divided by the weight of all frames.
        let total: f64 = sums.iter().sum();
        for (row, sum) in words.chunks_exact_mut(width).zip(sums) {
            let frames = f64::from(row[0].max(1));
            let scale = if total > 0.0 { sum / frames / total } else { 0.0 };
            row[1] = (scale as f32).to_bits();
        }
        Ok(Self { words, batch })
    }

    /// The places in `[B,T]` of a row's frames.
    pub(super) fn places(&self, row: usize) -> impl Iterator<Item = usize> {
        let width = self.words.len() / self.batch;
        let row = &self.words[row * width..][..width];
        row[2..].chunks_exact(2).take(row[0] as usize).map(|frame| frame[0] as usize)
    }

    /// On a device, as the kernels want it.
    pub(super) fn tensor(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_u32(&self.words, [self.batch, self.words.len() / self.batch], device)
    }
}

/// Checks that labels and weights are those of so many frames.
fn check(x: &Var, frames: usize, (labels, weights): Wanted<'_>) -> Result<()> {
    if labels.are_soft() {
        return Err(Error::Unsupported {
            what: "Crf",
            with: "labels that are probabilities",
            help: "a path has one tag at each frame: give classes",
        });
    }
    let check = Check::new(OP, "one for each frame of the emissions");
    check.shape("labels", labels.tensor(), "[B*T]", &[frames])?;
    let Some(weights) = weights else { return Ok(()) };
    check.shape("weights", weights.tensor(), "[B*T]", &[frames])?;
    check.device(x.tensor(), &[("weights", weights.tensor())])
}

/// Checks that the constraints leave a path of labels.
pub(super) fn check_path(limits: &Limits, path: &[u32]) -> Result<()> {
    match limits.broken(path) {
        Some(found) => Err(Error::Option {
            option: "Crf::bio or Crf::forbid",
            found,
            expected: "constraints that the labels keep to".into(),
        }),
        None => Ok(()),
    }
}
