//! Normalisation, pooling and attention.

use super::super::oracle::Random;
use super::super::oracle::dense::{Activation, activate};
use super::super::tensor;
use super::{Case, argument, lengths, moments, none, pairs, words};
use crate::lengths::Counted;
use crate::ops::attention;
use crate::ops::frames::pool;
use crate::ops::norm::layer_norm;
use crate::{Device, Lengths, Mask, Tensor};

#[test]
fn layer_norms() {
    let mut failures = Vec::new();
    let (rows, c, seed) = (5, 67, 112);
    let mut r = Random::new(seed);
    Case {
        op: "layer_norm",
        what: String::new(),
        seed,
        bound: 1e-4,
        arguments: vec![
            argument("x", r.uniform(rows * c, -2.0, 3.0)),
            argument("gain", r.uniform(c, -1.0, 2.0)),
            argument("bias", r.uniform(c, -1.0, 1.0)),
            argument("d_y", r.uniform(rows * c, -1.0, 1.0)),
        ],
        run: &|device, x| {
            let (gain, shift) = (tensor(&x[1], [c], device), tensor(&x[2], [c], device));
            let (d_y, x) = (tensor(&x[3], [rows, c], device), tensor(&x[0], [rows, c], device));
            let (y, stats) = layer_norm::layer_norm(&x, &gain, Some(&shift), 1e-3).unwrap();
            let [d_gain, d_bias] = [(); 2].map(|()| Tensor::zeros([c], device).unwrap());
            let d_x = layer_norm::backward(&x, &gain, &stats, &d_y, &d_gain, Some(&d_bias));
            [y, d_x.unwrap(), d_gain, d_bias].map(|t| t.to_vec().unwrap()).to_vec()
        },
        formula: &|x| {
            let [x, gain, shift, d_y] = x else { panic!("four arguments") };
            let (mut y, mut d_x) = (Vec::new(), Vec::new());
            let (mut d_gain, mut d_bias) = (vec![0.0; c], vec![0.0; c]);
            for (x, d_y) in x.chunks(c).zip(d_y.chunks(c)) {
                let (mean, root) = moments(x);
                let z: Vec<_> = x.iter().map(|x| (x - mean) * root).collect();
                let g = pairs(d_y, gain, |d, gain| d * gain);
                let sum = g.iter().sum::<f64>() / c as f64;
                let dot = pairs(&g, &z, |g, z| g * z).iter().sum::<f64>() / c as f64;
                y.extend((0..c).map(|j| gain[j] * z[j] + shift[j]));
                d_x.extend((0..c).map(|j| root * (g[j] - sum - z[j] * dot)));
                for j in 0..c {
                    d_gain[j] += d_y[j] * z[j];
                    d_bias[j] += d_y[j];
                }
            }
            vec![y, d_x, d_gain, d_bias]
        },
    }
    .check(&mut failures);
    none(&failures);
}

/// All steps, those before a length, or those of a mask with holes and an empty row.
pub(super) fn counting(which: usize, b: usize, t: usize) -> Vec<bool> {
    let lengths = lengths(b, t);
    let counts = |i: usize| match which {
        0 => true,
        1 => i % t < lengths[i / t],
        _ => i / t != 1 && !(i * 7 + i / t).is_multiple_of(3),
    };
    (0..b * t).map(counts).collect()
}

fn counted(which: usize, b: usize, t: usize, device: &Device) -> Counted {
    match which {
        0 => Counted::All,
        1 => Counted::Lengths(Lengths::new(&lengths(b, t), device).unwrap()),
        _ => Counted::Mask(Mask::new(&counting(which, b, t), [b, t], device).unwrap()),
    }
}

/// The pooled frames, and the gradient of all.
fn pooled(
    kind: pool::Kind,
    x: &[f64],
    d_y: &[f64],
    [b, t, c]: [usize; 3],
    on: &[bool],
) -> Vec<Vec<f64>> {
    let (mut y, mut d_x) = (vec![0.0; b * c], vec![0.0; b * t * c]);
    for i in 0..b * c {
        let (row, j) = (i / c, i % c);
        let places: Vec<_> =
            (row * t..(row + 1) * t).filter(|&at| on[at]).map(|at| at * c + j).collect();
        let [Some(&first), Some(&last)] = [places.first(), places.last()] else { continue };
        let sum: f64 = places.iter().map(|&at| x[at]).sum();
        // Nothing is larger than a NaN.
        let larger = |a: usize, b: usize| if x[b] > x[a] || x[b].is_nan() { b } else { a };
        let one = match kind {
            pool::Kind::Sum | pool::Kind::Mean => {
                let share = if kind == pool::Kind::Mean { places.len() as f64 } else { 1.0 };
                y[i] = sum / share;
                places.iter().for_each(|&at| d_x[at] = d_y[i] / share);
                continue;
            }
            pool::Kind::Max => places.iter().fold(first, |a, &b| larger(a, b)),
            pool::Kind::Last => last,
            pool::Kind::First => first,
        };
        (y[i], d_x[one]) = (x[one], d_y[i]);
    }
    vec![y, d_x]
}

#[test]
fn pools() {
    use pool::Kind::{First, Last, Max, Mean, Sum};
    let mut failures = Vec::new();
    let (dims, seed) = ([3, 7, 23], 113);
    let [b, t, c] = dims;
    let n = b * t * c;
    let mut r = Random::new(seed);
    for which in 0..3 {
        let on = counting(which, b, t);
        for kind in [Sum, Mean, Max, Last, First] {
            Case {
                op: "pool",
                what: format!("{kind:?}, steps {which}"),
                seed,
                bound: 1e-5,
                arguments: vec![
                    argument("x", r.uniform(n, -2.0, 3.0)).but((0..n).filter(|i| !on[i / c])),
                    argument("d_y", r.uniform(b * c, -1.0, 1.0)),
                ],
                run: &|device, x| {
                    let steps = counted(which, b, t, device);
                    let (x, d_y) = (tensor(&x[0], dims, device), tensor(&x[1], [b, c], device));
                    let (y, found) = pool::pool(kind, &x, dims, &steps).unwrap();
                    let d_x = pool::backward(kind, &d_y, dims, &steps, Some(&found));
                    vec![y.to_vec().unwrap(), words(d_x)]
                },
                formula: &|x| pooled(kind, &x[0], &x[1], dims, &on),
            }
            .check(&mut failures);
        }
    }
    none(&failures);
}

#[derive(Clone, Copy)]
struct Sizes {
    b: usize,
    u: usize,
    t: usize,
    h: usize,
    v: usize,
}

/// The contexts; the gradients of queries, keys and values; and that of the score.
/// `x`: queries, keys, values, score, the gradient of the contexts.
fn attended(s: Sizes, x: &[Vec<f64>], additive: bool, on: &[bool]) -> Vec<Vec<f64>> {
    let [q, k, values, score, d] = x else { panic!("five arguments") };
    let Sizes { b, u, t, h, v } = s;
    let (mut context, mut d_q) = (vec![0.0; b * u * v], vec![0.0; b * u * h]);
    let (mut d_k, mut d_values) = (vec![0.0; b * t * h], vec![0.0; b * t * v]);
    let mut d_score = vec![0.0; h];
    for query in 0..b * u {
        let row = query / u;
        let keys: Vec<_> = (row * t..(row + 1) * t).filter(|&key| on[key]).collect();
        let mixed = |key: usize, j: usize| (q[query * h + j] + k[key * h + j]).tanh();
        let part = |key: usize, j: usize| match additive {
            true => score[j] * mixed(key, j),
            false => q[query * h + j] * k[key * h + j],
        };
        let scores: Vec<f64> = keys.iter().map(|&key| (0..h).map(|j| part(key, j)).sum()).collect();
        let weights = activate(Activation::Softmax, &scores, scores.len().max(1));
        let d_weight =
            |key: &usize| -> f64 { (0..v).map(|j| d[query * v + j] * values[key * v + j]).sum() };
        let d_weights: Vec<_> = keys.iter().map(d_weight).collect();
        let dot: f64 = pairs(&weights, &d_weights, |w, d| w * d).iter().sum();
        for (i, &key) in keys.iter().enumerate() {
            for j in 0..v {
                context[query * v + j] += weights[i] * values[key * v + j];
            }
            for j in 0..v {
                d_values[key * v + j] += weights[i] * d[query * v + j];
            }
            let d_s = weights[i] * (d_weights[i] - dot);
            for (j, score) in score.iter().take(h).enumerate() {
                let (of_q, of_k) = (query * h + j, key * h + j);
                let slope = score * (1.0 - mixed(key, j) * mixed(key, j));
                d_q[of_q] += d_s * if additive { slope } else { k[of_k] };
                d_k[of_k] += d_s * if additive { slope } else { q[of_q] };
                d_score[j] += d_s * mixed(key, j);
            }
        }
    }
    let mut all = vec![context, d_q, d_k, d_values];
    if additive {
        all.push(d_score);
    }
    all
}

fn attentions(s: Sizes, additive: bool, failures: &mut Vec<String>) {
    let seed = 114;
    let Sizes { b, u, t, h, v } = s;
    let mut r = Random::new(seed);
    for which in 0..3 {
        let on = counting(which, b, t);
        let off = |size: usize| {
            let on = on.clone();
            (0..b * t * size).filter(move |i| !on[i / size])
        };
        Case {
            op: "attention",
            what: format!("{b}x{u}x{t}x{h}x{v}, additive {additive}, steps {which}"),
            seed,
            bound: 1e-4,
            arguments: vec![
                argument("q", r.uniform(b * u * h, -1.0, 1.0)),
                argument("k", r.uniform(b * t * h, -1.0, 1.0)).but(off(h)),
                argument("values", r.uniform(b * t * v, -1.0, 1.0)).but(off(v)),
                argument("score", r.uniform(h, -1.0, 1.0)),
                argument("d_context", r.uniform(b * u * v, -1.0, 1.0)),
            ],
            run: &|device, x| {
                // As the layer does, to what comes and to the gradients that go.
                let kept = |x: &[f32], size: usize| -> Vec<f32> {
                    x.iter().enumerate().map(|(i, &x)| if on[i / size] { x } else { 0.0 }).collect()
                };
                let call = attention::Attention {
                    q: tensor(&x[0], [b, u, h], device),
                    k: tensor(&kept(&x[1], h), [b, t, h], device),
                    values: tensor(&kept(&x[2], v), [b, t, v], device),
                    score: additive.then(|| tensor(&x[3], [h], device)),
                };
                let steps = counted(which, b, t, device);
                let (weights, context) = call.forward(&steps).unwrap();
                let d_context = tensor(&x[4], [b, u, v], device);
                let d = call.backward(&steps, &weights, &d_context).unwrap();
                let all = [context, d.q, d.k, d.values].map(|x| x.to_vec().unwrap());
                let [context, d_q, d_k, d_values] = all;
                let mut all = vec![context, d_q, kept(&d_k, h), kept(&d_values, v)];
                all.extend(d.score.map(|d| {
                    let d = d.to_vec().unwrap();
                    (0..h).map(|j| d.iter().skip(j).step_by(h).sum()).collect()
                }));
                all
            },
            formula: &|x| attended(s, x, additive, &on),
        }
        .check(failures);
    }
}

#[test]
fn attentions_by_products() {
    let mut failures = Vec::new();
    attentions(Sizes { b: 3, u: 2, t: 7, h: 5, v: 4 }, false, &mut failures);
    attentions(Sizes { b: 2, u: 1, t: 67, h: 3, v: 65 }, false, &mut failures);
    none(&failures);
}

#[test]
fn attentions_by_sums() {
    let mut failures = Vec::new();
    attentions(Sizes { b: 3, u: 2, t: 7, h: 5, v: 4 }, true, &mut failures);
    none(&failures);
}
