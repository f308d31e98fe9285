//! What a model is to learn.

use super::{Rows, Sequences, finite};
use crate::train::Loss;
use crate::{Error, Result};

/// The targets of a data set: one for each sequence, or one for each frame of each sequence
/// (all frames of the first, then of the second …) for models that give a value at every
/// timestep.
///
/// ```
/// use wgpu_lstm::data::Targets;
/// let speakers = Targets::classes([3, 0, 8]);          // for Loss::CrossEntropy
/// let odd = Targets::values([1.0, 0.0, 1.0], 1);       // for the other losses
/// # let _ = (speakers, odd);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Classes(Vec<u32>),
    Values { values: Vec<f32>, width: usize },
}

impl Targets {
    /// Numbers of classes, from 0.
    pub fn classes(labels: impl Into<Vec<u32>>) -> Self {
        Self { kind: Kind::Classes(labels.into()) }
    }

    /// `width` numbers for each sequence or frame.
    pub fn values(values: impl Into<Vec<f32>>, width: usize) -> Self {
        Self { kind: Kind::Values { values: values.into(), width } }
    }

    /// Checks that there is one for each row that a model gives for `x`.
    pub(crate) fn check(&self, x: &Sequences, out: Rows, op: &'static str) -> Result<()> {
        let rows = out.total(x);
        let (shape, expected, found) = match &self.kind {
            Kind::Classes(labels) => (vec![rows], rows, labels.len()),
            Kind::Values { values, width } => {
                if *width == 0 {
                    let expected = "at least 1".into();
                    let option = "Targets::values width";
                    return Err(Error::Option { option, found: "0".into(), expected });
                }
                (vec![rows, *width], rows.saturating_mul(*width), values.len())
            }
        };
        if expected != found && out == Rows::Frames && found == expected / rows.max(1) * x.len() {
            return Err(Error::Option {
                option: "the targets",
                found: format!("one for each of {} sequences", x.len()),
                expected: format!(
                    "one for each of {rows} frames, since the model gives a value at each: drop \
                     the last return_sequences, or add a Pool"
                ),
            });
        }
        if expected != found {
            return Err(Error::Count { op, shape, expected, found });
        }
        Ok(())
    }

    /// Checks that a loss takes these targets, from a model with `width` outputs.
    pub(crate) fn check_values(&self, loss: &Loss, width: usize) -> Result<()> {
        loss.check()?;
        match (&self.kind, loss) {
            // One output is no softmax's: the loss says so.
            (Kind::Classes(labels), _) if width > 1 => match loss.of_classes() {
                Some(options) => {
                    options.check_classes(width)?;
                    options.check_labels(labels, width)
                }
                None => Ok(()),
            },
            (Kind::Values { values, .. }, Loss::BinaryCrossEntropy) => {
                match values.iter().position(|v| !(0.0..=1.0).contains(v)) {
                    Some(at) => Err(Error::Option {
                        option: "a target of BinaryCrossEntropy",
                        found: format!("{} at {at}", values[at]),
                        expected: "from 0 to 1; for more classes use CrossEntropy".into(),
                    }),
                    None => Ok(()),
                }
            }
            (Kind::Values { values, .. }, _) => finite("a target", values),
            // The loss itself says what it needs.
            _ => Ok(()),
        }
    }
}
