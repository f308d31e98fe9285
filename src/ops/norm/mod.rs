//! Ops that normalise each row.

pub(crate) mod layer_norm;
pub(crate) mod softmax;
pub(crate) mod top_k;
