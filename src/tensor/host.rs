//! The numbers of a tensor on the host, and on another device by way of it.

use super::{Storage, Tensor};
use crate::{DType, Device, Error, Result};

impl Tensor {
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

    /// As [`Tensor::to_vec`], as a future: for browsers, and for programs that do other work meanwhile.
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

    fn floats(&self, words: Vec<u32>) -> Vec<f32> {
        if self.dtype != DType::F16 {
            return words.into_iter().map(f32::from_bits).collect();
        }
        let halves = words.into_iter().flat_map(|word| [word as u16, (word >> 16) as u16]);
        halves.take(self.len()).map(|bits| half::f16::from_bits(bits).to_f32()).collect()
    }

    /// The words on the host, whatever they stand for. Waits for the device.
    pub(crate) fn words(&self) -> Result<Vec<u32>> {
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

    fn expect_floats(&self, op: &'static str) -> Result<()> {
        if self.dtype == DType::F16 { Ok(()) } else { self.expect(DType::F32, op) }
    }

    fn expect(&self, expected: DType, op: &'static str) -> Result<()> {
        if self.dtype == expected {
            return Ok(());
        }
        Err(Error::DType { op, arg: "self", expected, found: self.dtype })
    }
}
