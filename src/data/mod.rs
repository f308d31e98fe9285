//! Sequences and targets on the host, and how batches are made of them.

mod batch;
mod sequences;
mod targets;

pub(crate) use batch::{Batch, BatchTargets, batch};
pub use sequences::Sequences;
pub use targets::Targets;
