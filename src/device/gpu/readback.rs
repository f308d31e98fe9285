//! From the device back to the host, which waits for it here.

use super::recorder::Copy;
use super::{Gpu, GpuBuffer};
use crate::device::{coresident, lock};
use crate::{Error, Result};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The most bytes of a buffer that is kept for the next read-back: a loss, a batch's predictions.
const KEPT: u64 = 4 << 20;

struct Pending {
    staging: wgpu::Buffer,
    /// What of it is mapped.
    bytes: u64,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
    /// Words of the buffer; the timeout flag may follow them.
    words: usize,
}

impl Gpu {
    fn start(&self, buffer: &GpuBuffer, offset: u64, bytes: u64) -> Result<Pending> {
        let flag_bytes = if self.coresident.watched() { 4 * coresident::WORDS } else { 0 };
        let all_bytes = (bytes + flag_bytes).max(4);
        let kept = lock(&self.staging).take_if(|kept| kept.size() >= all_bytes);
        let staging = kept.unwrap_or_else(|| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("read-back"),
                size: all_bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        let copy =
            |from, offset, to_offset, bytes| Copy { from, offset, to: &staging, to_offset, bytes };
        let copies = [
            copy(&buffer.raw.buffer, offset, 0, bytes),
            copy(&self.coresident.timeout_flag.buffer, 0, bytes, flag_bytes),
        ];
        self.submit_with(&copies[..if flag_bytes > 0 { 2 } else { 1 }])?;
        self.readbacks.fetch_add(1, Ordering::Relaxed);
        let (sender, mapped) = oneshot_channel();
        staging.map_async(wgpu::MapMode::Read, ..all_bytes, move |result| {
            // The receiver is gone only if the caller dropped its future; the result is then unused.
            let _ = sender.send(result);
        });
        Ok(Pending { staging, bytes: all_bytes, mapped, words: bytes as usize / 4 })
    }

    async fn finish(&self, pending: Pending) -> Result<Vec<u32>> {
        match pending.mapped.receive().await {
            Some(Ok(())) => {}
            _ => {
                self.health()?;
                return Err(Error::DeviceLost { reason: "a buffer could not be mapped".into() });
            }
        }
        let view = pending
            .staging
            .get_mapped_range(..pending.bytes)
            .map_err(|e| Error::Gpu { message: e.to_string() })?;
        let mut words: Vec<_> =
            view.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        drop(view);
        pending.staging.unmap();
        if pending.staging.size() <= KEPT {
            lock(&self.staging).replace(pending.staging);
        }
        self.health()?;
        self.coresident.note(words.get(pending.words..).unwrap_or_default())?;
        words.truncate(pending.words);
        Ok(words)
    }

    /// Reads words, and blocks meanwhile: not in a browser.
    pub(crate) fn read(&self, buffer: &GpuBuffer, offset: u64, bytes: u64) -> Result<Vec<u32>> {
        let pending = self.start(buffer, offset, bytes)?;
        self.wait()?;
        let words = pollster::block_on(self.finish(pending))?;
        self.save_pipelines();
        self.end_trials();
        Ok(words)
    }

    /// Reads words as a future. On native a separate thread drives the device meanwhile.
    pub(crate) async fn read_async(
        self: &Arc<Self>,
        buffer: &GpuBuffer,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u32>> {
        let pending = self.start(buffer, offset, bytes)?;
        #[cfg(not(target_arch = "wasm32"))]
        {
            let gpu = self.clone();
            // `finish` reports a failure: its channel closes, or its health check fails.
            std::thread::spawn(move || gpu.wait());
        }
        self.finish(pending).await
    }
}
