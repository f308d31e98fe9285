//! Launches of kernels that have their entry from `shaders/common/elementwise.wgsl` or `rowwise.wgsl`.

use crate::device::gpu::Gpu;
use crate::device::kernel::{Constant, Kernel, folded};
use crate::device::profile::Cost;
use crate::ops::common::Launch;
use crate::{Result, Tensor};
use std::sync::Arc;

/// A launch that takes each of `n` elements or rows by itself. Its uniform has `n`, then `words`.
#[must_use]
pub(crate) struct Each<'a> {
    kernel: &'static Kernel,
    grid: [u32; 3],
    n: usize,
    constants: &'a [Constant],
    words: &'a [u32],
}

/// An invocation takes an element.
pub(crate) fn elementwise<'a>(kernel: &'static Kernel, n: usize) -> Each<'a> {
    let groups = n.div_ceil(kernel.invocations().unwrap_or(1));
    Each { kernel, grid: folded(groups), n, constants: &[], words: &[] }
}

/// A workgroup takes a row.
pub(crate) fn rowwise<'a>(kernel: &'static Kernel, n: usize) -> Each<'a> {
    Each { kernel, grid: folded(n), n, constants: &[], words: &[] }
}

impl<'a> Each<'a> {
    pub(crate) fn constants(self, constants: &'a [Constant]) -> Self {
        Self { constants, ..self }
    }

    pub(crate) fn words(self, words: &'a [u32]) -> Self {
        Self { words, ..self }
    }

    pub(crate) fn run(self, gpu: &Arc<Gpu>, tensors: &[Option<&Tensor>]) -> Result<()> {
        self.run_costing(gpu, tensors, Cost::default())
    }

    /// Launches the kernel, and tells a profile what work it is.
    pub(crate) fn run_costing(
        self,
        gpu: &Arc<Gpu>,
        tensors: &[Option<&Tensor>],
        cost: Cost,
    ) -> Result<()> {
        let Self { kernel, grid, n, constants, words } = self;
        if n == 0 {
            return Ok(());
        }
        // An array, so that a launch allocates nothing.
        let mut uniform = [0; 12];
        uniform[0] = n as u32;
        uniform[1..=words.len()].copy_from_slice(words);
        let uniform = &uniform[..=words.len()];
        gpu.run_costing(&Launch { kernel, grid, constants, uniform, tensors }, cost)
    }
}
