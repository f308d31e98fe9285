//! What belongs to parameters: tables, penalties, the steps of optimizers.

use super::super::optimizers::{Scaled, rules};
use super::super::oracle::Random;
use super::super::tensor;
use super::{Case, argument, none, pairs, words};
use crate::ops::frames::embedding;
use crate::ops::optim::update::{StepFactors, update};
use crate::ops::optim::{loss_scale, regularizer};

/// The row that a number names, if there is one.
fn named(id: f64, rows: usize) -> Option<usize> {
    (id >= 0.0 && id < rows as f64 && id.fract() == 0.0).then_some(id as usize)
}

#[test]
fn tables() {
    let mut failures = Vec::new();
    let ([n, rows, size], seed) = ([37, 9, 5], 117);
    let mut r = Random::new(seed);
    let ids: Vec<f32> = (0..n).map(|_| r.below(rows) as f32).collect();
    Case {
        op: "embedding",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![
            argument("ids", ids.clone()),
            argument("table", r.uniform(rows * size, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let (ids, table) = (tensor(&x[0], [n], device), tensor(&x[1], [rows, size], device));
            vec![words(embedding::embedding(&ids, &table, [rows, size]))]
        },
        formula: &|x| {
            let row = |&id: &f64| match named(id, rows) {
                Some(id) => x[1][id * size..][..size].to_vec(),
                None => vec![f64::NAN; size],
            };
            vec![x[0].iter().flat_map(row).collect()]
        },
    }
    .check(&mut failures);
    let padding = 1;
    let of_padding: Vec<_> = (0..n * size).filter(|i| ids[i / size] as usize == padding).collect();
    Case {
        op: "embedding",
        what: "backward".to_owned(),
        seed,
        bound: 1e-5,
        arguments: vec![
            argument("ids", ids),
            argument("d_y", r.uniform(n * size, -1.0, 1.0)).but(of_padding),
            argument("d_table", r.uniform(rows * size, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let d_y = tensor(&x[1], [n, size], device);
            let d_table = tensor(&x[2], [rows, size], device);
            let named = |(place, &id)| Some((place, embedding::row_of(id, rows)?));
            let drawn = (0..).zip(&x[0]).filter_map(named);
            let drawn = drawn.filter(|&(_, row)| row as usize != padding);
            let drawn = embedding::Places::new(drawn);
            embedding::backward(&drawn, &d_y, &d_table, [rows, size]).unwrap();
            vec![d_table.to_vec().unwrap()]
        },
        formula: &|x| {
            let mut d_table = x[2].clone();
            for (id, d_y) in x[0].iter().zip(x[1].chunks(size)) {
                let Some(id) = named(*id, rows).filter(|&id| id != padding) else { continue };
                let to = &mut d_table[id * size..][..size];
                to.iter_mut().zip(d_y).for_each(|(to, d)| *to += d);
            }
            vec![d_table]
        },
    }
    .check(&mut failures);
    none(&failures);
}

#[test]
fn penalties() {
    let mut failures = Vec::new();
    let (n, seed) = (4099, 118);
    let mut r = Random::new(seed);
    for (l1, l2) in [(0.25f32, 0.5f32), (0.25, 0.0), (0.0, 0.5)] {
        Case {
            op: "regularizer",
            what: format!("l1 {l1}, l2 {l2}"),
            seed,
            bound: 1e-5,
            arguments: vec![
                argument("x", r.uniform(n, -1.0, 1.0)),
                argument("d_loss", vec![2.0]),
                argument("d_x", r.uniform(n, -1.0, 1.0)),
            ],
            run: &|device, x| {
                let (d_loss, d_x) = (tensor(&x[1], [1], device), tensor(&x[2], [n], device));
                let x = tensor(&x[0], [n], device);
                regularizer::backward(&x, [l1, l2], &d_loss, &d_x, true).unwrap();
                vec![words(regularizer::penalty(&x, [l1, l2])), d_x.to_vec().unwrap()]
            },
            formula: &|x| {
                let [l1, l2] = [l1, l2].map(f64::from);
                let sum: f64 = x[0].iter().map(|x| l1 * x.abs() + l2 * x * x).sum();
                let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
                let slope = |v: f64| x[1][0] * (l1 * sign(v) + 2.0 * l2 * v);
                vec![vec![sum], pairs(&x[0], &x[2], |v, before| before + slope(v))]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

/// A column of a NaN stays as it is: it has no norm, and the NaN must not hide. One of an infinity has
/// a norm above every limit.
#[test]
fn limits_of_norms() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (7, 67, 119);
    let mut r = Random::new(seed);
    Case {
        op: "max_norm",
        what: String::new(),
        seed,
        bound: 1e-5,
        arguments: vec![argument("x", r.uniform(rows * c, -1.0, 1.0))],
        run: &|device, x| {
            let x = tensor(&x[0], [rows, c], device);
            regularizer::max_norm(&x, c, 1.5).unwrap();
            vec![x.to_vec().unwrap()]
        },
        formula: &|x| {
            let scale = |j: usize| {
                let norm = x[0].iter().skip(j).step_by(c).map(|x| x * x).sum::<f64>().sqrt();
                if norm > 1.5 { 1.5 / norm } else { 1.0 }
            };
            let scales: Vec<_> = (0..c).map(scale).collect();
            vec![x[0].iter().enumerate().map(|(i, x)| x * scales[i % c]).collect()]
        },
    }
    .check(&mut failures);
    none(&failures);
}

/// Whether a scaled step is left out, and the state of the scale and the count behind it; the count was
/// 3 before.
fn settled(g: &[f64]) -> (bool, Vec<f64>, Vec<f64>) {
    let bad = g.iter().any(|g| !g.is_finite());
    let state = match bad {
        true => vec![32_768.0, 0.0, 0.0, 0.0],
        false => vec![65_536.0, 1.0 / 65_536.0, 1.0, 0.0],
    };
    (bad, state, vec![if bad { 3.0 } else { 4.0 }])
}

#[test]
fn loss_scales() {
    let mut failures = Vec::new();
    let (n, seed) = (259, 120);
    let mut r = Random::new(seed);
    Case {
        op: "loss_scale",
        what: "settle".to_owned(),
        seed,
        bound: 0.0,
        arguments: vec![argument("g", r.uniform(n, -1.0, 1.0))],
        run: &|device, x| {
            let state = loss_scale::state(device).unwrap();
            let count = tensor(&[3.0], [1], device);
            loss_scale::settle(&[&tensor(&x[0], [n], device)], &state, &count).unwrap();
            vec![state.to_vec().unwrap(), count.to_vec().unwrap()]
        },
        formula: &|x| {
            let (_, state, count) = settled(&x[0]);
            vec![state, count]
        },
    }
    .check(&mut failures);
    Case {
        op: "loss_scale",
        what: "rescale".to_owned(),
        seed,
        bound: 1e-6,
        arguments: vec![argument("x", r.uniform(n, -1.0, 1.0))],
        run: &|device, x| {
            let (x, state) = (tensor(&x[0], [n], device), loss_scale::state(device).unwrap());
            let rescale = |inverse| words(loss_scale::rescale(&x, &state, inverse));
            vec![rescale(false), rescale(true)]
        },
        formula: &|x| [65_536.0, 1.0 / 65_536.0].map(|by| scaled(&x[0], by)).to_vec(),
    }
    .check(&mut failures);
    none(&failures);
}

fn scaled(x: &[f64], by: f64) -> Vec<f64> {
    x.iter().map(|x| x * by).collect()
}

/// The fourth step of each rule: parameters, what is kept, gradients.
#[test]
fn steps_of_optimizers() {
    let mut failures = Vec::new();
    let (n, seed) = (131, 121);
    let mut r = Random::new(seed);
    for (rule, mut formula) in rules() {
        let kept = rule.kind.slots().len();
        // Of three steps before.
        let product = 0.125;
        (formula.t, formula.product) = (3, product);
        for scaling in [false, true] {
            let names = ["p", "g", "a", "b", "c"];
            let of = |&name: &&'static str| {
                let least = if matches!(name, "p" | "g") { -1.0 } else { 0.1 };
                argument(name, r.uniform(n, least, 1.0))
            };
            Case {
                op: "update",
                what: format!("{:?}, scaled {scaling}", rule.kind),
                seed,
                bound: 1e-4,
                arguments: names[..2 + kept].iter().map(of).collect(),
                run: &|device, x| {
                    let [p, mut g] = [0, 1].map(|at| tensor(&x[at], [n], device));
                    let slots: Vec<_> = x[2..].iter().map(|x| tensor(x, [n], device)).collect();
                    let scaled = Scaled::new(3.0, product as f32, device);
                    let mut factors = StepFactors::Known(rule.factors(4, &mut product.clone()));
                    if scaling {
                        g = scaled.settle(&rule, &g);
                        factors = scaled.factors();
                    }
                    update(&rule, [&p, &g], &slots, &factors, None, None).unwrap();
                    [p, g].iter().chain(&slots).map(|t| t.to_vec().unwrap()).collect()
                },
                formula: &|x| {
                    let (mut p, mut formula) = (x[0].clone(), formula.clone());
                    formula.slots = x[2..].to_vec();
                    if !(scaling && settled(&x[1]).0) {
                        formula.step(&mut p, &x[1]);
                    }
                    [vec![p, vec![0.0; n]], formula.slots].concat()
                },
            }
            .check(&mut failures);
        }
    }
    none(&failures);
}
