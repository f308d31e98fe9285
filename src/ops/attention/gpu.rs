//! Attention on a GPU: products of a batch, the softmax of rows, and additive scores by tiles, so that no
//! `[B,U,T,H]` is ever in memory.

use super::{Attention, Dims, Gradients};
use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, wgsl};
use crate::device::profile::Cost;
use crate::lengths::Counted;
use crate::ops::common::{
    ACTIVATIONS, INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, STEPS, product, rowwise, switches,
};
use crate::ops::gemm::{Gemm, Matrix};
use crate::{Result, Tensor};
use std::sync::Arc;

pub(crate) static ADDITIVE: Kernel = Kernel {
    name: "attention_additive",
    parts: &[IS_NAN, ACTIVATIONS, INDEX, ROWWISE, wgsl!("attention/attention_additive.wgsl")],
    bindings: &[("q", Read), ("k", Read), ("score", Read), ("scores", Write)],
    variants: groups,
    ..Kernel::PLAIN
};

pub(crate) static ADDITIVE_BACKWARD: Kernel = Kernel {
    name: "attention_additive_bwd",
    parts: &[IS_NAN, ACTIVATIONS, INDEX, ROWWISE, wgsl!("attention/attention_additive_bwd.wgsl")],
    bindings: &[
        ("mine", Read),
        ("others", Read),
        ("score", Read),
        ("d_scores", Read),
        ("d_mine", Write),
        ("d_score", Write),
    ],
    variants: || product(switches(["KEYS"]), &groups()),
    ..Kernel::PLAIN
};

pub(crate) static SOFTMAX: Kernel = Kernel {
    name: "attention_softmax",
    parts: &[
        IS_NAN,
        ROW_REDUCE,
        LONG_SUM,
        INDEX,
        STEPS,
        ROWWISE,
        wgsl!("attention/attention_softmax.wgsl"),
    ],
    bindings: &[("steps", Read), ("weights", Write)],
    variants: counting,
    ..Kernel::PLAIN
};

pub(crate) static SOFTMAX_BACKWARD: Kernel = Kernel {
    name: "attention_softmax_bwd",
    parts: &[
        IS_NAN,
        ROW_REDUCE,
        LONG_SUM,
        INDEX,
        STEPS,
        ROWWISE,
        wgsl!("attention/attention_softmax_bwd.wgsl"),
    ],
    bindings: &[("steps", Read), ("weights", Read), ("d_scores", Write)],
    variants: counting,
    ..Kernel::PLAIN
};

fn counting() -> Vec<Constants> {
    [0, 1, 2].map(|steps| vec![("STEPS", steps)]).to_vec()
}

fn groups() -> Vec<Constants> {
    [1, 8].map(|group| vec![("GROUP", group)]).to_vec()
}

/// How many of so many queries or keys a workgroup takes at a time: each costs as much whether it is there or not.
pub(super) fn group(rows: usize) -> usize {
    if rows < 8 { 1 } else { 8 }
}

/// The keys that a workgroup takes at a time, and the units.
const LANES: usize = 64;

impl Dims {
    /// The batches of matrices with a row for each query, or each key.
    fn queries(self, x: &Tensor, columns: usize) -> Matrix<'_> {
        Matrix::new(x, columns).batch(self.b, self.u * columns)
    }

    fn keys(self, x: &Tensor, columns: usize) -> Matrix<'_> {
        Matrix::new(x, columns).batch(self.b, self.t * columns)
    }

    /// What tells a profile of so many operations for each query, key and unit.
    fn cost(self, each: usize) -> Cost {
        Cost { flop: (each * self.b * self.u * self.t * self.h) as f64, bytes: 0.0 }
    }
}

fn multiply([m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, c: Matrix<'_>) -> Result<()> {
    Gemm { m, n, k, bias: None, accumulate: false }.run(a, b, c)
}

impl Attention {
    /// Writes the weights and the contexts.
    pub(super) fn forward_on(
        &self,
        gpu: &Arc<Gpu>,
        steps: &Counted,
        weights: &Tensor,
        context: &Tensor,
    ) -> Result<()> {
        let Self { q, k, values, score } = self;
        let s = self.dims();
        let Dims { b, u, t, h, v } = s;
        match score {
            None => multiply([u, t, h], s.queries(q, h), s.keys(k, h).t(), s.queries(weights, t))?,
            Some(score) => {
                let tiles = b * u.div_ceil(group(u)) * t.div_ceil(LANES);
                rowwise(&ADDITIVE, tiles)
                    .constants(&[("GROUP", group(u) as u32)])
                    .words(&[u, t, h].map(|n| n as u32))
                    .run_costing(gpu, &[Some(q), Some(k), Some(score), Some(weights)], s.cost(4))?;
            }
        }
        rowwise(&SOFTMAX, b * u)
            .constants(&[("STEPS", steps.code())])
            .words(&[u as u32, t as u32])
            .run(gpu, &[steps.tensor(), Some(weights)])?;
        multiply([u, v, t], s.queries(weights, t), s.keys(values, v), s.queries(context, v))
    }

    /// Writes the gradients.
    pub(super) fn backward_on(
        &self,
        gpu: &Arc<Gpu>,
        steps: &Counted,
        weights: &Tensor,
        d_context: &Tensor,
        d_scores: &Tensor,
        d: &Gradients,
    ) -> Result<()> {
        let Self { q, k, values, score } = self;
        let s = self.dims();
        let Dims { b, u, t, h, v } = s;
        let (of_weights, of_scores) = (s.queries(weights, t), s.queries(d_scores, t));
        let of_context = s.queries(d_context, v);
        multiply([t, v, u], of_weights.t(), of_context, s.keys(&d.values, v))?;
        multiply([u, t, v], of_context, s.keys(values, v).t(), of_scores)?;
        rowwise(&SOFTMAX_BACKWARD, b * u)
            .constants(&[("STEPS", steps.code())])
            .words(&[u as u32, t as u32])
            .run(gpu, &[steps.tensor(), Some(weights), Some(d_scores)])?;
        let Some(score) = score else {
            multiply([u, h, t], of_scores, s.keys(k, h), s.queries(&d.q, h))?;
            return multiply([t, h, u], of_scores.t(), s.queries(q, h), s.keys(&d.k, h));
        };
        let sides = [(q, u, k, t, &d.q, d.score.as_ref()), (k, t, q, u, &d.k, None)];
        for (side, (mine, rows, others, columns, d_mine, d_score)) in sides.into_iter().enumerate()
        {
            let tiles = b * rows.div_ceil(group(rows)) * h.div_ceil(LANES);
            rowwise(&ADDITIVE_BACKWARD, tiles)
                .constants(&[("KEYS", side as u32), ("GROUP", group(rows) as u32)])
                .words(&[rows, columns, h].map(|n| n as u32))
                .run_costing(
                    gpu,
                    &[Some(mine), Some(others), Some(score), Some(d_scores), Some(d_mine), d_score],
                    s.cost(6),
                )?;
        }
        Ok(())
    }
}
