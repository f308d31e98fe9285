//! Coresident workgroups, which wait for each other: how many of them a GPU runs at once, and whether
//! a wait ever timed out.

use super::gpu::{Gpu, GpuBuffer, Raw};
use super::kernel::Constants;
use super::lock;
#[cfg(test)]
use super::overrides::Forced;
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Words of the timeout flag: see `shaders/lstm/parts/exchange.wgsl`.
pub(super) const WORDS: u64 = 2;

/// A kernel with its constants.
type Pipeline = (&'static str, Constants);

/// What is known of coresident workgroups on one device.
pub(crate) struct Coresident {
    pub(super) timeout_flag: Raw,
    /// Whether a kernel that sets the timeout flag was ever launched.
    watched: AtomicBool,
    /// Whether the timeout flag was ever read as set.
    timed_out: AtomicBool,
    counts: Mutex<HashMap<Pipeline, usize>>,
    /// What tests force.
    #[cfg(test)]
    pub(super) forced: Mutex<Forced>,
}

impl Coresident {
    pub(super) fn new(timeout_flag: Raw) -> Self {
        Self {
            timeout_flag,
            watched: AtomicBool::new(false),
            timed_out: AtomicBool::new(false),
            counts: Mutex::default(),
            #[cfg(test)]
            forced: Mutex::default(),
        }
    }

    /// Whether a pass had to be recovered on this device: no other should then be tried.
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Relaxed)
    }

    pub(super) fn watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Evaluates the timeout flag, which comes with every read-back.
    pub(super) fn note(&self, timeout_flag: &[u32]) -> Result<()> {
        if timeout_flag.first().is_some_and(|&word| word != 0)
            && !self.timed_out.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "workgroups waited for each other in vain; what they left was computed without \
                 them, and from now on none waits for another on this device"
            );
        }
        match timeout_flag.get(1) {
            None | Some(0) => Ok(()),
            Some(_) => Err(Error::Gpu {
                message: "a workgroup did not see what it had written itself; use \
                          Strategy::Stepwise on this device"
                    .into(),
            }),
        }
    }
}

impl Gpu {
    /// The number of workgroups of a pipeline that run at once; `count` counts them the first time.
    pub(crate) fn workgroups_at_once(
        &self,
        pipeline: Pipeline,
        count: impl FnOnce() -> Result<usize>,
    ) -> Result<usize> {
        if let Some(&known) = lock(&self.coresident.counts).get(&pipeline) {
            return Ok(known);
        }
        let count = count()?;
        lock(&self.coresident.counts).insert(pipeline, count);
        Ok(count)
    }

    /// Clears the timeout flag, and forgets that it was set.
    #[cfg(test)]
    pub(super) fn forget_time_outs(&self) -> Result<()> {
        self.submit()?;
        self.write(&self.coresident.timeout_flag, 0, &[0; 4 * WORDS as usize]);
        self.coresident.timed_out.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The words that a kernel sets when a wait times out.
    pub(crate) fn timeout_flag(self: &Arc<Self>) -> Arc<GpuBuffer> {
        self.coresident.watched.store(true, Ordering::Relaxed);
        self.unpooled(&self.coresident.timeout_flag)
    }
}
