//! Timestamps of a GPU's dispatches, for [`Device::profile`](crate::Device::profile).

use super::Gpu;
use crate::device::lock;
use crate::device::profile::{Cost, KernelTime, Profile};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// The most dispatches of one query set, by wgpu's limit of 4096 queries.
const DISPATCHES: u32 = 2048;

impl Gpu {
    /// The time of each kernel since the last call; `None` if the device was opened without profiling.
    pub(crate) fn profile(&self) -> Option<Profile> {
        lock(&self.recorder).profiler.as_mut().map(Profiler::take)
    }
}

/// The features that profiling needs; an error if the adapter lacks them.
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

/// A collector of the times of a device's dispatches.
pub(super) struct Profiler {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// The nanoseconds of a tick.
    period: f64,
    /// The dispatches recorded since the last submission.
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

    /// Begins a pass for one dispatch.
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

    /// Adds the dispatch of the last pass.
    pub(super) fn note(&mut self, kernel: &'static str, cost: Cost) {
        self.open.push((kernel, cost));
    }

    /// Resolves the timestamps, after the last pass of a submission.
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
