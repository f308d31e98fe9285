//! The columns of a matrix on the CPU: what is found of each, by blocks on all threads, and their scaling.

use crate::device::threads;
use crate::ops::common::vector::{GRAIN, Map, Rows, map_part, rows};
use pulp::{Arch, Simd, WithSimd};

/// The columns that a thread takes at a time.
pub(super) const BLOCK: usize = 128;

/// What is found of each column.
pub(super) trait Columns: Sync {
    /// Of the columns from `first` of `count` on, at most [`BLOCK`] of them. Compiled for vectors, as it
    /// stands in loops over neighbours.
    fn block(&self, first: usize, count: usize, found: &mut [f32]);
}

/// Finds it of all columns of a matrix of so many words.
pub(super) fn by_columns(f: &impl Columns, words: usize, found: &mut [f32]) {
    let count = found.len();
    let threads = threads::count().min(words.div_ceil(GRAIN));
    threads::each(found.chunks_mut(BLOCK).enumerate(), threads, |(block, found)| {
        Arch::new().dispatch(Block { f, first: block * BLOCK, count, found });
    });
}

struct Block<'a, F> {
    f: &'a F,
    first: usize,
    count: usize,
    found: &'a mut [f32],
}

impl<F: Columns> WithSimd for Block<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.f.block(self.first, self.count, self.found);
    }
}

/// Multiplies each column by its own factor.
pub(super) fn scale_columns(x: &mut [f32], factors: &[f32]) {
    rows(&Scaled(factors), [factors.len()], [x], 2 * factors.len());
}

struct Scaled<'a>(&'a [f32]);

impl Rows<1> for Scaled<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, _: usize, [x]: [&mut [f32]; 1]) {
        map_part(simd, &Times, 0, [self.0], [x]);
    }
}

/// x times its factor.
struct Times;

impl Map<1, 1> for Times {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [factor]: [S::f32s; 1],
        [x]: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        [simd.mul_f32s(x, factor)]
    }
}
