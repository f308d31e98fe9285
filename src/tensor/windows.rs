//! Tensors that may be larger than a binding, and the windows by which kernels bind them.

use super::{Storage, Tensor, count};
use crate::device::{Backend, Device};
use crate::{DType, Result};
use std::borrow::Cow;

impl Tensor {
    /// As [`Tensor::from_slice`], but may be larger than a binding: see [`Tensor::windows`].
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

    /// As [`Tensor::zeros`], but may be larger than a binding: see [`Tensor::windows`].
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

    /// Ranges of `rows` rows of `size` words that each fit a binding, and begin where a binding may: a single
    /// one unless the tensor is larger than a binding.
    pub(crate) fn windows(
        &self,
        rows: usize,
        size: usize,
    ) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let words = self.gpu().map_or(usize::MAX, |gpu| gpu.max_binding() as usize / 4);
        // 128 elements are 256 bytes even of 16-bit floats.
        let each = match rows.saturating_mul(size) <= words {
            true => rows.max(1),
            false => (words / size.max(1) / 128 * 128).max(128),
        };
        (0..rows).step_by(each).map(move |first| first..rows.min(first.saturating_add(each)))
    }

    /// The part of the tensor in a window, where each row is one element.
    pub(crate) fn window(&self, window: &std::ops::Range<usize>) -> Cow<'_, Self> {
        match window.len() == self.len() {
            true => Cow::Borrowed(self),
            false => Cow::Owned(self.view(window.start, [window.len()])),
        }
    }
}
