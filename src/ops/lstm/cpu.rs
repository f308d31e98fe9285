//! A layer on the CPU: the rows of a batch are split over the threads, and each thread takes
//! its rows through the whole sequence, so no thread waits for another.
//!
//! Layout of a row's gates at a timestep: blocks of as many units as a SIMD register has lanes,
//! in each block the lanes of i, then f, g, o. R is packed to match, so that the recurrent
//! product, the gates and the cell update of a block of units stay in registers. Units past H,
//! up to a whole block, have zero weights and stay zero.

use super::{Arriving, Forward, Leaving, Output, Saved, SavedSteps, Sizes, Wanted, Weights};
use crate::device::cpu::Cpu;
use crate::ops::gemm::{View, product};
use crate::ops::mask_steps::mask_steps;
use crate::ops::math::{sigmoid, tanh};
use crate::{Result, Tensor};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// The values of every timestep, in blocks of `lanes` units.
pub(super) struct SavedBatch {
    lanes: usize,
    /// `[B*T, blocks, 4, lanes]`, activated; the backward pass turns them into d_a.
    gates: Tensor,
    /// `[B*T, blocks, lanes]`, of the state before each step.
    h_before: Tensor,
    c_before: Tensor,
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

/// Rows for each thread.
fn rows_per_task(batch: usize) -> usize {
    batch.div_ceil(Cpu::threads())
}

/// Runs `f` with the words of several tensors, for writing.
fn with<R>(tensors: [&Tensor; 3], f: impl FnOnce([&mut [f32]; 3]) -> R) -> R {
    let [a, b, c] = tensors;
    a.cpu_mut(|a| b.cpu_mut(|b| c.cpu_mut(|c| f([a, b, c]))))
}

/// Chunks of `size` words, or as many empty ones.
fn parts(words: &mut [f32], size: usize, count: usize) -> Vec<&mut [f32]> {
    let mut parts: Vec<_> = if size == 0 { Vec::new() } else { words.chunks_mut(size).collect() };
    parts.resize_with(count, Default::default);
    parts
}

pub(super) fn forward(call: &Forward<'_>, sizes: Sizes) -> Result<Output> {
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let device = call.x.device();
    let blocks = Blocks::new(lanes(), hidden_size);
    let (x, bias) = (call.x.cpu(), blocks.pack(&call.weights.bias.cpu()));
    let weight_ih = blocks.pack(&call.weights.weight_ih.cpu());
    let r = blocks.pack_forward(&call.weights.weight_hh.cpu());

    let wanted = |wanted: bool, columns| if wanted { columns } else { 0 };
    let y = Tensor::empty([batch, timesteps, wanted(call.sequences, hidden_size)], &device)?;
    let gates = Tensor::empty([batch * timesteps, blocks.columns()], &device)?;
    let before = [batch * timesteps, wanted(call.save, blocks.units())];
    let (h_before, c_before) = (Tensor::empty(before, &device)?, Tensor::empty(before, &device)?);
    let h_n = Tensor::empty([batch, hidden_size], &device)?;
    let c_n = Tensor::empty([batch, hidden_size], &device)?;

    // Every thread starts from its rows' first state and leaves the last one there.
    match call.state {
        Some((h_0, c_0)) => {
            let (h_0, c_0) = (h_0.cpu(), c_0.cpu());
            h_n.cpu_mut(|h| h.copy_from_slice(&h_0));
            c_n.cpu_mut(|c| c.copy_from_slice(&c_0));
        }
        None => {
            h_n.cpu_mut(|h| h.fill(0.0));
            c_n.cpu_mut(|c| c.fill(0.0));
        }
    }
    let per_task = rows_per_task(batch);
    with([&gates, &h_before, &c_before], |[gates, h_before, c_before]| {
        with([&y, &h_n, &c_n], |[y, h_n, c_n]| {
            let tasks = batch.div_ceil(per_task);
            let steps = per_task * timesteps;
            let before = steps * wanted(call.save, blocks.units());
            let lists = [
                parts(gates, steps * blocks.columns(), tasks),
                parts(h_before, before, tasks),
                parts(c_before, before, tasks),
                parts(y, steps * wanted(call.sequences, hidden_size), tasks),
                parts(h_n, per_task * hidden_size, tasks),
                parts(c_n, per_task * hidden_size, tasks),
            ];
            let [gates, h_before, c_before, y, h_n, c_n] = lists;
            let shared = ForwardShared {
                blocks,
                timesteps,
                input_size,
                x: &x,
                weight_ih: &weight_ih,
                bias: &bias,
                r: &r,
                lengths: call.lengths.map(|l| l.values()),
            };
            gates
                .into_par_iter()
                .zip(h_before)
                .zip(c_before)
                .zip(y)
                .zip(h_n)
                .zip(c_n)
                .enumerate()
                .for_each(|(task, (((((gates, h_before), c_before), y), h), c))| {
                    let first_row = task * per_task;
                    Arch::new().dispatch(ForwardRows {
                        shared: &shared,
                        first_row,
                        gates,
                        h_before,
                        c_before,
                        y,
                        h,
                        c,
                    });
                });
        });
    });
    Ok(Output {
        y: call.sequences.then_some(y),
        h_n,
        c_n,
        saved: call.save.then(|| Saved {
            sizes,
            x: call.x.clone(),
            weights: call.weights.clone(),
            lengths: call.lengths.cloned(),
            strategy: call.strategy,
            steps: SavedSteps::Cpu(SavedBatch { lanes: blocks.lanes, gates, h_before, c_before }),
        }),
    })
}

/// What all threads of a forward pass read.
struct ForwardShared<'a> {
    blocks: Blocks,
    timesteps: usize,
    input_size: usize,
    x: &'a [f32],
    weight_ih: &'a [f32],
    bias: &'a [f32],
    r: &'a [f32],
    lengths: Option<&'a [u32]>,
}

/// One thread's rows of a forward pass.
struct ForwardRows<'a> {
    shared: &'a ForwardShared<'a>,
    first_row: usize,
    gates: &'a mut [f32],
    h_before: &'a mut [f32],
    c_before: &'a mut [f32],
    y: &'a mut [f32],
    h: &'a mut [f32],
    c: &'a mut [f32],
}

impl WithSimd for ForwardRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Sums of as many rows as the registers hold, beside the four vectors of weights.
        if S::F32_LANES >= 16 { self.run::<S, 6>(simd) } else { self.run::<S, 3>(simd) }
    }
}

/// The last timestep of a row, and one.
fn length(lengths: Option<&[u32]>, row: usize, timesteps: usize) -> usize {
    lengths.map_or(timesteps, |l| l[row] as usize)
}

/// Rows of `columns` words in rows of `padded` words, zeros behind.
fn pad(words: &[f32], columns: usize, padded: usize) -> Vec<f32> {
    let mut rows = vec![0.0; words.len() / columns * padded];
    for (to, from) in rows.chunks_exact_mut(padded).zip(words.chunks_exact(columns)) {
        to[..columns].copy_from_slice(from);
    }
    rows
}

/// The other way.
fn unpad(rows: &[f32], columns: usize, padded: usize, words: &mut [f32]) {
    for (to, from) in words.chunks_exact_mut(columns).zip(rows.chunks_exact(padded)) {
        to.copy_from_slice(&from[..columns]);
    }
}

impl ForwardRows<'_> {
    #[inline(always)]
    fn run<S: Simd, const M: usize>(mut self, simd: S) {
        let ForwardShared { blocks, timesteps, input_size, x, weight_ih, lengths, .. } =
            *self.shared;
        let (units, hidden_size) = (blocks.units(), blocks.hidden_size);
        let rows = self.h.len() / hidden_size;
        let first = self.first_row * timesteps * input_size;
        product(
            [rows * timesteps, blocks.columns(), input_size],
            View::of(&x[first..], input_size, false),
            View::of(weight_ih, blocks.columns(), false),
            (self.gates, blocks.columns()),
            false,
            gemm::Parallelism::None,
        );
        let mut h = pad(self.h, hidden_size, units);
        let mut c = pad(self.c, hidden_size, units);
        let mut h_next = h.clone();
        let row_lengths: Vec<_> =
            (0..rows).map(|row| length(lengths, self.first_row + row, timesteps)).collect();
        for step in 0..timesteps {
            for block in 0..blocks.blocks {
                let mut row = 0;
                while row < rows {
                    let left = (rows - row).min(M);
                    let at = At { row, step, block };
                    let state = (&h[..], &mut h_next[..], &mut c[..]);
                    match left {
                        1 => self.tile::<S, 1>(simd, at, &row_lengths, state),
                        2 => self.tile::<S, 2>(simd, at, &row_lengths, state),
                        3 => self.tile::<S, 3>(simd, at, &row_lengths, state),
                        4 => self.tile::<S, 4>(simd, at, &row_lengths, state),
                        5 => self.tile::<S, 5>(simd, at, &row_lengths, state),
                        _ => self.tile::<S, 6>(simd, at, &row_lengths, state),
                    }
                    row += left;
                }
            }
            std::mem::swap(&mut h, &mut h_next);
        }
        unpad(&h, hidden_size, units, self.h);
        unpad(&c, hidden_size, units, self.c);
    }

    /// One timestep of a block of units of `M` rows.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        at: At,
        lengths: &[usize],
        (h, h_next, c): (&[f32], &mut [f32], &mut [f32]),
    ) {
        let ForwardShared { blocks, timesteps, bias, r, .. } = *self.shared;
        let (units, hidden_size, lanes) = (blocks.units(), blocks.hidden_size, S::F32_LANES);
        let running = (0..M).any(|m| at.step < lengths[at.row + m]);
        let mut sums = [[simd.splat_f32s(0.0); 4]; M];
        if running {
            let bias: &[[S::f32s; 4]] = cast_slice(bias);
            for (m, sums) in sums.iter_mut().enumerate() {
                let gates = self.gates_at::<S>(at.row + m, at.step, at.block);
                for gate in 0..4 {
                    sums[gate] = simd.add_f32s(gates[gate], bias[at.block][gate]);
                }
            }
            let size = hidden_size * 4 * lanes;
            let rows: [&[f32]; M] =
                std::array::from_fn(|m| &h[(at.row + m) * units..][..hidden_size]);
            accumulate(simd, &mut sums, rows, cast_slice(&r[at.block * size..][..size]));
        }
        for (m, a) in sums.iter().enumerate() {
            let row = at.row + m;
            let state = row * units + at.block * lanes;
            let (h_old, c_old) = (load::<S>(&h[state..]), load::<S>(&c[state..]));
            let step = row * timesteps + at.step;
            if !self.h_before.is_empty() {
                let before = step * units + at.block * lanes;
                store::<S>(&mut self.h_before[before..], h_old);
                store::<S>(&mut self.c_before[before..], c_old);
            }
            let zero = simd.splat_f32s(0.0);
            let (gates, output, h_new) = if at.step < lengths[row] {
                let (i, f, o) = (sigmoid(simd, a[0]), sigmoid(simd, a[1]), sigmoid(simd, a[3]));
                let g = tanh(simd, a[2]);
                let c_new = simd.mul_add_f32s(f, c_old, simd.mul_f32s(i, g));
                let h_new = simd.mul_f32s(o, tanh(simd, c_new));
                store::<S>(&mut c[state..], c_new);
                ([i, f, g, o], h_new, h_new)
            } else {
                // Past the row's end: the state stays, the output is zero.
                ([zero; 4], zero, h_old)
            };
            store::<S>(&mut h_next[state..], h_new);
            if !self.h_before.is_empty() {
                *self.gates_at::<S>(row, at.step, at.block) = gates;
            }
            if !self.y.is_empty() {
                let range = blocks.range(at.block);
                let y = &mut self.y[step * hidden_size..][range];
                simd.partial_store_f32s(y, output);
            }
        }
    }

    #[inline(always)]
    fn gates_at<S: Simd>(&mut self, row: usize, step: usize, block: usize) -> &mut [S::f32s; 4] {
        let ForwardShared { blocks, timesteps, .. } = *self.shared;
        let gates: &mut [[S::f32s; 4]] = cast_slice_mut(self.gates);
        &mut gates[(row * timesteps + step) * blocks.blocks + block]
    }
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

pub(super) fn backward(
    saved: Saved,
    arriving: Arriving<'_>,
    gradients: &Weights,
    wanted: Wanted,
) -> Result<Leaving> {
    let Saved { sizes, x, weights, lengths, steps, .. } = saved;
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let SavedSteps::Cpu(batch_steps) = steps else {
        return Ok(Leaving { d_x: None, d_state: None });
    };
    let SavedBatch { lanes, gates, h_before, c_before } = batch_steps;
    let blocks = Blocks::new(lanes, hidden_size);
    let device = x.device();
    let rt = blocks.pack_backward(&weights.weight_hh.cpu());
    let d_h = Tensor::empty([batch, hidden_size], &device)?;
    let d_c = Tensor::empty([batch, hidden_size], &device)?;
    for (slot, arriving) in [(&d_h, arriving.d_h_n), (&d_c, arriving.d_c_n)] {
        let gradient = arriving.map(Tensor::cpu);
        slot.cpu_mut(|slot| match &gradient {
            Some(gradient) => slot.copy_from_slice(gradient),
            None => slot.fill(0.0),
        });
    }
    let d_y = arriving.d_y.map(Tensor::cpu);
    let saved_c = c_before.cpu();
    let per_task = rows_per_task(batch);
    with([&gates, &d_h, &d_c], |[gates, d_h, d_c]| {
        let shared = BackwardShared {
            blocks,
            timesteps,
            rt: &rt,
            c_before: &saved_c,
            d_y: d_y.as_deref(),
            lengths: lengths.as_ref().map(|l| l.values()),
        };
        gates
            .par_chunks_mut(per_task * timesteps * blocks.columns())
            .zip(d_h.par_chunks_mut(per_task * hidden_size))
            .zip(d_c.par_chunks_mut(per_task * hidden_size))
            .enumerate()
            .for_each(|(task, ((gates, d_h), d_c))| {
                let first_row = task * per_task;
                Arch::new().dispatch(BackwardRows { shared: &shared, first_row, gates, d_h, d_c });
            });
    });

    // The gates are d_a now: what is left are products over the whole sequence.
    let columns = blocks.columns();
    let rows = batch * timesteps;
    let d_a = gates.cpu();
    let threads = gemm::Parallelism::Rayon(0);
    // Padding may hold NaN, and NaN times a gradient of zero is NaN.
    let inputs = match &lengths {
        Some(lengths) => mask_steps(&x, lengths)?,
        None => x.clone(),
    };
    for (k, size, values, into) in [
        (input_size, input_size, &inputs, &gradients.weight_ih),
        (hidden_size, blocks.units(), &h_before, &gradients.weight_hh),
    ] {
        let values = values.cpu();
        let sums = Tensor::empty([k, columns], &device)?;
        sums.cpu_mut(|sums| {
            product(
                [k, columns, rows],
                View::of(&values, size, true),
                View::of(&d_a, columns, false),
                (sums, columns),
                false,
                threads,
            );
            into.cpu_mut(|into| blocks.add_unpacked(sums, into));
        });
    }
    let mut d_bias = vec![0.0; columns];
    for row in d_a.chunks_exact(columns) {
        for (sum, d) in d_bias.iter_mut().zip(row) {
            *sum += d;
        }
    }
    gradients.bias.cpu_mut(|bias| blocks.add_unpacked(&d_bias, bias));
    let d_x = match wanted.d_x {
        true => Some(Tensor::empty(x.shape(), &device)?),
        false => None,
    };
    if let Some(d_x) = &d_x {
        let weight_ih = blocks.pack(&weights.weight_ih.cpu());
        d_x.cpu_mut(|d_x| {
            product(
                [rows, input_size, columns],
                View::of(&d_a, columns, false),
                View::of(&weight_ih, columns, true),
                (d_x, input_size),
                false,
                threads,
            );
        });
    }
    Ok(Leaving { d_x, d_state: wanted.d_state.then_some((d_h, d_c)) })
}

/// What all threads of a backward pass read.
struct BackwardShared<'a> {
    blocks: Blocks,
    timesteps: usize,
    rt: &'a [f32],
    c_before: &'a [f32],
    d_y: Option<&'a [f32]>,
    lengths: Option<&'a [u32]>,
}

/// One thread's rows of a backward pass.
struct BackwardRows<'a> {
    shared: &'a BackwardShared<'a>,
    first_row: usize,
    gates: &'a mut [f32],
    d_h: &'a mut [f32],
    d_c: &'a mut [f32],
}

impl WithSimd for BackwardRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::F32_LANES >= 16 { self.run::<S, 6>(simd) } else { self.run::<S, 3>(simd) }
    }
}

impl BackwardRows<'_> {
    #[inline(always)]
    fn run<S: Simd, const M: usize>(mut self, simd: S) {
        let BackwardShared { blocks, timesteps, lengths, .. } = *self.shared;
        let (units, hidden_size) = (blocks.units(), blocks.hidden_size);
        let rows = self.d_h.len() / hidden_size;
        let mut d_h = pad(self.d_h, hidden_size, units);
        let mut d_c = pad(self.d_c, hidden_size, units);
        let row_lengths: Vec<_> =
            (0..rows).map(|row| length(lengths, self.first_row + row, timesteps)).collect();
        // Below the first timestep only the product with R is left: the gradient of h_0.
        for step in (-1..timesteps as isize).rev() {
            for group in 0..blocks.groups() {
                let mut row = 0;
                while row < rows {
                    let left = (rows - row).min(M);
                    let at = (row, step, group);
                    let state = (&mut d_h[..], &mut d_c[..]);
                    match left {
                        1 => self.tile::<S, 1>(simd, at, &row_lengths, state),
                        2 => self.tile::<S, 2>(simd, at, &row_lengths, state),
                        3 => self.tile::<S, 3>(simd, at, &row_lengths, state),
                        4 => self.tile::<S, 4>(simd, at, &row_lengths, state),
                        5 => self.tile::<S, 5>(simd, at, &row_lengths, state),
                        _ => self.tile::<S, 6>(simd, at, &row_lengths, state),
                    }
                    row += left;
                }
            }
        }
        unpad(&d_h, hidden_size, units, self.d_h);
        unpad(&d_c, hidden_size, units, self.d_c);
    }

    /// One timestep of four blocks of units of `M` rows.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        (first_row, step, group): (usize, isize, usize),
        lengths: &[usize],
        (d_h, d_c): (&mut [f32], &mut [f32]),
    ) {
        let BackwardShared { blocks, timesteps, rt, c_before, d_y, .. } = *self.shared;
        let (units, columns, lanes) = (blocks.units(), blocks.columns(), S::F32_LANES);
        let zero = simd.splat_f32s(0.0);
        let one = simd.splat_f32s(1.0);
        let mut sums = [[zero; 4]; M];
        let after = (step + 1) as usize;
        // The step behind a row's last has gradients of zero.
        if (0..M).any(|m| after < lengths[first_row + m]) {
            let size = columns * 4 * lanes;
            let rows: [&[f32]; M] = std::array::from_fn(|m| {
                &self.gates[((first_row + m) * timesteps + after) * columns..][..columns]
            });
            accumulate(simd, &mut sums, rows, cast_slice(&rt[group * size..][..size]));
        }
        for (m, sums) in sums.iter().enumerate() {
            let row = first_row + m;
            for (j, &d_h_rec) in sums.iter().enumerate() {
                let block = group * 4 + j;
                if block >= blocks.blocks {
                    break;
                }
                let state = row * units + block * lanes;
                let Ok(now) = usize::try_from(step) else {
                    store::<S>(&mut d_h[state..], d_h_rec);
                    continue;
                };
                let at = row * timesteps + now;
                let gates: &mut [[S::f32s; 4]] = cast_slice_mut(self.gates);
                let gates = &mut gates[at * blocks.blocks + block];
                if now >= lengths[row] {
                    *gates = [zero; 4];
                    continue;
                }
                let global = self.first_row * timesteps + at;
                let mut d = d_h_rec;
                if let Some(d_y) = d_y {
                    let d_y = &d_y[global * blocks.hidden_size..][blocks.range(block)];
                    d = simd.add_f32s(d, simd.partial_load_f32s(d_y));
                }
                if after == lengths[row] {
                    d = simd.add_f32s(d, load::<S>(&d_h[state..]));
                }
                let [i, f, g, o] = *gates;
                let c_prev = load::<S>(&c_before[global * units + block * lanes..]);
                let tanh_c = tanh(simd, simd.mul_add_f32s(f, c_prev, simd.mul_f32s(i, g)));
                let slope = |y| simd.mul_f32s(y, simd.sub_f32s(one, y));
                let slope_tanh = |y| simd.sub_f32s(one, simd.mul_f32s(y, y));
                let d_cell = simd.mul_add_f32s(
                    simd.mul_f32s(d, o),
                    slope_tanh(tanh_c),
                    load::<S>(&d_c[state..]),
                );
                *gates = [
                    simd.mul_f32s(simd.mul_f32s(d_cell, g), slope(i)),
                    simd.mul_f32s(simd.mul_f32s(d_cell, c_prev), slope(f)),
                    simd.mul_f32s(simd.mul_f32s(d_cell, i), slope_tanh(g)),
                    simd.mul_f32s(simd.mul_f32s(d, tanh_c), slope(o)),
                ];
                store::<S>(&mut d_c[state..], simd.mul_f32s(d_cell, f));
            }
        }
    }
}
