//! All timesteps of a chunk in one dispatch: a workgroup takes a few rows through all of them.

use super::Rows;
use crate::Result;
use crate::device::kernel::{Constants, Kernel, Need, Wgsl, Workgroup, wgsl};
use crate::ops::common::product;
use crate::ops::lstm::gpu::kernels::{
    BACKWARD_BINDINGS, FORWARD_BINDINGS, PLAIN, all_switches, family, kernel, member, parts,
    row_parts,
};
use crate::ops::lstm::gpu::pass::Segment;
use crate::ops::lstm::gpu::task::{Phase, Task};

const TEXT: Wgsl = wgsl!("lstm/lstm_sequence.wgsl");
const TEXT_BWD: Wgsl = wgsl!("lstm/lstm_sequence_bwd.wgsl");
const TEXT_BWD_WIDE: Wgsl = wgsl!("lstm/software/lstm_sequence_bwd_wide.wgsl");
const SUBGROUP: Wgsl =
    wgsl!("lstm/software/lstm_sequence_subgroup.wgsl").needing(Need::Subgroups(8));
const SUBGROUP_BWD: Wgsl =
    wgsl!("lstm/software/lstm_sequence_bwd_subgroup.wgsl").needing(Need::Subgroups(8));
const ROW: Wgsl =
    wgsl!("lstm/software/lstm_sequence_subgroup_row.wgsl").needing(Need::Subgroups(8));
const ROW_BWD: Wgsl =
    wgsl!("lstm/software/lstm_sequence_bwd_subgroup_row.wgsl").needing(Need::Subgroups(8));
const WG: Workgroup = Workgroup::Constant("WG");

pub(crate) static FORWARD: [Kernel; 4] = family!(
    "lstm_sequence",
    parts,
    (Phase::Forward, TEXT),
    FORWARD_BINDINGS,
    (WG, || variants(Phase::Forward, false, &[4, 8, 16])),
    (WG, || variants(Phase::Forward, false, &[4]))
);
/// The kernels of the backward pass for 4 rows.
pub(crate) static BACKWARD: [Kernel; 4] = family!(
    "lstm_sequence_bwd",
    parts,
    (Phase::Backward, TEXT_BWD),
    BACKWARD_BINDINGS,
    (WG, || variants(Phase::Backward, false, &[4])),
    (WG, || variants(Phase::Backward, false, &[4]))
);
/// The kernels of the backward pass for 8 rows: invocations take four units each.
pub(crate) static BACKWARD_WIDE: [Kernel; 2] = family!(
    "lstm_sequence_bwd_wide",
    parts,
    (Phase::Backward, TEXT_BWD_WIDE),
    BACKWARD_BINDINGS,
    (WG, || variants(Phase::Backward, false, &[8]))
);

/// The kernel for software adapters with subgroups of 8: the plain cell, 16 rows.
pub(crate) static FORWARD_SUBGROUP: Kernel = kernel(
    "lstm_sequence_subgroup",
    &parts(0, PLAIN, (Phase::Forward, SUBGROUP)),
    FORWARD_BINDINGS,
    (WG, || variants(Phase::Forward, true, &[16])),
);
/// The kernel for software adapters with subgroups of 8: the plain cell, 16 rows.
pub(crate) static BACKWARD_SUBGROUP: Kernel = kernel(
    "lstm_sequence_bwd_subgroup",
    &parts(0, PLAIN, (Phase::Backward, SUBGROUP_BWD)),
    BACKWARD_BINDINGS,
    (WG, || variants(Phase::Backward, true, &[16])),
);
/// The kernel for software adapters with subgroups of 8: the plain cell, one row.
pub(crate) static FORWARD_ROW: Kernel = kernel(
    "lstm_sequence_subgroup_row",
    &row_parts(Phase::Forward, ROW),
    FORWARD_BINDINGS,
    (WG, || variants(Phase::Forward, true, &[1])),
);
/// The kernel for software adapters with subgroups of 8: the plain cell, one row.
pub(crate) static BACKWARD_ROW: Kernel = kernel(
    "lstm_sequence_bwd_subgroup_row",
    &row_parts(Phase::Backward, ROW_BWD),
    BACKWARD_BINDINGS,
    (WG, || variants(Phase::Backward, true, &[1])),
);

fn kernel_for(task: Task, rows: Rows) -> &'static Kernel {
    match (task.phase, rows.subgroups, rows.count) {
        (Phase::Forward, true, 1) => &FORWARD_ROW,
        (Phase::Forward, true, _) => &FORWARD_SUBGROUP,
        (Phase::Forward, false, _) => member(&FORWARD, task),
        (Phase::Backward, true, 1) => &BACKWARD_ROW,
        (Phase::Backward, true, _) => &BACKWARD_SUBGROUP,
        (Phase::Backward, false, 4) => member(&BACKWARD, task),
        (Phase::Backward, false, _) => member(&BACKWARD_WIDE, task),
    }
}

/// Invocations of a workgroup that has one for each unit.
pub(crate) fn workgroup(units: usize) -> usize {
    units.next_multiple_of(8)
}

/// Invocations of a workgroup that takes such rows.
pub(crate) fn invocations(phase: Phase, rows: Rows, hidden_size: usize) -> usize {
    match (phase, rows.subgroups, rows.count) {
        // They add 32 units' terms at a time.
        (_, true, 1) => hidden_size.next_multiple_of(32),
        (Phase::Forward, true, _) => workgroup(hidden_size.div_ceil(2)),
        (Phase::Forward, false, _) | (_, false, 4) => workgroup(hidden_size),
        (Phase::Backward, ..) => workgroup(hidden_size.div_ceil(4)),
    }
}

/// Adds the constants of the kernel for such rows.
fn add_shape(shape: &mut Constants, phase: Phase, rows: Rows, hidden_size: usize) {
    let (h, wg) = (hidden_size as u32, invocations(phase, rows, hidden_size) as u32);
    shape.extend([("WG", wg), ("H", h)]);
    match (phase, rows.subgroups, rows.count) {
        (Phase::Forward, true, 1) => shape.push(("STATE", wg / 2)),
        (Phase::Forward, true, _) => shape.push(("STATE", 32 * h)),
        (Phase::Forward, false, count) => {
            let groups = count as u32 / 4;
            shape.extend([("GROUPS", groups), ("STATE", 2 * h * groups)]);
        }
        (Phase::Backward, true, 1) => shape.push(("WIDE", 2 * wg)),
        (Phase::Backward, true, _) | (_, false, 4) => {}
        (Phase::Backward, false, _) => shape.push(("WIDE", 2 * h)),
    }
}

/// Some sizes for the translation test; the text does not depend on them.
fn variants(phase: Phase, subgroups: bool, rows: &[usize]) -> Vec<Constants> {
    let shape = move |count, h| {
        let mut shape = Constants::new();
        add_shape(&mut shape, phase, Rows { count, subgroups }, h);
        shape
    };
    let of = |h| rows.iter().map(move |&count| shape(count, h));
    product(all_switches(phase), &[1, 7, 128, 200].into_iter().flat_map(of).collect::<Vec<_>>())
}

pub(in crate::ops::lstm::gpu) fn run(segment: &Segment<'_>, rows: Rows) -> Result<()> {
    let (task, chunk) = (segment.pass.task, segment.chunk);
    let grid = [chunk.rows.div_ceil(rows.count) as u32, 1, task.lanes as u32];
    let mut constants = segment.constants();
    add_shape(&mut constants, task.phase, rows, task.hidden_size);
    segment.launch(kernel_for(task, rows), grid, &constants, &segment.dims(), chunk.frames)
}
