//! The CPU device: pooled buffers of 32-bit words, which readers share by snapshot.

use super::lock;
use super::pool::{self, Pool};
use super::threads::Threads;
use crate::{Error, Result};
use std::sync::{Arc, Mutex};

/// The words of a cache line and of the widest SIMD register: aligned vectors never cross two lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([f32; 16]);

impl Line {
    pub(crate) const ZERO: Self = Self([0.0; 16]);
}

// SAFETY: 16 floats side by side, 64 bytes with an alignment of 64: no padding, and every
// pattern of bits is a value.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Line {}

/// Words of memory aligned to a cache line.
#[derive(Clone, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    fn try_zeros(len: usize) -> Option<Self> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(len.div_ceil(16)).ok()?;
        lines.resize(len.div_ceil(16), Line::ZERO);
        Some(Self { lines, len })
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// The CPU device.
pub(crate) struct Cpu {
    pool: Mutex<Pool<Aligned>>,
    pub(crate) threads: Arc<Threads>,
    /// Whether new buffers are filled with NaN, so that tests detect what a kernel leaves unwritten.
    poison: bool,
}

impl Cpu {
    pub(crate) fn new(poison: bool, threads: Option<usize>) -> Arc<Self> {
        Arc::new(Self { pool: Mutex::new(Pool::new()), threads: Threads::new(threads), poison })
    }

    /// A buffer of `len` words with undefined content.
    pub(crate) fn alloc(
        self: &Arc<Self>,
        len: usize,
        what: &'static str,
    ) -> Result<Arc<CpuBuffer>> {
        let bytes = (len as u64).saturating_mul(4);
        // No address space is larger, and sizes would overflow.
        let limit = 1 << 46;
        if bytes > limit {
            return Err(Error::TooLarge { what, bytes, limit });
        }
        let class = pool::class(bytes);
        let mut pool = lock(&self.pool);
        // A buffer that went back while it was read has left its words to the reader.
        let whole = |data: &Aligned| data.lines.len() * 16 >= len;
        let pooled = pool.take(class, u64::MAX);
        let is_new = pooled.is_none();
        let (data, class) = pooled.unwrap_or((Aligned::default(), class));
        let mut data = Some(data).filter(whole);
        if data.is_none() {
            data = Aligned::try_zeros((class / 4) as usize);
        }
        let Some(mut data) = data else {
            if !is_new {
                pool.give(class, Aligned::default(), 0);
            }
            return Err(Error::OutOfMemory { what, bytes: class });
        };
        if is_new {
            pool.made(class);
        }
        drop(pool);
        data.len = len;
        if self.poison {
            data.fill(f32::NAN);
        }
        let data = Mutex::new(Versioned { words: Arc::new(data), version: 0 });
        Ok(Arc::new(CpuBuffer { cpu: self.clone(), class, data, packed: Mutex::default() }))
    }

    pub(crate) fn memory(&self) -> pool::Memory {
        lock(&self.pool).memory()
    }

    pub(crate) fn buffers_created(&self) -> u64 {
        lock(&self.pool).created
    }

    pub(crate) fn trim(&self) {
        lock(&self.pool).trim();
    }
}

/// A buffer of words. Readers hold a snapshot, and a writer copies the words if one exists, so neither
/// waits for the other. A writer that runs threads must own the buffer alone: a waiting thread may take up
/// other work, which may need the same lock.
pub(crate) struct CpuBuffer {
    pub(crate) cpu: Arc<Cpu>,
    class: u64,
    data: Mutex<Versioned>,
    packed: Mutex<Vec<Packed>>,
}

/// The words, and the number of writes to them.
struct Versioned {
    words: Arc<Aligned>,
    version: u64,
}

/// A copy of a buffer's words in another order, made at a version.
struct Packed {
    order: PackedOrder,
    version: u64,
    words: Arc<CpuBuffer>,
}

/// The words of a packed copy, and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedOrder {
    pub(crate) offset: usize,
    pub(crate) len: usize,
    /// The name of the order.
    pub(crate) order: &'static str,
    pub(crate) packed_len: usize,
}

impl CpuBuffer {
    /// A copy of some words in another order, as `pack` writes them over zeros. `pack` is called once after
    /// each change of the buffer: weights are packed once for each update.
    pub(crate) fn packed(
        &self,
        order: PackedOrder,
        pack: impl FnOnce(&[f32], &mut [f32]),
    ) -> Result<Arc<Aligned>> {
        let (data, version) = {
            let data = lock(&self.data);
            (data.words.clone(), data.version)
        };
        let mut old = None;
        {
            let mut all = lock(&self.packed);
            if let Some(at) = all.iter().position(|p| p.order == order) {
                if all[at].version == version {
                    return Ok(all[at].words.read());
                }
                old = Some(all.swap_remove(at).words);
            }
        }
        // Not under the lock: packing may run threads, and a waiting thread may take up other work that
        // packs too. Packing the same words twice does no harm.
        let words = match old {
            Some(words) => words,
            None => {
                let words = self.cpu.alloc(order.packed_len, "packed weights")?;
                words.write(|words| words.fill(0.0));
                words
            }
        };
        words.write(|words| pack(&data[order.offset..order.offset + order.len], words));
        let packed = words.read();
        let mut all = lock(&self.packed);
        match all.iter_mut().find(|p| p.order == order) {
            Some(other) if other.version > version => {}
            Some(other) => *other = Packed { order, version, words },
            None => all.push(Packed { order, version, words }),
        }
        Ok(packed)
    }

    pub(crate) fn read(&self) -> Arc<Aligned> {
        lock(&self.data).words.clone()
    }

    /// Runs `f` on the words in place. `f` must not access this buffer otherwise.
    pub(crate) fn write<R>(&self, f: impl FnOnce(&mut [f32]) -> R) -> R {
        let mut data = lock(&self.data);
        data.version += 1;
        let words: &mut Aligned = Arc::make_mut(&mut data.words);
        self.cpu.threads.enter(|| f(words))
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        let mut data = lock(&self.data);
        let data = std::mem::take(&mut data.words);
        let data = Arc::try_unwrap(data).unwrap_or_default();
        lock(&self.cpu.pool).give(self.class, data, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(packed_len: usize) -> PackedOrder {
        PackedOrder { offset: 1, len: 2, order: "test", packed_len }
    }

    #[test]
    fn packed_words_are_counted_kept_and_given_back() {
        let cpu = Cpu::new(true, None);
        let buffer = cpu.alloc(3, "a test").unwrap();
        buffer.write(|words| words.copy_from_slice(&[1.0, 2.0, 3.0]));
        let pack = || {
            buffer.packed(order(1000), |from, to| {
                assert!(to[2..].iter().all(|&word| word == 0.0));
                to[..2].copy_from_slice(from);
            })
        };
        assert_eq!(pack().unwrap()[..3], [2.0, 3.0, 0.0]);
        assert_eq!(cpu.memory().in_use, 256 + 4096);
        let same = buffer.packed(order(1000), |_, _| panic!("nothing was written since"));
        buffer.write(|words| words[1] = 5.0);
        // A reader of the old words keeps them.
        assert_eq!(pack().unwrap()[..3], [5.0, 3.0, 0.0]);
        assert_eq!(same.unwrap()[..3], [2.0, 3.0, 0.0]);
        assert_eq!(cpu.memory().in_use, 256 + 4096);
        drop(buffer);
        assert_eq!(cpu.memory(), pool::Memory { in_use: 0, pooled: 4352, peak: 4352 });
    }

    #[test]
    fn packed_words_that_no_memory_holds_are_an_error() {
        let cpu = Cpu::new(false, None);
        let buffer = cpu.alloc(3, "a test").unwrap();
        let packed = buffer.packed(order(1 << 50), |_, _| panic!("there is nothing to write to"));
        assert!(matches!(packed, Err(Error::TooLarge { .. })));
        assert_eq!(cpu.memory().in_use, 256);
    }
}
