//! Products over all frames of a batch at once, before and after the recurrence.

use super::micro::{accumulate, accumulate_outer, load, most_rows, tiles, weights_of};
use super::{Blocks, SMALL, each_chunk};
use crate::device::cpu::Cpu;
use crate::ops::lstm::{How, cell};
use crate::{Result, Tensor};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Frames that a thread takes through all weights before it goes on: so many that what they have stays
/// in a core's nearest caches meanwhile.
const FRAMES: usize = 48;

/// Runs `f` on runs of whole frames, on all threads if there is enough to do.
fn each_run(
    words: &mut [f32],
    width: usize,
    work_of_frame: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) {
    let frames = words.len() / width;
    let threads = if frames * work_of_frame < SMALL * 8 { 1 } else { Cpu::threads() };
    let run = frames.div_ceil(threads).next_multiple_of(6);
    if threads == 1 {
        f(0, words);
    } else {
        words.par_chunks_mut(run * width).enumerate().for_each(|(n, words)| f(n * run, words));
    }
}

/// Values of all frames and the weights that they meet.
#[derive(Clone, Copy)]
pub(super) struct Term<'a> {
    pub(super) values: &'a [f32],
    /// Words from frame to frame.
    pub(super) stride: usize,
    /// Words of a frame that meet weights.
    pub(super) size: usize,
    /// Packed for the forward pass.
    pub(super) weights: &'a [f32],
}

/// The sums of the gates of many frames: b and, in their order, the terms.
#[derive(Clone, Copy)]
pub(super) struct FrameSums<'a> {
    pub(super) blocks: Blocks,
    pub(super) bias: &'a [f32],
    pub(super) terms: &'a [Term<'a>],
}

/// Turns sums into activated gates.
#[derive(Clone, Copy)]
pub(super) struct Activate<'a> {
    pub(super) how: &'a How,
    pub(super) peepholes: Option<&'a [f32]>,
    /// `[frames, units]`.
    pub(super) c_before: &'a [f32],
}

impl FrameSums<'_> {
    /// Writes them to `gates` `[frames, blocks, 4, lanes]`.
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
        let bias: &[[S::f32s; 4]] = cast_slice(bias);
        for (run, gates) in gates.chunks_mut(FRAMES * blocks.columns()).enumerate() {
            let first = first + run * FRAMES;
            let gates: &mut [[S::f32s; 4]] = cast_slice_mut(gates);
            for block in 0..blocks.blocks {
                tiles!(gates.len() / blocks.blocks, most_rows::<S>(), |frame, M| {
                    let mut sums = [bias[block]; M];
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
        if !self.how.cell.is_variant() {
            return cell::plain_update(simd, sums, c).gates;
        }
        let p: [S::f32s; 4] = match self.peepholes {
            Some(p) => cast_slice::<f32, [S::f32s; 4]>(p)[block],
            None => [simd.splat_f32s(0.0); 4],
        };
        self.how.cell.forward(simd, sums, c, p).gates
    }
}

/// d_x = d_a W^T: `d_x` `[frames, I]`; `weights` are packed for the backward pass.
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

/// Values of all frames that a gradient of weights is made of.
#[derive(Clone, Copy)]
pub(super) struct Factor<'a> {
    /// `[frames, stride]`, of which the first `size` of a frame count.
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
    pub(super) size: usize,
}

/// Adds values^T d_a to `gradient` `[size, H, 4]`.
pub(super) fn weight_gradient(
    blocks: Blocks,
    factor: Factor<'_>,
    d_a: &[f32],
    gradient: &Tensor,
) -> Result<()> {
    // Rows of the gradient that one piece of work makes, of one block.
    const ROWS: usize = 96;
    let width = 4 * blocks.lanes;
    let pieces = factor.size.div_ceil(ROWS);
    let sums = Tensor::empty([blocks.blocks, pieces * ROWS, width], &gradient.device())?;
    let small = factor.values.len() * blocks.columns() < SMALL * 8;
    sums.cpu_mut(|sums| {
        let piece = |n: usize, sums: &mut [f32]| {
            let (block, first) = (n / pieces, n % pieces * ROWS);
            let rows = ROWS.min(factor.size - first);
            sums.fill(0.0);
            Arch::new().dispatch(WeightGradient {
                blocks: blocks.blocks,
                block,
                factor,
                first,
                d_a,
                sums: &mut sums[..rows * width],
            });
        };
        if small {
            sums.chunks_mut(ROWS * width).enumerate().for_each(|(n, sums)| piece(n, sums));
        } else {
            sums.par_chunks_mut(ROWS * width).enumerate().for_each(|(n, sums)| piece(n, sums));
        }
    });
    let sums = sums.cpu();
    gradient.cpu_mut(|gradient| {
        each_chunk(gradient, 4 * blocks.hidden_size, |row, gradient| {
            for block in 0..blocks.blocks {
                let sums = &sums[(block * pieces * ROWS + row) * width..][..width];
                let units = blocks.range(block);
                add_unpacked(sums, &mut gradient[4 * units.start..4 * units.end]);
            }
        });
    });
    Ok(())
}

/// Adds the gates of a block, `[4, lanes]`, to those of its units, `[units, 4]`.
fn add_unpacked(packed: &[f32], units: &mut [f32]) {
    let lanes = packed.len() / 4;
    for (lane, gates) in units.chunks_exact_mut(4).enumerate() {
        for (gate, sum) in gates.iter_mut().enumerate() {
            *sum += packed[gate * lanes + lane];
        }
    }
}

struct WeightGradient<'a> {
    blocks: usize,
    block: usize,
    factor: Factor<'a>,
    first: usize,
    d_a: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // So many that a block of them stays in a core's nearer caches while all rows meet it.
        const FRAMES: usize = 128;
        let Self { blocks, block, factor: Factor { values, stride, .. }, first, d_a, sums } = self;
        let d_a: &[[S::f32s; 4]] = cast_slice(d_a);
        let sums: &mut [[S::f32s; 4]] = cast_slice_mut(sums);
        for (values, d_a) in values.chunks(FRAMES * stride).zip(d_a.chunks(FRAMES * blocks)) {
            tiles!(sums.len(), most_rows::<S>(), |row, M| {
                let place = (values, stride, first + row);
                accumulate_outer::<S, M>(simd, &mut sums[row..], place, (d_a, blocks, block));
            });
        }
    }
}

/// Adds the sum of `rows` in blocks `[_, blocks, 4, lanes]` to `sums` `[H, 4]`.
pub(super) fn add_column_sums(blocks: Blocks, rows: &[f32], sums: &mut [f32]) {
    let mut totals = vec![0.0; blocks.columns()];
    let each = 4 * blocks.lanes;
    // By blocks, each in the order of the frames: the same bits on any number of threads.
    each_chunk_of(&mut totals, each, rows.len(), |block, totals| {
        for row in rows.chunks_exact(blocks.columns()) {
            for (total, v) in totals.iter_mut().zip(&row[block * each..][..each]) {
                *total += v;
            }
        }
    });
    for block in 0..blocks.blocks {
        let units = blocks.range(block);
        let totals = &totals[block * each..][..each];
        add_unpacked(totals, &mut sums[4 * units.start..4 * units.end]);
    }
}

/// As `each_chunk`, by how much work there is in all.
fn each_chunk_of(words: &mut [f32], len: usize, work: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    if work < SMALL {
        words.chunks_mut(len).enumerate().for_each(|(n, chunk)| f(n, chunk));
    } else {
        words.par_chunks_mut(len).enumerate().for_each(|(n, chunk)| f(n, chunk));
    }
}
