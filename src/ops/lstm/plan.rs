//! Which schedule runs a layer on a device, and how its batch is cut into chunks.

use super::persistent::{self, Team};
use super::{sequence, table, trial};
use crate::device::gpu::Gpu;
use crate::lengths::PackedRow;
use crate::{Error, Result};
use std::sync::Arc;

/// How a GPU goes through the timesteps of an LSTM layer. The CPU device has one way and
/// ignores this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
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
        (Pass::Forward, true) => (sequence::row_workgroup(hidden_size), 8, &trial::ROW),
        (Pass::Backward, true) => (sequence::row_workgroup(hidden_size), 32, &trial::ROW_BWD),
        (Pass::Forward, false) => (workgroup(hidden_size.div_ceil(2)), 128, &trial::SUBGROUP),
        (Pass::Backward, false) => (workgroup(hidden_size.div_ceil(4)), 0, &trial::SUBGROUP_BWD),
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
                    && (given_up || !gpu.trusts(&trial::PERSISTENT[usize::from(task.half)])) =>
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

/// A part of a batch whose gates fit in one binding: whole rows, or, where one row alone is too
/// large, some timesteps of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// In the order of the lengths' table, if there are lengths.
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    pub(crate) first_step: usize,
    /// Of the longest row, which is the first.
    pub(crate) steps: usize,
    /// The frames of all rows follow each other: from here on, and how many.
    pub(crate) first_frame: usize,
    pub(crate) frames: usize,
}

/// How many timesteps the rows of a batch have.
#[derive(Clone, Copy)]
pub(crate) enum RowLengths<'a> {
    Same { rows: usize, timesteps: usize },
    Table(&'a [PackedRow]),
}

impl RowLengths<'_> {
    fn rows(self) -> usize {
        match self {
            Self::Same { rows, .. } => rows,
            Self::Table(table) => table.len(),
        }
    }

    fn length(self, row: usize) -> usize {
        match self {
            Self::Same { timesteps, .. } => timesteps,
            Self::Table(table) => table[row].length,
        }
    }
}

/// The chunks of a batch, in the order of its rows, for gates of at most `words` words.
pub(crate) fn chunks(
    lengths: RowLengths<'_>,
    hidden_size: usize,
    words: usize,
) -> Result<Vec<Chunk>> {
    let step = 4 * hidden_size;
    let room = words / step;
    if room == 0 {
        return Err(Error::TooLarge {
            what: "the gates of one timestep",
            bytes: 4 * step as u64,
            limit: 4 * words as u64,
        });
    }
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut first_frame = 0;
    for row in 0..lengths.rows() {
        let length = lengths.length(row);
        // A grid has 65,535 workgroups of at least 4 rows; fewer leaves room for either schedule.
        let last = chunks.last_mut().filter(|chunk| {
            length <= room && chunk.frames + length <= room && chunk.rows < 65_535 * 4
        });
        if let Some(chunk) = last.filter(|chunk| chunk.first_step == 0) {
            chunk.rows += 1;
            chunk.frames += length;
        } else {
            for first_step in (0..length).step_by(room) {
                let steps = room.min(length - first_step);
                chunks.push(Chunk {
                    first_row: row,
                    rows: 1,
                    first_step,
                    steps,
                    first_frame: first_frame + first_step,
                    frames: steps,
                });
            }
        }
        first_frame += length;
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lengths: RowLengths<'_>, hidden: usize, words: usize) {
        let mut frame = 0;
        let mut seen: Vec<_> =
            (0..lengths.rows()).map(|row| vec![0; lengths.length(row)]).collect();
        for chunk in chunks(lengths, hidden, words).unwrap() {
            assert!(chunk.frames * hidden * 4 <= words, "{chunk:?}");
            assert_eq!(chunk.first_frame, frame, "{chunk:?}");
            frame += chunk.frames;
            let mut frames = 0;
            let rows = chunk.first_row..chunk.first_row + chunk.rows;
            for seen in &mut seen[rows] {
                let end = seen.len().min(chunk.first_step + chunk.steps);
                assert!(chunk.rows == 1 || end == seen.len(), "{chunk:?}");
                seen[chunk.first_step..end].iter_mut().for_each(|n| *n += 1);
                frames += end - chunk.first_step;
            }
            assert_eq!(frames, chunk.frames);
        }
        assert!(seen.iter().flatten().all(|&n| n == 1), "{seen:?}");
    }

    #[test]
    fn chunks_cover_each_step_of_each_row_once() {
        for (rows, timesteps, hidden, words) in
            [(5, 3, 2, 24), (5, 3, 2, 50), (5, 3, 2, 1 << 20), (3, 7, 2, 16), (2, 4, 1, 4)]
        {
            check(RowLengths::Same { rows, timesteps }, hidden, words);
            let table: Vec<_> = (0..rows)
                .map(|at| PackedRow { at, length: (timesteps - at.min(timesteps - 1)), start: 0 })
                .collect();
            check(RowLengths::Table(&table), hidden, words);
        }
    }

    #[test]
    fn a_chunk_has_no_more_rows_than_a_grid() {
        let rows = 65_535 * 4;
        let chunks = chunks(RowLengths::Same { rows: rows + 1, timesteps: 1 }, 1, 1 << 22).unwrap();
        assert_eq!(chunks.iter().map(|c| c.rows).collect::<Vec<_>>(), [rows, 1]);
    }

    #[test]
    fn a_timestep_that_fits_nowhere_is_an_error() {
        let lengths = RowLengths::Same { rows: 1, timesteps: 1 };
        assert!(matches!(chunks(lengths, 2, 7), Err(Error::TooLarge { bytes: 32, limit: 28, .. })));
    }
}
