//! The forward pass on the CPU.

use super::micro::{accumulate, load, most_rows, row_of, store, tiles, weights_of};
use super::products::{FrameSums, Term};
use super::{
    Blocks, Row, SavedBatch, Task, cell_of, each_task, first_frames, inputs, lanes, load_rows,
    pair, parts, recurrent_scales, scatter, store_rows,
};
use crate::device::threads;
use crate::ops::lstm::{CellConfig, Forward, Output, Saved, SavedSteps, Sizes, cell};
use crate::{Result, Tensor};
use pulp::bytemuck::cast_slice_mut;
use pulp::{Arch, Simd, WithSimd};

/// The rows of a task from which on W x is added step by step, along with R h. With fewer rows each step
/// would read W again, so the sums of all steps are computed ahead.
const FUSED_ROWS: usize = 3;

pub(in crate::ops::lstm) fn forward(call: &Forward<'_>, sizes: Sizes) -> Result<Output> {
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let device = call.x.device();
    let tasks = Task::deal(call.lengths, sizes);
    let frames: usize = tasks.iter().map(|t| t.frames).sum();
    let blocks = Blocks::new(lanes(), hidden_size);
    let packed_x = inputs(call, &tasks, sizes)?;
    let x = packed_x.cpu();
    let weights = call.weights;
    let [bias, peepholes] = blocks.packed_rows(weights)?;
    let weight_ih = blocks.packed_forward(&weights.weight_ih)?;
    let r = blocks.packed_forward(&weights.weight_hh)?;

    let ahead = tasks.iter().any(|task| task.rows.len() < FUSED_ROWS);
    let gate_columns = if ahead || call.save { blocks.columns() } else { 0 };
    let gates = Tensor::empty([frames, gate_columns], &device)?;
    let before = [frames, if call.save { blocks.units() } else { 0 }];
    let (h_before, c_before) = (Tensor::empty(before, &device)?, Tensor::empty(before, &device)?);
    // Outputs are written in place if the tasks make them in that order.
    let direct = call.y.filter(|y| call.lengths.is_none() && y.stride() == hidden_size);
    let width = if call.y.is_some() { hidden_size } else { 0 };
    let y = match direct {
        Some(y) => y.tensor.clone(),
        None => Tensor::empty([frames, width], &device)?,
    };
    let state = call.state.map(|(h, c)| (h.cpu(), c.cpu()));
    let shared = ForwardShared {
        blocks,
        config: &call.config,
        timesteps,
        input_size,
        hidden_width: width,
        ahead,
        x: &x,
        weight_ih: &weight_ih,
        bias: bias.as_deref().map(|b| &**b),
        peepholes: peepholes.as_deref().map(|p| &**p),
        r: &r,
    };
    if ahead {
        let terms =
            &[Term { values: &x, stride: input_size, size: input_size, weights: &weight_ih }];
        gates.cpu_mut(|gates| FrameSums { blocks, bias: shared.bias, terms }.run(gates, None));
    }
    let state_of = |task: &Task| {
        let rows = |words: Option<&[f32]>| load_rows(words, task, blocks);
        [rows(state.as_ref().map(|s| &*s.0)), rows(state.as_ref().map(|s| &*s.1))]
    };
    let paired = pair::pays(sizes, threads::count()) && !call.save && !call.config.noise.training;
    let run_pair = || {
        let (sums, row) = (gates.cpu(), tasks[0].rows[0]);
        let job = pair::Job {
            blocks,
            config: call.config,
            row,
            sums,
            r: r.clone(),
            peepholes: peepholes.clone(),
        };
        y.cpu_mut(|y| pair::run(job, state_of(&tasks[0]), y))
    };
    let run_tasks = || {
        gates.cpu_mut(|gates| {
            h_before.cpu_mut(|h_before| {
                c_before.cpu_mut(|c_before| {
                    y.cpu_mut(|y| {
                        let gates = parts(gates, &tasks, gate_columns);
                        let h_before = parts(h_before, &tasks, before[1]);
                        let c_before = parts(c_before, &tasks, before[1]);
                        let y = parts(y, &tasks, width);
                        let saved = h_before.into_iter().zip(c_before).zip(y);
                        let work: Vec<_> = gates.into_iter().zip(saved).zip(tasks.iter()).collect();
                        each_task(work, |((gates, ((h_before, c_before), y)), task)| {
                            let [h, c] = state_of(task);
                            Arch::new().dispatch(ForwardRows {
                                shared: &shared,
                                task,
                                gates,
                                h_before,
                                c_before,
                                y,
                                h,
                                c,
                                scales: recurrent_scales(&call.config, task, blocks),
                            })
                        })
                    })
                })
            })
        })
    };
    let ends: Vec<[Vec<f32>; 2]> = if paired { vec![run_pair()] } else { run_tasks() };
    if let (Some(columns), None) = (call.y, direct) {
        let first = first_frames(call.lengths.filter(|_| columns.is_packed()), sizes);
        let frames = y.cpu();
        columns.tensor.cpu_mut(|to| scatter(&tasks, &frames, &first, width, to, columns));
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
            packed: call.is_packed(),
            weights: call.weights.clone(),
            lengths: call.lengths.cloned(),
            config: call.config,
            steps: SavedSteps::Cpu(Box::new(SavedBatch {
                lanes: blocks.lanes,
                tasks,
                gates: (!call.config.recompute).then_some(gates),
                h_before,
                c_before,
            })),
        }),
    })
}

/// The shared inputs of all threads of a forward pass.
struct ForwardShared<'a> {
    blocks: Blocks,
    config: &'a CellConfig,
    timesteps: usize,
    input_size: usize,
    /// The words of an output frame; 0 if outputs are not wanted.
    hidden_width: usize,
    /// Whether the gates already hold W x + b before a step.
    ahead: bool,
    x: &'a [f32],
    weight_ih: &'a [f32],
    bias: Option<&'a [f32]>,
    peepholes: Option<&'a [f32]>,
    r: &'a [f32],
}

/// One thread's rows of a forward pass.
struct ForwardRows<'a> {
    shared: &'a ForwardShared<'a>,
    task: &'a Task,
    gates: &'a mut [f32],
    h_before: &'a mut [f32],
    c_before: &'a mut [f32],
    y: &'a mut [f32],
    /// The state `[rows, units]`, at first that before the sequence.
    h: Vec<f32>,
    c: Vec<f32>,
    /// The factors of h before the product with R; empty: 1.
    scales: Vec<f32>,
}

/// The state of a task's rows during a forward pass, each `[rows, units]`.
struct Running<'a> {
    /// h as the product with R takes it.
    h: &'a [f32],
    h_next: &'a mut [f32],
    /// h itself, where dropout makes that different; else empty.
    plain_h: &'a mut [f32],
    c: &'a mut [f32],
}

impl WithSimd for ForwardRows<'_> {
    /// h and c after each row's last step.
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Self::Output {
        let blocks = self.shared.blocks;
        let (units, task) = (blocks.units(), self.task);
        let mut h = std::mem::take(&mut self.h);
        let mut c = std::mem::take(&mut self.c);
        // A row without a step ends as it begins.
        let mut h_end = h.clone();
        let mut plain_h = Vec::new();
        if !self.scales.is_empty() {
            plain_h = h.clone();
            for (h, scale) in h.iter_mut().zip(&self.scales) {
                *h *= scale;
            }
        }
        let mut h_next = h.clone();
        for step in 0..task.steps() {
            let running = task.running(step);
            for block in 0..blocks.blocks {
                let mut state =
                    Running { h: &h, h_next: &mut h_next, plain_h: &mut plain_h, c: &mut c };
                tiles!(running, most_rows::<S>(), |row, M| {
                    self.tile::<S, M>(simd, At { row, step, block }, &mut state);
                });
            }
            std::mem::swap(&mut h, &mut h_next);
            let ending = task.running(step + 1) * units..running * units;
            let last = if plain_h.is_empty() { &h } else { &plain_h };
            h_end[ending.clone()].copy_from_slice(&last[ending]);
        }
        [h_end, c]
    }
}

impl ForwardRows<'_> {
    /// One timestep of a block of units of `M` rows.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(&mut self, simd: S, at: At, state: &mut Running<'_>) {
        let ForwardShared { blocks, config, input_size, .. } = *self.shared;
        let (units, hidden_size) = (blocks.units(), blocks.hidden_size);
        let rows: [Row; M] = std::array::from_fn(|m| self.task.rows[at.row + m]);
        let frames = rows.map(|row| row.frame(at.step, config.reverse));
        let zero = simd.splat_f32s(0.0);
        // No closures here: code that they call is compiled without SIMD instructions.
        let mut sums = [[zero; 4]; M];
        if self.shared.ahead {
            for (sums, &frame) in sums.iter_mut().zip(&frames) {
                *sums = *self.gates_at::<S>(frame, at.block);
            }
        } else {
            let first = self.task.first_frame;
            let x =
                frames.map(|frame| &self.shared.x[(first + frame) * input_size..][..input_size]);
            sums = [row_of(simd, self.shared.bias, at.block); M];
            let w = weights_of::<S>(self.shared.weight_ih, input_size, at.block);
            accumulate(simd, &mut sums, x, w);
        }
        let h: [&[f32]; M] =
            std::array::from_fn(|m| &state.h[(at.row + m) * units..][..hidden_size]);
        let r = weights_of::<S>(self.shared.r, hidden_size, at.block);
        accumulate(simd, &mut sums, h, r);

        if config.cell.is_variant() {
            self.variants(simd, at, (rows, frames), sums, state);
        } else {
            self.plain(simd, at, frames, sums, state);
        }
    }

    /// Plain cells of a tile, interleaved over rows to hide latencies.
    #[inline(always)]
    fn plain<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        at: At,
        frames: [usize; M],
        sums: [[S::f32s; 4]; M],
        state: &mut Running<'_>,
    ) {
        let units = self.shared.blocks.units();
        let (mut gates, mut c) = (sums, [simd.splat_f32s(0.0); M]);
        for m in 0..M {
            let c_old = load::<S>(&state.c[at.place::<S>(m, units)..]);
            let new = cell::plain_update(simd, gates[m], c_old);
            (gates[m], c[m]) = (new.gates, new.c);
        }
        let mut h = c;
        for m in 0..M {
            h[m] = cell::plain_output(simd, gates[m][3], c[m]);
        }
        for m in 0..M {
            let place = at.place::<S>(m, units);
            self.save::<S>((at, place, frames[m]), state, gates[m]);
            store::<S>(&mut state.c[place..], c[m]);
            store::<S>(&mut state.h_next[place..], h[m]);
            self.output::<S>(simd, at, frames[m], h[m]);
        }
    }

    /// Cells of a tile with all options.
    #[inline(always)]
    fn variants<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        at: At,
        (rows, frames): ([Row; M], [usize; M]),
        sums: [[S::f32s; 4]; M],
        state: &mut Running<'_>,
    ) {
        let ForwardShared { blocks, config, timesteps, peepholes, .. } = *self.shared;
        for m in 0..M {
            let place = at.place::<S>(m, blocks.units());
            let c_old = load::<S>(&state.c[place..]);
            let h_old = match state.plain_h {
                [] => load::<S>(&state.h[place..]),
                ref plain_h => load::<S>(&plain_h[place..]),
            };
            let frame = rows[m].at * timesteps + frames[m] - rows[m].start;
            let p = row_of(simd, peepholes, at.block);
            let new = cell_of(simd, config, blocks, sums[m], [h_old, c_old], p, (frame, at.block));
            self.save::<S>((at, place, frames[m]), state, new.gates);
            store::<S>(&mut state.c[place..], new.c);
            // Units that are padding may grow without bound under some activations, and infinity
            // times a weight of zero is NaN.
            let padding = place + blocks.range(at.block).len()..place + S::F32_LANES;
            state.c[padding].fill(0.0);
            let mut h_met = new.h;
            if !state.plain_h.is_empty() {
                store::<S>(&mut state.plain_h[place..], new.h);
                h_met = simd.mul_f32s(new.h, load::<S>(&self.scales[place..]));
            }
            store::<S>(&mut state.h_next[place..], h_met);
            self.output::<S>(simd, at, frames[m], new.h);
        }
    }

    /// Saves the state for the backward pass, before it is overwritten.
    #[inline(always)]
    fn save<S: Simd>(
        &mut self,
        (at, place, frame): (At, usize, usize),
        state: &Running<'_>,
        gates: [S::f32s; 4],
    ) {
        if self.h_before.is_empty() {
            return;
        }
        let before = frame * self.shared.blocks.units() + at.block * S::F32_LANES;
        store::<S>(&mut self.h_before[before..], load::<S>(&state.h[place..]));
        store::<S>(&mut self.c_before[before..], load::<S>(&state.c[place..]));
        *self.gates_at::<S>(frame, at.block) = gates;
    }

    #[inline(always)]
    fn output<S: Simd>(&mut self, simd: S, at: At, frame: usize, y: S::f32s) {
        let width = self.shared.hidden_width;
        if width > 0 {
            let to = &mut self.y[frame * width..][self.shared.blocks.range(at.block)];
            match to.len() == S::F32_LANES {
                true => store::<S>(to, y),
                false => simd.partial_store_f32s(to, y),
            }
        }
    }

    #[inline(always)]
    fn gates_at<S: Simd>(&mut self, frame: usize, block: usize) -> &mut [S::f32s; 4] {
        let gates: &mut [[S::f32s; 4]] = cast_slice_mut(self.gates);
        &mut gates[frame * self.shared.blocks.blocks + block]
    }
}

/// The place of a tile.
#[derive(Clone, Copy)]
struct At {
    row: usize,
    step: usize,
    block: usize,
}

impl At {
    /// The index of the block in the state of the tile's row `m`.
    #[inline(always)]
    fn place<S: Simd>(self, m: usize, units: usize) -> usize {
        (self.row + m) * units + self.block * S::F32_LANES
    }
}
