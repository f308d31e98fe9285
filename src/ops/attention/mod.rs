//! Attention of queries over the steps of a sequence, and its gradients.

use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constant, Constants, Kernel, Wgsl, wgsl};
use crate::device::profile::Cost;
use crate::device::threads::each_chunk;
use crate::lengths::Counted;
use crate::ops::common::{
    ACTIVATIONS, INDEX, IS_NAN, ROW_REDUCE, ROWWISE, STEPS, long_sum, product, rowwise,
};
use crate::{Result, Tensor};
use std::sync::Arc;

const COMMON: Wgsl = wgsl!("attention/parts/score.wgsl");

pub(crate) static FORWARD: Kernel = Kernel {
    name: "attention",
    parts: &[
        IS_NAN,
        ACTIVATIONS,
        ROW_REDUCE,
        INDEX,
        STEPS,
        COMMON,
        ROWWISE,
        wgsl!("attention/attention.wgsl"),
    ],
    bindings: &[
        ("q", Read),
        ("k", Read),
        ("values", Read),
        ("score", Read),
        ("steps", Read),
        ("weights", Write),
        ("context", Write),
    ],
    variants: || product([0, 1, 2].map(|steps| vec![("STEPS", steps)]).to_vec(), &kinds()),
    ..Kernel::PLAIN
};

pub(crate) static SCORES_BACKWARD: Kernel = Kernel {
    name: "attention_scores_bwd",
    parts: &[IS_NAN, ROW_REDUCE, INDEX, ROWWISE, wgsl!("attention/attention_scores_bwd.wgsl")],
    bindings: &[("values", Read), ("weights", Read), ("d_context", Read), ("d_scores", Write)],
    ..Kernel::PLAIN
};

pub(crate) static QUERY_BACKWARD: Kernel = Kernel {
    name: "attention_query_bwd",
    parts: &[
        IS_NAN,
        ACTIVATIONS,
        INDEX,
        COMMON,
        ROWWISE,
        wgsl!("attention/attention_query_bwd.wgsl"),
    ],
    bindings: &[
        ("q", Read),
        ("k", Read),
        ("score", Read),
        ("d_scores", Read),
        ("d_q", Write),
        ("d_score", Write),
    ],
    variants: kinds,
    ..Kernel::PLAIN
};

pub(crate) static KEY_BACKWARD: Kernel = Kernel {
    name: "attention_key_bwd",
    parts: &[
        IS_NAN,
        ACTIVATIONS,
        INDEX,
        COMMON,
        ROWWISE,
        wgsl!("attention/attention_key_bwd.wgsl"),
    ],
    bindings: &[
        ("q", Read),
        ("k", Read),
        ("score", Read),
        ("weights", Read),
        ("d_scores", Read),
        ("d_context", Read),
        ("d_k", Write),
        ("d_values", Write),
    ],
    variants: kinds,
    ..Kernel::PLAIN
};

fn kinds() -> Vec<Constants> {
    [0, 1].map(|kind| vec![("KIND", kind)]).to_vec()
}

/// What attends to what.
#[derive(Clone)]
pub(crate) struct Attention {
    /// `[B,U,H]`.
    pub(crate) q: Tensor,
    /// `[B,T,H]`.
    pub(crate) k: Tensor,
    /// `[B,T,V]`.
    pub(crate) values: Tensor,
    /// `[H]`: scores are additive if there is one, else products.
    pub(crate) score: Option<Tensor>,
}

/// The gradients of each; that of `score` for each query by itself, `[B,U,H]`.
pub(crate) struct Gradients {
    pub(crate) q: Tensor,
    pub(crate) k: Tensor,
    pub(crate) values: Tensor,
    pub(crate) score: Option<Tensor>,
}

struct Dims {
    b: usize,
    u: usize,
    t: usize,
    h: usize,
    v: usize,
}

impl Attention {
    fn dims(&self) -> Dims {
        let (q, k) = (self.q.shape(), self.k.shape());
        Dims { b: q[0], u: q[1], t: k[1], h: q[2], v: self.values.shape()[2] }
    }

    fn kind(&self) -> Constant {
        ("KIND", self.score.is_some().into())
    }

    /// A kernel that takes each of so many rows by a workgroup.
    fn run(
        &self,
        gpu: &Arc<Gpu>,
        kernel: &'static Kernel,
        rows: usize,
        constants: &[Constant],
        tensors: &[Option<&Tensor>],
    ) -> Result<()> {
        let Dims { b, u, t, h, v } = self.dims();
        let words = [u, t, h, v].map(|w| w as u32);
        let cost = Cost { flop: (2 * b * u * t * (h + v)) as f64, bytes: 0.0 };
        rowwise(kernel, rows).constants(constants).words(&words).run_costing(gpu, tensors, cost)
    }

    /// The weights `[B,U,T]` of the steps that count, and the contexts `[B,U,V]`.
    pub(crate) fn forward(&self, steps: &Counted) -> Result<(Tensor, Tensor)> {
        let Self { q, k, values, score } = self;
        let Dims { b, u, t, h, v } = self.dims();
        let weights = Tensor::empty([b, u, t], &q.device())?;
        let context = Tensor::empty([b, u, v], &q.device())?;
        if let Some(gpu) = q.gpu() {
            let tensors = [
                Some(q),
                Some(k),
                Some(values),
                score.as_ref(),
                steps.tensor(),
                Some(&weights),
                Some(&context),
            ];
            let constants = [("STEPS", steps.code()), self.kind()];
            self.run(gpu, &FORWARD, b * u, &constants, &tensors)?;
            return Ok((weights, context));
        }
        let score = Score::new(self);
        weights.cpu_mut(|weights| {
            each_chunk(weights, t, |query, weights| {
                let row = query / u;
                weights.fill(0.0);
                let mut largest = f32::MIN;
                for at in (0..t).filter(|&at| steps.counts(row, at)) {
                    let parts = (0..h).map(|h| score.part(query, row * t + at, h));
                    weights[at] = long_sum::sum(parts);
                    let w = weights[at];
                    largest = if w > largest || w.is_nan() { w } else { largest };
                }
                let mut sum = 0.0f64;
                for at in (0..t).filter(|&at| steps.counts(row, at)) {
                    weights[at] = (weights[at] - largest).exp();
                    sum += f64::from(weights[at]);
                }
                let sum = sum as f32;
                for at in (0..t).filter(|&at| steps.counts(row, at)) {
                    weights[at] /= sum;
                }
            });
        });
        let (of, values) = (weights.cpu(), values.cpu());
        let (of, values): (&[f32], &[f32]) = (&of, &values);
        context.cpu_mut(|context| {
            each_chunk(context, v, |query, context| {
                let row = query / u;
                let mut sums = vec![0.0f64; v];
                for at in (0..t).filter(|&at| steps.counts(row, at)) {
                    let (w, value) = (of[query * t + at], &values[(row * t + at) * v..][..v]);
                    sums.iter_mut().zip(value).for_each(|(c, v)| *c += f64::from(w * v));
                }
                context.iter_mut().zip(&sums).for_each(|(c, &sum)| *c = sum as f32);
            });
        });
        Ok((weights, context))
    }

    /// From the weights of the forward pass and the gradient of the contexts.
    pub(crate) fn backward(&self, weights: &Tensor, d_context: &Tensor) -> Result<Gradients> {
        let Self { q, k, values, score } = self;
        let Dims { b, u, t, h, v } = self.dims();
        let device = q.device();
        let d_scores = Tensor::empty([b, u, t], &device)?;
        let d = Gradients {
            q: Tensor::empty(q.shape(), &device)?,
            k: Tensor::empty(k.shape(), &device)?,
            values: Tensor::empty(values.shape(), &device)?,
            score: score.as_ref().map(|_| Tensor::empty(q.shape(), &device)).transpose()?,
        };
        if let Some(gpu) = q.gpu() {
            let run = |kernel, rows, constants: &[Constant], tensors: &[Option<&Tensor>]| {
                self.run(gpu, kernel, rows, constants, tensors)
            };
            let (q, k, score) = (Some(q), Some(k), score.as_ref());
            let (weights, d_context) = (Some(weights), Some(d_context));
            let d_s = Some(&d_scores);
            run(&SCORES_BACKWARD, b * u, &[], &[Some(values), weights, d_context, d_s])?;
            let tensors = [q, k, score, d_s, Some(&d.q), d.score.as_ref()];
            run(&QUERY_BACKWARD, b * u, &[self.kind()], &tensors)?;
            let tensors = [q, k, score, weights, d_s, d_context, Some(&d.k), Some(&d.values)];
            run(&KEY_BACKWARD, b * t, &[self.kind()], &tensors)?;
            return Ok(d);
        }
        let score = Score::new(self);
        let (weights, values, d_context) = (weights.cpu(), values.cpu(), d_context.cpu());
        let (weights, values, d_context): (&[f32], &[f32], &[f32]) =
            (&weights, &values, &d_context);
        d_scores.cpu_mut(|d_scores| {
            each_chunk(d_scores, t, |query, d_scores| {
                let weights = &weights[query * t..][..t];
                let d_context = &d_context[query * v..][..v];
                let mut dot = 0.0f64;
                for (at, d) in d_scores.iter_mut().enumerate() {
                    *d = 0.0;
                    if weights[at] != 0.0 {
                        let value = &values[(query / u * t + at) * v..][..v];
                        *d = long_sum::sum(d_context.iter().zip(value).map(|(d, v)| d * v));
                    }
                    dot += f64::from(weights[at] * *d);
                }
                let dot = dot as f32;
                for (d, &w) in d_scores.iter_mut().zip(weights) {
                    // Where nothing counts, 0 even if the sum is NaN.
                    *d = if w == 0.0 { 0.0 } else { w * (*d - dot) };
                }
            });
        });
        let d_scores = d_scores.cpu();
        let d_scores: &[f32] = &d_scores;
        let of_query = |query: usize, f: &dyn Fn(usize) -> f32| -> f32 {
            let steps = (0..t).map(|at| (d_scores[query * t + at], query / u * t + at));
            long_sum::sum(steps.filter(|&(d, _)| d != 0.0).map(|(d, key)| d * f(key)))
        };
        d.q.cpu_mut(|d_q| {
            each_chunk(d_q, h, |query, d_q| {
                for (h, d_q) in d_q.iter_mut().enumerate() {
                    *d_q = of_query(query, &|key| score.slope_of_query(query, key, h));
                }
            });
        });
        if let Some(d_score) = &d.score {
            d_score.cpu_mut(|d_score| {
                each_chunk(d_score, h, |query, d_score| {
                    for (h, d) in d_score.iter_mut().enumerate() {
                        *d = of_query(query, &|key| score.mixed(query, key, h).tanh());
                    }
                });
            });
        }
        d.k.cpu_mut(|d_k| {
            each_chunk(d_k, h, |key, d_k| {
                for (h, d_k) in d_k.iter_mut().enumerate() {
                    let queries = (key / t * u..(key / t + 1) * u)
                        .map(|query| (d_scores[query * t + key % t], query));
                    let queries = queries.filter(|&(d, _)| d != 0.0);
                    *d_k = long_sum::sum(
                        queries.map(|(d, query)| d * score.slope_of_key(query, key, h)),
                    );
                }
            });
        });
        d.values.cpu_mut(|d_values| {
            each_chunk(d_values, v, |key, d_values| {
                for (j, d) in d_values.iter_mut().enumerate() {
                    let queries = key / t * u..(key / t + 1) * u;
                    let queries = queries.map(|q| (weights[q * t + key % t], d_context[q * v + j]));
                    let queries = queries.filter(|&(w, _)| w != 0.0);
                    *d = long_sum::sum(queries.map(|(w, d)| w * d));
                }
            });
        });
        Ok(d)
    }
}

/// How well a query and a key go together, on the CPU.
struct Score {
    q: crate::tensor::Words,
    k: crate::tensor::Words,
    score: Option<crate::tensor::Words>,
    h: usize,
}

impl Score {
    fn new(of: &Attention) -> Self {
        let score = of.score.as_ref().map(Tensor::cpu);
        Self { q: of.q.cpu(), k: of.k.cpu(), score, h: of.dims().h }
    }

    fn mixed(&self, query: usize, key: usize, h: usize) -> f32 {
        self.q[query * self.h + h] + self.k[key * self.h + h]
    }

    fn part(&self, query: usize, key: usize, h: usize) -> f32 {
        match &self.score {
            Some(v) => v[h] * self.mixed(query, key, h).tanh(),
            None => self.q[query * self.h + h] * self.k[key * self.h + h],
        }
    }

    fn slope_of_query(&self, query: usize, key: usize, h: usize) -> f32 {
        match &self.score {
            Some(v) => v[h] * (1.0 - self.mixed(query, key, h).tanh().powi(2)),
            None => self.k[key * self.h + h],
        }
    }

    fn slope_of_key(&self, query: usize, key: usize, h: usize) -> f32 {
        match &self.score {
            Some(_) => self.slope_of_query(query, key, h),
            None => self.q[query * self.h + h],
        }
    }
}
