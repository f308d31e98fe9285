//! Softmax and cross-entropy in one: the loss of each row, and the gradient.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constant, Kernel, Wgsl, wgsl};
use crate::ops::common::vector::{LongSum, Rows, load, rows, store};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_EXPS, ROW_REDUCE, ROW_SHARED, last_axis, long_sum, math,
    row_shared, switches,
};
use crate::ops::norm::softmax::largest_and_sum;
use crate::tensor::Words;
use crate::{Result, Tensor};
use pulp::Simd;

const COMMON: Wgsl = wgsl!("loss/parts/cross_entropy.wgsl");

pub(crate) static FORWARD: Kernel = Kernel {
    name: "cross_entropy",
    parts: &[
        IS_NAN,
        LONG_SUM,
        INDEX,
        ROW_REDUCE,
        ROW_SHARED,
        ROW_EXPS,
        COMMON,
        wgsl!("loss/cross_entropy.wgsl"),
    ],
    bindings: &[
        ("x", Read),
        ("labels", Read),
        ("weights", Read),
        ("class_weights", Read),
        ("loss", Write),
        ("stats", Write),
    ],
    variants: || switches(["WEIGHTS", "CLASSES", "SHARED"]),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "cross_entropy_bwd",
    parts: &[
        IS_NAN,
        LONG_SUM,
        INDEX,
        ROW_REDUCE,
        ROW_SHARED,
        ROW_EXPS,
        COMMON,
        wgsl!("loss/cross_entropy_bwd.wgsl"),
    ],
    bindings: &[
        ("x", Read),
        ("labels", Read),
        ("weights", Read),
        ("class_weights", Read),
        ("stats", Read),
        ("d_loss", Read),
        ("d_x", Write),
    ],
    variants: || switches(["WEIGHTS", "CLASSES", "SHARED"]),
    ..Kernel::PLAIN
};

/// What a cross-entropy is taken of, beside the logits.
#[derive(Clone)]
pub(crate) struct Wanted {
    /// `[N]`, each below C.
    pub(crate) labels: Tensor,
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
    let stats = Tensor::empty([n, 2], &x.device())?;
    let Wanted { labels, weights, class_weights, .. } = wanted;
    if let Some(gpu) = x.gpu() {
        row_shared(&FORWARD, n, c).constants(&wanted.constants()).words(&wanted.words()).run(
            gpu,
            &[
                Some(x),
                Some(labels),
                weights.as_ref(),
                class_weights.as_ref(),
                Some(&loss),
                Some(&stats),
            ],
        )?;
        return Ok((loss, stats));
    }
    let losses = Losses { x: &x.cpu(), c, row: &wanted.rows(c) };
    loss.cpu_mut(|loss| stats.cpu_mut(|stats| rows(&losses, [1, 2], [loss, stats], c)));
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
    let Wanted { labels, weights, class_weights, smoothing, scale } = wanted;
    if let Some(gpu) = x.gpu() {
        row_shared(&BACKWARD, n, c).constants(&wanted.constants()).words(&wanted.words()).run(
            gpu,
            &[
                Some(x),
                Some(labels),
                weights.as_ref(),
                class_weights.as_ref(),
                Some(stats),
                Some(d_loss),
                Some(&d_x),
            ],
        )?;
        return Ok(d_x);
    }
    let row = wanted.rows(c);
    // Without smoothing no class counts but the label's, whatever its weight.
    let all = match smoothing {
        0.0 => 0.0,
        _ => long_sum::sum((0..c).map(|j| row.all.share * row.all.class(j))),
    };
    let factor = d_loss.cpu()[0] * scale;
    let slope = Slope { x: &x.cpu(), c, row: &row, stats: &stats.cpu(), factor, all };
    d_x.cpu_mut(|d_x| rows(&slope, [c], [d_x], 2 * c));
    Ok(d_x)
}

/// What is wanted of each row and class, on the CPU, whatever the row is compared with.
pub(super) struct Common {
    weights: Option<Words>,
    classes: Option<Words>,
    pub(super) smoothing: f32,
    /// Of each class of what all have in common.
    pub(super) share: f32,
    pub(super) scale: f32,
}

impl Common {
    /// Of weights `[N]`, and of class weights `[C]` of `c` classes.
    pub(super) fn new(
        weights: Option<&Tensor>,
        classes: Option<&Tensor>,
        [smoothing, scale]: [f32; 2],
        c: usize,
    ) -> Self {
        let (weights, classes) = (weights.map(Tensor::cpu), classes.map(Tensor::cpu));
        Self { weights, classes, smoothing, share: smoothing / c as f32, scale }
    }

    pub(super) fn weight(&self, row: usize) -> f32 {
        self.weights.as_ref().map_or(1.0, |w| w[row])
    }

    fn class(&self, j: usize) -> f32 {
        self.classes.as_ref().map_or(1.0, |w| w[j])
    }

    /// The weights of a vector of the `c` classes, 0 past the last.
    #[inline(always)]
    pub(super) fn class_vector<S: Simd>(&self, simd: S, at: usize, c: usize) -> S::f32s {
        const ONES: [f32; 16] = [1.0; 16];
        let (of, at) = match &self.classes {
            Some(classes) => (&classes[..c], at),
            None => (&ONES[..ONES.len().min(c - at)], 0),
        };
        load(simd, of, at, simd.splat_f32s(0.0))
    }
}

/// What is wanted, on the CPU.
struct WantedRows {
    labels: Words,
    all: Common,
}

impl Wanted {
    fn rows(&self, c: usize) -> WantedRows {
        let Self { labels, weights, class_weights, smoothing, scale } = self;
        let options = [*smoothing, *scale];
        let all = Common::new(weights.as_ref(), class_weights.as_ref(), options, c);
        WantedRows { labels: labels.cpu(), all }
    }
}

impl WantedRows {
    fn label(&self, row: usize) -> usize {
        self.labels.as_u32()[row] as usize
    }
}

struct Losses<'a> {
    x: &'a [f32],
    c: usize,
    row: &'a WantedRows,
}

impl Rows<2> for Losses<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [loss, stats]: [&mut [f32]; 2]) {
        let (x, of) = (&self.x[row * self.c..][..self.c], &self.row.all);
        let weight = of.weight(row);
        if weight == 0.0 {
            loss.fill(0.0);
            stats.fill(0.0);
            return;
        }
        let (largest, sum) = largest_and_sum(simd, x, None);
        let (log, label) = (sum.ln(), self.row.label(row));
        let right = (1.0 - of.smoothing) * of.class(label);
        let mut value = right * (log + (largest - x[label]));
        if of.smoothing > 0.0 {
            let (largest, log) = (simd.splat_f32s(largest), simd.splat_f32s(log));
            let mut all = LongSum::new(simd);
            for at in (0..x.len()).step_by(S::F32_LANES) {
                let of_class = simd.sub_f32s(largest, load(simd, x, at, largest));
                let of_class = simd.add_f32s(log, of_class);
                all.add(simd, simd.mul_f32s(of.class_vector(simd, at, self.c), of_class));
            }
            value += of.share * all.total(simd) as f32;
        }
        loss.fill(weight * of.scale * value);
        stats.copy_from_slice(&[largest, sum]);
    }
}

struct Slope<'a> {
    x: &'a [f32],
    c: usize,
    row: &'a WantedRows,
    stats: &'a [f32],
    factor: f32,
    /// What the classes have in common, all together.
    all: f32,
}

impl Rows<1> for Slope<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [d_x]: [&mut [f32]; 1]) {
        let (x, of) = (&self.x[row * self.c..][..self.c], &self.row.all);
        let weight = of.weight(row);
        if weight == 0.0 {
            d_x.fill(0.0);
            return;
        }
        let (label, largest, sum) =
            (self.row.label(row), self.stats[2 * row], self.stats[2 * row + 1]);
        let right = (1.0 - of.smoothing) * of.class(label);
        let (factor, total, part) = (self.factor * weight, right + self.all, 1.0 / sum);
        let (factors, totals) = (simd.splat_f32s(factor), simd.splat_f32s(total));
        let (parts, most) = (simd.splat_f32s(part), simd.splat_f32s(largest));
        let share = simd.splat_f32s(of.share);
        for at in (0..x.len()).step_by(S::F32_LANES) {
            let exp = math::exp(simd, simd.sub_f32s(load(simd, x, at, most), most));
            let mut d = simd.mul_f32s(totals, simd.mul_f32s(exp, parts));
            if of.smoothing > 0.0 {
                d = simd.sub_f32s(d, simd.mul_f32s(share, of.class_vector(simd, at, self.c)));
            }
            store(simd, d_x, at, simd.mul_f32s(factors, d));
        }
        let p = (x[label] - largest).exp() * part;
        let common = if of.smoothing > 0.0 { of.share * of.class(label) } else { 0.0 };
        d_x[label] = factor * (total * p - (common + right));
    }
}
