//! The targets that a model learns.

use super::numbers::{Integer, Number, Row};

/// The targets of a data set: one for each sequence, or one for each frame of each sequence
/// (all frames of the first, then of the second …) for models that give a value at every
/// timestep; or a sequence of labels of its own length for each sequence.
///
/// ```
/// use wgpu_lstm::data::Targets;
/// let speakers = Targets::classes([3, 0, 8]);          // for Loss::CrossEntropy
/// let odd = Targets::values([1.0, 0.0, 1.0], 1);       // for the other losses
/// let places = Targets::from_rows([[0.5, 2.0], [1.5, 0.0], [0.0, 1.0]])?;
/// assert_eq!((speakers.len(), odd.width(), places.width()), (3, 1, 2));
/// // Of 2 classes each: for Loss::CrossEntropy where a row may belong to several.
/// let votes = Targets::probabilities([0.75, 0.25, 0.0, 1.0, 0.5, 0.5], 2);
/// assert_eq!(votes.len(), 3);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Classes(Vec<u32>),
    Values { values: Vec<f32>, width: usize },
    Sequences(Vec<Vec<u32>>),
}

impl Targets {
    /// One class for each sequence or frame, as a number from 0: integers of any type, or `bool`.
    ///
    /// A negative number, or one beyond a `u32`, becomes `u32::MAX`, which is no class: `fit` says where it is,
    /// unless [`crate::loss::CrossEntropy::ignore_index`] has this number, as for PyTorch's label -100.
    pub fn classes(labels: impl IntoIterator<Item: Integer>) -> Self {
        let labels = labels.into_iter().map(|label| label.to_u32().unwrap_or(u32::MAX));
        Self { kind: Kind::Classes(labels.collect()) }
    }

    /// `width` numbers for each sequence or frame, of any type. What a 32-bit float cannot hold becomes
    /// infinite, and `fit` refuses it.
    pub fn values(values: impl IntoIterator<Item: Number>, width: usize) -> Self {
        let values = values.into_iter().map(|value| value.to_f32());
        Self { kind: Kind::Values { values: values.collect(), width } }
    }

    /// The probability of each of so many classes, for each sequence or frame, row by row: soft targets, such as the
    /// shares of several people's answers or what another model says. One-hot rows are such, too:
    /// Keras' `categorical_crossentropy`, PyTorch's `cross_entropy` with class probabilities. `fit` refuses rows with
    /// values below 0 or with another sum than 1.
    ///
    /// Metrics and [`crate::Sequential::confusion_matrix`] take the likeliest class of a row, of equals the first,
    /// for its label. Class weights and smoothing are those of PyTorch; a label to ignore there is none.
    ///
    /// It is [`Targets::values`] by another name.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Sequential, data::{Sequences, Targets}, nn::{Dense, Lstm}};
    /// use wgpu_lstm::train::{Adam, Fit, Loss, Metric};
    /// let x = Sequences::from_array(&[0.1, 0.2, 0.3, 0.4], [2, 2, 1])?;
    /// let one_hot = Targets::probabilities([0.0, 0.0, 1.0, 0.0, 1.0, 0.0], 3);
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(Dense::new(3));
    /// model.compile(Adam::default(), Loss::CrossEntropy, &[Metric::Accuracy]);
    /// let soft = model.fit(&x, &one_hot, Fit::new().quiet())?;
    /// assert_eq!(soft.epochs[0].training.names, ["accuracy"]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn probabilities(values: impl IntoIterator<Item: Number>, classes: usize) -> Self {
        Self::values(values, classes)
    }

    /// A sequence of labels for each sequence, of a length of its own, for [`Loss::Ctc`](crate::train::Loss::Ctc): the
    /// phones of a recording, the letters of a line. Labels are numbers from 0, without the blank; there may be none.
    ///
    /// A number that no `u32` holds is as in [`Targets::classes`].
    ///
    /// ```
    /// use wgpu_lstm::data::Targets;
    /// let said = Targets::sequences([vec![3, 1, 1], vec![2]]);
    /// assert_eq!((said.len(), &said.as_sequences().unwrap()[0][..]), (2, &[3, 1, 1][..]));
    /// assert_eq!(said.select(&[1])?, Targets::sequences([[2]]));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn sequences<R: Row<Element: Integer>>(rows: impl IntoIterator<Item = R>) -> Self {
        let label = |label: &R::Element| label.to_u32().unwrap_or(u32::MAX);
        let row = |row: R| row.elements().iter().map(label).collect();
        Self { kind: Kind::Sequences(rows.into_iter().map(row).collect()) }
    }

    /// Appends the targets of further sequences, unless they are of another kind: then it says `false`.
    pub(crate) fn append(&mut self, more: &Self) -> bool {
        match (&mut self.kind, &more.kind) {
            (Kind::Classes(all), Kind::Classes(more)) => all.extend_from_slice(more),
            (Kind::Values { values: all, width }, Kind::Values { values: more, width: other })
                if width == other =>
            {
                all.extend_from_slice(more)
            }
            (Kind::Sequences(all), Kind::Sequences(more)) => all.extend_from_slice(more),
            _ => return false,
        }
        true
    }
}
