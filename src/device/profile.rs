//! Where a GPU's time goes: each dispatch between two timestamps, summed by kernel.

use super::gpu::{Gpu, lock};
use super::{Backend, Device};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;

/// The dispatches that one query set has room for: wgpu's limit of 4096 queries.
const DISPATCHES: u32 = 2048;

/// The work of one dispatch, as far as its op knows it: the arithmetic, and the bytes that it has
/// to move at least, each counted once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) flop: f64,
    pub(crate) bytes: f64,
}

/// What a kernel took: see [`Device::profile`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KernelTime {
    /// The file in `shaders/`, or that and the variant.
    pub kernel: &'static str,
    /// Its dispatches.
    pub calls: u64,
    /// The time of all its dispatches on the device.
    pub seconds: f64,
    /// Additions and multiplications of its products; 0 where they are not counted.
    pub flop: f64,
    /// The bytes that it has to move at least; 0 where they are not counted.
    pub bytes: f64,
}

/// A profile of a device: a table by its `Display`.
///
/// ```text
/// kernel                    calls        ms      %    GFLOP/s      GB/s
/// lstm_sequence                10    41.310   52.1       13.0       0.5
/// …
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// By kernel, the longest time first.
    pub kernels: Vec<KernelTime>,
}

impl Profile {
    /// The time of all kernels, in seconds.
    pub fn seconds(&self) -> f64 {
        self.kernels.iter().map(|k| k.seconds).sum()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |amount: f64, seconds: f64| match amount > 0.0 && seconds > 0.0 {
            true => format!("{:.1}", amount / seconds * 1e-9),
            false => "-".into(),
        };
        let mut line = |name: &str, cells: [&str; 5]| {
            let [calls, ms, share, flop, bytes] = cells;
            writeln!(f, "{name:<26} {calls:>8} {ms:>10} {share:>6} {flop:>10} {bytes:>9}")
        };
        line("kernel", ["calls", "ms", "%", "GFLOP/s", "GB/s"])?;
        let all = self.seconds();
        for k in &self.kernels {
            let share = if all > 0.0 { 100.0 * k.seconds / all } else { 0.0 };
            let cells = [
                k.calls.to_string(),
                format!("{:.3}", k.seconds * 1e3),
                format!("{share:.1}"),
                rate(k.flop, k.seconds),
                rate(k.bytes, k.seconds),
            ];
            line(k.kernel, cells.each_ref().map(String::as_str))?;
        }
        let calls: u64 = self.kernels.iter().map(|k| k.calls).sum();
        line("all", [&calls.to_string(), &format!("{:.3}", all * 1e3), "100.0", "", ""])
    }
}

impl Device {
    /// What each kernel took since the last call, by the device's own clock. Submits and waits.
    ///
    /// The device must have been opened with [`crate::GpuOptions::profile`].
    ///
    /// ```
    /// use wgpu_lstm::{Device, GpuOptions, Tape, Tensor, Var, nn::{Lstm, Params}};
    /// # fn main() -> wgpu_lstm::Result<()> {
    /// # let Ok(device) = Device::gpu(GpuOptions::default().software().profile()) else { return Ok(()) };
    /// # if !device.is_gpu() { return Ok(()) }
    /// // let device = Device::gpu(GpuOptions::default().profile())?;
    /// let params = Params::new(&device);
    /// let lstm = Lstm::new(8).build(&params, 3)?;
    /// let x = Var::from(Tensor::zeros([2, 5, 3], &device)?);
    /// lstm.forward(&Tape::inference(&params), &x)?;
    /// println!("{}", device.profile()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] on the CPU and on a device that was opened without it, and those of
    /// [`Device::synchronize`].
    pub fn profile(&self) -> Result<Profile> {
        self.synchronize()?;
        let profiler = match &self.0 {
            Backend::Gpu(gpu) => lock(&gpu.recorder).profiler.as_mut().map(Profiler::take),
            Backend::Cpu(_) => None,
        };
        profiler.ok_or_else(|| Error::Option {
            option: "Device::profile",
            found: format!("asked of {self}"),
            expected: "asked of a GPU that was opened with GpuOptions::profile".into(),
        })
    }
}

/// The features that profiling needs, if it is asked for and the adapter has them.
pub(super) fn features(adapter: &wgpu::Adapter, wanted: bool) -> Result<wgpu::Features> {
    let needed = wgpu::Features::TIMESTAMP_QUERY;
    if !wanted {
        return Ok(wgpu::Features::empty());
    }
    // Times are read while recording goes on, which a browser cannot do.
    if cfg!(target_arch = "wasm32") || !adapter.features().contains(needed) {
        return Err(Error::Option {
            option: "GpuOptions::profile",
            found: format!("asked of {}, which has no timestamps", adapter.get_info().name),
            expected: "an adapter with timestamp queries, outside a browser".into(),
        });
    }
    Ok(needed)
}

/// Collects the times of the dispatches of a device.
pub(super) struct Profiler {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f64,
    /// What was recorded since the last submission.
    open: Vec<(&'static str, Cost)>,
    times: BTreeMap<&'static str, KernelTime>,
}

impl Profiler {
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let buffer = |label, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: u64::from(2 * DISPATCHES) * 8,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let resolve = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * DISPATCHES,
            }),
            resolved: buffer("timestamps", resolve),
            staging: buffer("timestamps, to read", wgpu::BufferUsages::MAP_READ),
            period: f64::from(queue.get_timestamp_period()),
            open: Vec::new(),
            times: BTreeMap::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() == DISPATCHES as usize
    }

    /// A pass for one dispatch.
    pub(super) fn pass(&self, encoder: &mut wgpu::CommandEncoder) -> wgpu::ComputePass<'static> {
        let first = 2 * self.open.len() as u32;
        let pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.queries,
                beginning_of_pass_write_index: Some(first),
                end_of_pass_write_index: Some(first + 1),
            }),
        });
        pass.forget_lifetime()
    }

    /// Notes the dispatch that the pass has got.
    pub(super) fn note(&mut self, kernel: &'static str, cost: Cost) {
        self.open.push((kernel, cost));
    }

    /// Behind the last pass of a submission.
    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        let queries = 2 * self.open.len() as u32;
        if queries > 0 {
            encoder.resolve_query_set(&self.queries, 0..queries, &self.resolved, 0);
            let bytes = u64::from(queries) * 8;
            encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, bytes);
        }
    }

    /// Waits for the submission and adds its times up.
    pub(super) fn collect(&mut self, gpu: &Gpu) -> Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let bytes = self.open.len() as u64 * 16;
        self.staging.map_async(wgpu::MapMode::Read, ..bytes, |_| {});
        gpu.poll(None)?;
        let view = self
            .staging
            .get_mapped_range(..bytes)
            .map_err(|e| Error::Gpu { message: e.to_string() })?;
        let tick = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let ticks: Vec<u64> = view.as_chunks().0.iter().map(tick).collect();
        drop(view);
        self.staging.unmap();
        for ((kernel, cost), pair) in self.open.drain(..).zip(ticks.as_chunks::<2>().0) {
            let seconds = pair[1].saturating_sub(pair[0]) as f64 * self.period * 1e-9;
            let none = KernelTime { kernel, calls: 0, seconds: 0.0, flop: 0.0, bytes: 0.0 };
            let time = self.times.entry(kernel).or_insert(none);
            time.calls += 1;
            time.seconds += seconds;
            time.flop += cost.flop;
            time.bytes += cost.bytes;
        }
        Ok(())
    }

    fn take(&mut self) -> Profile {
        let mut kernels: Vec<_> = std::mem::take(&mut self.times).into_values().collect();
        kernels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Profile { kernels }
    }
}
