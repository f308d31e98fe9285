//! The softmax of each query's scores over the steps that count, and its gradient.

use crate::ops::common::math::exp;
use crate::ops::common::vector::{LongSum, load, store};
use pulp::{Arch, Simd, WithSimd};

/// What becomes of a row in its place.
pub(super) trait InPlace {
    fn row<S: Simd>(&self, simd: S, row: usize, words: &mut [f32]);
}

/// Changes each row, of `t` words, by the thread that calls.
pub(super) fn each_row(f: &impl InPlace, words: &mut [f32], t: usize) {
    Arch::new().dispatch(EachRow { f, words, t });
}

struct EachRow<'a, F> {
    f: &'a F,
    words: &'a mut [f32],
    t: usize,
}

impl<F: InPlace> WithSimd for EachRow<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (row, words) in self.words.chunks_exact_mut(self.t).enumerate() {
            self.f.row(simd, row, words);
        }
    }
}

/// `x`, or `other` at steps that do not count.
#[inline(always)]
fn counted<S: Simd>(simd: S, on: Option<&[f32]>, at: usize, x: S::f32s, other: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    match on {
        Some(on) => simd.select_f32s(simd.equal_f32s(load(simd, on, at, zero), zero), other, x),
        None => x,
    }
}

/// Makes weights of scores.
pub(super) struct Forward<'a> {
    /// The steps up to the last one that counts: at least one.
    pub(super) end: usize,
    /// Which of them count, if not all.
    pub(super) on: Option<&'a [f32]>,
}

impl InPlace for Forward<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, _row: usize, words: &mut [f32]) {
        let (scores, past) = words.split_at_mut(self.end);
        past.fill(0.0);
        let (zero, low) = (simd.splat_f32s(0.0), simd.splat_f32s(f32::NEG_INFINITY));
        // A NaN may be lost here; its own exp is one, and so is the sum.
        let mut most = low;
        for at in (0..scores.len()).step_by(S::F32_LANES) {
            let x = counted(simd, self.on, at, load(simd, scores, at, low), low);
            most = simd.max_f32s(x, most);
        }
        let most = simd.splat_f32s(simd.reduce_max_f32s(most));
        let mut sum = LongSum::new(simd);
        for at in (0..scores.len()).step_by(S::F32_LANES) {
            let x = load(simd, scores, at, low);
            let e = counted(simd, self.on, at, exp(simd, simd.sub_f32s(x, most)), zero);
            store(simd, scores, at, e);
            // What is read past the row's end is minus infinity, and NaN where all scores are.
            sum.add(simd, e);
        }
        let share = simd.splat_f32s(1.0 / sum.total(simd) as f32);
        for at in (0..scores.len()).step_by(S::F32_LANES) {
            let w = simd.mul_f32s(load(simd, scores, at, zero), share);
            store(simd, scores, at, counted(simd, self.on, at, w, zero));
        }
    }
}

/// Makes gradients of scores of gradients of weights.
pub(super) struct Back<'a> {
    pub(super) weights: &'a [f32],
    pub(super) end: usize,
    pub(super) on: Option<&'a [f32]>,
}

impl InPlace for Back<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, words: &mut [f32]) {
        let weights = &self.weights[row * words.len()..][..self.end];
        let d_scores = &mut words[..self.end];
        let zero = simd.splat_f32s(0.0);
        let mut products = LongSum::new(simd);
        for at in (0..weights.len()).step_by(S::F32_LANES) {
            let (w, d) = (load(simd, weights, at, zero), load(simd, d_scores, at, zero));
            products.add(simd, counted(simd, self.on, at, simd.mul_f32s(w, d), zero));
        }
        let dot = simd.splat_f32s(products.total(simd) as f32);
        for at in (0..weights.len()).step_by(S::F32_LANES) {
            let (w, d) = (load(simd, weights, at, zero), load(simd, d_scores, at, zero));
            let d = simd.mul_f32s(w, simd.sub_f32s(d, dot));
            store(simd, d_scores, at, counted(simd, self.on, at, d, zero));
        }
    }
}
