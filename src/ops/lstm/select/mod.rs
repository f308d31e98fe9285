//! Which schedule runs a layer on a device: settled before anything of a pass is recorded.

mod explain;
pub(crate) mod self_check;
mod table;

use super::Saved;
use super::cell::Cell;
use super::gpu::chunks::most_words;
use super::gpu::lanes::aligned_frames;
use super::gpu::schedule::matrices::Tiles;
use super::gpu::schedule::sequence::{self, workgroup};
use super::gpu::schedule::{Rows, Schedule, matrices, persistent};
use super::gpu::task::{Phase, Task, threads};
use super::gpu::wavefront::Cut;
use crate::device::gpu::Gpu;
use crate::{Error, Result, Tensor};
pub(crate) use explain::{Asked, explain};
use std::sync::Arc;

/// How a GPU goes through the timesteps of an LSTM layer. The CPU device has one way and
/// ignores this.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Hash, serde::Serialize, serde::Deserialize,
)]
#[non_exhaustive]
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
    /// alone.
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

/// Fewer timesteps than this are not worth what `Persistent` does around them.
const MIN_PERSISTENT_STEPS: usize = 8;

/// Bytes of shared memory of a workgroup: h twice, or d_a of four gates, of each unit and row.
fn shared_bytes(phase: Phase, hidden_size: usize, rows: usize) -> usize {
    4 * hidden_size * rows * if phase == Phase::Forward { 2 } else { 4 }
}

/// Where a software adapter's thread has more rows than this, it takes them together: one for all of
/// them is then cheaper than R in private memory for each.
const FEW_ROWS: usize = 12;

/// What a workgroup of a kernel for subgroups of 8 takes, if one is right here.
fn by_subgroups(gpu: &Arc<Gpu>, task: Task, each: usize) -> Option<Rows> {
    let Task { phase, variant, half, hidden_size, .. } = task;
    // A layer of fewer units leaves lanes idle.
    if !gpu.info.software || variant || half || hidden_size < 16 {
        return None;
    }
    let few = each <= FEW_ROWS;
    let rows = Rows { count: if few { 1 } else { 16 }, subgroups: true };
    let (bytes, fast) = match (phase, few) {
        (Phase::Forward, true) => (8, &self_check::ROW),
        (Phase::Backward, true) => (32, &self_check::ROW_BWD),
        (Phase::Forward, false) => (128, &self_check::SUBGROUP),
        (Phase::Backward, false) => (0, &self_check::SUBGROUP_BWD),
    };
    let fits = sequence::invocations(phase, rows, hidden_size) <= widest_workgroup(gpu)
        && bytes * hidden_size.next_multiple_of(32)
            <= gpu.limits.max_compute_workgroup_storage_size as usize;
    (fits && gpu.is_trusted(fast)).then_some(rows)
}

fn widest_workgroup(gpu: &Gpu) -> usize {
    let limits = &gpu.limits;
    limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x) as usize
}

/// The schedule for a layer.
pub(crate) fn schedule(gpu: &Arc<Gpu>, strategy: Strategy, task: Task) -> Result<Schedule> {
    settle(gpu, strategy, task, |_, _| {})
}

/// A task with what this device was seen to do right alone. Tests of forced teams want no trial.
pub(crate) fn trusted(gpu: &Arc<Gpu>, task: Task) -> Task {
    let right = || gpu.forced().workgroups.is_some() || gpu.is_trusted(&self_check::FUSED);
    Task { fused: task.fused && right(), ..task }
}

/// The schedule for a layer; tells of each strategy before it why it cannot run here.
fn settle(
    gpu: &Arc<Gpu>,
    strategy: Strategy,
    task: Task,
    mut refused: impl FnMut(Strategy, String),
) -> Result<Schedule> {
    // What has failed on a GPU is not tried again there; a software adapter has another way to do it.
    let given_up = gpu.coresident.timed_out() && !gpu.info.software;
    let auto = strategy == Strategy::Auto || (strategy == Strategy::Persistent && given_up);
    let many = task.lanes * task.batch >= MATRIX_ROWS && task.hidden_size >= MATRIX_UNITS;
    if auto
        && many
        && let by_units @ Schedule::Matrices(_) = by_steps(gpu, task)
    {
        return Ok(by_units);
    }
    let tried = if auto { table::order(gpu.class, task) } else { &[strategy] };
    for candidate in tried {
        let found = match candidate {
            Strategy::Sequence => by_sequence(gpu, task),
            Strategy::Persistent if task.variant => Err("it runs the plain cell alone".into()),
            Strategy::Persistent if auto && task.timesteps < MIN_PERSISTENT_STEPS => {
                Err("there are few timesteps".into())
            }
            Strategy::Persistent
                if auto
                    && (given_up
                        || !gpu.is_trusted(&self_check::PERSISTENT[usize::from(task.half)])) =>
            {
                Err("it was not seen to be right on this device".into())
            }
            Strategy::Persistent => persistent::team(gpu, task, auto)?.map(Schedule::Persistent),
            Strategy::Auto | Strategy::Stepwise => Ok(by_steps(gpu, task)),
        };
        match found {
            Ok(schedule) => return Ok(schedule),
            Err(reason) if auto => refused(*candidate, reason),
            Err(reason) => {
                let (strategy, hidden_size) = (strategy.name(), task.hidden_size);
                return Err(Error::Strategy { strategy, hidden_size, reason });
            }
        }
    }
    Ok(by_steps(gpu, task))
}

/// Where `Auto` goes by matrix units though the table, which knows of 32 bits alone, says otherwise: so many rows that
/// plain arithmetic takes longer than what a dispatch for each step costs.
const MATRIX_ROWS: usize = 32;
const MATRIX_UNITS: usize = 256;

/// A dispatch for each timestep: by matrix units where they were seen to be right.
fn by_steps(gpu: &Arc<Gpu>, task: Task) -> Schedule {
    if let Some((kernels, tiles)) = gpu.forced().matrices.filter(|_| task.half && !task.variant) {
        return Schedule::Matrices(Tiles { kernels, tiles, lanes: 0, shared: 0 });
    }
    if !gpu.has_cooperative() || !matrices::takes(task) {
        return Schedule::Stepwise;
    }
    let all = matrices::TILES.iter().zip(&self_check::MATRICES);
    let right = all.filter(|(tiles, path)| tiles.fits(gpu) && gpu.is_trusted(path));
    let best = matrices::best(right.map(|(tiles, _)| *tiles), task);
    best.map_or(Schedule::Stepwise, Schedule::Matrices)
}

/// `Sequence` reads R once for every few rows and step, but costs no dispatch and waits for nobody.
fn by_sequence(gpu: &Arc<Gpu>, task: Task) -> Result<Schedule, String> {
    let Task { phase, variant, ragged, lanes, batch, hidden_size, .. } = task;
    let invocations = widest_workgroup(gpu);
    let shared = gpu.limits.max_compute_workgroup_storage_size as usize;
    let fits = |rows| {
        workgroup(hidden_size) <= invocations && shared_bytes(phase, hidden_size, rows) <= shared
    };
    // A load costs a software adapter more than what it is used for: the more rows share one,
    // the better, as long as every core has some.
    // Rows of different lengths in more groups, so that who has the longest gets no others.
    let shares = threads(gpu) * if ragged { 2 } else { 1 };
    // These kernels do not all add in one order: a direction has the bits of one that goes alone.
    if let Some(rows) = by_subgroups(gpu, task, batch.div_ceil(shares)) {
        return Ok(Schedule::Sequence(rows));
    }
    let widest = match (lanes * batch).div_ceil(shares) {
        // The code of a variant for more rows takes long to compile.
        _ if !gpu.info.software || variant => 4,
        0..=4 => 4,
        5..=8 => 8,
        _ if phase == Phase::Backward => 8,
        _ => 16,
    };
    let count = [16, 8, 4].into_iter().find(|&rows| rows <= widest && fits(rows));
    let rows = count.map(|count| Rows { count, subgroups: false });
    rows.map(Schedule::Sequence).ok_or_else(|| {
        format!(
            "it needs {} invocations and {} bytes of shared memory in a workgroup, the device \
             has {invocations} and {shared}",
            workgroup(hidden_size),
            shared_bytes(phase, hidden_size, 4),
        )
    })
}

/// Timesteps of a part, at least: each costs a product and a dispatch of its own.
const PART_STEPS: usize = 16;
/// Parts, at most.
const MOST_PARTS: usize = 8;
/// Workgroups that every hardware GPU runs at once.
const AT_ONCE: usize = 16;

/// How `layers` of `hidden_size` go over `x`; none where each does better alone: one that fills the
/// device leaves no room for another.
pub(crate) fn cut_stack(
    x: &Tensor,
    layers: usize,
    hidden_size: usize,
    [half, save]: [bool; 2],
    (strategy, cell): (Strategy, Cell),
) -> Option<Cut> {
    let &[batch, timesteps, _] = x.shape() else { return None };
    cut(x.gpu()?, [batch, timesteps], layers, hidden_size, [half, save], (strategy, cell))
}

fn cut(
    gpu: &Arc<Gpu>,
    [batch, timesteps]: [usize; 2],
    layers: usize,
    hidden_size: usize,
    [half, save]: [bool; 2],
    (strategy, cell): (Strategy, Cell),
) -> Option<Cut> {
    let forced = gpu.forced().parts;
    let can = |parts: usize| {
        timesteps.is_multiple_of(parts)
            && (batch * timesteps / parts).is_multiple_of(aligned_frames(hidden_size))
            && layers * (batch * timesteps).max(hidden_size + 1) * 4 * hidden_size
                <= most_words(gpu)
    };
    let longest =
        || (2..=MOST_PARTS).rev().find(|&parts| can(parts) && timesteps / parts >= PART_STEPS);
    let parts = forced.map_or_else(longest, Some).filter(|&parts| parts > 1 && can(parts))?;
    let (variant, ragged) = (cell.is_variant(), false);
    let (phase, lanes, fused) = (Phase::Forward, 1, false);
    let task =
        Task { phase, variant, ragged, half, save, fused, lanes, batch, timesteps, hidden_size };
    let rows = stack_rows(gpu, strategy, task).ok()??;
    Some(Cut { parts, rows })
}

/// The rows that a workgroup takes in the backward pass of layers that went forward as a wavefront; none
/// where each layer does better alone.
pub(crate) fn stack_rows_back(gpu: &Arc<Gpu>, saved: &Saved) -> Result<Option<Rows>> {
    stack_rows(gpu, saved.config.strategy, Task::backward(1, saved))
}

/// As many rows as a layer alone would take, for the same bits, if that leaves at least half of the device
/// idle.
fn stack_rows(gpu: &Arc<Gpu>, strategy: Strategy, task: Task) -> Result<Option<Rows>> {
    // The one strategy that a wavefront has; where another is faster, it is so by more than layers at once.
    let Schedule::Sequence(rows) = schedule(gpu, strategy, task)? else { return Ok(None) };
    let at_once = if gpu.info.software { threads(gpu) } else { AT_ONCE };
    let forced = gpu.forced().parts.is_some();
    Ok((forced || 2 * task.batch.div_ceil(rows.count) <= at_once).then_some(rows))
}
