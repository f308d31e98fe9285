//! Which schedule runs a layer on a device.

pub(crate) mod self_check;
mod table;

use super::cell::Cell;
use super::persistent::{self, Team};
use super::{Sizes, sequence};
use crate::device::gpu::Gpu;
use crate::lengths::Counted;
use crate::{Error, Result};
use std::sync::Arc;

/// How a GPU goes through the timesteps of an LSTM layer. The CPU device has one way and
/// ignores this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Strategy {
    /// The faster of those that can run the shape here.
    #[default]
    Auto,
    /// All timesteps in one dispatch: a workgroup takes a few rows of the batch through the
    /// whole sequence. Needs a workgroup as wide as the hidden size.
    Sequence,
    /// One dispatch for each timestep. Runs any size.
    Stepwise,
    /// All timesteps in one dispatch: workgroups that run at once share the hidden units, keep
    /// their slices of `weight_hh` in registers and shared memory, and hand each other h, or the
    /// gates' gradients, at each step. On a GPU for hidden sizes from some 128 on, where what one
    /// workgroup reads of `weight_hh` at each step takes longer.
    ///
    /// Where workgroups turn out not to run at once the pass ends all the same, with the same
    /// bits, only later; the next read-back of anything tells, a warning is logged, and from then
    /// on a GPU takes what `Auto` would, a software adapter one workgroup for all. Runs the plain cell
    /// alone, without a mask.
    Persistent,
}

impl Strategy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Sequence => "Sequence",
            Self::Stepwise => "Stepwise",
            Self::Persistent => "Persistent",
        }
    }
}

/// What a strategy was chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    Backward,
}

/// What a schedule is wanted for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) pass: Pass,
    /// Whether the plain cell is not enough.
    pub(crate) variant: bool,
    pub(crate) ragged: bool,
    /// Whether gates and R have 16 bits.
    pub(crate) half: bool,
    /// Directions in one dispatch.
    pub(crate) ways: usize,
    pub(crate) batch: usize,
    pub(crate) timesteps: usize,
    pub(crate) hidden_size: usize,
}

/// Whether the plain cell is not enough.
pub(crate) fn is_variant(cell: &Cell, steps: &Counted) -> bool {
    cell.is_variant() || steps.mask().is_some()
}

impl Task {
    /// The task of so many directions, or of layers that each take the rows of one alone.
    pub(crate) fn new(
        pass: Pass,
        ways: usize,
        half: bool,
        cell: &Cell,
        steps: &Counted,
        sizes: Sizes,
    ) -> Self {
        let Sizes { batch, timesteps, hidden_size, .. } = sizes;
        let (variant, ragged) = (is_variant(cell, steps), steps.lengths().is_some());
        Self { pass, variant, ragged, half, ways, batch, timesteps, hidden_size }
    }
}

/// Fewer timesteps than this are not worth what `Persistent` does around them.
const FEW: usize = 8;

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

/// Words of shared memory for each unit and row of a workgroup: h twice; d_a of four gates.
fn shared_bytes(pass: Pass, hidden_size: usize, rows: usize) -> usize {
    4 * hidden_size * rows * if pass == Pass::Forward { 2 } else { 4 }
}

/// Where a software adapter's thread has more rows than this, it takes them together: one for all of
/// them is then cheaper than R in private memory for each.
const FEW_ROWS: usize = 12;

/// What a workgroup of a kernel for subgroups of 8 takes, if one is right here.
fn by_subgroups(gpu: &Arc<Gpu>, task: Task, each: usize) -> Option<Rows> {
    let Task { pass, variant, half, hidden_size, .. } = task;
    // A layer of fewer units leaves lanes idle.
    if !gpu.info.software || gpu.subgroup_size != Some(8) || variant || half || hidden_size < 16 {
        return None;
    }
    let few = each <= FEW_ROWS;
    let (invocations, bytes, special) = match (pass, few) {
        (Pass::Forward, true) => (sequence::row_workgroup(hidden_size), 8, &self_check::ROW),
        (Pass::Backward, true) => (sequence::row_workgroup(hidden_size), 32, &self_check::ROW_BWD),
        (Pass::Forward, false) => (workgroup(hidden_size.div_ceil(2)), 128, &self_check::SUBGROUP),
        (Pass::Backward, false) => {
            (workgroup(hidden_size.div_ceil(4)), 0, &self_check::SUBGROUP_BWD)
        }
    };
    let fits = invocations <= widest_workgroup(gpu)
        && bytes * hidden_size.next_multiple_of(32)
            <= gpu.limits.max_compute_workgroup_storage_size as usize;
    let rows = Rows { count: if few { 1 } else { 16 }, subgroups: true };
    (fits && gpu.trusts(special)).then_some(rows)
}

fn widest_workgroup(gpu: &Gpu) -> usize {
    let limits = &gpu.limits;
    limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x) as usize
}

/// The schedule for a layer.
pub(crate) fn schedule(gpu: &Arc<Gpu>, strategy: Strategy, task: Task) -> Result<Schedule> {
    // What has failed on a GPU is not tried again there; a software adapter has another way to do it.
    let given_up = gpu.resident.tripped() && !gpu.info.software;
    let auto = strategy == Strategy::Auto || (strategy == Strategy::Persistent && given_up);
    let tried = if auto { table::order(gpu.info.software, task) } else { &[strategy] };
    for candidate in tried {
        let found = match candidate {
            Strategy::Sequence => by_sequence(gpu, task),
            Strategy::Persistent if task.variant => {
                Err("it runs the plain cell alone, without a mask".into())
            }
            Strategy::Persistent if auto && task.timesteps < FEW => {
                Err("there are few timesteps".into())
            }
            Strategy::Persistent
                if auto
                    && (given_up
                        || !gpu.trusts(&self_check::PERSISTENT[usize::from(task.half)])) =>
            {
                Err("it was not seen to be right on this device".into())
            }
            Strategy::Persistent => {
                persistent::team(gpu, task, threads(gpu), auto)?.map(Schedule::Persistent)
            }
            Strategy::Auto | Strategy::Stepwise => Ok(Schedule::Stepwise),
        };
        match found {
            Ok(schedule) => return Ok(schedule),
            Err(_) if auto => {}
            Err(reason) => {
                let (strategy, hidden_size) = (strategy.name(), task.hidden_size);
                return Err(Error::Strategy { strategy, hidden_size, reason });
            }
        }
    }
    Ok(Schedule::Stepwise)
}

/// `Sequence` reads R once for every few rows and step, but costs no dispatch and waits for nobody.
fn by_sequence(gpu: &Arc<Gpu>, task: Task) -> Result<Schedule, String> {
    let Task { pass, variant, ragged, ways, batch, hidden_size, .. } = task;
    let invocations = widest_workgroup(gpu);
    let shared = gpu.limits.max_compute_workgroup_storage_size as usize;
    let fits = |rows| {
        workgroup(hidden_size) <= invocations && shared_bytes(pass, hidden_size, rows) <= shared
    };
    // A load costs a software adapter more than what it is used for: the more rows share one,
    // the better, as long as every core has some.
    // Rows of different lengths in more groups, so that who has the longest gets no others.
    let shares = threads(gpu) * if ragged { 2 } else { 1 };
    // These kernels do not all add in one order: a direction has the bits of one that goes alone.
    if let Some(rows) = by_subgroups(gpu, task, batch.div_ceil(shares)) {
        return Ok(Schedule::Sequence(rows));
    }
    let widest = match (ways * batch).div_ceil(shares) {
        // The code of a variant for more rows takes long to compile.
        _ if !gpu.info.software || variant => 4,
        0..=4 => 4,
        5..=8 => 8,
        _ if pass == Pass::Backward => 8,
        _ => 16,
    };
    let count = [16, 8, 4].into_iter().find(|&rows| rows <= widest && fits(rows));
    let rows = count.map(|count| Rows { count, subgroups: false });
    rows.map(Schedule::Sequence).ok_or_else(|| {
        format!(
            "it needs {} invocations and {} bytes of shared memory in a workgroup, the device \
             has {invocations} and {shared}",
            workgroup(hidden_size),
            shared_bytes(pass, hidden_size, 4),
        )
    })
}

/// The threads of a software adapter.
pub(crate) fn threads(gpu: &Gpu) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    gpu.options.threads.unwrap_or_else(cores).max(1)
}

/// Among how many runs of workgroups the rows are dealt, the longest first: a software adapter
/// gives each thread a run, first of the one way, then of the other; a GPU takes one workgroup after
/// the other.
pub(crate) fn deal(gpu: &Gpu, ragged: bool, ways: usize) -> usize {
    if gpu.info.software && ragged { (threads(gpu) / ways).max(1) } else { 1 }
}

/// Invocations of a workgroup that has one for each unit.
pub(crate) fn workgroup(hidden_size: usize) -> usize {
    hidden_size.next_multiple_of(8)
}
