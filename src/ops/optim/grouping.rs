//! Factors of rate and decay that some parameters have of their own.

use crate::{Device, Result, Tensor};
use std::ops::Range;

/// The words of all parameters that have the same factors: a multiple of them for each parameter.
pub(crate) const BLOCK: usize = 128;

/// The factors of the rate and of the decay. A rate of 0: the parameter stays as it is.
pub(crate) type Factors = [f32; 2];

/// The factors of all parameters together, or of a table.
#[derive(Debug)]
pub(crate) struct Grouping {
    /// Words that have the same factors, from the first to the last, each a multiple of [`BLOCK`].
    pub(super) ranges: Vec<(Range<usize>, Factors)>,
    /// The factors of each block, on a GPU.
    pub(super) words: Option<Tensor>,
}

impl Grouping {
    /// Of all parameters together.
    pub(crate) fn of_ranges(ranges: Vec<(Range<usize>, Factors)>, device: &Device) -> Result<Self> {
        let blocks = ranges.iter().flat_map(|(range, factors)| {
            std::iter::repeat_n(*factors, range.len().div_ceil(BLOCK)).flatten()
        });
        let words = device.is_gpu().then(|| blocks.collect::<Vec<_>>());
        let words = words.map(|words| Tensor::from_slice(&words, [words.len()], device));
        Ok(Self { ranges, words: words.transpose()? })
    }

    /// Of a table of so many words.
    pub(crate) fn of_table(len: usize, factors: Factors, device: &Device) -> Result<Self> {
        let words = device.is_gpu().then(|| Tensor::from_slice(&factors, [2], device));
        Ok(Self { ranges: vec![(0..len, factors)], words: words.transpose()? })
    }

    /// The words that stay as they are.
    pub(crate) fn frozen(&self) -> impl Iterator<Item = Range<usize>> {
        let frozen = self.ranges.iter().filter(|(_, [rate, _])| *rate == 0.0);
        frozen.map(|(range, _)| range.clone())
    }
}
