//! Losses by densities: -log p of targets, whose distribution has its parameters in a model's outputs; and the
//! gradient.

mod log_gamma;
mod mixture;
mod single;

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, Wgsl, wgsl};
use crate::ops::common::vector::{Rows, rows};
use crate::ops::common::{ACTIVATIONS, ELEMENTWISE, INDEX, IS_NAN, elementwise, product, switches};
use crate::{Result, Tensor};
use mixture::Mixture;
use pulp::Simd;
pub(crate) use single::{count_loss, student_loss};

const LOG_GAMMA: Wgsl = wgsl!("loss/parts/log_gamma.wgsl");
const COMMON: Wgsl = wgsl!("loss/parts/density_loss.wgsl");

pub(crate) static FORWARD: Kernel = Kernel {
    name: "density_loss",
    parts: &[
        IS_NAN,
        ACTIVATIONS,
        INDEX,
        ELEMENTWISE,
        LOG_GAMMA,
        COMMON,
        wgsl!("loss/density_loss.wgsl"),
    ],
    bindings: &[("x", Read), ("y", Read), ("weights", Read), ("loss", Write)],
    variants,
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "density_loss_bwd",
    parts: &[
        IS_NAN,
        ACTIVATIONS,
        INDEX,
        ELEMENTWISE,
        LOG_GAMMA,
        COMMON,
        wgsl!("loss/density_loss_bwd.wgsl"),
    ],
    bindings: &[("x", Read), ("y", Read), ("weights", Read), ("d_loss", Read), ("d_x", Write)],
    variants,
    ..Kernel::PLAIN
};

fn variants() -> Vec<Constants> {
    product(switches(["WEIGHTS"]), &[0, 1, 2, 3, 4].map(|kind| vec![("KIND", kind)]))
}

/// What is added to a positive parameter, so that no density is infinite.
const FLOOR: f32 = 1e-6;

/// The largest correlation.
const MOST: f64 = 0.9999;

pub(crate) fn softplus(x: f64) -> f64 {
    // A NaN stays one.
    (if x < 0.0 { 0.0 } else { x }) + libm::log1p(libm::exp(-x.abs()))
}

/// A positive parameter, of the output that has it.
pub(crate) fn positive(x: f64) -> f64 {
    softplus(x) + f64::from(FLOOR)
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// The correlation of an output.
pub(crate) fn correlation(x: f64) -> f64 {
    MOST * libm::tanh(x)
}

/// A distribution of a group of targets, as outputs give it: see `shaders/loss/parts/density_loss.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    StudentT,
    NegativeBinomial,
    Mixture { components: usize, targets: usize },
    Strokes { components: usize },
}

impl Kind {
    /// The kernels' `KIND`.
    fn code(self) -> u32 {
        match self {
            Self::Normal => 0,
            Self::StudentT => 1,
            Self::NegativeBinomial => 2,
            Self::Mixture { .. } => 3,
            Self::Strokes { .. } => 4,
        }
    }

    /// The components of a mixture, and the numbers that each has a normal distribution of.
    fn components(self) -> [usize; 2] {
        match self {
            Self::Mixture { components, targets } => [components, targets],
            Self::Strokes { components } => [components, 2],
            _ => [0, 1],
        }
    }

    /// The targets of a group.
    pub(crate) fn targets(self) -> usize {
        match self {
            Self::Mixture { targets, .. } => targets,
            Self::Strokes { .. } => 3,
            _ => 1,
        }
    }

    /// The outputs of a group.
    pub(crate) fn outputs(self) -> usize {
        match self {
            Self::Normal | Self::NegativeBinomial => 2,
            Self::StudentT => 3,
            Self::Mixture { components, targets } => {
                targets.saturating_mul(2).saturating_add(1).saturating_mul(components)
            }
            Self::Strokes { components } => components.saturating_mul(6).saturating_add(1),
        }
    }

    fn mixture<'a>(self, x: &'a [f32], y: &'a [f32]) -> Mixture<'a> {
        let [components, axes] = self.components();
        Mixture { components, axes, strokes: matches!(self, Self::Strokes { .. }), x, y }
    }

    /// -log p of a group's targets.
    pub(crate) fn loss(self, x: &[f32], y: &[f32]) -> f64 {
        if let Some(nan) = nan_of(x, y) {
            return nan;
        }
        match self {
            Self::Normal => single::normal(wide(x), y[0].into()).0,
            Self::StudentT => single::student_t(wide(x), y[0].into()).0,
            Self::NegativeBinomial => single::negative_binomial(wide(x), y[0].into()).0,
            _ => self.mixture(x, y).loss(),
        }
    }

    /// The slopes of [`Self::loss`] by the outputs, times `factor`.
    fn slopes(self, x: &[f32], y: &[f32], factor: f64, d_x: &mut [f32]) {
        if let Some(nan) = nan_of(x, y) {
            return d_x.fill(nan as f32);
        }
        let mut write = |at: usize, slope: f64| d_x[at] = (factor * slope) as f32;
        let mut all = |slopes: &[f64]| slopes.iter().enumerate().for_each(|(j, &s)| write(j, s));
        match self {
            Self::Normal => all(&single::normal(wide(x), y[0].into()).1),
            Self::StudentT => all(&single::student_t(wide(x), y[0].into()).1),
            Self::NegativeBinomial => all(&single::negative_binomial(wide(x), y[0].into()).1),
            _ => self.mixture(x, y).slopes(write),
        }
    }
}

/// A NaN that stands in a group's outputs or targets: it makes all of the group unknown.
fn nan_of(x: &[f32], y: &[f32]) -> Option<f64> {
    x.iter().chain(y).find(|v| v.is_nan()).map(|&v| v.into())
}

fn wide<const N: usize>(x: &[f32]) -> [f64; N] {
    std::array::from_fn(|j| x[j].into())
}

/// What a loss is taken of, beside the outputs `x` `[n,outputs]`.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    /// `[n,targets]`.
    pub(crate) y: Tensor,
    /// The groups of a row.
    pub(crate) each: usize,
    /// `[N]`; 1 without. A row of weight 0 is padding: whatever it holds does not count.
    pub(crate) weights: Option<Tensor>,
    pub(crate) scale: f32,
}

impl Wanted {
    fn groups(&self, x: &Tensor) -> usize {
        x.len() / self.kind.outputs()
    }

    fn words(&self) -> [u32; 8] {
        let (kind, [components, axes]) = (self.kind, self.kind.components());
        let sizes = [self.each, kind.outputs(), kind.targets(), components, axes].map(|n| n as u32);
        let [each, outputs, targets, components, axes] = sizes;
        let [scale, floor, most] = [self.scale, FLOOR, MOST as f32].map(f32::to_bits);
        [each, outputs, targets, components, axes, scale, floor, most]
    }

    /// About how many words of work a group is.
    fn cost(&self) -> usize {
        64 * self.kind.outputs()
    }
}

/// `scale * w * loss` of each group.
pub(crate) fn forward(x: &Tensor, wanted: &Wanted) -> Result<Tensor> {
    let n = wanted.groups(x);
    let Wanted { kind, y, weights, .. } = wanted;
    let loss = Tensor::empty([n], &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&FORWARD, n)
            .constants(&[("WEIGHTS", weights.is_some().into()), ("KIND", kind.code())])
            .words(&wanted.words())
            .run(gpu, &[Some(x), Some(y), weights.as_ref(), Some(&loss)])?,
        None => {
            let weights = weights.as_ref().map(Tensor::cpu);
            let groups =
                Groups { x: &x.cpu(), y: &y.cpu(), weights: weights.as_deref(), of: wanted };
            let losses = Losses { groups, scale: wanted.scale.into() };
            loss.cpu_mut(|loss| rows(&losses, [1], [loss], wanted.cost()));
        }
    }
    Ok(loss)
}

/// The gradient of `x`, given that of the loss (`[1]`).
pub(crate) fn backward(x: &Tensor, wanted: &Wanted, d_loss: &Tensor) -> Result<Tensor> {
    let n = wanted.groups(x);
    let Wanted { kind, y, weights, .. } = wanted;
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&BACKWARD, n)
            .constants(&[("WEIGHTS", weights.is_some().into()), ("KIND", kind.code())])
            .words(&wanted.words())
            .run(gpu, &[Some(x), Some(y), weights.as_ref(), Some(d_loss), Some(&d_x)])?,
        None => {
            let weights = weights.as_ref().map(Tensor::cpu);
            let factor = f64::from(d_loss.cpu()[0]) * f64::from(wanted.scale);
            let groups =
                Groups { x: &x.cpu(), y: &y.cpu(), weights: weights.as_deref(), of: wanted };
            let slopes = Slopes { groups, factor };
            d_x.cpu_mut(|d_x| rows(&slopes, [kind.outputs()], [d_x], wanted.cost()));
        }
    }
    Ok(d_x)
}

/// Where the CPU finds outputs and targets.
struct Groups<'a> {
    x: &'a [f32],
    y: &'a [f32],
    weights: Option<&'a [f32]>,
    of: &'a Wanted,
}

impl Groups<'_> {
    /// The outputs and targets of a group, and its weight.
    fn of(&self, group: usize) -> (&[f32], &[f32], f64) {
        let (outputs, targets) = (self.of.kind.outputs(), self.of.kind.targets());
        let weight = self.weights.map_or(1.0, |w| w[group / self.of.each]);
        (
            &self.x[group * outputs..][..outputs],
            &self.y[group * targets..][..targets],
            weight.into(),
        )
    }
}

struct Losses<'a> {
    groups: Groups<'a>,
    scale: f64,
}

impl Rows<1> for Losses<'_> {
    fn row<S: Simd>(&self, _: S, group: usize, [loss]: [&mut [f32]; 1]) {
        let (x, y, weight) = self.groups.of(group);
        loss.fill(match weight {
            0.0 => 0.0,
            weight => (weight * self.scale * self.groups.of.kind.loss(x, y)) as f32,
        });
    }
}

struct Slopes<'a> {
    groups: Groups<'a>,
    factor: f64,
}

impl Rows<1> for Slopes<'_> {
    fn row<S: Simd>(&self, _: S, group: usize, [d_x]: [&mut [f32]; 1]) {
        let (x, y, weight) = self.groups.of(group);
        match weight {
            0.0 => d_x.fill(0.0),
            weight => self.groups.of.kind.slopes(x, y, weight * self.factor, d_x),
        }
    }
}
