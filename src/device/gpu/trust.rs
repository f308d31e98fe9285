//! Whether a fast path is trusted: no kernel is used that was not seen to compute on this device what
//! the plain one does.
//!
//! A fast path is compared with the plain one at its first use on a device and driver; one that
//! computes something else or fails is never used there.

use super::Gpu;
use super::learned::{Learned, Verdict, is_undecided, source};
use crate::device::fast_path::FastPath;
use crate::device::lock;
use std::sync::Arc;

impl Gpu {
    /// Whether a fast path computes on this device what the plain one does. The first call on a
    /// device and driver runs its check, if the device has what the kernels need; the caller must not
    /// hold a lock of this device.
    pub(crate) fn is_trusted(self: &Arc<Self>, path: &FastPath) -> bool {
        let can = path.kernels.iter().all(|kernel| kernel.runs_on(self));
        if !can || self.trial || cfg!(target_arch = "wasm32") {
            return false;
        }
        let mut learned = lock(&self.learned);
        if let Some(&right) = learned.trusted.get(path.name) {
            return right;
        }
        let source = source(path.kernels);
        let kept = learned.read().verdicts.remove(path.name).filter(|v| v.source == source);
        let right = match kept {
            _ if learned.is_undecided(path.name) => false,
            Some(verdict) => verdict.right,
            None => self.check(path, source, &learned),
        };
        if !right {
            log::info!("{}: {} is not used", self.info.name, path.name);
        }
        learned.trusted.insert(path.name, right);
        right
    }

    fn check(&self, path: &FastPath, source: u64, learned: &Learned) -> bool {
        let compared = self.trial(|gpu| (path.check)(gpu));
        let (right, reason) = match compared {
            Err(error) if is_undecided(&error) => {
                log::warn!(
                    "{}: {} could not be checked ({error}); the plain kernel is used in this process",
                    self.info.name,
                    path.name
                );
                learned.leave_undecided(path.name);
                return false;
            }
            Err(error) => (false, error.to_string()),
            Ok(mut compared) => {
                if self.options.overrides.fault == Some(path.name) {
                    compared.fast.iter_mut().take(1).for_each(|v| *v += 0.01 + v.abs());
                }
                match compared.difference() {
                    Some(difference) => (false, difference),
                    None => (true, "as the plain kernel".into()),
                }
            }
        };
        if !right {
            log::warn!(
                "{}: the kernel {} is wrong on this device and driver ({reason}); the plain one is used",
                self.info.name,
                path.name
            );
        }
        learned.change(|record| {
            record.verdicts.insert(path.name.into(), Verdict { source, right, reason });
        });
        right
    }
}
