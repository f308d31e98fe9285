//! Limits of gradients, and averages. What is no number must not become one: the loss scale looks for it.

use super::super::oracle::{self, Random};
use super::super::tensor;
use super::{Case, argument, none, pairs};
use crate::ops::optim::clip::{self, Units};
use crate::ops::optim::{average, loss_scale, norm};

#[test]
fn limits() {
    let mut failures = Vec::new();
    let (n, seed) = (4099, 141);
    let mut r = Random::new(seed);
    for scaled in [false, true] {
        let limit = |limit: f64| if scaled { limit * 65_536.0 } else { limit };
        let state = |device: &_| scaled.then(|| loss_scale::state(device).unwrap());
        let size = limit(1.0) as f32;
        Case {
            op: "clip_value",
            what: format!("scaled {scaled}"),
            seed,
            bound: 0.0,
            arguments: vec![argument("g", r.uniform(n, -size, size))],
            run: &|device, x| {
                let g = tensor(&x[0], [n], device);
                clip::value(&g, 0.5, state(device).as_ref()).unwrap();
                vec![g.to_vec().unwrap()]
            },
            formula: &|x| {
                let clipped = |&g: &f64| match g.is_nan() || (scaled && g.is_infinite()) {
                    true => g,
                    false => g.clamp(-limit(0.5), limit(0.5)),
                };
                vec![x[0].iter().map(clipped).collect()]
            },
        }
        .check(&mut failures);
        Case {
            op: "clip_norm",
            what: format!("scaled {scaled}"),
            seed,
            bound: 1e-6,
            arguments: vec![
                argument("a", r.uniform(n, -size, size)),
                argument("b", r.uniform(67, -size, size)),
            ],
            run: &|device, x| {
                let (a, b) = (tensor(&x[0], [n], device), tensor(&x[1], [67], device));
                norm::clip(&[&a, &b], 3.0, state(device).as_ref()).unwrap();
                let norm = norm::norm(&[&a, &b]).unwrap();
                vec![a.to_vec().unwrap(), b.to_vec().unwrap(), vec![norm as f32]]
            },
            formula: &|x| {
                let mut clipped = oracle::gradients::clip_norm(x, limit(3.0));
                clipped.push(vec![oracle::gradients::norm(&clipped)]);
                clipped
            },
        }
        .check(&mut failures);
        for units in [Units::Rows(17), Units::Columns(17)] {
            let (count, each) = (17, 35);
            let n = count * each;
            Case {
                op: "clip_units",
                what: format!("{units:?}, scaled {scaled}"),
                seed,
                bound: 2e-6,
                arguments: vec![
                    argument("w", r.uniform(n, -1.0, 1.0)),
                    argument("g", r.uniform(n, -size, size)),
                ],
                run: &|device, x| {
                    let [w, g] = [&x[0], &x[1]].map(|values| tensor(values, [n], device));
                    clip::units([&w, &g], units, 0.25, state(device).as_ref()).unwrap();
                    vec![g.to_vec().unwrap()]
                },
                formula: &|x| {
                    let unit = |i| match units {
                        Units::Rows(_) => i / each,
                        Units::Columns(_) => i % count,
                    };
                    vec![oracle::gradients::clip_units([&x[0], &x[1]], count, unit, limit(0.25))]
                },
            }
            .check(&mut failures);
        }
    }
    none(&failures);
}

#[test]
fn averages() {
    let mut failures = Vec::new();
    let (n, seed) = (67, 142);
    let mut r = Random::new(seed);
    Case {
        op: "average",
        what: String::new(),
        seed,
        bound: 3e-7,
        arguments: vec![
            argument("x", r.uniform(n, -1.0, 1.0)),
            argument("mean", r.uniform(n, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let [x, mean] = [&x[0], &x[1]].map(|values| tensor(values, [n], device));
            average::average(&x, &mean, 0.25).unwrap();
            vec![mean.to_vec().unwrap()]
        },
        formula: &|x| vec![pairs(&x[0], &x[1], |x, mean| mean + 0.25 * (x - mean))],
    }
    .check(&mut failures);
    none(&failures);
}
