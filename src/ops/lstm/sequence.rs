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
    variants: || {
        let shapes: Vec<_> = [(1, 4), (1, 8), (128, 4), (128, 8), (200, 8)]
            .into_iter()
            .map(|(hidden_size, rows)| forward_shape(hidden_size, rows))
            .collect();
        super::super::product(lstm_variants(true), &shapes)
    },
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
    variants: || {
        let shapes: Vec<_> = [1, 128, 200].into_iter().map(backward_shape).collect();
        super::super::product(lstm_variants(false), &shapes)
    },
};

fn forward_shape(hidden_size: usize, rows: usize) -> Constants {
    let state = 2 * hidden_size as u32;
    let wide = rows == 8;
    vec![
        ("WG", workgroup(hidden_size) as u32),
        ("H", hidden_size as u32),
        ("WIDE", wide.into()),
        ("STATE_A", state),
        ("STATE_B", if wide { state } else { 1 }),
    ]
}

fn backward_shape(hidden_size: usize) -> Constants {
    let h = hidden_size as u32;
    vec![("WG", workgroup(hidden_size) as u32), ("H", h), ("D_SIZE", 4 * h)]
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

pub(super) fn backward(gpu: &Arc<Gpu>, step: &BackwardStep<'_>) -> Result<()> {
    gpu.run(&Launch {
        kernel: &BACKWARD,
        grid: [step.chunk.rows.div_ceil(4) as u32, 1, 1],
        constants: [step.constants(), backward_shape(step.hidden_size)].concat(),
        uniform: step.uniform(0),
        tensors: step.tensors(),
    })
}
