//! Softmax and cross-entropy against probabilities in one: the loss of each row, and the gradient.

use super::cross_entropy::Common;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constant, Kernel, Wgsl, wgsl};
use crate::ops::common::vector::{LongSum, Rows, load, rows, store};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_EXPS, ROW_REDUCE, ROW_SHARED, last_axis, math, row_shared,
    switches,
};
use crate::ops::norm::softmax::largest_and_sum;
use crate::tensor::Words;
use crate::{Result, Tensor};
use pulp::Simd;

const COMMON: Wgsl = wgsl!("loss/parts/soft_cross_entropy.wgsl");

pub(crate) static FORWARD: Kernel = Kernel {
    name: "soft_cross_entropy",
    parts: &[
        IS_NAN,
        LONG_SUM,
        INDEX,
        ROW_REDUCE,
        ROW_SHARED,
        ROW_EXPS,
        COMMON,
        wgsl!("loss/soft_cross_entropy.wgsl"),
    ],
    bindings: &[
        ("x", Read),
        ("y", Read),
        ("weights", Read),
        ("class_weights", Read),
        ("loss", Write),
        ("stats", Write),
    ],
    variants: || switches(["WEIGHTS", "CLASSES", "SHARED"]),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "soft_cross_entropy_bwd",
    parts: &[
        IS_NAN,
        LONG_SUM,
        INDEX,
        ROW_REDUCE,
        ROW_SHARED,
        COMMON,
        wgsl!("loss/soft_cross_entropy_bwd.wgsl"),
    ],
    bindings: &[
        ("x", Read),
        ("y", Read),
        ("weights", Read),
        ("class_weights", Read),
        ("stats", Read),
        ("d_loss", Read),
        ("d_x", Write),
    ],
    variants: || switches(["WEIGHTS", "CLASSES", "SHARED"]),
    ..Kernel::PLAIN
};

/// The columns of what the backward pass needs of a row: the largest logit, the sum of exp, that of the target.
const STATS: usize = 3;

/// What a cross-entropy is taken of, beside the logits.
#[derive(Clone)]
pub(crate) struct Wanted {
    /// `[N,C]`, the probability of each class.
    pub(crate) y: Tensor,
    /// `[N]`; 1 without. A row of weight 0 is padding: whatever it holds does not count.
    pub(crate) weights: Option<Tensor>,
    /// `[C]`; 1 without.
    pub(crate) class_weights: Option<Tensor>,
    /// The share of each row that all classes have in common.
    pub(crate) smoothing: f32,
    pub(crate) scale: f32,
}

impl Wanted {
    fn constants(&self) -> [Constant; 2] {
        [
            ("WEIGHTS", self.weights.is_some().into()),
            ("CLASSES", self.class_weights.is_some().into()),
        ]
    }

    fn words(&self) -> [u32; 2] {
        [self.scale.to_bits(), self.smoothing.to_bits()]
    }
}

/// `scale * w * loss` of each row of the logits `x` `[..,C]`, and for each row what the backward pass needs.
pub(crate) fn forward(x: &Tensor, wanted: &Wanted) -> Result<(Tensor, Tensor)> {
    let c = last_axis(x);
    let n = x.len() / c;
    let loss = Tensor::empty([n], &x.device())?;
    let stats = Tensor::empty([n, STATS], &x.device())?;
    let Wanted { y, weights, class_weights, .. } = wanted;
    if let Some(gpu) = x.gpu() {
        row_shared(&FORWARD, n, c).constants(&wanted.constants()).words(&wanted.words()).run(
            gpu,
            &[
                Some(x),
                Some(y),
                weights.as_ref(),
                class_weights.as_ref(),
                Some(&loss),
                Some(&stats),
            ],
        )?;
        return Ok((loss, stats));
    }
    let losses = Losses { x: &x.cpu(), c, of: &wanted.rows(c) };
    loss.cpu_mut(|loss| stats.cpu_mut(|stats| rows(&losses, [1, STATS], [loss, stats], 2 * c)));
    Ok((loss, stats))
}

/// The gradient of the logits, given that of the loss (`[1]`).
pub(crate) fn backward(
    x: &Tensor,
    wanted: &Wanted,
    stats: &Tensor,
    d_loss: &Tensor,
) -> Result<Tensor> {
    let c = last_axis(x);
    let n = x.len() / c;
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    let Wanted { y, weights, class_weights, scale, .. } = wanted;
    if let Some(gpu) = x.gpu() {
        row_shared(&BACKWARD, n, c).constants(&wanted.constants()).words(&wanted.words()).run(
            gpu,
            &[
                Some(x),
                Some(y),
                weights.as_ref(),
                class_weights.as_ref(),
                Some(stats),
                Some(d_loss),
                Some(&d_x),
            ],
        )?;
        return Ok(d_x);
    }
    let (factor, of) = (d_loss.cpu()[0] * scale, wanted.rows(c));
    let slope = Slope { x: &x.cpu(), c, of: &of, stats: &stats.cpu(), factor };
    d_x.cpu_mut(|d_x| rows(&slope, [c], [d_x], 3 * c));
    Ok(d_x)
}

/// What is wanted, on the CPU.
struct WantedRows {
    y: Words,
    all: Common,
}

impl Wanted {
    fn rows(&self, c: usize) -> WantedRows {
        let Self { y, weights, class_weights, smoothing, scale } = self;
        let options = [*smoothing, *scale];
        let all = Common::new(weights.as_ref(), class_weights.as_ref(), options, c);
        WantedRows { y: y.cpu(), all }
    }
}

impl WantedRows {
    /// A vector of the target of a row, whose probabilities are `y`; 0 past the last class.
    #[inline(always)]
    fn target<S: Simd>(&self, simd: S, y: &[f32], at: usize) -> S::f32s {
        let [own, common] = [1.0 - self.all.smoothing, self.all.share];
        let [own, common] = [own, common].map(|part| simd.splat_f32s(part));
        let y_at = load(simd, y, at, simd.splat_f32s(0.0));
        let share = simd.add_f32s(simd.mul_f32s(own, y_at), common);
        simd.mul_f32s(self.all.class_vector(simd, at, y.len()), share)
    }
}

struct Losses<'a> {
    x: &'a [f32],
    c: usize,
    of: &'a WantedRows,
}

impl Rows<2> for Losses<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [loss, stats]: [&mut [f32]; 2]) {
        let weight = self.of.all.weight(row);
        if weight == 0.0 {
            loss.fill(0.0);
            stats.fill(0.0);
            return;
        }
        let own = row * self.c..(row + 1) * self.c;
        let (x, y) = (&self.x[own.clone()], &self.of.y[own]);
        let (largest, sum) = largest_and_sum(simd, x, None);
        let (zero, most, log) =
            (simd.splat_f32s(0.0), simd.splat_f32s(largest), simd.splat_f32s(sum.ln()));
        let (mut values, mut targets) = (LongSum::new(simd), LongSum::new(simd));
        for at in (0..x.len()).step_by(S::F32_LANES) {
            let t = self.of.target(simd, y, at);
            let l = simd.add_f32s(log, simd.sub_f32s(most, load(simd, x, at, most)));
            let value = simd.mul_f32s(t, l);
            values.add(simd, simd.select_f32s(simd.equal_f32s(t, zero), zero, value));
            targets.add(simd, t);
        }
        loss.fill(weight * self.of.all.scale * values.total(simd) as f32);
        stats.copy_from_slice(&[largest, sum, targets.total(simd) as f32]);
    }
}

struct Slope<'a> {
    x: &'a [f32],
    c: usize,
    of: &'a WantedRows,
    stats: &'a [f32],
    factor: f32,
}

impl Rows<1> for Slope<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [d_x]: [&mut [f32]; 1]) {
        let weight = self.of.all.weight(row);
        if weight == 0.0 {
            d_x.fill(0.0);
            return;
        }
        let own = row * self.c..(row + 1) * self.c;
        let (x, y) = (&self.x[own.clone()], &self.of.y[own]);
        let stats = &self.stats[STATS * row..][..STATS];
        let [most, total] = [stats[0], stats[2]].map(|v| simd.splat_f32s(v));
        let part = simd.splat_f32s(1.0 / stats[1]);
        let factor = simd.splat_f32s(self.factor * weight);
        for at in (0..x.len()).step_by(S::F32_LANES) {
            let exp = math::exp(simd, simd.sub_f32s(load(simd, x, at, most), most));
            let p = simd.mul_f32s(exp, part);
            let d = simd.sub_f32s(simd.mul_f32s(total, p), self.of.target(simd, y, at));
            store(simd, d_x, at, simd.mul_f32s(factor, d));
        }
    }
}
