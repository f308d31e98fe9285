//! A kernel as data: its source, its bindings, and one launch of it. The only way to make a
//! pipeline or a bind group; both are cached.

use super::gpu::{Gpu, GpuBuffer};
use crate::tensor::{Storage, Tensor};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// What a kernel may do with a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Constants of one pipeline, by the names of the WGSL `override`s.
pub(crate) type Constants = Vec<(&'static str, u32)>;

/// A compute shader. `@binding(0)` is its uniform, then come `bindings` in order; a test
/// compares names and access with the parsed WGSL.
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    /// WGSL files, joined.
    pub(crate) parts: &'static [&'static str],
    pub(crate) bindings: &'static [(&'static str, Access)],
    /// Constants that the ops use, for the translation test.
    pub(crate) variants: fn() -> Vec<Constants>,
}

impl Kernel {
    pub(crate) fn source(&self) -> String {
        self.parts.join("\n")
    }
}

/// One launch of a kernel.
pub(crate) struct Launch<'a> {
    pub(crate) kernel: &'static Kernel,
    pub(crate) grid: [u32; 3],
    pub(crate) constants: Constants,
    /// The uniform's words; an f32 by its bits.
    pub(crate) uniform: Vec<u32>,
    /// In the order of `Kernel::bindings`; `None` where a constant says that it is unused.
    pub(crate) tensors: Vec<Option<&'a Tensor>>,
}

/// A grid for `groups` workgroups in one row, folded where a row would be too long. The
/// kernel's number is `id.x + id.y * num_workgroups.x`.
pub(crate) fn folded(groups: usize) -> [u32; 3] {
    const ROW: usize = 65_535;
    let rows = groups.div_ceil(ROW).max(1);
    [groups.div_ceil(rows) as u32, rows as u32, 1]
}

struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    id: u64,
}

/// Bind groups that are kept before all are forgotten: far more than any step has.
const MAX_BIND_GROUPS: usize = 8192;

/// The caches of one device.
#[derive(Default)]
pub(super) struct Kernels {
    modules: HashMap<&'static str, wgpu::ShaderModule>,
    pipelines: HashMap<(&'static str, Constants), Pipeline>,
    bind_groups: HashMap<Vec<u64>, wgpu::BindGroup>,
    key: Vec<u64>,
}

impl Kernels {
    pub(super) fn forget_bind_groups(&mut self) {
        self.bind_groups.clear();
    }

    pub(super) fn resolve(
        &mut self,
        gpu: &Gpu,
        arena: &wgpu::Buffer,
        launch: &Launch<'_>,
    ) -> Result<(wgpu::ComputePipeline, wgpu::BindGroup)> {
        let name = launch.kernel.name;
        let key = (name, launch.constants.clone());
        if !self.pipelines.contains_key(&key) {
            let id = self.pipelines.len() as u64;
            let pipeline = self.compile(gpu, launch, id)?;
            self.pipelines.insert(key.clone(), pipeline);
        }
        let Some(pipeline) = self.pipelines.get(&key) else {
            return Err(Error::Gpu { message: format!("{name}: no pipeline") });
        };

        // Slots: (buffer, its number, offset, bytes).
        let mut slots = Vec::with_capacity(launch.tensors.len());
        for (slot, tensor) in launch.tensors.iter().enumerate() {
            let Some(tensor) = tensor else {
                let raw = &gpu.unused[slot];
                slots.push((&raw.buffer, raw.id, 0, 256));
                continue;
            };
            let Storage::Gpu(buffer) = &tensor.storage else {
                return Err(Error::Gpu { message: format!("{name}: a CPU tensor in slot {slot}") });
            };
            slots.push((
                &buffer.raw.buffer,
                buffer.raw.id,
                tensor.offset as u64 * 4,
                (tensor.len() as u64 * 4).max(4),
            ));
        }
        self.key.clear();
        self.key.extend([pipeline.id, launch.uniform.len() as u64]);
        self.key.extend(slots.iter().flat_map(|s| [s.1, s.2, s.3]));
        if let Some(group) = self.bind_groups.get(&self.key) {
            return Ok((pipeline.pipeline.clone(), group.clone()));
        }
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: arena,
                offset: 0,
                size: std::num::NonZeroU64::new(uniform_bytes(launch)),
            }),
        }];
        entries.extend(slots.iter().enumerate().map(|(i, &(buffer, _, offset, bytes))| {
            wgpu::BindGroupEntry {
                binding: i as u32 + 1,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset,
                    size: std::num::NonZeroU64::new(bytes),
                }),
            }
        }));
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(name),
            layout: &pipeline.layout,
            entries: &entries,
        });
        if self.bind_groups.len() >= MAX_BIND_GROUPS {
            self.bind_groups.clear();
        }
        self.bind_groups.insert(self.key.clone(), group.clone());
        Ok((pipeline.pipeline.clone(), group))
    }

    fn compile(&mut self, gpu: &Gpu, launch: &Launch<'_>, id: u64) -> Result<Pipeline> {
        let kernel = launch.kernel;
        let device = &gpu.device;
        let checked = gpu.options.checked;
        #[cfg(not(target_arch = "wasm32"))]
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = self.modules.entry(kernel.name).or_insert_with(|| {
            let descriptor = wgpu::ShaderModuleDescriptor {
                label: Some(kernel.name),
                source: wgpu::ShaderSource::Wgsl(kernel.source().into()),
            };
            if checked {
                return device.create_shader_module(descriptor);
            }
            // SAFETY: the kernels are this crate's own. Every index is derived from sizes that
            // the op has compared with its tensors before the launch, every loop counts up to
            // such a size, and no divisor is zero; the test-suite runs each kernel with and
            // without the checks on the same shapes and compares.
            unsafe {
                device.create_shader_module_trusted(
                    descriptor,
                    wgpu::ShaderRuntimeChecks::unchecked(),
                )
            }
        });
        let mut entries = vec![entry(
            0,
            wgpu::BufferBindingType::Uniform,
            true,
            std::num::NonZeroU64::new(uniform_bytes(launch)),
        )];
        entries.extend(kernel.bindings.iter().enumerate().map(|(i, (_, access))| {
            let read_only = *access == Access::Read;
            entry(i as u32 + 1, wgpu::BufferBindingType::Storage { read_only }, false, None)
        }));
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(kernel.name),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let constants: Vec<_> =
            launch.constants.iter().map(|&(name, value)| (name, f64::from(value))).collect();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name),
            layout: Some(&pipeline_layout),
            module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: checked,
            },
            cache: None,
        });
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Gpu { message: format!("{}: {error}", kernel.name) });
        }
        Ok(Pipeline { pipeline, layout, id })
    }
}

fn uniform_bytes(launch: &Launch<'_>) -> u64 {
    (launch.uniform.len() as u64 * 4).next_multiple_of(16).max(16)
}

fn entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    has_dynamic_offset: bool,
    min_binding_size: Option<std::num::NonZeroU64>,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size },
        count: None,
    }
}

/// Fills a buffer with NaN, in order with what is recorded.
pub(super) fn poison(gpu: &Arc<Gpu>, buffer: &Arc<GpuBuffer>) -> Result<()> {
    let len = (buffer.raw.buffer.size() / 4) as usize;
    let tensor = Tensor::whole(Storage::Gpu(buffer.clone()), len);
    crate::ops::fill::on_gpu(gpu, &tensor, f32::NAN)
}
