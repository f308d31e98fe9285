//! The schedules of a recurrence: in which order, and by which workgroups, its timesteps are taken.

pub(crate) mod persistent;
pub(crate) mod sequence;
pub(crate) mod stepwise;

use super::chunks::Chunk;
use super::pass::Segment;
use crate::Result;
use crate::device::gpu::Gpu;
use crate::lengths::Counted;
use crate::ops::lstm::{CellConfig, Forward, Saved, Sizes, Weights};
use persistent::{Exchange, Team};

/// Which of the two passes of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Forward,
    Backward,
}

/// What of a pass decides about its schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) phase: Phase,
    /// Whether the plain cell is not enough.
    pub(crate) variant: bool,
    /// Whether rows have lengths.
    pub(crate) ragged: bool,
    /// Whether gates and R have 16 bits.
    pub(crate) half: bool,
    /// Directions, or layers of a stack, in one dispatch.
    pub(crate) lanes: usize,
    pub(crate) batch: usize,
    pub(crate) timesteps: usize,
    pub(crate) hidden_size: usize,
}

impl Task {
    /// The task of a forward pass, whose calls go in the same dispatches.
    pub(crate) fn forward(calls: &[Forward<'_>], sizes: Sizes) -> Self {
        let Forward { weights, steps, config, .. } = &calls[0];
        Self::new(Phase::Forward, calls.len(), weights, config, steps, sizes)
    }

    /// The task of a backward pass over so many lanes that saved alike.
    pub(crate) fn backward(lanes: usize, saved: &Saved) -> Self {
        let Saved { weights, mask, config, sizes, .. } = saved;
        Self::new(Phase::Backward, lanes, weights, config, mask, *sizes)
    }

    fn new(
        phase: Phase,
        lanes: usize,
        weights: &Weights,
        config: &CellConfig,
        steps: &Counted,
        Sizes { batch, timesteps, hidden_size, .. }: Sizes,
    ) -> Self {
        let variant = config.cell.is_variant() || steps.mask().is_some();
        let (ragged, half) = (steps.lengths().is_some(), weights.is_half());
        Self { phase, variant, ragged, half, lanes, batch, timesteps, hidden_size }
    }
}

/// A strategy that is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schedule {
    Sequence(Rows),
    Persistent(Team),
    Stepwise,
}

/// The rows that a workgroup of `Sequence` takes, and whether its invocations hand each other what
/// they load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) count: usize,
    pub(crate) subgroups: bool,
}

impl Schedule {
    /// The schedule of one chunk: `Stepwise` where what workgroups exchange exceeds a binding.
    pub(super) fn of_chunk(self, gpu: &Gpu, task: Task, chunk: Chunk) -> Self {
        match self {
            Self::Persistent(team)
                if 4 * Exchange::len(task, chunk, team) as u64 > gpu.max_binding() =>
            {
                Self::Stepwise
            }
            settled => settled,
        }
    }

    /// Runs the recurrence of a segment; `exchange` is that of [`Exchange::of`].
    pub(super) fn run(self, segment: &Segment<'_>, exchange: Option<&Exchange>) -> Result<()> {
        match (self, exchange) {
            (Self::Sequence(rows), _) => sequence::run(segment, rows),
            (Self::Persistent(team), Some(exchange)) => persistent::run(segment, team, exchange),
            _ => stepwise::run(segment),
        }
    }
}

/// The threads of a software adapter.
pub(crate) fn threads(gpu: &Gpu) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    gpu.options.threads.unwrap_or_else(cores).max(1)
}
