//! Adapters: the list of them, and the choice of one by options.

use crate::device::class::Class;
use crate::device::options::{AdapterInfo, GpuOptions};
use crate::{Error, Result};

const HELP: &str = "Device::auto() would take the CPU, which needs no driver; Vulkan, Metal \
    and DX12 come with a GPU's driver (on Linux also the loader, libvulkan.so.1), a software adapter \
    with Debian's and Ubuntu's package mesa-vulkan-drivers";

impl AdapterInfo {
    /// What an adapter tells. No `From`: wgpu's types are no part of the interface.
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let (info, features) = (&adapter.get_info(), adapter.features());
        Self {
            half_precision: features.contains(wgpu::Features::SHADER_F16),
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            cooperative_matrices: matrix_sizes(adapter).contains(&16),
            name: info.name.clone(),
            backend: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            software: is_software(info),
        }
    }
}

fn is_software(info: &wgpu::AdapterInfo) -> bool {
    class(info) == Class::Software
}

/// The class of an adapter. Apple's tell so by the maker's number through OpenGL and MoltenVK, by their name
/// alone through Metal and Mesa; a card of another maker in a Mac has that one's name. Who does not say what
/// it is, as in a browser, is taken for a small one, but for NVIDIA's through OpenGL.
pub(super) fn class(info: &wgpu::AdapterInfo) -> Class {
    const APPLE: u32 = 0x106b;
    const NVIDIA: u32 = 0x10de;
    match info.device_type {
        wgpu::DeviceType::Cpu => Class::Software,
        _ if info.vendor == APPLE || info.name.starts_with("Apple ") => Class::Apple,
        wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => Class::Discrete,
        wgpu::DeviceType::Other if info.vendor == NVIDIA => Class::Discrete,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Other => Class::Integrated,
    }
}

/// The rows and columns of the cooperative matrices that kernels can use: of 16-bit floats, with sums of 32 bits.
pub(super) fn matrix_sizes(adapter: &wgpu::Adapter) -> Vec<u32> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
        | wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP;
    if !adapter.features().contains(needed) {
        return Vec::new();
    }
    let listed = adapter.cooperative_matrix_properties();
    let has = |&size: &u32| {
        listed.iter().any(|has| {
            let sizes = [has.m_size, has.n_size, has.k_size] == [size; 3];
            sizes && (has.ab_type, has.cr_type) == (F16, F32)
        })
    };
    [16, 8].into_iter().filter(has).collect()
}

/// The APIs, in the order in which they are asked for adapters. OpenGL comes last, since the same card is usually
/// listed twice, and is not even loaded where another API has what is wanted: that alone takes some drivers longer
/// than all else until the first kernel runs. A browser has one list of all.
#[cfg(not(target_arch = "wasm32"))]
const APIS: [wgpu::Backends; 2] = [wgpu::Backends::PRIMARY, wgpu::Backends::GL];
#[cfg(target_arch = "wasm32")]
const APIS: [wgpu::Backends; 1] = [wgpu::Backends::PRIMARY.union(wgpu::Backends::GL)];

fn instance(backends: wgpu::Backends) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    // Indirect dispatches are never used; their validation would cost a pipeline.
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

/// Every adapter of some APIs that can compute, the best first: discrete, integrated, virtual, software.
async fn adapters_of(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let mut found: Vec<_> = instance(backends)
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

/// Every adapter that can compute, the best of each API first.
async fn adapters() -> Vec<wgpu::Adapter> {
    let mut all = Vec::new();
    for backends in APIS {
        all.extend(adapters_of(backends).await);
    }
    all
}

pub(crate) async fn list() -> Vec<AdapterInfo> {
    adapters().await.iter().map(AdapterInfo::of).collect()
}

fn names(all: &[wgpu::Adapter]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in all.iter().map(|a| a.get_info().name) {
        // A card with two drivers is listed twice.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The error for a name that no adapter has.
pub(crate) async fn unknown(name: String) -> Error {
    Error::UnknownDevice { name, available: names(&adapters().await) }
}

/// The adapter that fits `options` best.
pub(crate) async fn choose(options: &GpuOptions) -> Result<wgpu::Adapter> {
    let name = options.name.as_ref().map(|name| name.to_lowercase());
    let fits = |adapter: &wgpu::Adapter| match (&name, adapter.get_info()) {
        (Some(name), info) => info.name.to_lowercase().contains(name),
        (None, info) => is_software(&info) == options.software,
    };
    let mut others = Vec::new();
    for backends in APIS {
        let mut found = adapters_of(backends).await;
        match found.iter().position(&fits) {
            Some(at) => return Ok(found.swap_remove(at)),
            None => others.extend(found),
        }
    }
    Err(match &options.name {
        Some(name) => Error::UnknownDevice { name: name.clone(), available: names(&others) },
        None => Error::NoAdapter {
            wanted: if options.software { "a software adapter" } else { "a hardware GPU" },
            help: HELP,
        },
    })
}

/// The optional features to request: those of the adapter that a kernel or a cache can use.
pub(crate) fn features(adapter: &wgpu::Adapter, portable: bool) -> wgpu::Features {
    if portable {
        return wgpu::Features::empty();
    }
    let mut useful =
        wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::PIPELINE_CACHE;
    if !matrix_sizes(adapter).is_empty() {
        useful |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    }
    adapter.features() & useful
}

/// The permission for experimental features, if one is requested.
pub(crate) fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.intersects(wgpu::Features::all_experimental_mask()) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: the caller must accept possible faults in wgpu's code for such a feature. The only one
    // that `features` ever requests is that of cooperative matrices, and only
    // `shaders/gemm/gemm_cooperative.wgsl` uses it: with a type and size that the adapter lists, all lanes
    // of a subgroup together, on shared memory within its arrays. A device with the feature compiles all
    // other kernels as without it, and the kernel runs on a second device first, where it is compared
    // with the plain one (`trust.rs`).
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// The limits to request: WebGPU's defaults, or all that the adapter has.
pub(crate) fn limits(adapter: &wgpu::Adapter, options: &GpuOptions) -> wgpu::Limits {
    let mut own = adapter.limits();
    if let Some(bytes) = options.overrides.binding_bytes {
        own.max_storage_buffer_binding_size = bytes;
    }
    if !options.portable {
        return own;
    }
    // Software and old adapters may be below a default that no kernel here needs.
    wgpu::Limits::defaults().or_worse_values_from(&own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::{Backend, DeviceType};

    #[test]
    fn every_kind_of_adapter_has_its_class() {
        let of = |kind, backend, vendor, name: &str| {
            class(&wgpu::AdapterInfo {
                vendor,
                name: name.into(),
                ..wgpu::AdapterInfo::new(kind, backend)
            })
        };
        let discrete = [
            (DeviceType::DiscreteGpu, Backend::Vulkan, 0x10de, "NVIDIA H200"),
            (DeviceType::DiscreteGpu, Backend::Dx12, 0x1002, "AMD Radeon RX 7900 XTX"),
            (
                DeviceType::DiscreteGpu,
                Backend::Vulkan,
                0x8086,
                "Intel(R) Arc(tm) B580 Graphics (BMG G21)",
            ),
            (DeviceType::VirtualGpu, Backend::Vulkan, 0x10de, "NVIDIA A16-4Q"),
            (DeviceType::Other, Backend::Gl, 0x10de, "NVIDIA GeForce RTX 3060/PCIe/SSE2"),
            // In a Mac of Intel's time, by Metal, which tells no maker.
            (DeviceType::DiscreteGpu, Backend::Metal, 0, "AMD Radeon Pro 5500M"),
        ];
        let integrated = [
            (DeviceType::IntegratedGpu, Backend::Vulkan, 0x1002, "AMD Radeon 780M (RADV PHOENIX)"),
            (DeviceType::IntegratedGpu, Backend::Dx12, 0x8086, "Intel(R) UHD Graphics 620"),
            (DeviceType::IntegratedGpu, Backend::Vulkan, 0x13b5, "Mali-G610"),
            (DeviceType::Other, Backend::BrowserWebGpu, 0, ""),
            (DeviceType::Other, Backend::Gl, 0x1002, "AMD Radeon Graphics (radeonsi, renoir)"),
        ];
        let apple = [
            (DeviceType::IntegratedGpu, Backend::Metal, 0, "Apple M2"),
            (DeviceType::IntegratedGpu, Backend::Vulkan, 0x106b, "Apple M2"),
            (DeviceType::IntegratedGpu, Backend::Vulkan, 0x10005, "Apple M1 (G13G B1)"),
            (
                DeviceType::IntegratedGpu,
                Backend::Gl,
                0x106b,
                "ANGLE (Apple, ANGLE Metal Renderer: Apple M1 Pro)",
            ),
        ];
        let software = [
            (DeviceType::Cpu, Backend::Vulkan, 0x10005, "llvmpipe (LLVM 15.0.6, 256 bits)"),
            (DeviceType::Cpu, Backend::Vulkan, 0x1ae0, "SwiftShader Device (LLVM 16.0.0)"),
            (DeviceType::Cpu, Backend::Dx12, 0x1414, "Microsoft Basic Render Driver"),
        ];
        for (expected, adapters) in [
            (Class::Discrete, &discrete[..]),
            (Class::Integrated, &integrated),
            (Class::Apple, &apple),
            (Class::Software, &software),
        ] {
            for &(kind, backend, vendor, name) in adapters {
                assert_eq!(of(kind, backend, vendor, name), expected, "{name}");
            }
        }
    }
}
