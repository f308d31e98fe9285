//! The backward pass.

use super::{Last, Norms, SCALES, Steps, apart, frame, place, take, together, total};
use crate::ops::common::{math, vector};
use crate::ops::lstm::Columns;
use crate::ops::lstm::cpu::micro::{accumulate, most_rows, store, tiles, weights_of};
use crate::ops::lstm::cpu::products::{Factor, weight_gradients};
use crate::ops::lstm::cpu::{Blocks, each_task, lanes};
use crate::ops::lstm::norm::Call;
use crate::{Result, Tensor};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};

impl Call {
    /// `sums` `[B,8H]` has the gradients of the last h and c, and gets those of the first, and each row's part
    /// of the gradient of the norms; that of R is added to `d_weight_hh`.
    pub(in super::super) fn backward_on_cpu(
        &self,
        steps: &Steps,
        d_y: Option<Columns<'_>>,
        sums: &Tensor,
        d_weight_hh: &Tensor,
    ) -> Result<()> {
        let Steps { z, before } = steps;
        let [b, t, h] = self.sizes();
        let blocks = Blocks::new(lanes(), h);
        let (columns, width) = (blocks.columns(), 2 * blocks.units() + SCALES);
        let rt = blocks.packed_backward(&self.weight_hh)?;
        let norms = self.packed_norms(blocks);
        let before = before.cpu();
        let arriving = d_y.map(|y| (y.tensor.cpu(), y.stride(), y.first));
        let shared = Shared { blocks, reverse: self.reverse, rt: &rt, norms: &norms };
        let tasks = self.tasks();
        self.gates.cpu_mut(|mut gates| {
            z.cpu_mut(|mut z| {
                sums.cpu_mut(|mut sums| {
                    let mut rest = &before[..];
                    let mut rows: Vec<_> = (0..b)
                        .map(|row| {
                            let length = self.length(row);
                            let gates = take(&mut gates, t * 4 * h);
                            gates[length * 4 * h..].fill(0.0);
                            Some(Row {
                                length,
                                gates,
                                z: take(&mut z, length * columns),
                                before: rest.split_off(..length * width).unwrap_or_default(),
                                d_y: arriving.as_ref().map(|(words, stride, first)| {
                                    (&words[row * t * stride + first..], *stride)
                                }),
                                sums: take(&mut sums, 8 * h),
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
        let factor = Factor { values: &before, stride: width, size: h, gradient: d_weight_hh };
        let order: Vec<_> = (0..z.len() / blocks.columns()).collect();
        weight_gradients(blocks, &[factor], (&z.cpu(), &order), None)
    }
}

/// The shared inputs of all threads.
struct Shared<'a> {
    blocks: Blocks,
    reverse: bool,
    rt: &'a [f32],
    norms: &'a Norms,
}

/// A row of the batch, and what it reads and writes.
struct Row<'a> {
    length: usize,
    /// `[T,H,4]`: the gates, which become the gradient of the input projection.
    gates: &'a mut [f32],
    /// R h, normalised, which becomes the gradient of R h.
    z: &'a mut [f32],
    before: &'a [f32],
    /// The gradient of the outputs, from the row's first on, and the words from one frame to the next.
    d_y: Option<(&'a [f32], usize)>,
    /// The gradients of the state and of the norms, `[8H]`.
    sums: &'a mut [f32],
}

/// One thread's rows, the longest first.
struct Rows<'a> {
    shared: &'a Shared<'a>,
    rows: Vec<Row<'a>>,
}

/// What a row adds up, in blocks of units.
struct Sums {
    d_h: Vec<f32>,
    d_c: Vec<f32>,
    /// The gradient of the norms over the last steps, as [`Norms`] has them.
    norms: Vec<f32>,
    /// That over the steps before: single precision would lose the last terms of a long sequence.
    all: Vec<f64>,
}

/// The steps that meet in single precision.
const SHORT: usize = 32;

impl Sums {
    fn new(row: &Row<'_>, blocks: Blocks) -> Self {
        let state = |which: usize| {
            let mut state = vec![0.0; blocks.units()];
            let size = blocks.hidden_size;
            state[..size].copy_from_slice(&row.sums[which * size..][..size]);
            state
        };
        let norms = blocks.columns() + 2 * blocks.units();
        Self { d_h: state(0), d_c: state(1), norms: vec![0.0; norms], all: vec![0.0; norms] }
    }

    fn flush(&mut self) {
        for (all, sum) in self.all.iter_mut().zip(&mut self.norms) {
            *all += f64::from(std::mem::take(sum));
        }
    }

    fn finish(mut self, row: &mut Row<'_>, blocks: Blocks) {
        self.flush();
        let size = blocks.hidden_size;
        let (state, norms) = row.sums.split_at_mut(2 * size);
        state[..size].copy_from_slice(&self.d_h[..size]);
        state[size..].copy_from_slice(&self.d_c[..size]);
        place(blocks, |to, from| norms[to] = self.all[from] as f32);
    }
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Shared { blocks, reverse, .. } = *self.shared;
        let mut sums: Vec<_> = self.rows.iter().map(|row| Sums::new(row, blocks)).collect();
        let mut room = vec![0.0; blocks.blocks * 6 * S::F32_LANES];
        for step in (0..self.rows.first().map_or(0, |row| row.length)).rev() {
            let running = self.rows.partition_point(|row| row.length > step);
            for (row, sums) in self.rows[..running].iter_mut().zip(&mut sums) {
                let frame = frame(row.length, step, reverse);
                self.shared.step(simd, row, frame, sums, &mut room);
                if step.is_multiple_of(SHORT) {
                    sums.flush();
                }
            }
            for group in 0..blocks.groups() {
                tiles!(running, most_rows::<S>(), |row, M| {
                    self.tile::<S, M>(simd, (row, step, group), &mut sums);
                });
            }
        }
        for (row, sums) in self.rows.iter_mut().zip(sums) {
            sums.finish(row, blocks);
        }
    }
}

impl Rows<'_> {
    /// The gradient of h before a step, of four blocks of units of `M` rows.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(
        &self,
        simd: S,
        (first, step, group): (usize, usize, usize),
        sums: &mut [Sums],
    ) {
        let Shared { blocks, reverse, rt, .. } = *self.shared;
        let columns = blocks.columns();
        let d_z: [&[f32]; M] = std::array::from_fn(|m| {
            let row = &self.rows[first + m];
            let frame = frame(row.length, step, reverse);
            &row.z[frame * columns..][..columns]
        });
        let mut d_h = [[simd.splat_f32s(0.0); 4]; M];
        accumulate(simd, &mut d_h, d_z, weights_of::<S>(rt, columns, group));
        for (sums, d_h) in sums[first..first + M].iter_mut().zip(d_h) {
            for (block, d_h) in (group * 4..blocks.blocks).zip(d_h) {
                store::<S>(&mut sums.d_h[block * S::F32_LANES..], d_h);
            }
        }
    }
}

impl Shared<'_> {
    /// A step of a row, up to the gradient of R h.
    #[inline(always)]
    fn step<S: Simd>(
        &self,
        simd: S,
        row: &mut Row<'_>,
        frame: usize,
        sums: &mut Sums,
        room: &mut [f32],
    ) {
        let Self { blocks, norms, .. } = *self;
        let (size, units, lanes) = (blocks.hidden_size, blocks.units(), S::F32_LANES);
        let last = Last::new(simd, blocks);
        let (gain_z, [gain_c, shift_c]) = norms.parts::<S>(blocks);
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let before = &row.before[frame * (2 * units + SCALES)..][..2 * units + SCALES];
        let c_before: &[S::f32s] = cast_slice(&before[units..2 * units]);
        let scales = &before[2 * units..];
        let root_z = simd.splat_f32s(scales[0]);
        let mean_c = simd.splat_f32s(scales[1]);
        let root_c = simd.splat_f32s(scales[2]);
        let d_y = row.d_y.map(|(words, stride)| &words[frame * stride..][..size]);
        let (d_gain_z, d_c_norms) = sums.norms.split_at_mut(blocks.columns());
        let (d_gain_c, d_shift_c) = d_c_norms.split_at_mut(units);
        let (d_gain_c, d_shift_c): (&mut [S::f32s], &mut [S::f32s]) =
            (cast_slice_mut(d_gain_c), cast_slice_mut(d_shift_c));
        let d_gain_z: &mut [[S::f32s; 4]] = cast_slice_mut(d_gain_z);
        let d_h: &[S::f32s] = cast_slice(&sums.d_h);
        let d_c: &mut [S::f32s] = cast_slice_mut(&mut sums.d_c);
        let gates = &mut row.gates[frame * 4 * size..][..4 * size];
        let z: &mut [[S::f32s; 4]] = cast_slice_mut(&mut row.z[frame * blocks.columns()..]);
        // Of each block: i, f, g; the gradient of what o is the sigmoid of; c normalised, and its gradient.
        let room: &mut [[S::f32s; 6]] = cast_slice_mut(room);

        let mut of_c = [zero; 2];
        for (block, gates) in gates.chunks(4 * lanes).enumerate() {
            let [i, f, g, o] = apart::<S>(gates);
            let c = simd.mul_add_f32s(f, c_before[block], simd.mul_f32s(i, g));
            let normal = simd.mul_f32s(simd.sub_f32s(c, mean_c), root_c);
            let value = simd.mul_add_f32s(gain_c[block], normal, shift_c[block]);
            let value = math::tanh(simd, value);
            let mut d_h = d_h[block];
            if let Some(d_y) = d_y {
                d_h = simd.add_f32s(d_h, vector::load(simd, d_y, block * lanes, zero));
            }
            let slope = simd.sub_f32s(one, simd.mul_f32s(value, value));
            let d_value = simd.mul_f32s(simd.mul_f32s(d_h, o), slope);
            d_gain_c[block] = simd.mul_add_f32s(d_value, normal, d_gain_c[block]);
            d_shift_c[block] = simd.add_f32s(d_value, d_shift_c[block]);
            let d_normal = simd.mul_f32s(d_value, gain_c[block]);
            of_c[0] = simd.add_f32s(of_c[0], d_normal);
            of_c[1] = simd.mul_add_f32s(d_normal, normal, of_c[1]);
            let slope = simd.mul_f32s(o, simd.sub_f32s(one, o));
            let d_o = simd.mul_f32s(simd.mul_f32s(d_h, value), slope);
            room[block] = [i, f, g, d_o, normal, d_normal];
        }
        let mean = simd.splat_f32s(simd.reduce_sum_f32s(of_c[0]) / size as f32);
        let share = simd.splat_f32s(simd.reduce_sum_f32s(of_c[1]) / size as f32);

        let (mut sums_z, mut products_z) = ([zero; 4], [zero; 4]);
        for (block, gates) in gates.chunks_mut(4 * lanes).enumerate() {
            let [i, f, g, d_o, normal, d_normal] = room[block];
            let through =
                simd.sub_f32s(simd.sub_f32s(d_normal, mean), simd.mul_f32s(normal, share));
            let d = simd.mul_add_f32s(root_c, through, d_c[block]);
            let d = last.without_padding(simd, block, d);
            d_c[block] = simd.mul_f32s(d, f);
            let slope_i = simd.mul_f32s(i, simd.sub_f32s(one, i));
            let slope_f = simd.mul_f32s(f, simd.sub_f32s(one, f));
            let slope_g = simd.sub_f32s(one, simd.mul_f32s(g, g));
            let d_a = [
                simd.mul_f32s(simd.mul_f32s(d, g), slope_i),
                simd.mul_f32s(simd.mul_f32s(d, c_before[block]), slope_f),
                simd.mul_f32s(simd.mul_f32s(d, i), slope_g),
                d_o,
            ];
            for j in 0..4 {
                let normal = z[block][j];
                d_gain_z[block][j] = simd.mul_add_f32s(d_a[j], normal, d_gain_z[block][j]);
                let d_normal = simd.mul_f32s(d_a[j], gain_z[block][j]);
                sums_z[j] = simd.add_f32s(sums_z[j], d_normal);
                products_z[j] = simd.mul_add_f32s(d_normal, normal, products_z[j]);
                room[block][j] = d_normal;
            }
            together::<S>(d_a, gates);
        }
        let mean = simd.splat_f32s(total(simd, sums_z) / (4 * size) as f32);
        let share = simd.splat_f32s(total(simd, products_z) / (4 * size) as f32);
        for block in 0..blocks.blocks {
            let z = &mut z[block];
            for j in 0..4 {
                let through = simd.sub_f32s(room[block][j], mean);
                let through = simd.sub_f32s(through, simd.mul_f32s(z[j], share));
                z[j] = last.without_padding(simd, block, simd.mul_f32s(root_z, through));
            }
        }
    }
}
