//! Losses whose two sides weigh differently, output by output, several of which may have one target: of each
//! row, and the gradient.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, Wgsl, wgsl};
use crate::ops::common::vector::{LongSum, Rows, load, rows, store};
use crate::ops::common::{
    ACTIVATIONS, ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROW_SHARED, elementwise,
    last_axis, math, product, row_shared, switches,
};
use crate::{Result, Tensor};
use pulp::Simd;

const COMMON: Wgsl = wgsl!("loss/parts/two_sided_loss.wgsl");

pub(crate) static FORWARD: Kernel = Kernel {
    name: "two_sided_loss",
    parts: &[
        IS_NAN,
        ACTIVATIONS,
        LONG_SUM,
        INDEX,
        ROW_REDUCE,
        ROW_SHARED,
        COMMON,
        wgsl!("loss/two_sided_loss.wgsl"),
    ],
    bindings: &[("x", Read), ("y", Read), ("sides", Read), ("weights", Read), ("loss", Write)],
    variants: || product(variants(), &[0, 1].map(|shared| vec![("SHARED", shared)])),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "two_sided_loss_bwd",
    parts: &[
        IS_NAN,
        ACTIVATIONS,
        INDEX,
        ELEMENTWISE,
        COMMON,
        wgsl!("loss/two_sided_loss_bwd.wgsl"),
    ],
    bindings: &[
        ("x", Read),
        ("y", Read),
        ("sides", Read),
        ("weights", Read),
        ("d_loss", Read),
        ("d_x", Write),
    ],
    variants,
    ..Kernel::PLAIN
};

fn variants() -> Vec<Constants> {
    product(switches(["WEIGHTS"]), &[0, 1].map(|kind| vec![("KIND", kind)]))
}

/// The loss between an output x and its target y, whose sides weigh a and b.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// a (1 - y) softplus(x) + b y softplus(-x), of a logit x.
    BinaryCrossEntropy,
    /// a (x - y) where x is above y, b (y - x) where it is below.
    Pinball,
}

impl Kind {
    /// The kernels' `KIND`.
    fn code(self) -> u32 {
        match self {
            Self::BinaryCrossEntropy => 0,
            Self::Pinball => 1,
        }
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, [x, y, a, b]: [S::f32s; 4]) -> S::f32s {
        match self {
            Self::BinaryCrossEntropy => {
                let no = simd.mul_f32s(a, simd.sub_f32s(simd.splat_f32s(1.0), y));
                let below = math::softplus(simd, simd.neg_f32s(x));
                let above = simd.mul_f32s(no, math::softplus(simd, x));
                simd.add_f32s(above, simd.mul_f32s(simd.mul_f32s(b, y), below))
            }
            Self::Pinball => {
                let d = simd.sub_f32s(x, y);
                let below = simd.less_than_f32s(d, simd.splat_f32s(0.0));
                simd.mul_f32s(simd.select_f32s(below, simd.neg_f32s(b), a), d)
            }
        }
    }

    #[inline(always)]
    fn slope<S: Simd>(self, simd: S, [x, y, a, b]: [S::f32s; 4]) -> S::f32s {
        match self {
            Self::BinaryCrossEntropy => {
                let no = simd.mul_f32s(a, simd.sub_f32s(simd.splat_f32s(1.0), y));
                let below = math::sigmoid(simd, simd.neg_f32s(x));
                let above = simd.mul_f32s(no, math::sigmoid(simd, x));
                simd.sub_f32s(above, simd.mul_f32s(simd.mul_f32s(b, y), below))
            }
            Self::Pinball => {
                // Where it has no sign, it stays: 0, and a NaN.
                let (d, zero) = (simd.sub_f32s(x, y), simd.splat_f32s(0.0));
                let rest = simd.select_f32s(simd.greater_than_f32s(d, zero), a, d);
                simd.select_f32s(simd.less_than_f32s(d, zero), simd.neg_f32s(b), rest)
            }
        }
    }
}

/// What a loss is taken of, beside the outputs `x` `[..,C]`.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    /// `[..,C/each]`.
    pub(crate) y: Tensor,
    /// `[C,2]`: a and b of each output.
    pub(crate) sides: Tensor,
    /// The outputs that have a target in common, one after the other.
    pub(crate) each: usize,
    /// `[N]`; 1 without. A row of weight 0 is padding: whatever it holds does not count.
    pub(crate) weights: Option<Tensor>,
    pub(crate) scale: f32,
}

/// `scale * w * the sum of the losses` of each row of `x`.
pub(crate) fn forward(x: &Tensor, wanted: &Wanted) -> Result<Tensor> {
    let c = last_axis(x);
    let n = x.len() / c;
    let Wanted { kind, y, sides, each, weights, scale } = wanted;
    let loss = Tensor::empty([n], &x.device())?;
    match x.gpu() {
        Some(gpu) => row_shared(&FORWARD, n, c)
            .constants(&[("WEIGHTS", weights.is_some().into()), ("KIND", kind.code())])
            .words(&[*each as u32, scale.to_bits()])
            .run(gpu, &[Some(x), Some(y), Some(sides), weights.as_ref(), Some(&loss)])?,
        None => {
            let weights = weights.as_ref().map(Tensor::cpu);
            let of = Part { x: &x.cpu(), y: &y.cpu(), sides: &sides.cpu(), each: *each, c };
            let losses = Losses { kind: *kind, of, weights: weights.as_deref(), scale: *scale };
            loss.cpu_mut(|loss| rows(&losses, [1], [loss], 4 * c));
        }
    }
    Ok(loss)
}

/// The gradient of `x`, given that of the loss (`[1]`).
pub(crate) fn backward(x: &Tensor, wanted: &Wanted, d_loss: &Tensor) -> Result<Tensor> {
    let c = last_axis(x);
    let Wanted { kind, y, sides, each, weights, scale } = wanted;
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&BACKWARD, x.len())
            .constants(&[("WEIGHTS", weights.is_some().into()), ("KIND", kind.code())])
            .words(&[c as u32, *each as u32, scale.to_bits()])
            .run(
                gpu,
                &[Some(x), Some(y), Some(sides), weights.as_ref(), Some(d_loss), Some(&d_x)],
            )?,
        None => {
            let weights = weights.as_ref().map(Tensor::cpu);
            let of = Part { x: &x.cpu(), y: &y.cpu(), sides: &sides.cpu(), each: *each, c };
            let factor = d_loss.cpu()[0] * scale;
            let slopes = Slopes { kind: *kind, of, weights: weights.as_deref(), factor };
            d_x.cpu_mut(|d_x| rows(&slopes, [c], [d_x], 4 * c));
        }
    }
    Ok(d_x)
}

/// The elements of a row that are taken at a time.
const VALUES: usize = 256;

/// Where the CPU finds outputs, targets and sides.
struct Part<'a> {
    x: &'a [f32],
    y: &'a [f32],
    sides: &'a [f32],
    each: usize,
    c: usize,
}

/// The targets of some elements, and what their sides weigh.
struct Sides {
    y: [f32; VALUES],
    a: [f32; VALUES],
    b: [f32; VALUES],
}

impl Part<'_> {
    /// Some elements of a row, from the column `first` on, with all that belongs to them.
    #[inline(always)]
    fn take<'s>(&'s self, row: usize, first: usize, sides: &'s mut Sides) -> [&'s [f32]; 4] {
        let used = VALUES.min(self.c - first);
        let begin = row * self.c + first;
        for k in 0..used {
            sides.y[k] = self.y[(begin + k) / self.each];
            let at = 2 * (first + k);
            (sides.a[k], sides.b[k]) = (self.sides[at], self.sides[at + 1]);
        }
        [&self.x[begin..begin + used], &sides.y[..used], &sides.a[..used], &sides.b[..used]]
    }
}

const NO_SIDES: Sides = Sides { y: [0.0; VALUES], a: [0.0; VALUES], b: [0.0; VALUES] };

struct Losses<'a> {
    kind: Kind,
    of: Part<'a>,
    weights: Option<&'a [f32]>,
    scale: f32,
}

impl Rows<1> for Losses<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [loss]: [&mut [f32]; 1]) {
        let weight = self.weights.map_or(1.0, |w| w[row]);
        if weight == 0.0 {
            loss.fill(0.0);
            return;
        }
        let (mut sum, mut sides, zero) = (LongSum::new(simd), NO_SIDES, simd.splat_f32s(0.0));
        for first in (0..self.of.c).step_by(VALUES) {
            let all = self.of.take(row, first, &mut sides);
            for at in (0..all[0].len()).step_by(S::F32_LANES) {
                // Past the last they are 0, and so is the loss.
                let [x, y, a, b] = all.map(|all| load(simd, all, at, zero));
                sum.add(simd, self.kind.value(simd, [x, y, a, b]));
            }
        }
        loss.fill(weight * self.scale * sum.total(simd) as f32);
    }
}

struct Slopes<'a> {
    kind: Kind,
    of: Part<'a>,
    weights: Option<&'a [f32]>,
    factor: f32,
}

impl Rows<1> for Slopes<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [d_x]: [&mut [f32]; 1]) {
        let weight = self.weights.map_or(1.0, |w| w[row]);
        if weight == 0.0 {
            d_x.fill(0.0);
            return;
        }
        let (mut sides, zero) = (NO_SIDES, simd.splat_f32s(0.0));
        let factor = simd.splat_f32s(self.factor * weight);
        for (part, d_x) in d_x.chunks_mut(VALUES).enumerate() {
            let all = self.of.take(row, part * VALUES, &mut sides);
            for at in (0..d_x.len()).step_by(S::F32_LANES) {
                let [x, y, a, b] = all.map(|all| load(simd, all, at, zero));
                store(simd, d_x, at, simd.mul_f32s(factor, self.kind.slope(simd, [x, y, a, b])));
            }
        }
    }
}
