//! Connectionist temporal classification: the loss of each row, and the gradient of the logits.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Wgsl, wgsl};
use crate::ops::common::vector::{self, Rows, larger, load, store};
use crate::ops::common::{INDEX, IS_NAN, ROW_REDUCE, ROWWISE, math, rowwise};
use crate::tensor::Words;
use crate::{Result, Tensor};
use pulp::Simd;

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
    /// The loss of a row that no path says, and the gradient of each of its logits.
    pub(crate) impossible: f32,
    pub(crate) slope: f32,
}

impl Wanted {
    /// The labels with a blank before, between and behind them.
    fn states(&self) -> usize {
        2 * self.longest + 1
    }

    fn words(&self, [_, t, c]: [usize; 3], each: bool) -> [u32; 7] {
        let [t, c, longest] = [t, c, self.longest].map(|w| w as u32);
        let [impossible, slope] = [self.impossible, self.slope].map(f32::to_bits);
        [t, c, longest, self.blank, impossible, slope, each.into()]
    }
}

/// The batch on the CPU.
struct Batch {
    lp: Words,
    labels: Words,
    rows: Words,
    scales: Words,
    timesteps: usize,
    classes: usize,
    longest: usize,
    blank: u32,
}

impl Wanted {
    fn batch(&self, lp: &Tensor, [_, timesteps, classes]: [usize; 3]) -> Batch {
        Batch {
            lp: lp.cpu(),
            labels: self.labels.cpu(),
            rows: self.rows.cpu(),
            scales: self.scales.cpu(),
            timesteps,
            classes,
            longest: self.longest,
            blank: self.blank,
        }
    }
}

impl Batch {
    fn row(&self, b: usize) -> Row<'_> {
        let size = self.timesteps * self.classes;
        let [frames, count] = [0, 1].map(|i| self.rows.as_u32()[2 * b + i] as usize);
        let states = 2 * count + 1;
        let labels = &self.labels.as_u32()[b * self.longest * 3..];
        let says = |s: usize| if s.is_multiple_of(2) { self.blank } else { labels[s / 2 * 3] };
        // As if a state were before the first and one behind the last: in the one paths begin, in the other
        // they end.
        let skips = |s: usize| match s {
            _ if s.is_multiple_of(2) || s > states => 0.0,
            _ if s == 1 || s == states || says(s) != says(s - 2) => 1.0,
            _ => 0.0,
        };
        Row {
            lp: &self.lp[b * size..][..size],
            classes: self.classes,
            frames,
            labels: (0..states).map(|s| says(s) as usize).collect(),
            skips: (0..states + 2).map(skips).collect(),
        }
    }
}

/// A row of the batch.
struct Row<'a> {
    lp: &'a [f32],
    classes: usize,
    frames: usize,
    /// What each state says.
    labels: Vec<usize>,
    /// 1 for each state s that a path may go to from state s - 2, else 0.
    skips: Vec<f32>,
}

impl Row<'_> {
    /// The logarithms of what the states say at a frame.
    fn logs(&self, t: usize, logs: &mut [f32]) {
        let lp = &self.lp[t * self.classes..][..self.classes];
        logs.iter_mut().zip(&self.labels).for_each(|(log, &label)| *log = lp[label]);
    }

    /// The logarithm of what leads to each state at each frame.
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, alpha: &mut [f32], stride: usize) {
        let states = self.labels.len();
        let never = simd.splat_f32s(NEVER);
        let mut logs = vec![0.0; states];
        // From two states before the first on.
        let mut before = vec![NEVER; states + 2];
        before[1] = 0.0;
        for t in 0..self.frames {
            self.logs(t, &mut logs);
            let now = &mut alpha[t * stride..][..states];
            for at in (0..states).step_by(S::F32_LANES) {
                let same = load(simd, &before[2..], at, never);
                let one = load(simd, &before[1..], at, never);
                let two = self.skipping(simd, at, load(simd, &before, at, never));
                let log = at_least(simd, load(simd, &logs, at, never));
                let sum = simd.add_f32s(log_sums(simd, same, one, two), log);
                store(simd, now, at, at_least(simd, sum));
            }
            before[1] = NEVER;
            before[2..].copy_from_slice(now);
        }
    }

    /// What comes to the states from `at` on from two states before.
    #[inline(always)]
    fn skipping<S: Simd>(&self, simd: S, at: usize, two: S::f32s) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        let skips = simd.greater_than_f32s(load(simd, &self.skips, at, zero), zero);
        simd.select_f32s(skips, two, simd.splat_f32s(NEVER))
    }

    /// The logarithm of the probability of the labels.
    fn total(&self, alpha: &[f32], stride: usize) -> f32 {
        let Some(before) = self.frames.checked_sub(1) else {
            return if self.labels.len() > 1 { NEVER } else { 0.0 };
        };
        let last = &alpha[before * stride..][..self.labels.len()];
        match *last {
            [.., a, b] => {
                // A NaN is the larger.
                let largest = if a > b || a.is_nan() { a } else { b };
                if is_never(largest) {
                    return NEVER;
                }
                largest + ((a - largest).exp() + (b - largest).exp()).ln()
            }
            [a] => a,
            [] => NEVER,
        }
    }

    /// The gradient of the loss at the frames that the row has.
    #[inline(always)]
    fn backward<S: Simd>(
        &self,
        simd: S,
        (alpha, stride): (&[f32], usize),
        (total, factor): (f32, f32),
        d_x: &mut [f32],
    ) {
        let states = self.labels.len();
        let never = simd.splat_f32s(NEVER);
        let (totals, factors) = (simd.splat_f32s(total), simd.splat_f32s(factor));
        let mut logs = vec![0.0; states];
        let mut shares = vec![0.0; states];
        // Up to two states behind the last.
        let mut next = vec![NEVER; states + 2];
        next[states] = 0.0;
        for t in (0..self.frames).rev() {
            self.logs(t, &mut logs);
            let alpha = &alpha[t * stride..][..states];
            for at in (0..states).step_by(S::F32_LANES) {
                let same = load(simd, &next, at, never);
                let one = load(simd, &next[1..], at, never);
                let two = self.skipping(simd, at + 2, load(simd, &next[2..], at, never));
                let beta = log_sums(simd, same, one, two);
                let path = simd.add_f32s(load(simd, alpha, at, never), beta);
                let share = math::exp(simd, simd.sub_f32s(path, totals));
                store(simd, &mut shares, at, simd.mul_f32s(factors, share));
                let log = at_least(simd, load(simd, &logs, at, never));
                let sum = at_least(simd, simd.add_f32s(beta, log));
                store(simd, &mut next[..states], at, sum);
            }
            next[states] = NEVER;
            let lp = &self.lp[t * self.classes..][..self.classes];
            let d_x = &mut d_x[t * self.classes..][..self.classes];
            for at in (0..lp.len()).step_by(S::F32_LANES) {
                let p = math::exp(simd, load(simd, lp, at, never));
                store(simd, d_x, at, simd.mul_f32s(factors, p));
            }
            self.labels.iter().zip(&shares).for_each(|(&label, share)| d_x[label] -= share);
        }
    }
}

/// Nothing is less likely than [`NEVER`].
#[inline(always)]
fn at_least<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let never = simd.splat_f32s(NEVER);
    simd.select_f32s(simd.less_than_f32s(x, never), never, x)
}

fn is_never(x: f32) -> bool {
    x <= 0.5 * NEVER
}

/// The logarithm of e^a + e^b + e^c.
#[inline(always)]
fn log_sums<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    let largest = larger(simd, larger(simd, a, b), c);
    let mut sum = simd.splat_f32s(0.0);
    for x in [a, b, c] {
        sum = simd.add_f32s(sum, math::exp(simd, simd.sub_f32s(x, largest)));
    }
    let log = simd.add_f32s(largest, math::ln(simd, sum));
    let is_never = simd.less_than_or_equal_f32s(largest, simd.splat_f32s(0.5 * NEVER));
    simd.select_f32s(is_never, simd.splat_f32s(NEVER), log)
}

struct Losses<'a> {
    batch: &'a Batch,
    stride: usize,
    impossible: f32,
}

impl Rows<2> for Losses<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, b: usize, [alpha, loss]: [&mut [f32]; 2]) {
        let scale = self.batch.scales[b];
        if scale == 0.0 {
            loss.fill(0.0);
            return;
        }
        let row = self.batch.row(b);
        row.forward(simd, alpha, self.stride);
        let total = row.total(alpha, self.stride);
        loss.fill(if is_never(total) { self.impossible } else { -scale * total });
    }
}

struct Slopes<'a> {
    batch: &'a Batch,
    alpha: &'a [f32],
    stride: usize,
    /// `[B]`, or `[1]` of the sum.
    d_loss: &'a [f32],
    slope: f32,
}

impl Rows<1> for Slopes<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, b: usize, [d_x]: [&mut [f32]; 1]) {
        let scale = self.batch.scales[b];
        if scale == 0.0 {
            d_x.fill(0.0);
            return;
        }
        let row = self.batch.row(b);
        let alpha = &self.alpha[b * self.batch.timesteps * self.stride..];
        let total = row.total(alpha, self.stride);
        let d_loss = self.d_loss[if self.d_loss.len() > 1 { b } else { 0 }];
        let (counted, behind) = d_x.split_at_mut(row.frames * row.classes);
        behind.fill(0.0);
        if is_never(total) {
            counted.fill(self.slope);
        } else {
            row.backward(simd, (alpha, self.stride), (total, scale * d_loss), counted);
        }
    }
}

/// The loss of each row times its scale, and what the backward pass needs. `lp` `[B,T,C]`: the
/// logarithms of the probabilities.
pub(crate) fn forward(lp: &Tensor, shape: [usize; 3], wanted: &Wanted) -> Result<(Tensor, Tensor)> {
    let [b, t, _] = shape;
    let loss = Tensor::empty([b], &lp.device())?;
    let alpha = Tensor::empty([b, t, wanted.states()], &lp.device())?;
    if let Some(gpu) = lp.gpu() {
        rowwise(&FORWARD, b).words(&wanted.words(shape, false)).run(
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
    let stride = wanted.states();
    let (batch, impossible) = (&wanted.batch(lp, shape), wanted.impossible);
    let losses = Losses { batch, stride, impossible };
    alpha.cpu_mut(|alpha| {
        loss.cpu_mut(|loss| vector::rows(&losses, [t * stride, 1], [alpha, loss], t * stride * 8));
    });
    Ok((loss, alpha))
}

/// The gradient of the logits, given that of each row's loss (`[B]`) or of their sum (`[1]`).
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
        rowwise(&BACKWARD, b).words(&wanted.words(shape, d_loss.len() > 1)).run(
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
    let (alpha, d_loss, slope) = (&alpha.cpu(), &d_loss.cpu(), wanted.slope);
    let slopes = Slopes { batch: &wanted.batch(lp, shape), alpha, stride: states, d_loss, slope };
    d_x.cpu_mut(|d_x| vector::rows(&slopes, [t * c], [d_x], t * (states * 8 + c)));
    Ok(d_x)
}
