//! What metrics need of each row of logits and its label: the label's rank, the log loss, the likeliest
//! class.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{self, LongSum, Rows, load};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROW_SHARED, last_axis, row_shared, switches,
};
use crate::ops::norm::softmax::largest_and_sum;
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "answers",
    parts: &[IS_NAN, LONG_SUM, INDEX, ROW_REDUCE, ROW_SHARED, wgsl!("loss/answers.wgsl")],
    bindings: &[("x", Read), ("labels", Read), ("weights", Read), ("y", Write)],
    variants: || switches(["WEIGHTS", "LOG_LOSS", "SHARED"]),
    ..Kernel::PLAIN
};

/// The columns of an answer.
pub(crate) const RANK: usize = 0;
pub(crate) const LOG_LOSS: usize = 1;
pub(crate) const CLASS: usize = 2;
pub(crate) const WIDTH: usize = 3;

/// The rank in a row that answers nothing: behind all classes.
const NOWHERE: f32 = 3e38;

/// Rank, log loss and class of each row of the logits `x` `[..,C]`, `[N,3]`: the number of classes before the
/// label, -log softmax(x)\[label\] if `log_loss`, and the likeliest class, of equals the first. A row with a
/// NaN has the rank 3e38, the class -1 and the loss NaN; one of weight 0 is not read. `labels` are below C
/// wherever the weight is not 0.
pub(crate) fn answers(
    x: &Tensor,
    labels: &Tensor,
    weights: Option<&Tensor>,
    log_loss: bool,
) -> Result<Tensor> {
    let c = last_axis(x);
    let rows = x.len() / c;
    let y = Tensor::empty([rows, WIDTH], &x.device())?;
    match x.gpu() {
        Some(gpu) => row_shared(&KERNEL, rows, c)
            .constants(&[("WEIGHTS", weights.is_some().into()), ("LOG_LOSS", log_loss.into())])
            .run(gpu, &[Some(x), Some(labels), weights, Some(&y)])?,
        None => {
            let (x, labels, weights) = (x.cpu(), labels.cpu(), weights.map(Tensor::cpu));
            let labels = labels.as_u32();
            let answers = Answers { x: &x, c, labels, weights: weights.as_deref(), log_loss };
            y.cpu_mut(|y| vector::rows(&answers, [WIDTH], [y], c));
        }
    }
    Ok(y)
}

/// The answer of a row that answers nothing.
pub(crate) const NOTHING: [f32; WIDTH] = [NOWHERE, 0.0, -1.0];

struct Answers<'a> {
    x: &'a [f32],
    c: usize,
    labels: &'a [u32],
    weights: Option<&'a [f32]>,
    log_loss: bool,
}

impl Rows<1> for Answers<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y]: [&mut [f32]; 1]) {
        if self.weights.is_some_and(|w| w[row] == 0.0) {
            y.copy_from_slice(&NOTHING);
            return;
        }
        let x = &self.x[row * self.c..][..self.c];
        let label = self.labels[row] as usize;
        let own = x.get(label).copied().unwrap_or(f32::NAN);
        let mut loss = 0.0;
        if self.log_loss {
            let (largest, sum) = largest_and_sum(simd, x, None);
            loss = sum.ln() + (largest - own);
        }
        let low = simd.splat_f32s(f32::NEG_INFINITY);
        let mut most = low;
        for at in (0..x.len()).step_by(S::F32_LANES) {
            most = vector::larger(simd, most, load(simd, x, at, low));
        }
        let largest = vector::largest::<S>(most);
        if largest.is_nan() {
            y.copy_from_slice(&[NOWHERE, loss, -1.0]);
            return;
        }
        let (before, behind) = x.split_at(label.min(x.len()));
        let rank = count(simd, before, own, true) + count(simd, behind, own, false);
        let class = x.iter().position(|&v| v == largest).unwrap_or(0);
        y.copy_from_slice(&[rank as f32, loss, class as f32]);
    }
}

/// How many of `x` are larger than `own`, or as large if they count too.
#[inline(always)]
fn count<S: Simd>(simd: S, x: &[f32], own: f32, equals: bool) -> f64 {
    let (zero, one, own) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0), simd.splat_f32s(own));
    let nothing = simd.splat_f32s(f32::NAN);
    let equal = if equals { one } else { zero };
    let mut sum = LongSum::new(simd);
    for at in (0..x.len()).step_by(S::F32_LANES) {
        let x = load(simd, x, at, nothing);
        let rest = simd.select_f32s(simd.equal_f32s(x, own), equal, zero);
        sum.add(simd, simd.select_f32s(simd.greater_than_f32s(x, own), one, rest));
    }
    sum.total(simd)
}
