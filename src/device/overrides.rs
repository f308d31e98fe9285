//! What only tests and tools set of a GPU: all of it is here.

use super::gpu::Gpu;
use super::kernel::Kernel;
#[cfg(test)]
use super::lock;
#[cfg(test)]
use crate::Result;
use std::time::Duration;

/// What tests set before they open a GPU.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TestOverrides {
    /// The most words of a chunk's gates.
    pub(crate) chunk_words: Option<usize>,
    /// The cores that a software adapter is taken to have.
    pub(crate) threads: Option<usize>,
    /// The most bytes of a binding.
    pub(crate) binding_bytes: Option<u64>,
    /// The name of a special kernel whose check is given a wrong value.
    pub(crate) fault: Option<&'static str>,
    /// How long a trial may take to answer.
    pub(crate) patience: Option<Duration>,
    /// Whether a software adapter is taken for a GPU where a way is chosen.
    pub(crate) as_hardware: bool,
}

/// How kernels run, whatever the device is like: what this crate's own tests set of a GPU that is open. In
/// any other build nobody can, and it is a constant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forced {
    /// Workgroups that share R.
    pub(crate) workgroups: Option<usize>,
    /// The most values of R that an invocation keeps in registers, and in shared memory.
    pub(crate) keep: Option<[usize; 2]>,
    /// How often an invocation looks for a word before it gives up.
    pub(crate) polls: Option<u32>,
    /// The timesteps of a launch.
    pub(crate) window: Option<usize>,
    /// Into how many slices a long sum is cut, by the kernels of hardware GPUs.
    pub(crate) slices: Option<usize>,
    /// Into how many parts stacked layers cut the timesteps.
    pub(crate) parts: Option<usize>,
    /// Kernels of one step, forward and backward, that make sums by matrices; rows and units of their workgroups.
    pub(crate) matrices: Option<(&'static [Kernel; 2], [[usize; 2]; 2])>,
    /// See `shaders/lstm/parts/exchange.wgsl`.
    pub(crate) fault: u32,
}

impl Forced {
    /// Nothing is forced.
    pub(crate) const NONE: Self = Self {
        workgroups: None,
        keep: None,
        polls: None,
        window: None,
        slices: None,
        parts: None,
        matrices: None,
        fault: 0,
    };
}

#[cfg(test)]
impl Default for Forced {
    fn default() -> Self {
        Self::NONE
    }
}

impl Gpu {
    /// How kernels run, whatever the device is like.
    #[cfg(not(test))]
    pub(crate) fn forced(&self) -> Forced {
        Forced::NONE
    }

    /// How kernels run, whatever the device is like.
    #[cfg(test)]
    pub(crate) fn forced(&self) -> Forced {
        *lock(&self.coresident.forced)
    }

    /// Forces how kernels run, and forgets what was seen of those that wait for each other.
    #[cfg(test)]
    pub(crate) fn force(&self, forced: Forced) -> Result<()> {
        self.forget_time_outs()?;
        *lock(&self.coresident.forced) = forced;
        Ok(())
    }
}
