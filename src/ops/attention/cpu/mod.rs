//! Attention on the CPU. A thread takes a block of a row's queries from the scores to the contexts while they are
//! in its cache, and back; then, for the gradients of keys and values, a block of keys. Blocks go by the sizes
//! alone, so that bits do not depend on how many threads there are.

mod additive;
mod softmax;

use super::{Attention, Dims, Gradients};
use crate::Tensor;
use crate::device::threads;
use crate::lengths::Counted;
use crate::ops::gemm::cpu::{View, alone};
use softmax::{Back, Forward, each_row};

/// The most rows of a block.
const MOST: usize = 256;
/// The fewest, where a row of a batch has more: each block turns the other matrix around for itself.
const FEWEST: usize = 32;
/// The blocks that are enough for the threads to have about equally much to do.
const ENOUGH: usize = 16;
/// Below so many terms of its products a pass is done before a second thread has woken up.
const SMALL: usize = 1 << 17;

/// The rows of a block, of `rows` rows for each row of a batch of `b`.
fn block(b: usize, rows: usize) -> usize {
    let share = rows.div_ceil(ENOUGH.div_ceil(b));
    share.max(FEWEST).min(rows.div_ceil(rows.div_ceil(MOST))).max(1)
}

impl Dims {
    /// The threads that a pass is worth.
    fn threads(self) -> usize {
        let terms = self.b * self.u * self.t * (self.h + self.v);
        if terms < SMALL { 1 } else { threads::count() }
    }
}

/// Which steps of the keys count.
struct Steps {
    t: usize,
    /// Of each row of the batch the steps up to its last one that counts.
    ends: Vec<usize>,
    /// `[B,T]`: 1 for each step that counts, else 0. Empty without a mask.
    on: Vec<f32>,
}

impl Steps {
    fn new(steps: &Counted, Dims { b, t, .. }: Dims) -> Self {
        let counts = |row: usize, at: usize| steps.counts(row, at);
        let end = |row| (0..t).rev().find(|&at| counts(row, at)).map_or(0, |last| last + 1);
        let ends = (0..b).map(end).collect();
        let on = match steps {
            Counted::Mask(mask) => mask.values().iter().map(|&on| f32::from(on)).collect(),
            Counted::All | Counted::Lengths(_) => Vec::new(),
        };
        Self { t, ends, on }
    }

    /// Those of a row up to its end; `None` if they all count.
    fn on(&self, row: usize) -> Option<&[f32]> {
        (!self.on.is_empty()).then(|| &self.on[row * self.t..][..self.ends[row]])
    }
}

/// Blocks of the rows of two outputs, `[B,rows,..]` of these widths: the row of the batch, the block's first row, and
/// its words of both.
fn blocks(
    rows: usize,
    size: usize,
    [x, y]: [(&mut [f32], usize); 2],
) -> impl Iterator<Item = (usize, usize, &mut [f32], &mut [f32])> + Send {
    let (wide, narrow) = (x.1, y.1);
    let batch = x.0.chunks_mut(rows * wide).zip(y.0.chunks_mut(rows * narrow));
    batch.enumerate().flat_map(move |(row, (x, y))| {
        let blocks = x.chunks_mut(size * wide).zip(y.chunks_mut(size * narrow));
        blocks.enumerate().map(move |(i, (x, y))| (row, i * size, x, y))
    })
}

impl Attention {
    /// Writes the weights and the contexts.
    pub(super) fn forward_here(&self, steps: &Counted, weights: &Tensor, context: &Tensor) {
        let s = self.dims();
        let Dims { u, t, h, v, .. } = s;
        let steps = Steps::new(steps, s);
        let (q, k, values) = (self.q.cpu(), self.k.cpu(), self.values.cpu());
        let score = self.score.as_ref().map(Tensor::cpu);
        let work = |(row, first, weights, context): (usize, usize, &mut [f32], &mut [f32])| {
            let (end, rows) = (steps.ends[row], weights.len() / t);
            if end == 0 {
                weights.fill(0.0);
                context.fill(0.0);
                return;
            }
            let q = &q[(row * u + first) * h..][..rows * h];
            let k = &k[row * t * h..][..end * h];
            match &score {
                Some(score) => additive::scores(q, k, score, (weights, t)),
                None => {
                    let (q, k) = (View::of(q, h, false), View::of(k, h, true));
                    alone([rows, end, h], q, k, (weights, t));
                }
            }
            each_row(&Forward { end, on: steps.on(row) }, weights, t);
            let (weights, values) = (View::of(weights, t, false), &values[row * t * v..]);
            alone([rows, v, end], weights, View::of(values, v, false), (context, v));
        };
        weights.cpu_mut(|weights| {
            context.cpu_mut(|context| {
                let blocks = blocks(u, block(s.b, u), [(weights, t), (context, v)]);
                threads::each(blocks, s.threads(), work);
            });
        });
    }

    /// Writes the gradients.
    pub(super) fn backward_here(
        &self,
        steps: &Counted,
        weights: &Tensor,
        d_context: &Tensor,
        d_scores: &Tensor,
        d: &Gradients,
    ) -> crate::Result<()> {
        let s = self.dims();
        let Dims { u, t, h, v, .. } = s;
        let steps = Steps::new(steps, s);
        let (q, k, values) = (self.q.cpu(), self.k.cpu(), self.values.cpu());
        let (weights, d_context) = (weights.cpu(), d_context.cpu());
        let of_query = |(row, first, d_scores, d_q): (usize, usize, &mut [f32], &mut [f32])| {
            let (end, rows) = (steps.ends[row], d_scores.len() / t);
            if end == 0 {
                d_q.fill(0.0);
                return;
            }
            let query = row * u + first;
            let (d_context, values) = (&d_context[query * v..], &values[row * t * v..]);
            let (d_context, values) = (View::of(d_context, v, false), View::of(values, v, true));
            alone([rows, end, v], d_context, values, (&mut *d_scores, t));
            let weights = &weights[query * t..][..rows * t];
            each_row(&Back { weights, end, on: steps.on(row) }, d_scores, t);
            if self.score.is_none() {
                let (d_scores, k) = (View::of(d_scores, t, false), &k[row * t * h..]);
                alone([rows, h, end], d_scores, View::of(k, h, false), (d_q, h));
            }
        };
        d_scores.cpu_mut(|d_scores| {
            d.q.cpu_mut(|d_q| {
                let blocks = blocks(u, block(s.b, u), [(d_scores, t), (d_q, h)]);
                threads::each(blocks, s.threads(), of_query);
            });
        });
        let d_scores = d_scores.cpu();
        let of_key = |(row, first, d_k, d_values): (usize, usize, &mut [f32], &mut [f32])| {
            // What lies past the end counts not.
            let rows = steps.ends[row].saturating_sub(first).min(d_k.len() / h);
            let (d_k, past) = d_k.split_at_mut(rows * h);
            past.fill(0.0);
            let (d_values, past) = d_values.split_at_mut(rows * v);
            past.fill(0.0);
            if rows == 0 {
                return;
            }
            let at = row * u * t + first;
            let weights = View::of(&weights[at..], t, true);
            let d_context = View::of(&d_context[row * u * v..], v, false);
            alone([rows, v, u], weights, d_context, (d_values, v));
            if self.score.is_none() {
                let d_scores = View::of(&d_scores[at..], t, true);
                let q = View::of(&q[row * u * h..], h, false);
                alone([rows, h, u], d_scores, q, (d_k, h));
            }
        };
        d.k.cpu_mut(|d_k| {
            d.values.cpu_mut(|d_values| {
                let blocks = blocks(t, block(s.b, t), [(d_k, h), (d_values, v)]);
                threads::each(blocks, s.threads(), of_key);
            });
        });
        let Some(score) = &self.score else { return Ok(()) };
        let of = additive::Back {
            s,
            ends: &steps.ends,
            q: &q,
            k: &k,
            score: &score.cpu(),
            d_scores: &d_scores,
        };
        of.gradients(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_neither_many_nor_few() {
        for (b, rows, expected) in
            [(1, 1, 1), (1, 20, 20), (32, 20, 20), (1, 100, 32), (4, 1000, 250), (64, 1000, 250)]
        {
            assert_eq!(block(b, rows), expected, "{b} {rows}");
        }
    }
}
