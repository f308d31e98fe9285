//! A layer on a GPU: products over whole chunks, and the recurrence between them.

pub(super) mod backward;
pub(super) mod chunks;
pub(crate) mod dims;
pub(super) mod forward;
mod fused;
pub(crate) mod kernels;
pub(super) mod lanes;
mod pass;
pub(crate) mod recompute;
pub(crate) mod schedule;
pub(crate) mod task;
pub(crate) mod transpose_gates;
pub(super) mod wavefront;
