//! The words of a tensor on the CPU, for the twins.

use super::{Storage, Tensor};
use crate::Result;
use crate::device::cpu::{Aligned, PackedOrder};
use std::sync::Arc;

/// The words of a tensor on the CPU; empty for one on a GPU. Ops check before that all tensors share a
/// device.
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

    /// The words in another order, as `pack` writes them over zeros. `pack` is called once for each change
    /// of the storage; `order` identifies the order.
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

    /// Runs `f` on the threads of this tensor's CPU device, without subnormals: for work outside of
    /// [`Self::cpu_mut`].
    pub(crate) fn on_threads<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.storage {
            Storage::Cpu(buffer) => buffer.cpu.threads.enter(f),
            Storage::Gpu(_) => f(),
        }
    }

    /// The number of threads of the CPU device that holds the tensor.
    pub(crate) fn threads(&self) -> usize {
        match &self.storage {
            Storage::Cpu(buffer) => buffer.cpu.threads.count(),
            Storage::Gpu(_) => 1,
        }
    }

    /// Runs `f` on the words in place. `f` must not access this tensor's storage otherwise.
    pub(crate) fn cpu_mut<R>(&self, f: impl FnOnce(&mut [f32]) -> R) -> R {
        match &self.storage {
            Storage::Cpu(buffer) => buffer.write(|data| f(&mut data[self.range()])),
            Storage::Gpu(_) => f(&mut []),
        }
    }
}
