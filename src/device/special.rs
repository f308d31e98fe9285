//! What a GPU may be asked to compute in more than one way: see `gpu/verdicts.rs`.

use super::gpu::Gpu;
use super::kernel::Kernel;
use crate::Result;
use std::sync::Arc;

/// One way to compute something, which is only used where it was seen right.
pub(crate) struct Special {
    pub(crate) name: &'static str,
    /// The kernels that the verdict is about: with another text it is no longer valid.
    pub(crate) kernels: &'static [&'static Kernel],
    /// Computes something small both ways, in some milliseconds, on this device. It launches the
    /// special way itself: [`Gpu::trusts`] says no to all of them on the device of a trial.
    pub(crate) check: fn(&Arc<Gpu>) -> Result<Comparison>,
}

/// What the special and the plain way made of the same data.
pub(crate) struct Comparison {
    pub(crate) special: Vec<f32>,
    pub(crate) plain: Vec<f32>,
    /// How far they may differ, by the largest plain value.
    pub(crate) bound: f32,
}

impl Comparison {
    /// Where they differ by more; `None` if nowhere.
    pub(super) fn difference(&self) -> Option<String> {
        let Self { special, plain, bound } = self;
        if special.is_empty() || special.len() != plain.len() {
            return Some(format!("{} values, not {}", special.len(), plain.len()));
        }
        let largest = plain.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        // A NaN is never close to anything.
        let close = |(s, p): (&f32, &f32)| (s - p).abs() <= bound * largest;
        let at = special.iter().zip(plain).position(|pair| !close(pair))?;
        Some(format!("value {at} is {}, not {}", special[at], plain[at]))
    }
}

/// Several ways to compute the same, all of them right.
pub(crate) struct Choice<'a> {
    /// With the sizes, if it depends on them.
    pub(crate) name: &'a str,
    pub(crate) kernels: &'a [&'static Kernel],
    /// Which one is taken where nothing is measured or kept.
    pub(crate) default: usize,
    pub(crate) candidates: usize,
    /// Makes what candidate `i` needs on a device; what it returns records the work, enough of it
    /// to take longer than a submission (0.1 ms).
    pub(crate) prepare: &'a Prepare<'a>,
}

/// See [`Choice::prepare`].
pub(crate) type Prepare<'a> = dyn Fn(&Arc<Gpu>, usize) -> Result<Box<dyn Fn() -> Result<()>>> + 'a;
