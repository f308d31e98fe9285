//! Loops of the CPU device over its memory: in vectors, and on all threads where there is much to do.
//!
//! What is computed of a vector is a trait's method, not a closure: code that a closure calls may be
//! compiled without SIMD instructions. Each element, or each row, is computed by itself, so that its bits do
//! not depend on how many threads there are.

use crate::device::threads;
use pulp::{Arch, Simd, WithSimd};

/// The words that a thread takes at a time: while it works through fewer, another would just wake up.
pub(crate) const GRAIN: usize = 1 << 14;

/// The words up to which waking another thread takes as long as the work itself.
const ALONE: usize = 2 * GRAIN;

/// What becomes of each element of `M` outputs by itself, given those of `N` inputs.
pub(crate) trait Map<const N: usize, const M: usize>: Sync {
    /// Of the vector that begins at the element `at`; `y` is what the outputs hold before.
    fn of<S: Simd>(&self, simd: S, at: usize, x: [S::f32s; N], y: [S::f32s; M]) -> [S::f32s; M];
}

/// Maps all elements: `x` and `y` have equally many.
pub(crate) fn map<const N: usize, const M: usize>(
    f: &impl Map<N, M>,
    x: [&[f32]; N],
    y: [&mut [f32]; M],
) {
    let n = y.first().map_or(0, |y| y.len());
    let x = x.map(|x| &x[..n]);
    if n <= ALONE {
        return Arch::new().dispatch(Mapped { f, at: 0, x, y });
    }
    each_part(y, [GRAIN; M], n.div_ceil(GRAIN), |part, y| {
        let at = part * GRAIN;
        let len = y.first().map_or(0, |y| y.len());
        Arch::new().dispatch(Mapped { f, at, x: x.map(|x| &x[at..at + len]), y });
    });
}

struct Mapped<'a, F, const N: usize, const M: usize> {
    f: &'a F,
    at: usize,
    x: [&'a [f32]; N],
    y: [&'a mut [f32]; M],
}

impl<F: Map<N, M>, const N: usize, const M: usize> WithSimd for Mapped<'_, F, N, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        map_part(simd, self.f, self.at, self.x, self.y);
    }
}

/// Maps some elements, the first of which is the element `at` of all: of a row, within [`Rows::row`].
#[inline(always)]
pub(crate) fn map_part<S: Simd, const N: usize, const M: usize>(
    simd: S,
    f: &impl Map<N, M>,
    at: usize,
    x: [&[f32]; N],
    y: [&mut [f32]; M],
) {
    let (len, zero) = (y.first().map_or(0, |y| y.len()), simd.splat_f32s(0.0));
    // All of one length, so that the loop looks at no bounds.
    let count = len / S::F32_LANES;
    let body = count * S::F32_LANES;
    let bodies = x.map(|x| &S::as_simd_f32s(&x[..body]).0[..count]);
    let mut halves = y.map(|y| y.split_at_mut(body));
    let mut out = halves.each_mut().map(|(y, _)| &mut S::as_mut_simd_f32s(y).0[..count]);
    for i in 0..count {
        let (mut x, mut y) = ([zero; N], [zero; M]);
        for (x, words) in x.iter_mut().zip(&bodies) {
            *x = words[i];
        }
        for (y, words) in y.iter_mut().zip(&out) {
            *y = words[i];
        }
        let found = f.of(simd, at + i * S::F32_LANES, x, y);
        for (y, found) in out.iter_mut().zip(found) {
            y[i] = found;
        }
    }
    if body < len {
        let (mut rest, mut y) = ([zero; N], [zero; M]);
        for (rest, words) in rest.iter_mut().zip(x) {
            *rest = simd.partial_load_f32s(&words[body..len]);
        }
        for (y, (_, words)) in y.iter_mut().zip(&halves) {
            *y = simd.partial_load_f32s(words);
        }
        let found = f.of(simd, at + body, rest, y);
        for ((_, words), found) in halves.iter_mut().zip(found) {
            simd.partial_store_f32s(words, found);
        }
    }
}

/// What becomes of each row of `M` outputs by itself.
pub(crate) trait Rows<const M: usize>: Sync {
    /// Writes the row with this number.
    fn row<S: Simd>(&self, simd: S, row: usize, y: [&mut [f32]; M]);
}

/// Writes all rows of the outputs, each of so many words. `cost` is what a row reads and writes, in words.
pub(crate) fn rows<const M: usize>(
    f: &impl Rows<M>,
    widths: [usize; M],
    y: [&mut [f32]; M],
    cost: usize,
) {
    let Some(count) = y.first().map(|y| y.len() / widths[0].max(1)) else { return };
    let each = (GRAIN / cost.max(1)).max(1);
    each_part(y, widths.map(|width| width * each), count.div_ceil(each), |part, y| {
        Arch::new().dispatch(SomeRows { f, first: part * each, widths, y });
    });
}

struct SomeRows<'a, F, const M: usize> {
    f: &'a F,
    first: usize,
    widths: [usize; M],
    y: [&'a mut [f32]; M],
}

impl<F: Rows<M>, const M: usize> WithSimd for SomeRows<'_, F, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let parts = Parts { rest: self.y, lens: self.widths };
        for (row, y) in (self.first..).zip(parts) {
            self.f.row(simd, row, y);
        }
    }
}

/// Parts of several outputs, side by side: so many words of each, the last ones fewer.
struct Parts<'a, const M: usize> {
    rest: [&'a mut [f32]; M],
    lens: [usize; M],
}

impl<'a, const M: usize> Iterator for Parts<'a, M> {
    type Item = [&'a mut [f32]; M];

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.first().is_none_or(|rest| rest.is_empty()) {
            return None;
        }
        Some(std::array::from_fn(|m| {
            let rest = std::mem::take(&mut self.rest[m]);
            let (part, rest) = rest.split_at_mut(self.lens[m].min(rest.len()));
            self.rest[m] = rest;
            part
        }))
    }
}

/// Runs `f` on all of `count` parts, several at a time and on all threads, with the number of the first.
fn each_part<const M: usize>(
    y: [&mut [f32]; M],
    lens: [usize; M],
    count: usize,
    f: impl Fn(usize, [&mut [f32]; M]) + Sync,
) {
    if count <= 1 {
        return f(0, y);
    }
    let threads = threads::count().min(count);
    let each = parts_a_job(count, threads);
    let jobs = Parts { rest: y, lens: lens.map(|len| len * each) };
    threads::each(jobs.enumerate(), threads, |(job, y)| f(job * each, y));
}

/// Runs `f` on all rows of so many words, some at a time and on all threads, with the number of the first: for
/// what moves rows and computes nothing.
pub(crate) fn some_rows(y: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    if y.is_empty() || width == 0 {
        return;
    }
    let each = (ALONE / width).max(1);
    let count = (y.len() / width).div_ceil(each);
    each_part([y], [width * each], count, |part, [y]| f(part * each, y));
}

/// How many parts a thread takes at a time: asking for each would take long where there are many.
fn parts_a_job(parts: usize, threads: usize) -> usize {
    (parts / (8 * threads.max(1))).max(1)
}

/// What is made of some numbers, for a sum of many.
pub(crate) trait Fold: Sync {
    fn of<S: Simd>(&self, simd: S, x: &[f32]) -> f64;
}

/// The sum of what is made of all parts, added up in their order. The parts are the same for any number of
/// threads.
pub(crate) fn total(f: &impl Fold, x: &[f32]) -> f64 {
    let of = |x| Arch::new().dispatch(Folded { f, x });
    let parts = x.len().div_ceil(GRAIN);
    if parts < 2 {
        return of(x);
    }
    let each = parts_a_job(parts, threads::count());
    let mut found = vec![0.0; parts];
    threads::each_chunk(&mut found, each, |job, found| {
        let words = x[job * each * GRAIN..].chunks(GRAIN);
        found.iter_mut().zip(words).for_each(|(found, x)| *found = of(x));
    });
    found.iter().sum()
}

struct Folded<'a, F> {
    f: &'a F,
    x: &'a [f32],
}

impl<F: Fold> WithSimd for Folded<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        self.f.of(simd, self.x)
    }
}

/// The vector of a row that begins at `at`; what lies past the row's end is of `fill`.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, row: &[f32], at: usize, fill: S::f32s) -> S::f32s {
    let rest = &row[at..];
    if rest.len() >= S::F32_LANES {
        return S::as_simd_f32s(&rest[..S::F32_LANES]).0[0];
    }
    let inside = simd.mask_between_m32s(0, rest.len() as u32).mask();
    simd.select_f32s(inside, simd.partial_load_f32s(rest), fill)
}

/// Writes a vector to a row at `at`, but for what would lie past the row's end.
#[inline(always)]
pub(crate) fn store<S: Simd>(simd: S, row: &mut [f32], at: usize, vector: S::f32s) {
    let rest = &mut row[at..];
    if rest.len() >= S::F32_LANES {
        S::as_mut_simd_f32s(&mut rest[..S::F32_LANES]).0[0] = vector;
    } else {
        simd.partial_store_f32s(rest, vector);
    }
}

/// The larger of each two numbers, or NaN if one is.
#[inline(always)]
pub(crate) fn larger<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    let greater = simd.select_f32s(simd.greater_than_f32s(b, a), b, a);
    simd.select_f32s(simd.equal_f32s(b, b), greater, b)
}

/// The largest number of a vector, or NaN if one is.
#[inline(always)]
pub(crate) fn largest<S: Simd>(vector: S::f32s) -> f32 {
    let vector = [vector];
    let lanes = pulp::bytemuck::cast_slice::<S::f32s, f32>(&vector);
    lanes.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m || v.is_nan() { v } else { m })
}

/// A long sum of vectors. Few meet in single precision, where they lose nothing, before they are added in
/// double precision.
pub(crate) struct LongSum<S: Simd> {
    lanes: S::f32s,
    met: usize,
    total: f64,
}

impl<S: Simd> LongSum<S> {
    /// The vectors that meet in single precision.
    const MOST: usize = 32;

    #[inline(always)]
    pub(crate) fn new(simd: S) -> Self {
        Self { lanes: simd.splat_f32s(0.0), met: 0, total: 0.0 }
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, simd: S, vector: S::f32s) {
        self.lanes = simd.add_f32s(self.lanes, vector);
        self.met += 1;
        if self.met == Self::MOST {
            self.total = self.total(simd);
            (self.lanes, self.met) = (simd.splat_f32s(0.0), 0);
        }
    }

    #[inline(always)]
    pub(crate) fn total(&self, simd: S) -> f64 {
        self.total + f64::from(simd.reduce_sum_f32s(self.lanes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::threads::Threads;

    /// y = 2 x + at + y.
    struct Line;

    impl Map<1, 1> for Line {
        #[inline(always)]
        fn of<S: Simd>(
            &self,
            simd: S,
            at: usize,
            [x]: [S::f32s; 1],
            [y]: [S::f32s; 1],
        ) -> [S::f32s; 1] {
            let mut lanes = [simd.splat_f32s(at as f32)];
            for (lane, v) in
                pulp::bytemuck::cast_slice_mut::<_, f32>(&mut lanes).iter_mut().enumerate()
            {
                *v += lane as f32;
            }
            let y = simd.add_f32s(y, lanes[0]);
            [simd.mul_add_f32s(simd.splat_f32s(2.0), x, y)]
        }
    }

    #[test]
    fn every_element_is_mapped_once() {
        for n in [0, 1, 15, 16, 17, 100, GRAIN, GRAIN + 1, 5 * GRAIN + 3, 60 * GRAIN + 7] {
            let x: Vec<f32> = (0..n).map(|i| (i % 7) as f32).collect();
            for count in [1, 3] {
                let mut y = vec![1.0; n];
                Threads::new(Some(count)).enter(|| map(&Line, [&x], [&mut y]));
                for (i, (y, x)) in y.iter().zip(&x).enumerate() {
                    assert_eq!(*y, 2.0 * x + i as f32 + 1.0, "{i} of {n}");
                }
            }
        }
    }

    /// The sum.
    struct Sum;

    impl Fold for Sum {
        #[inline(always)]
        fn of<S: Simd>(&self, _: S, x: &[f32]) -> f64 {
            x.iter().map(|&x| f64::from(x)).sum()
        }
    }

    #[test]
    fn totals_do_not_depend_on_the_threads() {
        for n in [0, 1, 17, GRAIN, GRAIN + 1, 100_003, 40 * GRAIN + 5] {
            let x: Vec<f32> = (0..n).map(|i| 1.0 / (i + 1) as f32).collect();
            let found = [1, 2, 5].map(|count| Threads::new(Some(count)).enter(|| total(&Sum, &x)));
            let exact: f64 = x.iter().map(|&x| f64::from(x)).sum();
            assert!((found[0] - exact).abs() < 1e-12, "{n}");
            assert!(found.iter().all(|sum| sum.to_bits() == found[0].to_bits()), "{n}");
        }
    }

    /// The sum and the largest of a row, and the row backwards.
    struct Sums<'a>(&'a [f32], usize);

    impl Rows<2> for Sums<'_> {
        #[inline(always)]
        fn row<S: Simd>(&self, simd: S, row: usize, [found, y]: [&mut [f32]; 2]) {
            let x = &self.0[row * self.1..][..self.1];
            let low = simd.splat_f32s(f32::NEG_INFINITY);
            let (mut sum, mut most) = (LongSum::<S>::new(simd), low);
            for at in (0..x.len()).step_by(S::F32_LANES) {
                sum.add(simd, load(simd, x, at, simd.splat_f32s(0.0)));
                most = larger(simd, most, load(simd, x, at, low));
            }
            found.copy_from_slice(&[sum.total(simd) as f32, largest::<S>(most)]);
            y.iter_mut().zip(x.iter().rev()).for_each(|(y, x)| *y = *x);
        }
    }

    #[test]
    fn every_row_is_written_once() {
        for (rows_, width) in [(0, 3), (1, 1), (7, 5), (33, 16), (1000, 41), (3, 70_001)] {
            let x: Vec<f32> = (0..rows_ * width).map(|i| ((i * 37) % 101) as f32 - 60.0).collect();
            for count in [1, 3] {
                let (mut found, mut y) = (vec![f32::NAN; 2 * rows_], vec![f32::NAN; x.len()]);
                Threads::new(Some(count)).enter(|| {
                    rows(&Sums(&x, width), [2, width], [&mut found, &mut y], 2 * width);
                });
                for (row, x) in x.chunks_exact(width).enumerate() {
                    assert_eq!(found[2 * row], x.iter().sum::<f32>(), "{row} of {rows_} x {width}");
                    assert_eq!(found[2 * row + 1], x.iter().copied().fold(-1e9, f32::max));
                    assert!(y[row * width..].iter().zip(x.iter().rev()).all(|(y, x)| y == x));
                }
            }
        }
        let (mut found, mut y) = ([0.0; 2], [0.0; 40]);
        let mut x = [1.0; 40];
        x[21] = f32::NAN;
        rows(&Sums(&x, 40), [2, 40], [&mut found, &mut y], 80);
        assert!(found.iter().all(|v| v.is_nan()));
    }
}
