//! Losses, and the accuracy.

pub(crate) mod accuracy;
pub(crate) mod cross_entropy;
pub(crate) mod ctc;
pub(crate) mod pointwise_loss;
