//! One dispatch for each timestep of a chunk.

use super::dims::Dims;
use super::gpu::{BackwardChunk, ForwardChunk, Part};
use super::{PLAIN, REAL, VARIANT, lstm_variants, parts};
use crate::Result;
use crate::device::gpu::Gpu;
use crate::device::kernel::{Kernel, Launch};
use std::sync::Arc;

const TEXT: &str = include_str!("../../../shaders/lstm_stepwise.wgsl");
const TEXT_BWD: &str = include_str!("../../../shaders/lstm_stepwise_bwd.wgsl");

const fn forward_kernel(name: &'static str, parts: &'static [&'static str]) -> Kernel {
    Kernel { name, parts, bindings: super::FORWARD_BINDINGS, variants: || lstm_variants(true) }
}

const fn backward_kernel(name: &'static str, parts: &'static [&'static str]) -> Kernel {
    Kernel { name, parts, bindings: super::BACKWARD_BINDINGS, variants: || lstm_variants(false) }
}

/// With gates of 32 bits and of 16: the plain cell's, and that of all others.
pub(crate) static FORWARD: [[Kernel; 2]; 2] = [
    [
        forward_kernel("lstm_stepwise", &parts(REAL[0], PLAIN, super::FORWARD, TEXT)),
        forward_kernel("lstm_stepwise_variant", &parts(REAL[0], VARIANT, super::FORWARD, TEXT)),
    ],
    [
        forward_kernel("lstm_stepwise_f16", &parts(REAL[1], PLAIN, super::FORWARD, TEXT)),
        forward_kernel("lstm_stepwise_variant_f16", &parts(REAL[1], VARIANT, super::FORWARD, TEXT)),
    ],
];

pub(crate) static BACKWARD: [[Kernel; 2]; 2] = [
    [
        backward_kernel("lstm_stepwise_bwd", &parts(REAL[0], PLAIN, super::BACKWARD, TEXT_BWD)),
        backward_kernel(
            "lstm_stepwise_bwd_variant",
            &parts(REAL[0], VARIANT, super::BACKWARD, TEXT_BWD),
        ),
    ],
    [
        backward_kernel("lstm_stepwise_bwd_f16", &parts(REAL[1], PLAIN, super::BACKWARD, TEXT_BWD)),
        backward_kernel(
            "lstm_stepwise_bwd_variant_f16",
            &parts(REAL[1], VARIANT, super::BACKWARD, TEXT_BWD),
        ),
    ],
];

fn grid(part: &Part<'_>, rows: usize) -> [u32; 3] {
    let units = part.hidden_size.div_ceil(64);
    [units as u32, rows.div_ceil(4) as u32, part.ways.count as u32]
}

pub(super) fn forward(gpu: &Arc<Gpu>, pass: &ForwardChunk<'_>) -> Result<()> {
    for step in 0..pass.part.chunk.steps {
        let rows = pass.part.running(step);
        let launch = Launch {
            kernel: &FORWARD[usize::from(pass.part.half)][usize::from(pass.part.variant)],
            grid: grid(&pass.part, rows),
            constants: &pass.constants(),
            uniform: &Dims { step: step as u32, ..pass.dims() }.words(),
            tensors: &pass.tensors(),
        };
        gpu.run_costing(&launch, pass.cost(rows))?;
    }
    Ok(())
}

pub(super) fn backward(gpu: &Arc<Gpu>, pass: &BackwardChunk<'_>) -> Result<()> {
    let launch = |step: usize, before: bool| {
        let rows = pass.part.running(step);
        let step = step as u32;
        let launch = Launch {
            kernel: &BACKWARD[usize::from(pass.part.half)][usize::from(pass.part.variant)],
            grid: grid(&pass.part, rows),
            constants: &pass.constants(),
            uniform: &Dims { step, before: before.into(), ..pass.dims() }.words(),
            tensors: &pass.tensors(),
        };
        gpu.run_costing(&launch, pass.cost(rows))
    };
    for step in (0..pass.part.chunk.steps).rev() {
        launch(step, false)?;
    }
    if pass.before { launch(0, true) } else { Ok(()) }
}
