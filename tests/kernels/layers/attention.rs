//! Attention.

use super::super::oracle::{Random, central_difference, widen};
use super::super::{close_values, devices, tensor};
use super::{column_sums, counted, dot};
use crate::Device;
use crate::ops::attention::Attention;

#[derive(Debug, Clone, Copy)]
struct Sizes {
    b: usize,
    u: usize,
    t: usize,
    h: usize,
    v: usize,
}

const fn sizes(b: usize, u: usize, t: usize, h: usize, v: usize) -> Sizes {
    Sizes { b, u, t, h, v }
}

const FEW: [Sizes; 4] =
    [sizes(1, 1, 1, 1, 1), sizes(2, 3, 5, 7, 4), sizes(3, 1, 70, 3, 2), sizes(2, 2, 3, 66, 65)];

/// Past the ends of tiles and blocks: of 4 and 8 queries, of 64 keys, of 16 and 64 units, of 256 rows; and of the parts
/// of a long sum.
const MANY: [Sizes; 5] = [
    sizes(2, 71, 67, 19, 17),
    sizes(1, 13, 131, 67, 3),
    sizes(1, 301, 5, 3, 66),
    sizes(1, 3, 307, 17, 2),
    sizes(1, 2, 1100, 2, 1),
];

/// Queries, keys, values and score.
type Inputs<'a> = [&'a [f64]; 4];

/// The score of a query and a key, and the tanh of each unit if it is additive.
fn scored(
    s: Sizes,
    [q, k, _, score]: Inputs<'_>,
    additive: bool,
    at: [usize; 2],
) -> (f64, Vec<f64>) {
    let (q, k) = (&q[at[0] * s.h..][..s.h], &k[at[1] * s.h..][..s.h]);
    if !additive {
        return (q.iter().zip(k).map(|(q, k)| q * k).sum(), Vec::new());
    }
    let e: Vec<_> = q.iter().zip(k).map(|(q, k)| (q + k).tanh()).collect();
    (e.iter().zip(score).map(|(e, score)| e * score).sum(), e)
}

/// The keys of a query that count, and their weights.
fn weigh(s: Sizes, x: Inputs<'_>, additive: bool, on: &[bool], query: usize) -> Vec<(usize, f64)> {
    let first = query / s.u * s.t;
    let keys: Vec<_> = (first..first + s.t).filter(|&key| on[key]).collect();
    let exps = keys.iter().map(|&key| scored(s, x, additive, [query, key]).0.exp());
    let exps: Vec<_> = exps.collect();
    let sum: f64 = exps.iter().sum();
    keys.into_iter().zip(exps).map(|(key, e)| (key, e / sum)).collect()
}

fn attend(s: Sizes, x: Inputs<'_>, additive: bool, on: &[bool]) -> Vec<f64> {
    let mut context = vec![0.0; s.b * s.u * s.v];
    for query in 0..s.b * s.u {
        for (key, w) in weigh(s, x, additive, on, query) {
            for j in 0..s.v {
                context[query * s.v + j] += w * x[2][key * s.v + j];
            }
        }
    }
    context
}

/// The gradients of the inputs, given that of the contexts.
fn gradients(s: Sizes, x: Inputs<'_>, additive: bool, on: &[bool], d: &[f32]) -> [Vec<f64>; 4] {
    let [q, k, values, score] = x;
    let mut all = x.map(|x| vec![0.0; x.len()]);
    for query in 0..s.b * s.u {
        let d = &d[query * s.v..][..s.v];
        let weights = weigh(s, x, additive, on, query);
        let d_weight = |key: usize| dot(&values[key * s.v..][..s.v], d);
        let mean: f64 = weights.iter().map(|&(key, w)| w * d_weight(key)).sum();
        for (key, w) in weights {
            let d_s = w * (d_weight(key) - mean);
            for j in 0..s.v {
                all[2][key * s.v + j] += w * f64::from(d[j]);
            }
            let (_, e) = scored(s, x, additive, [query, key]);
            for j in 0..s.h {
                let (of_q, of_k) = (query * s.h + j, key * s.h + j);
                let mut slopes = [k[of_k], q[of_q]];
                if additive {
                    slopes = [score[j] * (1.0 - e[j] * e[j]); 2];
                    all[3][j] += d_s * e[j];
                }
                all[0][of_q] += d_s * slopes[0];
                all[1][of_k] += d_s * slopes[1];
            }
        }
    }
    all
}

/// Random queries, keys, values, score, and a gradient of the contexts.
fn random(s: Sizes, r: &mut Random) -> [Vec<f32>; 5] {
    let Sizes { b, u, t, h, v } = s;
    [b * u * h, b * t * h, b * t * v, h, b * u * v].map(|n| r.uniform(n, -1.0, 1.0))
}

/// The contexts and the gradients on a device. What does not count is zero, as a layer makes it.
fn found(
    s: Sizes,
    x: &[Vec<f32>; 5],
    additive: bool,
    which: usize,
    device: &Device,
) -> [Vec<f32>; 5] {
    let (steps, on) = counted(s.b, s.t, device).swap_remove(which);
    let [q, mut k, mut values, score, d] = x.clone();
    for (frame, _) in on.iter().enumerate().filter(|(_, on)| !**on) {
        k[frame * s.h..][..s.h].fill(0.0);
        values[frame * s.v..][..s.v].fill(0.0);
    }
    let call = Attention {
        q: tensor(&q, [s.b, s.u, s.h], device),
        k: tensor(&k, [s.b, s.t, s.h], device),
        values: tensor(&values, [s.b, s.t, s.v], device),
        score: additive.then(|| tensor(&score, [s.h], device)),
    };
    let (weights, context) = call.forward(&steps).unwrap();
    let of_queries = weights.to_vec().unwrap();
    for (query, weights) in of_queries.chunks(s.t).enumerate() {
        let on = &on[query / s.u * s.t..][..s.t];
        assert!(weights.iter().zip(on).all(|(&w, on)| w == 0.0 || *on), "{s:?}: {weights:?}");
    }
    let d = call.backward(&steps, &weights, &tensor(&d, [s.b, s.u, s.v], device)).unwrap();
    let score = d.score.map_or_else(|| vec![0.0; s.h], |d| column_sums(&d, s.h));
    let [context, q, k, values] = [context, d.q, d.k, d.values].map(|x| x.to_vec().unwrap());
    [context, q, k, values, score]
}

#[test]
fn the_oracle_has_the_slopes_of_the_contexts() {
    let mut r = Random::new(33);
    for s in FEW {
        let [q, k, values, score, d] = random(s, &mut r);
        let wide = [widen(&q), widen(&k), widen(&values), widen(&score)];
        let x = [&wide[0][..], &wide[1], &wide[2], &wide[3]];
        for (_, on) in counted(s.b, s.t, &Device::cpu().unwrap()) {
            for additive in [false, true] {
                let exact = gradients(s, x, additive, &on, &d);
                for which in 0..4 {
                    let mut f = |changed: &[f64]| {
                        let mut all = x;
                        all[which] = changed;
                        dot(&attend(s, all, additive, &on), &d)
                    };
                    let slopes = central_difference(&mut f, &wide[which], 1e-5);
                    let slopes: Vec<_> = slopes.iter().map(|&slope| slope as f32).collect();
                    let what = format!("input {which} of {s:?}, additive {additive}");
                    close_values(&what, &slopes, &exact[which], 1e-6);
                }
            }
        }
    }
}

#[test]
fn attentions() {
    let mut r = Random::new(34);
    for s in FEW.into_iter().chain(MANY) {
        let given = random(s, &mut r);
        let wide = [0, 1, 2, 3].map(|i| widen(&given[i]));
        let x = [&wide[0][..], &wide[1], &wide[2], &wide[3]];
        for (which, (_, on)) in counted(s.b, s.t, &Device::cpu().unwrap()).iter().enumerate() {
            for additive in [false, true] {
                let context = attend(s, x, additive, on);
                let d = gradients(s, x, additive, on, &given[4]);
                for (name, device) in devices() {
                    let found = found(s, &given, additive, which, device);
                    let what = format!("{s:?}, additive {additive}, steps {which}, {name}");
                    close_values(&format!("contexts of {what}"), &found[0], &context, 1e-5);
                    for (i, d) in d.iter().enumerate() {
                        close_values(&format!("d of input {i} of {what}"), &found[i + 1], d, 1e-4);
                    }
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads_has_the_same_bits() {
    let s = sizes(3, 71, 67, 35, 17);
    let given = random(s, &mut Random::new(35));
    for additive in [false, true] {
        for which in 0..3 {
            let of = |threads| {
                let device = Device::cpu_with_threads(threads).unwrap();
                found(s, &given, additive, which, &device)
            };
            let one = of(1);
            for threads in [2, 3, 5] {
                assert!(of(threads) == one, "{threads} threads, additive {additive}, {which}");
            }
        }
    }
}
