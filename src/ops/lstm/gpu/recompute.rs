//! The gates of a chunk once more, for a backward pass that did not keep them: two products and
//! one dispatch, since the states before each step are there.

use super::kernels::{FORWARD_BINDINGS, all_switches, family, member, parts};
use super::pass::Segment;
use super::task::Phase;
use crate::Result;
use crate::device::kernel::{Kernel, Wgsl, folded, wgsl};
use crate::ops::common::{INDEX, Launch};

const TEXT: Wgsl = wgsl!("lstm/lstm_recompute.wgsl");

pub(crate) static KERNELS: [Kernel; 4] = family!(
    "lstm_recompute",
    parts_with_index,
    (Phase::Forward, TEXT),
    FORWARD_BINDINGS,
    (Kernel::PLAIN.workgroup, || all_switches(Phase::Forward)),
    (Kernel::PLAIN.workgroup, || all_switches(Phase::Forward))
);

/// [`parts`], with the function that numbers invocations.
const fn parts_with_index(bits: usize, cell: Wgsl, schedule: (Phase, Wgsl)) -> [Wgsl; 11] {
    let [a, b, c, d, e, f, g, h, i, j] = parts(bits, cell, schedule);
    [a, INDEX, b, c, d, e, f, g, h, i, j]
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
