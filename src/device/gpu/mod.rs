//! A GPU: its wgpu device, its buffers and its health. The rest of the crate does not name wgpu, and without
//! the feature `gpu` `no_gpu.rs` replaces this module.

mod adapter;
mod autotune;
mod cache;
mod compile;
#[cfg_attr(not(feature = "cache"), allow(dead_code, reason = "fields for readers of the file"))]
mod learned;
mod pipelines;
mod profiler;
mod readback;
mod recorder;
mod trust;

pub(crate) use wgpu::Limits;

use super::class::Class;
use super::coresident::Coresident;
use super::fill::fill;
use super::options::{AdapterInfo, GpuOptions};
use super::pool::{self, Memory, Pool};
use super::{Counters, float_mode, lock};
use crate::{Error, Result};
use cache::PipelineCache;
use learned::Learned;
use pipelines::Kernels;
use profiler::Profiler;
use recorder::Recorder;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Opens a GPU, and blocks meanwhile: not in a browser.
pub(crate) fn wait_for(options: GpuOptions) -> Result<Arc<Gpu>> {
    pollster::block_on(Gpu::open(options))
}

/// Every adapter of this machine, the best first. Blocks: not in a browser.
pub(crate) fn adapters() -> Vec<AdapterInfo> {
    pollster::block_on(adapter::list())
}

/// The error for a name that no device has. Blocks: not in a browser.
pub(crate) fn unknown(name: String) -> Error {
    pollster::block_on(adapter::unknown(name))
}

/// An opened GPU.
pub(crate) struct Gpu {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    pub(crate) info: AdapterInfo,
    pub(crate) class: Class,
    pub(crate) limits: Limits,
    /// The invocations of a subgroup, if they can exchange values and their number is fixed.
    pub(crate) subgroup_size: Option<u32>,
    /// Rows and columns of the cooperative matrices that there are.
    matrix_sizes: Vec<u32>,
    pub(crate) options: GpuOptions,
    /// Whether this device tries something out for another: see `trust.rs`.
    trial: bool,
    /// The device of the last trial: see `learned.rs`.
    of_trials: Mutex<Option<Arc<Gpu>>>,
    pool: Mutex<Pool<Raw>>,
    next_id: AtomicU64,
    recorder: Mutex<Recorder>,
    kernels: Mutex<Kernels>,
    pipeline_cache: Option<PipelineCache>,
    learned: Mutex<Learned>,
    /// Buffers for optional bindings that a launch leaves out: one for each slot, since a browser refuses one
    /// buffer in two writable slots.
    unused: Vec<Raw>,
    pub(crate) coresident: Coresident,
    fault: Arc<Mutex<Option<Error>>>,
    readbacks: AtomicU64,
    /// The buffer of a read-back that is over, for the next one.
    staging: Mutex<Option<wgpu::Buffer>>,
}

/// A wgpu buffer with a unique number.
#[derive(Clone)]
pub(crate) struct Raw {
    buffer: wgpu::Buffer,
    id: u64,
}

/// A buffer on a GPU, which returns to the pool when its last tensor is dropped, unless its class is 0.
pub(crate) struct GpuBuffer {
    pub(crate) gpu: Arc<Gpu>,
    pub(crate) raw: Raw,
    class: u64,
}

impl Drop for GpuBuffer {
    fn drop(&mut self) {
        if self.class == 0 {
            return;
        }
        let generation = lock(&self.gpu.recorder).generation;
        lock(&self.gpu.pool).give(self.class, self.raw.clone(), generation);
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        self.save_pipelines();
    }
}

impl Gpu {
    pub(crate) async fn open(options: GpuOptions) -> Result<Arc<Self>> {
        // Threads that the driver starts inherit the mode of this one: a software adapter's would else
        // spend most of their time on subnormals.
        float_mode::flushed(async {
            Self::on(adapter::choose(&options).await?, options, false).await
        })
        .await
    }

    async fn on(adapter: wgpu::Adapter, options: GpuOptions, trial: bool) -> Result<Arc<Self>> {
        let info = adapter.get_info();
        let limits = adapter::limits(&adapter, &options);
        let profiling = profiler::features(&adapter, options.profile)?;
        let features = adapter::features(&adapter, options.portable) | profiling;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("wgpu-lstm"),
                required_features: features,
                required_limits: limits.clone(),
                experimental_features: adapter::experimental(features),
                memory_hints: wgpu::MemoryHints::Performance,
                trace: wgpu::Trace::Off,
            })
            .await
            .map_err(|e| Error::DeviceRequest {
                adapter: info.name.clone(),
                reason: e.to_string(),
            })?;

        let fault = Arc::new(Mutex::new(None));
        let seen = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let error = match error {
                wgpu::Error::OutOfMemory { .. } => {
                    Error::OutOfMemory { what: "a command's buffers", bytes: 0 }
                }
                other => Error::Gpu { message: other.to_string() },
            };
            lock(&seen).get_or_insert(error);
        }));
        let seen = fault.clone();
        device.set_device_lost_callback(move |_, reason| {
            // The loss of the device replaces any earlier error.
            *lock(&seen) = Some(Error::DeviceLost { reason });
        });

        let mut unused = (0..=limits.max_storage_buffers_per_shader_stage.min(16) as u64)
            .map(|id| Raw { buffer: storage_buffer(&device, 256), id })
            .collect::<Vec<_>>();
        // A new buffer holds zeros: the flag is not set.
        let timeout_flag = unused.remove(0);
        let profiler = options.profile.then(|| Profiler::new(&device, &queue));
        let recorder = Recorder::new(&device, &limits, profiler);
        let folder = cache::folder(&options);
        let pipeline_cache =
            folder.as_deref().and_then(|folder| PipelineCache::open(&device, &info, folder));
        let subgroups = device.features().contains(wgpu::Features::SUBGROUP);
        let mut described = AdapterInfo::of(&adapter);
        let mut class = adapter::class(&info);
        if options.overrides.as_hardware && class == Class::Software {
            (described.software, class) = (false, Class::Discrete);
        }
        let fixed = subgroups && info.subgroup_min_size == info.subgroup_max_size;
        Ok(Arc::new(Self {
            info: described,
            class,
            subgroup_size: fixed.then_some(info.subgroup_min_size),
            matrix_sizes: if features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
                adapter::matrix_sizes(&adapter)
            } else {
                Vec::new()
            },
            adapter,
            next_id: AtomicU64::new(unused.len() as u64 + 1),
            device,
            queue,
            limits,
            options,
            trial,
            of_trials: Mutex::default(),
            pool: Mutex::new(Pool::new()),
            recorder: Mutex::new(recorder),
            kernels: Mutex::new(Kernels::default()),
            pipeline_cache,
            learned: Mutex::new(Learned::new(&info, folder)),
            unused,
            coresident: Coresident::new(timeout_flag),
            fault,
            readbacks: AtomicU64::new(0),
            staging: Mutex::default(),
        }))
    }

    /// Fails with the first error that wgpu reported outside of a call, or with the loss of the device.
    pub(crate) fn health(&self) -> Result<()> {
        let mut fault = lock(&self.fault);
        match &*fault {
            None => Ok(()),
            Some(lost @ Error::DeviceLost { .. }) => Err(lost.clone()),
            Some(_) => Err(fault.take().unwrap_or(Error::Gpu { message: String::new() })),
        }
    }

    /// This GPU, as a device.
    pub(crate) fn device(self: &Arc<Self>) -> crate::Device {
        crate::Device(super::Backend::Gpu(self.clone()))
    }

    /// Makes every later call fail with this error.
    fn lose(&self, error: Error) {
        *lock(&self.fault) = Some(error);
    }

    /// Whether kernels can use 16-bit floats here.
    pub(crate) fn has_f16(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// Whether kernels can use cooperative matrices of so many rows and columns here.
    pub(crate) fn has_matrices(&self, size: u32) -> bool {
        self.matrix_sizes.contains(&size)
    }

    /// Whether there are any.
    pub(crate) fn has_cooperative(&self) -> bool {
        !self.matrix_sizes.is_empty()
    }

    /// The largest buffer that a kernel can bind, in bytes.
    pub(crate) fn max_binding(&self) -> u64 {
        // 4-byte words are counted in u32 in the kernels.
        let limit = self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size);
        limit.min(u64::from(u32::MAX) & !255)
    }

    /// A buffer of `len` words with undefined content. An `upload` overtakes recorded work, so it never gets
    /// a buffer that the open submission still uses.
    pub(crate) fn alloc(
        self: &Arc<Self>,
        len: usize,
        what: &'static str,
        upload: bool,
    ) -> Result<Arc<GpuBuffer>> {
        self.alloc_within(self.max_binding(), len, what, upload)
    }

    /// A buffer of `len` words with undefined content, which may be larger than a binding.
    pub(crate) fn alloc_large(
        self: &Arc<Self>,
        len: usize,
        what: &'static str,
    ) -> Result<Arc<GpuBuffer>> {
        self.alloc_within(self.max_buffer(), len, what, false)
    }

    /// The size of the largest buffer, in bytes.
    fn max_buffer(&self) -> u64 {
        self.max_binding().max(self.limits.max_buffer_size & !255)
    }

    fn alloc_within(
        self: &Arc<Self>,
        limit: u64,
        len: usize,
        what: &'static str,
        upload: bool,
    ) -> Result<Arc<GpuBuffer>> {
        self.health()?;
        let bytes = (len as u64).saturating_mul(4);
        if bytes > limit {
            return Err(Error::TooLarge { what, bytes, limit });
        }
        let class = pool::class(bytes).min(limit);
        let generation = lock(&self.recorder).generation;
        let before = if upload { generation } else { u64::MAX };
        let pooled = lock(&self.pool).take(class, before);
        let (raw, class) = match pooled {
            Some(pooled) => pooled,
            None => (self.make(class, what)?, class),
        };
        let buffer = Arc::new(GpuBuffer { gpu: self.clone(), raw, class });
        if self.options.poison && !upload {
            fill(self, &buffer.raw, 0..(buffer.raw.buffer.size() / 4) as usize, f32::NAN)?;
        }
        Ok(buffer)
    }

    /// A buffer of the device itself, in the form that a kernel binds.
    pub(super) fn unpooled(self: &Arc<Self>, raw: &Raw) -> Arc<GpuBuffer> {
        Arc::new(GpuBuffer { gpu: self.clone(), raw: raw.clone(), class: 0 })
    }

    fn make(self: &Arc<Self>, class: u64, what: &'static str) -> Result<Raw> {
        let buffer = match self.try_make(class) {
            Some(buffer) => buffer,
            None => {
                // Free pooled buffers, then try once more.
                self.trim()?;
                self.try_make(class).ok_or(Error::OutOfMemory { what, bytes: class })?
            }
        };
        lock(&self.pool).made(class);
        Ok(Raw { buffer, id: self.next_id.fetch_add(1, Ordering::Relaxed) })
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn try_make(&self, bytes: u64) -> Option<wgpu::Buffer> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = storage_buffer(&self.device, bytes);
        pollster::block_on(scope.pop()).is_none().then_some(buffer)
    }

    /// Creates a buffer. A browser answers error scopes later, so the uncaptured-error handler notes a failure.
    #[cfg(target_arch = "wasm32")]
    fn try_make(&self, bytes: u64) -> Option<wgpu::Buffer> {
        Some(storage_buffer(&self.device, bytes))
    }

    /// Frees every pooled buffer.
    pub(crate) fn trim(&self) -> Result<()> {
        self.submit()?;
        self.wait()?;
        lock(&self.kernels).forget_bind_groups();
        lock(&self.pool).trim();
        lock(&self.staging).take();
        Ok(())
    }

    pub(crate) fn upload(
        self: &Arc<Self>,
        bytes: &[u8],
        what: &'static str,
    ) -> Result<Arc<GpuBuffer>> {
        self.upload_within(self.max_binding(), bytes, what)
    }

    /// Uploads bytes, which may be more than a binding holds.
    pub(crate) fn upload_large(
        self: &Arc<Self>,
        bytes: &[u8],
        what: &'static str,
    ) -> Result<Arc<GpuBuffer>> {
        self.upload_within(self.max_buffer(), bytes, what)
    }

    fn upload_within(
        self: &Arc<Self>,
        limit: u64,
        bytes: &[u8],
        what: &'static str,
    ) -> Result<Arc<GpuBuffer>> {
        let buffer = self.alloc_within(limit, bytes.len() / 4, what, true)?;
        if !bytes.is_empty() {
            self.queue.write_buffer(&buffer.raw.buffer, 0, bytes);
            self.note_upload(bytes.len() as u64);
            self.settle_uploads()?;
        }
        Ok(buffer)
    }

    /// Writes bytes after the work submitted so far, but before work that is only recorded.
    pub(crate) fn write(&self, raw: &Raw, offset: u64, bytes: &[u8]) {
        self.queue.write_buffer(&raw.buffer, offset, bytes);
    }

    /// Saves compiled pipelines to disk.
    fn save_pipelines(&self) {
        if let Some(cache) = &self.pipeline_cache {
            cache.save(lock(&self.kernels).pipelines_created);
        }
    }

    pub(crate) fn memory(&self) -> Memory {
        lock(&self.pool).memory()
    }

    pub(crate) fn counters(&self) -> Counters {
        let recorder = lock(&self.recorder);
        let kernels = lock(&self.kernels);
        Counters {
            dispatches: recorder.dispatches,
            submissions: recorder.generation - 1,
            readbacks: self.readbacks.load(Ordering::Relaxed),
            writes: recorder.writes,
            buffers_created: lock(&self.pool).created,
            bind_groups_created: kernels.bind_groups_created,
            pipelines_created: kernels.pipelines_created,
            times_compiled: kernels.times_compiled,
        }
    }
}

fn storage_buffer(device: &wgpu::Device, size: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
