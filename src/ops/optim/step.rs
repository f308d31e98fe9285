//! The step of `update.wgsl` for vectors of parameters, with its formulas and names. Each operation is rounded
//! by itself, so that the bits do not depend on how long vectors are.

use super::rule::Kind;
use crate::device::threads;
use crate::ops::common::vector::{Map, larger, map};
use pulp::Simd;

/// A rule's numbers in one step, for parameters of the same factors.
pub(super) struct Step {
    pub(super) kind: Kind,
    /// One over the loss scale; 0: there is no step.
    pub(super) inverse: f32,
    pub(super) factors: [f32; 3],
    pub(super) betas: [f32; 2],
    pub(super) epsilon: f32,
    /// The parameters' own factor of the rate.
    pub(super) rate: f32,
    /// The share of a parameter that its gradient gains.
    pub(super) l2: f32,
    /// The share of a parameter that its decay leaves.
    pub(super) left: f32,
}

impl Step {
    /// Moves parameters `p` along their gradients, with what the rule keeps for them in `a`, `b` and `c`.
    pub(super) fn run(&self, [p, a, b, c]: [&mut [f32]; 4], g: &mut [f32]) {
        if self.inverse == 0.0 || self.rate == 0.0 {
            threads::fill(g, 0.0);
            return;
        }
        match self.kind {
            Kind::Descent => map(&Of::<DESCENT>(self), [], [p, g]),
            Kind::Momentum => map(&Of::<MOMENTUM>(self), [], [p, g, a]),
            Kind::Nesterov => map(&Of::<NESTEROV>(self), [], [p, g, a]),
            Kind::Adam => map(&Of::<ADAM>(self), [], [p, g, a, b]),
            Kind::AmsGrad => map(&Of::<AMSGRAD>(self), [], [p, g, a, b, c]),
            Kind::Adamax => map(&Of::<ADAMAX>(self), [], [p, g, a, b]),
            Kind::NAdam => map(&Of::<NADAM>(self), [], [p, g, a, b]),
            Kind::RAdam => map(&Of::<RADAM>(self), [], [p, g, a, b]),
            Kind::RmsProp => map(&Of::<RMSPROP>(self), [], [p, g, a]),
            Kind::RmsPropMomentum => map(&Of::<RMSPROP_MOMENTUM>(self), [], [p, g, a, b]),
            Kind::RmsPropCentered => map(&Of::<RMSPROP_CENTERED>(self), [], [p, g, a, b]),
            Kind::RmsPropCenteredMomentum => {
                map(&Of::<RMSPROP_CENTERED_MOMENTUM>(self), [], [p, g, a, b, c]);
            }
            Kind::Adagrad => map(&Of::<ADAGRAD>(self), [], [p, g, a]),
            Kind::Adadelta => map(&Of::<ADADELTA>(self), [], [p, g, a, b]),
            Kind::Lion => map(&Of::<LION>(self), [], [p, g, a]),
        }
    }
}

const DESCENT: u32 = Kind::Descent as u32;
const MOMENTUM: u32 = Kind::Momentum as u32;
const NESTEROV: u32 = Kind::Nesterov as u32;
const ADAM: u32 = Kind::Adam as u32;
const AMSGRAD: u32 = Kind::AmsGrad as u32;
const ADAMAX: u32 = Kind::Adamax as u32;
const NADAM: u32 = Kind::NAdam as u32;
const RADAM: u32 = Kind::RAdam as u32;
const RMSPROP: u32 = Kind::RmsProp as u32;
const RMSPROP_MOMENTUM: u32 = Kind::RmsPropMomentum as u32;
const RMSPROP_CENTERED: u32 = Kind::RmsPropCentered as u32;
const RMSPROP_CENTERED_MOMENTUM: u32 = Kind::RmsPropCenteredMomentum as u32;
const ADAGRAD: u32 = Kind::Adagrad as u32;
const ADADELTA: u32 = Kind::Adadelta as u32;
const LION: u32 = Kind::Lion as u32;

/// The step of a rule that is known when it is compiled: p, g, and the `M - 2` that it keeps.
struct Of<'a, const RULE: u32>(&'a Step);

impl<const RULE: u32, const M: usize> Map<0, M> for Of<'_, RULE> {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, _: usize, _: [S::f32s; 0], mut y: [S::f32s; M]) -> [S::f32s; M] {
        let (step, zero) = (self.0, simd.splat_f32s(0.0));
        let mut kept = [zero; 3];
        for (kept, y) in kept.iter_mut().zip(&y[2..]) {
            *kept = *y;
        }
        let (p, g) = (y[0], y[1]);
        let mut d = simd.mul_f32s(g, simd.splat_f32s(step.inverse));
        // 0 times an infinity would be a NaN.
        if step.l2 != 0.0 {
            d = simd.add_f32s(d, simd.mul_f32s(simd.splat_f32s(step.l2), p));
        }
        let moved = match RULE {
            DESCENT | MOMENTUM | NESTEROV => descent::<S, RULE>(simd, step, d, &mut kept),
            ADAM | AMSGRAD | ADAMAX | NADAM | RADAM => adam::<S, RULE>(simd, step, d, &mut kept),
            ADAGRAD => adagrad(simd, step, d, &mut kept),
            ADADELTA => adadelta(simd, step, d, &mut kept),
            LION => lion(simd, step, d, &mut kept),
            _ => rmsprop::<S, RULE>(simd, step, d, &mut kept),
        };
        let moved = simd.mul_f32s(simd.splat_f32s(step.rate), moved);
        y[0] = simd.sub_f32s(simd.mul_f32s(p, simd.splat_f32s(step.left)), moved);
        y[1] = zero;
        for (kept, y) in kept.iter().zip(&mut y[2..]) {
            *y = *kept;
        }
        y
    }
}

/// A mean that forgets: `beta` of it stays.
#[inline(always)]
fn mean<S: Simd>(simd: S, old: S::f32s, beta: f32, new: S::f32s) -> S::f32s {
    let new = simd.mul_f32s(simd.splat_f32s(1.0 - beta), new);
    simd.add_f32s(simd.mul_f32s(simd.splat_f32s(beta), old), new)
}

/// A mean of squares. In this order: a square that is too large is so on every device.
#[inline(always)]
fn mean_square<S: Simd>(simd: S, step: &Step, old: S::f32s, new: S::f32s) -> S::f32s {
    let [_, beta2] = step.betas;
    let square = simd.mul_f32s(simd.mul_f32s(simd.splat_f32s(1.0 - beta2), new), new);
    simd.add_f32s(simd.mul_f32s(simd.splat_f32s(beta2), old), square)
}

/// The square root, and epsilon.
#[inline(always)]
fn root<S: Simd>(simd: S, step: &Step, v: S::f32s) -> S::f32s {
    simd.add_f32s(simd.sqrt_f32s(v), simd.splat_f32s(step.epsilon))
}

#[inline(always)]
fn descent<S: Simd, const RULE: u32>(
    simd: S,
    step: &Step,
    d: S::f32s,
    [a, ..]: &mut [S::f32s; 3],
) -> S::f32s {
    let ([x, ..], [beta1, _]) = (step.factors, step.betas);
    let x = simd.splat_f32s(x);
    if RULE == DESCENT {
        return simd.mul_f32s(x, d);
    }
    let beta1 = simd.splat_f32s(beta1);
    let v = simd.add_f32s(simd.mul_f32s(beta1, *a), d);
    *a = v;
    let ahead = simd.add_f32s(d, simd.mul_f32s(beta1, v));
    simd.mul_f32s(x, if RULE == NESTEROV { ahead } else { v })
}

#[inline(always)]
fn adam<S: Simd, const RULE: u32>(
    simd: S,
    step: &Step,
    d: S::f32s,
    [a, b, c]: &mut [S::f32s; 3],
) -> S::f32s {
    let [x, y, z] = step.factors;
    let (x, y, z) = (simd.splat_f32s(x), simd.splat_f32s(y), simd.splat_f32s(z));
    let ([beta1, beta2], epsilon) = (step.betas, simd.splat_f32s(step.epsilon));
    let m = mean(simd, *a, beta1, d);
    *a = m;
    if RULE == ADAMAX {
        let least = simd.add_f32s(simd.abs_f32s(d), epsilon);
        *b = larger(simd, simd.mul_f32s(simd.splat_f32s(beta2), *b), least);
        return simd.div_f32s(simd.mul_f32s(x, m), *b);
    }
    let mut v = mean_square(simd, step, *b, d);
    *b = v;
    if RULE == AMSGRAD {
        v = larger(simd, *c, v);
        *c = v;
    }
    let way = simd.mul_f32s(x, m);
    if RULE == RADAM {
        let [_, y, _] = step.factors;
        return if y == 0.0 { way } else { simd.div_f32s(way, root(simd, step, v)) };
    }
    let under = simd.add_f32s(simd.div_f32s(simd.sqrt_f32s(v), y), epsilon);
    if RULE == NADAM {
        let way = simd.add_f32s(simd.mul_f32s(x, d), simd.mul_f32s(z, m));
        return simd.div_f32s(way, under);
    }
    simd.div_f32s(way, under)
}

#[inline(always)]
fn rmsprop<S: Simd, const RULE: u32>(
    simd: S,
    step: &Step,
    d: S::f32s,
    [a, b, c]: &mut [S::f32s; 3],
) -> S::f32s {
    let ([x, ..], [beta1, beta2]) = (step.factors, step.betas);
    let x = simd.splat_f32s(x);
    let mut v = mean_square(simd, step, *a, d);
    *a = v;
    let centered = RULE == RMSPROP_CENTERED || RULE == RMSPROP_CENTERED_MOMENTUM;
    if centered {
        let (m, zero) = (mean(simd, *b, beta2, d), simd.splat_f32s(0.0));
        *b = m;
        v = simd.sub_f32s(v, simd.mul_f32s(m, m));
        // Rounding may take a variance of 0 below it.
        v = simd.select_f32s(simd.less_than_f32s(v, zero), zero, v);
    }
    let u = simd.div_f32s(d, root(simd, step, v));
    if RULE == RMSPROP || RULE == RMSPROP_CENTERED {
        return simd.mul_f32s(x, u);
    }
    let last = if centered { c } else { b };
    *last = simd.add_f32s(simd.mul_f32s(simd.splat_f32s(beta1), *last), u);
    simd.mul_f32s(x, *last)
}

#[inline(always)]
fn adagrad<S: Simd>(simd: S, step: &Step, d: S::f32s, [a, ..]: &mut [S::f32s; 3]) -> S::f32s {
    let [x, ..] = step.factors;
    *a = simd.add_f32s(*a, simd.mul_f32s(d, d));
    simd.div_f32s(simd.mul_f32s(simd.splat_f32s(x), d), root(simd, step, *a))
}

#[inline(always)]
fn adadelta<S: Simd>(simd: S, step: &Step, d: S::f32s, [a, b, _]: &mut [S::f32s; 3]) -> S::f32s {
    let ([x, ..], epsilon) = (step.factors, simd.splat_f32s(step.epsilon));
    *a = mean_square(simd, step, *a, d);
    let over = simd.sqrt_f32s(simd.add_f32s(*b, epsilon));
    let under = simd.sqrt_f32s(simd.add_f32s(*a, epsilon));
    let u = simd.mul_f32s(simd.div_f32s(over, under), d);
    *b = mean_square(simd, step, *b, u);
    simd.mul_f32s(simd.splat_f32s(x), u)
}

#[inline(always)]
fn lion<S: Simd>(simd: S, step: &Step, d: S::f32s, [a, ..]: &mut [S::f32s; 3]) -> S::f32s {
    let ([x, ..], [beta1, beta2]) = (step.factors, step.betas);
    let c = |v: f32| simd.splat_f32s(v);
    let way = mean(simd, *a, beta1, d);
    *a = mean(simd, *a, beta2, d);
    let above = simd.select_f32s(simd.greater_than_f32s(way, c(0.0)), c(1.0), c(0.0));
    let side = simd.select_f32s(simd.less_than_f32s(way, c(0.0)), c(-1.0), above);
    // The sign of a NaN is one.
    let side = simd.select_f32s(simd.equal_f32s(way, way), side, way);
    simd.mul_f32s(c(x), side)
}
