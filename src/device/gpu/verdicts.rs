//! No fast path that has not been seen right on this device, and which of several is the fastest.
//!
//! A specialised kernel is compared with the plain one at its first use on a device and driver;
//! one that computes something else or fails is never used there. A choice between kernels
//! that are all right is made by timing them once. Both are kept on disk, so that the same device
//! with the same cache does the same in every run.
//!
//! A trial that does not end in time, or whose device is lost, says nothing: the machine may have
//! been busy, and what is kept of it would be kept for good. Then the process goes on with the
//! plain kernel or the first choice, and the next one tries again.
//!
//! Trials run on a second device of the same adapter: they disturb neither what the program has
//! recorded nor, when they fail or hang, its device. A browser cannot wait for them: there
//! the plain kernels and the first choices are used.

use super::{Gpu, cache};
use crate::device::kernel::Kernel;
use crate::device::lock;
use crate::device::options::GpuOptions;
use crate::device::special::{Choice, Special};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What is kept of a special way.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "cache", derive(serde::Serialize, serde::Deserialize))]
struct Verdict {
    /// The hash of the kernels' text.
    source: u64,
    right: bool,
    reason: String,
}

/// What is kept of a choice.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "cache", derive(serde::Serialize, serde::Deserialize))]
struct Chosen {
    source: u64,
    candidates: usize,
    chosen: usize,
    /// The shortest time of each; null if it failed.
    microseconds: Vec<Option<f64>>,
}

/// The file.
#[derive(Debug, Default)]
#[cfg_attr(feature = "cache", derive(serde::Serialize, serde::Deserialize))]
struct Kept {
    /// Adapter, driver and version of this crate.
    device: String,
    verdicts: BTreeMap<String, Verdict>,
    choices: BTreeMap<String, Chosen>,
}

#[cfg(feature = "cache")]
impl Kept {
    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    fn text(&self) -> Option<Vec<u8>> {
        serde_json::to_vec_pretty(self).ok()
    }
}

/// Never asked: see [`cache::folder`].
#[cfg(not(feature = "cache"))]
impl Kept {
    fn parse(_: &[u8]) -> std::result::Result<Self, String> {
        Err("this crate was built without its feature `cache`".into())
    }

    fn text(&self) -> Option<Vec<u8>> {
        None
    }
}

/// The most bytes of the file: thousands of choices. What is larger is not ours.
const LARGEST: usize = 1 << 20;

/// The devices and names whose trial said nothing in this process. None of them is tried again here:
/// the wait may have been long, and all devices of a process are to do the same.
static UNDECIDED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// Whether a trial that ended like this says nothing about the kernels that it tried.
fn says_nothing(error: &Error) -> bool {
    // A wait that was too long ends as a lost device. A kernel can lose one by its own fault, too,
    // but nothing tells the two apart.
    matches!(
        error,
        Error::DeviceLost { .. } | Error::DeviceRequest { .. } | Error::OutOfMemory { .. }
    )
}

/// What is known of one device.
pub(super) struct Learned {
    device: String,
    file: Option<PathBuf>,
    trusted: HashMap<&'static str, bool>,
    chosen: HashMap<String, usize>,
}

impl Learned {
    pub(super) fn new(info: &wgpu::AdapterInfo, folder: Option<PathBuf>) -> Self {
        let device = format!(
            "{} {:04x}:{:04x} {:?} {} {}, wgpu-lstm {}",
            info.name,
            info.vendor,
            info.device,
            info.backend,
            info.driver,
            info.driver_info,
            env!("CARGO_PKG_VERSION"),
        );
        let name = format!("device_{:016x}.json", cache::hash(device.as_bytes()));
        let file = folder.map(|folder| folder.join(name));
        Self { device, file, trusted: HashMap::new(), chosen: HashMap::new() }
    }

    /// What the file holds of this device.
    fn kept(&self) -> Kept {
        let nothing = || Kept { device: self.device.clone(), ..Kept::default() };
        let Some(file) = &self.file else { return nothing() };
        let Some(bytes) = cache::read(file, LARGEST as u64) else { return nothing() };
        match Kept::parse(&bytes) {
            Ok(kept) if kept.device == self.device => kept,
            Ok(kept) => {
                log::warn!("{} is of {} and not used", file.display(), kept.device);
                nothing()
            }
            Err(error) => {
                log::warn!("{} is damaged and not used: {error}", file.display());
                nothing()
            }
        }
    }

    /// Changes the file, with what other processes wrote meanwhile. Returns whether it is kept.
    fn keep(&self, change: impl FnOnce(&mut Kept)) -> bool {
        let Some(file) = &self.file else { return false };
        let locked = file
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| cache::lock_file(&file.with_extension("lock")));
        let _guard = match locked {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                log::info!("{} is not changed: another process holds its lock", file.display());
                return false;
            }
            // Where there are no locks, of two processes that write at once one loses what it learned.
            locked => locked.ok(),
        };
        let mut kept = self.kept();
        change(&mut kept);
        match kept.text() {
            Some(bytes) if bytes.len() <= LARGEST => cache::write(file, &bytes),
            // A file that is not read again would lose what it holds now.
            _ => {
                log::info!("{} is not changed: it is full", file.display());
                false
            }
        }
    }

    /// Whether a trial of this name said nothing on a device like this, in this process.
    fn undecided(&self, name: &str) -> bool {
        lock(&UNDECIDED).contains(&(self.device.clone(), name.to_owned()))
    }

    /// From now on [`Learned::undecided`].
    fn leave_undecided(&self, name: &str) {
        lock(&UNDECIDED).insert((self.device.clone(), name.to_owned()));
    }
}

fn source(kernels: &[&Kernel]) -> u64 {
    let texts: Vec<_> = kernels.iter().map(|kernel| kernel.source()).collect();
    cache::hash(texts.join("\0").as_bytes())
}

impl Gpu {
    /// Whether a special way computes on this device what the plain one does. The first call on a
    /// device and driver runs its check, if the device has what the kernels need; it must not hold a
    /// lock of this device.
    pub(crate) fn trusts(self: &Arc<Self>, special: &Special) -> bool {
        let can = special.kernels.iter().all(|kernel| kernel.runs_on(self));
        if !can || self.trial || cfg!(target_arch = "wasm32") {
            return false;
        }
        let mut learned = lock(&self.learned);
        if let Some(&right) = learned.trusted.get(special.name) {
            return right;
        }
        let source = source(special.kernels);
        let kept = learned.kept().verdicts.remove(special.name).filter(|v| v.source == source);
        let right = match kept {
            _ if learned.undecided(special.name) => false,
            Some(verdict) => verdict.right,
            None => self.check(special, source, &learned),
        };
        if !right {
            log::info!("{}: {} is not used", self.info.name, special.name);
        }
        learned.trusted.insert(special.name, right);
        right
    }

    fn check(&self, special: &Special, source: u64, learned: &Learned) -> bool {
        let compared = self.trial(|gpu| (special.check)(gpu));
        let (right, reason) = match compared {
            Err(error) if says_nothing(&error) => {
                log::warn!(
                    "{}: {} could not be checked ({error}); the plain kernel is used in this process",
                    self.info.name,
                    special.name
                );
                learned.leave_undecided(special.name);
                return false;
            }
            Err(error) => (false, error.to_string()),
            Ok(mut compared) => {
                if self.options.overrides.fault == Some(special.name) {
                    compared.special.iter_mut().take(1).for_each(|v| *v += 0.01 + v.abs());
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
                special.name
            );
        }
        learned.keep(|kept| {
            kept.verdicts.insert(special.name.into(), Verdict { source, right, reason });
        });
        right
    }

    /// Which of several ways is the fastest on this device, measured at the first call. Without a
    /// cache on disk it is the default one, since what a clock decides must be kept for two runs
    /// to be alike.
    pub(crate) fn choose(self: &Arc<Self>, choice: &Choice<'_>) -> usize {
        let mut learned = lock(&self.learned);
        if learned.file.is_none() || self.trial || cfg!(target_arch = "wasm32") {
            return choice.default;
        }
        if let Some(&chosen) = learned.chosen.get(choice.name) {
            return chosen;
        }
        if learned.undecided(choice.name) {
            return choice.default;
        }
        let source = source(choice.kernels);
        let valid = |kept: &Chosen| {
            let within = kept.chosen < choice.candidates;
            kept.source == source && kept.candidates == choice.candidates && within
        };
        let chosen = match learned.kept().choices.remove(choice.name).filter(valid) {
            Some(kept) => kept.chosen,
            None => match self.time(choice) {
                Ok(microseconds) => {
                    let mut chosen = fastest(choice.default, &microseconds);
                    let candidates = choice.candidates;
                    let new = Chosen { source, candidates, chosen, microseconds };
                    let kept = learned.keep(|kept| match kept.choices.get(choice.name) {
                        // Another process was faster: both do as it found.
                        Some(other) if valid(other) => chosen = other.chosen,
                        _ => {
                            kept.choices.insert(choice.name.into(), new);
                        }
                    });
                    if kept { chosen } else { choice.default }
                }
                Err(error) => {
                    log::warn!("{}: {} was not timed: {error}", self.info.name, choice.name);
                    learned.leave_undecided(choice.name);
                    choice.default
                }
            },
        };
        learned.chosen.insert(choice.name.into(), chosen);
        chosen
    }

    /// The shortest time of each candidate, in microseconds; none of one that fails. An error if a
    /// trial says nothing: the others must not win by that.
    fn time(&self, choice: &Choice<'_>) -> Result<Vec<Option<f64>>> {
        let one = |i| {
            self.trial(|gpu| {
                let record = (choice.prepare)(gpu, i)?;
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
        (0..choice.candidates)
            .map(|i| match one(i) {
                Ok(shortest) => Ok(Some(shortest)),
                Err(error) if says_nothing(&error) => Err(error),
                Err(error) => {
                    log::warn!("{}: {}, {i}: {error}", self.info.name, choice.name);
                    Ok(None)
                }
            })
            .collect()
    }

    /// Runs something on a second device of this adapter, which waits for nothing long.
    fn trial<R>(&self, run: impl FnOnce(&Arc<Self>) -> Result<R>) -> Result<R> {
        let options = GpuOptions { profile: false, ..self.options.clone() }.no_cache();
        let gpu = pollster::block_on(Self::on(self.adapter.clone(), options, true))?;
        let result = run(&gpu);
        match gpu.health() {
            Err(lost @ Error::DeviceLost { .. }) => {
                // wgpu waits for a device that it drops, and this one may never end.
                std::mem::forget(gpu);
                // Other errors may only have followed from the loss.
                Err(lost)
            }
            _ => result,
        }
    }
}

/// The default one, unless another takes 5 % less: a clock is not that exact.
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
