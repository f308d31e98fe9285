//! A shape, a type of number, and words on a device.

use crate::device::cpu::{Aligned, CpuBuffer, PackedOrder};
use crate::device::fill;
use crate::device::gpu::{Gpu, GpuBuffer};
use crate::device::{Backend, Device};
use crate::{DType, Error, Result};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The words of a tensor: shared by all tensors that view them.
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
    /// In words from the storage's begin.
    pub(crate) offset: usize,
    pub(crate) storage: Storage,
    /// The numbers on the host, of those that came from there and that nothing writes to.
    host: Option<Arc<[u32]>>,
}

impl Tensor {
    /// A tensor of these values.
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

    /// A tensor of labels or lengths.
    ///
    /// # Errors
    /// As [`Tensor::from_slice`].
    pub fn from_u32(values: &[u32], shape: impl Into<Vec<usize>>, device: &Device) -> Result<Self> {
        let mut tensor =
            Self::upload("Tensor::from_u32", values, shape.into(), DType::U32, device)?;
        tensor.host = Some(values.into());
        Ok(tensor)
    }

    /// The numbers on the host, if it is known without a look at the device: see
    /// [`Tensor::from_u32`].
    pub(crate) fn host(&self) -> Option<&[u32]> {
        self.host.as_deref()
    }

    /// As [`Tensor::from_slice`], of more values than an op may be able to bind at a time: see
    /// [`Tensor::windows`].
    pub(crate) fn large_from_slice(
        values: &[f32],
        shape: impl Into<Vec<usize>>,
        what: &'static str,
        device: &Device,
    ) -> Result<Self> {
        let Backend::Gpu(gpu) = &device.0 else { return Self::from_slice(values, shape, device) };
        let storage = Storage::Gpu(gpu.upload_large(bytemuck::cast_slice(values), what)?);
        Ok(Self { shape: shape.into(), dtype: DType::F32, offset: 0, storage, host: None })
    }

    /// As [`Tensor::zeros`], of more values than an op may be able to bind at a time.
    pub(crate) fn large_zeros(
        shape: impl Into<Vec<usize>>,
        what: &'static str,
        device: &Device,
    ) -> Result<Self> {
        let shape = shape.into();
        let Backend::Gpu(gpu) = &device.0 else { return Self::zeros(shape, device) };
        let storage = Storage::Gpu(gpu.alloc_large(count(&shape), what)?);
        let tensor = Self { shape, dtype: DType::F32, offset: 0, storage, host: None };
        tensor.fill(0.0)?;
        Ok(tensor)
    }

    /// The parts of `rows` rows of `size` words that a GPU can bind at a time, and that begin where a
    /// binding may: one, unless the tensor was made larger than that.
    pub(crate) fn windows(
        &self,
        rows: usize,
        size: usize,
    ) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let words = self.gpu().map_or(usize::MAX, |gpu| gpu.max_binding() as usize / 4);
        // 128 words are 256 bytes also of 16-bit floats.
        let each = match rows.saturating_mul(size) <= words {
            true => rows.max(1),
            false => (words / size.max(1) / 128 * 128).max(128),
        };
        (0..rows).step_by(each).map(move |first| first..rows.min(first.saturating_add(each)))
    }

    /// What lies in such a window, each row one element: all of it, or a view.
    pub(crate) fn window(&self, window: &std::ops::Range<usize>) -> Cow<'_, Self> {
        match window.len() == self.len() {
            true => Cow::Borrowed(self),
            false => Cow::Owned(self.view(window.start, [window.len()])),
        }
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
                buffer.write(|data| data.copy_from_slice(bytemuck::cast_slice(words)));
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

    /// Values that are not defined: an op's output, before the op.
    pub(crate) fn empty(shape: impl Into<Vec<usize>>, device: &Device) -> Result<Self> {
        let shape = shape.into();
        let len = count(&shape);
        let storage = match &device.0 {
            Backend::Gpu(gpu) => Storage::Gpu(gpu.alloc(len, "a tensor", false)?),
            Backend::Cpu(cpu) => Storage::Cpu(cpu.alloc(len, "a tensor")?),
        };
        Ok(Self { shape, dtype: DType::F32, offset: 0, storage, host: None })
    }

    /// The same for 16-bit floats, which lie two to a word. On a GPU that has them; a CPU buffer
    /// holds no such numbers. It may be larger than a binding.
    pub(crate) fn empty_f16(shape: impl Into<Vec<usize>>, gpu: &Arc<Gpu>) -> Result<Self> {
        let shape = shape.into();
        let words = count(&shape).div_ceil(2);
        let storage = Storage::Gpu(gpu.alloc_large(words, "a tensor of 16-bit floats")?);
        Ok(Self { shape, dtype: DType::F16, offset: 0, storage, host: None })
    }

    /// Whether these are 16-bit floats.
    pub(crate) fn is_half(&self) -> bool {
        self.dtype == DType::F16
    }

    /// All of a storage as one axis.
    pub(crate) fn whole(storage: Storage, len: usize) -> Self {
        Self { shape: vec![len], dtype: DType::F32, offset: 0, storage, host: None }
    }

    /// The same words under another shape of as many elements, from `offset` words on (each of
    /// them two 16-bit floats).
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

    /// The same numbers under another shape of as many elements. Nothing is copied.
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

    /// The values on the host, 16-bit floats widened. Waits for the device; native only.
    ///
    /// # Errors
    /// [`Error::DType`] if these are not floats, [`Error::DeviceLost`], and any error that wgpu
    /// reported meanwhile.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        self.expect_floats("Tensor::to_vec")?;
        Ok(self.floats(self.words()?))
    }

    /// The labels or lengths on the host. Waits for the device; native only.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    pub fn to_vec_u32(&self) -> Result<Vec<u32>> {
        self.expect(DType::U32, "Tensor::to_vec_u32")?;
        self.words()
    }

    /// As [`Tensor::to_vec`], as a future: for browsers, and for programs that have other things
    /// to do.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    pub async fn to_vec_async(&self) -> Result<Vec<f32>> {
        self.expect_floats("Tensor::to_vec_async")?;
        let words = match &self.storage {
            Storage::Gpu(buffer) if !self.is_empty() => {
                let (offset, bytes) = (self.offset as u64 * 4, self.bytes());
                buffer.gpu.read_async(buffer, offset, bytes).await?
            }
            _ => self.words()?,
        };
        Ok(self.floats(words))
    }

    /// The bytes of the words that hold the numbers.
    pub(crate) fn bytes(&self) -> u64 {
        let words = match self.dtype {
            DType::F16 => self.len().div_ceil(2),
            DType::F32 | DType::U32 => self.len(),
        };
        (words as u64).saturating_mul(4)
    }

    fn floats(&self, words: Vec<u32>) -> Vec<f32> {
        if self.dtype != DType::F16 {
            return words.into_iter().map(f32::from_bits).collect();
        }
        let halves = words.into_iter().flat_map(|word| [word as u16, (word >> 16) as u16]);
        halves.take(self.len()).map(|bits| half::f16::from_bits(bits).to_f32()).collect()
    }

    fn words(&self) -> Result<Vec<u32>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        match &self.storage {
            Storage::Gpu(buffer) => buffer.gpu.read(buffer, self.offset as u64 * 4, self.bytes()),
            Storage::Cpu(buffer) => Ok(bytemuck::cast_slice(&buffer.read()[self.range()]).to_vec()),
        }
    }

    /// A copy on another device, by way of the host; 16-bit floats become 32-bit ones.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`] and [`Tensor::from_slice`].
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if self.device().same(device) {
            return Ok(self.clone());
        }
        if self.dtype == DType::F16 {
            return Self::from_slice(&self.to_vec()?, self.shape.clone(), device);
        }
        Self::upload("Tensor::to_device", &self.words()?, self.shape.clone(), self.dtype, device)
    }

    /// Sets every value, in order with what is recorded.
    pub(crate) fn fill(&self, value: f32) -> Result<()> {
        match &self.storage {
            Storage::Gpu(buffer) => fill::fill(&buffer.gpu, &buffer.raw, self.range(), value),
            Storage::Cpu(_) => {
                self.cpu_mut(|words| words.fill(value));
                Ok(())
            }
        }
    }

    /// Replaces the values in place, after all that is recorded.
    pub(crate) fn overwrite(&self, values: &[f32]) -> Result<()> {
        match &self.storage {
            Storage::Gpu(buffer) => {
                buffer.gpu.submit()?;
                buffer.gpu.write(&buffer.raw, self.offset as u64 * 4, bytemuck::cast_slice(values));
            }
            Storage::Cpu(_) => self.cpu_mut(|words| words.copy_from_slice(values)),
        }
        Ok(())
    }

    fn expect_floats(&self, op: &'static str) -> Result<()> {
        if self.dtype == DType::F16 { Ok(()) } else { self.expect(DType::F32, op) }
    }

    fn expect(&self, expected: DType, op: &'static str) -> Result<()> {
        if self.dtype == expected {
            return Ok(());
        }
        Err(Error::DType { op, arg: "self", expected, found: self.dtype })
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

/// The elements of a shape; an overflow counts as more than anything holds.
pub(crate) fn count(shape: &[usize]) -> usize {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX)
}

/// Room for so many numbers of the host's, or the error that says that there is none.
pub(crate) fn room_for<T>(what: &'static str, len: usize) -> Result<Vec<T>> {
    let mut numbers = Vec::new();
    let bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
    numbers.try_reserve_exact(len).map_err(|_| Error::OutOfMemory { what, bytes })?;
    Ok(numbers)
}

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
    /// The GPU that holds the words, if one does.
    pub(crate) fn gpu(&self) -> Option<&Arc<Gpu>> {
        match &self.storage {
            Storage::Gpu(buffer) => Some(&buffer.gpu),
            Storage::Cpu(_) => None,
        }
    }

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
