//! Some of the sequences, some of their frames, some of their columns.

use super::Sequences;
use crate::check::check_not_zero;
use crate::{Error, Result};
use std::borrow::Cow;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

/// The range's begin and end, if it lies within 0..n.
pub(super) fn within(
    option: &'static str,
    range: impl RangeBounds<usize>,
    n: usize,
) -> Result<Range<usize>> {
    let begin = match range.start_bound() {
        Bound::Included(&at) => Some(at),
        Bound::Excluded(&at) => at.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    let end = match range.end_bound() {
        Bound::Included(&at) => at.checked_add(1),
        Bound::Excluded(&at) => Some(at),
        Bound::Unbounded => Some(n),
    };
    match (begin, end) {
        (Some(begin), Some(end)) if begin <= end && end <= n => Ok(begin..end),
        _ => {
            let found = format!("{:?} to {:?}", range.start_bound(), range.end_bound());
            Err(Error::Option { option, found, expected: format!("a range within 0..{n}") })
        }
    }
}

/// Checks that all indices are below n.
pub(super) fn check_below(
    option: &'static str,
    what: &str,
    indices: &[usize],
    n: usize,
) -> Result<()> {
    match indices.iter().find(|&&index| index >= n) {
        Some(bad) => {
            let expected = format!("below {n}, the number of {what}");
            Err(Error::Option { option, found: bad.to_string(), expected })
        }
        None => Ok(()),
    }
}

impl Sequences {
    /// The sequences of these numbers, in this order; a number may come twice. With the lists of
    /// [`super::train_test_split`] or [`super::KFold`], for example.
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let x = Sequences::new(1, [vec![1.0, 2.0], vec![3.0], vec![4.0]])?;
    /// let two = x.select(&[2, 0])?;
    /// assert_eq!((two.len(), two.get(0), two.get(1)), (2, &[4.0][..], &[1.0, 2.0][..]));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for a number that is not below [`Sequences::len`].
    pub fn select(&self, sequences: &[usize]) -> Result<Self> {
        check_below("Sequences::select", "sequences", sequences, self.len())?;
        Ok(self.parts(sequences.iter().map(|&i| (self.starts[i], self.frames(i)))))
    }

    /// The sequences of a range of numbers.
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let x = Sequences::from_array(&[0.0; 10], [10, 1, 1])?;
    /// assert_eq!((x.slice(..8)?.len(), x.slice(8..)?.len()), (8, 2));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for a range that goes beyond [`Sequences::len`].
    pub fn slice(&self, sequences: impl RangeBounds<usize>) -> Result<Self> {
        let range = within("Sequences::slice", sequences, self.len())?;
        Ok(self.parts(range.map(|i| (self.starts[i], self.frames(i)))))
    }

    /// At most the first `frames` of each sequence, as Keras' `pad_sequences` with `maxlen` and
    /// `truncating="post"`. For one long series: the part to train on.
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let x = Sequences::from_tokens([vec![1, 2, 3], vec![4]])?;
    /// assert_eq!(x.first_frames(2)?, Sequences::from_tokens([vec![1, 2], vec![4]])?);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for 0.
    pub fn first_frames(&self, frames: usize) -> Result<Self> {
        check_not_zero("Sequences::first_frames", frames)?;
        let all = self.starts.iter().enumerate();
        Ok(self.parts(all.map(|(i, &start)| (start, self.frames(i).min(frames)))))
    }

    /// At most the last `frames` of each sequence, as Keras' `pad_sequences` with `maxlen`, which truncates
    /// so by default. For one long series: the window that the next values are predicted from.
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let x = Sequences::from_tokens([vec![1, 2, 3], vec![4]])?;
    /// assert_eq!(x.last_frames(2)?, Sequences::from_tokens([vec![2, 3], vec![4]])?);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for 0.
    pub fn last_frames(&self, frames: usize) -> Result<Self> {
        check_not_zero("Sequences::last_frames", frames)?;
        let part = |(i, &start): (usize, &usize)| {
            let length = self.frames(i);
            (start + length.saturating_sub(frames), length.min(frames))
        };
        Ok(self.parts(self.starts.iter().enumerate().map(part)))
    }

    /// The features of these numbers, in this order. Copies them.
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let x = Sequences::new(3, [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])?;
    /// assert_eq!(x.columns(&[2, 0])?.get(0), [3.0, 1.0, 6.0, 4.0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for a number that is not below [`Sequences::features`], or for none.
    pub fn columns(&self, columns: &[usize]) -> Result<Self> {
        check_not_zero("Sequences::columns", columns.len())?;
        check_below("Sequences::columns", "features", columns, self.features)?;
        let tight = self.tight();
        let frames = tight.values.chunks_exact(self.features);
        let values = frames.flat_map(|frame| columns.iter().map(|&column| frame[column]));
        let (values, features) = (Arc::new(values.collect()), columns.len());
        Ok(Self { features, values, ..tight.into_owned() })
    }

    /// The sequences of all parts, one part after the other. Copies them.
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let (a, b) = (Sequences::new(1, [[1.0]])?, Sequences::new(1, [[2.0, 3.0]])?);
    /// assert_eq!(Sequences::concat([&a, &b])?, Sequences::new(1, [vec![1.0], vec![2.0, 3.0]])?);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] without parts, [`Error::Features`] if they have different features.
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Result<Self> {
        const OP: &str = "Sequences::concat";
        let parts: Vec<_> = parts.into_iter().collect();
        check_not_zero(OP, parts.len())?;
        let expected = parts[0].features;
        let (mut values, mut begins) = (Vec::new(), vec![0]);
        for part in parts {
            let found = part.features;
            if found != expected {
                let help = "the features of the first part";
                return Err(Error::Features { op: OP, expected, found, help });
            }
            for sequence in part.iter() {
                values.extend_from_slice(sequence);
                begins.push(values.len() / expected);
            }
        }
        Ok(Self::one_after_the_other(expected, values, begins))
    }

    /// Sequences that begin at these frames of the buffer, and have so many.
    pub(super) fn parts(&self, parts: impl Iterator<Item = (usize, usize)>) -> Self {
        let (mut starts, mut begins, mut end) = (Vec::new(), vec![0], 0);
        for (start, frames) in parts {
            starts.push(start);
            end += frames;
            begins.push(end);
        }
        Self { features: self.features, values: self.values.clone(), starts, begins }
    }

    /// The same sequences in a buffer that has hardly more than them, for what goes over all values: the
    /// present one, unless it has more frames.
    fn tight(&self) -> Cow<'_, Self> {
        let frames = self.values.len() / self.features;
        if frames <= self.total_frames() {
            return Cow::Borrowed(self);
        }
        let values = self.iter().collect::<Vec<_>>().concat();
        Cow::Owned(Self::one_after_the_other(self.features, values, self.begins.clone()))
    }

    /// The sequences with each value replaced by that of a function of its column and itself.
    pub(super) fn map(&self, f: impl Fn(usize, f32) -> f32) -> Result<Self> {
        let tight = self.tight();
        let mut values = tight.values.to_vec();
        for frame in values.chunks_exact_mut(self.features) {
            frame.iter_mut().enumerate().for_each(|(column, value)| *value = f(column, *value));
        }
        let fine = values.iter().all(|value| value.is_finite());
        let mapped = Self { values: Arc::new(values), ..tight.into_owned() };
        // The buffer may have values that are of no sequence.
        let bad = |row: &usize| mapped.get(*row).iter().any(|value| !value.is_finite());
        let found = if fine { None } else { (0..mapped.len()).find(bad) };
        match found {
            Some(row) => Err(Error::NotFinite {
                what: "a sequence",
                place: format!("sequence {row} after scaling"),
                help: "its values lie too far from those that the scaler was fitted on",
            }),
            None => Ok(mapped),
        }
    }
}
