//! The backward pass on the CPU, and the recomputation of gates that were not saved.

use super::micro::{accumulate, load, most_rows, row_of, store, tiles};
use super::products::{
    Activate, Factor, FrameSums, Term, add_row, input_gradient, weight_gradients,
};
use super::{Blocks, Row, SavedBatch, Task, each_task, first_frames, gather, load_rows, parts};
use super::{recurrent_scales, scatter, store_rows, zoneout};
use crate::ops::lstm::{
    CellConfig, Columns, GradRequest, InputGrads, OutputGrads, Saved, SavedSteps, Sizes, Weights,
    cell,
};
use crate::{Result, Tensor};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use std::cmp::Reverse;

pub(in crate::ops::lstm) fn backward(
    saved: Saved,
    arriving: OutputGrads<'_>,
    gradients: &Weights,
    wanted: GradRequest,
) -> Result<InputGrads> {
    let Saved { sizes, x, packed: is_packed, weights, lengths, config, steps } = saved;
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let SavedSteps::Cpu(batch_steps) = steps else {
        return Ok(InputGrads { d_x: None, d_state: None });
    };
    let SavedBatch { lanes, tasks, gates, h_before, c_before } = *batch_steps;
    let blocks = Blocks::new(lanes, hidden_size);
    let device = x.device();
    let rt = blocks.packed_backward(&weights.weight_hh)?;
    let [_, peepholes] = blocks.packed_rows(&weights)?;
    let d_h = arriving.d_h_n.map(Tensor::cpu);
    let d_c = arriving.d_c_n.map(Tensor::cpu);
    let saved_c = c_before.cpu();
    let gates = match gates {
        Some(gates) => gates,
        None => recompute(&x, &weights, &config, blocks, [&h_before, &c_before])?,
    };
    let first = |packed: bool| first_frames(lengths.as_ref().filter(|_| packed), sizes);
    let d_y = match arriving.d_y {
        Some(y) if lengths.is_none() && y.stride() == hidden_size => Some(y.tensor.clone()),
        Some(y) => Some(gather(&tasks, &first(y.is_packed()), hidden_size, y)?),
        None => None,
    };
    let d_y_values = d_y.as_ref().map(Tensor::cpu);
    let shared = BackwardShared {
        blocks,
        config: &config,
        free: config.cell.free(),
        timesteps,
        rt: &rt,
        peepholes: peepholes.as_deref().map(|p| &**p),
        c_before: &saved_c,
        d_y: d_y_values.as_deref(),
    };
    let ends: Vec<[Vec<f32>; 3]> = gates.cpu_mut(|gates| {
        let parts = parts(gates, &tasks, blocks.columns());
        each_task(parts.into_iter().zip(tasks.iter()).collect(), |(gates, task)| {
            let each = if shared.peepholes.is_some() { blocks.columns() } else { 0 };
            Arch::new().dispatch(BackwardRows {
                shared: &shared,
                task,
                gates,
                d_h: load_rows(d_h.as_deref(), task, blocks),
                d_c: load_rows(d_c.as_deref(), task, blocks),
                d_peepholes: vec![0.0; each * task.rows.len()],
                scales: recurrent_scales(&config, task, blocks),
            })
        })
    });

    // The gates are d_a now; products over the whole sequence remain.
    let frames: usize = tasks.iter().map(|t| t.frames).sum();
    let d_a = gates.cpu();
    let (x_values, h_values) = (x.cpu(), h_before.cpu());
    let factors = &[
        Factor {
            values: &x_values,
            stride: input_size,
            size: input_size,
            gradient: &gradients.weight_ih,
        },
        Factor {
            values: &h_values,
            stride: blocks.units(),
            size: hidden_size,
            gradient: &gradients.weight_hh,
        },
    ];
    // In an order that does not depend on who had which row, so that the sums do not.
    let begin = |task: &Task, row: Row| task.first_frame + row.start;
    let rows = tasks.iter().flat_map(|t| t.rows.iter().map(move |&row| (row, begin(t, row))));
    let mut rows: Vec<_> = rows.enumerate().collect();
    rows.sort_by_key(|(_, (row, _))| (Reverse(row.length), row.at));
    let order: Vec<_> =
        rows.iter().flat_map(|&(_, (row, begin))| begin..begin + row.length).collect();
    weight_gradients(blocks, factors, (&d_a, &order), gradients.bias.as_ref())?;
    // Freed first, so that the gradient of the input can reuse the memory.
    drop((x_values, h_values, saved_c));
    drop((h_before, c_before));
    if let Some(into) = &gradients.peepholes {
        let all: Vec<_> = ends.iter().flat_map(|[_, _, d]| d.chunks(blocks.columns())).collect();
        into.cpu_mut(|into| rows.iter().for_each(|&(row, _)| add_row(blocks, all[row], into)));
    }
    let mut d_x = None;
    if wanted.d_x {
        let weight_ih = blocks.packed_backward(&weights.weight_ih)?;
        let packed = Tensor::empty([batch, frames.div_ceil(batch), input_size], &device)?;
        // With rows of different lengths a part of it is not written.
        let len = frames * input_size;
        packed.cpu_mut(|packed| {
            input_gradient(blocks, &d_a, &weight_ih, &mut packed[..len], input_size);
        });
        d_x = Some(match lengths {
            None => packed,
            Some(_) => {
                let d_x = match is_packed {
                    true => Tensor::empty([frames, input_size], &device)?,
                    false => Tensor::zeros([batch, timesteps, input_size], &device)?,
                };
                let all = Columns { tensor: &d_x, first: 0 };
                let (frames, first) = (packed.cpu(), first(is_packed));
                d_x.cpu_mut(|to| scatter(&tasks, &frames, &first, input_size, to, all));
                d_x
            }
        });
    }
    let mut d_state = None;
    if wanted.d_state {
        let (mut h, mut c) = (Vec::new(), Vec::new());
        for [d_h, d_c, _] in ends {
            h.push(d_h);
            c.push(d_c);
        }
        let [d_h, d_c] = [h, c].map(|values| -> Result<Tensor> {
            let state = Tensor::empty([batch, hidden_size], &device)?;
            state.cpu_mut(|words| store_rows(&tasks, &values, blocks, words));
            Ok(state)
        });
        d_state = Some((d_h?, d_c?));
    }
    Ok(InputGrads { d_x, d_state })
}

/// Recomputes the activated gates from the state before each step.
fn recompute(
    x: &Tensor,
    weights: &Weights,
    config: &CellConfig,
    blocks: Blocks,
    [h_before, c_before]: [&Tensor; 2],
) -> Result<Tensor> {
    let frames = h_before.len() / blocks.units();
    let gates = Tensor::empty([frames, blocks.columns()], &x.device())?;
    let [bias, peepholes] = blocks.packed_rows(weights)?;
    let bias = bias.as_deref().map(|b| &**b);
    let w = blocks.packed_forward(&weights.weight_ih)?;
    let r = blocks.packed_forward(&weights.weight_hh)?;
    let (x_values, h_values, c_before) = (x.cpu(), h_before.cpu(), c_before.cpu());
    let input_size = x.len() / frames;
    let terms = &[
        Term { values: &x_values, stride: input_size, size: input_size, weights: &w },
        Term { values: &h_values, stride: blocks.units(), size: blocks.hidden_size, weights: &r },
    ];
    let peepholes = peepholes.as_deref().map(|p| &**p);
    let activate = Activate { config, peepholes, c_before: &c_before };
    gates.cpu_mut(|gates| FrameSums { blocks, bias, terms }.run(gates, Some(activate)));
    Ok(gates)
}

/// The shared inputs of all threads of a backward pass.
struct BackwardShared<'a> {
    blocks: Blocks,
    config: &'a CellConfig,
    free: cell::Free,
    timesteps: usize,
    rt: &'a [f32],
    peepholes: Option<&'a [f32]>,
    c_before: &'a [f32],
    d_y: Option<&'a [f32]>,
}

/// One thread's rows of a backward pass.
struct BackwardRows<'a> {
    shared: &'a BackwardShared<'a>,
    task: &'a Task,
    gates: &'a mut [f32],
    /// The gradient of the state `[rows, units]`, at first of that after each row's last step. Between steps
    /// d_h holds the part that reaches the step before otherwise than by R.
    d_h: Vec<f32>,
    d_c: Vec<f32>,
    /// The gradient of the peepholes `[rows, blocks, 4, lanes]`, or empty.
    d_peepholes: Vec<f32>,
    /// The factors of h before the product with R, as in the forward pass.
    scales: Vec<f32>,
}

impl WithSimd for BackwardRows<'_> {
    /// Runs all steps. Returns d_h and d_c of the state before the sequence, and d_peepholes.
    type Output = [Vec<f32>; 3];

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Self::Output {
        let blocks = self.shared.blocks;
        let mut d_h = std::mem::take(&mut self.d_h);
        let mut d_c = std::mem::take(&mut self.d_c);
        // Before the first timestep only the product with R remains: the gradient of h_0.
        for step in (-1..self.task.steps() as isize).rev() {
            let running = self.task.running(usize::try_from(step).unwrap_or(0));
            for group in 0..blocks.groups() {
                tiles!(running, most_rows::<S>(), |row, M| {
                    self.tile::<S, M>(simd, (row, step, group), (&mut d_h, &mut d_c));
                });
            }
        }
        [d_h, d_c, self.d_peepholes]
    }
}

impl BackwardRows<'_> {
    /// One timestep of four blocks of units of `M` rows.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        (first_row, step, group): (usize, isize, usize),
        (d_h, d_c): (&mut [f32], &mut [f32]),
    ) {
        let BackwardShared { blocks, config, timesteps, rt, peepholes, c_before, d_y, free } =
            *self.shared;
        let (units, columns, lanes) = (blocks.units(), blocks.columns(), S::F32_LANES);
        let zero = simd.splat_f32s(0.0);
        let mut sums = [[zero; 4]; M];
        let after = (step + 1) as usize;
        let rows: [Row; M] = std::array::from_fn(|m| self.task.rows[first_row + m]);
        // The step after a row's last has zero gradients, and no frame.
        if rows.iter().all(|row| after < row.length) {
            let size = columns * 4 * lanes;
            let d_a: [&[f32]; M] = std::array::from_fn(|m| {
                &self.gates[rows[m].frame(after, config.reverse) * columns..][..columns]
            });
            accumulate(simd, &mut sums, d_a, cast_slice(&rt[group * size..][..size]));
        } else {
            let size = columns * 4 * lanes;
            for (row, sums) in rows.iter().zip(&mut sums).filter(|(row, _)| after < row.length) {
                let d_a = &self.gates[row.frame(after, config.reverse) * columns..][..columns];
                let mut one = [*sums];
                accumulate(simd, &mut one, [d_a], cast_slice(&rt[group * size..][..size]));
                *sums = one[0];
            }
        }
        let variant = config.cell.is_variant();
        for (m, sums) in sums.iter().enumerate() {
            for (j, &d_h_rec) in sums.iter().enumerate() {
                let block = group * 4 + j;
                if block >= blocks.blocks {
                    break;
                }
                let state = (first_row + m) * units + block * lanes;
                let mut d = d_h_rec;
                if !self.scales.is_empty() {
                    d = simd.mul_f32s(d, load::<S>(&self.scales[state..]));
                }
                d = simd.add_f32s(d, load::<S>(&d_h[state..]));
                let Ok(now) = usize::try_from(step) else {
                    store::<S>(&mut d_h[state..], d);
                    continue;
                };
                let frame = rows[m].frame(now, config.reverse);
                let gates: &mut [[S::f32s; 4]] = cast_slice_mut(self.gates);
                let gates = &mut gates[frame * blocks.blocks + block];
                let global = self.task.first_frame + frame;
                let batch_frame = rows[m].at * timesteps + frame - rows[m].start;
                if let Some(d_y) = d_y {
                    let d_y = &d_y[global * blocks.hidden_size..][blocks.range(block)];
                    d = simd.add_f32s(d, simd.partial_load_f32s(d_y));
                }
                let c_prev = load::<S>(&c_before[global * units + block * lanes..]);
                let d_c_after = load::<S>(&d_c[state..]);
                let mut stays = [zero; 2];
                let back = if variant {
                    let mut d_c_cell = d_c_after;
                    if config.cell.has_zoneout() {
                        let [h, c] = zoneout::<S>(config, blocks, batch_frame, block);
                        stays = [simd.mul_f32s(d, h), simd.mul_f32s(d_c_after, c)];
                        d = simd.sub_f32s(d, stays[0]);
                        d_c_cell = simd.sub_f32s(d_c_after, stays[1]);
                    }
                    let p = row_of(simd, peepholes, block);
                    config.cell.backward(simd, *gates, c_prev, [d, d_c_cell], p, free)
                } else {
                    cell::plain_backward(simd, *gates, c_prev, d, d_c_after)
                };
                *gates = back.d_a;
                // Units past H have zero weights, but infinity or NaN times 0 is NaN.
                let padding = blocks.range(block).len()..lanes;
                if !padding.is_empty() {
                    for gate in gates.iter_mut() {
                        cast_slice_mut::<_, f32>(std::slice::from_mut(gate))[padding.clone()]
                            .fill(0.0);
                    }
                }
                store::<S>(&mut d_h[state..], stays[0]);
                store::<S>(&mut d_c[state..], simd.add_f32s(back.d_c, stays[1]));
                if !self.d_peepholes.is_empty() {
                    let sums: &mut [[S::f32s; 4]] = cast_slice_mut(&mut self.d_peepholes);
                    let sums = &mut sums[(first_row + m) * blocks.blocks + block];
                    for (sum, &d) in sums.iter_mut().zip(&back.d_peepholes) {
                        *sum = simd.add_f32s(*sum, d);
                    }
                }
            }
        }
    }
}
