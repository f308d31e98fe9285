//! The schedules of a recurrence: in which order, and by which workgroups, its timesteps are taken.

pub(crate) mod matrices;
pub(crate) mod persistent;
pub(crate) mod sequence;
pub(crate) mod stepwise;

use super::chunks::Chunk;
use super::pass::Segment;
use super::task::Task;
use crate::Result;
use crate::device::gpu::Gpu;
use matrices::Tiles;
use persistent::{Exchange, Team};

/// A strategy that is settled.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Schedule {
    Sequence(Rows),
    Persistent(Team),
    Stepwise,
    /// The same by matrix units.
    Matrices(Tiles),
}

/// The rows that a workgroup of `Sequence` takes, and whether its invocations hand each other what
/// they load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) count: usize,
    pub(crate) subgroups: bool,
}

impl Schedule {
    /// Whether each step is a dispatch, which finds the state in what is kept of the steps, saved or not.
    pub(super) fn is_of_steps(self) -> bool {
        matches!(self, Self::Stepwise | Self::Matrices(_))
    }

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
            (Self::Matrices(tiles), _) => matrices::run(segment, tiles),
            _ => stepwise::run(segment),
        }
    }
}
