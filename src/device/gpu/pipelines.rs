//! Pipelines and bind groups of kernels: made here alone, and cached.

use super::Gpu;
use crate::device::kernel::{Access, Bound, Constant, Dispatch, Kernel};
use crate::{Error, Result};
use std::collections::HashMap;

struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    constants: Box<[Constant]>,
    id: u64,
}

/// The compiled pipelines of a kernel: a few, which differ in their constants.
#[derive(Default)]
struct Compiled {
    module: Option<wgpu::ShaderModule>,
    pipelines: Vec<Pipeline>,
}

/// The most cached bind groups; one more clears the cache. Any training step has far fewer.
const MAX_BIND_GROUPS: usize = 8192;

/// The caches of one device.
#[derive(Default)]
pub(super) struct Kernels {
    compiled: HashMap<&'static str, Compiled>,
    bind_groups: HashMap<Box<[u64]>, wgpu::BindGroup>,
    /// The key of the last bind group looked up, kept to reuse its memory.
    key: Vec<u64>,
    /// The number of pipelines created so far.
    pub(super) pipelines_created: u64,
    pub(super) bind_groups_created: u64,
}

impl Kernels {
    pub(super) fn forget_bind_groups(&mut self) {
        self.bind_groups.clear();
    }

    pub(super) fn resolve(
        &mut self,
        gpu: &Gpu,
        arena: &wgpu::Buffer,
        dispatch: &Dispatch<'_>,
    ) -> Result<(wgpu::ComputePipeline, wgpu::BindGroup)> {
        let name = dispatch.kernel.name;
        let pipeline = self.pipeline(gpu, dispatch)?;
        let id = pipeline.id;
        let (pipeline, layout) = (pipeline.pipeline.clone(), pipeline.layout.clone());

        self.key.clear();
        self.key.extend([id, dispatch.uniform.len() as u64]);
        for slot in 0..dispatch.bound.len() {
            let Bound { raw, offset, bytes } = in_slot(gpu, dispatch, slot)?;
            self.key.extend([raw.id, offset, bytes]);
        }
        if let Some(group) = self.bind_groups.get(self.key.as_slice()) {
            return Ok((pipeline, group.clone()));
        }

        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: arena,
                offset: 0,
                size: std::num::NonZeroU64::new(uniform_bytes(dispatch)),
            }),
        }];
        for slot in 0..dispatch.bound.len() {
            let Bound { raw, offset, bytes } = in_slot(gpu, dispatch, slot)?;
            entries.push(wgpu::BindGroupEntry {
                binding: slot as u32 + 1,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &raw.buffer,
                    offset,
                    size: std::num::NonZeroU64::new(bytes),
                }),
            });
        }
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(name),
            layout: &layout,
            entries: &entries,
        });
        if self.bind_groups.len() >= MAX_BIND_GROUPS {
            self.bind_groups.clear();
        }
        self.bind_groups.insert(self.key.as_slice().into(), group.clone());
        self.bind_groups_created += 1;
        Ok((pipeline, group))
    }

    fn pipeline(&mut self, gpu: &Gpu, dispatch: &Dispatch<'_>) -> Result<&Pipeline> {
        let name = dispatch.kernel.name;
        let compiled = self.compiled.entry(name).or_default();
        let found = compiled.pipelines.iter().position(|p| *p.constants == *dispatch.constants);
        let at = match found {
            Some(at) => at,
            None => {
                #[cfg(not(target_arch = "wasm32"))]
                let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
                let module = compiled.module.get_or_insert_with(|| module(gpu, dispatch.kernel));
                let pipeline = compile(gpu, module, dispatch, self.pipelines_created);
                #[cfg(not(target_arch = "wasm32"))]
                if let Some(error) = pollster::block_on(scope.pop()) {
                    return Err(Error::Gpu { message: format!("{name}: {error}") });
                }
                self.pipelines_created += 1;
                compiled.pipelines.push(pipeline);
                compiled.pipelines.len() - 1
            }
        };
        Ok(&compiled.pipelines[at])
    }
}

fn module(gpu: &Gpu, kernel: &Kernel) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(kernel.name),
        source: wgpu::ShaderSource::Wgsl(kernel.source().into()),
    };
    if gpu.options.checked {
        return gpu.device.create_shader_module(descriptor);
    }
    // SAFETY: the kernels are this crate's own. Every index is derived from sizes that the op has
    // compared with its tensors before the launch, every loop counts up to such a size, and no
    // divisor is zero; the test suite runs each kernel with and without the checks on the same
    // shapes and compares the results.
    unsafe {
        let checks = wgpu::ShaderRuntimeChecks::unchecked();
        gpu.device.create_shader_module_trusted(descriptor, checks)
    }
}

fn compile(gpu: &Gpu, module: &wgpu::ShaderModule, dispatch: &Dispatch<'_>, id: u64) -> Pipeline {
    let (kernel, device) = (dispatch.kernel, &gpu.device);
    let mut entries = vec![entry(
        0,
        wgpu::BufferBindingType::Uniform,
        true,
        std::num::NonZeroU64::new(uniform_bytes(dispatch)),
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
        dispatch.constants.iter().map(|&(name, value)| (name, f64::from(value))).collect();
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.name),
        layout: Some(&pipeline_layout),
        module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &constants,
            // Not on OpenGL: there wgpu writes one assignment for each element, which take Mesa minutes
            // to compile. No kernel reads what it has not written: without checks nothing is zeroed.
            zero_initialize_workgroup_memory: gpu.options.checked && gpu.info.backend != "Gl",
        },
        cache: gpu.pipeline_cache.as_ref().map(|kept| &kept.cache),
    });
    Pipeline { pipeline, layout, constants: dispatch.constants.into(), id }
}

fn uniform_bytes(dispatch: &Dispatch<'_>) -> u64 {
    (dispatch.uniform.len() as u64 * 4).next_multiple_of(16).max(16)
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

/// The buffer that a dispatch binds in a slot: a dummy where a constant makes the binding unused.
fn in_slot<'a>(gpu: &'a Gpu, dispatch: &Dispatch<'a>, slot: usize) -> Result<Bound<'a>> {
    let Some(bound) = dispatch.bound[slot] else {
        return Ok(Bound { raw: &gpu.unused[slot], offset: 0, bytes: 256 });
    };
    let (bytes, limit) = (bound.bytes, gpu.max_binding());
    if bytes > limit {
        return Err(Error::TooLarge { what: dispatch.kernel.bindings[slot].0, bytes, limit });
    }
    Ok(bound)
}
