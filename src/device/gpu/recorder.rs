//! The recorder: collects dispatches into one submission, so that a training step is one compute pass.
//!
//! Kernels are encoded as they are recorded, from the first one on whose pipeline is not compiled yet when they are
//! submitted: see `compile.rs`. Their uniforms gather in host memory and are
//! written once, when the pass is submitted; each dispatch sees its own by a dynamic offset. What the
//! submission before had at the same place is not written again: a model that goes on as it did has nothing to
//! write, and the queue no copy to make before the first kernel.

use super::Gpu;
use super::compile::Pipeline;
use super::profiler::Profiler;
use crate::device::kernel::Dispatch;
use crate::device::lock;
use crate::device::profile::Cost;
use crate::{Error, Result};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes for the uniforms of one submission. One that needs more is split.
const ARENA: u64 = 1 << 20;
/// The most operations of one submission, and the most kernels however small, on software and on hardware
/// adapters: some tenths of a second, since a driver may kill what takes seconds. A training step has a few
/// dozen kernels.
const WORK: [(f64, f64); 2] = [(4e9, 128.0), (1e11, 1024.0)];
/// The most bytes uploaded since the last submission: until the next one their memory cannot be reused for
/// uploads.
const UPLOADED: u64 = 32 << 20;
/// The submissions in flight before the host waits for the oldest.
const IN_FLIGHT: usize = 3;

/// How long who waits for all work looks whether it is done, before it sleeps: a driver takes some tens of
/// microseconds to wake a thread, of a small layer's pass a tenth and more. (CUDA's waits do not sleep at all.)
const AWAKE: Duration = Duration::from_micros(500);

/// The most that a trial waits for what it has submitted. Pipelines are made before that; where that compiles
/// them, the clock starts afterwards. Software adapters compile only when
/// a submission runs, which takes a busy machine a minute and more: nothing tells that from the work
/// itself, and running the work once before would only move the wait that needs a bound. So the bound
/// is generous, and a trial that exceeds it decides nothing: see `learned.rs`.
const PATIENCE: Duration = Duration::from_secs(120);

/// A copy of bytes from one buffer to another.
pub(super) struct Copy<'a> {
    pub(super) from: &'a wgpu::Buffer,
    pub(super) offset: u64,
    pub(super) to: &'a wgpu::Buffer,
    pub(super) to_offset: u64,
    pub(super) bytes: u64,
}

/// A dispatch, all but its pass.
struct Recording {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    /// Of its uniform.
    offset: u32,
    grid: [u32; 3],
}

pub(super) struct Recorder {
    /// The open encoder and pass. While profiling there is no pass between two dispatches.
    open: Option<(wgpu::CommandEncoder, Option<wgpu::ComputePass<'static>>)>,
    /// Dispatches to encode before the submission: one that has no pipeline yet, and those after it.
    waiting: Vec<Recording>,
    pub(super) profiler: Option<Profiler>,
    pub(super) arena: wgpu::Buffer,
    uniforms: Vec<u8>,
    /// What the arena holds when all that was submitted is done.
    written: Vec<u8>,
    align: usize,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    /// The number of the submission being recorded, from 1 on.
    pub(super) generation: u64,
    pub(super) dispatches: u64,
    /// Writes from the host into buffers.
    pub(super) writes: u64,
    /// The work of the submission being recorded.
    recorded: Recorded,
}

/// The work of a submission so far.
#[derive(Default)]
struct Recorded {
    /// Operations; moving a byte counts as the operations that a device does meanwhile.
    work: f64,
    uploaded: u64,
}

impl Recorder {
    pub(super) fn new(
        device: &wgpu::Device,
        limits: &wgpu::Limits,
        profiler: Option<Profiler>,
    ) -> Self {
        let arena = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("uniforms"),
            size: ARENA,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self {
            open: None,
            waiting: Vec::new(),
            profiler,
            arena,
            uniforms: Vec::with_capacity(1 << 16),
            written: Vec::with_capacity(1 << 16),
            align: limits.min_uniform_buffer_offset_alignment.max(16) as usize,
            in_flight: VecDeque::new(),
            generation: 1,
            dispatches: 0,
            writes: 0,
            recorded: Recorded::default(),
        }
    }

    fn pass(&mut self, device: &wgpu::Device) -> &mut wgpu::ComputePass<'static> {
        let (encoder, pass) = self
            .open
            .get_or_insert_with(|| (device.create_command_encoder(&Default::default()), None));
        pass.get_or_insert_with(|| match &self.profiler {
            Some(profiler) => profiler.pass(encoder),
            None => encoder.begin_compute_pass(&Default::default()).forget_lifetime(),
        })
    }

    /// Encodes a dispatch, or keeps it until there is a pipeline for it and those before it.
    fn add(&mut self, device: &wgpu::Device, recording: Recording) {
        if self.waiting.is_empty()
            && let Ok(Some(pipeline)) = recording.pipeline.get()
        {
            let Recording { bind_group, offset, grid: [x, y, z], .. } = &recording;
            let pass = self.pass(device);
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bind_group, &[*offset]);
            pass.dispatch_workgroups(*x, *y, *z);
            return;
        }
        self.waiting.push(recording);
    }

    /// Brings the recorded uniforms into the arena, as far as they are not there. The queue writes behind what was
    /// submitted before and ahead of what follows.
    fn write_uniforms(&mut self, queue: &wgpu::Queue) {
        let Self { arena, uniforms, written, .. } = self;
        let changed = changed(written, uniforms);
        if !changed.is_empty() {
            self.writes += 1;
            queue.write_buffer(arena, changed.start as u64, &uniforms[changed.clone()]);
            written.resize(written.len().max(uniforms.len()), 0);
            written[changed.clone()].copy_from_slice(&uniforms[changed]);
        }
        uniforms.clear();
    }
}

/// Where `new` differs from the begin of `old`, from the first such block of 16 bytes to the last; blocks that `old`
/// lacks differ.
fn changed(old: &[u8], new: &[u8]) -> Range<usize> {
    let (old, new) = (old.as_chunks::<16>().0, new.as_chunks::<16>().0);
    let differs = |&at: &usize| old.get(at) != new.get(at);
    let Some(first) = (0..new.len()).find(differs) else { return 0..0 };
    let last = (first..new.len()).rfind(differs).unwrap_or(first);
    16 * first..16 * (last + 1)
}

impl Gpu {
    /// Records a dispatch; a profile counts its `cost`.
    pub(crate) fn record(&self, dispatch: &Dispatch<'_>, cost: Cost) -> Result<()> {
        self.health()?;
        let max = self.limits.max_compute_workgroups_per_dimension;
        if dispatch.grid.iter().any(|&n| n == 0 || n > max) {
            return Err(Error::Gpu {
                message: format!(
                    "{}: a grid of {:?}, at most {max} a dimension",
                    dispatch.kernel.name, dispatch.grid
                ),
            });
        }
        let mut recorder = lock(&self.recorder);
        let full = recorder.profiler.as_ref().is_some_and(Profiler::is_full);
        let (most, kernels) = WORK[usize::from(!self.info.software)];
        let enough = recorder.recorded.work >= most || recorder.recorded.uploaded >= UPLOADED;
        if full || enough || recorder.uniforms.len() as u64 + 1024 > ARENA {
            drop(recorder);
            self.submit()?;
            recorder = lock(&self.recorder);
        }
        let mut known = lock(&self.kernels);
        let (pipeline, bind_group) = known.resolve(self, &recorder.arena, dispatch)?;
        // A browser compiles while the recording goes on; a profile has a pass for each dispatch.
        if cfg!(target_arch = "wasm32") || recorder.profiler.is_some() {
            known.compile(self);
            pipeline.get()?;
        }
        drop(known);

        let offset = recorder.uniforms.len();
        for word in dispatch.uniform {
            recorder.uniforms.extend_from_slice(&word.to_le_bytes());
        }
        let end =
            recorder.uniforms.len().next_multiple_of(recorder.align).max(offset + recorder.align);
        recorder.uniforms.resize(end, 0);

        let (offset, grid) = (offset as u32, dispatch.grid);
        recorder.add(&self.device, Recording { pipeline, bind_group, offset, grid });
        recorder.dispatches += 1;
        let bytes: u64 = dispatch.bound.iter().flatten().map(|bound| bound.bytes).sum();
        recorder.recorded.work += cost.flop.max(4.0 * bytes as f64).max(most / kernels);
        let recorder = &mut *recorder;
        if let (Some(profiler), Some((_, pass))) = (&mut recorder.profiler, &mut recorder.open) {
            profiler.note(dispatch.kernel.name, cost);
            *pass = None;
        }
        Ok(())
    }

    /// Compiles what the recording lacks, and encodes what has waited for it. Without a pipeline nothing of what
    /// has waited is done.
    fn encode_waiting(&self, recorder: &mut Recorder) -> Result<()> {
        let waiting = std::mem::take(&mut recorder.waiting);
        if !waiting.is_empty() {
            lock(&self.kernels).compile(self);
            waiting.iter().try_for_each(|recording| recording.pipeline.get().map(|_| ()))?;
            waiting.into_iter().for_each(|recording| recorder.add(&self.device, recording));
        }
        Ok(())
    }

    /// Counts uploaded bytes, which overtake recorded work.
    pub(super) fn note_upload(&self, bytes: u64) {
        let mut recorder = lock(&self.recorder);
        recorder.recorded.uploaded += bytes;
        recorder.writes += 1;
    }

    /// Submits if much was uploaded, so that buffers dropped since can be reused.
    pub(super) fn settle_uploads(&self) -> Result<()> {
        let enough = lock(&self.recorder).recorded.uploaded >= UPLOADED;
        if enough { self.submit() } else { Ok(()) }
    }

    /// Submits the recorded work to the queue.
    pub(crate) fn submit(&self) -> Result<()> {
        self.submit_with(&[])
    }

    /// Submits the recorded work to the queue, followed by copies.
    pub(super) fn submit_with(&self, copies: &[Copy<'_>]) -> Result<()> {
        let mut recorder = lock(&self.recorder);
        self.encode_waiting(&mut recorder)?;
        let mut encoder = match recorder.open.take() {
            Some((encoder, pass)) => {
                drop(pass);
                encoder
            }
            None if !copies.is_empty() || recorder.recorded.uploaded > 0 => {
                self.device.create_command_encoder(&Default::default())
            }
            None => return self.health(),
        };
        for copy in copies {
            let Copy { from, offset, to, to_offset, bytes } = *copy;
            encoder.copy_buffer_to_buffer(from, offset, to, to_offset, bytes);
        }
        recorder.write_uniforms(&self.queue);
        if let Some(profiler) = &recorder.profiler {
            profiler.resolve(&mut encoder);
        }
        recorder.recorded = Recorded::default();
        let index = self.queue.submit([encoder.finish()]);
        recorder.generation += 1;
        recorder.in_flight.push_back(index);
        let oldest = (recorder.in_flight.len() > IN_FLIGHT).then(|| recorder.in_flight.pop_front());
        if let Some(profiler) = &mut recorder.profiler {
            profiler.collect(self)?;
        }
        drop(recorder);
        if let Some(index) = oldest {
            self.poll(index)?;
        }
        self.health()
    }

    /// Waits until the queue is empty.
    pub(crate) fn wait(&self) -> Result<()> {
        if !self.is_soon_idle() {
            self.poll(None)?;
        }
        lock(&self.recorder).in_flight.clear();
        self.health()
    }

    /// Whether the queue is empty before it is time to sleep. A software adapter gets this thread's core instead;
    /// a trial's waits are bounded by themselves.
    fn is_soon_idle(&self) -> bool {
        if self.info.software || self.trial || cfg!(target_arch = "wasm32") {
            return false;
        }
        let begin = Instant::now();
        loop {
            match self.device.poll(wgpu::PollType::Poll) {
                Ok(wgpu::PollStatus::QueueEmpty) => return true,
                Ok(_) if begin.elapsed() < AWAKE => std::thread::yield_now(),
                // What is wrong with the device, a wait tells.
                _ => return false,
            }
        }
    }

    /// Waits for a submission, or for all of them.
    pub(super) fn poll(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let timeout = self.trial.then(|| self.options.overrides.patience.unwrap_or(PATIENCE));
        // A browser has no such clock, and does not wait here.
        let now = || (!cfg!(target_arch = "wasm32")).then(Instant::now);
        let begin = now();
        loop {
            let this_wait = now();
            let submission_index = submission_index.clone();
            let how = wgpu::PollType::Wait { submission_index, timeout };
            let Err(error) = self.device.poll(how) else { return Ok(()) };
            // OpenGL's waits end after two seconds, whatever the timeout; at once if the device is lost.
            let since = |begin: Option<Instant>| begin.map_or(Duration::ZERO, |b| b.elapsed());
            let goes_on = matches!(error, wgpu::PollError::Timeout)
                && since(this_wait) > Duration::from_secs(1)
                && timeout.is_none_or(|all| since(begin) < all);
            if !goes_on {
                let lost = Error::DeviceLost { reason: error.to_string() };
                self.lose(lost.clone());
                return Err(lost);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn what_changed_is_from_the_first_block_to_the_last() {
        let [old, new] =
            [[1, 2, 3, 4], [1, 7, 3, 8]].map(|blocks: [u8; 4]| blocks.map(|b| [b; 16]));
        let (old, new) = (old.as_flattened(), new.as_flattened());
        assert_eq!(changed(old, old), 0..0);
        assert_eq!(changed(old, &old[..32]), 0..0);
        assert_eq!(changed(old, new), 16..64);
        assert_eq!(changed(old, &new[..48]), 16..32);
        assert_eq!(changed(&old[..32], old), 32..64);
        assert_eq!(changed(&[], new), 0..64);
        assert_eq!(changed(old, &[]), 0..0);
    }
}
