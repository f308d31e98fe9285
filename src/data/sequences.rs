//! Sequences of vectors, of equal or different lengths.

use super::numbers::{Element, Integer, Number, Row};
use crate::check::check_not_zero;
use crate::tensor::count;
use crate::{Error, Result};
use std::sync::Arc;

/// Sequences of frames, in host memory; each frame has the same number of features, as 32-bit floats.
///
/// They are made of numbers of any type ([`Number`]), of nested arrays and vectors, of tokens, of columns
/// and, with the feature `ndarray`, of arrays of that crate. All numbers must be finite.
///
/// ```
/// use wgpu_lstm::data::Sequences;
/// // Two sequences of 3 and 1 frames with 2 features.
/// let x = Sequences::new(2, [vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![7.0, 8.0]])?;
/// assert_eq!((x.len(), x.frames(0), x.frames(1)), (2, 3, 1));
/// // The same, frame by frame: rows of unequal length are vectors of vectors.
/// let nested = vec![vec![vec![1, 2], vec![3, 4], vec![5, 6]], vec![vec![7, 8]]];
/// assert_eq!(Sequences::new(2, nested)?, x);
/// // Eight sequences of 5 frames with 2 features, from one array [8,5,2].
/// let x = Sequences::from_array(&[0.0; 80], [8, 5, 2])?;
/// assert_eq!(x.frames(7), 5);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Cost
/// Sequences that are selected, cut or cloned share one buffer with those that they come from, and so do
/// overlapping ones ([`super::Windows`]). It lives as long as any of them.
#[derive(Debug, Clone)]
pub struct Sequences {
    pub(super) features: usize,
    /// The values of all sequences, perhaps of others too; some may be of several.
    pub(super) values: Arc<Vec<f32>>,
    /// Where each sequence begins in `values`, in frames.
    pub(super) starts: Vec<usize>,
    /// Where each sequence begins among the frames of all, one after the other; and the end of the last.
    pub(super) begins: Vec<usize>,
}

/// Two are equal whose sequences are, wherever they lie.
impl PartialEq for Sequences {
    fn eq(&self, other: &Self) -> bool {
        self.features == other.features
            && self.begins == other.begins
            && self.iter().zip(other.iter()).all(|(own, others)| own == others)
    }
}

/// Checks that the values of a sequence are whole frames, at least one.
fn check_row(values: &[f32], features: usize, row: usize) -> Result<()> {
    if !values.len().is_multiple_of(features) {
        return Err(Error::Frame { sequence: row, values: values.len(), features });
    }
    if values.is_empty() {
        return Err(Error::Length { row, found: 0, max: u32::MAX as usize });
    }
    Ok(())
}

/// Checks that the values of a sequence are finite. `number` gives what each was made of.
fn finite_row(
    values: &[f32],
    features: usize,
    row: usize,
    number: impl Fn(usize) -> Option<f64>,
) -> Result<()> {
    let Some(at) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    let mut place = format!("value {at} of sequence {row}");
    if features > 1 {
        place += &format!(" (frame {}, column {})", at / features, at % features);
    }
    let mut help = "replace what is missing before training";
    if let Some(found) = number(at).filter(|found| found.is_finite()) {
        place += &format!(", {found:e}");
        help = "a 32-bit float holds numbers up to 3.4e38: scale the column before";
    }
    Err(Error::NotFinite { what: "a sequence", place, help })
}

impl Sequences {
    /// Sequences of `features` values a frame, each given as numbers frame by frame, or as frames.
    ///
    /// # Errors
    /// [`Error::Option`] if `features` is 0, or a frame has another number of values; [`Error::Frame`] if a
    /// sequence is no whole number of frames; [`Error::Length`] if one is empty; [`Error::NotFinite`] for
    /// NaN, and for a number beyond a 32-bit float.
    pub fn new<S: Row>(features: usize, sequences: impl IntoIterator<Item = S>) -> Result<Self> {
        check_not_zero("Sequences::features", features)?;
        let (mut values, mut begins) = (Vec::new(), vec![0]);
        for (row, sequence) in sequences.into_iter().enumerate() {
            let (elements, before) = (sequence.elements(), values.len());
            Element::put(elements, features, &mut values).map_err(|(frame, found)| {
                Error::Option {
                    option: "Sequences::features",
                    found: features.to_string(),
                    expected: format!("{found}, the values of frame {frame} of sequence {row}"),
                }
            })?;
            let own = &values[before..];
            check_row(own, features, row)?;
            finite_row(own, features, row, |at| Element::number(elements, features, at))?;
            begins.push(values.len() / features);
        }
        Ok(Self::one_after_the_other(features, values, begins))
    }

    /// One sequence, which has the number `row` in errors.
    pub(crate) fn one(features: usize, row: usize, values: Vec<f32>) -> Result<Self> {
        check_not_zero("Sequences::features", features)?;
        check_row(&values, features, row)?;
        finite_row(&values, features, row, |_| None)?;
        let frames = values.len() / features;
        Ok(Self::one_after_the_other(features, values, vec![0, frames]))
    }

    /// Sequences of the same length, from one array `[N,T,F]`.
    ///
    /// # Errors
    /// [`Error::Count`] if the array has another size, [`Error::Empty`] if an axis is 0, [`Error::NotFinite`]
    /// for NaN, and for a number beyond a 32-bit float.
    pub fn from_array<T: Number>(values: &[T], shape: [usize; 3]) -> Result<Self> {
        const OP: &str = "Sequences::from_array";
        let [n, timesteps, features] = shape;
        let expected = count(&shape);
        if expected != values.len() {
            let found = values.len();
            return Err(Error::Count { op: OP, shape: shape.to_vec(), expected, found });
        }
        if expected == 0 {
            let found = shape.to_vec();
            return Err(Error::Empty { op: OP, arg: "values", axes: "[N,T,F]", found });
        }
        let floats: Vec<_> = values.iter().map(|value| value.to_f32()).collect();
        let size = timesteps * features;
        for (row, sequence) in floats.chunks_exact(size).enumerate() {
            finite_row(sequence, features, row, |at| {
                values.get(row * size + at).map(|value| value.to_f64())
            })?;
        }
        let begins = (0..=n).map(|i| i * timesteps).collect();
        Ok(Self::one_after_the_other(features, floats, begins))
    }

    /// Sequences of different lengths from one array `[frames,F]`, which has the frames of the first sequence, then those
    /// of the second …, without padding: what [`Sequences::pad`] would fill up. `lengths` are the frames of each.
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// // Two features; 1 frame and then 2.
    /// let x = Sequences::from_lengths(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, &[1, 2])?;
    /// assert_eq!(x, Sequences::new(2, [vec![1.0, 2.0], vec![3.0, 4.0, 5.0, 6.0]])?);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if `features` is 0; [`Error::Count`] if the array has more or fewer frames than the lengths
    /// together; [`Error::Length`] for a length of 0; [`Error::NotFinite`] for NaN, and for a number beyond a 32-bit
    /// float.
    pub fn from_lengths<T: Number>(
        values: &[T],
        features: usize,
        lengths: &[usize],
    ) -> Result<Self> {
        check_not_zero("Sequences::features", features)?;
        let frames = lengths.iter().fold(0usize, |sum, &length| sum.saturating_add(length));
        let (expected, found) = (count(&[frames, features]), values.len());
        if expected != found {
            let (op, shape) = ("Sequences::from_lengths", vec![frames, features]);
            return Err(Error::Count { op, shape, expected, found });
        }
        let floats: Vec<_> = values.iter().map(|value| value.to_f32()).collect();
        let mut begins = vec![0];
        for (row, &length) in lengths.iter().enumerate() {
            let begin = begins[row];
            let own = &floats[begin * features..(begin + length) * features];
            check_row(own, features, row)?;
            finite_row(own, features, row, |at| {
                values.get(begin * features + at).map(|value| value.to_f64())
            })?;
            begins.push(begin + length);
        }
        Ok(Self::one_after_the_other(features, floats, begins))
    }

    /// One sequence whose features are these columns, such as those of a table: column i is feature i. For
    /// [`super::Windows`].
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let (load, hour) = (vec![0.5, 0.25, 0.75], vec![0, 1, 2]);
    /// let hour: Vec<f64> = hour.into_iter().map(f64::from).collect();
    /// let series = Sequences::from_columns([load, hour])?;
    /// assert_eq!((series.len(), series.frames(0), series.features()), (1, 3, 2));
    /// assert_eq!(series.frame(0, 2), [0.75, 2.0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Empty`] without columns, or if they are empty; [`Error::Count`] if they are not equally long;
    /// [`Error::NotFinite`] for NaN, and for a number beyond a 32-bit float.
    pub fn from_columns<C: Row<Element: Number>>(
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Self> {
        const OP: &str = "Sequences::from_columns";
        let columns: Vec<C> = columns.into_iter().collect();
        let features = columns.len();
        let frames = columns.first().map_or(0, |column| column.elements().len());
        if frames == 0 {
            let found = vec![frames, features];
            return Err(Error::Empty { op: OP, arg: "columns", axes: "[T,F]", found });
        }
        let mut values = vec![0.0; frames * features];
        for (number, column) in columns.iter().enumerate() {
            let found = column.elements().len();
            if found != frames {
                return Err(Error::Count { op: OP, shape: vec![frames], expected: frames, found });
            }
            let own = values[number..].iter_mut().step_by(features);
            own.zip(column.elements()).for_each(|(to, from)| *to = from.to_f32());
        }
        finite_row(&values, features, 0, |at| {
            columns[at % features].elements().get(at / features).map(|number| number.to_f64())
        })?;
        Ok(Self::one_after_the_other(features, values, vec![0, frames]))
    }

    /// Sequences of tokens, for an [`crate::nn::Embedding`]: each frame is the number of a token, an integer
    /// of any type.
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let x = Sequences::from_tokens([vec![4, 2, 9], vec![1]])?;
    /// assert_eq!((x.features(), x.frames(0), x.get(1)), (1, 3, &[1.0][..]));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] if a sequence is empty; [`Error::Token`] for a negative number, and for one that a
    /// float does not hold, of 16,777,216 or more.
    pub fn from_tokens<S: Row<Element: Integer>>(
        sequences: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let (mut values, mut begins) = (Vec::new(), vec![0]);
        for (row, sequence) in sequences.into_iter().enumerate() {
            for (place, token) in sequence.elements().iter().enumerate() {
                if token.to_u32().is_none_or(|token| token >= 1 << 24) {
                    let found = token.to_f32();
                    return Err(Error::Token { sequence: row, place, found, tokens: 1 << 24 });
                }
                values.push(token.to_f32());
            }
            if begins.last() == Some(&values.len()) {
                return Err(Error::Length { row, found: 0, max: u32::MAX as usize });
            }
            begins.push(values.len());
        }
        Ok(Self::one_after_the_other(1, values, begins))
    }

    /// Sequences whose values fill a buffer in their order.
    pub(super) fn one_after_the_other(
        features: usize,
        values: Vec<f32>,
        begins: Vec<usize>,
    ) -> Self {
        let starts = begins[..begins.len() - 1].to_vec();
        Self { features, values: Arc::new(values), starts, begins }
    }

    /// The number of sequences.
    pub fn len(&self) -> usize {
        self.starts.len()
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
        self.begins.last().copied().unwrap_or(0)
    }

    /// The place of sequence `i` among the frames of all sequences, one after the other.
    pub(crate) fn range(&self, i: usize) -> std::ops::Range<usize> {
        // Not by i + 1, which overflows for the largest number.
        match self.begins.get(i..) {
            Some(&[begin, end, ..]) => begin..end,
            _ => 0..0,
        }
    }

    /// The values of sequence `i`, frame by frame; empty if there is no such sequence.
    pub fn get(&self, i: usize) -> &[f32] {
        let start = self.starts.get(i).copied().unwrap_or(0);
        &self.values[start * self.features..][..self.frames(i) * self.features]
    }

    /// The values of a frame of sequence `i`; empty if there is no such frame.
    pub fn frame(&self, i: usize, frame: usize) -> &[f32] {
        self.get(i).chunks_exact(self.features).nth(frame).unwrap_or_default()
    }

    /// The values of each sequence, as [`Sequences::get`].
    ///
    /// ```
    /// use wgpu_lstm::data::Sequences;
    /// let x = Sequences::new(1, [vec![1.0, 2.0], vec![3.0]])?;
    /// let sums: Vec<f32> = x.iter().map(|sequence| sequence.iter().sum()).collect();
    /// assert_eq!(sums, [3.0, 3.0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> + DoubleEndedIterator {
        (0..self.len()).map(|i| self.get(i))
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
