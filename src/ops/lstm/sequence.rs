//! All timesteps of a chunk in one dispatch.

use super::super::product;
use super::gpu::{BackwardChunk, ForwardChunk, Part};
use super::select::{Rows, workgroup};
use super::{PLAIN, REAL, VARIANT, lstm_variants, parts};
use crate::Result;
use crate::device::gpu::Gpu;
use crate::device::kernel::{Constants, Kernel, Launch};
use std::sync::Arc;

const TEXT: &str = include_str!("../../../shaders/lstm_sequence.wgsl");
const TEXT_SUBGROUP: &str = include_str!("../../../shaders/lstm_sequence_subgroup.wgsl");
const TEXT_BWD_SUBGROUP: &str = include_str!("../../../shaders/lstm_sequence_bwd_subgroup.wgsl");
const TEXT_ROW: &str = concat!(
    include_str!("../../../shaders/common/lstm_row.wgsl"),
    include_str!("../../../shaders/lstm_sequence_subgroup_row.wgsl"),
);
const TEXT_BWD_ROW: &str = concat!(
    include_str!("../../../shaders/common/lstm_row.wgsl"),
    include_str!("../../../shaders/lstm_sequence_bwd_subgroup_row.wgsl"),
);
const TEXT_BWD: &str = include_str!("../../../shaders/lstm_sequence_bwd.wgsl");
const TEXT_BWD_WIDE: &str = include_str!("../../../shaders/lstm_sequence_bwd_wide.wgsl");

const fn forward_kernel(
    name: &'static str,
    parts: &'static [&'static str],
    variants: fn() -> Vec<Constants>,
) -> Kernel {
    Kernel { name, parts, bindings: super::FORWARD_BINDINGS, variants }
}

const fn backward_kernel(
    name: &'static str,
    parts: &'static [&'static str],
    variants: fn() -> Vec<Constants>,
) -> Kernel {
    Kernel { name, parts, bindings: super::BACKWARD_BINDINGS, variants }
}

/// With gates of 32 bits and of 16: the plain cell's, and that of all others.
pub(crate) static FORWARD: [[Kernel; 2]; 2] = [
    [
        forward_kernel("lstm_sequence", &parts(REAL[0], PLAIN, super::FORWARD, TEXT), plain),
        forward_kernel(
            "lstm_sequence_variant",
            &parts(REAL[0], VARIANT, super::FORWARD, TEXT),
            variant,
        ),
    ],
    [
        forward_kernel("lstm_sequence_f16", &parts(REAL[1], PLAIN, super::FORWARD, TEXT), plain),
        forward_kernel(
            "lstm_sequence_variant_f16",
            &parts(REAL[1], VARIANT, super::FORWARD, TEXT),
            variant,
        ),
    ],
];

fn plain() -> Vec<Constants> {
    product(lstm_variants(true), &shapes(forward_shape, &[4, 8, 16]))
}

fn variant() -> Vec<Constants> {
    product(lstm_variants(true), &shapes(forward_shape, &[4]))
}

pub(crate) static BACKWARD: [[Kernel; 2]; 2] = [
    [
        backward_kernel(
            "lstm_sequence_bwd",
            &parts(REAL[0], PLAIN, super::BACKWARD, TEXT_BWD),
            narrow,
        ),
        backward_kernel(
            "lstm_sequence_bwd_variant",
            &parts(REAL[0], VARIANT, super::BACKWARD, TEXT_BWD),
            narrow,
        ),
    ],
    [
        backward_kernel(
            "lstm_sequence_bwd_f16",
            &parts(REAL[1], PLAIN, super::BACKWARD, TEXT_BWD),
            narrow,
        ),
        backward_kernel(
            "lstm_sequence_bwd_variant_f16",
            &parts(REAL[1], VARIANT, super::BACKWARD, TEXT_BWD),
            narrow,
        ),
    ],
];

pub(crate) static BACKWARD_WIDE: [Kernel; 2] = [
    backward_kernel(
        "lstm_sequence_bwd_wide",
        &parts(REAL[0], PLAIN, super::BACKWARD, TEXT_BWD_WIDE),
        wide,
    ),
    backward_kernel(
        "lstm_sequence_bwd_wide_f16",
        &parts(REAL[1], PLAIN, super::BACKWARD, TEXT_BWD_WIDE),
        wide,
    ),
];

fn narrow() -> Vec<Constants> {
    product(lstm_variants(false), &shapes(backward_shape, &[4]))
}

fn wide() -> Vec<Constants> {
    product(lstm_variants(false), &shapes(backward_shape, &[8]))
}

/// For software adapters with subgroups of 8: the plain cell, 16 rows.
pub(crate) static FORWARD_SUBGROUP: Kernel = forward_kernel(
    "lstm_sequence_subgroup",
    &parts(REAL[0], PLAIN, super::FORWARD, TEXT_SUBGROUP),
    || product(lstm_variants(true), &shapes(|h, _| subgroup_shape(h), &[16])),
);

fn subgroup_shape(hidden_size: usize) -> Constants {
    let wg = workgroup(hidden_size.div_ceil(2)) as u32;
    vec![("WG", wg), ("H", hidden_size as u32), ("STATE", 32 * hidden_size as u32)]
}

/// The same for the backward pass.
pub(crate) static BACKWARD_SUBGROUP: Kernel = backward_kernel(
    "lstm_sequence_bwd_subgroup",
    &parts(REAL[0], PLAIN, super::BACKWARD, TEXT_BWD_SUBGROUP),
    || product(lstm_variants(false), &shapes(|h, _| backward_subgroup_shape(h), &[16])),
);

fn backward_subgroup_shape(hidden_size: usize) -> Constants {
    vec![("WG", workgroup(hidden_size.div_ceil(4)) as u32), ("H", hidden_size as u32)]
}

/// For software adapters with subgroups of 8, too: the plain cell, one row.
pub(crate) static FORWARD_ROW: Kernel = forward_kernel(
    "lstm_sequence_subgroup_row",
    &parts(REAL[0], PLAIN, super::FORWARD, TEXT_ROW),
    || product(lstm_variants(true), &shapes(|h, _| row_shape(h), &[1])),
);

fn row_shape(hidden_size: usize) -> Constants {
    let wg = row_workgroup(hidden_size) as u32;
    vec![("WG", wg), ("H", hidden_size as u32), ("STATE", wg / 2)]
}

/// The same for the backward pass.
pub(crate) static BACKWARD_ROW: Kernel = backward_kernel(
    "lstm_sequence_bwd_subgroup_row",
    &parts(REAL[0], PLAIN, super::BACKWARD, TEXT_BWD_ROW),
    || product(lstm_variants(false), &shapes(|h, _| backward_row_shape(h), &[1])),
);

fn backward_row_shape(hidden_size: usize) -> Constants {
    let wg = row_workgroup(hidden_size) as u32;
    vec![("WG", wg), ("H", hidden_size as u32), ("WIDE", 2 * wg)]
}

/// Invocations of the kernels for one row, which add 32 units' terms at a time.
pub(super) fn row_workgroup(hidden_size: usize) -> usize {
    hidden_size.next_multiple_of(32)
}

/// Some sizes for the translation test; the text does not depend on them.
fn shapes(of: fn(usize, usize) -> Constants, rows: &[usize]) -> Vec<Constants> {
    let sizes = [1, 7, 128, 200];
    sizes.iter().flat_map(|&h| rows.iter().map(move |&rows| of(h, rows))).collect()
}

fn forward_shape(hidden_size: usize, rows: usize) -> Constants {
    let (h, groups) = (hidden_size as u32, rows as u32 / 4);
    let wg = workgroup(hidden_size) as u32;
    vec![("WG", wg), ("H", h), ("GROUPS", groups), ("STATE", 2 * h * groups)]
}

fn backward_shape(hidden_size: usize, rows: usize) -> Constants {
    // The wide kernel's invocations take four units each.
    let invocations = if rows == 4 { hidden_size } else { hidden_size.div_ceil(4) };
    let mut shape = vec![("WG", workgroup(invocations) as u32), ("H", hidden_size as u32)];
    if rows > 4 {
        shape.push(("WIDE", 2 * hidden_size as u32));
    }
    shape
}

pub(super) fn forward(gpu: &Arc<Gpu>, pass: &ForwardChunk<'_>, rows: Rows) -> Result<()> {
    let Part { hidden_size, half, .. } = pass.part;
    let (kernel, shape) = match (rows.subgroups, rows.count) {
        (true, 1) => (&FORWARD_ROW, row_shape(hidden_size)),
        (true, _) => (&FORWARD_SUBGROUP, subgroup_shape(hidden_size)),
        (false, count) => {
            let variant = usize::from(pass.part.variant);
            (&FORWARD[usize::from(half)][variant], forward_shape(hidden_size, count))
        }
    };
    let launch = Launch {
        kernel,
        grid: grid(&pass.part, rows),
        constants: &[&pass.constants()[..], &shape].concat(),
        uniform: &pass.dims().words(),
        tensors: &pass.tensors(),
    };
    gpu.run_costing(&launch, pass.cost(pass.part.chunk.frames))
}

pub(super) fn backward(gpu: &Arc<Gpu>, pass: &BackwardChunk<'_>, rows: Rows) -> Result<()> {
    let Part { hidden_size, half, .. } = pass.part;
    let (kernel, shape) = match (rows.subgroups, rows.count) {
        (true, 1) => (&BACKWARD_ROW, backward_row_shape(hidden_size)),
        (true, _) => (&BACKWARD_SUBGROUP, backward_subgroup_shape(hidden_size)),
        (false, 4) => {
            let variant = usize::from(pass.part.variant);
            (&BACKWARD[usize::from(half)][variant], backward_shape(hidden_size, 4))
        }
        (false, count) => (&BACKWARD_WIDE[usize::from(half)], backward_shape(hidden_size, count)),
    };
    let launch = Launch {
        kernel,
        grid: grid(&pass.part, rows),
        constants: &[&pass.constants()[..], &shape].concat(),
        uniform: &pass.dims().words(),
        tensors: &pass.tensors(),
    };
    gpu.run_costing(&launch, pass.cost(pass.part.chunk.frames))
}

fn grid(part: &Part<'_>, rows: Rows) -> [u32; 3] {
    [part.chunk.rows.div_ceil(rows.count) as u32, 1, part.ways.count as u32]
}
