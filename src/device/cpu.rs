//! The CPU device: pooled buffers of 32-bit words, shared by snapshot.

use super::gpu::lock;
use super::pool::{self, Pool};
use crate::{Error, Result};
use std::sync::{Arc, Mutex};

/// As many words as a cache line and the widest SIMD register have: vectors that begin at a
/// multiple of it never lie across two lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

// SAFETY: 16 floats side by side, 64 bytes with an alignment of 64: no padding, and every
// pattern of bits is a value.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Line {}

/// Words of memory that begin at a line.
#[derive(Clone, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// Zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        Self { lines: vec![Line([0.0; 16]); len.div_ceil(16)], len }
    }

    fn try_zeros(len: usize) -> Option<Self> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(len.div_ceil(16)).ok()?;
        lines.resize(len.div_ceil(16), Line([0.0; 16]));
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

/// The CPU as a device.
pub(crate) struct Cpu {
    pool: Mutex<Pool<Aligned>>,
    /// Fills new buffers with NaN, so that tests see what a kernel leaves unwritten.
    poison: bool,
}

impl Cpu {
    pub(crate) fn new(poison: bool) -> Arc<Self> {
        Arc::new(Self { pool: Mutex::new(Pool::new()), poison })
    }

    pub(crate) fn threads() -> usize {
        rayon::current_num_threads()
    }

    /// A buffer of `len` words whose content is not defined.
    pub(crate) fn alloc(
        self: &Arc<Self>,
        len: usize,
        what: &'static str,
    ) -> Result<Arc<CpuBuffer>> {
        let bytes = (len as u64).saturating_mul(4);
        // Past this no address space reaches, and sizes would overflow.
        let limit = 1 << 46;
        if bytes > limit {
            return Err(Error::TooLarge { what, bytes, limit });
        }
        let class = pool::class(bytes);
        let mut pool = lock(&self.pool);
        // A buffer that somebody still read when it went back has left its words with the reader.
        let whole = |data: &Aligned| data.lines.len() * 16 >= len;
        let pooled = pool.take(class, u64::MAX);
        let is_new = pooled.is_none();
        let mut data = match pooled.filter(whole) {
            Some(data) => data,
            None => Aligned::try_zeros((class / 4) as usize)
                .ok_or(Error::OutOfMemory { what, bytes: class })?,
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

/// Words of memory. Readers hold a snapshot; a writer that meets one works on a copy, so
/// nobody waits for anybody. Whoever runs threads while it writes must be the only one to know the
/// buffer: a thread that waits may take up other work, and with it the same lock.
pub(crate) struct CpuBuffer {
    pub(crate) cpu: Arc<Cpu>,
    class: u64,
    data: Mutex<Versioned>,
    packed: Mutex<Vec<Packed>>,
}

/// Words, and how often they were written to.
struct Versioned {
    words: Arc<Aligned>,
    version: u64,
}

/// Words of a buffer in another order, as they were at a version.
struct Packed {
    order: PackedOrder,
    version: Option<u64>,
    words: Arc<Aligned>,
}

/// Which words a packed copy has, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedOrder {
    pub(crate) offset: usize,
    pub(crate) len: usize,
    /// Tells the orders of the same words apart.
    pub(crate) order: &'static str,
    pub(crate) packed_len: usize,
}

impl CpuBuffer {
    /// Some words in another order, as `pack` writes them over zeros. It is called once after each
    /// change of the buffer: weights are packed once for each update of them.
    pub(crate) fn packed(
        &self,
        order: PackedOrder,
        pack: impl FnOnce(&[f32], &mut [f32]),
    ) -> Arc<Aligned> {
        let (data, version) = {
            let data = lock(&self.data);
            (data.words.clone(), data.version)
        };
        let mut spare = None;
        if let Some(packed) = lock(&self.packed).iter_mut().find(|p| p.order == order) {
            if packed.version == Some(version) {
                return packed.words.clone();
            }
            packed.version = None;
            spare = Arc::into_inner(std::mem::take(&mut packed.words));
        }
        // Not under the lock: packing may run threads, and one that waits may take up other work,
        // which packs as well. Two that pack the same at a time do no harm.
        let mut words = spare
            .filter(|words| words.len == order.packed_len)
            .unwrap_or_else(|| Aligned::zeros(order.packed_len));
        pack(&data[order.offset..order.offset + order.len], &mut words);
        let words = Arc::new(words);
        let packed = Packed { order, version: Some(version), words: words.clone() };
        let mut all = lock(&self.packed);
        match all.iter_mut().find(|p| p.order == order) {
            Some(old) if old.version > packed.version => {}
            Some(old) => *old = packed,
            None => all.push(packed),
        }
        words
    }

    pub(crate) fn read(&self) -> Arc<Aligned> {
        lock(&self.data).words.clone()
    }

    /// Runs `f` on the words in place. `f` must not read this buffer by other ways.
    pub(crate) fn write<R>(&self, f: impl FnOnce(&mut [f32]) -> R) -> R {
        let mut data = lock(&self.data);
        data.version += 1;
        let words: &mut Aligned = Arc::make_mut(&mut data.words);
        f(words)
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
