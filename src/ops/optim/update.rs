//! One step of an optimizer for all parameters at once.

use super::drawn::{self, Pass, RowGradient};
use super::grouping::{BLOCK, Factors, Grouping};
use super::rule::{Kind, Rule};
use super::step::Step;
use super::step_factors::RULES;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::device::threads;
use crate::ops::common::vector::GRAIN;
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN, elementwise, product, switches};
use crate::{Result, Tensor};
use std::ops::Range;

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
fn slices(slots: &[Tensor], f: impl FnOnce([&mut [f32]; 3])) {
    match slots {
        [] => f([&mut [], &mut [], &mut []]),
        [a] => a.cpu_mut(|a| f([a, &mut [], &mut []])),
        [a, b] => a.cpu_mut(|a| b.cpu_mut(|b| f([a, b, &mut []]))),
        [a, b, c, ..] => a.cpu_mut(|a| b.cpu_mut(|b| c.cpu_mut(|c| f([a, b, c])))),
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
        [a, b, c]: [&mut [f32]; 3],
        drawn: Option<&RowGradient>,
        groups: Option<&Grouping>,
    ) {
        let whole = [(0..p.len(), [1.0; 2])];
        let ranges = groups.map_or(&whole[..], |groups| &groups.ranges);
        let mut rest = Moved { at: 0, words: [p, a, b, c] };
        match drawn {
            None => {
                for (range, own) in ranges {
                    // A layer that was built since is not there yet.
                    let range = range.start.min(g.len())..range.end.min(g.len());
                    self.step(*own).run(rest.take(&range).words, &mut g[range]);
                }
            }
            Some(drawn) => {
                let step = self.step(ranges.first().map_or([1.0; 2], |(_, own)| *own));
                let size = drawn.size().max(1);
                let words = |row: u32| row as usize * size..(row as usize + 1) * size;
                // As many rows as are worth a thread's asking.
                let each = GRAIN.div_ceil(size);
                let jobs = drawn.rows.chunks(each).zip(g.chunks_mut(each * size));
                let jobs = jobs.map(|(rows, g)| {
                    let (first, last) = (rows.first().copied(), rows.last().copied());
                    let range = words(first.unwrap_or(0)).start..words(last.unwrap_or(0)).end;
                    (rows, rest.take(&range), g)
                });
                let threads = threads::count().min(drawn.rows.len().div_ceil(each));
                threads::each(jobs, threads, |(rows, mut rest, g)| {
                    for (row, g) in rows.iter().zip(g.chunks_exact_mut(size)) {
                        step.run(rest.take(&words(*row)).words, g);
                    }
                });
            }
        }
    }

    /// The step of parameters with factors of their own.
    fn step(&self, [rate, decay]: Factors) -> Step {
        let rule = self.rule;
        Step {
            kind: rule.kind,
            inverse: self.inverse,
            factors: self.factors,
            betas: [rule.beta1, rule.beta2],
            epsilon: rule.epsilon,
            rate,
            l2: rule.l2 * decay,
            left: 1.0 - rule.decay * (rate * decay),
        }
    }
}

/// Parameters and what is kept for them, from the element `at` on. A rule that keeps less has no words there.
struct Moved<'a> {
    at: usize,
    words: [&'a mut [f32]; 4],
}

impl<'a> Moved<'a> {
    /// Those in a range, which begins where the last one ended, or behind.
    fn take(&mut self, range: &Range<usize>) -> Self {
        let (skipped, taken) = (range.start.saturating_sub(self.at), range.len());
        self.at = range.end;
        let words = self.words.each_mut().map(|rest| {
            let words = std::mem::take(rest);
            let (_, words) = words.split_at_mut(skipped.min(words.len()));
            let (words, behind) = words.split_at_mut(taken.min(words.len()));
            *rest = behind;
            words
        });
        Self { at: range.start, words }
    }
}
