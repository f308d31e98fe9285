//! Tensors: a shape, a type of number, and words on a device.

mod cpu;
mod host;
mod windows;

pub(crate) use cpu::Words;

use crate::device::cpu::CpuBuffer;
use crate::device::fill;
use crate::device::gpu::{Gpu, GpuBuffer};
use crate::device::{Backend, Device, threads};
use crate::{DType, Error, Result};
use std::fmt;
use std::sync::Arc;

/// The words of a tensor, shared by all tensors that view them.
#[derive(Clone)]
pub(crate) enum Storage {
    Gpu(Arc<GpuBuffer>),
    Cpu(Arc<CpuBuffer>),
}

/// A dense, row-major array of numbers on a device. Cheap to clone: clones share the numbers.
///
/// ```
/// use wgpu_lstm::{Device, Tensor};
/// let device = Device::auto()?;
/// let x = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3], &device)?;
/// assert_eq!(x.shape(), [2, 3]);
/// assert_eq!(x.to_vec()?, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    shape: Vec<usize>,
    dtype: DType,
    /// The first word in the storage.
    pub(crate) offset: usize,
    pub(crate) storage: Storage,
    /// A copy on the host of numbers that came from there and that nothing writes to.
    host: Option<Arc<[u32]>>,
}

impl Tensor {
    /// A tensor of 32-bit floats.
    ///
    /// # Errors
    /// [`Error::Count`] if there are more or fewer values than the shape holds,
    /// [`Error::TooLarge`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn from_slice(
        values: &[f32],
        shape: impl Into<Vec<usize>>,
        device: &Device,
    ) -> Result<Self> {
        Self::upload(
            "Tensor::from_slice",
            bytemuck::cast_slice(values),
            shape.into(),
            DType::F32,
            device,
        )
    }

    /// A tensor of unsigned integers, such as labels or lengths.
    ///
    /// # Errors
    /// As [`Tensor::from_slice`].
    pub fn from_u32(values: &[u32], shape: impl Into<Vec<usize>>, device: &Device) -> Result<Self> {
        let mut tensor =
            Self::upload("Tensor::from_u32", values, shape.into(), DType::U32, device)?;
        tensor.host = Some(values.into());
        Ok(tensor)
    }

    /// The numbers on the host, if they are known without a read-back: see [`Tensor::from_u32`].
    pub(crate) fn host(&self) -> Option<&[u32]> {
        self.host.as_deref()
    }

    fn upload(
        op: &'static str,
        words: &[u32],
        shape: Vec<usize>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let expected = count(&shape);
        if expected != words.len() {
            return Err(Error::Count { op, shape, expected, found: words.len() });
        }
        let storage = match &device.0 {
            Backend::Gpu(gpu) => Storage::Gpu(gpu.upload(bytemuck::cast_slice(words), "a tensor")?),
            Backend::Cpu(cpu) => {
                let buffer = cpu.alloc(words.len(), "a tensor")?;
                buffer.write(|data| threads::copy(bytemuck::cast_slice(words), data));
                Storage::Cpu(buffer)
            }
        };
        Ok(Self { shape, dtype, offset: 0, storage, host: None })
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn zeros(shape: impl Into<Vec<usize>>, device: &Device) -> Result<Self> {
        let tensor = Self::empty(shape, device)?;
        tensor.fill(0.0)?;
        Ok(tensor)
    }

    /// A tensor of undefined values, for an op's output.
    pub(crate) fn empty(shape: impl Into<Vec<usize>>, device: &Device) -> Result<Self> {
        let shape = shape.into();
        let len = count(&shape);
        let storage = match &device.0 {
            Backend::Gpu(gpu) => Storage::Gpu(gpu.alloc(len, "a tensor", false)?),
            Backend::Cpu(cpu) => Storage::Cpu(cpu.alloc(len, "a tensor")?),
        };
        Ok(Self { shape, dtype: DType::F32, offset: 0, storage, host: None })
    }

    /// A tensor of undefined 16-bit floats, two to a word, which may be larger than a binding. Only on a GPU
    /// that has such numbers, which a CPU buffer does not hold.
    pub(crate) fn empty_f16(shape: impl Into<Vec<usize>>, gpu: &Arc<Gpu>) -> Result<Self> {
        let shape = shape.into();
        let words = count(&shape).div_ceil(2);
        let storage = Storage::Gpu(gpu.alloc_large(words, "a tensor of 16-bit floats")?);
        Ok(Self { shape, dtype: DType::F16, offset: 0, storage, host: None })
    }

    /// Whether the numbers are 16-bit floats.
    pub(crate) fn is_half(&self) -> bool {
        self.dtype == DType::F16
    }

    /// A whole storage as a tensor with one axis.
    pub(crate) fn whole(storage: Storage, len: usize) -> Self {
        Self { shape: vec![len], dtype: DType::F32, offset: 0, storage, host: None }
    }

    /// A view of the words from `offset` on, under another shape. With 16-bit floats a word holds two.
    pub(crate) fn view(&self, offset: usize, shape: impl Into<Vec<usize>>) -> Self {
        Self {
            shape: shape.into(),
            dtype: self.dtype,
            offset: self.offset + offset,
            storage: self.storage.clone(),
            host: None,
        }
    }

    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of the numbers.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        count(&self.shape)
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The device that holds the numbers.
    pub fn device(&self) -> Device {
        Device(match &self.storage {
            Storage::Gpu(buffer) => Backend::Gpu(buffer.gpu.clone()),
            Storage::Cpu(buffer) => Backend::Cpu(buffer.cpu.clone()),
        })
    }

    /// The tensor under another shape with as many elements. Nothing is copied.
    ///
    /// # Errors
    /// [`Error::Count`].
    pub fn reshape(&self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        let expected = count(&shape);
        if expected != self.len() {
            return Err(Error::Count { op: "Tensor::reshape", shape, expected, found: self.len() });
        }
        Ok(Self { host: self.host.clone(), ..self.view(0, shape) })
    }

    /// The GPU that holds the words, if one does.
    pub(crate) fn gpu(&self) -> Option<&Arc<Gpu>> {
        match &self.storage {
            Storage::Gpu(buffer) => Some(&buffer.gpu),
            Storage::Cpu(_) => None,
        }
    }

    /// The bytes of the words that hold the numbers.
    pub(crate) fn bytes(&self) -> u64 {
        let words = match self.dtype {
            DType::F16 => self.len().div_ceil(2),
            DType::F32 | DType::U32 => self.len(),
        };
        (words as u64).saturating_mul(4)
    }

    /// Sets every value, after the work recorded so far.
    pub(crate) fn fill(&self, value: f32) -> Result<()> {
        match &self.storage {
            Storage::Gpu(buffer) => fill::fill(&buffer.gpu, &buffer.raw, self.range(), value),
            Storage::Cpu(_) => {
                self.cpu_mut(|words| threads::fill(words, value));
                Ok(())
            }
        }
    }

    /// Replaces the values in place, after the work recorded so far.
    pub(crate) fn overwrite(&self, values: &[f32]) -> Result<()> {
        match &self.storage {
            Storage::Gpu(buffer) => {
                buffer.gpu.submit()?;
                buffer.gpu.write(&buffer.raw, self.offset as u64 * 4, bytemuck::cast_slice(values));
            }
            Storage::Cpu(_) => self.cpu_mut(|words| threads::copy(values, words)),
        }
        Ok(())
    }

    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {:?} on {})", self.dtype, self.shape, self.device().name())
    }
}

/// The number of elements of a shape; `usize::MAX` if it overflows.
pub(crate) fn count(shape: &[usize]) -> usize {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX)
}

/// An empty vector with room for `len` numbers, or [`Error::OutOfMemory`].
pub(crate) fn room_for<T>(what: &'static str, len: usize) -> Result<Vec<T>> {
    let mut numbers = Vec::new();
    let bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
    numbers.try_reserve_exact(len).map_err(|_| Error::OutOfMemory { what, bytes })?;
    Ok(numbers)
}
