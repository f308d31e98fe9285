//! The outputs of a model, and what the numbers mean.

use super::Loss;
use crate::Result;
use crate::data::Columns;
use crate::data::columns::{mapped, sealed::Sealed};
use crate::nn::Activation;
use std::ops::Range;

/// The meaning of the outputs of a model's last layer, by which both predictions and metrics decide on a
/// class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Logits, before a sigmoid or a softmax: above 0 means yes.
    Logits,
    /// Probabilities, after a sigmoid or a softmax: above 0.5 means yes.
    Probabilities,
    /// Any other numbers: above 0.5 is nearer to 1 than to 0.
    Numbers,
}

impl Meaning {
    /// The meaning for a last layer with this activation, and a loss if the model has one.
    pub(crate) fn of(activation: Activation, loss: Option<&Loss>) -> Self {
        match (activation, loss) {
            (Activation::Sigmoid | Activation::Softmax, _) => Self::Probabilities,
            (Activation::Linear, Some(loss)) if loss.of_logits() => Self::Logits,
            _ => Self::Numbers,
        }
    }

    /// The class of a row of values: the index of the largest, the first of equals; for a single value 1 or
    /// 0.
    pub(crate) fn class(self, row: &[f32]) -> usize {
        match (row, self) {
            ([x], Self::Logits) => usize::from(*x > 0.0),
            ([p], _) => usize::from(*p > 0.5),
            _ => (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best }),
        }
    }

    /// Whether rounding may have made a row undecided: a sigmoid of exactly 0.5, or two equally likely
    /// classes. The logits then decide, as they do for metrics.
    pub(crate) fn is_tie(self, row: &[f32]) -> bool {
        match (self, row) {
            (Self::Probabilities, [p]) => *p == 0.5,
            (Self::Probabilities, _) => {
                let best = row[self.class(row)];
                row.iter().filter(|&&p| p == best).count() > 1
            }
            _ => false,
        }
    }
}

/// The outputs of a model for some sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    pub(super) values: Vec<f32>,
    pub(super) width: usize,
    /// The class of each row.
    pub(super) classes: Vec<u32>,
    /// The row at which each sequence begins, and the end of the last.
    pub(super) begins: Vec<usize>,
    pub(super) meaning: Meaning,
}

impl Prediction {
    /// A prediction without rows, each of which will have so many values.
    pub(super) fn new(width: usize, meaning: Meaning) -> Self {
        Self { values: Vec::new(), width, classes: Vec::new(), begins: vec![0], meaning }
    }

    /// Appends the rows of a sequence. `logits` are those before the activation, if it has one: they are only asked for where
    /// rounding made two classes equal.
    pub(super) fn push(
        &mut self,
        rows: &[f32],
        logits: impl FnOnce() -> Result<Option<Vec<f32>>>,
    ) -> Result<()> {
        let meaning = self.meaning;
        let ties = rows.chunks_exact(self.width).any(|row| meaning.is_tie(row));
        let logits = if ties { logits()? } else { None };
        self.values.extend_from_slice(rows);
        for (number, row) in rows.chunks_exact(self.width).enumerate() {
            let logits = logits.as_ref().filter(|_| meaning.is_tie(row));
            let class = match logits.and_then(|l| l[number * self.width..].get(..self.width)) {
                Some(logits) => Meaning::Logits.class(logits),
                None => meaning.class(row),
            };
            self.classes.push(class as u32);
        }
        self.begins.push(self.classes.len());
        Ok(())
    }

    /// Appends the rows of a sequence whose classes are known.
    pub(super) fn push_classes(&mut self, rows: &[f32], classes: &[u32]) {
        self.values.extend_from_slice(rows);
        self.classes.extend_from_slice(classes);
        self.begins.push(self.classes.len());
    }

    /// The same rows, each of a sequence of its own.
    pub(super) fn each_alone(mut self) -> Self {
        self.begins = (0..=self.rows()).collect();
        self
    }

    /// The values, row by row: a row for each sequence or, if the model gives sequences, for
    /// each frame (all frames of the first sequence, then of the second …).
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.classes.len()
    }

    /// The values of row `i`; empty if there is no such row.
    pub fn row(&self, i: usize) -> &[f32] {
        self.values.chunks_exact(self.width).nth(i).unwrap_or_default()
    }

    /// The values of each row, as [`Prediction::row`].
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> + DoubleEndedIterator {
        self.values.chunks_exact(self.width.max(1))
    }

    /// The number of values of a row: the outputs of the last layer.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of sequences.
    pub fn sequences(&self) -> usize {
        self.begins.len() - 1
    }

    /// The numbers of the rows of sequence `i`: one, or one for each frame if the model gives sequences. None if
    /// there is no such sequence.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Sequential, data::Sequences, nn::{Dense, Lstm}};
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4).return_sequences()).add(Dense::new(3));
    /// model.build(1)?;
    /// let found = model.predict(&Sequences::new(1, [vec![0.1, 0.2], vec![0.3]])?)?;
    /// assert_eq!((found.sequences(), found.rows_of(0), found.rows_of(1)), (2, 0..2, 2..3));
    /// assert_eq!(found.sequence(1), found.row(2));
    /// assert_eq!(found.classes()[found.rows_of(0)].len(), 2);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn rows_of(&self, i: usize) -> Range<usize> {
        match self.begins.get(i..) {
            Some(&[begin, end, ..]) => begin..end,
            _ => 0..0,
        }
    }

    /// The values of all rows of sequence `i`, row by row; empty if there is no such sequence.
    pub fn sequence(&self, i: usize) -> &[f32] {
        let rows = self.rows_of(i);
        &self.values[rows.start * self.width..rows.end * self.width]
    }

    /// The values of output `j` in all rows, such as one quantile of
    /// [`Loss::Quantiles`](super::Loss::Quantiles); empty if there is no such output.
    ///
    /// ```
    /// # use wgpu_lstm::{Device, Sequential, data::Sequences, nn::{Dense, Lstm}};
    /// # let mut model = Sequential::new(&Device::cpu()?).add(Lstm::new(2)).add(Dense::new(3));
    /// # model.build(1)?;
    /// # let x = Sequences::from_array(&[0.5; 8], [4, 2, 1])?;
    /// let found = model.predict(&x)?;
    /// assert_eq!(found.column(2)[1], found.row(1)[2]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn column(&self, j: usize) -> Vec<f32> {
        if j >= self.width {
            return Vec::new();
        }
        self.values.iter().skip(j).step_by(self.width.max(1)).copied().collect()
    }

    /// The likeliest class of each row, its `argmax`: the index of the largest value. For a model with one output, 1 for a
    /// probability above 0.5 or a logit above 0, else 0; outputs are logits if the last layer has no
    /// activation and the loss is a cross-entropy, which a model's file knows, too.
    /// [`crate::train::Metric::Accuracy`] uses the same rule. A row with a NaN has no class, and is given some:
    /// look at the row. Of a model that ends in a [`Crf`](crate::nn::Crf) they are the tags of the likeliest path, and
    /// the values the probability of each tag.
    pub fn classes(&self) -> Vec<usize> {
        self.classes.iter().map(|&class| class as usize).collect()
    }

    /// Yes (1) or no (0) of a model of yes and no, where yes is a probability above `threshold` instead of a half:
    /// for classes of which one is rare, or whose errors cost differently. A model with one output gives one number
    /// for each row; one with several, each of which may be yes, as many as there are [`Prediction::values`],
    /// row by row. Outputs that are logits, as [`Prediction::classes`] says, are compared with the threshold's
    /// logit. [`Metric::at`](super::Metric::at) measures by the same rule, and
    /// [`best_threshold`](super::metrics::best_threshold) finds a threshold.
    ///
    /// ```
    /// # use wgpu_lstm::{Device, Sequential, data::Sequences, nn::{Activation, Dense, Lstm}};
    /// # let head = Dense::new(1).activation(Activation::Sigmoid);
    /// # let mut model = Sequential::new(&Device::cpu()?).add(Lstm::new(2)).add(head);
    /// # model.build(1)?;
    /// # let x = Sequences::from_array(&[0.5; 8], [4, 2, 1])?;
    /// let found = model.predict(&x)?;
    /// let rare: Vec<usize> = found.values().iter().map(|&p| usize::from(p > 0.3)).collect();
    /// assert_eq!(found.classes_at(0.3), rare);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn classes_at(&self, threshold: f32) -> Vec<usize> {
        let least = match self.meaning {
            Meaning::Logits => logit(threshold),
            _ => threshold,
        };
        self.values.iter().map(|&x| usize::from(x > least)).collect()
    }
}

/// The logit of a probability.
pub(super) fn logit(probability: f32) -> f32 {
    let p = f64::from(probability);
    (p / (1.0 - p)).ln() as f32
}

impl Sealed for Prediction {}

impl Columns for Prediction {
    fn width(&self) -> Result<usize> {
        Ok(self.width)
    }

    fn parts(&self) -> impl Iterator<Item = &[f32]> {
        std::iter::once(self.values())
    }

    /// The classes stay those that the model's own values say.
    fn map(&self, f: impl Fn(usize, f32) -> f32) -> Result<Self> {
        let (classes, begins) = (self.classes.clone(), self.begins.clone());
        let values = mapped(&self.values, self.width, f);
        Ok(Self { values, width: self.width, classes, begins, meaning: self.meaning })
    }
}

/// The rows `[rows,width]`.
#[cfg(feature = "ndarray")]
impl From<&Prediction> for ndarray::Array2<f32> {
    fn from(found: &Prediction) -> Self {
        let shape = (found.rows(), found.width);
        // There are as many values.
        Self::from_shape_vec(shape, found.values.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_are_cut_at_0_and_probabilities_at_a_half() {
        let bce = Loss::BinaryCrossEntropy;
        for (activation, loss, low, high) in [
            (Activation::Linear, Some(&bce), 0.0, 0.1),
            (Activation::Sigmoid, Some(&bce), 0.5, 0.6),
            (Activation::Sigmoid, None, 0.5, 0.6),
            (Activation::Linear, None, 0.5, 0.6),
            (Activation::Linear, Some(&Loss::MeanSquaredError), 0.5, 0.6),
        ] {
            let meaning = Meaning::of(activation, loss);
            assert_eq!([meaning.class(&[low]), meaning.class(&[high])], [0, 1], "{meaning:?}");
        }
    }

    #[test]
    fn only_probabilities_tie_by_rounding() {
        assert!(Meaning::Probabilities.is_tie(&[0.5]) && !Meaning::Logits.is_tie(&[0.0]));
        assert!(Meaning::Probabilities.is_tie(&[0.2, 0.4, 0.4]));
        assert!(!Meaning::Probabilities.is_tie(&[0.2, 0.2, 0.6]));
        assert_eq!(Meaning::Probabilities.class(&[0.2, 0.4, 0.4]), 1);
    }
}
