//! A linear-chain CRF: the loss of each row's tags, the marginals, the gradients, and the best path.

mod chain;
mod viterbi;

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Wgsl, wgsl};
use crate::ops::common::vector::{self, load};
use crate::ops::common::{
    ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, elementwise, rowwise, switches,
};
use crate::ops::loss::answers::WIDTH;
use crate::ops::sums::column_sum::column_sum;
use crate::tensor::Words;
use crate::{Result, Tensor};
use chain::{Losses, Marginals, Slopes};
use pulp::Simd;
use viterbi::BestPaths;

const COMMON: Wgsl = wgsl!("loss/parts/crf.wgsl");
const CHAIN: Wgsl = wgsl!("loss/parts/crf_chain.wgsl");

pub(crate) static FORWARD: Kernel = Kernel {
    name: "crf",
    parts: &[INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, COMMON, CHAIN, ROWWISE, wgsl!("loss/crf.wgsl")],
    bindings: &[
        ("x", Read),
        ("scores", Read),
        ("chain", Read),
        ("logs", Write),
        ("alphas", Write),
        ("loss", Write),
    ],
    ..Kernel::PLAIN
};

pub(crate) static MARGINALS: Kernel = Kernel {
    name: "crf_marginals",
    parts: &[INDEX, IS_NAN, ROW_REDUCE, COMMON, CHAIN, ROWWISE, wgsl!("loss/crf_marginals.wgsl")],
    bindings: &[
        ("x", Read),
        ("scores", Read),
        ("chain", Read),
        ("logs", Read),
        ("d_loss", Read),
        ("q", Write),
        ("d_x", Write),
    ],
    variants: || switches(["GRADIENT"]),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "crf_bwd",
    parts: &[INDEX, IS_NAN, LONG_SUM, COMMON, CHAIN, ELEMENTWISE, wgsl!("loss/crf_bwd.wgsl")],
    bindings: &[
        ("x", Read),
        ("scores", Read),
        ("chain", Read),
        ("logs", Read),
        ("d_loss", Read),
        ("q", Read),
        ("d_scores", Write),
    ],
    ..Kernel::PLAIN
};

pub(crate) static VITERBI: Kernel = Kernel {
    name: "crf_viterbi",
    parts: &[INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, COMMON, ROWWISE, wgsl!("loss/crf_viterbi.wgsl")],
    bindings: &[
        ("x", Read),
        ("scores", Read),
        ("chain", Read),
        ("best", Write),
        ("ways", Write),
        ("answers", Write),
        ("score", Write),
    ],
    ..Kernel::PLAIN
};

/// The logarithm of nothing: finite, since a shader need not know infinities.
pub(crate) const NEVER: f32 = -1e30;

/// The emissions of a batch, and what else its paths gain.
#[derive(Clone)]
pub(crate) struct Chains {
    /// The emissions `[B,T,K]`.
    pub(crate) x: Tensor,
    /// `[K+2,K]`: what a path gains from each tag to each, then by its first tag, then by its last one.
    pub(crate) scores: Tensor,
    /// `[B,2+2T]`: the frames that count, and the bits of what the row's loss is multiplied with; then of each of
    /// these frames its place in `[B,T]`, and its own tag. A row without frames is not looked at.
    pub(crate) chain: Tensor,
}

/// What the passes on the CPU read.
struct Host {
    x: Words,
    scores: Vec<f32>,
    chain: Words,
    t: usize,
    k: usize,
}

/// A row of the batch.
struct Row<'a> {
    /// Of the whole batch.
    x: &'a [f32],
    scores: &'a [f32],
    /// The place of each frame, and its own tag.
    frames: &'a [[u32; 2]],
    scale: f32,
    k: usize,
    /// The first frame of the row in `[B,T]`.
    first: usize,
}

impl Host {
    fn row(&self, b: usize) -> Row<'_> {
        let chain = &self.chain.as_u32()[b * (2 * self.t + 2)..][..2 * self.t + 2];
        let (head, frames) = chain.split_at(2);
        Row {
            x: &self.x,
            scores: &self.scores,
            frames: &frames.as_chunks().0[..head[0] as usize],
            scale: f32::from_bits(head[1]),
            k: self.k,
            first: b * self.t,
        }
    }
}

impl Row<'_> {
    /// The emissions of the `i`-th frame of the chain.
    fn emissions(&self, i: usize) -> impl Iterator<Item = f32> {
        self.x[self.frames[i][0] as usize * self.k..][..self.k].iter().map(|&v| at_least(v))
    }

    /// What a path gains by going from a tag to each; `k` is the row of the first tag, `k + 1` that of the last.
    fn scores(&self, from: usize) -> &[f32] {
        &self.scores[from * self.k..][..self.k]
    }

    /// What is at a tag before, with what a path gains by going from there to each tag from `at` on.
    #[inline(always)]
    fn ways<S: Simd>(&self, simd: S, before: &[f32], from: usize, at: usize) -> S::f32s {
        let score = load(simd, self.scores(from), at, simd.splat_f32s(0.0));
        simd.add_f32s(simd.splat_f32s(before[from]), score)
    }

    /// The place of a frame of the chain in the row.
    fn place(&self, i: usize) -> usize {
        self.frames[i][0] as usize - self.first
    }

    fn tag(&self, i: usize) -> usize {
        self.frames[i][1] as usize
    }
}

/// Nothing is less likely than [`NEVER`]; a NaN stays.
fn at_least(v: f32) -> f32 {
    if v < NEVER { NEVER } else { v }
}

/// The larger; a NaN if either is one.
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

impl Chains {
    fn dims(&self) -> [usize; 3] {
        match *self.x.shape() {
            [b, t, k] => [b, t, k],
            // Layers check it.
            _ => [0; 3],
        }
    }

    fn words(&self, each: bool) -> [u32; 3] {
        let [_, t, k] = self.dims();
        [t as u32, k as u32, each.into()]
    }

    fn host(&self) -> Host {
        let [_, t, k] = self.dims();
        let scores = self.scores.cpu().iter().map(|&v| at_least(v)).collect();
        Host { x: self.x.cpu(), scores, chain: self.chain.cpu(), t, k }
    }

    /// The loss of each row `[B]`, and what the other passes need of this one, `[B,T,K+1]`.
    pub(crate) fn forward(&self) -> Result<(Tensor, Tensor)> {
        let ([b, t, k], device) = (self.dims(), self.x.device());
        let loss = Tensor::empty([b], &device)?;
        let logs = Tensor::empty([b, t, k + 1], &device)?;
        if let Some(gpu) = self.x.gpu() {
            let alphas = Tensor::empty([b, 2, k], &device)?;
            let tensors = [&self.x, &self.scores, &self.chain, &logs, &alphas, &loss].map(Some);
            rowwise(&FORWARD, b).words(&self.words(false)).run(gpu, &tensors)?;
            return Ok((loss, logs));
        }
        let losses = Losses(&self.host());
        logs.cpu_mut(|logs| {
            let width = t * (k + 1);
            loss.cpu_mut(|loss| vector::rows(&losses, [width, 1], [logs, loss], t * k * k * 8));
        });
        Ok((loss, logs))
    }

    /// The probability of each tag at each frame, `[B,T,K]`; 0 where a frame does not count.
    pub(crate) fn marginals(&self, logs: &Tensor) -> Result<Tensor> {
        let ([b, t, k], device) = (self.dims(), self.x.device());
        let q = Tensor::zeros([b, t, k], &device)?;
        if let Some(gpu) = self.x.gpu() {
            let [x, scores, chain] = [&self.x, &self.scores, &self.chain].map(Some);
            rowwise(&MARGINALS, b)
                .constants(&[("GRADIENT", 0)])
                .words(&self.words(false))
                .run(gpu, &[x, scores, chain, Some(logs), None, Some(&q), None])?;
            return Ok(q);
        }
        let marginals = Marginals { host: &self.host(), logs: &logs.cpu() };
        q.cpu_mut(|q| vector::rows(&marginals, [t * k], [q], t * k * k * 8));
        Ok(q)
    }

    /// The gradients of the emissions and of the scores, given that of each row's loss (`[B]`) or of their sum
    /// (`[1]`).
    pub(crate) fn backward(&self, logs: &Tensor, d_loss: &Tensor) -> Result<[Tensor; 2]> {
        let ([b, t, k], device) = (self.dims(), self.x.device());
        let d_x = Tensor::zeros([b, t, k], &device)?;
        let q = Tensor::zeros([b, t, k], &device)?;
        let each = Tensor::empty([b, k + 2, k], &device)?;
        if let Some(gpu) = self.x.gpu() {
            let words = self.words(d_loss.len() > 1);
            let inputs = [&self.x, &self.scores, &self.chain, logs, d_loss].map(Some);
            let [x, scores, chain, logs, d_loss] = inputs;
            rowwise(&MARGINALS, b)
                .constants(&[("GRADIENT", 1)])
                .words(&words)
                .run(gpu, &[x, scores, chain, logs, d_loss, Some(&q), Some(&d_x)])?;
            elementwise(&BACKWARD, each.len())
                .words(&words)
                .run(gpu, &[x, scores, chain, logs, d_loss, Some(&q), Some(&each)])?;
        } else {
            let (logs, d_loss) = (&logs.cpu(), &d_loss.cpu());
            let slopes = Slopes { marginals: Marginals { host: &self.host(), logs }, d_loss };
            let widths = [t * k, t * k, (k + 2) * k];
            q.cpu_mut(|q| {
                d_x.cpu_mut(|d_x| {
                    each.cpu_mut(|each| {
                        vector::rows(&slopes, widths, [q, d_x, each], t * k * k * 8);
                    });
                });
            });
        }
        let d_scores = Tensor::zeros([k + 2, k], &device)?;
        column_sum(&each, &d_scores)?;
        Ok([d_x, d_scores])
    }

    /// The answers by the best path of each row, `[B,T,3]` as [`super::answers`] has them, but for the log loss;
    /// and its score `[B]`. Frames that do not count, and rows with a NaN, answer nothing.
    pub(crate) fn viterbi(&self) -> Result<(Tensor, Tensor)> {
        let ([b, t, k], device) = (self.dims(), self.x.device());
        let answers = Tensor::empty([b, t, WIDTH], &device)?;
        let score = Tensor::empty([b], &device)?;
        if let Some(gpu) = self.x.gpu() {
            let best = Tensor::empty([b, 2, k], &device)?;
            let ways = Tensor::empty([b, t, k], &device)?;
            let all = [&self.x, &self.scores, &self.chain, &best, &ways, &answers, &score];
            rowwise(&VITERBI, b).words(&self.words(false)).run(gpu, &all.map(Some))?;
            return Ok((answers, score));
        }
        let paths = BestPaths(&self.host());
        answers.cpu_mut(|answers| {
            score.cpu_mut(|score| {
                vector::rows(&paths, [t * WIDTH, 1], [answers, score], t * k * k * 4);
            });
        });
        Ok((answers, score))
    }
}
