//! Softmax and cross-entropy in one: the loss of each row, and the gradient.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constant, Kernel, Wgsl, wgsl};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_EXPS, ROW_REDUCE, ROWWISE, last_axis, long_sum, rowwise, switches,
};
use crate::ops::norm::softmax::largest_and_sum;
use crate::{Result, Tensor};

const COMMON: Wgsl = wgsl!("loss/parts/cross_entropy.wgsl");

pub(crate) static FORWARD: Kernel = Kernel {
    name: "cross_entropy",
    parts: &[
        IS_NAN,
        LONG_SUM,
        ROW_REDUCE,
        ROW_EXPS,
        INDEX,
        ROWWISE,
        COMMON,
        wgsl!("loss/cross_entropy.wgsl"),
    ],
    bindings: &[
        ("x", Read),
        ("labels", Read),
        ("weights", Read),
        ("class_weights", Read),
        ("loss", Write),
    ],
    variants: || switches(["WEIGHTS", "CLASSES"]),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "cross_entropy_bwd",
    parts: &[
        IS_NAN,
        LONG_SUM,
        ROW_REDUCE,
        ROW_EXPS,
        INDEX,
        ROWWISE,
        COMMON,
        wgsl!("loss/cross_entropy_bwd.wgsl"),
    ],
    bindings: &[
        ("x", Read),
        ("labels", Read),
        ("weights", Read),
        ("class_weights", Read),
        ("d_loss", Read),
        ("d_x", Write),
    ],
    variants: || switches(["WEIGHTS", "CLASSES"]),
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

    fn words(&self, c: usize) -> [u32; 3] {
        [c as u32, self.scale.to_bits(), self.smoothing.to_bits()]
    }
}

/// `scale * w * loss` of each row of the logits `x` `[..,C]`.
pub(crate) fn forward(x: &Tensor, wanted: &Wanted) -> Result<Tensor> {
    let c = last_axis(x);
    let rows = x.len() / c;
    let loss = Tensor::empty([rows], &x.device())?;
    let Wanted { labels, weights, class_weights, smoothing, scale } = wanted;
    match x.gpu() {
        Some(gpu) => {
            rowwise(&FORWARD, rows).constants(&wanted.constants()).words(&wanted.words(c)).run(
                gpu,
                &[Some(x), Some(labels), weights.as_ref(), class_weights.as_ref(), Some(&loss)],
            )?
        }
        None => {
            let (x, labels) = (x.cpu(), labels.cpu());
            let (weights, classes) =
                (weights.as_ref().map(Tensor::cpu), class_weights.as_ref().map(Tensor::cpu));
            let class = |j: usize| classes.as_ref().map_or(1.0, |w| w[j]);
            loss.cpu_mut(|loss| {
                for (row, loss) in loss.iter_mut().enumerate() {
                    let x = &x[row * c..(row + 1) * c];
                    let label = labels.as_u32()[row] as usize;
                    let (largest, sum) = largest_and_sum(x);
                    let log = sum.ln();
                    let mut value = (1.0 - smoothing) * class(label) * (log + (largest - x[label]));
                    if *smoothing > 0.0 {
                        let all = (0..c).map(|j| class(j) * (log + (largest - x[j])));
                        value += smoothing / c as f32 * long_sum::sum(all);
                    }
                    *loss = match weights.as_ref().map_or(1.0, |w| w[row]) {
                        0.0 => 0.0,
                        w => w * scale * value,
                    };
                }
            });
        }
    }
    Ok(loss)
}

/// The gradient of the logits, given that of the loss (`[1]`).
pub(crate) fn backward(x: &Tensor, wanted: &Wanted, d_loss: &Tensor) -> Result<Tensor> {
    let c = last_axis(x);
    let rows = x.len() / c;
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    let Wanted { labels, weights, class_weights, smoothing, scale } = wanted;
    match x.gpu() {
        Some(gpu) => {
            rowwise(&BACKWARD, rows).constants(&wanted.constants()).words(&wanted.words(c)).run(
                gpu,
                &[
                    Some(x),
                    Some(labels),
                    weights.as_ref(),
                    class_weights.as_ref(),
                    Some(d_loss),
                    Some(&d_x),
                ],
            )?
        }
        None => {
            let (x, labels) = (x.cpu(), labels.cpu());
            let (weights, classes) =
                (weights.as_ref().map(Tensor::cpu), class_weights.as_ref().map(Tensor::cpu));
            let class = |j: usize| classes.as_ref().map_or(1.0, |w| w[j]);
            let factor = d_loss.cpu()[0] * scale;
            let share = smoothing / c as f32;
            // Without smoothing no class counts but the label's, whatever its weight.
            let of_all = |j: usize| if share > 0.0 { share * class(j) } else { 0.0 };
            let all = long_sum::sum((0..c).map(of_all));
            d_x.cpu_mut(|d_x| {
                let rows = d_x.chunks_exact_mut(c).zip(x.chunks_exact(c));
                for (row, (d_x, x)) in rows.enumerate() {
                    let weight = weights.as_ref().map_or(1.0, |w| w[row]);
                    if weight == 0.0 {
                        d_x.fill(0.0);
                        continue;
                    }
                    let label = labels.as_u32()[row] as usize;
                    let right = (1.0 - smoothing) * class(label);
                    let (largest, sum) = largest_and_sum(x);
                    for (j, (d_x, x)) in d_x.iter_mut().zip(x).enumerate() {
                        let p = (x - largest).exp() / sum;
                        let target = of_all(j) + if j == label { right } else { 0.0 };
                        *d_x = factor * weight * ((right + all) * p - target);
                    }
                }
            });
        }
    }
    Ok(d_x)
}
