//! The backward pass on the CPU, and the gates once more where they were not kept.

use super::{
    Blocks, SavedBatch, Task, accumulate, gather, load, load_rows, parts, recurrent_scales,
};
use super::{Row, scatter, store, store_rows, zoneout};
use crate::ops::gemm::{View, product};
use crate::ops::lstm::{
    Arriving, Columns, How, Leaving, Saved, SavedSteps, Sizes, Wanted, Weights, cell,
};
use crate::{Result, Tensor};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

pub(in crate::ops::lstm) fn backward(
    saved: Saved,
    arriving: Arriving<'_>,
    gradients: &Weights,
    wanted: Wanted,
) -> Result<Leaving> {
    let Saved { sizes, x, weights, mask, how, steps } = saved;
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let SavedSteps::Cpu(batch_steps) = steps else {
        return Ok(Leaving { d_x: None, d_state: None });
    };
    let SavedBatch { lanes, tasks, gates, h_before, c_before } = batch_steps;
    let blocks = Blocks::new(lanes, hidden_size);
    let device = x.device();
    let rt = blocks.pack_backward(&weights.weight_hh.cpu());
    let peepholes = weights.peepholes.as_ref().map(|p| blocks.pack(&p.cpu()));
    let d_h = arriving.d_h_n.map(Tensor::cpu);
    let d_c = arriving.d_c_n.map(Tensor::cpu);
    let saved_c = c_before.cpu();
    let gates = match gates {
        Some(gates) => gates,
        None => recompute(&x, &weights, &how, blocks, [&h_before, &c_before])?,
    };
    let lengths = mask.steps().lengths();
    let packed;
    let whole;
    let d_y: Option<&[f32]> = match arriving.d_y {
        Some(y) if lengths.is_none() && y.stride() == hidden_size => {
            whole = y.tensor.cpu();
            Some(&whole)
        }
        Some(y) => {
            packed = gather(&tasks, &y.tensor.cpu(), timesteps, hidden_size, y);
            Some(&packed)
        }
        None => None,
    };
    let shared = BackwardShared {
        blocks,
        how: &how,
        timesteps,
        rt: &rt,
        peepholes: peepholes.as_deref(),
        c_before: &saved_c,
        d_y,
        mask: mask.steps().mask().map(|m| m.values()),
    };
    let ends: Vec<[Vec<f32>; 3]> = gates.cpu_mut(|gates| {
        let work: Vec<_> =
            parts(gates, &tasks, blocks.columns()).into_iter().zip(tasks.iter()).collect();
        work.into_par_iter()
            .map(|(gates, task)| {
                Arch::new().dispatch(BackwardRows {
                    shared: &shared,
                    task,
                    gates,
                    d_h: load_rows(d_h.as_deref(), task, blocks),
                    d_c: load_rows(d_c.as_deref(), task, blocks),
                    d_peepholes: vec![
                        0.0;
                        if shared.peepholes.is_some() { blocks.columns() } else { 0 }
                    ],
                    scales: recurrent_scales(&how, task, blocks),
                })
            })
            .collect()
    });

    // The gates are d_a now: what is left are products over the whole sequence.
    let columns = blocks.columns();
    let frames = tasks.iter().map(|t| t.frames).sum();
    let d_a = gates.cpu();
    let threads = gemm::Parallelism::Rayon(0);
    for (k, size, values, into) in [
        (input_size, input_size, &x, &gradients.weight_ih),
        (hidden_size, blocks.units(), &h_before, &gradients.weight_hh),
    ] {
        let values = values.cpu();
        let sums = Tensor::empty([k, columns], &device)?;
        sums.cpu_mut(|sums| {
            product(
                [k, columns, frames],
                View::of(&values, size, true),
                View::of(&d_a, columns, false),
                (sums, columns),
                false,
                threads,
            );
            into.cpu_mut(|into| blocks.add_unpacked(sums, into));
        });
    }
    if let Some(bias) = &gradients.bias {
        let mut d_bias = vec![0.0; columns];
        for row in d_a.chunks_exact(columns) {
            for (sum, d) in d_bias.iter_mut().zip(row) {
                *sum += d;
            }
        }
        bias.cpu_mut(|bias| blocks.add_unpacked(&d_bias, bias));
    }
    if let Some(into) = &gradients.peepholes {
        for [_, _, d_peepholes] in &ends {
            into.cpu_mut(|into| blocks.add_unpacked(d_peepholes, into));
        }
    }
    let mut d_x = None;
    if wanted.d_x {
        let weight_ih = blocks.pack(&weights.weight_ih.cpu());
        let packed = Tensor::empty([batch, frames.div_ceil(batch), input_size], &device)?;
        packed.cpu_mut(|packed| {
            product(
                [frames, input_size, columns],
                View::of(&d_a, columns, false),
                View::of(&weight_ih, columns, true),
                (packed, input_size),
                false,
                threads,
            );
        });
        d_x = Some(match lengths {
            None => packed,
            Some(_) => {
                let d_x = Tensor::zeros([batch, timesteps, input_size], &device)?;
                let all = Columns { tensor: &d_x, first: 0 };
                let frames = packed.cpu();
                d_x.cpu_mut(|to| scatter(&tasks, &frames, timesteps, input_size, to, all));
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
    Ok(Leaving { d_x, d_state })
}

/// The activated gates once more, from the state before each step.
fn recompute(
    x: &Tensor,
    weights: &Weights,
    how: &How,
    blocks: Blocks,
    [h_before, c_before]: [&Tensor; 2],
) -> Result<Tensor> {
    let (columns, frames) = (blocks.columns(), h_before.len() / blocks.units());
    let gates = Tensor::empty([frames, columns], &x.device())?;
    let bias = weights.bias.as_ref().map(|b| blocks.pack(&b.cpu()));
    let bias = bias.unwrap_or_else(|| vec![0.0; columns]);
    let peepholes = weights.peepholes.as_ref().map(|p| blocks.pack(&p.cpu()));
    let c_before = c_before.cpu();
    let input_size = x.len() / frames;
    gates.cpu_mut(|gates| {
        for (values, size, k, weight) in [
            (x, input_size, input_size, &weights.weight_ih),
            (h_before, blocks.units(), blocks.hidden_size, &weights.weight_hh),
        ] {
            product(
                [frames, columns, k],
                View::of(&values.cpu(), size, false),
                View::of(&blocks.pack(&weight.cpu()), columns, false),
                (gates, columns),
                std::ptr::eq(values, h_before),
                gemm::Parallelism::Rayon(0),
            );
        }
        let rows = gates.par_chunks_mut(columns).zip(c_before.par_chunks(blocks.units()));
        rows.for_each(|(gates, c)| {
            let (bias, peepholes) = (&bias, peepholes.as_deref());
            Arch::new().dispatch(Activate { how, bias, peepholes, gates, c });
        });
    });
    Ok(gates)
}

/// The activations of a frame's gates.
struct Activate<'a> {
    how: &'a How,
    bias: &'a [f32],
    peepholes: Option<&'a [f32]>,
    gates: &'a mut [f32],
    c: &'a [f32],
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let gates: &mut [[S::f32s; 4]] = cast_slice_mut(self.gates);
        let bias: &[[S::f32s; 4]] = cast_slice(self.bias);
        let zero = [simd.splat_f32s(0.0); 4];
        for (block, (gates, bias)) in gates.iter_mut().zip(bias).enumerate() {
            let a = std::array::from_fn(|gate| simd.add_f32s(gates[gate], bias[gate]));
            let c = load::<S>(&self.c[block * S::F32_LANES..]);
            let p = self.peepholes.map_or(zero, |p| cast_slice::<f32, [S::f32s; 4]>(p)[block]);
            *gates = match self.how.cell.is_variant() {
                true => self.how.cell.forward(simd, a, c, p).gates,
                false => cell::plain_forward(simd, a, c).gates,
            };
        }
    }
}

/// What all threads of a backward pass read.
struct BackwardShared<'a> {
    blocks: Blocks,
    how: &'a How,
    timesteps: usize,
    rt: &'a [f32],
    peepholes: Option<&'a [f32]>,
    c_before: &'a [f32],
    d_y: Option<&'a [f32]>,
    mask: Option<&'a [bool]>,
}

/// One thread's rows of a backward pass.
struct BackwardRows<'a> {
    shared: &'a BackwardShared<'a>,
    task: &'a Task,
    gates: &'a mut [f32],
    /// `[rows, units]`, at first of the state after each row's last step. In between, d_h holds
    /// what reaches the step before other than by R.
    d_h: Vec<f32>,
    d_c: Vec<f32>,
    /// `[blocks, 4, lanes]`, or empty.
    d_peepholes: Vec<f32>,
    /// As in the forward pass.
    scales: Vec<f32>,
}

impl WithSimd for BackwardRows<'_> {
    /// d_h and d_c of the state before the sequence, and d_peepholes.
    type Output = [Vec<f32>; 3];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        if S::F32_LANES >= 16 { self.run::<S, 6>(simd) } else { self.run::<S, 3>(simd) }
    }
}

impl BackwardRows<'_> {
    #[inline(always)]
    fn run<S: Simd, const M: usize>(mut self, simd: S) -> [Vec<f32>; 3] {
        let blocks = self.shared.blocks;
        let mut d_h = std::mem::take(&mut self.d_h);
        let mut d_c = std::mem::take(&mut self.d_c);
        // Below the first timestep only the product with R is left: the gradient of h_0.
        for step in (-1..self.task.steps() as isize).rev() {
            let running = self.task.running(usize::try_from(step).unwrap_or(0));
            for group in 0..blocks.groups() {
                tiles!(self, simd, running, M, |row| ((row, step, group), (&mut d_h, &mut d_c)));
            }
        }
        [d_h, d_c, self.d_peepholes]
    }

    /// One timestep of four blocks of units of `M` rows.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        (first_row, step, group): (usize, isize, usize),
        (d_h, d_c): (&mut [f32], &mut [f32]),
    ) {
        let BackwardShared { blocks, how, timesteps, rt, peepholes, c_before, d_y, mask } =
            *self.shared;
        let (units, columns, lanes) = (blocks.units(), blocks.columns(), S::F32_LANES);
        let zero = simd.splat_f32s(0.0);
        let mut sums = [[zero; 4]; M];
        let after = (step + 1) as usize;
        let rows: [Row; M] = std::array::from_fn(|m| self.task.rows[first_row + m]);
        // The step behind a row's last has gradients of zero, and no frame.
        if rows.iter().all(|row| after < row.length) {
            let size = columns * 4 * lanes;
            let d_a: [&[f32]; M] = std::array::from_fn(|m| {
                &self.gates[rows[m].frame(after, how.reverse) * columns..][..columns]
            });
            accumulate(simd, &mut sums, d_a, cast_slice(&rt[group * size..][..size]));
        } else {
            let size = columns * 4 * lanes;
            for (row, sums) in rows.iter().zip(&mut sums).filter(|(row, _)| after < row.length) {
                let d_a = &self.gates[row.frame(after, how.reverse) * columns..][..columns];
                let mut one = [*sums];
                accumulate(simd, &mut one, [d_a], cast_slice(&rt[group * size..][..size]));
                *sums = one[0];
            }
        }
        let variant = how.cell.is_variant();
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
                let frame = rows[m].frame(now, how.reverse);
                let gates: &mut [[S::f32s; 4]] = cast_slice_mut(self.gates);
                let gates = &mut gates[frame * blocks.blocks + block];
                let global = self.task.first_frame + frame;
                let batch_frame = rows[m].at * timesteps + frame - rows[m].start;
                let left_out = mask.is_some_and(|mask| !mask[batch_frame]);
                if let Some(d_y) = d_y.filter(|_| !(left_out && how.zero_left_out)) {
                    let d_y = &d_y[global * blocks.hidden_size..][blocks.range(block)];
                    d = simd.add_f32s(d, simd.partial_load_f32s(d_y));
                }
                if left_out {
                    *gates = [zero; 4];
                    store::<S>(&mut d_h[state..], d);
                    continue;
                }
                let c_prev = load::<S>(&c_before[global * units + block * lanes..]);
                let d_c_after = load::<S>(&d_c[state..]);
                let mut stays = [zero; 2];
                let back = if variant {
                    let mut d_c_cell = d_c_after;
                    if how.cell.has_zoneout() {
                        let [h, c] = zoneout::<S>(how, blocks, batch_frame, block);
                        stays = [simd.mul_f32s(d, h), simd.mul_f32s(d_c_after, c)];
                        d = simd.sub_f32s(d, stays[0]);
                        d_c_cell = simd.sub_f32s(d_c_after, stays[1]);
                    }
                    let p: [S::f32s; 4] = match peepholes {
                        Some(p) => cast_slice::<f32, [S::f32s; 4]>(p)[block],
                        None => [zero; 4],
                    };
                    how.cell.backward(simd, *gates, c_prev, d, d_c_cell, p)
                } else {
                    cell::plain_backward(simd, *gates, c_prev, d, d_c_after)
                };
                *gates = back.d_a;
                store::<S>(&mut d_h[state..], stays[0]);
                store::<S>(&mut d_c[state..], simd.add_f32s(back.d_c, stays[1]));
                if !self.d_peepholes.is_empty() {
                    let sums: &mut [[S::f32s; 4]] = cast_slice_mut(&mut self.d_peepholes);
                    for (sum, &d) in sums[block].iter_mut().zip(&back.d_peepholes) {
                        *sum = simd.add_f32s(*sum, d);
                    }
                }
            }
        }
    }
}
