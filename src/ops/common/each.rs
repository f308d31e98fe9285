//! Launches of kernels that have their entry from `shaders/common/elementwise.wgsl`, `rowwise.wgsl`
//! or `row_shared.wgsl`.

use crate::device::gpu::Gpu;
use crate::device::kernel::{Constant, Kernel, folded, shared};
use crate::device::profile::Cost;
use crate::ops::common::Launch;
use crate::{Result, Tensor};
use std::sync::Arc;

/// A launch that takes each of `n` elements or rows by itself. Its uniform has `n`, then `words`.
#[must_use]
pub(crate) struct Each<'a> {
    kernel: &'static Kernel,
    n: usize,
    each: By,
    constants: &'a [Constant],
    words: &'a [u32],
}

/// What takes an element or a row.
enum By {
    /// An invocation, some of them.
    Invocation,
    /// A workgroup.
    Workgroup,
    /// Some invocations of a workgroup, a row of so many elements.
    Shared(usize),
}

/// An invocation takes an element, or some.
pub(crate) fn elementwise<'a>(kernel: &'static Kernel, n: usize) -> Each<'a> {
    Each { kernel, n, each: By::Invocation, constants: &[], words: &[] }
}

/// A workgroup takes a row.
pub(crate) fn rowwise<'a>(kernel: &'static Kernel, n: usize) -> Each<'a> {
    Each { kernel, n, each: By::Workgroup, constants: &[], words: &[] }
}

/// Some invocations of a workgroup take a row of `c` elements: see [`lanes`]. The uniform has `c` and their
/// number before `words`, and a constant says whether they are several.
pub(crate) fn row_shared<'a>(kernel: &'static Kernel, n: usize, c: usize) -> Each<'a> {
    Each { kernel, n, each: By::Shared(c), constants: &[], words: &[] }
}

/// The invocations that take each of `n` rows of `c` elements: a power of two of them, up to all 64 of a
/// workgroup. On hardware each has about four elements. A software adapter has few threads, and barriers are
/// dear there: it gets no more of them than keep these busy.
fn lanes(software: bool, n: usize, c: usize) -> usize {
    let most = c.div_ceil(4).min(64).next_power_of_two();
    if software { most.min(2048usize.div_ceil(n).next_power_of_two()) } else { most }
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
        let Self { kernel, n, each, constants, words } = self;
        if n == 0 {
            return Ok(());
        }
        // Arrays, so that a launch allocates nothing.
        let (mut uniform, mut len) = ([0; 12], 1);
        uniform[0] = n as u32;
        let (mut all, mut constants) = ([("", 0); 4], constants);
        let grid = match each {
            By::Invocation => folded(shared(gpu, n.div_ceil(kernel.invocations().unwrap_or(1)))),
            By::Workgroup => folded(n),
            By::Shared(c) => {
                let lanes = lanes(gpu.info.software, n, c);
                uniform[1..3].copy_from_slice(&[c as u32, lanes as u32]);
                len = 3;
                all[0] = ("SHARED", (lanes > 1).into());
                all[1..=constants.len()].copy_from_slice(constants);
                constants = &all[..=constants.len()];
                folded(n.div_ceil(64 / lanes))
            }
        };
        uniform[len..len + words.len()].copy_from_slice(words);
        let uniform = &uniform[..len + words.len()];
        gpu.run_costing(&Launch { kernel, grid, constants, uniform, tensors }, cost)
    }
}
