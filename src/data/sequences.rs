//! Sequences of vectors, of equal or different lengths.

use super::finite;
use crate::check::check_not_zero;
use crate::{Error, Result};

/// Sequences of frames, in host memory; each frame has the same number of features.
///
/// ```
/// use wgpu_lstm::data::Sequences;
/// // Two sequences of 3 and 1 frames with 2 features.
/// let x = Sequences::new(2, [vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![7.0, 8.0]])?;
/// assert_eq!((x.len(), x.frames(0), x.frames(1)), (2, 3, 1));
/// // Eight sequences of 5 frames with 2 features, from one array [8,5,2].
/// let x = Sequences::from_array(&[0.0; 80], [8, 5, 2])?;
/// assert_eq!(x.frames(7), 5);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sequences {
    features: usize,
    values: Vec<f32>,
    /// Where each sequence begins, in frames; and the end of the last.
    begins: Vec<usize>,
}

/// Adds the number of the sequence to an error.
fn of_row(mut error: Error, row: usize) -> Error {
    if let Error::NotFinite { place, .. } = &mut error {
        *place = format!("{place} of sequence {row}");
    }
    error
}

impl Sequences {
    /// Sequences of `features` values a frame, each given frame by frame.
    ///
    /// # Errors
    /// [`Error::Option`] if `features` is 0; [`Error::Frame`] if a sequence is no whole number of
    /// frames; [`Error::Length`] if one is empty; [`Error::NotFinite`] for NaN.
    pub fn new<S: AsRef<[f32]>>(
        features: usize,
        sequences: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        check_not_zero("Sequences::features", features)?;
        let mut all = Self { features, values: Vec::new(), begins: vec![0] };
        for (row, sequence) in sequences.into_iter().enumerate() {
            let sequence = sequence.as_ref();
            let frames = sequence.len() / features;
            if !sequence.len().is_multiple_of(features) {
                return Err(Error::Frame { sequence: row, values: sequence.len(), features });
            }
            if frames == 0 {
                return Err(Error::Length { row, found: 0, max: u32::MAX as usize });
            }
            finite("a sequence", sequence).map_err(|error| of_row(error, row))?;
            all.values.extend_from_slice(sequence);
            all.begins.push(all.values.len() / features);
        }
        Ok(all)
    }

    /// Sequences of the same length, from one array `[N,T,F]`.
    ///
    /// # Errors
    /// [`Error::Count`] if the array has another size, [`Error::Empty`] if an axis is 0, [`Error::NotFinite`]
    /// for NaN.
    pub fn from_array(values: &[f32], [n, timesteps, features]: [usize; 3]) -> Result<Self> {
        let shape = vec![n, timesteps, features];
        let expected = crate::tensor::count(&shape);
        if expected != values.len() {
            return Err(Error::Count {
                op: "Sequences::from_array",
                shape,
                expected,
                found: values.len(),
            });
        }
        if expected == 0 {
            return Err(Error::Empty {
                op: "Sequences::from_array",
                arg: "values",
                axes: "[N,T,F]",
                found: shape,
            });
        }
        for (row, sequence) in values.chunks_exact(timesteps * features).enumerate() {
            finite("a sequence", sequence).map_err(|error| of_row(error, row))?;
        }
        let begins = (0..=n).map(|i| i * timesteps).collect();
        Ok(Self { features, values: values.to_vec(), begins })
    }

    /// Sequences of tokens, for an [`crate::nn::Embedding`]: each frame is the number of a token.
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let x = Sequences::from_tokens([vec![4, 2, 9], vec![1]])?;
    /// assert_eq!((x.features(), x.frames(0), x.get(1)), (1, 3, &[1.0][..]));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] if a sequence is empty; [`Error::Token`] for a number that a float does not
    /// hold, of 16,777,216 or more.
    pub fn from_tokens<S: AsRef<[u32]>>(sequences: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut rows = Vec::new();
        for (row, sequence) in sequences.into_iter().enumerate() {
            let sequence = sequence.as_ref();
            if let Some(place) = sequence.iter().position(|&token| token >= 1 << 24) {
                let found = sequence[place] as f32;
                return Err(Error::Token { sequence: row, place, found, tokens: 1 << 24 });
            }
            rows.push(sequence.iter().map(|&token| token as f32).collect::<Vec<_>>());
        }
        Self::new(1, rows)
    }

    /// The number of sequences.
    pub fn len(&self) -> usize {
        self.begins.len() - 1
    }

    /// Whether there are no sequences.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of values of a frame.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The number of frames of sequence `i`; 0 if there is no such sequence.
    pub fn frames(&self, i: usize) -> usize {
        self.range(i).len()
    }

    /// The number of frames of all sequences together.
    pub fn total_frames(&self) -> usize {
        self.values.len() / self.features
    }

    /// The place of sequence `i` among all frames.
    pub(crate) fn range(&self, i: usize) -> std::ops::Range<usize> {
        // Not by i + 1, which overflows for the largest number.
        match self.begins.get(i..) {
            Some(&[begin, end, ..]) => begin..end,
            _ => 0..0,
        }
    }

    /// The values of sequence `i`, frame by frame; empty if there is no such sequence.
    pub fn get(&self, i: usize) -> &[f32] {
        let range = self.range(i);
        &self.values[range.start * self.features..range.end * self.features]
    }

    /// The values of all sequences, one after the other.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// All sequences in one array `[N,T,F]`, zeros behind the shorter ones, and their lengths:
    /// for training loops of your own.
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let x = Sequences::new(1, [vec![1.0, 2.0], vec![3.0]])?;
    /// assert_eq!(x.pad(), (vec![1.0, 2.0, 3.0, 0.0], [2, 2, 1], vec![2, 1]));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn pad(&self) -> (Vec<f32>, [usize; 3], Vec<usize>) {
        let lengths: Vec<_> = (0..self.len()).map(|i| self.frames(i)).collect();
        let timesteps = lengths.iter().copied().max().unwrap_or(0);
        let size = timesteps * self.features;
        let mut values = vec![0.0; self.len() * size];
        for (i, to) in values.chunks_exact_mut(size.max(1)).enumerate() {
            let from = self.get(i);
            to[..from.len()].copy_from_slice(from);
        }
        (values, [self.len(), timesteps, self.features], lengths)
    }
}
