//! What the kernels of all schedules share: their WGSL, their bindings, their switches.

use super::schedule::{Phase, Task};
use crate::device::kernel::{Access, Constants, Kernel};
use crate::ops::{ACTIVATIONS, REAL, switches, threefry};

const ROWS: &str = include_str!("../../../../shaders/common/lstm_rows.wgsl");
/// What the forward pass does with what it keeps, where no workgroup waits for another; then the rest.
const FORWARD: [&str; 2] = [
    include_str!("../../../../shaders/common/lstm_history.wgsl"),
    include_str!("../../../../shaders/common/lstm_forward.wgsl"),
];
/// The parts of the backward pass that [`FORWARD`] has of the forward pass.
const BACKWARD: [&str; 2] = [
    include_str!("../../../../shaders/common/lstm_in_place.wgsl"),
    include_str!("../../../../shaders/common/lstm_backward.wgsl"),
];
const TEAM: &str = include_str!("../../../../shaders/common/lstm_team.wgsl");
const EXCHANGE: &str = include_str!("../../../../shaders/common/exchange.wgsl");

pub(super) const PLAIN: &str = include_str!("../../../../shaders/cell/lstm.wgsl");
pub(super) const VARIANT: &str = include_str!("../../../../shaders/cell/variant.wgsl");

pub(super) const SEQUENCE: &str = include_str!("../../../../shaders/lstm_sequence.wgsl");
pub(super) const SEQUENCE_BWD: &str = include_str!("../../../../shaders/lstm_sequence_bwd.wgsl");
pub(super) const SEQUENCE_BWD_WIDE: &str =
    include_str!("../../../../shaders/lstm_sequence_bwd_wide.wgsl");
pub(super) const SUBGROUP: &str = include_str!("../../../../shaders/lstm_sequence_subgroup.wgsl");
pub(super) const SUBGROUP_BWD: &str =
    include_str!("../../../../shaders/lstm_sequence_bwd_subgroup.wgsl");
pub(super) const ROW: &str = concat!(
    include_str!("../../../../shaders/common/lstm_row.wgsl"),
    include_str!("../../../../shaders/lstm_sequence_subgroup_row.wgsl"),
);
pub(super) const ROW_BWD: &str = concat!(
    include_str!("../../../../shaders/common/lstm_row.wgsl"),
    include_str!("../../../../shaders/lstm_sequence_bwd_subgroup_row.wgsl"),
);
pub(super) const STEPWISE: &str = include_str!("../../../../shaders/lstm_stepwise.wgsl");
pub(super) const STEPWISE_BWD: &str = include_str!("../../../../shaders/lstm_stepwise_bwd.wgsl");
pub(super) const PERSISTENT: &str = include_str!("../../../../shaders/lstm_persistent.wgsl");
pub(super) const PERSISTENT_BWD: &str =
    include_str!("../../../../shaders/lstm_persistent_bwd.wgsl");
pub(super) const RECOMPUTE: &str = include_str!("../../../../shaders/lstm_recompute.wgsl");

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

pub(super) const fn kernel(
    name: &'static str,
    parts: &'static [&'static str],
    bindings: &'static [(&'static str, Access)],
    variants: fn() -> Vec<Constants>,
) -> Kernel {
    Kernel { name, parts, bindings, variants }
}

/// The WGSL of a kernel: its numbers, its cell, what its phase's schedules share, its schedule.
pub(super) const fn parts(
    bits: usize,
    cell: &'static str,
    (phase, schedule): (Phase, &'static str),
) -> [&'static str; 8] {
    let [kept, shared] = of_phase(phase);
    [REAL[bits], ACTIVATIONS, threefry::WGSL, ROWS, cell, kept, shared, schedule]
}

/// The WGSL of a kernel whose workgroups exchange what they make.
pub(super) const fn exchange_parts(
    bits: usize,
    cell: &'static str,
    (phase, schedule): (Phase, &'static str),
) -> [&'static str; 8] {
    [REAL[bits], ACTIVATIONS, ROWS, cell, of_phase(phase)[1], TEAM, EXCHANGE, schedule]
}

const fn of_phase(phase: Phase) -> [&'static str; 2] {
    match phase {
        Phase::Forward => FORWARD,
        Phase::Backward => BACKWARD,
    }
}

pub(super) const FORWARD_BINDINGS: &[(&str, Access)] = &[
    ("gates", Access::Write),
    ("r", Access::Read),
    ("h_before", Access::Write),
    ("c_before", Access::Write),
    ("y", Access::Write),
    ("rows", Access::Read),
    ("state", Access::Write),
    ("peepholes", Access::Read),
];
pub(super) const BACKWARD_BINDINGS: &[(&str, Access)] = &[
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
pub(super) fn all_switches(phase: Phase) -> Vec<Constants> {
    match phase {
        Phase::Forward => switches(["SAVE", "LENGTHS"]),
        Phase::Backward => switches(["LENGTHS"]),
    }
}
