//! What moves parameters and keeps them small, and the loss scale of mixed precision.

pub(crate) mod average;
pub(crate) mod clip;
mod columns;
pub(crate) mod drawn;
pub(crate) mod grouping;
pub(crate) mod guard;
pub(crate) mod loss_scale;
pub(crate) mod norm;
pub(crate) mod regularizer;
pub(crate) mod rule;
mod step;
pub(crate) mod step_factors;
pub(crate) mod update;
