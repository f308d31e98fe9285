//! The forward pass.

use super::{Last, Norms, SCALES, Steps, apart, frame, take, together, total};
use crate::ops::lstm::cpu::micro::{accumulate, load, most_rows, store, tiles, weights_of};
use crate::ops::lstm::cpu::{Blocks, each_task, lanes};
use crate::ops::lstm::norm::Call;
use crate::ops::lstm::{Columns, cell};
use crate::{Result, Tensor};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

impl Call {
    pub(in super::super) fn forward_on_cpu(
        &self,
        state: &Tensor,
        y: Option<Columns<'_>>,
        save: bool,
    ) -> Result<Steps> {
        let [b, t, h] = self.sizes();
        let blocks = Blocks::new(lanes(), h);
        let (columns, width) = (blocks.columns(), 2 * blocks.units() + SCALES);
        let device = self.gates.device();
        let frames = |row| if save { self.length(row) } else { 0 };
        let kept: usize = (0..b).map(frames).sum();
        let z = Tensor::empty([if save { kept } else { b }, columns], &device)?;
        let before = Tensor::empty([kept, width], &device)?;
        let [stride, first] = y.map_or([0; 2], |y| [y.stride(), y.first]);
        let y = match y {
            Some(y) => y.tensor.clone(),
            None => Tensor::empty([0], &device)?,
        };
        let shared = Shared {
            call: self,
            blocks,
            r: &blocks.packed_forward(&self.weight_hh)?,
            norms: &self.packed_norms(blocks),
            y: (stride, first),
        };
        let tasks = self.tasks();
        self.gates.cpu_mut(|mut gates| {
            z.cpu_mut(|mut z| {
                before.cpu_mut(|mut before| {
                    y.cpu_mut(|mut y| {
                        state.cpu_mut(|mut state| {
                            let mut rows: Vec<_> = (0..b)
                                .map(|row| {
                                    let frames = frames(row);
                                    let z_frames = if save { frames } else { 1 };
                                    Some(Row {
                                        length: self.length(row),
                                        gates: take(&mut gates, t * 4 * h),
                                        z: take(&mut z, z_frames * columns),
                                        before: take(&mut before, frames * width),
                                        y: take(&mut y, t * stride),
                                        state: take(&mut state, 2 * h),
                                    })
                                })
                                .collect();
                            let work = tasks.iter().map(|task| {
                                task.rows.iter().filter_map(|row| rows[row.at].take()).collect()
                            });
                            each_task(work.collect(), |rows| {
                                Arch::new().dispatch(Rows { shared: &shared, rows });
                            });
                        });
                    });
                });
            });
        });
        Ok(Steps { z, before })
    }
}

/// The shared inputs of all threads.
struct Shared<'a> {
    call: &'a Call,
    blocks: Blocks,
    r: &'a [f32],
    norms: &'a Norms,
    /// The words from one frame of the outputs to the next, and the first of them.
    y: (usize, usize),
}

/// A row of the batch, and what it reads and writes.
struct Row<'a> {
    length: usize,
    /// `[T,H,4]`: the input projection, which becomes the gates if they are saved.
    gates: &'a mut [f32],
    /// R h of each step, if it is saved; else of one.
    z: &'a mut [f32],
    /// What is saved, or nothing.
    before: &'a mut [f32],
    /// The frames of the outputs, or nothing.
    y: &'a mut [f32],
    /// h and c, `[2H]`.
    state: &'a mut [f32],
}

/// One thread's rows, the longest first.
struct Rows<'a> {
    shared: &'a Shared<'a>,
    rows: Vec<Row<'a>>,
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Shared { call, blocks, .. } = *self.shared;
        let (units, size) = (blocks.units(), blocks.hidden_size);
        let mut h = vec![0.0; self.rows.len() * units];
        let mut c = h.clone();
        let mut o = vec![0.0; units];
        for (row, (h, c)) in
            self.rows.iter().zip(h.chunks_exact_mut(units).zip(c.chunks_exact_mut(units)))
        {
            h[..size].copy_from_slice(&row.state[..size]);
            c[..size].copy_from_slice(&row.state[size..]);
        }
        for step in 0..self.rows.first().map_or(0, |row| row.length) {
            let running = self.rows.partition_point(|row| row.length > step);
            for block in 0..blocks.blocks {
                tiles!(running, most_rows::<S>(), |row, M| {
                    self.tile::<S, M>(simd, (row, step, block), &h);
                });
            }
            let states = h.chunks_exact_mut(units).zip(c.chunks_exact_mut(units));
            for (row, (h, c)) in self.rows[..running].iter_mut().zip(states) {
                let frame = frame(row.length, step, call.reverse);
                self.shared.step(simd, row, frame, [h, c, &mut o]);
            }
        }
        for (row, (h, c)) in
            self.rows.iter_mut().zip(h.chunks_exact(units).zip(c.chunks_exact(units)))
        {
            row.state[..size].copy_from_slice(&h[..size]);
            row.state[size..].copy_from_slice(&c[..size]);
        }
    }
}

impl Rows<'_> {
    /// R h of a block of units of `M` rows.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        (first, step, block): (usize, usize, usize),
        h: &[f32],
    ) {
        let Shared { call, blocks, r, .. } = *self.shared;
        let (units, size) = (blocks.units(), blocks.hidden_size);
        let h: [&[f32]; M] = std::array::from_fn(|m| &h[(first + m) * units..][..size]);
        let mut sums = [[simd.splat_f32s(0.0); 4]; M];
        accumulate(simd, &mut sums, h, weights_of::<S>(r, size, block));
        for (row, sums) in self.rows[first..first + M].iter_mut().zip(sums) {
            let frame = frame(row.length, step, call.reverse);
            let at = row.z_at(frame, blocks);
            let z: &mut [[S::f32s; 4]] = cast_slice_mut(&mut row.z[at]);
            z[block] = sums;
        }
    }
}

impl Row<'_> {
    /// Where R h of a frame lies among the words of `z`.
    fn z_at(&self, frame: usize, blocks: Blocks) -> Range<usize> {
        let at = if self.before.is_empty() { 0 } else { frame } * blocks.columns();
        at..at + blocks.columns()
    }
}

impl Shared<'_> {
    /// What follows R h in a step of a row; `o` has room for that gate.
    #[inline(always)]
    fn step<S: Simd>(&self, simd: S, row: &mut Row<'_>, frame: usize, [h, c, o]: [&mut [f32]; 3]) {
        let Self { call, blocks, norms, .. } = *self;
        let (size, units, lanes) = (blocks.hidden_size, blocks.units(), S::F32_LANES);
        let last = Last::new(simd, blocks);
        let (gain_z, [gain_c, shift_c]) = norms.parts::<S>(blocks);
        let zero = simd.splat_f32s(0.0);
        let root = |squares: f32, n: usize| 1.0 / (squares / n as f32 + call.epsilon).sqrt();
        let save = !row.before.is_empty();
        if save {
            let before = &mut row.before[frame * (2 * units + SCALES)..];
            before[..units].copy_from_slice(h);
            before[units..2 * units].copy_from_slice(c);
        }
        let at = row.z_at(frame, blocks);
        let z: &mut [[S::f32s; 4]] = cast_slice_mut(&mut row.z[at]);
        let mut sums = [zero; 4];
        for z in &*z {
            for j in 0..4 {
                sums[j] = simd.add_f32s(sums[j], z[j]);
            }
        }
        let mean_z = simd.splat_f32s(total(simd, sums) / (4 * size) as f32);
        let mut squares = [zero; 4];
        for (block, z) in z.iter_mut().enumerate() {
            for j in 0..4 {
                z[j] = last.without_padding(simd, block, simd.sub_f32s(z[j], mean_z));
                squares[j] = simd.mul_add_f32s(z[j], z[j], squares[j]);
            }
        }
        let root_z = root(total(simd, squares), 4 * size);
        let scale = simd.splat_f32s(root_z);

        let gates = &mut row.gates[frame * 4 * size..][..4 * size];
        let mut sum = zero;
        for (block, gates) in gates.chunks_mut(4 * lanes).enumerate() {
            let z = &mut z[block];
            let mut a = apart::<S>(gates);
            for j in 0..4 {
                z[j] = simd.mul_f32s(z[j], scale);
                a[j] = simd.mul_add_f32s(gain_z[block][j], z[j], a[j]);
            }
            let new = cell::plain_update(simd, a, load::<S>(&c[block * lanes..]));
            if save {
                together::<S>(new.gates, gates);
            }
            store::<S>(&mut o[block * lanes..], new.gates[3]);
            store::<S>(&mut c[block * lanes..], new.c);
            sum = simd.add_f32s(sum, new.c);
        }
        let c: &[S::f32s] = cast_slice(c);
        let mean_c = simd.reduce_sum_f32s(sum) / size as f32;
        let mean = simd.splat_f32s(mean_c);
        let mut squares = zero;
        for (block, &c) in c.iter().enumerate() {
            let d = last.without_padding(simd, block, simd.sub_f32s(c, mean));
            squares = simd.mul_add_f32s(d, d, squares);
        }
        let root_c = root(simd.reduce_sum_f32s(squares), size);
        let scale = simd.splat_f32s(root_c);
        for (block, &c) in c.iter().enumerate() {
            let normal = simd.mul_f32s(simd.sub_f32s(c, mean), scale);
            let a = simd.mul_add_f32s(gain_c[block], normal, shift_c[block]);
            let value = cell::plain_output(simd, load::<S>(&o[block * lanes..]), a);
            store::<S>(&mut h[block * lanes..], value);
        }
        let (stride, first) = self.y;
        if !row.y.is_empty() {
            row.y[frame * stride + first..][..size].copy_from_slice(&h[..size]);
        }
        if save {
            let scales = &mut row.before[frame * (2 * units + SCALES) + 2 * units..];
            scales[..3].copy_from_slice(&[root_z, mean_c, root_c]);
        }
    }
}
