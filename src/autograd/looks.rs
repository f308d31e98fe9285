//! A tape that keeps what attention looked at.

use super::{Params, Tape};
use crate::Tensor;
use std::cell::RefCell;

impl Tape {
    /// As [`Tape::inference`], and keeps the weights of each attention that runs on it: see [`Tape::looks`].
    pub(crate) fn looking(params: &Params) -> Self {
        let mut tape = Self::inference(params);
        tape.looks = Some(RefCell::default());
        tape
    }

    /// Keeps the weights `[B,U,T]` of an attention, if they are wanted.
    pub(crate) fn look(&self, weights: &Tensor) {
        if let Some(looks) = &self.looks {
            looks.borrow_mut().push(weights.clone());
        }
    }

    /// The weights of each attention that ran on a tape that keeps them, in their order.
    pub(crate) fn looks(&self) -> Vec<Tensor> {
        self.looks.as_ref().map(|looks| looks.borrow().clone()).unwrap_or_default()
    }
}
