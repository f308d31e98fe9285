//! The outputs of a model, and what the numbers mean.

use super::Loss;
use crate::nn::Activation;

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
            (
                Activation::Linear,
                Some(Loss::BinaryCrossEntropy | Loss::CrossEntropy | Loss::CrossEntropyWith(_)),
            ) => Self::Logits,
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
}

impl Prediction {
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

    /// The likeliest class of each row: the index of the largest value. For a model with one output, 1 for a
    /// probability above 0.5 or a logit above 0, else 0; outputs are logits if the last layer has no
    /// activation and the loss is a cross-entropy. [`crate::train::Metric::Accuracy`] uses the same rule.
    pub fn classes(&self) -> Vec<usize> {
        self.classes.iter().map(|&class| class as usize).collect()
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
