//! The gates of a chunk once more, for a backward pass that did not keep them: two products and
//! one dispatch, since the states before each step are there.

use super::gpu::ForwardChunk;
use super::{PLAIN, REAL, VARIANT, parts};
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

const fn all(real: &'static str, cell: &'static str) -> [&'static str; 9] {
    let [a, b, c, d, e, f, g, h] = parts(real, cell, super::FORWARD, TEXT);
    [a, INDEX, b, c, d, e, f, g, h]
}

/// With gates of 32 bits and of 16: the plain cell's, and that of all others.
pub(crate) static KERNELS: [[Kernel; 2]; 2] = [
    [
        kernel("lstm_recompute", &all(REAL[0], PLAIN)),
        kernel("lstm_recompute_variant", &all(REAL[0], VARIANT)),
    ],
    [
        kernel("lstm_recompute_f16", &all(REAL[1], PLAIN)),
        kernel("lstm_recompute_variant_f16", &all(REAL[1], VARIANT)),
    ],
];

/// Activates `gates`, which hold the sums, of all ways.
pub(super) fn activate(gpu: &Arc<Gpu>, pass: &ForwardChunk<'_>, gates: &Tensor) -> Result<()> {
    gpu.run(&Launch {
        kernel: &KERNELS[usize::from(pass.part.half)][usize::from(pass.part.variant)],
        grid: folded((gates.len() / 4).div_ceil(64)),
        constants: &pass.constants(),
        uniform: &pass.dims().words(),
        tensors: &pass.tensors(),
    })
}
