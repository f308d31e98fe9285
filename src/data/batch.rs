//! Some of the sequences with their targets, on a device.

use super::targets::Kind;
use super::{Sequences, Targets};
use crate::loss::{Labels, RowWeights};
use crate::tape::Var;
use crate::{Device, Lengths, Result, Tensor};

/// One batch.
pub(crate) struct Batch {
    /// `[B,T,F]`, with lengths if they differ.
    pub(crate) x: Var,
    pub(crate) targets: BatchTargets,
    /// Which rows of a value `[B,T,..]` are no padding, if some are.
    pub(crate) weights: Option<RowWeights>,
    /// The sum of the weights: sequences, or frames.
    pub(crate) weight: f32,
}

pub(crate) enum BatchTargets {
    Classes(Labels),
    Values(Tensor),
    None,
}

/// The sequences `rows` of `x`, with their targets.
pub(crate) fn batch(
    x: &Sequences,
    targets: Option<&Targets>,
    per_frame: bool,
    rows: &[usize],
    device: &Device,
) -> Result<Batch> {
    let (values, shape, lengths) = x.pad_rows(rows);
    let [_, timesteps, _] = shape;
    let ragged = lengths.iter().any(|&l| l < timesteps);
    let lengths = match ragged {
        true => Some(Lengths::new(&lengths, device)?),
        false => None,
    };
    let weights = match &lengths {
        Some(lengths) if per_frame => Some(RowWeights::from_lengths(lengths, timesteps)?),
        _ => None,
    };
    let all = if per_frame { rows.len() * timesteps } else { rows.len() };
    let weight = weights.as_ref().map_or(all as f32, RowWeights::sum);
    let targets = match targets.map(|t| &t.kind) {
        None => BatchTargets::None,
        Some(Kind::Classes(labels)) => {
            let labels = gather(x, labels, 1, rows, per_frame, timesteps);
            BatchTargets::Classes(Labels::new(&labels, device)?)
        }
        Some(Kind::Values { values, width }) => {
            let values = gather(x, values, *width, rows, per_frame, timesteps);
            let shape = match per_frame {
                true => vec![rows.len(), timesteps, *width],
                false => vec![rows.len(), *width],
            };
            BatchTargets::Values(Tensor::from_slice(&values, shape, device)?)
        }
    };
    let x = Var::from(Tensor::from_slice(&values, shape, device)?).with_lengths(lengths);
    Ok(Batch { x, targets, weights, weight })
}

/// The targets of some sequences; padding gets zeros.
fn gather<T: Copy + Default>(
    x: &Sequences,
    values: &[T],
    width: usize,
    rows: &[usize],
    per_frame: bool,
    timesteps: usize,
) -> Vec<T> {
    let mut gathered = Vec::new();
    for &row in rows {
        if per_frame {
            let frames = x.range(row);
            let end = gathered.len() + timesteps * width;
            gathered.extend_from_slice(&values[frames.start * width..frames.end * width]);
            gathered.resize(end, T::default());
        } else {
            gathered.extend_from_slice(&values[row * width..][..width]);
        }
    }
    gathered
}
