//! What moves parameters and keeps them small, and the loss scale of mixed precision.

pub(crate) mod adam;
pub(crate) mod drawn;
pub(crate) mod loss_scale;
pub(crate) mod regularizer;
pub(crate) mod sgd;
