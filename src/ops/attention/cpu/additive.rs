//! Additive scores on the CPU, and their gradients. What is tanh(q + k) of a query, a key and a unit lives in
//! registers alone.

use super::super::{Dims, Gradients};
use crate::Result;
use crate::device::threads;
use crate::ops::common::math::tanh;
use crate::ops::common::vector::{Rows, load, rows, store};
use crate::tensor::room_for;
use pulp::{Arch, Simd, WithSimd};

/// The queries that meet a key at a time: its load, and the wait for a tanh, are theirs together.
const GROUP: usize = 4;

/// scores = sum over the units of score tanh(q + k), by the thread that calls. `q` `[rows,H]` and `k` `[keys,H]`; rows
/// of the scores are `stride` words apart.
pub(super) fn scores(q: &[f32], k: &[f32], score: &[f32], (scores, stride): (&mut [f32], usize)) {
    Arch::new().dispatch(Scores { q, k, score, scores, stride });
}

struct Scores<'a> {
    q: &'a [f32],
    k: &'a [f32],
    score: &'a [f32],
    scores: &'a mut [f32],
    stride: usize,
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { q, k, score, scores, stride } = self;
        let h = score.len();
        let groups = q.chunks(GROUP * h).zip(scores.chunks_mut(GROUP * stride));
        for (q, scores) in groups {
            match q.len() / h {
                GROUP => group::<S, GROUP>(simd, q, k, score, scores, stride),
                _ => {
                    for (q, scores) in q.chunks(h).zip(scores.chunks_mut(stride)) {
                        group::<S, 1>(simd, q, k, score, scores, stride);
                    }
                }
            }
        }
    }
}

/// The scores of `N` queries and all keys.
#[inline(always)]
fn group<S: Simd, const N: usize>(
    simd: S,
    q: &[f32],
    k: &[f32],
    score: &[f32],
    scores: &mut [f32],
    stride: usize,
) {
    let (h, zero) = (score.len(), simd.splat_f32s(0.0));
    let mut queries = [&q[..0]; N];
    for (i, query) in queries.iter_mut().enumerate() {
        *query = &q[i * h..][..h];
    }
    for (at, k) in k.chunks_exact(h).enumerate() {
        let mut sums = [zero; N];
        for unit in (0..h).step_by(S::F32_LANES) {
            let (k, score) = (load(simd, k, unit, zero), load(simd, score, unit, zero));
            for (sum, q) in sums.iter_mut().zip(&queries) {
                let e = tanh(simd, simd.add_f32s(load(simd, q, unit, zero), k));
                *sum = simd.mul_add_f32s(score, e, *sum);
            }
        }
        for (i, &sum) in sums.iter().enumerate() {
            scores[i * stride + at] = simd.reduce_sum_f32s(sum);
        }
    }
}

/// The units that a job takes: a cache line of each query and key. What one unit adds to the gradients has nothing
/// to do with another's, so that no sums of jobs have to be added up.
const UNITS: usize = 16;
/// Queries, or keys, whose sums meet before they are added to the others'.
const PART: usize = 64;

/// What the gradients of queries, keys and score are made of.
pub(super) struct Back<'a> {
    pub(super) s: Dims,
    /// The steps of each row of the batch up to the last one that counts.
    pub(super) ends: &'a [usize],
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) score: &'a [f32],
    pub(super) d_scores: &'a [f32],
}

impl Back<'_> {
    /// The rows of a job: its units of each query, of each key, and of the score.
    fn lines(&self) -> usize {
        self.s.u + self.s.t + 1
    }

    /// Writes the gradients of queries, keys and score.
    pub(super) fn gradients(&self, d: &Gradients) -> Result<()> {
        let Dims { b, u, h, .. } = self.s;
        let jobs = h.div_ceil(UNITS);
        let size = self.lines() * UNITS;
        let mut found = room_for("the gradients of additive scores", b * jobs * size)?;
        found.resize(b * jobs * size, 0.0);
        d.q.on_threads(|| {
            let each = found.chunks_exact_mut(size).enumerate();
            threads::each(each, self.s.threads(), |(job, found)| {
                Arch::new().dispatch(Job { of: self, job, found });
            });
        });
        let mut outputs = vec![(&d.q, 0, u), (&d.k, u, self.s.t)];
        outputs.extend(d.score.as_ref().map(|d_score| (d_score, u + self.s.t, 1)));
        for (to, first, rows_each) in outputs {
            let lines = Lines { found: &found, size, jobs, first, rows: rows_each };
            to.cpu_mut(|to| rows(&lines, [h], [to], 2 * h));
        }
        Ok(())
    }
}

/// The units of one job, of a row of the batch.
struct Job<'a> {
    of: &'a Back<'a>,
    job: usize,
    /// Zeros, for the gradients: see [`Back::lines`].
    found: &'a mut [f32],
}

impl WithSimd for Job<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, job, found } = self;
        let Dims { u, t, h, .. } = of.s;
        let (row, first) = (job / h.div_ceil(UNITS), job % h.div_ceil(UNITS) * UNITS);
        let units = UNITS.min(h - first);
        // The units of some rows, side by side; zeros past the last one.
        let gather = |x: &[f32], rows: usize| {
            let mut lines = vec![0.0; rows * UNITS];
            for (line, x) in lines.chunks_exact_mut(UNITS).zip(x.chunks_exact(h)) {
                line[..units].copy_from_slice(&x[first..][..units]);
            }
            lines
        };
        let end = of.ends[row];
        if end == 0 {
            return;
        }
        let (q, k) = (gather(&of.q[row * u * h..], u), gather(&of.k[row * t * h..], end));
        let score = gather(of.score, 1);
        let d_scores = &of.d_scores[row * u * t..][..u * t];
        let (d_q, rest) = found.split_at_mut(u * UNITS);
        let (d_k, d_score) = rest.split_at_mut(t * UNITS);
        let mut part = vec![0.0; (end + 1) * UNITS];
        for first in (0..u).step_by(PART) {
            part.fill(0.0);
            let last = u.min(first + PART);
            for unit in (0..UNITS).step_by(S::F32_LANES) {
                let mut at = first;
                while at < last {
                    let (q, d_scores) = (&q[at * UNITS + unit..], &d_scores[at * t..]);
                    let d_q = &mut d_q[at * UNITS + unit..];
                    let to = (d_q, &mut part[unit..]);
                    if last - at >= GROUP {
                        slopes::<S, GROUP>(simd, q, &k[unit..], (d_scores, t), to);
                        at += GROUP;
                    } else {
                        slopes::<S, 1>(simd, q, &k[unit..], (d_scores, t), to);
                        at += 1;
                    }
                }
            }
            for (sum, part) in d_k.iter_mut().zip(&part[..end * UNITS]) {
                *sum += part;
            }
            for (sum, part) in d_score.iter_mut().zip(&part[end * UNITS..]) {
                *sum += part;
            }
        }
        let d_k = &mut d_k[..end * UNITS];
        for d in d_q.chunks_exact_mut(UNITS).chain(d_k.chunks_exact_mut(UNITS)) {
            d.iter_mut().zip(&score).for_each(|(d, score)| *d *= score);
        }
    }
}

/// Writes the gradients of `N` queries to `d_q`, and adds to those of all keys and, behind them, of `score` in
/// `to_keys`: of the units of a vector, and those of queries and keys before they are multiplied by `score`. All have
/// lines of `UNITS`; the `d_scores` of a query are `t` words behind those of the one before it.
#[inline(always)]
fn slopes<S: Simd, const N: usize>(
    simd: S,
    q: &[f32],
    k: &[f32],
    (d_scores, t): (&[f32], usize),
    (d_q, to_keys): (&mut [f32], &mut [f32]),
) {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let keys = k.len().div_ceil(UNITS);
    let (mut queries, mut rows) = ([zero; N], [&d_scores[..0]; N]);
    for (i, (query, row)) in queries.iter_mut().zip(&mut rows).enumerate() {
        *query = load(simd, q, i * UNITS, zero);
        *row = &d_scores[i * t..][..keys];
    }
    let (mut sums, mut e_sum) = ([zero; N], zero);
    for first in (0..keys).step_by(PART) {
        let (mut parts, mut e_part) = ([zero; N], zero);
        for at in first..keys.min(first + PART) {
            let (key, mut d_key) = (load(simd, k, at * UNITS, zero), zero);
            for ((&query, row), part) in queries.iter().zip(&rows).zip(&mut parts) {
                let d = simd.splat_f32s(row[at]);
                let e = tanh(simd, simd.add_f32s(query, key));
                let slope = simd.mul_f32s(d, simd.mul_add_f32s(simd.neg_f32s(e), e, one));
                *part = simd.add_f32s(*part, slope);
                d_key = simd.add_f32s(d_key, slope);
                e_part = simd.mul_add_f32s(d, e, e_part);
            }
            add(simd, to_keys, at * UNITS, d_key);
        }
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum = simd.add_f32s(*sum, part);
        }
        e_sum = simd.add_f32s(e_sum, e_part);
    }
    for (i, &sum) in sums.iter().enumerate() {
        store(simd, d_q, i * UNITS, sum);
    }
    add(simd, to_keys, keys * UNITS, e_sum);
}

#[inline(always)]
fn add<S: Simd>(simd: S, words: &mut [f32], at: usize, vector: S::f32s) {
    let sum = simd.add_f32s(load(simd, words, at, vector), vector);
    store(simd, words, at, sum);
}

/// Some of the lines of each row of the batch, put together to rows of H.
struct Lines<'a> {
    found: &'a [f32],
    /// The words of a job.
    size: usize,
    /// The jobs of a row of the batch.
    jobs: usize,
    first: usize,
    /// How many there are of each row of the batch.
    rows: usize,
}

impl Rows<1> for Lines<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, _simd: S, row: usize, [to]: [&mut [f32]; 1]) {
        let line = self.first + row % self.rows;
        for (job, to) in to.chunks_mut(UNITS).enumerate() {
            let at = (row / self.rows * self.jobs + job) * self.size + line * UNITS;
            to.copy_from_slice(&self.found[at..][..to.len()]);
        }
    }
}
