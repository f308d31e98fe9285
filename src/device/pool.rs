//! A pool of buffers by size class: a training loop allocates nothing after its first step.

use std::collections::BTreeMap;

/// The memory of a device, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Bytes held by tensors, and on the CPU by copies of weights packed for products.
    pub in_use: u64,
    /// Bytes held by the pool, ready for the next tensor.
    pub pooled: u64,
    /// The most bytes held at any time, in use and pooled together.
    pub peak: u64,
}

/// The size class of `bytes`: eight classes for each power of two, so at most a ninth is waste.
pub(super) fn class(bytes: u64) -> u64 {
    let bytes = bytes.max(256);
    let step = (bytes.next_power_of_two() / 16).max(256);
    bytes.div_ceil(step) * step
}

/// A stack of free buffers for each size class.
///
/// `generation` counts submissions: a buffer released while commands that use it are still
/// being recorded may be taken for another kernel's output (the queue runs in order), but not
/// for an upload, which overtakes what is recorded.
pub(super) struct Pool<B> {
    free: BTreeMap<u64, Vec<(B, u64)>>,
    memory: Memory,
    /// The number of buffers that had to be created.
    pub created: u64,
}

impl<B> Pool<B> {
    pub(super) fn new() -> Self {
        Self { free: BTreeMap::new(), memory: Memory::default(), created: 0 }
    }

    /// Takes a free buffer of this class, or of one not much larger, released before `before`; returns its
    /// class, too. A slightly shorter batch then reuses the buffers of a longer one.
    pub(super) fn take(&mut self, class: u64, before: u64) -> Option<(B, u64)> {
        let near = self.free.range_mut(class..=class / 4 * 5);
        let (class, buffer) = near.into_iter().find_map(|(&class, stack)| {
            let at = stack.iter().rposition(|(_, released)| *released < before)?;
            Some((class, stack.remove(at).0))
        })?;
        self.memory.pooled -= class;
        self.memory.in_use += class;
        Some((buffer, class))
    }

    /// Counts a buffer that was created outside.
    pub(super) fn made(&mut self, class: u64) {
        self.created += 1;
        self.memory.in_use += class;
        self.memory.peak = self.memory.peak.max(self.memory.in_use + self.memory.pooled);
    }

    pub(super) fn give(&mut self, class: u64, buffer: B, generation: u64) {
        self.memory.in_use -= class;
        self.memory.pooled += class;
        self.free.entry(class).or_default().push((buffer, generation));
    }

    /// Drops all free buffers.
    pub(super) fn trim(&mut self) {
        self.free.clear();
        self.memory.pooled = 0;
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_bytes_and_wastes_little() {
        for bytes in [0, 1, 255, 256, 257, 1000, 4096, 4097, 1 << 20, (1 << 20) + 1, 123_456_789] {
            let class = class(bytes);
            assert!(class >= bytes && class.is_multiple_of(256), "{bytes} -> {class}");
            assert!(class <= bytes.max(256) * 9 / 8 + 256, "{bytes} -> {class}");
        }
    }

    #[test]
    fn an_upload_never_takes_what_the_open_submission_released() {
        let mut pool = Pool::new();
        pool.made(256);
        pool.give(256, "a", 3);
        assert_eq!(pool.take(256, 3), None);
        assert_eq!(pool.take(256, 4), Some(("a", 256)));
        assert_eq!(pool.memory(), Memory { in_use: 256, pooled: 0, peak: 256 });
    }

    #[test]
    fn what_is_a_little_larger_serves_too_but_not_before_what_fits() {
        let mut pool = Pool::new();
        for (class, buffer) in [(1280, "large"), (1024, "fits"), (1536, "too large")] {
            pool.made(class);
            pool.give(class, buffer, 0);
        }
        assert_eq!(pool.take(1024, 1), Some(("fits", 1024)));
        assert_eq!(pool.take(1024, 1), Some(("large", 1280)));
        assert_eq!(pool.take(1024, 1), None);
        assert_eq!(pool.memory(), Memory { in_use: 2304, pooled: 1536, peak: 3840 });
    }
}
