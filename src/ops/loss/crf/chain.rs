//! The sums over all paths, on the CPU: forwards the loss, backwards the marginals and the gradients.

use super::{Host, Row, at_least, larger};
use crate::ops::common::math;
use crate::ops::common::vector::{Rows, load, store};
use pulp::Simd;

/// Frames whose gradients meet before they are added to those before.
const PART: usize = 32;

impl Row<'_> {
    /// The logarithms of what leads to each tag at the `i`-th frame, with its emission and without the peak.
    fn alphas(&self, i: usize, logs: &[f32], alpha: &mut [f32]) {
        for ((alpha, log), e) in alpha.iter_mut().zip(logs).zip(self.emissions(i)) {
            *alpha = log + e;
        }
    }

    /// The logarithms of the sums over the tags before, which have `alpha`.
    #[inline(always)]
    fn leading<S: Simd>(&self, simd: S, alpha: &[f32], logs: &mut [f32]) {
        let zero = simd.splat_f32s(0.0);
        for at in (0..self.k).step_by(S::F32_LANES) {
            let mut largest = self.ways(simd, alpha, 0, at);
            for from in 1..self.k {
                largest = simd.max_f32s(largest, self.ways(simd, alpha, from, at));
            }
            let mut sum = zero;
            // A NaN comes through here, whatever the maximum made of it.
            for from in 0..self.k {
                let way = simd.sub_f32s(self.ways(simd, alpha, from, at), largest);
                sum = simd.add_f32s(sum, math::exp(simd, way));
            }
            store(simd, logs, at, simd.add_f32s(largest, math::ln(simd, sum)));
        }
    }

    /// What the row's own path gains at the `i`-th frame.
    fn own(&self, i: usize) -> f64 {
        let from = if i == 0 { self.k } else { self.tag(i - 1) };
        let e = self.x[self.frames[i][0] as usize * self.k + self.tag(i)];
        f64::from(at_least(e)) + f64::from(self.scores(from)[self.tag(i)])
    }

    /// The loss; and into `logs` what the way back needs.
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, logs: &mut [f32]) -> f32 {
        let Some(last) = self.frames.len().checked_sub(1) else { return 0.0 };
        let mut alpha = vec![0.0; self.k];
        let mut gained = 0.0;
        for (i, frame) in logs.chunks_exact_mut(self.k + 1).take(last + 1).enumerate() {
            let (logs, peak) = frame.split_at_mut(self.k);
            match i {
                0 => logs.copy_from_slice(self.scores(self.k)),
                _ => self.leading(simd, &alpha, logs),
            }
            self.alphas(i, logs, &mut alpha);
            peak[0] = alpha.iter().copied().fold(f32::NEG_INFINITY, larger);
            alpha.iter_mut().for_each(|alpha| *alpha -= peak[0]);
            gained += f64::from(peak[0]) - self.own(i);
        }
        let ends = self.scores(self.k + 1);
        let all = || alpha.iter().zip(ends).map(|(alpha, end)| f64::from(*alpha + *end));
        // A NaN comes through the sum.
        let most = all().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = all().map(|v| (v - most).exp()).sum();
        let behind = most - f64::from(ends[self.tag(last)]) + sum.ln();
        (f64::from(self.scale) * (gained + behind)) as f32
    }

    /// The marginals at the row's frames, into `q` `[T,K]`; and, if wanted, what is expected of each step from a
    /// tag to another less what the own path has of it, into `steps` `[K,K]`.
    #[inline(always)]
    fn backward<S: Simd>(
        &self,
        simd: S,
        logs: &[f32],
        q: &mut [f32],
        mut steps: Option<&mut [f32]>,
    ) {
        let (k, zero) = (self.k, simd.splat_f32s(0.0));
        let mut alpha = vec![0.0; k];
        let mut next = vec![0.0; k];
        let mut part = vec![0.0; if steps.is_some() { k * k } else { 0 }];
        for i in (0..self.frames.len()).rev() {
            let (own, behind) = logs[i * (k + 1)..].split_at(k + 1);
            self.alphas(i, &own[..k], &mut alpha);
            alpha.iter_mut().for_each(|alpha| *alpha -= own[k]);
            let now = &mut q[self.place(i) * k..][..k];
            if i + 1 == self.frames.len() {
                let ends = self.scores(k + 1);
                now.iter_mut().zip(&alpha).zip(ends).for_each(|((q, a), end)| *q = a + end);
                let most = now.iter().copied().fold(f32::NEG_INFINITY, larger);
                now.iter_mut().for_each(|q| *q = (*q - most).exp());
            } else {
                for (from, (q, &alpha)) in now.iter_mut().zip(&alpha).enumerate() {
                    let alpha = simd.splat_f32s(alpha);
                    let mut sum = zero;
                    for at in (0..k).step_by(S::F32_LANES) {
                        let score = load(simd, self.scores(from), at, zero);
                        let log = load(simd, &behind[..k], at, zero);
                        let way = simd.sub_f32s(simd.add_f32s(alpha, score), log);
                        let share = math::exp(simd, simd.min_f32s(way, zero));
                        let both = simd.mul_f32s(load(simd, &next, at, zero), share);
                        sum = simd.add_f32s(sum, both);
                        if steps.is_some() {
                            let part = &mut part[from * k..][..k];
                            let before = load(simd, part, at, zero);
                            store(simd, part, at, simd.add_f32s(before, both));
                        }
                    }
                    *q = simd.reduce_sum_f32s(sum);
                }
                if let Some(steps) = &mut steps {
                    part[self.tag(i) * k + self.tag(i + 1)] -= 1.0;
                    if i.is_multiple_of(PART) {
                        steps.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
                        part.fill(0.0);
                    }
                }
            }
            let sum: f32 = now.iter().sum();
            now.iter_mut().for_each(|q| *q /= sum);
            next.copy_from_slice(now);
        }
    }
}

pub(super) struct Losses<'a>(pub(super) &'a Host);

impl Rows<2> for Losses<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, b: usize, [logs, loss]: [&mut [f32]; 2]) {
        loss.fill(self.0.row(b).forward(simd, logs));
    }
}

pub(super) struct Marginals<'a> {
    pub(super) host: &'a Host,
    pub(super) logs: &'a [f32],
}

impl Marginals<'_> {
    fn of_row(&self, b: usize) -> (Row<'_>, &[f32]) {
        let width = self.host.t * (self.host.k + 1);
        (self.host.row(b), &self.logs[b * width..][..width])
    }
}

impl Rows<1> for Marginals<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, b: usize, [q]: [&mut [f32]; 1]) {
        let (row, logs) = self.of_row(b);
        row.backward(simd, logs, q, None);
    }
}

pub(super) struct Slopes<'a> {
    pub(super) marginals: Marginals<'a>,
    /// `[B]`, or `[1]` of the sum.
    pub(super) d_loss: &'a [f32],
}

impl Rows<3> for Slopes<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, b: usize, [q, d_x, d_scores]: [&mut [f32]; 3]) {
        let (row, logs) = self.marginals.of_row(b);
        d_scores.fill(0.0);
        let Some(last) = row.frames.len().checked_sub(1) else { return };
        let k = row.k;
        let factor = row.scale * self.d_loss[if self.d_loss.len() > 1 { b } else { 0 }];
        row.backward(simd, logs, q, Some(&mut d_scores[..k * k]));
        for i in 0..=last {
            let at = row.place(i) * k;
            let (q, d_x) = (&q[at..][..k], &mut d_x[at..][..k]);
            d_x.copy_from_slice(q);
            d_x[row.tag(i)] -= 1.0;
            d_x.iter_mut().for_each(|slope| *slope *= factor);
        }
        d_scores[..k * k].iter_mut().for_each(|slope| *slope *= factor);
        for (end, i) in [(k, 0), (k + 1, last)] {
            d_scores[end * k..][..k].copy_from_slice(&d_x[row.place(i) * k..][..k]);
        }
    }
}
