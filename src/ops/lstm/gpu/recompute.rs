//! The gates of a chunk once more, for a backward pass that did not keep them: two products and
//! one dispatch, since the states before each step are there.

use super::kernels::{FORWARD_BINDINGS, RECOMPUTE, all_switches, family, member, parts};
use super::pass::Segment;
use super::schedule::Phase;
use crate::Result;
use crate::device::kernel::{Kernel, Launch, folded};
use crate::ops::INDEX;

pub(crate) static KERNELS: [Kernel; 4] = family!(
    "lstm_recompute",
    parts_with_index,
    (Phase::Forward, RECOMPUTE),
    FORWARD_BINDINGS,
    || all_switches(Phase::Forward),
    || all_switches(Phase::Forward)
);

/// [`parts`], with the function that numbers invocations.
const fn parts_with_index(
    bits: usize,
    cell: &'static str,
    schedule: (Phase, &'static str),
) -> [&'static str; 9] {
    let [a, b, c, d, e, f, g, h] = parts(bits, cell, schedule);
    [a, INDEX, b, c, d, e, f, g, h]
}

/// Activates the gates of a forward segment, which hold the sums.
pub(super) fn activate(segment: &Segment<'_>) -> Result<()> {
    segment.pass.gpu.run(&Launch {
        kernel: member(&KERNELS, segment.pass.task),
        grid: folded((segment.gates.tensor.len() / 4).div_ceil(64)),
        constants: &segment.constants(),
        uniform: &segment.dims().words(),
        tensors: &segment.tensors(),
    })
}
