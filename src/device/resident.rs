//! What is known of how a GPU runs workgroups that wait for each other: how many run at once, and
//! whether some once waited in vain.

use super::gpu::{Gpu, GpuBuffer, Raw};
use super::kernel::Constants;
use super::lock;
#[cfg(test)]
use super::overrides::Forced;
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Words of the alarm: see `shaders/lstm/parts/exchange.wgsl`.
pub(super) const WORDS: u64 = 2;

/// A kernel with its constants.
type Pipeline = (&'static str, Constants);

pub(crate) struct Resident {
    pub(super) alarm: Raw,
    /// Whether a kernel that sets the alarm was ever launched.
    watched: AtomicBool,
    tripped: AtomicBool,
    counts: Mutex<HashMap<Pipeline, usize>>,
    /// What tests force.
    #[cfg(test)]
    pub(super) forced: Mutex<Forced>,
}

impl Resident {
    pub(super) fn new(alarm: Raw) -> Self {
        Self {
            alarm,
            watched: AtomicBool::new(false),
            tripped: AtomicBool::new(false),
            counts: Mutex::default(),
            #[cfg(test)]
            forced: Mutex::default(),
        }
    }

    /// Whether a pass had to be recovered on this device: then no other should be tried.
    pub(crate) fn tripped(&self) -> bool {
        self.tripped.load(Ordering::Relaxed)
    }

    pub(super) fn watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Takes note of the alarm, which comes with every read-back.
    pub(super) fn note(&self, alarm: &[u32]) -> Result<()> {
        if alarm.first().is_some_and(|&word| word != 0)
            && !self.tripped.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "workgroups waited for each other in vain; what they left was computed without \
                 them, and from now on none waits for another on this device"
            );
        }
        match alarm.get(1) {
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
    /// How many workgroups of this pipeline run at once; counted by `count` the first time.
    pub(crate) fn workgroups_at_once(
        &self,
        pipeline: Pipeline,
        count: impl FnOnce() -> Result<usize>,
    ) -> Result<usize> {
        if let Some(&known) = lock(&self.resident.counts).get(&pipeline) {
            return Ok(known);
        }
        let count = count()?;
        lock(&self.resident.counts).insert(pipeline, count);
        Ok(count)
    }

    /// Forgets that workgroups waited in vain.
    #[cfg(test)]
    pub(super) fn forget_alarms(&self) -> Result<()> {
        self.submit()?;
        self.write(&self.resident.alarm, 0, &[0; 4 * WORDS as usize]);
        self.resident.tripped.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The words that a kernel sets when workgroups waited in vain.
    pub(crate) fn alarm(self: &Arc<Self>) -> Arc<GpuBuffer> {
        self.resident.watched.store(true, Ordering::Relaxed);
        self.unpooled(&self.resident.alarm)
    }
}
