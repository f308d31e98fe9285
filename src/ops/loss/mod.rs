//! Losses, and the sums of which metrics are made.

pub(crate) mod answers;
pub(crate) mod crf;
pub(crate) mod cross_entropy;
pub(crate) mod ctc;
pub(crate) mod density_loss;
pub(crate) mod metric_sums;
pub(crate) mod pointwise_loss;
pub(crate) mod projected;
pub(crate) mod soft_cross_entropy;
pub(crate) mod two_sided_loss;
