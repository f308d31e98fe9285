//! The fastest of several kernels that compute the same, found by timing each once.

use super::Gpu;
use super::learned::{Tuned, is_undecided, source};
use crate::device::fast_path::Candidates;
use crate::device::lock;
use crate::{Error, Result};
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
        self.trial(|gpu| {
            // Nothing where one fails, an error where that says nothing of it.
            let decided = |i: usize, error: Error| match error {
                error if is_undecided(&error) => Err(error),
                error => {
                    log::warn!("{}: {}, {i}: {error}", self.info.name, candidates.name);
                    Ok(())
                }
            };
            let mut prepared: Vec<_> = (0..candidates.count)
                .map(|i| match (candidates.prepare)(gpu, i) {
                    Ok(record) => Ok(Some(record)),
                    Err(error) => decided(i, error).map(|()| None),
                })
                .collect::<Result<_>>()?;
            // Compiles the kernels of all candidates at once. One that fails does so again, alone.
            let all = prepared.iter().flatten().try_for_each(|record| record());
            match all.and_then(|()| gpu.submit()).and_then(|()| gpu.wait()) {
                Err(error) if is_undecided(&error) => return Err(error),
                _ => {}
            }
            let run = |record: &dyn Fn() -> Result<()>| -> Result<f64> {
                let began = std::time::Instant::now();
                record()?;
                gpu.submit()?;
                gpu.wait()?;
                Ok(began.elapsed().as_secs_f64() * 1e6)
            };
            // In turns, since a card that was idle is slower at first.
            let mut shortest = vec![None; candidates.count];
            for i in (0..5).flat_map(|_| 0..candidates.count) {
                let Some(record) = &prepared[i] else { continue };
                match run(record) {
                    Ok(time) => shortest[i] = Some(shortest[i].map_or(time, |s: f64| s.min(time))),
                    Err(error) => {
                        decided(i, error)?;
                        (prepared[i], shortest[i]) = (None, None);
                    }
                }
            }
            Ok(shortest)
        })
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
