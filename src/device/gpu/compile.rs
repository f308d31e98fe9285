//! Kernels become pipelines: those that a submission needs all at once, by as many threads as there are, since a
//! driver takes some ten to a hundred milliseconds for each. What is needed tells the recording itself: a dispatch
//! whose pipeline is not there yet waits in the recorder, and the submission compiles before it encodes. So nothing
//! is compiled that is not used, and no list of a model's kernels has to be kept true.

use super::Gpu;
use crate::device::kernel::{Access, Constant, Kernel};
use crate::{Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What is made once, by the first thread that needs it.
pub(super) type Once<T> = OnceLock<Result<T>>;

/// A pipeline and what it is made of.
pub(super) struct Pipeline {
    pub(super) kernel: &'static Kernel,
    pub(super) constants: Box<[Constant]>,
    pub(super) module: Arc<Once<wgpu::ShaderModule>>,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) whole_layout: wgpu::PipelineLayout,
    pub(super) id: u64,
    pub(super) made: Once<wgpu::ComputePipeline>,
}

impl Pipeline {
    /// The pipeline if it is compiled; an error if that has failed.
    pub(super) fn get(&self) -> Result<Option<&wgpu::ComputePipeline>> {
        self.made.get().map(Result::as_ref).transpose().map_err(Error::clone)
    }
}

/// The layout of a kernel's bindings, and of its pipelines.
pub(super) fn layouts(
    gpu: &Gpu,
    kernel: &Kernel,
    uniform_bytes: u64,
) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
    let mut entries = vec![entry(
        0,
        wgpu::BufferBindingType::Uniform,
        true,
        std::num::NonZeroU64::new(uniform_bytes),
    )];
    entries.extend(kernel.bindings.iter().enumerate().map(|(i, (_, access))| {
        let read_only = *access == Access::Read;
        entry(i as u32 + 1, wgpu::BufferBindingType::Storage { read_only }, false, None)
    }));
    let layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(kernel.name),
        entries: &entries,
    });
    let whole = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.name),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    (layout, whole)
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

/// Compiles pipelines, and waits for all of them: each then has its pipeline or its error.
pub(super) fn compile(gpu: &Gpu, pipelines: &[Arc<Pipeline>]) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(pipeline) = pipelines.get(next.fetch_add(1, Ordering::Relaxed)) {
            pipeline.made.get_or_init(|| make(gpu, pipeline));
        }
    };
    let threads = threads(gpu).min(pipelines.len());
    if threads == 1 {
        return work();
    }
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let builder = std::thread::Builder::new().name("compile".into()).stack_size(STACK);
            if builder.spawn_scoped(scope, work).is_err() {
                // The system has no more threads: those that there are do it.
                break;
            }
        }
        work();
    });
}

/// Bytes of a thread's stack: as many as a program's first thread has, on which compilers of drivers are tested.
const STACK: usize = 8 << 20;

/// The threads that compile. On OpenGL a context serves one thread after the other, and wgpu panics where one waits
/// for more than some seconds; a browser compiles by itself.
fn threads(gpu: &Gpu) -> usize {
    if gpu.info.backend == "Gl" || cfg!(target_arch = "wasm32") {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn make(gpu: &Gpu, pipeline: &Pipeline) -> Result<wgpu::ComputePipeline> {
    let Pipeline { kernel, module, .. } = pipeline;
    let shader = module.get_or_init(|| checked(gpu, kernel, || translate(gpu, kernel))).clone()?;
    let constants: Vec<_> =
        pipeline.constants.iter().map(|&(name, value)| (name, f64::from(value))).collect();
    checked(gpu, kernel, || {
        gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name),
            layout: Some(&pipeline.whole_layout),
            module: &shader,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // Not on OpenGL: there wgpu writes one assignment for each element, which take Mesa minutes
                // to compile. No kernel reads what it has not written: without checks nothing is zeroed.
                zero_initialize_workgroup_memory: gpu.options.checked && gpu.info.backend != "Gl",
            },
            cache: gpu.pipeline_cache.as_ref().map(|kept| &kept.cache),
        })
    })
}

/// What `make` makes, or what wgpu says against it. A browser says so later, by the handler of uncaptured errors.
fn checked<T>(gpu: &Gpu, kernel: &Kernel, make: impl FnOnce() -> T) -> Result<T> {
    // A scope is of its thread alone.
    #[cfg(not(target_arch = "wasm32"))]
    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = make();
    #[cfg(not(target_arch = "wasm32"))]
    if let Some(error) = pollster::block_on(scope.pop()) {
        return Err(Error::Gpu { message: format!("{}: {error}", kernel.name) });
    }
    #[cfg(target_arch = "wasm32")]
    let _ = (gpu, kernel);
    Ok(made)
}

fn translate(gpu: &Gpu, kernel: &Kernel) -> wgpu::ShaderModule {
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
