//! The devices on which tensors live and ops run: a GPU by wgpu, or the CPU.

pub(crate) mod class;
pub(crate) mod coresident;
pub(crate) mod cpu;
pub(crate) mod fast_path;
pub(crate) mod fill;
pub(crate) mod float_mode;
#[cfg_attr(not(feature = "gpu"), path = "no_gpu.rs")]
pub(crate) mod gpu;
pub(crate) mod kernel;
mod options;
pub(crate) mod overrides;
mod pool;
pub(crate) mod profile;
pub(crate) mod threads;
mod unroll;

pub use options::{AdapterInfo, CACHE_VARIABLE, DEVICE_VARIABLE, GpuOptions};
pub use pool::Memory;
pub use profile::{KernelTime, Profile};

use crate::Result;
use cpu::Cpu;
use gpu::Gpu;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Locks a mutex, even after a panic: the data under this crate's locks is valid at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts of the work of a device, for tests and profiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// The number of kernels recorded.
    pub dispatches: u64,
    /// The number of command buffers submitted to the queue.
    pub submissions: u64,
    /// The number of buffers copied back to the host.
    pub readbacks: u64,
    /// The number of writes from the host into buffers: uploads, and the sizes and options of kernels where
    /// these changed.
    pub writes: u64,
    /// The number of buffers that the pool had to create.
    pub buffers_created: u64,
    /// The number of bind groups created.
    pub bind_groups_created: u64,
    /// The number of pipelines created: kernels compiled, or found in the driver's cache.
    pub pipelines_created: u64,
    /// How often pipelines were created: those that a submission lacks are compiled at once, by all threads.
    pub times_compiled: u64,
}

/// A GPU or the CPU. Cheap to clone: clones are the same device.
///
/// ```
/// use wgpu_lstm::Device;
/// let device = Device::auto()?; // a hardware GPU, else the CPU
/// println!("{device}");
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(pub(crate) Backend);

#[derive(Clone)]
pub(crate) enum Backend {
    Gpu(Arc<Gpu>),
    Cpu(Arc<Cpu>),
}

/// The value of `WGPU_LSTM_DEVICE`, if it is set and not empty.
fn wanted() -> Result<Option<String>> {
    let Some(value) = std::env::var_os(DEVICE_VARIABLE) else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Some("") => Ok(None),
        Some(name) => Ok(Some(name.to_owned())),
        // The user wants a particular device, so a default would be wrong. Blocking is fine: a browser, which
        // cannot, has no environment variables.
        None => Err(gpu::unknown(value.to_string_lossy().into_owned())),
    }
}

/// The options with the adapter that the environment variable names; `None` if it names the CPU.
fn or_wanted(mut options: GpuOptions) -> Result<Option<GpuOptions>> {
    if let Some(name) = wanted()? {
        match name.to_lowercase().as_str() {
            "auto" => {}
            "cpu" => return Ok(None),
            "gpu" => (options.name, options.software) = (None, false),
            "software" => (options.name, options.software) = (None, true),
            _ => (options.name, options.software) = (Some(name), false),
        }
    }
    Ok(Some(options))
}

impl Device {
    /// Opens a hardware GPU if there is one, else the CPU; never a software rasteriser, which is slower than
    /// the CPU device. Without the feature `gpu`, always the CPU.
    ///
    /// The environment variable `WGPU_LSTM_DEVICE` (a name as in [`Device::named`]) overrides the
    /// choice, here and in [`Device::gpu`] and [`Device::cpu`].
    ///
    /// # Errors
    /// [`crate::Error::UnknownDevice`] and [`crate::Error::NoAdapter`] if the variable names what is
    /// not there, or is not UTF-8; [`crate::Error::MissingFeature`] if it names a GPU and this crate was
    /// built without the feature `gpu`.
    pub fn auto() -> Result<Self> {
        match wanted()? {
            Some(name) => Self::named(&name),
            None => Ok(Self::best()),
        }
    }

    fn best() -> Self {
        match gpu::wait_for(GpuOptions::default()) {
            Ok(gpu) => Self(Backend::Gpu(gpu)),
            Err(error) => {
                match error {
                    // Nobody asked for a GPU, and there is nothing to mend.
                    crate::Error::MissingFeature { feature, .. } => {
                        log::debug!(
                            "the CPU device is used: built without the feature `{feature}`"
                        );
                    }
                    error => log::info!("the CPU device is used: {error}"),
                }
                Self::plain_cpu()
            }
        }
    }

    /// The device with this name: `auto`, `cpu`, `gpu` (a hardware GPU, or an error), `software`, or
    /// part of an adapter's name.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDevice`], [`crate::Error::NoAdapter`], [`crate::Error::DeviceRequest`];
    /// without the feature `gpu` [`crate::Error::MissingFeature`] for all but `auto` and `cpu`.
    pub fn named(name: &str) -> Result<Self> {
        let options = match name.to_lowercase().as_str() {
            "auto" => return Ok(Self::best()),
            "cpu" => return Ok(Self::plain_cpu()),
            "gpu" => GpuOptions::default(),
            "software" => GpuOptions::default().software(),
            _ => GpuOptions::default().name(name),
        };
        Ok(Self(Backend::Gpu(gpu::wait_for(options)?)))
    }

    /// Opens a GPU.
    ///
    /// `WGPU_LSTM_DEVICE` overrides which adapter; the other options stay as given.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDevice`], [`crate::Error::NoAdapter`], [`crate::Error::DeviceRequest`];
    /// [`crate::Error::MissingFeature`] without the feature `gpu`.
    pub fn gpu(options: GpuOptions) -> Result<Self> {
        match or_wanted(options)? {
            Some(options) => Ok(Self(Backend::Gpu(gpu::wait_for(options)?))),
            None => Ok(Self::plain_cpu()),
        }
    }

    /// As [`Device::gpu`], for browsers, where blocking is not allowed.
    ///
    /// # Errors
    /// As [`Device::gpu`].
    pub async fn gpu_async(options: GpuOptions) -> Result<Self> {
        match or_wanted(options)? {
            Some(options) => Ok(Self(Backend::Gpu(Gpu::open(options).await?))),
            None => Ok(Self::plain_cpu()),
        }
    }

    /// The CPU, with SIMD chosen at run time and a thread pool of its own: as many threads as the processor
    /// runs at a time, or as the environment variable `RAYON_NUM_THREADS` says.
    ///
    /// No other pool shares these threads: jobs of the program do not block them, and a call from inside a
    /// rayon pool uses them, too. Numbers below 1.2e-38 are flushed to zero; the caller's floating-point mode
    /// is restored after each call.
    ///
    /// # Errors
    /// Only where `WGPU_LSTM_DEVICE` asks for another device: as [`Device::auto`].
    pub fn cpu() -> Result<Self> {
        Self::cpu_or_wanted(|| Ok(Self::plain_cpu()))
    }

    /// The CPU with `threads` threads, including the caller's. Each call makes another device, whose tensors
    /// cannot be mixed with those of others.
    ///
    /// ```
    /// use wgpu_lstm::Device;
    /// let device = Device::cpu_with_threads(1)?; // leaves all other cores alone
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Option`] for no threads, or more than 1024; and those of [`Device::cpu`].
    pub fn cpu_with_threads(threads: usize) -> Result<Self> {
        if !(1..=1024).contains(&threads) {
            return Err(crate::Error::Option {
                option: "Device::cpu_with_threads",
                found: threads.to_string(),
                expected: "1 to 1024".into(),
            });
        }
        Self::cpu_or_wanted(|| Ok(Self(Backend::Cpu(Cpu::new(false, Some(threads))))))
    }

    /// The device that the environment variable names, or else `cpu`.
    fn cpu_or_wanted(cpu: impl FnOnce() -> Result<Self>) -> Result<Self> {
        match wanted()? {
            Some(name) if !["auto", "cpu"].iter().any(|n| name.eq_ignore_ascii_case(n)) => {
                Self::named(&name)
            }
            _ => cpu(),
        }
    }

    /// The CPU, regardless of the environment variable.
    pub(crate) fn plain_cpu() -> Self {
        static CPU: OnceLock<Arc<Cpu>> = OnceLock::new();
        Self(Backend::Cpu(CPU.get_or_init(|| Cpu::new(false, None)).clone()))
    }

    /// A CPU device that fills new buffers with NaN, for tests.
    pub(crate) fn poisoned_cpu() -> Self {
        Self(Backend::Cpu(Cpu::new(true, None)))
    }

    /// Every adapter of this machine that can compute, the best first; none without the feature `gpu`.
    pub fn adapters() -> Vec<AdapterInfo> {
        gpu::adapters()
    }

    /// The device's name: the adapter's, or `CPU`.
    pub fn name(&self) -> &str {
        match &self.0 {
            Backend::Gpu(gpu) => &gpu.info.name,
            Backend::Cpu(_) => "CPU",
        }
    }

    /// The adapter, if this is a GPU.
    pub fn adapter(&self) -> Option<&AdapterInfo> {
        match &self.0 {
            Backend::Gpu(gpu) => Some(&gpu.info),
            Backend::Cpu(_) => None,
        }
    }

    /// Whether this is a GPU (a software adapter counts).
    pub fn is_gpu(&self) -> bool {
        matches!(self.0, Backend::Gpu(_))
    }

    /// The memory held by tensors and by the pool.
    pub fn memory(&self) -> Memory {
        match &self.0 {
            Backend::Gpu(gpu) => gpu.memory(),
            Backend::Cpu(cpu) => cpu.memory(),
        }
    }

    /// Returns pooled memory to the system.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`].
    pub fn trim(&self) -> Result<()> {
        match &self.0 {
            Backend::Gpu(gpu) => gpu.trim(),
            Backend::Cpu(cpu) => {
                cpu.trim();
                Ok(())
            }
        }
    }

    /// Submits the work recorded so far to the queue, without waiting. Reading a tensor does this too; call
    /// it at the end of a training step, so that the GPU works while the host prepares the next.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`], and any error that wgpu reported meanwhile.
    pub fn submit(&self) -> Result<()> {
        match &self.0 {
            Backend::Gpu(gpu) => gpu.submit(),
            Backend::Cpu(_) => Ok(()),
        }
    }

    /// Submits the work recorded so far and waits until it is done, for timings.
    ///
    /// # Errors
    /// As [`Device::submit`].
    pub fn synchronize(&self) -> Result<()> {
        self.submit()?;
        match &self.0 {
            Backend::Gpu(gpu) => gpu.wait(),
            Backend::Cpu(_) => Ok(()),
        }
    }

    /// Counts of the device's work so far.
    pub fn counters(&self) -> Counters {
        match &self.0 {
            Backend::Gpu(gpu) => gpu.counters(),
            Backend::Cpu(cpu) => {
                Counters { buffers_created: cpu.buffers_created(), ..Counters::default() }
            }
        }
    }

    /// Runs work of the host on the threads of the CPU device, or on as many of its own beside a GPU.
    pub(crate) fn on_host<R>(&self, work: impl FnOnce() -> R) -> R {
        match &self.0 {
            Backend::Gpu(_) => threads::Threads::new(None).enter(work),
            Backend::Cpu(cpu) => cpu.threads.enter(work),
        }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Backend::Gpu(a), Backend::Gpu(b)) => Arc::ptr_eq(a, b),
            (Backend::Cpu(a), Backend::Cpu(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// Writes `AMD Radeon RX 7900 XTX (Vulkan, radv Mesa 25.0)` or `CPU (16 threads)`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Backend::Gpu(gpu) => {
                write!(f, "{} ({}, {})", gpu.info.name, gpu.info.backend, gpu.info.driver)
            }
            Backend::Cpu(cpu) => write!(f, "CPU ({} threads)", cpu.threads.count()),
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({self})")
    }
}
