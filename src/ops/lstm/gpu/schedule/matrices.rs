//! One dispatch for each timestep of a chunk, by the matrix units of a GPU: `Stepwise` for R of 16 bits and the plain
//! cell.

use super::stepwise;
use crate::Result;
use crate::device::gpu::Gpu;
use crate::device::kernel::{Kernel, Workgroup};
use crate::ops::gemm::cooperative::{ENABLE, MATRICES, SIXTEEN, shape};
use crate::ops::lstm::gpu::kernels::{
    BACKWARD_BINDINGS, FORWARD_BINDINGS, all_switches, kernel, matrix_parts,
};
use crate::ops::lstm::gpu::pass::Segment;
use crate::ops::lstm::gpu::task::{Phase, Task};

/// A kernel of each phase for tiles of a shape. Tests multiply otherwise than by matrix units.
macro_rules! of_shape {
    ($name:expr, $forward:expr, $backward:expr, $invocations:expr, $enable:expr, $matrices:expr, $units:expr) => {
        [
            kernel(
                $name,
                const { &matrix_parts(Phase::Forward, [$enable, $forward, $matrices, $units]) },
                FORWARD_BINDINGS,
                (Workgroup::Of([$invocations, 1, 1]), || all_switches(Phase::Forward)),
            ),
            kernel(
                concat!($name, "_bwd"),
                const { &matrix_parts(Phase::Backward, [$enable, $backward, $matrices, $units]) },
                BACKWARD_BINDINGS,
                (Workgroup::Of([$invocations, 1, 1]), || all_switches(Phase::Backward)),
            ),
        ]
    };
}
#[cfg(all(test, feature = "gpu"))]
pub(crate) use of_shape;

/// A shape with four subgroups of 32 lanes, and of 64.
macro_rules! of_lanes {
    ($name:literal, ($($forward:tt)*), ($($backward:tt)*)) => {
        [
            of_lanes!($name, ($($forward)*), ($($backward)*), 128),
            of_lanes!(concat!($name, "_wave64"), ($($forward)*), ($($backward)*), 256),
        ]
    };
    ($name:expr, ($($forward:tt)*), ($($backward:tt)*), $invocations:literal) => {
        of_shape!(
            $name,
            shape!($($forward)*, $invocations),
            shape!($($backward)*, $invocations),
            $invocations,
            ENABLE,
            SIXTEEN,
            MATRICES
        )
    };
}

/// Tiles of 16 rows: the four gates of 16 units; backwards 16 units, with K shared out over four subgroups.
pub(crate) static ROWS_16: [[Kernel; 2]; 2] = of_lanes!(
    "lstm_stepwise_matrices_16",
    (16, 1 x 1, 16 x 64, 64),
    (16, 1 x 1, 16 x 16, 128 / 4)
);
/// Of 32 rows, which need half of what those read of R.
pub(crate) static ROWS_32: [[Kernel; 2]; 2] = of_lanes!(
    "lstm_stepwise_matrices_32",
    (16, 2 x 1, 32 x 64, 64),
    (16, 2 x 1, 32 x 16, 128 / 4)
);
/// Of 64 rows; backwards of 32 units, with K shared out over two.
pub(crate) static ROWS_64: [[Kernel; 2]; 2] = of_lanes!(
    "lstm_stepwise_matrices_64",
    (16, 2 x 2, 64 x 64, 32),
    (16, 2 x 2, 64 x 32, 64 / 2)
);

/// Tiles of the kernels, and where they make sense.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiles {
    /// Of the forward pass, and of the backward pass.
    pub(crate) kernels: &'static [Kernel; 2],
    /// Rows and units of a workgroup in each.
    pub(crate) tiles: [[usize; 2]; 2],
    /// Lanes of a subgroup with which a workgroup has as many subgroups as it can use.
    pub(crate) lanes: u32,
    /// Bytes of shared memory of the kernel that takes more: two turns of both factors in 16 bits, and a matrix of sums
    /// for each subgroup.
    pub(crate) shared: usize,
}

/// The fewest rows first.
pub(crate) static TILES: [Tiles; 6] = [
    Tiles { kernels: &ROWS_16[0], tiles: [[16, 16], [16, 16]], lanes: 32, shared: 27_136 },
    Tiles { kernels: &ROWS_16[1], tiles: [[16, 16], [16, 16]], lanes: 64, shared: 27_136 },
    Tiles { kernels: &ROWS_32[0], tiles: [[32, 16], [32, 16]], lanes: 32, shared: 31_744 },
    Tiles { kernels: &ROWS_32[1], tiles: [[32, 16], [32, 16]], lanes: 64, shared: 31_744 },
    Tiles { kernels: &ROWS_64[0], tiles: [[64, 16], [64, 32]], lanes: 32, shared: 31_744 },
    Tiles { kernels: &ROWS_64[1], tiles: [[64, 16], [64, 32]], lanes: 64, shared: 31_744 },
];

/// Workgroups of a dispatch that fill a card. Where fewer of larger tiles are, those of smaller ones read more of R
/// together, but on more cores.
const ENOUGH: usize = 96;
/// Fewer units than this are not worth a dispatch for each step.
const MIN_UNITS: usize = 128;

impl Tiles {
    /// Whether a device can run them as they are meant.
    pub(crate) fn fits(&self, gpu: &Gpu) -> bool {
        let lanes = gpu.subgroup_size.is_none_or(|lanes| lanes == self.lanes);
        let room = gpu.limits.max_compute_workgroup_storage_size as usize;
        lanes && self.shared <= room && self.kernels.iter().all(|kernel| kernel.runs_on(gpu))
    }

    fn workgroups(&self, task: Task) -> usize {
        let [rows, units] = self.tiles[usize::from(task.phase == Phase::Backward)];
        task.batch.div_ceil(rows) * task.hidden_size.div_ceil(units) * task.lanes
    }
}

/// Which of some tiles a task takes: the most rows whose workgroups fill the device, and no more than there are.
pub(crate) fn best(of: impl Iterator<Item = Tiles>, task: Task) -> Option<Tiles> {
    let larger = |best: Tiles, next: Tiles| {
        let fill = next.workgroups(task) >= ENOUGH.min(best.workgroups(task));
        if task.batch > best.tiles[0][0] && fill { next } else { best }
    };
    of.reduce(larger)
}

/// Whether there is a kernel for a task, whatever the device.
pub(crate) fn takes(task: Task) -> bool {
    task.half && !task.variant && task.hidden_size >= MIN_UNITS
}

pub(super) fn run(segment: &Segment<'_>, tiles: Tiles) -> Result<()> {
    let phase = usize::from(segment.pass.task.phase == Phase::Backward);
    stepwise::run_by(segment, &tiles.kernels[phase], tiles.tiles[phase])
}
