//! A layer of 8-bit weights, and what it runs over.

use super::matrix::QuantizedMatrix;
use crate::ops::lstm::Columns;
use crate::{Lengths, Tensor};
use std::sync::Arc;

/// A direction, and what it runs over.
pub(crate) struct Forward<'a> {
    /// `[B,T,I]`, or what is packed: `[frames,I]`.
    pub(crate) x: &'a Tensor,
    pub(crate) lengths: Option<&'a Lengths>,
    pub(crate) hidden_size: usize,
    pub(crate) weight_ih: Arc<QuantizedMatrix>,
    pub(crate) weight_hh: Arc<QuantizedMatrix>,
    /// `[H,4]`
    pub(crate) bias: Option<Tensor>,
    pub(crate) reverse: bool,
    /// h and c before the first step, `[B,H]`.
    pub(crate) state: Option<[&'a Tensor; 2]>,
    /// Outputs of all steps.
    pub(crate) y: Option<Columns<'a>>,
}
