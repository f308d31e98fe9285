//! Attention.

use super::super::oracle::{Random, central_difference, widen};
use super::super::{close, close_values, devices, tensor};
use super::{column_sums, counted, dot};
use crate::ops::attention;

struct Sizes {
    b: usize,
    u: usize,
    t: usize,
    h: usize,
    v: usize,
}

fn attend(s: &Sizes, x: [&[f64]; 4], additive: bool, on: &[bool]) -> Vec<f64> {
    let [q, k, values, score] = x;
    let mut context = vec![0.0; s.b * s.u * s.v];
    for query in 0..s.b * s.u {
        let row = query / s.u;
        let steps: Vec<_> = (0..s.t).filter(|t| on[row * s.t + t]).map(|t| row * s.t + t).collect();
        let scores: Vec<f64> = steps
            .iter()
            .map(|key| {
                (0..s.h)
                    .map(|h| {
                        let (q, k) = (q[query * s.h + h], k[key * s.h + h]);
                        if additive { score[h] * (q + k).tanh() } else { q * k }
                    })
                    .sum()
            })
            .collect();
        let sum: f64 = scores.iter().map(|s| s.exp()).sum();
        for (key, of) in steps.iter().zip(&scores) {
            for j in 0..s.v {
                context[query * s.v + j] += of.exp() / sum * values[key * s.v + j];
            }
        }
    }
    context
}

#[test]
fn attentions() {
    let mut r = Random::new(33);
    let of = |b, u, t, h, v| Sizes { b, u, t, h, v };
    for s in [of(1, 1, 1, 1, 1), of(2, 3, 5, 7, 4), of(3, 1, 70, 3, 2), of(2, 2, 3, 66, 65)] {
        let q = r.uniform(s.b * s.u * s.h, -1.0, 1.0);
        let k = r.uniform(s.b * s.t * s.h, -1.0, 1.0);
        let values = r.uniform(s.b * s.t * s.v, -1.0, 1.0);
        let score = r.uniform(s.h, -1.0, 1.0);
        let d = r.uniform(s.b * s.u * s.v, -1.0, 1.0);
        let wide = [widen(&q), widen(&k), widen(&values), widen(&score)];
        for additive in [false, true] {
            for which in 0..3 {
                let mut expected = None;
                for (name, device) in devices() {
                    let (steps, on) = counted(s.b, s.t, device).swap_remove(which);
                    let what = format!(
                        "attention {}x{}x{}x{}x{}, additive {additive}, steps {which}, {name}",
                        s.b, s.u, s.t, s.h, s.v
                    );
                    let (context, gradients) = expected.get_or_insert_with(|| {
                        let gradient = |which: usize| {
                            let mut f = |x: &[f64]| {
                                let mut all = [&wide[0][..], &wide[1], &wide[2], &wide[3]];
                                all[which] = x;
                                dot(&attend(&s, all, additive, &on), &d)
                            };
                            central_difference(&mut f, &wide[which], 1e-5)
                        };
                        let all = [&wide[0][..], &wide[1], &wide[2], &wide[3]];
                        (attend(&s, all, additive, &on), [0, 1, 2, 3].map(gradient))
                    });
                    let (mut k, mut values) = (k.clone(), values.clone());
                    for (frame, _) in on.iter().enumerate().filter(|(_, on)| !**on) {
                        k[frame * s.h..][..s.h].fill(f32::NAN);
                        values[frame * s.v..][..s.v].fill(f32::NAN);
                    }
                    let call = attention::Attention {
                        q: tensor(&q, [s.b, s.u, s.h], device),
                        k: tensor(&k, [s.b, s.t, s.h], device),
                        values: tensor(&values, [s.b, s.t, s.v], device),
                        score: additive.then(|| tensor(&score, [s.h], device)),
                    };
                    let (weights, found) = call.forward(&steps).unwrap();
                    close(&what, &found, context, 1e-5);
                    let d = tensor(&d, [s.b, s.u, s.v], device);
                    let found = call.backward(&weights, &d).unwrap();
                    close(&format!("d_q of {what}"), &found.q, &gradients[0], 1e-4);
                    close(&format!("d_k of {what}"), &found.k, &gradients[1], 1e-4);
                    close(&format!("d_values of {what}"), &found.values, &gradients[2], 1e-4);
                    if let Some(found) = found.score {
                        let what = format!("d_score of {what}");
                        close_values(&what, &column_sums(&found, s.h), &gradients[3], 1e-4);
                    }
                }
            }
        }
    }
}
