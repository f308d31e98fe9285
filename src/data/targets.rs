//! The targets that a model learns.

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
    /// One class for each sequence or frame, as a number from 0.
    pub fn classes(labels: impl Into<Vec<u32>>) -> Self {
        Self { kind: Kind::Classes(labels.into()) }
    }

    /// `width` numbers for each sequence or frame.
    pub fn values(values: impl Into<Vec<f32>>, width: usize) -> Self {
        Self { kind: Kind::Values { values: values.into(), width } }
    }
}
