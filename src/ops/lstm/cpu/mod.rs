//! A layer on the CPU: the rows of a batch are split over the threads, and each thread takes
//! its rows through the whole sequence, so no thread waits for another. A single row may run on two
//! threads: see `pair`.
//!
//! Layout of a row's gates at a timestep: blocks of as many units as a SIMD register has lanes,
//! in each block the lanes of i, then f, g, o. R is packed to match, so that the recurrent
//! product, the gates and the cell update of a block of units stay in registers. Units past H,
//! up to a whole block, are padding: their weights are zero, and no result depends on them.
//!
//! This file has the parts that both passes share.

mod backward;
mod forward;
pub(super) mod micro;
mod pair;
pub(super) mod products;
mod step;

pub(super) use backward::backward;
pub(super) use forward::forward;
pub(super) use pair::pays as pair_pays;
pub(crate) use step::{Stack, StackLayer};

use super::{CellConfig, Columns, Forward, Sizes, Weights, cell};
use crate::device::cpu::Aligned;
use crate::device::threads::{self, each as each_job};
use crate::{Lengths, Result, Tensor};
use pulp::bytemuck::cast_slice_mut;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;
use std::sync::Arc;

/// The values saved at every timestep, in blocks of `lanes` units, in the order of the tasks' rows.
pub(super) struct SavedBatch {
    lanes: usize,
    tasks: Arc<[Task]>,
    /// The activated gates `[frames, blocks, 4, lanes]`, unless they are recomputed; the backward pass
    /// turns them into d_a in place.
    gates: Option<Tensor>,
    /// h before each step, as the product with R takes it: `[frames, blocks, lanes]`.
    h_before: Tensor,
    c_before: Tensor,
}

/// The rows that one thread runs.
pub(super) struct Task {
    /// The rows, the longest first.
    pub(super) rows: Vec<Row>,
    /// The first of the task's frames among those of all tasks.
    first_frame: usize,
    frames: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Row {
    /// The row in the batch.
    pub(super) at: usize,
    length: usize,
    /// The row's first frame among the task's.
    start: usize,
}

impl Row {
    /// The frame of a step, among the task's.
    fn frame(self, step: usize, reverse: bool) -> usize {
        self.start + if reverse { self.length - 1 - step } else { step }
    }
}

impl Task {
    /// Distributes the rows of a batch over the threads, so that each gets about as many frames.
    pub(super) fn deal(lengths: Option<&Lengths>, sizes: Sizes) -> Arc<[Self]> {
        let Sizes { batch, timesteps, .. } = sizes;
        let count = shares(sizes, threads::count());
        let mut tasks: Vec<Vec<(usize, usize)>> = vec![Vec::new(); count];
        match lengths {
            // Back and forth, so that the thread with the longest row gets the shorter of the next two.
            Some(lengths) => {
                for (n, row) in lengths.rows().iter().enumerate() {
                    let (round, place) = (n / count, n % count);
                    let task = if round % 2 == 0 { place } else { count - 1 - place };
                    tasks[task].push((row.at, row.length));
                }
            }
            // Adjacent rows, whose frames lie as in the batch.
            None => {
                let each = batch.div_ceil(count);
                for row in 0..batch {
                    tasks[row / each].push((row, timesteps));
                }
            }
        }
        let mut first_frame = 0;
        let tasks = tasks.into_iter().filter(|rows| !rows.is_empty()).map(|rows| {
            let mut frames = 0;
            let rows = rows
                .into_iter()
                .map(|(at, length)| {
                    let row = Row { at, length, start: frames };
                    frames += length;
                    row
                })
                .collect();
            let task = Self { rows, first_frame, frames };
            first_frame += frames;
            task
        });
        tasks.collect()
    }

    /// The number of rows that have this step.
    fn running(&self, step: usize) -> usize {
        self.rows.partition_point(|row| row.length > step)
    }

    fn steps(&self) -> usize {
        self.rows[0].length
    }
}

/// Over how many of the threads a batch is split.
pub(super) fn shares(sizes: Sizes, threads: usize) -> usize {
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let products = [timesteps, 4 * hidden_size, input_size + hidden_size]
        .into_iter()
        .fold(batch, usize::saturating_mul);
    // Little work is done before another thread wakes up.
    if products < WAKING { 1 } else { batch.min(threads) }
}

/// The first frame of each row of a value: of a packed one, if there are these lengths.
fn first_frames(packed: Option<&Lengths>, Sizes { batch, timesteps, .. }: Sizes) -> Vec<usize> {
    let mut first: Vec<_> = (0..batch).map(|row| row * timesteps).collect();
    for row in packed.map_or(&[][..], Lengths::rows) {
        first[row.at] = row.start;
    }
    first
}

/// Runs `copy` on the words of each of the tasks' rows, frame by frame unless all of a frame is copied: where
/// they lie in the tasks' order, and where in columns of a value, whose rows begin at these frames.
fn each_copy(
    tasks: &[Task],
    first: &[usize],
    width: usize,
    y: Columns<'_>,
    mut copy: impl FnMut(Range<usize>, Range<usize>),
) {
    let mut at = 0;
    for row in tasks.iter().flat_map(|t| &t.rows) {
        let (copies, words) = match y.stride() == width {
            true => (1, row.length * width),
            false => (row.length, width),
        };
        for step in 0..copies {
            let there = (first[row.at] + step) * y.stride() + y.first;
            copy(at..at + words, there..there + words);
            at += words;
        }
    }
}

/// Copies columns of a value, whose rows begin at these frames, to frames in the tasks' order.
fn gather(tasks: &[Task], first: &[usize], width: usize, y: Columns<'_>) -> Result<Tensor> {
    let count = tasks.iter().map(|t| t.frames).sum::<usize>();
    let frames = Tensor::empty([count, width], &y.tensor.device())?;
    let from = y.tensor.cpu();
    frames.cpu_mut(|frames| {
        each_copy(tasks, first, width, y, |here, there| {
            frames[here].copy_from_slice(&from[there]);
        });
    });
    Ok(frames)
}

/// Copies frames in the tasks' order to columns of a value, whose rows begin at these frames.
fn scatter(
    tasks: &[Task],
    frames: &[f32],
    first: &[usize],
    width: usize,
    to: &mut [f32],
    y: Columns<'_>,
) {
    each_copy(tasks, first, width, y, |here, there| to[there].copy_from_slice(&frames[here]));
}

/// The layout of a layer's units in blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocks {
    lanes: usize,
    pub(super) blocks: usize,
    pub(super) hidden_size: usize,
}

impl Blocks {
    pub(super) fn new(lanes: usize, hidden_size: usize) -> Self {
        Self { lanes, blocks: hidden_size.div_ceil(lanes), hidden_size }
    }

    /// The number of units with padding.
    pub(super) fn units(self) -> usize {
        self.blocks * self.lanes
    }

    /// The words of a row's gates at a timestep.
    pub(super) fn columns(self) -> usize {
        4 * self.units()
    }

    /// The index of a gate of a unit in a row's gates.
    pub(super) fn column(self, unit: usize, gate: usize) -> usize {
        (unit / self.lanes * 4 + gate) * self.lanes + unit % self.lanes
    }

    /// The number of groups of four blocks, of which the backward product computes one at a time.
    pub(super) fn groups(self) -> usize {
        self.blocks.div_ceil(4)
    }

    /// The units of a block that are not padding.
    pub(super) fn range(self, block: usize) -> std::ops::Range<usize> {
        let first = block * self.lanes;
        first..(first + self.lanes).min(self.hidden_size)
    }

    /// Packs weights `[from, to, 4]` as `[blocks of to][from][4][lanes]`, once for each change.
    pub(super) fn packed_forward(self, weights: &Tensor) -> Result<Arc<Aligned>> {
        let (row, lanes) = (4 * self.hidden_size, self.lanes);
        let block_len = weights.len() / row * 4 * lanes;
        weights.packed("lstm forward", self.blocks * block_len, |w, packed| {
            each_chunk(packed, block_len, |block, to| {
                let units = self.range(block);
                for (to, from) in to.chunks_exact_mut(4 * lanes).zip(w.chunks_exact(row)) {
                    let from = from[4 * units.start..4 * units.end].chunks_exact(4);
                    for (lane, gates) in from.enumerate() {
                        for (gate, &w) in gates.iter().enumerate() {
                            to[gate * lanes + lane] = w;
                        }
                    }
                }
            });
        })
    }

    /// Packs weights `[from, to, 4]` as `[groups of four blocks of from][a column of the gates][4][lanes]`.
    pub(super) fn packed_backward(self, weights: &Tensor) -> Result<Arc<Aligned>> {
        let (row, width) = (4 * self.hidden_size, 4 * self.lanes);
        let group_len = self.columns() * width;
        let groups = (weights.len() / row).div_ceil(width);
        weights.packed("lstm backward", groups * group_len, |w, packed| {
            each_chunk(packed, group_len, |group, to| {
                let from = &w[group * width * row..];
                for unit in 0..self.hidden_size {
                    let columns: [usize; 4] =
                        std::array::from_fn(|gate| self.column(unit, gate) * width);
                    for (at, row) in from.chunks_exact(row).take(width).enumerate() {
                        let gates = &row[4 * unit..][..4];
                        for (column, &w) in columns.iter().zip(gates) {
                            to[column + at] = w;
                        }
                    }
                }
            });
        })
    }

    /// Packs the bias and the peepholes, if there are any.
    fn packed_rows(self, weights: &Weights) -> Result<[Option<Arc<Aligned>>; 2]> {
        let row = |row: &Option<Tensor>| row.as_ref().map(|r| self.packed_row(r)).transpose();
        Ok([row(&weights.bias)?, row(&weights.peepholes)?])
    }

    /// Packs a row `[H, 4]` in blocks.
    fn packed_row(self, row: &Tensor) -> Result<Arc<Aligned>> {
        row.packed("lstm row", self.columns(), |row, packed| {
            for (unit, gates) in row.chunks_exact(4).enumerate() {
                for (gate, &w) in gates.iter().enumerate() {
                    packed[self.column(unit, gate)] = w;
                }
            }
        })
    }
}

/// The words that a thread processes while another would wake up.
const SMALL: usize = 1 << 15;
/// The products of weights from which a second thread pays: it is hardly awake before fewer are made.
const WAKING: usize = SMALL * 16;

/// The number of threads of the pool, or one if the work is `small`.
fn threads_for(small: bool) -> usize {
    if small { 1 } else { threads::count() }
}

/// Runs `f` on each chunk and its number, on all threads if there is enough work.
fn each_chunk(words: &mut [f32], len: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let threads = threads_for(words.len() < SMALL);
    each_job(words.chunks_mut(len).enumerate(), threads, |(n, chunk)| f(n, chunk));
}

/// Runs `f` on each piece of work, one a thread. Returns the results in order.
pub(super) fn each_task<T: Send, R: Send>(work: Vec<T>, f: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = work.len();
    let mut results: Vec<Option<R>> = work.iter().map(|_| None).collect();
    each_job(work.into_iter().zip(&mut results), threads, |(work, result)| *result = Some(f(work)));
    results.into_iter().flatten().collect()
}

/// The lanes of this machine's SIMD registers.
pub(super) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}

/// Splits words into a chunk for each task, with `each` words a frame.
fn parts<'a>(words: &'a mut [f32], tasks: &[Task], columns: usize) -> Vec<&'a mut [f32]> {
    let mut rest = words;
    let mut parts = Vec::with_capacity(tasks.len());
    for task in tasks {
        let (part, behind) = rest.split_at_mut(task.frames * columns);
        parts.push(part);
        rest = behind;
    }
    parts
}

/// The task's rows of a state `[B,H]`, each padded to `units`.
fn load_rows(words: Option<&[f32]>, task: &Task, blocks: Blocks) -> Vec<f32> {
    let mut rows = vec![0.0; task.rows.len() * blocks.units()];
    let h = blocks.hidden_size;
    if let Some(words) = words {
        for (to, row) in rows.chunks_exact_mut(blocks.units()).zip(&task.rows) {
            to[..h].copy_from_slice(&words[row.at * h..][..h]);
        }
    }
    rows
}

/// Writes the rows of all tasks, each padded to `units`, to a state `[B,H]`.
fn store_rows(tasks: &[Task], values: &[Vec<f32>], blocks: Blocks, words: &mut [f32]) {
    let h = blocks.hidden_size;
    for (task, values) in tasks.iter().zip(values) {
        for (from, row) in values.chunks_exact(blocks.units()).zip(&task.rows) {
            words[row.at * h..][..h].copy_from_slice(&from[..h]);
        }
    }
}

/// The dropout mask of h for each row and unit, padded; empty without dropout.
fn recurrent_scales(config: &CellConfig, task: &Task, blocks: Blocks) -> Vec<f32> {
    let mut scales = Vec::new();
    if config.cell.recurrent_dropout > 0.0 && config.noise.training {
        scales = vec![0.0; task.rows.len() * blocks.units()];
        for (scales, row) in scales.chunks_exact_mut(blocks.units()).zip(&task.rows) {
            for (unit, scale) in scales[..blocks.hidden_size].iter_mut().enumerate() {
                *scale =
                    config.cell.recurrent_scale(config.noise, row.at * blocks.hidden_size + unit);
            }
        }
    }
    scales
}

/// The share of h and c of a block of units that keeps its value.
#[inline(always)]
fn zoneout<S: Simd>(
    config: &CellConfig,
    blocks: Blocks,
    frame: usize,
    block: usize,
) -> [S::f32s; 2] {
    let mut stays: [S::f32s; 2] = pulp::bytemuck::Zeroable::zeroed();
    let words: &mut [f32] = cast_slice_mut(&mut stays);
    for (lane, unit) in blocks.range(block).enumerate() {
        let [h, c] = config.cell.zoneout(config.noise, frame * blocks.hidden_size + unit);
        words[lane] = h;
        words[blocks.lanes + lane] = c;
    }
    stays
}

/// A cell of a block of units at a frame, with all options.
#[inline(always)]
fn cell_of<S: Simd>(
    simd: S,
    config: &CellConfig,
    blocks: Blocks,
    a: [S::f32s; 4],
    [h_old, c_old]: [S::f32s; 2],
    peepholes: [S::f32s; 4],
    (frame, block): (usize, usize),
) -> cell::Forward<S::f32s> {
    let mut new = match config.cell.is_variant() {
        true => config.cell.forward(simd, a, c_old, peepholes),
        false => cell::plain_forward(simd, a, c_old),
    };
    if config.cell.has_zoneout() {
        let [h, c] = zoneout::<S>(config, blocks, frame, block);
        new.h = stay(simd, new.h, h_old, h);
        new.c = stay(simd, new.c, c_old, c);
    }
    new
}

/// A blend: `new` where `stays` is 0, `old` where it is 1.
#[inline(always)]
fn stay<S: Simd>(simd: S, new: S::f32s, old: S::f32s, stays: S::f32s) -> S::f32s {
    let rest = simd.sub_f32s(simd.splat_f32s(1.0), stays);
    simd.mul_add_f32s(new, rest, simd.mul_f32s(old, stays))
}

/// The input of a call without padding, in the tasks' order.
fn inputs(call: &Forward<'_>, tasks: &[Task], sizes: Sizes) -> Result<Tensor> {
    if call.lengths.is_none() {
        return Ok(call.x.clone());
    }
    let first = first_frames(call.lengths.filter(|_| call.is_packed()), sizes);
    gather(tasks, &first, sizes.input_size, Columns { tensor: call.x, first: 0 })
}
