//! Products of a few rows on the CPU, as fast as its caches give the matrix: what a stream does at each step. A library
//! of products packs the matrix first, or writes sums to memory for each term, which takes many times as long here.

use crate::Tensor;
use crate::ops::common::vector::{Rows, load, rows, store};
use pulp::Simd;

/// The rows up to which it pays to go through the matrix for each.
pub(super) const FEW: usize = 4;

/// The columns that a thread makes at a time.
const BLOCK: usize = 256;

/// The vectors of sums that are made side by side.
const WIDE: usize = 4;

/// The terms that are added up by themselves.
const TERMS: usize = 1 << 9;

/// `y` `[M,N]` = `a` `[M,K]` `b` `[K,N]`, all on the CPU, and none of the sizes 0.
pub(super) fn few_rows(a: &Tensor, b: &Tensor, y: &Tensor, [n, k]: [usize; 2]) {
    let (a, b) = (a.cpu(), b.cpu());
    y.cpu_mut(|y| {
        for (a, y) in a.chunks_exact(k).zip(y.chunks_exact_mut(n)) {
            rows(&OneRow { a, b: &b, n }, [BLOCK], [y], BLOCK * k);
        }
    });
}

struct OneRow<'a> {
    a: &'a [f32],
    b: &'a [f32],
    n: usize,
}

impl Rows<1> for OneRow<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, block: usize, [y]: [&mut [f32]; 1]) {
        let (first, zero) = (block * BLOCK, simd.splat_f32s(0.0));
        let whole = WIDE * S::F32_LANES;
        y.fill(0.0);
        for (part, a) in self.a.chunks(TERMS).enumerate() {
            let lines = &self.b[part * TERMS * self.n..];
            let mut at = 0;
            while at + whole <= y.len() {
                let mut sums = [zero; WIDE];
                for (k, &x) in a.iter().enumerate() {
                    let line = S::as_simd_f32s(&lines[k * self.n + first + at..][..whole]).0;
                    let x = simd.splat_f32s(x);
                    for (sum, b) in sums.iter_mut().zip(line) {
                        *sum = simd.mul_add_f32s(x, *b, *sum);
                    }
                }
                for sum in sums {
                    store(simd, y, at, simd.add_f32s(load(simd, y, at, zero), sum));
                    at += S::F32_LANES;
                }
            }
            while at < y.len() {
                let mut sum = zero;
                for (k, &x) in a.iter().enumerate() {
                    let line = &lines[k * self.n + first..][..y.len()];
                    sum = simd.mul_add_f32s(simd.splat_f32s(x), load(simd, line, at, zero), sum);
                }
                store(simd, y, at, simd.add_f32s(load(simd, y, at, zero), sum));
                at += S::F32_LANES;
            }
        }
    }
}
