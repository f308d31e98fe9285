//! The CPU device: pooled buffers of 32-bit words, shared by snapshot.

use super::pool::{self, Pool};
use crate::{Error, Result};
use std::sync::{Arc, Mutex, PoisonError};

/// The CPU as a device.
pub(crate) struct Cpu {
    pool: Mutex<Pool<Vec<f32>>>,
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
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let mut data = match pool.take(class, u64::MAX) {
            Some(data) => data,
            None => {
                let mut data = Vec::new();
                data.try_reserve_exact((class / 4) as usize)
                    .map_err(|_| Error::OutOfMemory { what, bytes: class })?;
                pool.made(class);
                data
            }
        };
        drop(pool);
        data.resize(len, 0.0);
        if self.poison {
            data.fill(f32::NAN);
        }
        let data = Mutex::new(Arc::new(data));
        Ok(Arc::new(CpuBuffer { cpu: self.clone(), class, data }))
    }

    pub(crate) fn memory(&self) -> pool::Memory {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).memory()
    }

    pub(crate) fn buffers_created(&self) -> u64 {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).created
    }

    pub(crate) fn trim(&self) {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).trim();
    }
}

/// Words of memory. Readers hold a snapshot; a writer that meets one works on a copy, so
/// nobody waits for anybody. Whoever runs threads while it writes must be the only one to know the
/// buffer: a thread that waits may take up other work, and with it the same lock.
pub(crate) struct CpuBuffer {
    pub(crate) cpu: Arc<Cpu>,
    class: u64,
    data: Mutex<Arc<Vec<f32>>>,
}

impl CpuBuffer {
    pub(crate) fn read(&self) -> Arc<Vec<f32>> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `f` on the words in place. `f` must not read this buffer by other ways.
    pub(crate) fn write<R>(&self, f: impl FnOnce(&mut [f32]) -> R) -> R {
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        f(Arc::make_mut(&mut *data).as_mut_slice())
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        let data = std::mem::take(&mut *self.data.lock().unwrap_or_else(PoisonError::into_inner));
        let data = Arc::try_unwrap(data).unwrap_or_default();
        self.cpu.pool.lock().unwrap_or_else(PoisonError::into_inner).give(self.class, data, 0);
    }
}
