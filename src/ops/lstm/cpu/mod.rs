//! A layer on the CPU: the rows of a batch are split over the threads, and each thread takes
//! its rows through the whole sequence, so no thread waits for another.
//!
//! Layout of a row's gates at a timestep: blocks of as many units as a SIMD register has lanes,
//! in each block the lanes of i, then f, g, o. R is packed to match, so that the recurrent
//! product, the gates and the cell update of a block of units stay in registers. Units past H,
//! up to a whole block, have zero weights; what they hold reaches nobody.
//!
//! The forward pass is here, with what both passes share.

use super::cell;
use super::{Columns, Forward, How, Output, Saved, SavedSteps, Sizes, Steps};
use crate::device::cpu::Cpu;
use crate::ops::gemm::{View, product};
use crate::{Result, Tensor};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::sync::Arc;

/// The values of every timestep, in blocks of `lanes` units, in the order of the tasks' rows.
pub(super) struct SavedBatch {
    lanes: usize,
    tasks: Arc<[Task]>,
    /// `[frames, blocks, 4, lanes]`, activated, unless they are computed anew; the backward pass
    /// turns them into d_a.
    gates: Option<Tensor>,
    /// `[frames, blocks, lanes]`, of the state before each step, h as R meets it.
    h_before: Tensor,
    c_before: Tensor,
}

/// What one thread runs.
struct Task {
    /// The longest first.
    rows: Vec<Row>,
    /// Its frames among those of all tasks.
    first_frame: usize,
    frames: usize,
}

#[derive(Clone, Copy)]
struct Row {
    /// In the batch.
    at: usize,
    length: usize,
    /// Its first frame among the task's.
    start: usize,
}

impl Row {
    /// The frame that a step takes, among the task's.
    fn frame(self, step: usize, reverse: bool) -> usize {
        self.start + if reverse { self.length - 1 - step } else { step }
    }
}

impl Task {
    /// The batch's rows, dealt to the threads so that each gets as many frames.
    fn deal(steps: Steps<'_>, sizes: Sizes) -> Arc<[Self]> {
        let count = sizes.batch.min(Cpu::threads());
        let mut tasks: Vec<Vec<(usize, usize)>> = vec![Vec::new(); count];
        match steps.lengths() {
            // To and fro, so that the thread with the longest row gets the shorter of the next two.
            Some(lengths) => {
                for (n, row) in lengths.rows().iter().enumerate() {
                    let (round, place) = (n / count, n % count);
                    let task = if round % 2 == 0 { place } else { count - 1 - place };
                    tasks[task].push((row.at, row.length));
                }
            }
            // Rows side by side: their frames lie as in the batch.
            None => {
                let each = sizes.batch.div_ceil(count);
                for row in 0..sizes.batch {
                    tasks[row / each].push((row, sizes.timesteps));
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

    /// The rows that are as long as this step.
    fn running(&self, step: usize) -> usize {
        self.rows.partition_point(|row| row.length > step)
    }

    fn steps(&self) -> usize {
        self.rows[0].length
    }
}

/// Copies between `[B,T,..]` columns and frames in the tasks' order.
fn gather(
    tasks: &[Task],
    from: &[f32],
    timesteps: usize,
    width: usize,
    y: Columns<'_>,
) -> Vec<f32> {
    let mut frames = Vec::with_capacity(tasks.iter().map(|t| t.frames).sum::<usize>() * width);
    for row in tasks.iter().flat_map(|t| &t.rows) {
        for step in 0..row.length {
            let at = (row.at * timesteps + step) * y.stride() + y.first;
            frames.extend_from_slice(&from[at..at + width]);
        }
    }
    frames
}

fn scatter(
    tasks: &[Task],
    frames: &[f32],
    timesteps: usize,
    width: usize,
    to: &mut [f32],
    y: Columns<'_>,
) {
    let mut frames = frames.chunks_exact(width);
    for row in tasks.iter().flat_map(|t| &t.rows) {
        for step in 0..row.length {
            let at = (row.at * timesteps + step) * y.stride() + y.first;
            if let Some(frame) = frames.next() {
                to[at..at + width].copy_from_slice(frame);
            }
        }
    }
}

/// How the units of a layer lie in blocks.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    lanes: usize,
    blocks: usize,
    hidden_size: usize,
}

impl Blocks {
    fn new(lanes: usize, hidden_size: usize) -> Self {
        Self { lanes, blocks: hidden_size.div_ceil(lanes), hidden_size }
    }

    /// Units with the padding.
    fn units(self) -> usize {
        self.blocks * self.lanes
    }

    /// Words of a row's gates at a timestep.
    fn columns(self) -> usize {
        4 * self.units()
    }

    /// Where a gate of a unit lies.
    fn column(self, unit: usize, gate: usize) -> usize {
        (unit / self.lanes * 4 + gate) * self.lanes + unit % self.lanes
    }

    /// Groups of four blocks: the backward product makes one at a time.
    fn groups(self) -> usize {
        self.blocks.div_ceil(4)
    }

    /// The units of a block that are no padding.
    fn range(self, block: usize) -> std::ops::Range<usize> {
        let first = block * self.lanes;
        first..(first + self.lanes).min(self.hidden_size)
    }

    /// `[rows, H, 4]` as `[rows, blocks, 4, lanes]`.
    fn pack(self, weights: &[f32]) -> Vec<f32> {
        let row = 4 * self.hidden_size;
        let mut packed = vec![0.0; weights.len() / row * self.columns()];
        for (to, from) in packed.chunks_exact_mut(self.columns()).zip(weights.chunks_exact(row)) {
            for (unit, gates) in from.chunks_exact(4).enumerate() {
                for (gate, &w) in gates.iter().enumerate() {
                    to[self.column(unit, gate)] = w;
                }
            }
        }
        packed
    }

    /// Adds what lies as `pack` makes it to what lies as it takes it.
    fn add_unpacked(self, packed: &[f32], sums: &mut [f32]) {
        let rows = sums.chunks_exact_mut(4 * self.hidden_size);
        for (to, from) in rows.zip(packed.chunks_exact(self.columns())) {
            for (unit, gates) in to.chunks_exact_mut(4).enumerate() {
                for (gate, sum) in gates.iter_mut().enumerate() {
                    *sum += from[self.column(unit, gate)];
                }
            }
        }
    }

    /// R `[from, to, 4]` as `[blocks of to][from][4][lanes]`.
    fn pack_forward(self, r: &[f32]) -> Vec<f32> {
        let (h, lanes) = (self.hidden_size, self.lanes);
        let mut packed = vec![0.0; self.blocks * h * 4 * lanes];
        for (block, to) in packed.chunks_exact_mut(h * 4 * lanes).enumerate() {
            for (from, to) in to.chunks_exact_mut(4 * lanes).enumerate() {
                for (lane, unit) in self.range(block).enumerate() {
                    for gate in 0..4 {
                        to[gate * lanes + lane] = r[(from * h + unit) * 4 + gate];
                    }
                }
            }
        }
        packed
    }

    /// R `[from, to, 4]` as `[groups of four blocks of from][a column of the gates][4][lanes]`.
    fn pack_backward(self, r: &[f32]) -> Vec<f32> {
        let (h, lanes, columns) = (self.hidden_size, self.lanes, self.columns());
        let mut packed = vec![0.0; self.groups() * columns * 4 * lanes];
        for (from, r) in r.chunks_exact(4 * h).enumerate() {
            let (group, at) = (from / (4 * lanes), from % (4 * lanes));
            for (to, r) in r.chunks_exact(4).enumerate() {
                for (gate, &w) in r.iter().enumerate() {
                    packed[(group * columns + self.column(to, gate)) * 4 * lanes + at] = w;
                }
            }
        }
        packed
    }
}

/// The lanes of this machine's registers.
fn lanes() -> usize {
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

/// Chunks of the tasks' sizes, each so many words a frame.
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

/// The rows of a `[B,H]` that a task has, each padded to `units`.
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

/// The other way, for all tasks.
fn store_rows(tasks: &[Task], values: &[Vec<f32>], blocks: Blocks, words: &mut [f32]) {
    let h = blocks.hidden_size;
    for (task, values) in tasks.iter().zip(values) {
        for (from, row) in values.chunks_exact(blocks.units()).zip(&task.rows) {
            words[row.at * h..][..h].copy_from_slice(&from[..h]);
        }
    }
}

/// What dropout makes of h of each row and unit, padded; empty where it makes nothing.
fn recurrent_scales(how: &How, task: &Task, blocks: Blocks) -> Vec<f32> {
    let mut scales = Vec::new();
    if how.cell.recurrent_dropout > 0.0 && how.noise.training {
        scales = vec![0.0; task.rows.len() * blocks.units()];
        for (scales, row) in scales.chunks_exact_mut(blocks.units()).zip(&task.rows) {
            for (unit, scale) in scales[..blocks.hidden_size].iter_mut().enumerate() {
                *scale = how.cell.recurrent_scale(how.noise, row.at * blocks.hidden_size + unit);
            }
        }
    }
    scales
}

/// How much of h and c of a block of units stays as it was.
#[inline(always)]
fn zoneout<S: Simd>(how: &How, blocks: Blocks, frame: usize, block: usize) -> [S::f32s; 2] {
    let mut stays: [S::f32s; 2] = pulp::bytemuck::Zeroable::zeroed();
    let words: &mut [f32] = cast_slice_mut(&mut stays);
    for (lane, unit) in blocks.range(block).enumerate() {
        let [h, c] = how.cell.zoneout(how.noise, frame * blocks.hidden_size + unit);
        words[lane] = h;
        words[blocks.lanes + lane] = c;
    }
    stays
}

/// The words of a call's input, without padding, in the tasks' order; masked steps are zeros.
fn inputs(x: &Tensor, tasks: &[Task], steps: Steps<'_>, sizes: Sizes) -> Result<Tensor> {
    match steps {
        Steps::All => Ok(x.clone()),
        Steps::Mask(mask) => crate::ops::mask_steps::mask_steps(x, mask),
        Steps::Lengths(_) => {
            let all = Columns { tensor: x, first: 0 };
            let packed = gather(tasks, &x.cpu(), sizes.timesteps, sizes.input_size, all);
            let frames = tasks.iter().map(|t| t.frames).sum();
            Tensor::from_slice(&packed, [frames, sizes.input_size], &x.device())
        }
    }
}

pub(super) fn forward(call: &Forward<'_>, sizes: Sizes) -> Result<Output> {
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let device = call.x.device();
    let tasks = Task::deal(call.steps, sizes);
    let frames: usize = tasks.iter().map(|t| t.frames).sum();
    let blocks = Blocks::new(lanes(), hidden_size);
    let packed_x = inputs(call.x, &tasks, call.steps, sizes)?;
    let x = packed_x.cpu();
    let bias = match &call.weights.bias {
        Some(bias) => blocks.pack(&bias.cpu()),
        None => vec![0.0; blocks.columns()],
    };
    let peepholes = call.weights.peepholes.as_ref().map(|p| blocks.pack(&p.cpu()));
    let weight_ih = blocks.pack(&call.weights.weight_ih.cpu());
    let r = blocks.pack_forward(&call.weights.weight_hh.cpu());

    let gates = Tensor::empty([frames, blocks.columns()], &device)?;
    let before = [frames, if call.save { blocks.units() } else { 0 }];
    let (h_before, c_before) = (Tensor::empty(before, &device)?, Tensor::empty(before, &device)?);
    // Outputs are written where they belong if they lie there as the tasks make them.
    let direct = call.y.filter(|y| call.steps.lengths().is_none() && y.stride() == hidden_size);
    let width = if call.y.is_some() { hidden_size } else { 0 };
    let y = match direct {
        Some(y) => y.tensor.clone(),
        None => Tensor::empty([frames, width], &device)?,
    };
    let state = call.state.map(|(h, c)| (h.cpu(), c.cpu()));
    let shared = ForwardShared {
        blocks,
        how: &call.how,
        timesteps,
        input_size,
        hidden_width: width,
        x: &x,
        weight_ih: &weight_ih,
        bias: &bias,
        peepholes: peepholes.as_deref(),
        r: &r,
        mask: call.steps.mask().map(|m| m.values()),
    };
    let ends: Vec<[Vec<f32>; 2]> = gates.cpu_mut(|gates| {
        h_before.cpu_mut(|h_before| {
            c_before.cpu_mut(|c_before| {
                y.cpu_mut(|y| {
                    let gates = parts(gates, &tasks, blocks.columns());
                    let h_before = parts(h_before, &tasks, before[1]);
                    let c_before = parts(c_before, &tasks, before[1]);
                    let y = parts(y, &tasks, width);
                    let work: Vec<_> = gates
                        .into_iter()
                        .zip(h_before)
                        .zip(c_before)
                        .zip(y)
                        .zip(tasks.iter())
                        .collect();
                    work.into_par_iter()
                        .map(|((((gates, h_before), c_before), y), task)| {
                            let h = load_rows(state.as_ref().map(|s| &*s.0), task, blocks);
                            let c = load_rows(state.as_ref().map(|s| &*s.1), task, blocks);
                            let scales = recurrent_scales(&call.how, task, blocks);
                            let shared = &shared;
                            Arch::new().dispatch(ForwardRows {
                                shared,
                                task,
                                gates,
                                h_before,
                                c_before,
                                y,
                                h,
                                c,
                                scales,
                            })
                        })
                        .collect()
                })
            })
        })
    });
    if let (Some(columns), None) = (call.y, direct) {
        let frames = y.cpu();
        columns.tensor.cpu_mut(|to| scatter(&tasks, &frames, timesteps, width, to, columns));
    }
    let (h, c): (Vec<_>, Vec<_>) = ends.into_iter().map(|[h, c]| (h, c)).unzip();
    let [h_n, c_n] = [h, c].map(|values| -> Result<Tensor> {
        let state = Tensor::empty([batch, hidden_size], &device)?;
        state.cpu_mut(|words| store_rows(&tasks, &values, blocks, words));
        Ok(state)
    });
    Ok(Output {
        h_n: h_n?,
        c_n: c_n?,
        saved: call.save.then(|| Saved {
            sizes,
            x: packed_x,
            weights: call.weights.clone(),
            mask: call.steps.save(),
            how: call.how,
            steps: SavedSteps::Cpu(SavedBatch {
                lanes: blocks.lanes,
                tasks,
                gates: (!call.how.recompute).then_some(gates),
                h_before,
                c_before,
            }),
        }),
    })
}

/// What all threads of a forward pass read.
struct ForwardShared<'a> {
    blocks: Blocks,
    how: &'a How,
    timesteps: usize,
    input_size: usize,
    /// Words of an output frame; 0 if none are wanted.
    hidden_width: usize,
    x: &'a [f32],
    weight_ih: &'a [f32],
    bias: &'a [f32],
    peepholes: Option<&'a [f32]>,
    r: &'a [f32],
    mask: Option<&'a [bool]>,
}

/// One thread's rows of a forward pass.
struct ForwardRows<'a> {
    shared: &'a ForwardShared<'a>,
    task: &'a Task,
    gates: &'a mut [f32],
    h_before: &'a mut [f32],
    c_before: &'a mut [f32],
    y: &'a mut [f32],
    /// `[rows, units]`, at first the state before the sequence.
    h: Vec<f32>,
    c: Vec<f32>,
    /// What h is multiplied with before R meets it; empty: 1.
    scales: Vec<f32>,
}

impl WithSimd for ForwardRows<'_> {
    /// h and c after each row's last step.
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        // Sums of as many rows as the registers hold, beside the four vectors of weights.
        if S::F32_LANES >= 16 { self.run::<S, 6>(simd) } else { self.run::<S, 3>(simd) }
    }
}

/// Calls a tile's function for as many rows at a time as the registers hold.
macro_rules! tiles {
    ($self:ident, $simd:ident, $rows:expr, $most:ident, |$row:ident| $arguments:tt) => {
        let mut $row = 0;
        while $row < $rows {
            let left = ($rows - $row).min($most);
            tiles!(@call $self, $simd, left, $arguments);
            $row += left;
        }
    };
    (@call $self:ident, $simd:ident, $left:ident, ($at:expr, $state:expr)) => {
        match $left {
            1 => $self.tile::<S, 1>($simd, $at, $state),
            2 => $self.tile::<S, 2>($simd, $at, $state),
            3 => $self.tile::<S, 3>($simd, $at, $state),
            4 => $self.tile::<S, 4>($simd, $at, $state),
            5 => $self.tile::<S, 5>($simd, $at, $state),
            _ => $self.tile::<S, 6>($simd, $at, $state),
        }
    };
}

// Behind the macro that it uses.
mod backward;
pub(super) use backward::backward;

/// The state of a task's rows in the midst of a forward pass, each `[rows, units]`.
struct Running<'a> {
    /// As R meets it.
    h: &'a [f32],
    h_next: &'a mut [f32],
    /// As it is, where that differs; else empty.
    plain_h: &'a mut [f32],
    c: &'a mut [f32],
}

impl ForwardRows<'_> {
    #[inline(always)]
    fn run<S: Simd, const M: usize>(mut self, simd: S) -> [Vec<f32>; 2] {
        let ForwardShared { blocks, input_size, x, weight_ih, .. } = *self.shared;
        let (units, task) = (blocks.units(), self.task);
        product(
            [task.frames, blocks.columns(), input_size],
            View::of(&x[task.first_frame * input_size..], input_size, false),
            View::of(weight_ih, blocks.columns(), false),
            (self.gates, blocks.columns()),
            false,
            gemm::Parallelism::None,
        );
        let mut h = std::mem::take(&mut self.h);
        let mut c = std::mem::take(&mut self.c);
        let mut plain_h = Vec::new();
        if !self.scales.is_empty() {
            plain_h = h.clone();
            for (h, scale) in h.iter_mut().zip(&self.scales) {
                *h *= scale;
            }
        }
        let mut h_next = h.clone();
        let mut h_end = vec![0.0; h.len()];
        for step in 0..task.steps() {
            let running = task.running(step);
            for block in 0..blocks.blocks {
                tiles!(self, simd, running, M, |row| (
                    At { row, step, block },
                    &mut Running { h: &h, h_next: &mut h_next, plain_h: &mut plain_h, c: &mut c }
                ));
            }
            std::mem::swap(&mut h, &mut h_next);
            let ending = task.running(step + 1) * units..running * units;
            let last = if plain_h.is_empty() { &h } else { &plain_h };
            h_end[ending.clone()].copy_from_slice(&last[ending]);
        }
        [h_end, c]
    }

    /// One timestep of a block of units of `M` rows.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(&mut self, simd: S, at: At, state: &mut Running<'_>) {
        let ForwardShared { blocks, how, timesteps, bias, peepholes, r, mask, .. } = *self.shared;
        let (units, hidden_size, lanes) = (blocks.units(), blocks.hidden_size, S::F32_LANES);
        let bias: &[[S::f32s; 4]] = cast_slice(bias);
        let rows: [Row; M] = std::array::from_fn(|m| self.task.rows[at.row + m]);
        let frames = rows.map(|row| row.frame(at.step, how.reverse));
        let mut sums = [[simd.splat_f32s(0.0); 4]; M];
        for (sums, &frame) in sums.iter_mut().zip(&frames) {
            let gates = self.gates_at::<S>(frame, at.block);
            for gate in 0..4 {
                sums[gate] = simd.add_f32s(gates[gate], bias[at.block][gate]);
            }
        }
        let size = hidden_size * 4 * lanes;
        let h: [&[f32]; M] =
            std::array::from_fn(|m| &state.h[(at.row + m) * units..][..hidden_size]);
        accumulate(simd, &mut sums, h, cast_slice(&r[at.block * size..][..size]));
        let variant = how.cell.is_variant();
        for (m, a) in sums.iter().enumerate() {
            let place = (at.row + m) * units + at.block * lanes;
            let (h_met, c_old) = (load::<S>(&state.h[place..]), load::<S>(&state.c[place..]));
            let h_old = match state.plain_h {
                [] => h_met,
                ref plain_h => load::<S>(&plain_h[place..]),
            };
            if !self.h_before.is_empty() {
                let before = frames[m] * units + at.block * lanes;
                store::<S>(&mut self.h_before[before..], h_met);
                store::<S>(&mut self.c_before[before..], c_old);
            }
            let frame = rows[m].at * timesteps + frames[m] - rows[m].start;
            let left_out = mask.is_some_and(|mask| !mask[frame]);
            let new = if left_out {
                cell::Forward { gates: [simd.splat_f32s(0.0); 4], c: c_old, h: h_old }
            } else if variant {
                let p: [S::f32s; 4] = match peepholes {
                    Some(p) => cast_slice::<f32, [S::f32s; 4]>(p)[at.block],
                    None => [simd.splat_f32s(0.0); 4],
                };
                let mut new = how.cell.forward(simd, *a, c_old, p);
                if how.cell.has_zoneout() {
                    let [h, c] = zoneout::<S>(how, blocks, frame, at.block);
                    new.h = stay(simd, new.h, h_old, h);
                    new.c = stay(simd, new.c, c_old, c);
                }
                new
            } else {
                cell::plain_forward(simd, *a, c_old)
            };
            store::<S>(&mut state.c[place..], new.c);
            let mut h_met = new.h;
            if !state.plain_h.is_empty() {
                store::<S>(&mut state.plain_h[place..], new.h);
                h_met = simd.mul_f32s(new.h, load::<S>(&self.scales[place..]));
            }
            store::<S>(&mut state.h_next[place..], h_met);
            if !self.h_before.is_empty() {
                *self.gates_at::<S>(frames[m], at.block) = new.gates;
            }
            let width = self.shared.hidden_width;
            if width > 0 {
                let y = &mut self.y[frames[m] * width..][blocks.range(at.block)];
                let zero = simd.splat_f32s(0.0);
                simd.partial_store_f32s(
                    y,
                    if left_out && how.zero_left_out { zero } else { new.h },
                );
            }
        }
    }

    #[inline(always)]
    fn gates_at<S: Simd>(&mut self, frame: usize, block: usize) -> &mut [S::f32s; 4] {
        let gates: &mut [[S::f32s; 4]] = cast_slice_mut(self.gates);
        &mut gates[frame * self.shared.blocks.blocks + block]
    }
}

/// `new` where `stays` is 0, `old` where it is 1.
#[inline(always)]
fn stay<S: Simd>(simd: S, new: S::f32s, old: S::f32s, stays: S::f32s) -> S::f32s {
    let rest = simd.sub_f32s(simd.splat_f32s(1.0), stays);
    simd.mul_add_f32s(new, rest, simd.mul_f32s(old, stays))
}

/// A tile's place.
#[derive(Clone, Copy)]
struct At {
    row: usize,
    step: usize,
    block: usize,
}

#[inline(always)]
fn load<S: Simd>(words: &[f32]) -> S::f32s {
    S::as_simd_f32s(&words[..S::F32_LANES]).0[0]
}

#[inline(always)]
fn store<S: Simd>(words: &mut [f32], value: S::f32s) {
    S::as_mut_simd_f32s(&mut words[..S::F32_LANES]).0[0] = value;
}

/// sums += a b: `M` rows of `a` by `b` of four vectors a row.
#[inline(always)]
fn accumulate<S: Simd, const M: usize>(
    simd: S,
    sums: &mut [[S::f32s; 4]; M],
    a: [&[f32]; M],
    b: &[[S::f32s; 4]],
) {
    let a = a.map(|row| &row[..b.len()]);
    // A copy that the compiler keeps in registers.
    let mut acc = *sums;
    for (k, b) in b.iter().enumerate() {
        for m in 0..M {
            let a = simd.splat_f32s(a[m][k]);
            for j in 0..4 {
                acc[m][j] = simd.mul_add_e_f32s(a, b[j], acc[m][j]);
            }
        }
    }
    *sums = acc;
}
