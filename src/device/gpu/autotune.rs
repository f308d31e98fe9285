//! The fastest of several kernels that compute the same, found by timing each once.

use super::Gpu;
use super::learned::{Tuned, is_undecided, source};
use crate::Result;
use crate::device::fast_path::Candidates;
use crate::device::lock;
use std::sync::Arc;

impl Gpu {
    /// The index of the fastest candidate on this device, measured at the first call. Without a
    /// cache on disk it is the default one: for two runs to be alike, a clock's decision must be kept.
    pub(crate) fn autotune(self: &Arc<Self>, candidates: &Candidates<'_>) -> usize {
        let mut learned = lock(&self.learned);
        if learned.file.is_none() || self.trial || cfg!(target_arch = "wasm32") {
            return candidates.default;
        }
        if let Some(&chosen) = learned.tuned.get(candidates.name) {
            return chosen;
        }
        if learned.is_undecided(candidates.name) {
            return candidates.default;
        }
        let source = source(candidates.kernels);
        let valid = |kept: &Tuned| {
            let within = kept.chosen < candidates.count;
            kept.source == source && kept.candidates == candidates.count && within
        };
        let chosen = match learned.read().choices.remove(candidates.name).filter(valid) {
            Some(kept) => kept.chosen,
            None => match self.time(candidates) {
                Ok(microseconds) => {
                    let mut chosen = fastest(candidates.default, &microseconds);
                    let new = Tuned { source, candidates: candidates.count, chosen, microseconds };
                    let kept = learned.change(|record| match record.choices.get(candidates.name) {
                        // Another process was faster: both do as it found.
                        Some(other) if valid(other) => chosen = other.chosen,
                        _ => {
                            record.choices.insert(candidates.name.into(), new);
                        }
                    });
                    if kept { chosen } else { candidates.default }
                }
                Err(error) => {
                    log::warn!("{}: {} was not timed: {error}", self.info.name, candidates.name);
                    learned.leave_undecided(candidates.name);
                    candidates.default
                }
            },
        };
        learned.tuned.insert(candidates.name.into(), chosen);
        chosen
    }

    /// The shortest time of each candidate, in microseconds; `None` for one that fails. An error if a
    /// trial decides nothing: the others must not win by that.
    fn time(&self, candidates: &Candidates<'_>) -> Result<Vec<Option<f64>>> {
        let one = |i| {
            self.trial(|gpu| {
                let record = (candidates.prepare)(gpu, i)?;
                let run = || {
                    let began = std::time::Instant::now();
                    record()?;
                    gpu.submit()?;
                    gpu.wait()?;
                    Ok(began.elapsed().as_secs_f64() * 1e6)
                };
                // The first compiles.
                run()?;
                (0..5).try_fold(f64::INFINITY, |shortest, _| Ok(shortest.min(run()?)))
            })
        };
        (0..candidates.count)
            .map(|i| match one(i) {
                Ok(shortest) => Ok(Some(shortest)),
                Err(error) if is_undecided(&error) => Err(error),
                Err(error) => {
                    log::warn!("{}: {}, {i}: {error}", self.info.name, candidates.name);
                    Ok(None)
                }
            })
            .collect()
    }
}

/// The default, unless another takes 5 % less: a clock is not that exact.
fn fastest(default: usize, microseconds: &[Option<f64>]) -> usize {
    let time = |i: usize| microseconds.get(i).copied().flatten().unwrap_or(f64::INFINITY);
    let best = (0..microseconds.len()).min_by(|&a, &b| time(a).total_cmp(&time(b)));
    best.filter(|&best| time(best) < 0.95 * time(default)).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::fastest;

    #[test]
    fn the_default_stays_unless_another_is_clearly_faster() {
        assert_eq!(fastest(0, &[Some(100.0), Some(96.0)]), 0);
        assert_eq!(fastest(0, &[Some(100.0), Some(94.0)]), 1);
        assert_eq!(fastest(1, &[Some(100.0), Some(100.0)]), 1);
        assert_eq!(fastest(2, &[Some(10.0), Some(9.0), Some(100.0)]), 1);
        assert_eq!(fastest(0, &[None, Some(9.0)]), 1);
        assert_eq!(fastest(1, &[None, None]), 1);
    }
}
