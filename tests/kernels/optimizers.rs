//! The rules of optimizers, over a few steps: with a loss scale and without, of groups, of rows of a table.

use super::oracle::optim::{self as exact, Optimizer};
use super::oracle::{Random, widen};
use super::{assert_same_bits, close, close_values, devices, tensor};
use crate::ops::optim::drawn::RowGradient;
use crate::ops::optim::grouping::Grouping;
use crate::ops::optim::loss_scale;
use crate::ops::optim::rule::{Kind, Rule};
use crate::ops::optim::step_factors::step_factors;
use crate::ops::optim::update::{StepFactors, update};
use crate::{Device, Tensor};

/// A rule with options, and its formula. A large rate, so that an error of it shows.
pub(super) fn rules() -> Vec<(Rule, Optimizer)> {
    let one = |kind: Kind| {
        let (momentum, momentum_decay, lr_decay) = (0.9, 0.5, 0.05);
        let of_momentum = |nesterov| exact::Rule::Sgd { momentum, nesterov };
        let of_squares = |momentum, centered| exact::Rule::RmsProp { momentum, centered };
        let (rule, slowing) = match kind {
            Kind::Descent => (exact::Rule::Sgd { momentum: 0.0, nesterov: false }, 0.0),
            Kind::Momentum => (of_momentum(false), 0.0),
            Kind::Nesterov => (of_momentum(true), 0.0),
            Kind::Adam => (exact::Rule::Adam { amsgrad: false }, 0.0),
            Kind::AmsGrad => (exact::Rule::Adam { amsgrad: true }, 0.0),
            Kind::Adamax => (exact::Rule::Adamax, 0.0),
            Kind::NAdam => (exact::Rule::NAdam { momentum_decay }, momentum_decay),
            Kind::RAdam => (exact::Rule::RAdam, 0.0),
            Kind::RmsProp => (of_squares(0.0, false), 0.0),
            Kind::RmsPropMomentum => (of_squares(momentum, false), 0.0),
            Kind::RmsPropCentered => (of_squares(0.0, true), 0.0),
            Kind::RmsPropCenteredMomentum => (of_squares(momentum, true), 0.0),
            Kind::Adagrad => (exact::Rule::Adagrad { lr_decay }, lr_decay),
            Kind::Adadelta => (exact::Rule::Adadelta, 0.0),
            Kind::Lion => (exact::Rule::Lion, 0.0),
        };
        // RAdam leaves its second moment out of the first steps.
        let beta2 = if kind == Kind::RAdam { 0.9 } else { 0.99 };
        let (lr, beta1, eps, decay, l2) = (0.5, momentum, 1e-3, 0.1, 0.05);
        let (t, product, slots) = (0, 1.0, vec![]);
        let formula = Optimizer { rule, lr, beta1, beta2, eps, decay, l2, t, product, slots };
        let of = Rule {
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            epsilon: eps as f32,
            decay: (lr * decay) as f32,
            l2: l2 as f32,
            slowing: slowing as f32,
            ..Rule::new(kind, lr as f32)
        };
        (of, formula)
    };
    Kind::ALL.iter().map(|&kind| one(kind)).collect()
}

fn zeros(n: usize, device: &Device) -> Tensor {
    tensor(&vec![0.0; n], [n], device)
}

pub(super) fn slots(rule: &Rule, n: usize, device: &Device) -> Vec<Tensor> {
    rule.kind.slots().iter().map(|_| zeros(n, device)).collect()
}

/// A step's gradients as the optimizer gets them, and what tells it their scale and number.
pub(super) struct Scaled {
    state: Tensor,
    count: Tensor,
    factors: Tensor,
}

impl Scaled {
    pub(super) fn new(made: f32, product: f32, device: &Device) -> Self {
        Self {
            state: loss_scale::state(device).unwrap(),
            count: tensor(&[made, product], [2], device),
            factors: tensor(&[f32::NAN; 4], [4], device),
        }
    }

    /// The gradient times the scale.
    pub(super) fn settle(&self, rule: &Rule, g: &Tensor) -> Tensor {
        let g = loss_scale::rescale(g, &self.state, false).unwrap();
        loss_scale::settle(&[&g], &self.state, &self.count.view(0, [1])).unwrap();
        step_factors(rule, &self.state, &self.count, &self.factors).unwrap();
        g
    }

    pub(super) fn factors(&self) -> StepFactors {
        StepFactors::OnDevice(self.factors.clone())
    }
}

#[test]
fn five_steps_of_each() {
    let mut r = Random::new(1);
    // Past a vector, a block, and what a thread takes.
    for n in [1, 17, 128, 129, 1009, 16_385] {
        let p_0 = r.uniform(n, -1.0, 1.0);
        let gradients: Vec<_> = (0..8).map(|_| r.uniform(n, -1.0, 1.0)).collect();
        for (rule, mut formula) in rules() {
            formula.slots = vec![vec![0.0; n]; 3];
            let mut p64 = widen(&p_0);
            for g in &gradients {
                formula.step(&mut p64, &widen(g));
            }
            for (name, device) in devices() {
                let what = |scaled: &str| format!("{:?}{scaled} of {n}, {name}", rule.kind);
                let (p, kept) = (tensor(&p_0, [n], device), slots(&rule, n, device));
                let mut product = 1.0;
                for (t, g) in (1..).zip(&gradients) {
                    let g = tensor(g, [n], device);
                    let factors = StepFactors::Known(rule.factors(t, &mut product));
                    update(&rule, [&p, &g], &kept, &factors, None, None).unwrap();
                    assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0), "{name}");
                }
                close(&what(""), &p, &p64, 1e-5);
                for (slot, expected) in kept.iter().zip(&formula.slots) {
                    close(&what(", what is kept,"), slot, expected, 1e-5);
                }

                let (p, kept) = (tensor(&p_0, [n], device), slots(&rule, n, device));
                let scaled = Scaled::new(0.0, 1.0, device);
                for (t, g) in gradients.iter().enumerate() {
                    if t == 2 {
                        skipped(&rule, &scaled, &p, &kept);
                    }
                    let g = scaled.settle(&rule, &tensor(g, [n], device));
                    update(&rule, [&p, &g], &kept, &scaled.factors(), None, None).unwrap();
                    assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0), "{name}");
                }
                assert_eq!(scaled.count.to_vec().unwrap()[0], 8.0);
                close(&what(", scaled,"), &p, &p64, 2e-5);
            }
        }
    }
}

/// A gradient that is not finite, in the last place: nothing moves, and the scale is halved.
fn skipped(rule: &Rule, scaled: &Scaled, p: &Tensor, kept: &[Tensor]) {
    let all = || [p].into_iter().chain(kept).map(|t| t.to_vec().unwrap()).collect::<Vec<_>>();
    let before = all();
    let (scale, count) = (scaled.state.to_vec().unwrap()[0], scaled.count.to_vec().unwrap());
    for bad in [f32::INFINITY, f32::NAN] {
        let mut g = vec![1.0; p.len()];
        g[p.len() - 1] = bad;
        let g = scaled.settle(rule, &tensor(&g, [p.len()], &p.device()));
        update(rule, [p, &g], kept, &scaled.factors(), None, None).unwrap();
        assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0));
    }
    assert_eq!(all(), before);
    assert_eq!(scaled.state.to_vec().unwrap(), [scale / 4.0, 0.0, 0.0, 0.0]);
    assert_eq!(scaled.count.to_vec().unwrap(), count);
}

/// What the device makes of the number of a step is what the host does, however many there were.
#[test]
fn factors_of_late_steps() {
    let step = |rule: &Rule, t: i32, product: f64| {
        let mut after = product;
        let [x, y, z] = rule.factors(t, &mut after).map(f64::from);
        ([x, y, z], after)
    };
    for (mut rule, _) in rules() {
        for beta2 in [0.0, 0.6, 0.9, 0.999, 0.9999] {
            rule.beta2 = beta2;
            for t in [1, 2, 4, 5, 6, 7, 40, 999, 1000, 1001, 20_000, 1_000_000] {
                let product = 0.25f64.powi(t.min(9) - 1);
                let (expected, after) = step(&rule, t, product);
                for (name, device) in devices() {
                    let scaled = Scaled::new(t as f32 - 1.0, product as f32, device);
                    let _ = scaled.settle(&rule, &tensor(&[1.0], [1], device));
                    let found = scaled.factors.to_vec().unwrap();
                    let what = format!("{:?}, step {t}, beta2 {beta2}, {name}", rule.kind);
                    assert_eq!(found[0], 1.0 / 65_536.0, "{what}");
                    for (found, expected) in found[1..].iter().zip(expected) {
                        close_values(&what, &[*found], &[expected], 2e-5);
                    }
                    let product = scaled.count.to_vec().unwrap()[1];
                    if rule.kind == Kind::NAdam {
                        close_values(&what, &[product], &[after], 1e-6);
                    }
                }
            }
        }
    }
}

/// Blocks of parameters with a rate and a decay of their own, and some that stay as they are.
#[test]
fn groups_of_blocks() {
    let (n, mut r) = (1152, Random::new(2));
    let ranges = vec![
        (0..128, [1.0, 1.0]),
        (128..384, [0.25, 0.5]),
        (384..512, [0.0, 1.0]),
        (512..640, [1.0, 0.0]),
        (640..1152, [0.0, 0.0]),
    ];
    let p_0 = r.uniform(n, -1.0, 1.0);
    let gradients: Vec<_> = (0..3).map(|_| r.uniform(n, -1.0, 1.0)).collect();
    for (rule, formula) in rules() {
        let mut expected = Vec::new();
        for (range, own) in &ranges {
            let mut formula = formula.clone();
            let [rate, decay] = own.map(f64::from);
            (formula.lr, formula.decay) = (formula.lr * rate, formula.decay * decay);
            formula.l2 *= decay;
            formula.slots = vec![vec![0.0; range.len()]; 3];
            let mut p = widen(&p_0[range.clone()]);
            for g in gradients.iter().filter(|_| rate > 0.0) {
                formula.step(&mut p, &widen(&g[range.clone()]));
            }
            expected.extend(p);
        }
        for (name, device) in devices() {
            for scaling in [false, true] {
                let groups = Grouping::of_ranges(ranges.clone(), device).unwrap();
                let (p, kept) = (tensor(&p_0, [n], device), slots(&rule, n, device));
                let (scaled, mut product) = (Scaled::new(0.0, 1.0, device), 1.0);
                for (t, g) in (1..).zip(&gradients) {
                    let mut g = g.clone();
                    if !scaling {
                        g[400] = f32::NAN;
                    }
                    let mut g = tensor(&g, [n], device);
                    let mut factors = StepFactors::Known(rule.factors(t, &mut product));
                    if scaling {
                        g = scaled.settle(&rule, &g);
                        factors = scaled.factors();
                    }
                    update(&rule, [&p, &g], &kept, &factors, None, Some(&groups)).unwrap();
                    assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0), "{name}");
                }
                let what = format!("{:?} in groups, scaled {scaling}, {name}", rule.kind);
                close(&what, &p, &expected, 2e-5);
                let frozen = [384..512, 640..1152];
                for range in frozen {
                    let found = p.to_vec().unwrap();
                    assert_same_bits(&what, &found[range.clone()], &p_0[range.clone()]);
                    for slot in &kept {
                        let slot = slot.to_vec().unwrap();
                        assert!(slot[range.clone()].iter().all(|&v| v == 0.0), "{what}");
                    }
                }
            }
        }
    }
}

/// Some rows of a table move as all parameters do, the others stay as they are.
#[test]
fn rows_of_a_table() {
    let ([rows, size], mut r) = ([37, 5], Random::new(3));
    let p_0 = r.uniform(rows * size, -1.0, 1.0);
    let drawn = [0, 3, 4, 19, 36];
    for (rule, formula) in rules() {
        for own in [None, Some([0.5, 0.5])] {
            let values = r.uniform(drawn.len() * size, -1.0, 1.0);
            let mut expected = widen(&p_0);
            for (&row, g) in drawn.iter().zip(values.chunks(size)) {
                let mut formula = formula.clone();
                let by = own.map_or(1.0, |_| 0.5);
                (formula.lr, formula.decay, formula.l2) =
                    (formula.lr * by, formula.decay * by, formula.l2 * by);
                formula.slots = vec![vec![0.0; size]; 3];
                let row = row as usize * size..(row as usize + 1) * size;
                formula.step(&mut expected[row], &widen(g));
            }
            for (name, device) in devices() {
                let p = tensor(&p_0, [rows, size], device);
                let kept = slots(&rule, rows * size, device);
                let g = tensor(&values, [drawn.len(), size], device);
                let g = RowGradient { rows: drawn.into(), values: g };
                let own = own.map(|own| Grouping::of_table(rows * size, own, device).unwrap());
                let factors = StepFactors::Known(rule.factors(1, &mut 1.0));
                update(&rule, [&p, &g.values], &kept, &factors, Some(&g), own.as_ref()).unwrap();
                let what = format!("{:?} of rows, groups {}, {name}", rule.kind, own.is_some());
                close(&what, &p, &expected, 1e-5);
                let found = p.to_vec().unwrap();
                assert_same_bits(&what, &found[size..3 * size], &p_0[size..3 * size]);
            }
        }
    }
}

/// The scale doubles after 2,000 finite steps, and stays in its range.
#[test]
fn the_loss_scale_grows_and_ends() {
    for (name, device) in devices() {
        let count = tensor(&[0.0], [1], device);
        let settle = |state: [f32; 4], g: f32| {
            let state = tensor(&state, [4], device);
            loss_scale::settle(&[&tensor(&[g], [1], device)], &state, &count).unwrap();
            state.to_vec().unwrap()
        };
        assert_eq!(settle([8.0, 0.0, 1998.0, 0.0], 1.0), [8.0, 0.125, 1999.0, 0.0], "{name}");
        assert_eq!(settle([8.0, 0.0, 1999.0, 0.0], 1.0), [16.0, 0.125, 0.0, 0.0], "{name}");
        let most = 2f32.powi(24);
        assert_eq!(settle([most, 0.0, 1999.0, 0.0], 1.0)[0], most, "{name}");
        let least = 2f32.powi(-24);
        assert_eq!(settle([least, 0.0, 7.0, 0.0], f32::NAN), [least, 0.0, 0.0, 0.0], "{name}");
    }
}
