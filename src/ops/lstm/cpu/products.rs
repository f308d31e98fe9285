//! Products over all frames of a batch at once, before and after the recurrence.

use super::micro::{accumulate, accumulate_outer, load, most_rows, row_of, tiles, weights_of};
use super::{Blocks, SMALL, each_job, threads_for};
use crate::device::cpu::Line;
use crate::ops::lstm::{CellConfig, cell};
use crate::{Result, Tensor};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};

/// The frames that a thread takes through all weights at a time: as many as fit the nearest caches of a
/// core.
const FRAMES: usize = 48;

/// Runs `f` on runs of whole frames, on all threads if there is enough work.
fn each_run(
    words: &mut [f32],
    width: usize,
    work_of_frame: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) {
    let frames = words.len() / width;
    let threads = threads_for(frames.saturating_mul(work_of_frame) < SMALL * 8);
    let run = if threads == 1 { frames } else { FRAMES };
    let runs = words.chunks_mut(run * width).enumerate();
    each_job(runs, threads, |(n, words)| f(n * run, words));
}

/// The values of all frames, and the weights by which they are multiplied.
#[derive(Clone, Copy)]
pub(super) struct Term<'a> {
    pub(super) values: &'a [f32],
    /// The words from one frame to the next.
    pub(super) stride: usize,
    /// The words of a frame that are multiplied by weights.
    pub(super) size: usize,
    /// The weights, packed for the forward pass.
    pub(super) weights: &'a [f32],
}

/// The sums of the gates of many frames: b, then the terms in order.
#[derive(Clone, Copy)]
pub(super) struct FrameSums<'a> {
    pub(super) blocks: Blocks,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) terms: &'a [Term<'a>],
}

/// The activation that turns sums into gates.
#[derive(Clone, Copy)]
pub(super) struct Activate<'a> {
    pub(super) config: &'a CellConfig,
    pub(super) peepholes: Option<&'a [f32]>,
    /// The cell before each step, `[frames, units]`.
    pub(super) c_before: &'a [f32],
}

impl FrameSums<'_> {
    /// Writes the sums to `gates` `[frames, blocks, 4, lanes]`.
    pub(super) fn run(self, gates: &mut [f32], activate: Option<Activate<'_>>) {
        let columns = self.blocks.columns();
        let size: usize = self.terms.iter().map(|term| term.size).sum();
        each_run(gates, columns, columns * size, |first, gates| {
            Arch::new().dispatch(FrameSumsRun { sums: self, activate, first, gates });
        });
    }
}

struct FrameSumsRun<'a> {
    sums: FrameSums<'a>,
    activate: Option<Activate<'a>>,
    /// The first frame of `gates`.
    first: usize,
    gates: &'a mut [f32],
}

impl WithSimd for FrameSumsRun<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sums: FrameSums { blocks, bias, terms }, activate, first, gates } = self;
        for (run, gates) in gates.chunks_mut(FRAMES * blocks.columns()).enumerate() {
            let first = first + run * FRAMES;
            let gates: &mut [[S::f32s; 4]] = cast_slice_mut(gates);
            for block in 0..blocks.blocks {
                let bias = row_of(simd, bias, block);
                tiles!(gates.len() / blocks.blocks, most_rows::<S>(), |frame, M| {
                    let mut sums = [bias; M];
                    for term in terms {
                        let values: [&[f32]; M] = std::array::from_fn(|m| {
                            &term.values[(first + frame + m) * term.stride..][..term.size]
                        });
                        let weights = weights_of::<S>(term.weights, term.size, block);
                        accumulate(simd, &mut sums, values, weights);
                    }
                    for (m, sums) in sums.into_iter().enumerate() {
                        gates[(frame + m) * blocks.blocks + block] = match activate {
                            None => sums,
                            Some(activate) => {
                                activate.gates(simd, blocks, first + frame + m, block, sums)
                            }
                        };
                    }
                });
            }
        }
    }
}

impl Activate<'_> {
    #[inline(always)]
    fn gates<S: Simd>(
        &self,
        simd: S,
        blocks: Blocks,
        frame: usize,
        block: usize,
        sums: [S::f32s; 4],
    ) -> [S::f32s; 4] {
        let c = load::<S>(&self.c_before[frame * blocks.units() + block * S::F32_LANES..]);
        if !self.config.cell.is_variant() {
            return cell::plain_update(simd, sums, c).gates;
        }
        let p = row_of(simd, self.peepholes, block);
        self.config.cell.forward(simd, sums, c, p).gates
    }
}

/// Computes `d_x` `[frames, I]` = d_a W^T; `weights` are packed for the backward pass.
pub(super) fn input_gradient(
    blocks: Blocks,
    d_a: &[f32],
    weights: &[f32],
    d_x: &mut [f32],
    input_size: usize,
) {
    let columns = blocks.columns();
    each_run(d_x, input_size, input_size * columns, |first, d_x| {
        let d_a = &d_a[first * columns..];
        Arch::new().dispatch(InputGradient { columns, d_a, weights, d_x, input_size });
    });
}

struct InputGradient<'a> {
    columns: usize,
    d_a: &'a [f32],
    weights: &'a [f32],
    d_x: &'a mut [f32],
    input_size: usize,
}

impl WithSimd for InputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { columns, d_a, weights, d_x, input_size } = self;
        let inputs = Blocks::new(S::F32_LANES, input_size);
        let runs = d_x.chunks_mut(FRAMES * input_size).zip(d_a.chunks(FRAMES * columns));
        for (d_x, d_a) in runs {
            for group in 0..inputs.groups() {
                let weights = weights_of::<S>(weights, columns, group);
                tiles!(d_x.len() / input_size, most_rows::<S>(), |frame, M| {
                    let d_a: [&[f32]; M] =
                        std::array::from_fn(|m| &d_a[(frame + m) * columns..][..columns]);
                    let mut sums = [[simd.splat_f32s(0.0); 4]; M];
                    accumulate(simd, &mut sums, d_a, weights);
                    for (m, sums) in sums.into_iter().enumerate() {
                        let d_x = &mut d_x[(frame + m) * input_size..][..input_size];
                        let block = group * 4;
                        for (block, sum) in (block..inputs.blocks.min(block + 4)).zip(sums) {
                            simd.partial_store_f32s(&mut d_x[inputs.range(block)], sum);
                        }
                    }
                });
            }
        }
    }
}

/// The values of all frames from which a gradient of weights is computed.
#[derive(Clone, Copy)]
pub(in crate::ops::lstm) struct Factor<'a> {
    /// The values `[frames, stride]`, of which the first `size` of each frame count.
    pub(in crate::ops::lstm) values: &'a [f32],
    pub(in crate::ops::lstm) stride: usize,
    pub(in crate::ops::lstm) size: usize,
    /// The gradient of the weights, `[size, H, 4]`.
    pub(in crate::ops::lstm) gradient: &'a Tensor,
}

/// Adds values^T d_a to the gradient of each factor, and the sum of d_a to `bias`, of all frames in this order.
pub(in crate::ops::lstm) fn weight_gradients(
    blocks: Blocks,
    factors: &[Factor<'_>],
    (d_a, order): (&[f32], &[usize]),
    bias: Option<&Tensor>,
) -> Result<()> {
    let Some(first) = factors.first() else { return Ok(()) };
    let width = 4 * blocks.lanes;
    let values: usize = factors.iter().map(|factor| factor.values.len()).sum();
    let small = values.saturating_mul(blocks.columns()) < SMALL * 8;
    // Of each factor `[blocks, size, 4, lanes]`.
    let len = |factor: &Factor<'_>| blocks.blocks * factor.size * width;
    let sums = Tensor::empty([factors.iter().map(len).sum()], &first.gradient.device())?;
    let mut column_sums = vec![0.0; blocks.columns()];
    sums.cpu_mut(|mut sums| {
        // Each block once for each factor; the first also sums the columns.
        let mut jobs = Vec::new();
        let mut columns = column_sums.chunks_mut(width);
        for &factor in factors {
            let part = sums.split_off_mut(..len(&factor)).unwrap_or_default();
            for (block, sums) in part.chunks_mut((factor.size * width).max(1)).enumerate() {
                jobs.push((block, factor, sums, columns.next().unwrap_or_default()));
            }
        }
        let blocks = blocks.blocks;
        each_job(jobs.into_iter(), threads_for(small), |(block, factor, sums, column_sums)| {
            sums.fill(0.0);
            let gradient = WeightGradient { blocks, block, factor, d_a, order, sums, column_sums };
            Arch::new().dispatch(gradient);
        });
    });
    let sums = sums.cpu();
    let mut rest = &sums[..];
    for factor in factors {
        let sums = rest.split_off(..len(factor)).unwrap_or_default();
        // On this thread only: all gradients of a model share one buffer and its lock.
        factor.gradient.cpu_mut(|gradient| {
            let rows = gradient.chunks_exact_mut(4 * blocks.hidden_size);
            for (row, gradient) in rows.enumerate() {
                for block in 0..blocks.blocks {
                    let sums = &sums[(block * factor.size + row) * width..][..width];
                    add_unpacked(blocks, block, sums, gradient);
                }
            }
        });
    }
    if let Some(bias) = bias {
        bias.cpu_mut(|bias| add_row(blocks, &column_sums, bias));
    }
    Ok(())
}

/// Adds the gates of a block, `[4, lanes]`, to those of its units in `row`, `[H, 4]`.
fn add_unpacked(blocks: Blocks, block: usize, packed: &[f32], row: &mut [f32]) {
    let units = blocks.range(block);
    let units = row[4 * units.start..4 * units.end].chunks_exact_mut(4);
    for (lane, gates) in units.enumerate() {
        for (gate, sum) in gates.iter_mut().enumerate() {
            *sum += packed[gate * blocks.lanes + lane];
        }
    }
}

/// Adds the gates of all blocks, `[blocks, 4, lanes]`, to those of the units in `row`, `[H, 4]`.
pub(super) fn add_row(blocks: Blocks, packed: &[f32], row: &mut [f32]) {
    for (block, packed) in packed.chunks_exact(4 * blocks.lanes).enumerate() {
        add_unpacked(blocks, block, packed, row);
    }
}

struct WeightGradient<'a> {
    blocks: usize,
    block: usize,
    factor: Factor<'a>,
    d_a: &'a [f32],
    order: &'a [usize],
    /// The sums of the gradient, `[size, 4, lanes]`.
    sums: &'a mut [f32],
    /// The sums of the columns, `[4, lanes]`, or empty if they are not wanted.
    column_sums: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Copies of this many frames' parts stay in a core's nearest cache; in their original places
        // the frames' strides would make them evict each other.
        const FRAMES: usize = 64;
        const ROWS: usize = 96;
        // After this many of them the sums are flushed to others in double precision: floats that
        // grow for millions of frames would lose the last terms.
        const LONG: usize = 16;
        let Self { blocks, block, factor, d_a, order, .. } = self;
        let Factor { values, stride, size, .. } = factor;
        let zero = simd.splat_f32s(0.0);
        let d_a: &[[S::f32s; 4]] = cast_slice(d_a);
        let sums: &mut [[S::f32s; 4]] = cast_slice_mut(self.sums);
        let mut panel = [[zero; 4]; FRAMES];
        let mut near = [Line::ZERO; FRAMES * ROWS / 16];
        let near: &mut [f32] = cast_slice_mut(&mut near);
        let mut total = [zero; 4];
        let long = d_a.len() > LONG * FRAMES * blocks;
        let [mut all, mut all_columns] = [sums.len(), 1]
            .map(|rows| vec![0.0f64; if long { rows * 4 * S::F32_LANES } else { 0 }]);
        for (run, order) in order.chunks(FRAMES).enumerate() {
            if long && run.is_multiple_of(LONG) {
                for (all, sums) in [
                    (&mut all, cast_slice_mut::<[S::f32s; 4], f32>(sums)),
                    (&mut all_columns, cast_slice_mut(std::slice::from_mut(&mut total))),
                ] {
                    for (all, sum) in all.iter_mut().zip(sums) {
                        *all += f64::from(std::mem::take(sum));
                    }
                }
            }
            let frames = order.len();
            let mut columns = [zero; 4];
            for (panel, frame) in panel.iter_mut().zip(order) {
                *panel = d_a[frame * blocks + block];
                for j in 0..4 {
                    columns[j] = simd.add_f32s(columns[j], panel[j]);
                }
            }
            for j in 0..4 {
                total[j] = simd.add_f32s(total[j], columns[j]);
            }
            let mut first = 0;
            while first < size {
                let rows = ROWS.min(size - first);
                for (near, frame) in near.chunks_exact_mut(rows).zip(order) {
                    near.copy_from_slice(&values[frame * stride + first..][..rows]);
                }
                tiles!(rows, most_rows::<S>(), |row, M| {
                    let near = &near[..frames * rows];
                    let sums = &mut sums[first + row..];
                    accumulate_outer::<S, M>(simd, sums, (near, rows, row), &panel[..frames]);
                });
                first += rows;
            }
        }
        // The rest; the sums of a short sequence were never flushed, and stay as they are.
        for (sum, all) in cast_slice_mut::<[S::f32s; 4], f32>(sums).iter_mut().zip(&all) {
            *sum = (all + f64::from(*sum)) as f32;
        }
        let columns = cast_slice_mut::<[S::f32s; 4], f32>(std::slice::from_mut(&mut total));
        for (sum, all) in columns.iter_mut().zip(&all_columns) {
            *sum = (all + f64::from(*sum)) as f32;
        }
        let column_sums: &mut [[S::f32s; 4]] = cast_slice_mut(self.column_sums);
        if let Some(sums) = column_sums.first_mut() {
            *sums = total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes;
    use super::*;
    use crate::Device;

    /// Checks that no frame's term is lost in a sum of thousands.
    #[test]
    fn gradients_of_many_frames_hold_their_digits() -> Result<()> {
        let device = Device::plain_cpu();
        let blocks = Blocks::new(lanes(), 1);
        for frames in [5, 1000, 1024, 1025, 200_000] {
            let (values, d_a) = (vec![0.1; frames], vec![0.3; frames * blocks.columns()]);
            let zeros = || Tensor::zeros([4], &device);
            let (gradients, bias) = ([zeros()?, zeros()?], zeros()?);
            let factors = [0, 1].map(|i| Factor {
                values: &values,
                stride: 1,
                size: 1,
                gradient: &gradients[i],
            });
            let order: Vec<_> = (0..frames).collect();
            weight_gradients(blocks, &factors, (&d_a, &order), Some(&bias))?;
            let of_frame = f64::from(0.1f32) * f64::from(0.3f32);
            for (found, of_frame) in
                [(&gradients[0], of_frame), (&gradients[1], of_frame), (&bias, 0.3f32.into())]
            {
                for found in found.to_vec()? {
                    let share = f64::from(found) / (frames as f64 * of_frame) - 1.0;
                    assert!(share.abs() < 2e-6, "{frames} frames: {found}, off by {share:e}");
                }
            }
        }
        Ok(())
    }
}
