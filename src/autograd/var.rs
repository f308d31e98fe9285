//! A value in a computation.

use crate::check::Check;
use crate::lengths::{Counted, both};
use crate::tensor::Tensor;
use crate::{DType, Lengths, Mask, Result};

/// A value's place on its tape. To another tape the value is a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VarId {
    pub(super) tape: u64,
    pub(super) index: usize,
}

/// A value in a computation: a tensor, its place on the tape and, for sequences of different
/// lengths, how long each row is, or which of its timesteps count.
#[derive(Debug, Clone)]
pub struct Var {
    pub(super) tensor: Tensor,
    pub(super) id: Option<VarId>,
    pub(super) lengths: Option<Lengths>,
    pub(super) mask: Option<Mask>,
}

impl Var {
    /// A constant: no gradient flows to it.
    pub fn constant(tensor: Tensor) -> Self {
        Self { tensor, id: None, lengths: None, mask: None }
    }

    /// Sets the lengths of the rows, by which later layers go.
    #[must_use]
    pub fn with_lengths(mut self, lengths: Option<Lengths>) -> Self {
        self.lengths = lengths;
        self
    }

    /// The rows' lengths, if they differ.
    pub fn lengths(&self) -> Option<&Lengths> {
        self.lengths.as_ref()
    }

    /// Sets the timesteps that count, by which later layers go.
    #[must_use]
    pub fn with_mask(mut self, mask: Option<Mask>) -> Self {
        self.mask = mask;
        self
    }

    /// The timesteps that count, if some do not.
    pub fn mask(&self) -> Option<&Mask> {
        self.mask.as_ref()
    }

    /// Copies the lengths and the mask of another value.
    pub(crate) fn with_steps_of(self, other: &Self) -> Self {
        self.with_lengths(other.lengths.clone()).with_mask(other.mask.clone())
    }

    /// The rows' lengths, also where a mask has them.
    pub(crate) fn ends(&self) -> Option<&Lengths> {
        self.lengths.as_ref().or_else(|| self.mask.as_ref()?.ends())
    }

    /// The value for a layer at which a mask ends, but not what it had of the rows' lengths.
    pub(crate) fn without_mask(&self) -> Self {
        let ends = self.ends().cloned();
        self.clone().with_lengths(ends).with_mask(None)
    }

    /// The rows of a packed value, and the timesteps of the longest. A packed value is `[frames,F]`, or
    /// numbers `[frames]`, with lengths; only a model's first layers take it.
    pub(crate) fn packed_dims(&self) -> Option<[usize; 2]> {
        let axes = if self.tensor.dtype() == DType::U32 { 1 } else { 2 };
        let lengths = self.lengths.as_ref().filter(|_| self.tensor.shape().len() == axes)?;
        Some([lengths.values().len(), lengths.longest()])
    }

    /// The steps that count of a value with this many rows and timesteps.
    pub(crate) fn counted(
        &self,
        op: &'static str,
        rows: usize,
        timesteps: usize,
    ) -> Result<Counted> {
        let device = |arg, tensor| Check::new(op, "").device(&self.tensor, &[(arg, tensor)]);
        match (&self.lengths, &self.mask) {
            (None, None) => Ok(Counted::All),
            (Some(lengths), None) => {
                lengths.check(op, rows, timesteps)?;
                device("lengths", &lengths.tensor)?;
                Ok(Counted::Lengths(lengths.clone()))
            }
            (None, Some(mask)) => {
                mask.check(op, rows, timesteps)?;
                device("mask", &mask.tensor)?;
                Ok(Counted::Mask(mask.clone()))
            }
            (Some(_), Some(_)) => Err(both()),
        }
    }

    /// The numbers.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }
}

impl From<Tensor> for Var {
    fn from(tensor: Tensor) -> Self {
        Self::constant(tensor)
    }
}
