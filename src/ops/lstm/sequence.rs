//! All timesteps of a chunk in one dispatch.

use super::gpu::{BackwardStep, ForwardStep};
use super::plan::workgroup;
use super::{BACKWARD_PARTS, FORWARD_PARTS, lstm_variants};
use crate::Result;
use crate::device::gpu::Gpu;
use crate::device::kernel::{Constants, Kernel, Launch};
use std::sync::Arc;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "lstm_sequence",
    parts: &[
        FORWARD_PARTS[0],
        FORWARD_PARTS[1],
        FORWARD_PARTS[2],
        include_str!("../../../shaders/lstm_sequence.wgsl"),
    ],
    bindings: super::FORWARD_BINDINGS,
    variants: || super::super::product(lstm_variants(true), &shapes(forward_shape)),
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "lstm_sequence_bwd",
    parts: &[
        BACKWARD_PARTS[0],
        BACKWARD_PARTS[1],
        BACKWARD_PARTS[2],
        include_str!("../../../shaders/lstm_sequence_bwd.wgsl"),
    ],
    bindings: super::BACKWARD_BINDINGS,
    variants: || super::super::product(lstm_variants(false), &shapes(backward_shape)),
};

pub(crate) static BACKWARD_WIDE: Kernel = Kernel {
    name: "lstm_sequence_bwd_wide",
    parts: &[
        BACKWARD_PARTS[0],
        BACKWARD_PARTS[1],
        BACKWARD_PARTS[2],
        include_str!("../../../shaders/lstm_sequence_bwd_wide.wgsl"),
    ],
    bindings: super::BACKWARD_BINDINGS,
    variants: BACKWARD.variants,
};

/// Some sizes for the translation test; the text does not depend on them.
fn shapes(of: fn(usize, usize) -> Constants) -> Vec<Constants> {
    [(1, 4), (7, 8), (128, 4), (128, 16), (200, 8)].map(|(h, rows)| of(h, rows)).to_vec()
}

fn forward_shape(hidden_size: usize, rows: usize) -> Constants {
    let (h, groups) = (hidden_size as u32, rows as u32 / 4);
    let wg = workgroup(hidden_size) as u32;
    vec![("WG", wg), ("H", h), ("GROUPS", groups), ("STATE", 2 * h * groups)]
}

fn backward_shape(hidden_size: usize, rows: usize) -> Constants {
    // The wide kernel's invocations take four units each.
    let invocations = if rows == 4 { hidden_size } else { hidden_size.div_ceil(4) };
    vec![("WG", workgroup(invocations) as u32), ("H", hidden_size as u32)]
}

pub(super) fn forward(gpu: &Arc<Gpu>, step: &ForwardStep<'_>, rows: usize) -> Result<()> {
    gpu.run(&Launch {
        kernel: &FORWARD,
        grid: [step.chunk.rows.div_ceil(rows) as u32, 1, 1],
        constants: [step.constants(), forward_shape(step.hidden_size, rows)].concat(),
        uniform: step.uniform(0),
        tensors: step.tensors(),
    })
}

pub(super) fn backward(gpu: &Arc<Gpu>, step: &BackwardStep<'_>, rows: usize) -> Result<()> {
    gpu.run(&Launch {
        kernel: if rows == 4 { &BACKWARD } else { &BACKWARD_WIDE },
        grid: [step.chunk.rows.div_ceil(rows) as u32, 1, 1],
        constants: [step.constants(), backward_shape(step.hidden_size, rows)].concat(),
        uniform: step.uniform(0),
        tensors: step.tensors(),
    })
}
