//! Some of the sequences with their targets, on a device.

use super::loss::Loss;
use crate::autograd::Var;
use crate::data::{Kind, Sequences, Targets};
use crate::loss::{CrossEntropy, Labels, RowWeights};
use crate::tensor::room_for;
use crate::{Device, Lengths, Mask, Result, Tensor};

/// The input, targets and weights of one training step.
#[derive(Clone)]
pub(crate) struct Batch {
    /// The input `[B,T,F]`, with lengths if they differ.
    pub(crate) x: Var,
    pub(crate) targets: BatchTargets,
    /// The numbers among the targets, on the host; empty if they are classes.
    pub(crate) numbers: Vec<f32>,
    /// The weight of each frame, if some are padding or weights were given.
    pub(crate) weights: Option<RowWeights>,
    /// The sum of the weights; without any, the number of sequences or frames.
    pub(crate) weight: f32,
}

impl Batch {
    /// What the batch's mean loss counts among others.
    pub(crate) fn weight_of_loss(&self, kind: &Loss) -> f32 {
        match (&self.targets, kind.of_classes()) {
            (BatchTargets::Classes(labels), Some(options)) => {
                options.total(labels, self.weights.as_ref())
            }
            _ => self.weight,
        }
    }

    /// The batch without the frames `[B,T]` that a mask leaves out.
    pub(crate) fn masked(&self, mask: &Mask) -> Result<Self> {
        let own = self.weights.as_ref().map(RowWeights::values);
        let on = mask.values().iter().enumerate();
        let weight = |(at, &on): (usize, &bool)| match on {
            true => own.map_or(1.0, |weights| weights[at]),
            false => 0.0,
        };
        let weights: Vec<_> = on.map(weight).collect();
        let weights = RowWeights::new_allow_zero_sum(&weights, &self.x.tensor().device())?;
        Ok(Self { weight: weights.sum(), weights: Some(weights), ..self.clone() })
    }
}

#[derive(Clone)]
pub(crate) enum BatchTargets {
    Classes(Labels),
    Values(Tensor),
    /// The labels of each sequence.
    Sequences(Vec<Vec<u32>>),
    None,
}

/// The rows of values that a model gives for each sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// One row a sequence.
    One,
    /// One row for each frame.
    Frames,
    /// This many rows a sequence, whatever its length.
    Fixed(usize),
}

impl Rows {
    /// The rows of sequence `i` of `x` among those of all sequences.
    pub(crate) fn range(self, x: &Sequences, i: usize) -> std::ops::Range<usize> {
        match self {
            Self::One => i..i + 1,
            Self::Frames => x.range(i),
            Self::Fixed(n) => i * n..(i + 1) * n,
        }
    }

    pub(crate) fn total(self, x: &Sequences) -> usize {
        match self {
            Self::One => x.len(),
            Self::Frames => x.total_frames(),
            Self::Fixed(n) => x.len().saturating_mul(n),
        }
    }
}

/// How a batch is made, and how much each part of it counts.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counting<'a> {
    /// A weight for each sequence of the data.
    pub(crate) samples: Option<&'a [f32]>,
    /// The loss that tells which labels count.
    pub(crate) classes: Option<&'a CrossEntropy>,
    /// Whether the values are tokens, which become whole numbers `[B,T]`.
    pub(crate) tokens: bool,
    /// Whether sequences of different lengths are packed: `[frames,F]`.
    pub(crate) packed: bool,
    /// What all values are of frames that do not count, such as the token 0.
    pub(crate) masked: Option<f32>,
}

impl Counting<'_> {
    /// Whether a value for frame `t` of sequence `row` counts.
    pub(crate) fn counts(&self, x: &Sequences, row: usize, t: usize) -> bool {
        self.masked.is_none_or(|value| x.frame(row, t).iter().any(|&found| found != value))
    }
}

/// Makes the batch of the sequences `rows` of `x`.
pub(crate) fn batch(
    x: &Sequences,
    targets: Option<&Targets>,
    out: Rows,
    rows: &[usize],
    counting: Counting<'_>,
    device: &Device,
) -> Result<Batch> {
    let lengths: Vec<_> = rows.iter().map(|&row| x.frames(row)).collect();
    let timesteps = lengths.iter().copied().max().unwrap_or(0);
    let ragged = lengths.iter().any(|&l| l < timesteps);
    let lengths = match ragged {
        true => Some(Lengths::new(&lengths, device)?),
        false => None,
    };
    let (values, shape) = match &lengths {
        Some(lengths) if counting.packed => {
            let mut values = room_for("a batch", lengths.frames() * x.features())?;
            for row in lengths.rows() {
                values.extend_from_slice(x.get(rows[row.at]));
            }
            (values, vec![lengths.frames(), x.features()])
        }
        _ => {
            let size = timesteps.saturating_mul(x.features());
            let mut values = room_for("a batch", rows.len().saturating_mul(size))?;
            for &row in rows {
                let end = values.len() + size;
                values.extend_from_slice(x.get(row));
                values.resize(end, 0.0);
            }
            (values, vec![rows.len(), timesteps, x.features()])
        }
    };
    let out = match targets.map(|t| &t.kind) {
        Some(Kind::Sequences(_)) => Rows::One,
        _ => out,
    };
    let steps = match out {
        Rows::One => 1,
        Rows::Frames => timesteps,
        Rows::Fixed(n) => n,
    };
    let all = rows.len().saturating_mul(steps);
    let mut host = None;
    let each = out == Rows::Frames;
    let zeros = |row: usize| (0..x.frames(row)).any(|t| !counting.counts(x, row, t));
    let gaps = counting.masked.is_some() && each && rows.iter().any(|&row| zeros(row));
    if (ragged && each) || gaps || counting.samples.is_some() {
        let mut weights = room_for("the weights of a batch", all)?;
        for &row in rows {
            let frames = out.range(x, row).len();
            let weight = counting.samples.map_or(1.0, |w| w[row]);
            let counts = |t| t < frames && (!gaps || counting.counts(x, row, t));
            weights.extend((0..steps).map(|t| if counts(t) { weight } else { 0.0 }));
        }
        host = Some(weights);
    }
    let mut numbers = Vec::new();
    let targets = match targets.map(|t| &t.kind) {
        None => BatchTargets::None,
        Some(Kind::Classes(labels)) => {
            let labels = gather(x, (TARGETS, labels, 1), rows, out, steps)?;
            if let Some(options) = counting.classes.filter(|o| labels.iter().any(|&l| !o.counts(l)))
            {
                let mut weights = match host {
                    Some(weights) => weights,
                    None => room_for("the weights of a batch", all)?,
                };
                weights.resize(all, 1.0);
                for (weight, &label) in weights.iter_mut().zip(&labels) {
                    *weight *= f32::from(options.counts(label));
                }
                host = Some(weights);
            }
            BatchTargets::Classes(Labels::new(&labels, device)?)
        }
        // Of a loss of classes they are probabilities.
        Some(Kind::Values { values, width }) if counting.classes.is_some() => {
            let values = gather(x, (TARGETS, values, *width), rows, out, steps)?;
            BatchTargets::Classes(Labels::probabilities(&values, *width, device)?)
        }
        Some(Kind::Values { values, width }) => {
            let values = gather(x, (TARGETS, values, *width), rows, out, steps)?;
            let shape = match out {
                Rows::One => vec![rows.len(), *width],
                _ => vec![rows.len(), steps, *width],
            };
            numbers = values;
            BatchTargets::Values(Tensor::from_slice(&numbers, shape, device)?)
        }
        Some(Kind::Sequences(all)) => {
            BatchTargets::Sequences(rows.iter().map(|&row| all[row].clone()).collect())
        }
    };
    let weights = host.map(|w| RowWeights::new_allow_zero_sum(&w, device)).transpose()?;
    let weight = weights.as_ref().map_or(all as f32, RowWeights::sum);
    let x = match counting.tokens && x.features() == 1 {
        true => {
            // The first layer has checked that these are whole numbers.
            let mut tokens = room_for("a batch", values.len())?;
            tokens.extend(values.iter().map(|&value| value as u32));
            Tensor::from_u32(&tokens, &shape[..shape.len() - 1], device)?
        }
        false => Tensor::from_slice(&values, shape, device)?,
    };
    let x = Var::from(x).with_lengths(lengths);
    Ok(Batch { x, targets, numbers, weights, weight })
}

/// What memory for targets is for.
const TARGETS: &str = "the targets of a batch";

/// What some sequences of `x` have of values, so many for each of their rows in `out`; padding gets zeros.
fn gather<T: Copy + Default>(
    x: &Sequences,
    (what, values, width): (&'static str, &[T], usize),
    rows: &[usize],
    out: Rows,
    steps: usize,
) -> Result<Vec<T>> {
    let words = rows.len().saturating_mul(steps).saturating_mul(width);
    let mut gathered = room_for(what, words)?;
    for &row in rows {
        let range = out.range(x, row);
        let end = gathered.len() + steps * width;
        gathered.extend_from_slice(&values[range.start * width..range.end * width]);
        gathered.resize(end, T::default());
    }
    Ok(gathered)
}
