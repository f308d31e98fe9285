//! One dispatch for each timestep of a chunk.

use crate::Result;
use crate::device::kernel::{Kernel, Wgsl, wgsl};
use crate::ops::lstm::gpu::dims::Dims;
use crate::ops::lstm::gpu::kernels::{
    BACKWARD_BINDINGS, FORWARD_BINDINGS, all_switches, family, member, step_parts,
};
use crate::ops::lstm::gpu::pass::Segment;
use crate::ops::lstm::gpu::task::Phase;

const TEXT: Wgsl = wgsl!("lstm/lstm_stepwise.wgsl");
const TEXT_BWD: Wgsl = wgsl!("lstm/lstm_stepwise_bwd.wgsl");

pub(crate) static FORWARD: [Kernel; 4] = family!(
    "lstm_stepwise",
    step_parts,
    (Phase::Forward, TEXT),
    FORWARD_BINDINGS,
    (Kernel::PLAIN.workgroup, || all_switches(Phase::Forward)),
    (Kernel::PLAIN.workgroup, || all_switches(Phase::Forward))
);
pub(crate) static BACKWARD: [Kernel; 4] = family!(
    "lstm_stepwise_bwd",
    step_parts,
    (Phase::Backward, TEXT_BWD),
    BACKWARD_BINDINGS,
    (Kernel::PLAIN.workgroup, || all_switches(Phase::Backward)),
    (Kernel::PLAIN.workgroup, || all_switches(Phase::Backward))
);

pub(super) fn run(segment: &Segment<'_>) -> Result<()> {
    let task = segment.pass.task;
    let kernels = if task.phase == Phase::Forward { &FORWARD } else { &BACKWARD };
    run_by(segment, member(kernels, task), [4, 64])
}

/// Runs a kernel of one step for each of them, whose workgroups take so many rows and units.
pub(super) fn run_by(
    segment: &Segment<'_>,
    kernel: &'static Kernel,
    [of_rows, of_units]: [usize; 2],
) -> Result<()> {
    let (task, steps) = (segment.pass.task, 0..segment.chunk.steps);
    let (constants, dims) = (segment.constants(), segment.dims());
    let launch = |step: usize, before: bool| {
        let rows = segment.running(step);
        let (units, teams) = (task.hidden_size.div_ceil(of_units), rows.div_ceil(of_rows));
        let grid = [units, teams, task.lanes].map(|n| n as u32);
        let dims = Dims { step: step as u32, before: before.into(), ..dims };
        segment.launch(kernel, grid, &constants, &dims, rows)
    };
    match task.phase {
        Phase::Forward => steps.into_iter().try_for_each(|step| launch(step, false)),
        Phase::Backward => {
            steps.rev().try_for_each(|step| launch(step, false))?;
            if segment.state_before { launch(0, true) } else { Ok(()) }
        }
    }
}
