//! One step of an optimizer for all parameters at once.

use super::drawn::{self, Pass, RowGradient};
use super::grouping::{BLOCK, Factors, Grouping};
use super::rule::{Kind, Rule};
use super::step_factors::RULES;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN, elementwise, product, switches};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "update",
    parts: &[INDEX, IS_NAN, RULES, drawn::WGSL, ELEMENTWISE, wgsl!("optim/update.wgsl")],
    bindings: &[
        ("p", Write),
        ("g", Write),
        ("a", Write),
        ("b", Write),
        ("c", Write),
        ("scaling", Read),
        ("groups", Read),
        ("rows", Read),
    ],
    variants: || {
        let rule = |&kind| vec![("RULE", kind as u32), ("BLOCK", BLOCK as u32)];
        let rules = Kind::ALL.iter().map(rule).collect();
        product(rules, &switches(["SCALED", "ROWS", "GROUPS"]))
    },
    ..Kernel::PLAIN
};

/// What goes with the number of a step: see [`Rule::factors`].
#[derive(Clone)]
pub(crate) enum StepFactors {
    /// As the host counts.
    Known([f32; 3]),
    /// Of [`super::step_factors`] or [`super::guard`], behind the inverse of the loss scale.
    OnDevice(Tensor),
}

/// Moves the parameters `p` along the gradients `g`, which are then zero; or the rows of a table that
/// are `drawn`, whose gradient `g` is. `slots` are what the rule keeps for each of `p`, `groups` the factors
/// that some of `p` have of their own.
pub(crate) fn update(
    rule: &Rule,
    [p, g]: [&Tensor; 2],
    slots: &[Tensor],
    step: &StepFactors,
    drawn: Option<&RowGradient>,
    groups: Option<&Grouping>,
) -> Result<()> {
    if g.is_empty() {
        return Ok(());
    }
    let Some(gpu) = p.gpu() else {
        let (inverse, factors) = match step {
            StepFactors::Known(factors) => (1.0, *factors),
            StepFactors::OnDevice(words) => {
                let words = words.cpu();
                (words[0], [words[1], words[2], words[3]])
            }
        };
        let twin = Twin { rule, inverse, factors };
        p.cpu_mut(|p| g.cpu_mut(|g| slices(slots, |slots| twin.run(p, g, slots, drawn, groups))));
        return Ok(());
    };
    let ([x, y, z], scaling) = match step {
        StepFactors::Known(factors) => (*factors, None),
        StepFactors::OnDevice(words) => ([0.0; 3], Some(words)),
    };
    let words = [x, y, z, rule.beta1, rule.beta2, rule.epsilon, rule.decay, rule.l2];
    let [x, y, z, beta1, beta2, epsilon, decay, l2] = words.map(f32::to_bits);
    let rows = drawn.map(|drawn| drawn.upload(&p.device())).transpose()?;
    for pass in Pass::all(p, drawn) {
        let [skip, size, base] = pass.words();
        let slot = |at: usize| slots.get(at).map(|slot| pass.view(slot));
        let [a, b, c] = [slot(0), slot(1), slot(2)];
        elementwise(&KERNEL, pass.n)
            .constants(&[
                ("RULE", rule.kind as u32),
                ("BLOCK", BLOCK as u32),
                ("SCALED", scaling.is_some().into()),
                ("ROWS", drawn.is_some().into()),
                ("GROUPS", groups.is_some().into()),
            ])
            .words(&[x, y, z, beta1, beta2, epsilon, decay, l2, skip, size, base])
            .run(
                gpu,
                &[
                    Some(&pass.view(p)),
                    Some(&pass.gradient(g, drawn)),
                    a.as_deref(),
                    b.as_deref(),
                    c.as_deref(),
                    scaling,
                    groups.and_then(|groups| groups.words.as_ref()),
                    rows.as_ref(),
                ],
            )?;
    }
    Ok(())
}

/// Writes to up to three slots.
fn slices(slots: &[Tensor], f: impl FnOnce(&mut [&mut [f32]])) {
    match slots {
        [] => f(&mut []),
        [a] => a.cpu_mut(|a| f(&mut [a])),
        [a, b] => a.cpu_mut(|a| b.cpu_mut(|b| f(&mut [a, b]))),
        [a, b, c, ..] => a.cpu_mut(|a| b.cpu_mut(|b| c.cpu_mut(|c| f(&mut [a, b, c])))),
    }
}

/// The kernel on the CPU.
struct Twin<'a> {
    rule: &'a Rule,
    inverse: f32,
    factors: [f32; 3],
}

impl Twin<'_> {
    fn run(
        &self,
        p: &mut [f32],
        g: &mut [f32],
        slots: &mut [&mut [f32]],
        drawn: Option<&RowGradient>,
        groups: Option<&Grouping>,
    ) {
        let whole = [(0..p.len(), [1.0; 2])];
        let ranges = groups.map_or(&whole[..], |groups| &groups.ranges);
        match drawn {
            None => ranges.iter().for_each(|(range, own)| {
                // A layer that was built since is not there yet.
                let range = range.start.min(p.len())..range.end.min(p.len());
                self.rows(&mut p[range.clone()], &mut g[range.clone()], slots, range.start, *own);
            }),
            Some(drawn) => drawn::ranges(drawn).for_each(|(here, row)| {
                let own = ranges.first().map_or([1.0; 2], |(_, own)| *own);
                self.rows(&mut p[row.clone()], &mut g[here], slots, row.start, own);
            }),
        }
    }

    /// Parameters that lie at `start` in what the slots are of.
    fn rows(
        &self,
        p: &mut [f32],
        g: &mut [f32],
        slots: &mut [&mut [f32]],
        start: usize,
        own: Factors,
    ) {
        if self.inverse == 0.0 || own[0] == 0.0 {
            g.fill(0.0);
            return;
        }
        let (beta1, beta2, epsilon) = (self.rule.beta1, self.rule.beta2, self.rule.epsilon);
        let [x, y, z] = self.factors;
        let mean = |old: f32, beta: f32, new: f32| beta * old + (1.0 - beta) * new;
        let square = |old: f32, new: f32| beta2 * old + (1.0 - beta2) * new * new;
        let larger = |old: f32, new: f32| if new > old || new.is_nan() { new } else { old };
        let moments = |d: f32, [m, v]: [f32; 2]| [mean(m, beta1, d), square(v, d)];
        let variance = |v: f32, m: f32| if v - m * m < 0.0 { 0.0 } else { v - m * m };
        let all = (p, g, slots, start, own);
        match self.rule.kind {
            Kind::Descent => self.each(all, |d, []| (x * d, [])),
            Kind::Momentum => self.each(all, |d, [v]| {
                let v = beta1 * v + d;
                (x * v, [v])
            }),
            Kind::Nesterov => self.each(all, |d, [v]| {
                let v = beta1 * v + d;
                (x * (d + beta1 * v), [v])
            }),
            Kind::Adam => self.each(all, |d, old| {
                let [m, v] = moments(d, old);
                (x * m / (v.sqrt() / y + epsilon), [m, v])
            }),
            Kind::AmsGrad => self.each(all, |d, [m, v, most]| {
                let [m, v] = moments(d, [m, v]);
                let most = larger(most, v);
                (x * m / (most.sqrt() / y + epsilon), [m, v, most])
            }),
            Kind::Adamax => self.each(all, |d, [m, u]| {
                let (m, u) = (mean(m, beta1, d), larger(beta2 * u, d.abs() + epsilon));
                (x * m / u, [m, u])
            }),
            Kind::NAdam => self.each(all, |d, old| {
                let [m, v] = moments(d, old);
                ((x * d + z * m) / (v.sqrt() / y + epsilon), [m, v])
            }),
            Kind::RAdam => self.each(all, |d, old| {
                let [m, v] = moments(d, old);
                (if y == 0.0 { x * m } else { x * m / (v.sqrt() + epsilon) }, [m, v])
            }),
            Kind::RmsProp => self.each(all, |d, [v]| {
                let v = square(v, d);
                (x * (d / (v.sqrt() + epsilon)), [v])
            }),
            Kind::RmsPropMomentum => self.each(all, |d, [v, moved]| {
                let v = square(v, d);
                let moved = beta1 * moved + d / (v.sqrt() + epsilon);
                (x * moved, [v, moved])
            }),
            Kind::RmsPropCentered => self.each(all, |d, [v, m]| {
                let (v, m) = (square(v, d), mean(m, beta2, d));
                (x * (d / (variance(v, m).sqrt() + epsilon)), [v, m])
            }),
            Kind::RmsPropCenteredMomentum => self.each(all, |d, [v, m, moved]| {
                let (v, m) = (square(v, d), mean(m, beta2, d));
                let moved = beta1 * moved + d / (variance(v, m).sqrt() + epsilon);
                (x * moved, [v, m, moved])
            }),
            Kind::Adagrad => self.each(all, |d, [sum]| {
                let sum = sum + d * d;
                (x * d / (sum.sqrt() + epsilon), [sum])
            }),
            Kind::Adadelta => self.each(all, |d, [v, moved]| {
                let v = square(v, d);
                let u = (moved + epsilon).sqrt() / (v + epsilon).sqrt() * d;
                (x * u, [v, square(moved, u)])
            }),
            Kind::Lion => self.each(all, |d, [m]| {
                let way = mean(m, beta1, d);
                let side = f32::from(way > 0.0) - f32::from(way < 0.0);
                (x * if way.is_nan() { way } else { side }, [mean(m, beta2, d)])
            }),
        }
    }

    /// `step` gives a parameter's step and its next slots.
    fn each<const N: usize>(
        &self,
        (p, g, slots, start, [rate, decay]): (
            &mut [f32],
            &mut [f32],
            &mut [&mut [f32]],
            usize,
            Factors,
        ),
        step: impl Fn(f32, [f32; N]) -> (f32, [f32; N]),
    ) {
        let n = p.len();
        let mut slots = slots.iter_mut();
        // The caller has as many as the rule keeps.
        let mut slots: [&mut [f32]; N] = std::array::from_fn(|_| match slots.next() {
            Some(slot) => &mut slot[start..start + n],
            None => &mut [],
        });
        let l2 = self.rule.l2 * decay;
        let left = 1.0 - self.rule.decay * (rate * decay);
        for (i, (p, g)) in p.iter_mut().zip(g).enumerate() {
            let mut d = *g * self.inverse;
            if l2 != 0.0 {
                d += l2 * *p;
            }
            let (step, new) = step(d, std::array::from_fn(|k| slots[k][i]));
            *p = *p * left - rate * step;
            for (slot, new) in slots.iter_mut().zip(new) {
                slot[i] = new;
            }
            *g = 0.0;
        }
    }
}
