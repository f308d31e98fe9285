//! What the kernels of all schedules share: their WGSL, their bindings, their switches.

use super::task::{Phase, Task};
use crate::device::kernel::{Access, Constants, Kernel, Need, Wgsl, Workgroup, wgsl};
use crate::ops::common::{ACTIVATIONS, IS_NAN, switches, threefry};
use crate::ops::gemm::cooperative::{FOURS, TILES};

/// How gates lie in memory: in 32 bits, in 16.
pub(super) const REAL: [Wgsl; 2] =
    [wgsl!("lstm/parts/f32.wgsl"), wgsl!("lstm/parts/f16.wgsl").needing(Need::F16)];
const ROWS: Wgsl = wgsl!("lstm/parts/rows.wgsl");
/// What the forward pass does with what it keeps, where no workgroup waits for another; then the rest.
const FORWARD: [Wgsl; 3] = [
    wgsl!("lstm/parts/history.wgsl"),
    wgsl!("lstm/parts/gates.wgsl"),
    wgsl!("lstm/parts/forward.wgsl"),
];
/// The parts of the backward pass that [`FORWARD`] has of the forward pass.
const BACKWARD: [Wgsl; 3] = [
    wgsl!("lstm/parts/in_place.wgsl"),
    wgsl!("lstm/parts/backward.wgsl"),
    wgsl!("lstm/parts/backward_fours.wgsl"),
];
/// Where a step's states, or gradients, come from and go to, in kernels of one step.
const STEP: Wgsl = wgsl!("lstm/parts/step.wgsl");
const STEP_BWD: Wgsl = wgsl!("lstm/parts/step_bwd.wgsl");
const TEAM: Wgsl = wgsl!("lstm/parts/team.wgsl");
const EXCHANGE: Wgsl = wgsl!("lstm/parts/exchange.wgsl");
const ROW: Wgsl = wgsl!("lstm/software/row.wgsl");

pub(super) const PLAIN: Wgsl = wgsl!("lstm/cell/lstm.wgsl");
pub(super) const VARIANT: Wgsl = wgsl!("lstm/cell/variant.wgsl");

/// Kernels that differ in the bits of their gates and in their cell: of 32 bits and of 16 with the plain
/// cell, then, if there are such, with the cell that has every option. [`member`] finds one.
///
/// `$parts` makes the WGSL of the number of bits (0, 1), the cell and `$text`.
macro_rules! family {
    ($name:literal, $parts:ident, $text:expr, $binds:expr, $plain:expr $(, $other:expr)?) => {{
        use $crate::ops::lstm::gpu::kernels as all;
        [
            all::kernel($name, &$parts(0, all::PLAIN, $text), $binds, $plain),
            all::kernel(concat!($name, "_f16"), &$parts(1, all::PLAIN, $text), $binds, $plain),
            $(
                all::kernel(concat!($name, "_variant"), &$parts(0, all::VARIANT, $text), $binds, $other),
                all::kernel(concat!($name, "_variant_f16"), &$parts(1, all::VARIANT, $text), $binds, $other),
            )?
        ]
    }};
}
pub(super) use family;

/// The kernel of a family for a task.
pub(super) fn member(family: &'static [Kernel], task: Task) -> &'static Kernel {
    &family[usize::from(task.half) + 2 * usize::from(task.variant)]
}

pub(crate) const fn kernel(
    name: &'static str,
    parts: &'static [Wgsl],
    bindings: &'static [(&'static str, Access)],
    (workgroup, variants): (Workgroup, fn() -> Vec<Constants>),
) -> Kernel {
    Kernel { name, parts, bindings, variants, workgroup }
}

/// The WGSL of a kernel: its numbers, its cell, what its phase's schedules share, its schedule.
pub(super) const fn parts(bits: usize, cell: Wgsl, (phase, schedule): (Phase, Wgsl)) -> [Wgsl; 10] {
    let [a, b, c] = if let Phase::Forward = phase { FORWARD } else { BACKWARD };
    [REAL[bits], IS_NAN, ACTIVATIONS, threefry::WGSL, ROWS, cell, a, b, c, schedule]
}

/// The WGSL of a kernel of one step.
pub(super) const fn step_parts(
    bits: usize,
    cell: Wgsl,
    (phase, text): (Phase, Wgsl),
) -> [Wgsl; 11] {
    let [a, b, c, d, e, f, g, h, i, j] = parts(bits, cell, (phase, text));
    let step = if let Phase::Forward = phase { STEP } else { STEP_BWD };
    [a, b, c, d, e, f, g, h, i, step, j]
}

/// The WGSL of a kernel of one row, of the plain cell.
pub(super) const fn row_parts(phase: Phase, schedule: Wgsl) -> [Wgsl; 11] {
    let [a, b, c, d, e, f, g, h, i, j] = parts(0, PLAIN, (phase, schedule));
    [a, b, c, d, e, f, g, h, i, ROW, j]
}

/// The WGSL of a kernel whose workgroups exchange what they make.
pub(super) const fn exchange_parts(
    bits: usize,
    cell: Wgsl,
    (phase, schedule): (Phase, Wgsl),
) -> [Wgsl; 10] {
    let [_, a, b] = if let Phase::Forward = phase { FORWARD } else { BACKWARD };
    [REAL[bits], IS_NAN, ACTIVATIONS, ROWS, cell, a, b, TEAM, EXCHANGE, schedule]
}

/// The WGSL of a kernel of cooperative matrices, with gates of 16 bits: what it must enable first; its shape; its
/// matrices; what is done with them.
pub(crate) const fn matrix_parts(
    phase: Phase,
    [enable, shape, matrices, units]: [Wgsl; 4],
) -> [Wgsl; 17] {
    let text = match phase {
        Phase::Forward => wgsl!("lstm/lstm_stepwise_matrices.wgsl"),
        Phase::Backward => wgsl!("lstm/lstm_stepwise_matrices_bwd.wgsl"),
    };
    let [a, b, c, d, e, f, g, h, i, step, j] = step_parts(1, PLAIN, (phase, text));
    [enable, a, b, c, d, e, f, g, h, i, step, shape, matrices, TILES, FOURS, j, units]
}

/// Of one that makes the input's part of the gates, too.
pub(super) const fn fused_parts(schedule: Wgsl) -> [Wgsl; 10] {
    let [a, b, c, d, e, _, f, g, h, i] = exchange_parts(0, PLAIN, (Phase::Forward, schedule));
    [a, b, c, d, e, wgsl!("lstm/parts/fused.wgsl"), f, g, h, i]
}

pub(crate) const FORWARD_BINDINGS: &[(&str, Access)] = &[
    ("gates", Access::Write),
    ("r", Access::Read),
    ("h_before", Access::Write),
    ("c_before", Access::Write),
    ("y", Access::Write),
    ("rows", Access::Read),
    ("state", Access::Write),
    ("peepholes", Access::Read),
];
pub(crate) const BACKWARD_BINDINGS: &[(&str, Access)] = &[
    ("gates", Access::Write),
    ("rt", Access::Read),
    ("c_before", Access::Read),
    ("d_y", Access::Read),
    ("rows", Access::Read),
    ("d_state", Access::Write),
    ("peepholes", Access::Read),
    ("d_peepholes", Access::Write),
];

/// Every combination of the switches that all schedules of a phase have.
pub(crate) fn all_switches(phase: Phase) -> Vec<Constants> {
    match phase {
        Phase::Forward => switches(["SAVE", "LENGTHS"]),
        Phase::Backward => switches(["LENGTHS"]),
    }
}
