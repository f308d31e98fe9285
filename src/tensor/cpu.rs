//! The words of a tensor on the CPU, for the twins.

use super::{Storage, Tensor};
use crate::Result;
use crate::device::cpu::{Aligned, PackedOrder};
use std::sync::Arc;

/// The words of a CPU tensor, for a twin. `Gpu` tensors have none: the op's check that all
/// tensors share a device comes first.
pub(crate) struct Words {
    data: Arc<Aligned>,
    range: std::ops::Range<usize>,
}

impl std::ops::Deref for Words {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.data[self.range.clone()]
    }
}

impl Words {
    pub(crate) fn as_u32(&self) -> &[u32] {
        bytemuck::cast_slice(self)
    }
}

impl Tensor {
    /// A snapshot for reading.
    pub(crate) fn cpu(&self) -> Words {
        match &self.storage {
            Storage::Cpu(buffer) => Words { data: buffer.read(), range: self.range() },
            Storage::Gpu(_) => Words { data: Arc::default(), range: 0..0 },
        }
    }

    /// The words in another order, as `pack` writes them over zeros: called once for each change of
    /// the storage. `order` tells orders apart.
    pub(crate) fn packed(
        &self,
        order: &'static str,
        packed_len: usize,
        pack: impl FnOnce(&[f32], &mut [f32]),
    ) -> Result<Arc<Aligned>> {
        let range = self.range();
        match &self.storage {
            Storage::Cpu(buffer) => buffer.packed(
                PackedOrder { offset: range.start, len: range.len(), order, packed_len },
                pack,
            ),
            Storage::Gpu(_) => Ok(Arc::default()),
        }
    }

    /// Runs what computes with this tensor on the CPU, outside of [`Self::cpu_mut`]: on the device's
    /// threads, and without subnormals.
    pub(crate) fn on_threads<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.storage {
            Storage::Cpu(buffer) => buffer.cpu.threads.enter(f),
            Storage::Gpu(_) => f(),
        }
    }

    /// The threads of the CPU device that holds it.
    pub(crate) fn threads(&self) -> usize {
        match &self.storage {
            Storage::Cpu(buffer) => buffer.cpu.threads.count(),
            Storage::Gpu(_) => 1,
        }
    }

    /// Changes whenever words of the storage do. Of the CPU's storages.
    pub(crate) fn version(&self) -> u64 {
        match &self.storage {
            Storage::Cpu(buffer) => buffer.version(),
            Storage::Gpu(_) => 0,
        }
    }

    /// In place. `f` must not read this tensor's storage by other ways.
    pub(crate) fn cpu_mut<R>(&self, f: impl FnOnce(&mut [f32]) -> R) -> R {
        match &self.storage {
            Storage::Cpu(buffer) => buffer.write(|data| f(&mut data[self.range()])),
            Storage::Gpu(_) => f(&mut []),
        }
    }
}
