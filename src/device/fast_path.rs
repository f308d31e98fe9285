//! What a GPU can compute in more than one way: see `gpu/trust.rs` and `gpu/autotune.rs`.

use super::gpu::Gpu;
use super::kernel::Kernel;
use crate::Result;
use std::sync::Arc;

/// Kernels that are only used where they were seen to be right.
pub(crate) struct FastPath {
    pub(crate) name: &'static str,
    /// The kernels under test: if their text changes, the test is run again.
    pub(crate) kernels: &'static [&'static Kernel],
    /// Computes something small both ways on a device, in some milliseconds. It launches the fast
    /// path itself: on the device of a trial [`Gpu::is_trusted`] is false for all of them.
    pub(crate) check: fn(&Arc<Gpu>) -> Result<Comparison>,
}

/// Results of the fast and of the plain path on the same data.
pub(crate) struct Comparison {
    pub(crate) fast: Vec<f32>,
    pub(crate) plain: Vec<f32>,
    /// The largest difference allowed, relative to the largest plain value.
    pub(crate) bound: f32,
}

impl Comparison {
    /// A description of the first value that differs by more than `bound`.
    pub(super) fn difference(&self) -> Option<String> {
        let Self { fast, plain, bound } = self;
        if fast.is_empty() || fast.len() != plain.len() {
            return Some(format!("{} values, not {}", fast.len(), plain.len()));
        }
        let largest = plain.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        // A NaN is never close to anything.
        let close = |(s, p): (&f32, &f32)| (s - p).abs() <= bound * largest;
        let at = fast.iter().zip(plain).position(|pair| !close(pair))?;
        Some(format!("value {at} is {}, not {}", fast[at], plain[at]))
    }
}

/// Several ways to compute the same result, all of them right.
pub(crate) struct Candidates<'a> {
    /// A unique name, with the sizes if the fastest depends on them.
    pub(crate) name: &'a str,
    pub(crate) kernels: &'a [&'static Kernel],
    /// The index of the candidate that is used where nothing is measured or kept.
    pub(crate) default: usize,
    pub(crate) count: usize,
    /// Allocates what candidate `i` needs on a device. The closure that it returns records the work:
    /// enough to take longer than a submission (0.1 ms).
    pub(crate) prepare: &'a Prepare<'a>,
}

/// The type of [`Candidates::prepare`].
pub(crate) type Prepare<'a> = dyn Fn(&Arc<Gpu>, usize) -> Result<Box<dyn Fn() -> Result<()>>> + 'a;
