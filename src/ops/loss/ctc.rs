//! Connectionist temporal classification: the loss of each row, and the gradient of the logits.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Wgsl, wgsl};
use crate::device::threads::each_chunk;
use crate::ops::common::{INDEX, IS_NAN, ROW_REDUCE, ROWWISE, last_axis, rowwise};
use crate::{Result, Tensor};

const COMMON: Wgsl = wgsl!("loss/parts/ctc.wgsl");

pub(crate) static FORWARD: Kernel = Kernel {
    name: "ctc",
    parts: &[INDEX, IS_NAN, COMMON, ROWWISE, wgsl!("loss/ctc.wgsl")],
    bindings: &[
        ("lp", Read),
        ("labels", Read),
        ("rows", Read),
        ("scales", Read),
        ("alpha", Write),
        ("loss", Write),
    ],
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "ctc_bwd",
    parts: &[INDEX, IS_NAN, ROW_REDUCE, COMMON, ROWWISE, wgsl!("loss/ctc_bwd.wgsl")],
    bindings: &[
        ("lp", Read),
        ("labels", Read),
        ("rows", Read),
        ("scales", Read),
        ("alpha", Read),
        ("d_loss", Read),
        ("beta", Write),
        ("d_x", Write),
    ],
    ..Kernel::PLAIN
};

/// The logarithm of nothing: finite, since a shader need not know infinities.
const NEVER: f32 = -1e30;

/// What is to be said, as the kernels want it.
#[derive(Clone)]
pub(crate) struct Wanted {
    /// `[B,L,3]`: a label, whether it is the first of its kind in the row, and one more than the
    /// place of the next of its kind, or 0.
    pub(crate) labels: Tensor,
    /// `[B,2]`: frames, labels.
    pub(crate) rows: Tensor,
    /// `[B]`: what each row's loss is multiplied with; a row of 0 is not looked at.
    pub(crate) scales: Tensor,
    pub(crate) longest: usize,
    pub(crate) blank: u32,
    /// The loss of a row that no path says; its gradient is 0.
    pub(crate) impossible: f32,
}

impl Wanted {
    /// The labels with a blank before, between and behind them.
    fn states(&self) -> usize {
        2 * self.longest + 1
    }

    fn words(&self, [_, t, c]: [usize; 3]) -> [u32; 5] {
        let [t, c, longest] = [t, c, self.longest].map(|w| w as u32);
        [t, c, longest, self.blank, self.impossible.to_bits()]
    }
}

/// A row of the batch on the CPU.
struct Row<'a> {
    lp: &'a [f32],
    labels: &'a [u32],
    frames: usize,
    count: usize,
    classes: usize,
    blank: u32,
}

impl Row<'_> {
    fn states(&self) -> usize {
        2 * self.count + 1
    }

    /// What state `s` says.
    fn label(&self, s: usize) -> usize {
        let label = if s.is_multiple_of(2) { self.blank } else { self.labels[s / 2 * 3] };
        label as usize
    }

    fn log(&self, t: usize, s: usize) -> f32 {
        at_least(self.lp[t * self.classes + self.label(s)])
    }

    /// Whether a path may go from state `s - 2` to `s`.
    fn skips(&self, s: usize) -> bool {
        s >= 2 && !s.is_multiple_of(2) && self.label(s) != self.label(s - 2)
    }

    /// The logarithm of what leads to each state at each frame.
    fn forward(&self, alpha: &mut [f32], stride: usize) -> f32 {
        for t in 0..self.frames {
            let (before, now) = alpha.split_at_mut(t * stride);
            for (s, now) in now[..self.states()].iter_mut().enumerate() {
                let sum = if t == 0 {
                    if s < 2 { 0.0 } else { NEVER }
                } else {
                    let before = &before[(t - 1) * stride..];
                    let one = if s > 0 { before[s - 1] } else { NEVER };
                    let two = if self.skips(s) { before[s - 2] } else { NEVER };
                    log_sum(before[s], one, two)
                };
                *now = at_least(sum + self.log(t, s));
            }
        }
        self.total(alpha, stride)
    }

    /// The logarithm of the probability of the labels.
    fn total(&self, alpha: &[f32], stride: usize) -> f32 {
        let last = &alpha[(self.frames - 1) * stride..][..self.states()];
        match last {
            [.., a, b] => log_sum(*a, *b, NEVER),
            [a] => *a,
            [] => NEVER,
        }
    }

    /// Adds the gradient of the loss.
    fn backward(&self, alpha: &[f32], stride: usize, factor: f32, d_x: &mut [f32]) {
        let states = self.states();
        let total = self.total(alpha, stride);
        if is_never(total) {
            return;
        }
        let mut after = vec![NEVER; states];
        let mut beta = vec![0.0; states];
        for t in (0..self.frames).rev() {
            for (s, beta) in beta.iter_mut().enumerate() {
                *beta = if t + 1 == self.frames {
                    if s + 2 >= states { 0.0 } else { NEVER }
                } else {
                    let next = |s: usize| at_least(after[s] + self.log(t + 1, s));
                    let one = if s + 1 < states { next(s + 1) } else { NEVER };
                    let two = if s + 2 < states && self.skips(s + 2) { next(s + 2) } else { NEVER };
                    log_sum(next(s), one, two)
                };
            }
            let d_x = &mut d_x[t * self.classes..][..self.classes];
            for (d_x, lp) in d_x.iter_mut().zip(&self.lp[t * self.classes..]) {
                *d_x = factor * lp.exp();
            }
            for (s, beta) in beta.iter().enumerate() {
                d_x[self.label(s)] -= factor * (alpha[t * stride + s] + beta - total).exp();
            }
            std::mem::swap(&mut beta, &mut after);
        }
    }
}

/// Nothing is less likely than `NEVER`; a NaN stays.
fn at_least(x: f32) -> f32 {
    if x < NEVER { NEVER } else { x }
}

fn is_never(x: f32) -> bool {
    x <= 0.5 * NEVER
}

fn log_sum(a: f32, b: f32, c: f32) -> f32 {
    // A NaN is the largest.
    let largest = if a > b || a.is_nan() { a } else { b };
    let largest = if c > largest || c.is_nan() { c } else { largest };
    if is_never(largest) {
        return NEVER;
    }
    largest + ((a - largest).exp() + (b - largest).exp() + (c - largest).exp()).ln()
}

impl Wanted {
    /// Runs `f` on every row that counts, with `N` outputs a row.
    fn each(
        &self,
        lp: &Tensor,
        (out, stride): (&mut [f32], usize),
        f: impl Fn(usize, &Row<'_>, f32, &mut [f32]) + Sync,
    ) {
        let classes = last_axis(lp);
        let size = lp.len() / lp.shape()[0];
        let (lp, labels, rows, scales) =
            (lp.cpu(), self.labels.cpu(), self.rows.cpu(), self.scales.cpu());
        let (labels, rows) = (labels.as_u32(), rows.as_u32());
        let (lp, scales): (&[f32], &[f32]) = (&lp, &scales);
        each_chunk(out, stride, |b, out| {
            let row = Row {
                lp: &lp[b * size..][..size],
                labels: &labels[b * self.longest * 3..],
                frames: rows[2 * b] as usize,
                count: rows[2 * b + 1] as usize,
                classes,
                blank: self.blank,
            };
            if scales[b] == 0.0 {
                out.fill(0.0);
            } else {
                f(b, &row, scales[b], out);
            }
        });
    }
}

/// The loss of each row times its scale, and what the backward pass needs. `lp` `[B,T,C]`: the
/// logarithms of the probabilities.
pub(crate) fn forward(lp: &Tensor, shape: [usize; 3], wanted: &Wanted) -> Result<(Tensor, Tensor)> {
    let [b, t, _] = shape;
    let loss = Tensor::empty([b], &lp.device())?;
    let alpha = Tensor::empty([b, t, wanted.states()], &lp.device())?;
    if let Some(gpu) = lp.gpu() {
        rowwise(&FORWARD, b).words(&wanted.words(shape)).run(
            gpu,
            &[
                Some(lp),
                Some(&wanted.labels),
                Some(&wanted.rows),
                Some(&wanted.scales),
                Some(&alpha),
                Some(&loss),
            ],
        )?;
        return Ok((loss, alpha));
    }
    let states = wanted.states();
    alpha.cpu_mut(|alpha| {
        wanted.each(lp, (alpha, t * states), |_, row, _, alpha| {
            row.forward(alpha, states);
        });
    });
    let saved = alpha.cpu();
    loss.cpu_mut(|loss| {
        wanted.each(lp, (loss, 1), |b, row, scale, loss| {
            let total = row.total(&saved[b * t * states..], states);
            loss[0] = if is_never(total) { wanted.impossible } else { -scale * total };
        });
    });
    Ok((loss, alpha))
}

/// The gradient of the logits, given that of the loss (`[1]`).
pub(crate) fn backward(
    lp: &Tensor,
    shape: [usize; 3],
    wanted: &Wanted,
    alpha: &Tensor,
    d_loss: &Tensor,
) -> Result<Tensor> {
    let [b, t, c] = shape;
    let d_x = Tensor::empty([b, t, c], &lp.device())?;
    let states = wanted.states();
    if let Some(gpu) = lp.gpu() {
        let beta = Tensor::empty([b, 2, states], &lp.device())?;
        rowwise(&BACKWARD, b).words(&wanted.words(shape)).run(
            gpu,
            &[
                Some(lp),
                Some(&wanted.labels),
                Some(&wanted.rows),
                Some(&wanted.scales),
                Some(alpha),
                Some(d_loss),
                Some(&beta),
                Some(&d_x),
            ],
        )?;
        return Ok(d_x);
    }
    let (alpha, d_loss) = (alpha.cpu(), d_loss.cpu()[0]);
    d_x.cpu_mut(|d_x| {
        wanted.each(lp, (d_x, t * c), |b, row, scale, d_x| {
            d_x.fill(0.0);
            row.backward(&alpha[b * t * states..], states, scale * d_loss, d_x);
        });
    });
    Ok(d_x)
}
