//! The likeliest classes of each row of logits.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{LongSum, Rows, larger, largest, load, rows};
use crate::ops::common::{INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, last_axis, math, rowwise};
use crate::{Result, Tensor};
use pulp::Simd;
use std::cmp::Ordering;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "top_k",
    parts: &[IS_NAN, LONG_SUM, ROW_REDUCE, INDEX, ROWWISE, wgsl!("norm/top_k.wgsl")],
    bindings: &[("x", Read), ("best", Write)],
    ..Kernel::PLAIN
};

/// A class and the logarithm of its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Likely {
    pub(crate) log_probability: f32,
    pub(crate) class: u32,
}

/// The `k` likeliest classes of each row of the logits `x` `[..,C]` by their softmax, the likeliest first and
/// of equal logits the first: `k` for each row, which is at most C. All probabilities of a row with a NaN, or
/// whose largest logit is infinite, are NaN, and its classes of no use. Waits for the device, from which
/// nothing else comes back.
pub(crate) fn top_k(x: &Tensor, k: usize) -> Result<Vec<Likely>> {
    let c = last_axis(x);
    let k = k.min(c);
    let best = Tensor::empty([x.len() / c, k, 2], &x.device())?;
    match x.gpu() {
        Some(gpu) => rowwise(&KERNEL, x.len() / c)
            .words(&[c as u32, k as u32])
            .run(gpu, &[Some(x), Some(&best)])?,
        None => {
            let x = x.cpu();
            best.cpu_mut(|best| rows(&TopK { x: &x, c, k }, [2 * k], [best], c + 2 * k));
        }
    }
    let words = best.words()?;
    let likely = |pair: &[u32]| Likely { log_probability: f32::from_bits(pair[0]), class: pair[1] };
    Ok(words.chunks_exact(2).map(likely).collect())
}

struct TopK<'a> {
    x: &'a [f32],
    c: usize,
    k: usize,
}

impl Rows<1> for TopK<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y]: [&mut [f32]; 1]) {
        let x = &self.x[row * self.c..][..self.c];
        let low = simd.splat_f32s(f32::NEG_INFINITY);
        let mut most = low;
        for at in (0..x.len()).step_by(S::F32_LANES) {
            most = larger(simd, most, load(simd, x, at, low));
        }
        let largest = largest::<S>(most);
        if largest.is_nan() {
            y.fill(largest);
            return;
        }
        let shift = simd.splat_f32s(largest);
        let mut sum = LongSum::<S>::new(simd);
        let mut best = Best::new(self.k, S::F32_LANES);
        for at in (0..x.len()).step_by(S::F32_LANES) {
            let vector = load(simd, x, at, low);
            sum.add(simd, math::exp(simd, simd.sub_f32s(vector, shift)));
            let above = simd.greater_than_f32s(vector, simd.splat_f32s(best.bound));
            if best.is_short() || simd.first_true_m32s(above) < S::F32_LANES {
                best.offer(&x[at..x.len().min(at + S::F32_LANES)], at);
            }
        }
        let log_sum = (sum.total(simd) as f32).ln();
        for (y, (x, at)) in y.chunks_exact_mut(2).zip(best.sorted()) {
            y.copy_from_slice(&[(x - largest) - log_sum, f32::from_bits(at)]);
        }
    }
}

/// The best elements of a row so far, and some that others have since outdone.
struct Best {
    k: usize,
    elements: Vec<(f32, u32)>,
    /// What an element must exceed to be one of the best, once there are `k`.
    bound: f32,
}

impl Best {
    /// For `k` elements, offered so many at a time.
    fn new(k: usize, at_once: usize) -> Self {
        Self { k, elements: Vec::with_capacity(2 * k + at_once), bound: f32::NEG_INFINITY }
    }

    fn is_short(&self) -> bool {
        self.elements.len() < self.k
    }

    /// Takes what may be among the best of some elements, the first of which has this place. They come in
    /// the order of their places, so that of equals those that are there stay.
    fn offer(&mut self, x: &[f32], first: usize) {
        for (&x, at) in x.iter().zip(first as u32..) {
            if x > self.bound || self.is_short() {
                self.elements.push((x, at));
            }
        }
        if self.elements.len() >= 2 * self.k {
            self.elements.select_nth_unstable_by(self.k - 1, order);
            self.elements.truncate(self.k);
            self.bound = self.elements[self.k - 1].0;
        }
    }

    fn sorted(mut self) -> Vec<(f32, u32)> {
        self.elements.sort_unstable_by(order);
        self.elements
    }
}

/// The largest first, of equals the first in the row.
fn order(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
}
