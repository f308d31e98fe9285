//! What attention looked at, on the host.

use crate::{Result, Tensor};

/// The weights of attention over the steps of one sequence: a row for each query, such as a token that a model
/// generated, and a column for each step of the sequence. A row adds up to 1, with 0 at steps that a mask leaves
/// out; if it leaves out all of them, the row is 0.
///
/// [`Seq2Seq::attention_maps`](super::Seq2Seq::attention_maps) and
/// [`Sequential::attention_maps`](crate::Sequential::attention_maps) make it. A `plot::HeatMap` of `weights` and `shape`
/// draws it.
///
/// ```
/// use wgpu_lstm::{Device, nn::{Params, Seq2Seq}};
/// let params = Params::new(&Device::auto()?);
/// let model = Seq2Seq::new(10, 5).embedding_size(4).hidden_size(8).build(&params)?;
/// let map = &model.attention_maps(&params, &[[3, 1, 7]], &[[2]])?[0];
/// // The token and the end behind it look at three tokens.
/// assert_eq!(map.shape, [2, 3]);
/// assert!((map.row(1).iter().sum::<f32>() - 1.0).abs() < 1e-6);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AttentionMap {
    /// The weights, row by row.
    pub weights: Vec<f32>,
    /// The rows and the columns.
    pub shape: [usize; 2],
}

impl AttentionMap {
    /// The weights of one query; empty if there is no such row.
    pub fn row(&self, i: usize) -> &[f32] {
        self.weights.chunks_exact(self.shape[1].max(1)).nth(i).unwrap_or_default()
    }

    /// The weights `[B,U,T]` of a batch on the host, of which each sequence has so many rows and columns of its own.
    pub(super) fn of_batch(
        weights: &Tensor,
        shapes: impl IntoIterator<Item = [usize; 2]>,
    ) -> Result<Vec<Self>> {
        let &[_, queries, steps] = weights.shape() else { return Ok(Vec::new()) };
        let words = weights.to_vec()?;
        let all = words.chunks_exact((queries * steps).max(1)).zip(shapes);
        let own = |(words, shape): (&[f32], [usize; 2])| {
            let rows = words.chunks_exact(steps).take(shape[0]);
            Self { weights: rows.flat_map(|row| &row[..shape[1]]).copied().collect(), shape }
        };
        Ok(all.map(own).collect())
    }

    /// The weights of several attentions over one sequence, one below the other; `None` without any, and where they do not
    /// have as many columns.
    pub(crate) fn stacked(all: &[Tensor]) -> Result<Option<Self>> {
        let Some(&columns) = all.first().and_then(|first| first.shape().last()) else {
            return Ok(None);
        };
        let mut weights = Vec::new();
        for one in all {
            if one.shape().last() != Some(&columns) {
                return Ok(None);
            }
            weights.extend(one.to_vec()?);
        }
        let shape = [weights.len() / columns.max(1), columns];
        Ok(Some(Self { weights, shape }))
    }
}
