//! One dispatch for each timestep of a chunk.

use super::gpu::{BackwardStep, ForwardStep};
use super::{BACKWARD_PARTS, FORWARD_PARTS, lstm_variants};
use crate::Result;
use crate::device::gpu::Gpu;
use crate::device::kernel::{Kernel, Launch};
use std::sync::Arc;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "lstm_stepwise",
    parts: &[
        FORWARD_PARTS[0],
        FORWARD_PARTS[1],
        FORWARD_PARTS[2],
        include_str!("../../../shaders/lstm_stepwise.wgsl"),
    ],
    bindings: super::FORWARD_BINDINGS,
    variants: || lstm_variants(true),
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "lstm_stepwise_bwd",
    parts: &[
        BACKWARD_PARTS[0],
        BACKWARD_PARTS[1],
        BACKWARD_PARTS[2],
        include_str!("../../../shaders/lstm_stepwise_bwd.wgsl"),
    ],
    bindings: super::BACKWARD_BINDINGS,
    variants: || lstm_variants(false),
};

fn grid(hidden_size: usize, rows: usize) -> [u32; 3] {
    [hidden_size.div_ceil(64) as u32, rows.div_ceil(4) as u32, 1]
}

pub(super) fn forward(gpu: &Arc<Gpu>, step: &ForwardStep<'_>) -> Result<()> {
    for t in 0..step.chunk.steps {
        gpu.run(&Launch {
            kernel: &FORWARD,
            grid: grid(step.hidden_size, step.chunk.rows),
            constants: step.constants(),
            uniform: step.uniform(t),
            tensors: step.tensors(),
        })?;
    }
    Ok(())
}

pub(super) fn backward(gpu: &Arc<Gpu>, step: &BackwardStep<'_>) -> Result<()> {
    for t in (0..step.chunk.steps).rev() {
        gpu.run(&Launch {
            kernel: &BACKWARD,
            grid: grid(step.hidden_size, step.chunk.rows),
            constants: step.constants(),
            uniform: step.uniform(t),
            tensors: step.tensors(),
        })?;
    }
    Ok(())
}
