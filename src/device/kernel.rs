//! A kernel as data: its source, its bindings, and one dispatch of it. The only way to make a
//! pipeline or a bind group; both are cached.

use super::gpu::{Gpu, Raw};
use super::unroll::unrolled;
use crate::{Error, Result};
use std::collections::HashMap;

/// What a kernel may do with a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A constant of a pipeline, by the name of the WGSL `override`.
pub(crate) type Constant = (&'static str, u32);

/// All constants of one pipeline.
pub(crate) type Constants = Vec<Constant>;

/// What a kernel asks of a device beyond WebGPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// 16-bit floats.
    F16,
    /// Subgroups of exactly so many lanes.
    Subgroups(u32),
    /// Matrices of 16 x 16 numbers that a subgroup holds together.
    Matrices,
}

/// The invocations of a workgroup along each axis, or the constant that says how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workgroup {
    Of([u32; 3]),
    Constant(&'static str),
}

/// A text of which kernels are made: that of a file in `shaders/`, or lines that the host gives.
#[derive(Clone, Copy)]
pub(crate) struct Wgsl {
    /// In `shaders/`; none of lines that the host gives.
    pub(crate) path: Option<&'static str>,
    pub(crate) text: &'static str,
    /// What it asks of a device.
    pub(crate) need: Option<Need>,
}

impl Wgsl {
    pub(crate) const fn lines(text: &'static str) -> Self {
        Self { path: None, text, need: None }
    }

    pub(crate) const fn needing(self, need: Need) -> Self {
        Self { need: Some(need), ..self }
    }
}

/// The [`Wgsl`] that a file in `shaders/` is.
macro_rules! wgsl {
    ($path:literal) => {
        $crate::device::kernel::Wgsl {
            path: Some($path),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
            need: None,
        }
    };
}
pub(crate) use wgsl;

/// A compute shader. `@binding(0)` is its uniform, then come `bindings` in order; a test
/// compares names, access, workgroup and needs with the parsed WGSL.
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    /// Joined, in this order.
    pub(crate) parts: &'static [Wgsl],
    pub(crate) bindings: &'static [(&'static str, Access)],
    /// Constants that the ops use, for the translation test.
    pub(crate) variants: fn() -> Vec<Constants>,
    pub(crate) workgroup: Workgroup,
}

impl Kernel {
    /// What most kernels have: workgroups of 64, and no constants.
    pub(crate) const PLAIN: Self = Self {
        name: "",
        parts: &[],
        bindings: &[],
        variants: || vec![vec![]],
        workgroup: Workgroup::Of([64, 1, 1]),
    };

    /// Its WGSL, with the loops written out that are to be: see [`super::unroll`].
    pub(crate) fn source(&self) -> String {
        let texts: Vec<_> = self.parts.iter().map(|part| unrolled(part.text)).collect();
        texts.join("\n")
    }

    /// The files in `shaders/` that it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().filter_map(|part| part.path)
    }

    /// What it asks of a device.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Need> {
        self.parts.iter().filter_map(|part| part.need)
    }

    /// The invocations of a workgroup, where no constant says them.
    pub(crate) fn invocations(&self) -> Option<usize> {
        match self.workgroup {
            Workgroup::Of(size) => Some(size.iter().product::<u32>() as usize),
            Workgroup::Constant(_) => None,
        }
    }

    /// Whether a device has what it asks for.
    pub(crate) fn runs_on(&self, gpu: &Gpu) -> bool {
        self.needs().all(|need| match need {
            Need::F16 => gpu.has_f16(),
            Need::Subgroups(lanes) => gpu.subgroup_size == Some(lanes),
            Need::Matrices => gpu.has_cooperative(),
        })
    }
}

/// Words of a buffer, for a kernel to bind.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) raw: &'a Raw,
    /// In bytes, as `bytes` is.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// One dispatch of a kernel on buffers. Slices, so that it allocates nothing.
pub(crate) struct Dispatch<'a> {
    pub(crate) kernel: &'static Kernel,
    pub(crate) grid: [u32; 3],
    pub(crate) constants: &'a [Constant],
    /// The uniform's words; an f32 by its bits.
    pub(crate) uniform: &'a [u32],
    /// In the order of `Kernel::bindings`; `None` where a constant says that it is unused.
    pub(crate) bound: &'a [Option<Bound<'a>>],
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
    constants: Box<[Constant]>,
    id: u64,
}

/// What is known of a kernel: few pipelines, told apart by their constants.
#[derive(Default)]
struct Compiled {
    module: Option<wgpu::ShaderModule>,
    pipelines: Vec<Pipeline>,
}

/// Bind groups that are kept before all are forgotten: far more than any step has.
const MAX_BIND_GROUPS: usize = 8192;

/// The caches of one device.
#[derive(Default)]
pub(super) struct Kernels {
    compiled: HashMap<&'static str, Compiled>,
    bind_groups: HashMap<Box<[u64]>, wgpu::BindGroup>,
    /// The key of a bind group that is looked for, kept for its memory.
    key: Vec<u64>,
    /// Pipelines and bind groups made so far.
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
    // divisor is zero; the test-suite runs each kernel with and without the checks on the same
    // shapes and compares.
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

/// What a dispatch binds in a slot: where a constant says that it is unused, what nobody looks at.
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
