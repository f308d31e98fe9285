//! Losses that compare number with number: of each row, and the gradient.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, wgsl};
use crate::ops::common::vector::{LongSum, Map, Rows, load, map, rows, store};
use crate::ops::common::{
    ACTIVATIONS, ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROW_SHARED, elementwise,
    last_axis, long_sum, math, product, row_shared, switches,
};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "pointwise_loss",
    parts: &[
        IS_NAN,
        ACTIVATIONS,
        LONG_SUM,
        INDEX,
        ROW_REDUCE,
        ROW_SHARED,
        wgsl!("loss/pointwise_loss.wgsl"),
    ],
    bindings: &[("x", Read), ("y", Read), ("weights", Read), ("loss", Write)],
    variants: || product(variants(), &[0, 1].map(|shared| vec![("SHARED", shared)])),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "pointwise_loss_bwd",
    parts: &[IS_NAN, ACTIVATIONS, INDEX, ELEMENTWISE, wgsl!("loss/pointwise_loss_bwd.wgsl")],
    bindings: &[("x", Read), ("y", Read), ("weights", Read), ("d_loss", Read), ("d_x", Write)],
    variants,
    ..Kernel::PLAIN
};

fn variants() -> Vec<Constants> {
    product(switches(["WEIGHTS"]), &[0, 1, 2, 3, 4].map(|kind| vec![("KIND", kind)]))
}

/// The loss between a prediction and a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// softplus(x) - x y, of a logit x.
    BinaryCrossEntropy,
    /// (x - y)^2.
    SquaredError,
    /// |x - y|.
    AbsoluteError,
    /// (x - y)^2 / 2 up to a difference of delta, linear from there on.
    Huber { delta: f32 },
    /// quantile (y - x) where x is too small, (1 - quantile) (x - y) where it is too large.
    Pinball { quantile: f32 },
}

impl Kind {
    /// The kernels' `KIND`, and their parameter.
    fn code(self) -> (u32, f32) {
        match self {
            Self::BinaryCrossEntropy => (0, 0.0),
            Self::SquaredError => (1, 0.0),
            Self::AbsoluteError => (2, 0.0),
            Self::Huber { delta } => (3, delta),
            Self::Pinball { quantile } => (4, quantile),
        }
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
        let d = simd.sub_f32s(x, y);
        match self {
            Self::BinaryCrossEntropy => simd.sub_f32s(math::softplus(simd, x), simd.mul_f32s(x, y)),
            Self::SquaredError => simd.mul_f32s(d, d),
            Self::AbsoluteError => simd.abs_f32s(d),
            Self::Huber { delta } => {
                let size = simd.abs_f32s(d);
                let line = simd.mul_f32s(
                    simd.splat_f32s(delta),
                    simd.sub_f32s(size, simd.splat_f32s(0.5 * delta)),
                );
                let square = simd.mul_f32s(simd.mul_f32s(simd.splat_f32s(0.5), d), d);
                simd.select_f32s(simd.greater_than_f32s(size, simd.splat_f32s(delta)), line, square)
            }
            Self::Pinball { quantile } => {
                let slope = simd.select_f32s(
                    simd.less_than_f32s(d, simd.splat_f32s(0.0)),
                    simd.splat_f32s(-quantile),
                    simd.splat_f32s(1.0 - quantile),
                );
                simd.mul_f32s(slope, d)
            }
        }
    }

    #[inline(always)]
    fn slope<S: Simd>(self, simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
        let d = simd.sub_f32s(x, y);
        match self {
            Self::BinaryCrossEntropy => simd.sub_f32s(math::sigmoid(simd, x), y),
            Self::SquaredError => simd.add_f32s(d, d),
            Self::AbsoluteError => by_sign(simd, d, -1.0, 1.0),
            Self::Huber { delta } => {
                let far = simd.greater_than_f32s(simd.abs_f32s(d), simd.splat_f32s(delta));
                simd.select_f32s(far, by_sign(simd, d, -delta, delta), d)
            }
            Self::Pinball { quantile } => by_sign(simd, d, -quantile, 1.0 - quantile),
        }
    }
}

/// One of two numbers by the sign of `d`. Where it has none, it stays: 0, and a NaN.
#[inline(always)]
fn by_sign<S: Simd>(simd: S, d: S::f32s, below: f32, above: f32) -> S::f32s {
    let (zero, below, above) =
        (simd.splat_f32s(0.0), simd.splat_f32s(below), simd.splat_f32s(above));
    let rest = simd.select_f32s(simd.greater_than_f32s(d, zero), above, d);
    simd.select_f32s(simd.less_than_f32s(d, zero), below, rest)
}

/// `scale * w * the sum of the losses` of each row of `x` and `y` `[..,C]`.
pub(crate) fn forward(
    kind: Kind,
    x: &Tensor,
    y: &Tensor,
    weights: Option<&Tensor>,
    scale: f32,
) -> Result<Tensor> {
    let c = last_axis(x);
    let n = x.len() / c;
    let (code, parameter) = kind.code();
    let loss = Tensor::empty([n], &x.device())?;
    match x.gpu() {
        Some(gpu) => row_shared(&FORWARD, n, c)
            .constants(&[("WEIGHTS", weights.is_some().into()), ("KIND", code)])
            .words(&[scale.to_bits(), parameter.to_bits()])
            .run(gpu, &[Some(x), Some(y), weights, Some(&loss)])?,
        None => {
            let (x, y, weights) = (x.cpu(), y.cpu(), weights.map(Tensor::cpu));
            let each = (VALUES / c).max(1);
            let losses = Losses { kind, x: &x, y: &y, weights: weights.as_deref(), scale, c, each };
            loss.cpu_mut(|loss| rows(&losses, [each], [loss], 2 * each * c));
        }
    }
    Ok(loss)
}

/// The gradient of `x`, given that of the loss (`[1]`).
pub(crate) fn backward(
    kind: Kind,
    x: &Tensor,
    y: &Tensor,
    weights: Option<&Tensor>,
    scale: f32,
    d_loss: &Tensor,
) -> Result<Tensor> {
    let c = last_axis(x);
    let (code, parameter) = kind.code();
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&BACKWARD, x.len())
            .constants(&[("WEIGHTS", weights.is_some().into()), ("KIND", code)])
            .words(&[c as u32, scale.to_bits(), parameter.to_bits()])
            .run(gpu, &[Some(x), Some(y), weights, Some(d_loss), Some(&d_x)])?,
        None => {
            let weights = weights.map(Tensor::cpu);
            let factor = d_loss.cpu()[0] * scale;
            let slopes = Slopes { kind, weights: weights.as_deref(), factor, c };
            d_x.cpu_mut(|d_x| map(&slopes, [&x.cpu(), &y.cpu()], [d_x]));
        }
    }
    Ok(d_x)
}

/// The losses of elements that are taken at a time, where they are those of several rows.
const VALUES: usize = 256;

struct Losses<'a> {
    kind: Kind,
    x: &'a [f32],
    y: &'a [f32],
    weights: Option<&'a [f32]>,
    scale: f32,
    c: usize,
    /// The rows that are taken at a time.
    each: usize,
}

impl Losses<'_> {
    /// The losses of some elements.
    #[inline(always)]
    fn values<S: Simd>(&self, simd: S, first: usize, values: &mut [f32]) {
        let [x, y] = [self.x, self.y].map(|x| &x[first..][..values.len()]);
        let zero = simd.splat_f32s(0.0);
        for at in (0..x.len()).step_by(S::F32_LANES) {
            let (x, y) = (load(simd, x, at, zero), load(simd, y, at, zero));
            store(simd, values, at, self.kind.value(simd, x, y));
        }
    }

    /// The sum of a long row's losses.
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, row: usize) -> f32 {
        let mut sum = LongSum::new(simd);
        let (mut values, lanes) = ([0.0; VALUES], S::F32_LANES);
        for first in (0..self.c).step_by(VALUES) {
            let values = &mut values[..VALUES.min(self.c - first)];
            self.values(simd, row * self.c + first, values);
            for at in (0..values.len()).step_by(lanes) {
                sum.add(simd, load(simd, values, at, simd.splat_f32s(0.0)));
            }
        }
        sum.total(simd) as f32
    }
}

impl Rows<1> for Losses<'_> {
    /// As many rows as are taken at a time.
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, group: usize, [loss]: [&mut [f32]; 1]) {
        let first = group * self.each;
        if self.c == 1 {
            self.values(simd, first, loss);
        } else if self.each == 1 {
            loss.fill(self.sum(simd, first));
        } else {
            let mut values = [0.0; VALUES];
            let values = &mut values[..loss.len() * self.c];
            self.values(simd, first * self.c, values);
            for (loss, values) in loss.iter_mut().zip(values.chunks_exact(self.c)) {
                *loss = long_sum::sum(values.iter().copied());
            }
        }
        let (zero, scale) = (simd.splat_f32s(0.0), simd.splat_f32s(self.scale));
        for at in (0..loss.len()).step_by(S::F32_LANES) {
            let sum = load(simd, loss, at, zero);
            let scaled = match self.weights {
                Some(weights) => {
                    let w = load(simd, &weights[first..], at, zero);
                    let scaled = simd.mul_f32s(simd.mul_f32s(w, scale), sum);
                    simd.select_f32s(simd.equal_f32s(w, zero), zero, scaled)
                }
                None => simd.mul_f32s(scale, sum),
            };
            store(simd, loss, at, scaled);
        }
    }
}

struct Slopes<'a> {
    kind: Kind,
    weights: Option<&'a [f32]>,
    factor: f32,
    c: usize,
}

impl Map<2, 1> for Slopes<'_> {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        at: usize,
        [x, y]: [S::f32s; 2],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        let factor = simd.splat_f32s(self.factor);
        let d = self.kind.slope(simd, x, y);
        let Some(weights) = self.weights else { return [simd.mul_f32s(factor, d)] };
        let mut lanes = [simd.splat_f32s(0.0)];
        let (mut row, mut column) = (at / self.c, at % self.c);
        for lane in pulp::bytemuck::cast_slice_mut::<_, f32>(&mut lanes) {
            *lane = weights.get(row).copied().unwrap_or(0.0);
            column += 1;
            if column == self.c {
                (row, column) = (row + 1, 0);
            }
        }
        let d = simd.mul_f32s(simd.mul_f32s(lanes[0], factor), d);
        let zero = simd.splat_f32s(0.0);
        [simd.select_f32s(simd.equal_f32s(lanes[0], zero), zero, d)]
    }
}
