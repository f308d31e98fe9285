//! The gates of a chunk once more, for a backward pass that did not keep them: two products and
//! one dispatch, since the states before each step are there.

use super::gpu::ForwardChunk;
use super::{PLAIN, VARIANT, parts};
use crate::device::gpu::Gpu;
use crate::device::kernel::{Kernel, Launch, folded};
use crate::ops::{INDEX, switches};
use crate::{Result, Tensor};
use std::sync::Arc;

/// With the function that numbers invocations.
const TEXT: &str = include_str!("../../../shaders/lstm_recompute.wgsl");

const fn kernel(name: &'static str, parts: &'static [&'static str]) -> Kernel {
    let variants = || switches(["SAVE", "LENGTHS"]);
    Kernel { name, parts, bindings: super::FORWARD_BINDINGS, variants }
}

const fn all(cell: &'static str) -> [&'static str; 8] {
    let [a, b, c, d, e, f, g] = parts(cell, super::FORWARD, TEXT);
    [INDEX, a, b, c, d, e, f, g]
}

/// The plain cell's, and that of all others.
pub(crate) static KERNELS: [Kernel; 2] =
    [kernel("lstm_recompute", &all(PLAIN)), kernel("lstm_recompute_variant", &all(VARIANT))];

/// Activates `gates`, which hold the sums.
pub(super) fn activate(gpu: &Arc<Gpu>, pass: &ForwardChunk<'_>, gates: &Tensor) -> Result<()> {
    gpu.run(&Launch {
        kernel: &KERNELS[usize::from(pass.part.is_variant())],
        grid: folded((gates.len() / 4).div_ceil(64)),
        constants: &pass.constants(),
        uniform: &pass.uniform(0),
        tensors: &pass.tensors(),
    })
}
