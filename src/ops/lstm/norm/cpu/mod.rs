//! A layer-normalised layer on the CPU. As in `ops/lstm/cpu`, each thread takes its rows through the whole
//! sequence, and units lie in blocks as wide as a SIMD register. A normalisation takes all units of a row: so a
//! step first makes R h of all blocks, of a few rows at a time, and then goes on with each row by itself.
//!
//! What a row gives does not depend on which rows are beside it, and sums over rows are made in the batch's
//! order: so no bit depends on how many threads there are.

mod backward;
mod forward;

use super::Call;
use crate::Tensor;
use crate::ops::lstm::Sizes;
use crate::ops::lstm::cpu::{Blocks, Task};
use pulp::Simd;
use pulp::bytemuck::{Zeroable, cast_slice, cast_slice_mut};
use std::sync::Arc;

/// What the backward pass needs of each step: the frames of the first row, then those of the next, without
/// those past a row's end.
pub(super) struct Steps {
    /// R h, normalised: `[frames, blocks, 4, lanes]`. The backward pass makes it the gradient of R h.
    z: Tensor,
    /// `[frames, 2 units + SCALES]`: h and c before the step, and its scales.
    before: Tensor,
}

/// The words of a step's scales: one over the deviation of R h, the mean of c and one over its deviation. They
/// take a cache line, so that no vector of the next step lies in two.
const SCALES: usize = 16;

/// The gains and shifts in blocks of units.
struct Norms(Vec<f32>);

/// The gains of R h, and those of c and the shifts of c, in vectors.
type Parts<'a, V> = (&'a [[V; 4]], [&'a [V]; 2]);

impl Norms {
    /// The gains of R h `[blocks, 4, lanes]`, those of c and the shifts of c, each `[blocks, lanes]`.
    #[inline(always)]
    fn parts<S: Simd>(&self, blocks: Blocks) -> Parts<'_, S::f32s> {
        let (z, c) = self.0.split_at(blocks.columns());
        let (gain, shift) = c.split_at(blocks.units());
        (cast_slice(z), [cast_slice(gain), cast_slice(shift)])
    }
}

impl Call {
    fn tasks(&self) -> Arc<[Task]> {
        let [batch, timesteps, hidden_size] = self.sizes();
        let sizes = Sizes { batch, timesteps, input_size: 0, hidden_size };
        Task::deal(self.lengths.as_ref(), sizes)
    }

    fn packed_norms(&self, blocks: Blocks) -> Norms {
        let norms = self.norms.cpu();
        let mut packed = vec![0.0; blocks.columns() + 2 * blocks.units()];
        place(blocks, |from, to| packed[to] = norms[from]);
        Norms(packed)
    }
}

/// The frame of a step of a row, among the row's.
fn frame(length: usize, step: usize, reverse: bool) -> usize {
    if reverse { length - 1 - step } else { step }
}

/// Calls `f` with the place of each number in `[6H]`, and in blocks of units.
fn place(blocks: Blocks, mut f: impl FnMut(usize, usize)) {
    let h = blocks.hidden_size;
    for unit in 0..h {
        for gate in 0..4 {
            f(4 * unit + gate, blocks.column(unit, gate));
        }
        f(4 * h + unit, blocks.columns() + unit);
        f(5 * h + unit, blocks.columns() + blocks.units() + unit);
    }
}

/// Splits off the first words.
fn take<'a>(words: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    words.split_off_mut(..len).unwrap_or_default()
}

/// The units of the last block.
#[derive(Clone, Copy)]
struct Last<S: Simd> {
    block: usize,
    units: S::m32s,
}

impl<S: Simd> Last<S> {
    #[inline(always)]
    fn new(simd: S, blocks: Blocks) -> Self {
        let block = blocks.blocks - 1;
        let mut numbers = [simd.splat_f32s(0.0)];
        for (lane, number) in cast_slice_mut::<S::f32s, f32>(&mut numbers).iter_mut().enumerate() {
            *number = lane as f32;
        }
        let units = simd.splat_f32s(blocks.range(block).len() as f32);
        Self { block, units: simd.less_than_f32s(numbers[0], units) }
    }

    /// A vector of a block with zeros for its padding.
    #[inline(always)]
    fn without_padding(self, simd: S, block: usize, vector: S::f32s) -> S::f32s {
        if block < self.block {
            return vector;
        }
        simd.select_f32s(self.units, vector, simd.splat_f32s(0.0))
    }
}

/// The sum of all lanes.
#[inline(always)]
fn total<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> f32 {
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}

/// The gates of a block of units, `[units, 4]`, each gate as a vector with zeros for padding.
#[inline(always)]
fn apart<S: Simd>(units: &[f32]) -> [S::f32s; 4] {
    #[inline(always)]
    fn copy(from: &[f32], to: &mut [f32], lanes: usize, units: usize) {
        for unit in 0..units {
            for gate in 0..4 {
                to[gate * lanes + unit] = from[4 * unit + gate];
            }
        }
    }
    let mut gates: [S::f32s; 4] = Zeroable::zeroed();
    let lanes = S::F32_LANES;
    let to = &mut cast_slice_mut(&mut gates)[..4 * lanes];
    // The loops over a whole block have a fixed length, and are unrolled.
    match units.len() == 4 * lanes {
        true => copy(&units[..4 * lanes], to, lanes, lanes),
        false => copy(units, to, lanes, units.len() / 4),
    }
    gates
}

/// Writes the gates of a block of units, but for its padding, to `[units, 4]`.
#[inline(always)]
fn together<S: Simd>(gates: [S::f32s; 4], units: &mut [f32]) {
    #[inline(always)]
    fn copy(from: &[f32], to: &mut [f32], lanes: usize, units: usize) {
        for unit in 0..units {
            for gate in 0..4 {
                to[4 * unit + gate] = from[gate * lanes + unit];
            }
        }
    }
    let lanes = S::F32_LANES;
    let from = &cast_slice(&gates)[..4 * lanes];
    match units.len() == 4 * lanes {
        true => copy(from, &mut units[..4 * lanes], lanes, lanes),
        false => copy(from, units, lanes, units.len() / 4),
    }
}
