//! Sequences and targets on the host.

mod sequences;
mod targets;

pub use sequences::Sequences;
pub(crate) use targets::Kind;
pub use targets::Targets;

/// Checks that all values are finite: any other would turn every parameter into NaN.
pub(crate) fn finite(what: &'static str, values: &[f32]) -> crate::Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(crate::Error::NotFinite {
            what,
            place: format!("value {at}"),
            help: "replace what is missing before training",
        }),
        None => Ok(()),
    }
}
