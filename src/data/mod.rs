//! Sequences and targets on the host, and how batches are made of them.

mod batch;
mod sequences;
mod targets;

pub(crate) use batch::{Batch, BatchTargets, Counting, Rows, batch};
pub use sequences::Sequences;
pub use targets::Targets;

/// That all values are numbers: one that is not would turn every parameter into NaN.
fn finite(what: &'static str, values: &[f32]) -> crate::Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(crate::Error::NotFinite {
            what,
            place: format!("value {at}"),
            help: "replace what is missing before training",
        }),
        None => Ok(()),
    }
}
