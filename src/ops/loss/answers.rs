//! What metrics need of each row of logits and its label: the label's rank, the log loss, the likeliest
//! class.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_EXPS, ROW_REDUCE, ROWWISE, last_axis, rowwise, switches,
};
use crate::ops::norm::softmax::largest_and_sum;
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "answers",
    parts: &[IS_NAN, LONG_SUM, ROW_REDUCE, ROW_EXPS, INDEX, ROWWISE, wgsl!("loss/answers.wgsl")],
    bindings: &[("x", Read), ("labels", Read), ("weights", Read), ("y", Write)],
    variants: || switches(["WEIGHTS", "LOG_LOSS"]),
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
        Some(gpu) => rowwise(&KERNEL, rows)
            .constants(&[("WEIGHTS", weights.is_some().into()), ("LOG_LOSS", log_loss.into())])
            .words(&[c as u32])
            .run(gpu, &[Some(x), Some(labels), weights, Some(&y)])?,
        None => {
            let (x, labels, weights) = (x.cpu(), labels.cpu(), weights.map(Tensor::cpu));
            let labels = labels.as_u32();
            y.cpu_mut(|y| {
                let rows = y.chunks_exact_mut(WIDTH).zip(x.chunks_exact(c)).zip(labels);
                for (row, ((y, x), &label)) in rows.enumerate() {
                    let counts = weights.as_ref().is_none_or(|w| w[row] != 0.0);
                    let answer = if counts { answer(x, label as usize, log_loss) } else { NONE };
                    y.copy_from_slice(&answer);
                }
            });
        }
    }
    Ok(y)
}

const NONE: [f32; WIDTH] = [NOWHERE, 0.0, -1.0];

fn answer(x: &[f32], label: usize, log_loss: bool) -> [f32; WIDTH] {
    let own = x.get(label).copied().unwrap_or(f32::NAN);
    let largest = x.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m || v.is_nan() { v } else { m });
    let loss = match log_loss {
        true => largest_and_sum(x).1.ln() + (largest - own),
        false => 0.0,
    };
    if largest.is_nan() {
        return [NOWHERE, loss, -1.0];
    }
    let (before, behind) = x.split_at(label.min(x.len()));
    let rank =
        before.iter().filter(|&&v| v >= own).count() + behind.iter().filter(|&&v| v > own).count();
    let class = x.iter().position(|&v| v == largest).unwrap_or(0);
    [rank as f32, loss, class as f32]
}
