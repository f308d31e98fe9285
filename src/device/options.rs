//! The options to open a GPU, and the description of an adapter.

use super::overrides::TestOverrides;
use std::path::PathBuf;
#[cfg(all(test, feature = "cache"))]
use std::time::Duration;

/// The environment variable that overrides a program's choice of device.
pub const DEVICE_VARIABLE: &str = "WGPU_LSTM_DEVICE";

/// The environment variable that names the cache folder on disk; `off`, in any case of letters, disables
/// the cache. Without the feature `cache` there is none.
pub const CACHE_VARIABLE: &str = "WGPU_LSTM_CACHE";

/// The options to open a GPU. Without the feature `gpu` there is none to open.
///
/// ```
/// use wgpu_lstm::GpuOptions;
/// let options = GpuOptions::default().name("radeon").portable();
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until `Device::gpu` has them"]
pub struct GpuOptions {
    pub(crate) name: Option<String>,
    pub(crate) software: bool,
    pub(crate) portable: bool,
    pub(crate) checked: bool,
    pub(crate) poison: bool,
    pub(crate) profile: bool,
    pub(crate) cache: Cache,
    /// What only tests set.
    pub(crate) overrides: TestOverrides,
}

impl GpuOptions {
    /// Takes only an adapter whose name contains `part`, in any case of letters.
    pub fn name(mut self, part: impl Into<String>) -> Self {
        self.name = Some(part.into());
        self
    }

    /// Takes a software rasteriser (lavapipe, SwiftShader, WARP) instead of a hardware GPU.
    pub fn software(mut self) -> Self {
        self.software = true;
        self
    }

    /// Uses no more than WebGPU's default limits and no optional feature, as in a browser: 128 MiB a binding,
    /// 256 invocations and 16 KiB of shared memory a workgroup.
    pub fn portable(mut self) -> Self {
        self.portable = true;
        self
    }

    /// Compiles kernels with wgpu's run-time checks: bounds, loops and, except on OpenGL, zeroed shared memory.
    /// Slower; the test suite runs every kernel both ways.
    pub fn checked(mut self) -> Self {
        self.checked = true;
        self
    }

    /// Fills every new buffer with NaN, so that tests detect what a kernel leaves unwritten.
    pub fn poison(mut self) -> Self {
        self.poison = true;
        self
    }

    /// Caches compiled kernels, and what is learned of the device, in this folder, regardless of
    /// `WGPU_LSTM_CACHE`. No effect without the feature `cache`.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Cache::At(folder.into());
        self
    }

    /// Disables the cache on disk.
    pub fn no_cache(mut self) -> Self {
        self.cache = Cache::Off;
        self
    }

    /// Measures each kernel: see [`crate::Device::profile`]. Each dispatch then stands alone and each
    /// submission is waited for, which takes longer; the results are the same. Opening fails with
    /// [`crate::Error::Option`] on an adapter without timestamp queries, and in a browser.
    pub fn profile(mut self) -> Self {
        self.profile = true;
        self
    }
}

/// What tests set: see [`TestOverrides`].
impl GpuOptions {
    /// Lets the check of a special kernel find a wrong value.
    #[cfg(test)]
    pub(crate) fn fault(mut self, kernel: &'static str) -> Self {
        self.overrides.fault = Some(kernel);
        self
    }

    /// Takes a software adapter for a hardware GPU wherever a way is chosen.
    pub(crate) fn like_hardware(mut self) -> Self {
        self.overrides.as_hardware = true;
        self
    }

    /// How long the check of a special kernel may take to answer.
    #[cfg(all(test, feature = "cache"))]
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.overrides.patience = Some(patience);
        self
    }

    /// Cuts batches into chunks whose gates have at most this many words, as if no larger buffer
    /// could be bound.
    pub(crate) fn chunk_words(mut self, words: usize) -> Self {
        self.overrides.chunk_words = Some(words);
        self
    }

    /// Asks for bindings of no more than this.
    pub(crate) fn binding_bytes(mut self, bytes: u64) -> Self {
        self.overrides.binding_bytes = Some(bytes);
        self
    }

    /// The cores that a software adapter is taken to have, which decide how it shares out a
    /// batch.
    pub(crate) fn threads(mut self, threads: usize) -> Self {
        self.overrides.threads = Some(threads);
        self
    }
}

/// An adapter of this machine, as [`crate::Device::adapters`] lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdapterInfo {
    /// The adapter's name.
    pub name: String,
    /// The graphics API: `Vulkan`, `Metal`, `Dx12`, `Gl` or `BrowserWebGpu`.
    pub backend: String,
    /// The driver's name and version.
    pub driver: String,
    /// Whether it computes on the CPU.
    pub software: bool,
    /// Whether its kernels can use 16-bit floats.
    pub half_precision: bool,
    /// Whether the invocations of a subgroup can exchange values.
    pub subgroups: bool,
    /// Whether a subgroup can multiply matrices of 16 x 16 16-bit floats, with sums of 32 bits, as
    /// matrix units do.
    pub cooperative_matrices: bool,
}

/// The place of the cache on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Cache {
    /// The folder that the environment variable names, else the user's folder for caches; none for devices
    /// with options for tests.
    #[default]
    Environment,
    Off,
    At(PathBuf),
}
