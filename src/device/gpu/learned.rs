//! What was learned of a device by trials: which fast paths are right there, and which of several
//! kernels is the fastest. It is kept on disk, so that the same device with the same cache does the
//! same in every run.
//!
//! Trials run on a second device of the same adapter: they disturb neither what the program has
//! recorded nor, when they fail or hang, its device. A browser cannot wait for them: there
//! the plain kernels and the default candidates are used.
//!
//! A trial that does not end in time, or whose device is lost, decides nothing: the machine may have
//! been busy, and what is kept of it would be kept for good. Then the process goes on with the
//! plain kernel or the default candidate, and the next one tries again.

use super::{Gpu, cache};
use crate::device::kernel::Kernel;
use crate::device::lock;
use crate::device::options::GpuOptions;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Whether a fast path is trusted, as the file has it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Verdict {
    /// A hash of the kernels' text.
    pub(super) source: u64,
    pub(super) right: bool,
    pub(super) reason: String,
}

/// The fastest of several candidates, as the file has it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Tuned {
    /// A hash of the kernels' text.
    pub(super) source: u64,
    /// The number of candidates.
    pub(super) candidates: usize,
    /// The index of the fastest.
    pub(super) chosen: usize,
    /// The shortest time of each candidate; null if it failed.
    pub(super) microseconds: Vec<Option<f64>>,
}

/// The content of a device's file.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Record {
    /// Adapter, driver and version of this crate.
    device: String,
    pub(super) verdicts: BTreeMap<String, Verdict>,
    pub(super) choices: BTreeMap<String, Tuned>,
}

impl Record {
    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    fn text(&self) -> Option<Vec<u8>> {
        serde_json::to_vec_pretty(self).ok()
    }
}

/// The most bytes of the file: thousands of entries. A larger one is not ours.
const LARGEST: usize = 1 << 20;

/// Devices and names whose trial decided nothing in this process. None of them is tried again here:
/// the wait may have been long, and all devices of a process are to do the same.
static UNDECIDED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// Whether an error of a trial leaves undecided whether its kernels are right.
pub(super) fn is_undecided(error: &Error) -> bool {
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
    pub(super) file: Option<PathBuf>,
    /// Whether a fast path is trusted, by its name.
    pub(super) trusted: HashMap<&'static str, bool>,
    /// The fastest candidate, by the name of the candidates.
    pub(super) tuned: HashMap<String, usize>,
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
        Self { device, file, trusted: HashMap::new(), tuned: HashMap::new() }
    }

    /// The content of the file; empty if it is missing, damaged or another device's.
    pub(super) fn read(&self) -> Record {
        let nothing = || Record { device: self.device.clone(), ..Record::default() };
        let Some(file) = &self.file else { return nothing() };
        let Some(bytes) = cache::read(file, LARGEST as u64) else { return nothing() };
        match Record::parse(&bytes) {
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

    /// Changes the file, with what other processes wrote meanwhile. Returns whether it was written.
    pub(super) fn change(&self, change: impl FnOnce(&mut Record)) -> bool {
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
        let mut kept = self.read();
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

    /// Whether a trial of this name decided nothing on a device like this, in this process.
    pub(super) fn is_undecided(&self, name: &str) -> bool {
        lock(&UNDECIDED).contains(&(self.device.clone(), name.to_owned()))
    }

    /// Marks a name as [`Learned::is_undecided`].
    pub(super) fn leave_undecided(&self, name: &str) {
        lock(&UNDECIDED).insert((self.device.clone(), name.to_owned()));
    }
}

/// A hash of the kernels' text.
pub(super) fn source(kernels: &[&Kernel]) -> u64 {
    let texts: Vec<_> = kernels.iter().map(|kernel| kernel.source()).collect();
    cache::hash(texts.join("\0").as_bytes())
}

impl Gpu {
    /// Runs `run` on a second device of this adapter, whose waits are bounded. It stays for the trials that follow,
    /// until something is read back: a model's first step has several, and a driver takes some tenths of a second
    /// for a device and what they share on it.
    pub(super) fn trial<R>(&self, run: impl FnOnce(&Arc<Self>) -> Result<R>) -> Result<R> {
        let kept = lock(&self.of_trials).take();
        let gpu = match kept {
            Some(gpu) => gpu,
            None => {
                let options = GpuOptions { profile: false, ..self.options.clone() }.no_cache();
                pollster::block_on(Self::on(self.adapter.clone(), options, true))?
            }
        };
        let result = run(&gpu);
        match gpu.health() {
            Err(lost @ Error::DeviceLost { .. }) => {
                // wgpu waits for a device that it drops, and this one may never end.
                std::mem::forget(gpu);
                // Other errors may only have followed from the loss.
                Err(lost)
            }
            health => {
                // What went wrong in one trial must not be seen in another.
                if health.is_ok() && result.is_ok() && !gpu.coresident.timed_out() {
                    *lock(&self.of_trials) = Some(gpu);
                }
                result
            }
        }
    }

    /// Closes the device of trials, if it is open.
    pub(super) fn end_trials(&self) {
        let kept = lock(&self.of_trials).take();
        drop(kept);
    }
}
