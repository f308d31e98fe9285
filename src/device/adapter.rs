//! Which adapters there are, and which one a program gets.

use super::cache::Cache;
use crate::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

/// The environment variable that overrides a program's choice of device.
pub const DEVICE_VARIABLE: &str = "WGPU_LSTM_DEVICE";

pub(crate) const HELP: &str = "Device::auto() would take the CPU, which needs no driver; Vulkan, Metal \
    and DX12 come with a GPU's driver (on Linux also the loader, libvulkan.so.1), a software adapter \
    with Debian's and Ubuntu's package mesa-vulkan-drivers";

/// How to open a GPU.
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
    pub(crate) chunk_words: Option<usize>,
    pub(crate) threads: Option<usize>,
    pub(crate) binding_bytes: Option<u64>,
    pub(crate) cache: Cache,
    /// The name of a special kernel whose check is given a wrong value.
    pub(crate) fault: Option<&'static str>,
    /// How long a trial may take to answer.
    pub(crate) patience: Option<Duration>,
    /// Whether a software adapter is taken for a GPU where a way is chosen.
    pub(crate) as_hardware: bool,
    /// This device tries something out for another: see `verdicts.rs`.
    pub(crate) trial: bool,
}

impl GpuOptions {
    /// Only an adapter whose name contains `part`, in any case of letters.
    pub fn name(mut self, part: impl Into<String>) -> Self {
        self.name = Some(part.into());
        self
    }

    /// A software rasteriser (lavapipe, SwiftShader, WARP) instead of a hardware GPU.
    pub fn software(mut self) -> Self {
        self.software = true;
        self
    }

    /// No more than WebGPU's default limits and no optional feature, as in a browser:
    /// 128 MiB a binding, 256 invocations and 16 KiB of shared memory a workgroup.
    pub fn portable(mut self) -> Self {
        self.portable = true;
        self
    }

    /// Compiles kernels with wgpu's run-time checks: bounds, loops and, but on OpenGL, zeroed shared
    /// memory. Slower; the test-suite runs every kernel both ways.
    pub fn checked(mut self) -> Self {
        self.checked = true;
        self
    }

    /// Fills every new buffer with NaN, so that whatever a kernel leaves unwritten shows.
    /// For tests.
    pub fn poison(mut self) -> Self {
        self.poison = true;
        self
    }

    /// Keeps compiled kernels, and what is learned of the device, in this folder, whatever
    /// `WGPU_LSTM_CACHE` says.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Cache::At(folder.into());
        self
    }

    /// Keeps nothing on disk.
    pub fn no_cache(mut self) -> Self {
        self.cache = Cache::Off;
        self
    }

    /// Lets the check of a special kernel find a wrong value. For tests.
    #[cfg(test)]
    pub fn fault(mut self, kernel: &'static str) -> Self {
        self.fault = Some(kernel);
        self
    }

    /// Takes a software adapter for a hardware GPU wherever a way is chosen. For tests.
    #[cfg(test)]
    pub fn as_hardware(mut self) -> Self {
        self.as_hardware = true;
        self
    }

    /// How long the check of a special kernel may take to answer. For tests.
    #[cfg(test)]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Measures each kernel: see [`crate::Device::profile`]. Each dispatch then stands alone and each
    /// submission is waited for, which takes longer; the results are the same. Opening fails with
    /// [`crate::Error::Option`] on an adapter without timestamp queries, and in a browser.
    pub fn profile(mut self) -> Self {
        self.profile = true;
        self
    }

    /// Cuts batches into chunks whose gates have at most this many words, as if no larger buffer
    /// could be bound. For tests.
    #[cfg(test)]
    pub fn chunk_words(mut self, words: usize) -> Self {
        self.chunk_words = Some(words);
        self
    }

    /// Asks for bindings of no more than this. For tests.
    pub(crate) fn binding_bytes(mut self, bytes: u64) -> Self {
        self.binding_bytes = Some(bytes);
        self
    }

    /// The cores that a software adapter is taken to have, which decide how it shares out a
    /// batch. For tests.
    #[cfg(test)]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }
}

/// One adapter of this machine, as [`crate::Device::adapters`] lists it.
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

impl From<&wgpu::Adapter> for AdapterInfo {
    fn from(adapter: &wgpu::Adapter) -> Self {
        let (info, features) = (&adapter.get_info(), adapter.features());
        Self {
            half_precision: features.contains(wgpu::Features::SHADER_F16),
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            cooperative_matrices: has_cooperative_matrices(adapter),
            name: info.name.clone(),
            backend: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            software: is_software(info),
        }
    }
}

fn is_software(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == wgpu::DeviceType::Cpu
}

fn has_cooperative_matrices(adapter: &wgpu::Adapter) -> bool {
    use wgpu::CooperativeScalarType::{F16, F32};
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
        | wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP;
    let fits = |has: &wgpu::CooperativeMatrixProperties| {
        let sizes = [has.m_size, has.n_size, has.k_size] == [16; 3];
        sizes && (has.ab_type, has.cr_type) == (F16, F32)
    };
    adapter.features().contains(needed)
        && adapter.cooperative_matrix_properties().iter().any(fits)
        // The kernel shares its tile out between two subgroups of 128 invocations at least.
        && adapter.get_info().subgroup_max_size <= 64
        && adapter.limits().max_compute_workgroup_storage_size >= 18_432
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // Indirect dispatches are never used; their validation would cost a pipeline.
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

/// Every adapter that can compute, the best first: discrete, integrated, virtual, software;
/// OpenGL after the others, since the same card is usually listed twice.
async fn adapters() -> Vec<wgpu::Adapter> {
    let backends = wgpu::Backends::PRIMARY | wgpu::Backends::GL;
    let mut found: Vec<_> = instance()
        .enumerate_adapters(backends)
        .await
        .into_iter()
        .filter(|a| {
            a.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
                && a.limits().max_storage_buffers_per_shader_stage >= 8
        })
        .collect();
    found.sort_by_key(|adapter| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        (info.backend == wgpu::Backend::Gl, kind)
    });
    found
}

pub(crate) async fn list() -> Vec<AdapterInfo> {
    adapters().await.iter().map(AdapterInfo::from).collect()
}

fn names(all: &[wgpu::Adapter]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in all.iter().map(|a| a.get_info().name) {
        // A card with two drivers is there twice.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The error for a name that no adapter can have.
pub(crate) async fn unknown(name: String) -> Error {
    Error::UnknownDevice { name, available: names(&adapters().await) }
}

/// The adapter that fits `options` best.
pub(crate) async fn choose(options: &GpuOptions) -> Result<wgpu::Adapter> {
    let all = adapters().await;
    if let Some(name) = &options.name {
        let wanted = name.to_lowercase();
        let available = names(&all);
        return all
            .into_iter()
            .find(|a| a.get_info().name.to_lowercase().contains(&wanted))
            .ok_or_else(|| Error::UnknownDevice { name: name.clone(), available });
    }
    all.into_iter().find(|a| is_software(&a.get_info()) == options.software).ok_or(
        Error::NoAdapter {
            wanted: if options.software { "a software adapter" } else { "a hardware GPU" },
            help: HELP,
        },
    )
}

/// The optional features to ask for: those of the adapter that a kernel or a cache can use.
pub(crate) fn features(adapter: &wgpu::Adapter, portable: bool) -> wgpu::Features {
    if portable {
        return wgpu::Features::empty();
    }
    let mut useful =
        wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::PIPELINE_CACHE;
    if has_cooperative_matrices(adapter) {
        useful |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    }
    adapter.features() & useful
}

/// wgpu's leave for experimental features, if one is asked for.
pub(crate) fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.intersects(wgpu::Features::all_experimental_mask()) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: the word asked for is that one knows of possible faults in wgpu's code for such a
    // feature. The only one that `features` ever asks for is that of cooperative matrices, and only
    // `shaders/gemm_cooperative.wgsl` uses it: with a type and size that the adapter lists, all lanes of
    // a subgroup together, on shared memory within its arrays. A device that asks for the feature
    // compiles all other kernels as without it, and the kernel runs on a second device first, where it
    // is compared with the plain one (`verdicts.rs`).
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// The limits to ask for: WebGPU's defaults, or all that the adapter has.
pub(crate) fn limits(adapter: &wgpu::Adapter, options: &GpuOptions) -> wgpu::Limits {
    let mut own = adapter.limits();
    if let Some(bytes) = options.binding_bytes {
        own.max_storage_buffer_binding_size = bytes;
    }
    if !options.portable {
        return own;
    }
    // Software and old adapters may lie under a default that no kernel here needs.
    wgpu::Limits::defaults().or_worse_values_from(&own)
}
