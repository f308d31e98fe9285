//! Ops of element by element, and those that copy and add up.

use super::super::oracle::dense::{Activation, activate, activate_backward};
use super::super::oracle::{Random, widen};
use super::super::{devices, has_f16, inner, lacks, tensor};
use super::frames::counting;
use super::{Case, argument, none, one_gpu, pairs, with_zeros, words};
use crate::device::overrides::Forced;
use crate::ops::common::threefry::Key;
use crate::ops::elementwise::{
    activation, add, add_into, copy, dropout, half, merge, mix, multiply,
};
use crate::ops::frames::{apply_mask, copy_columns, gather, pack, swap_axes};
use crate::ops::sums::{column_sum, reduce_sum};
use crate::{Device, Lengths, Mask, Tensor};

#[test]
fn activations() {
    let mut failures = Vec::new();
    let (n, seed) = (131, 101);
    let mut r = Random::new(seed);
    for (kind, of) in [
        (activation::Kind::Sigmoid, Activation::Sigmoid),
        (activation::Kind::Tanh, Activation::Tanh),
        (activation::Kind::Relu, Activation::Relu),
    ] {
        Case {
            op: "activation",
            what: format!("{kind:?}"),
            seed,
            bound: 1e-5,
            arguments: vec![argument("x", r.uniform(n, -4.0, 4.0))],
            run: &|device, x| {
                vec![words(activation::activation(kind, &tensor(&x[0], [n], device)))]
            },
            formula: &|x| vec![activate(of, &x[0], 1)],
        }
        .check(&mut failures);
        let y = activate(of, &widen(&r.uniform(n, -4.0, 4.0)), 1);
        let y = y.into_iter().map(|y| y as f32).collect();
        Case {
            op: "activation",
            what: format!("{kind:?} backward"),
            seed,
            bound: 1e-4,
            arguments: vec![argument("y", y), argument("d_y", r.uniform(n, -1.0, 1.0))],
            run: &|device, x| {
                let (y, d_y) = (tensor(&x[0], [n], device), tensor(&x[1], [n], device));
                vec![words(activation::backward(kind, &y, &d_y))]
            },
            formula: &|x| match of {
                // What is off has no gradient, whatever arrives.
                Activation::Relu => {
                    vec![pairs(&x[0], &x[1], |y, d| if y <= 0.0 { 0.0 } else { d })]
                }
                _ => vec![activate_backward(of, &x[0], &x[1], 1)],
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

#[test]
fn sums_and_copies() {
    let mut failures = Vec::new();
    let (n, seed) = (131, 102);
    let mut r = Random::new(seed);
    let mut two =
        || vec![argument("x", r.uniform(n, -1.0, 1.0)), argument("y", r.uniform(n, -1.0, 1.0))];
    Case {
        op: "add",
        what: String::new(),
        seed,
        bound: 1e-6,
        arguments: two(),
        run: &|device, x| {
            vec![words(add::add(&tensor(&x[0], [n], device), &tensor(&x[1], [n], device)))]
        },
        formula: &|x| vec![pairs(&x[0], &x[1], |a, b| a + b)],
    }
    .check(&mut failures);
    Case {
        op: "multiply",
        what: String::new(),
        seed,
        bound: 1e-6,
        arguments: two(),
        run: &|device, x| {
            let [a, b] = [&x[0], &x[1]].map(|x| tensor(x, [n], device));
            vec![words(multiply::multiply(&a, &b))]
        },
        formula: &|x| vec![pairs(&x[0], &x[1], |a, b| a * b)],
    }
    .check(&mut failures);
    Case {
        op: "add_into",
        what: String::new(),
        seed,
        bound: 1e-6,
        arguments: two(),
        run: &|device, x| {
            let y = tensor(&x[1], [n], device);
            add_into::add_into(&tensor(&x[0], [n], device), &y).unwrap();
            vec![y.to_vec().unwrap()]
        },
        formula: &|x| vec![pairs(&x[0], &x[1], |a, b| a + b)],
    }
    .check(&mut failures);
    Case {
        op: "copy",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: two(),
        run: &|device, x| {
            let y = tensor(&x[1], [n], device);
            copy::copy(&tensor(&x[0], [n], device), &y).unwrap();
            vec![y.to_vec().unwrap()]
        },
        formula: &|x| vec![x[0].clone()],
    }
    .check(&mut failures);
    Case {
        op: "reduce_sum",
        what: String::new(),
        seed,
        bound: 1e-5,
        arguments: vec![argument("x", r.uniform(n, 0.0, 1.0)), argument("y", vec![7.0])],
        run: &|device, x| {
            let y = tensor(&x[1], [1], device);
            reduce_sum::reduce_sum(&tensor(&x[0], [n], device), 0.5, true, &y).unwrap();
            vec![y.to_vec().unwrap()]
        },
        formula: &|x| vec![vec![x[1][0] + 0.5 * x[0].iter().sum::<f64>()]],
    }
    .check(&mut failures);
    Case {
        op: "fill",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![argument("value", vec![2.5])],
        run: &|device, x| {
            let y = Tensor::empty([n], device).unwrap();
            y.fill(x[0][0]).unwrap();
            vec![y.to_vec().unwrap()]
        },
        formula: &|x| vec![vec![x[0][0]; n]],
    }
    .check(&mut failures);
    let with_halves: Vec<_> =
        devices().iter().filter(|(_, d)| !d.is_gpu() || has_f16(d)).cloned().collect();
    lacks("f16", with_halves.iter().any(|(_, device)| device.is_gpu()));
    Case {
        op: "half",
        what: String::new(),
        seed,
        bound: 1e-3,
        arguments: vec![argument("x", r.uniform(n, -8.0, 8.0))],
        run: &|device, x| vec![words(half::half(&tensor(&x[0], [n], device)))],
        formula: &|x| vec![x[0].clone()],
    }
    .check_on(&with_halves, &mut failures);
    none(&failures);
}

fn summed_columns(x: &[f64], y: &[f64]) -> Vec<f64> {
    let mut y = y.to_vec();
    for row in x.chunks(y.len()) {
        y.iter_mut().zip(row).for_each(|(y, x)| *y += x);
    }
    y
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn sums_of_columns() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (101, 33, 103);
    let mut r = Random::new(seed);
    let mut case = |devices: &[(String, Device)], what: &str| {
        Case {
            op: "column_sum",
            what: what.to_owned(),
            seed,
            bound: 1e-5,
            arguments: vec![
                argument("x", r.uniform(rows * c, -1.0, 1.0)),
                argument("y", r.uniform(c, -1.0, 1.0)),
            ],
            run: &|device, x| {
                let y = tensor(&x[1], [c], device);
                column_sum::column_sum(&tensor(&x[0], [rows, c], device), &y).unwrap();
                vec![y.to_vec().unwrap()]
            },
            formula: &|x| vec![summed_columns(&x[0], &x[1])],
        }
        .check_on(devices, &mut failures);
    };
    case(devices(), "");
    let sliced = one_gpu();
    inner(&sliced[0].1).force(Forced { slices: Some(3), ..Forced::default() }).unwrap();
    case(&sliced, "in slices");
    none(&failures);
}

#[test]
fn places() {
    let mut failures = Vec::new();
    let ([b, t, c], seed) = ([3, 7, 5], 104);
    let n = b * t * c;
    let mut r = Random::new(seed);
    Case {
        op: "copy_columns",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![
            argument("x", r.uniform(b * t * c, -1.0, 1.0)),
            argument("y", r.uniform(b * t * 7, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let (x, y) = (tensor(&x[0], [b * t, c], device), tensor(&x[1], [b * t, 7], device));
            copy_columns::copy_columns((&x, 1), (&y, 3), 3).unwrap();
            vec![y.to_vec().unwrap()]
        },
        formula: &|x| {
            let mut y = x[1].clone();
            for (y, x) in y.chunks_mut(7).zip(x[0].chunks(c)) {
                y[3..6].copy_from_slice(&x[1..4]);
            }
            vec![y]
        },
    }
    .check(&mut failures);
    Case {
        op: "swap_axes",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![argument("x", r.uniform(n, -1.0, 1.0))],
        run: &|device, x| vec![words(swap_axes::swap_axes(&tensor(&x[0], [b, t, c], device)))],
        formula: &|x| {
            let places = (0..t).flat_map(|at| (0..b).map(move |row| (row * t + at) * c));
            vec![places.flat_map(|place| x[0][place..place + c].to_vec()).collect()]
        },
    }
    .check(&mut failures);
    let on = counting(2, b, t);
    Case {
        op: "apply_mask",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![argument("x", r.uniform(n, -1.0, 1.0)).but((0..n).filter(|i| !on[i / c]))],
        run: &|device, x| {
            let mask = Mask::new(&on, [b, t], device).unwrap();
            vec![words(apply_mask::apply_mask(&tensor(&x[0], [b, t, c], device), &mask))]
        },
        formula: &|x| vec![(0..n).map(|i| if on[i / c] { x[0][i] } else { 0.0 }).collect()],
    }
    .check(&mut failures);
    let numbers = [4u32, 20, 0, 4, 24, 99];
    Case {
        op: "gather",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![
            argument("x", r.uniform(n, -1.0, 1.0)),
            argument("others", r.uniform(5 * c, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let numbers = Tensor::from_u32(&numbers, [6], device).unwrap();
            let [x, others] = [&x[0], &x[1]].map(|x| tensor(x, [x.len() / c, c], device));
            let some = Tensor::from_u32(&[4, 20, 0, 4, 24], [5], device).unwrap();
            let both = gather::gather(&x, Some(&others), &some);
            vec![words(both), words(gather::gather(&x, None, &numbers))]
        },
        formula: &|x| {
            let (own, both) = ([&x[0][..], &vec![0.0; 100 * c]].concat(), x.concat());
            let take = |from: &[f64], some: &[u32]| {
                some.iter().flat_map(|&k| from[k as usize * c..][..c].to_vec()).collect()
            };
            vec![take(&both, &numbers[..5]), take(&own, &numbers)]
        },
    }
    .check(&mut failures);
    let runs = [3u32, 9, 0, 0, 9, 10, 0, 3];
    Case {
        op: "sum_runs",
        what: String::new(),
        seed,
        bound: 1e-6,
        arguments: vec![argument("x", r.uniform(n, -1.0, 1.0))],
        run: &|device, x| {
            let runs = Tensor::from_u32(&runs, [4, 2], device).unwrap();
            let x = tensor(&x[0], [n / c, c], device);
            vec![words(gather::sum_runs(&x, &runs, 0..4)), words(gather::sum_runs(&x, &runs, 1..3))]
        },
        formula: &|x| {
            let sum = |run: &[u32]| {
                let frames = run[0] as usize..run[1] as usize;
                (0..c).map(move |j| frames.clone().map(|frame| x[0][frame * c + j]).sum())
            };
            let some = |runs: &[u32]| runs.chunks(2).flat_map(sum).collect();
            vec![some(&runs), some(&runs[2..6])]
        },
    }
    .check(&mut failures);
    // The longest row comes first.
    let lengths = [5usize, 7, 2];
    let order: Vec<_> = [1usize, 0, 2]
        .iter()
        .flat_map(|&row| (0..lengths[row]).map(move |at| row * t + at))
        .collect();
    Case {
        op: "pack",
        what: String::new(),
        seed,
        bound: 0.0,
        arguments: vec![
            argument("x", r.uniform(n, -1.0, 1.0))
                .but((0..n).filter(|i| i / c % t >= lengths[i / c / t])),
        ],
        run: &|device, x| {
            let lengths = Lengths::new(&lengths, device).unwrap();
            vec![words(pack::pack(&tensor(&x[0], [b, t, c], device), &lengths))]
        },
        formula: &|x| vec![order.iter().flat_map(|at| x[0][at * c..][..c].to_vec()).collect()],
    }
    .check(&mut failures);
    Case {
        op: "pack",
        what: "back".to_owned(),
        seed,
        bound: 0.0,
        arguments: vec![argument("packed", r.uniform(order.len() * c, -1.0, 1.0))],
        run: &|device, x| {
            let lengths = Lengths::new(&lengths, device).unwrap();
            vec![words(pack::unpack(&tensor(&x[0], [order.len(), c], device), &lengths, t))]
        },
        formula: &|x| {
            let mut y = vec![0.0; n];
            for (from, to) in x[0].chunks(c).zip(&order) {
                y[to * c..][..c].copy_from_slice(from);
            }
            vec![y]
        },
    }
    .check(&mut failures);
    none(&failures);
}

#[test]
fn halves_of_rows() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (7, 13, 105);
    let mut r = Random::new(seed);
    for kind in [merge::Kind::Sum, merge::Kind::Mean, merge::Kind::Product] {
        Case {
            op: "merge",
            what: format!("{kind:?}"),
            seed,
            bound: 1e-6,
            arguments: vec![
                argument("x", with_zeros(r.uniform(rows * 2 * c, -1.0, 1.0))),
                argument("d_y", r.uniform(rows * c, -1.0, 1.0)),
            ],
            run: &|device, x| {
                let (x, d_y) =
                    (tensor(&x[0], [rows, 2 * c], device), tensor(&x[1], [rows, c], device));
                vec![words(merge::merge(kind, &x)), words(merge::backward(kind, &x, &d_y))]
            },
            formula: &|x| {
                let (x, d_y) = (&x[0], &x[1]);
                let (mut y, mut d_x) = (vec![0.0; rows * c], vec![0.0; rows * 2 * c]);
                for i in 0..rows * c {
                    let [a, b] = [0, c].map(|half| i / c * 2 * c + half + i % c);
                    (y[i], d_x[a], d_x[b]) = match kind {
                        merge::Kind::Sum => (x[a] + x[b], d_y[i], d_y[i]),
                        merge::Kind::Mean => (0.5 * (x[a] + x[b]), 0.5 * d_y[i], 0.5 * d_y[i]),
                        merge::Kind::Product => (x[a] * x[b], d_y[i] * x[b], d_y[i] * x[a]),
                    };
                }
                vec![y, d_x]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}

#[test]
fn mixes() {
    let mut failures = Vec::new();
    let (n, seed) = (131, 107);
    let mut r = Random::new(seed);
    let arguments = ["a", "b", "t", "d_y"];
    Case {
        op: "mix",
        what: String::new(),
        seed,
        bound: 1e-6,
        arguments: arguments.map(|name| argument(name, r.uniform(n, -1.0, 1.0))).into(),
        run: &|device, x| {
            let x: Vec<_> = x.iter().map(|x| tensor(x, [n], device)).collect();
            let parts = [&x[0], &x[1], &x[2]];
            let slopes = mix::backward(parts, &x[3]).unwrap();
            [mix::mix(parts)].into_iter().chain(slopes.map(Ok)).map(words).collect()
        },
        formula: &|x| {
            let [a, b, t, d] = [0, 1, 2, 3].map(|k| &x[k]);
            let of = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<_>>();
            vec![
                of(&|i| b[i] + t[i] * (a[i] - b[i])),
                of(&|i| t[i] * d[i]),
                of(&|i| (1.0 - t[i]) * d[i]),
                of(&|i| (a[i] - b[i]) * d[i]),
            ]
        },
    }
    .check(&mut failures);
    none(&failures);
}

#[test]
fn dropouts() {
    let mut failures = Vec::new();
    let ([b, t, c], seed) = ([3, 7, 13], 106);
    let n = b * t * c;
    let mut r = Random::new(seed);
    let key = Key([3, 77]);
    for same_steps in [false, true] {
        let block = if same_steps { t * c } else { c };
        let dropped: Vec<_> =
            (0..n).map(|i| key.floats([(i / block * c + i % c) as u32, 2])[0] < 0.4).collect();
        Case {
            op: "dropout",
            what: format!("same steps {same_steps}"),
            seed,
            bound: 1e-6,
            arguments: vec![
                argument("x", r.uniform(n, -1.0, 1.0)).but((0..n).filter(|&i| dropped[i])),
            ],
            run: &|device, x| {
                let x = tensor(&x[0], [b, t, c], device);
                vec![words(dropout::dropout(&x, 0.4, key, same_steps))]
            },
            formula: &|x| {
                let kept = 1.0 - f64::from(0.4f32);
                vec![(0..n).map(|i| if dropped[i] { 0.0 } else { x[0][i] / kept }).collect()]
            },
        }
        .check(&mut failures);
    }
    none(&failures);
}
