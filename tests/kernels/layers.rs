//! What stands around the LSTM: normalisation, pooling, attention, CTC and the options of losses,
//! against plain f64 sums and their central differences.

use super::oracle::{Random, central_difference, widen};
use super::{close, close_values, devices, tensor};
use crate::lengths::Counted;
use crate::ops::attention;
use crate::ops::frames::embedding::Places;
use crate::ops::frames::{embedding, pool, swap_axes};
use crate::ops::loss::{cross_entropy, ctc, pointwise_loss};
use crate::ops::lstm::{Columns, norm};
use crate::ops::norm::{layer_norm, softmax};
use crate::ops::optim::regularizer;
use crate::{Device, Lengths, Mask, Tensor};

fn dot(a: &[f64], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, &b)| a * f64::from(b)).sum()
}

/// The sum over the rows of what each of them has of a gradient.
fn column_sums(rows: &Tensor, c: usize) -> Vec<f32> {
    let rows = rows.to_vec().unwrap();
    (0..c).map(|j| rows.iter().skip(j).step_by(c).sum()).collect()
}

fn normal(x: &[f64], gain: &[f64], shift: &[f64], epsilon: f64) -> Vec<f64> {
    let c = gain.len();
    x.chunks(c)
        .flat_map(|x| {
            let mean = x.iter().sum::<f64>() / c as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / c as f64;
            let root = (variance + epsilon).sqrt();
            (0..c).map(move |j| gain[j] * (x[j] - mean) / root + shift[j])
        })
        .collect()
}

#[test]
fn layer_norms() {
    let mut r = Random::new(31);
    for [rows, c] in [[1, 1], [3, 7], [5, 65], [2, 300]] {
        let (x, d_y) = (r.uniform(rows * c, -2.0, 3.0), r.uniform(rows * c, -1.0, 1.0));
        let (gain, shift) = (r.uniform(c, -1.0, 2.0), r.uniform(c, -1.0, 1.0));
        let (x64, gain64, shift64) = (widen(&x), widen(&gain), widen(&shift));
        let epsilon = f64::from(1e-3f32);
        let y = normal(&x64, &gain64, &shift64, epsilon);
        let plain = normal(&x64, &gain64, &vec![0.0; c], epsilon);
        let of = |x: &[f64], gain: &[f64]| dot(&normal(x, gain, &shift64, epsilon), &d_y);
        let d_x = central_difference(&mut |x| of(x, &gain64), &x64, 1e-5);
        let d_gain = central_difference(&mut |gain| of(&x64, gain), &gain64, 1e-5);
        for (name, device) in devices() {
            let what = format!("layer norm of {rows} x {c}, {name}");
            let x = tensor(&x, [rows, c], device);
            let (gain, shift) = (tensor(&gain, [c], device), tensor(&shift, [c], device));
            let found = layer_norm::layer_norm(&x, &gain, None, 1e-3).unwrap();
            close(&what, &found.0, &plain, 1e-5);
            let (found, stats) = layer_norm::layer_norm(&x, &gain, Some(&shift), 1e-3).unwrap();
            close(&what, &found, &y, 1e-5);
            let d_y = tensor(&d_y, [rows, c], device);
            let (found, gains) = layer_norm::backward(&x, &gain, &stats, &d_y).unwrap();
            if c > 1 {
                close(&what, &found, &d_x, 1e-4);
                close_values(&what, &column_sums(&gains, c), &d_gain, 1e-4);
            } else {
                assert!(found.to_vec().unwrap()[0].abs() < 1e-3, "{what}");
            }
        }
    }
}

/// All steps, those before a length, and those of a mask with holes and an empty row.
fn counted(b: usize, t: usize, device: &Device) -> Vec<(Counted, Vec<bool>)> {
    let lengths: Vec<_> = (0..b).map(|row| (row * 5 + t / 2) % t + 1).collect();
    let of_lengths = (0..b * t).map(|i| i % t < lengths[i / t]).collect();
    let mask: Vec<_> =
        (0..b * t).map(|i| i / t != 1 && !(i * 7 + i / t).is_multiple_of(3)).collect();
    let of_mask = Mask::new(&mask, [b, t], device).unwrap();
    vec![
        (Counted::All, vec![true; b * t]),
        (Counted::Lengths(Lengths::new(&lengths, device).unwrap()), of_lengths),
        (Counted::Mask(of_mask), mask),
    ]
}

fn pooled(kind: pool::Kind, x: &[f64], [b, t, c]: [usize; 3], on: &[bool]) -> Vec<f64> {
    (0..b * c)
        .map(|i| {
            let (row, j) = (i / c, i % c);
            let frames = (0..t).filter(|at| on[row * t + at]).map(|at| x[(row * t + at) * c + j]);
            let frames: Vec<_> = frames.collect();
            let sum: f64 = frames.iter().sum();
            match kind {
                _ if frames.is_empty() => 0.0,
                pool::Kind::Sum => sum,
                pool::Kind::Mean => sum / frames.len() as f64,
                pool::Kind::Max => frames.into_iter().fold(f64::NEG_INFINITY, f64::max),
                pool::Kind::Last => frames[frames.len() - 1],
                pool::Kind::First => frames[0],
            }
        })
        .collect()
}

#[test]
fn pools() {
    let mut r = Random::new(32);
    for dims in [[1, 1, 1], [3, 7, 5], [2, 17, 65]] {
        let [b, t, c] = dims;
        let (x, d_y) = (r.uniform(b * t * c, -2.0, 3.0), r.uniform(b * c, -1.0, 1.0));
        for (name, device) in devices() {
            for (steps, on) in counted(b, t, device) {
                use pool::Kind::{First, Last, Max, Mean, Sum};
                for kind in [Sum, Mean, Max, Last, First] {
                    let what = format!("{kind:?} of {dims:?} by {}, {name}", steps.code());
                    let mut poisoned = x.clone();
                    for (frame, _) in on.iter().enumerate().filter(|(_, on)| !**on) {
                        poisoned[frame * c..][..c].fill(f32::NAN);
                    }
                    let x64 = widen(&x);
                    let input = tensor(&poisoned, dims, device);
                    let (y, found) = pool::pool(kind, &input, dims, &steps).unwrap();
                    close(&what, &y, &pooled(kind, &x64, dims, &on), 1e-5);
                    let mut of = |x: &[f64]| dot(&pooled(kind, x, dims, &on), &d_y);
                    let d_x = central_difference(&mut of, &x64, 1e-7);
                    let d_y = tensor(&d_y, [b, c], device);
                    let found = pool::backward(kind, &d_y, dims, &steps, Some(&found)).unwrap();
                    close(&what, &found, &d_x, 1e-4);
                }
            }
        }
    }
}

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

/// -log of the sum over all paths, by the definition's recursion in f64.
fn ctc_loss(x: &[f64], c: usize, frames: usize, labels: &[u32], blank: u32) -> f64 {
    let states: Vec<usize> = std::iter::once(blank)
        .chain(labels.iter().flat_map(|&l| [l, blank]))
        .map(|l| l as usize)
        .collect();
    let p = |t: usize, s: usize| {
        let x = &x[t * c..][..c];
        x[states[s]].exp() / x.iter().map(|x| x.exp()).sum::<f64>()
    };
    let mut alpha = vec![0.0; states.len()];
    let mut log = 0.0;
    for t in 0..frames {
        let before = alpha.clone();
        for s in 0..states.len() {
            let mut sum = if t == 0 { f64::from(s < 2) } else { before[s] };
            if t > 0 && s > 0 {
                sum += before[s - 1];
            }
            if t > 0 && s > 1 && states[s] != states[s - 2] && states[s] != blank as usize {
                sum += before[s - 2];
            }
            alpha[s] = sum * p(t, s);
        }
        let sum: f64 = alpha.iter().sum();
        alpha.iter_mut().for_each(|a| *a /= sum);
        log += sum.ln();
    }
    let last: f64 = alpha.iter().rev().take(2).sum();
    -(log + last.ln())
}

#[test]
fn paths_of_labels() {
    let mut r = Random::new(34);
    for (b, t, c, longest) in [(1, 1, 2, 1), (3, 11, 5, 4), (2, 80, 9, 35), (2, 3, 70, 2)] {
        let x = r.uniform(b * t * c, -2.0, 2.0);
        let blank = r.below(c) as u32;
        let mut labels: Vec<Vec<u32>> = Vec::new();
        let mut frames = Vec::new();
        for row in 0..b {
            let length = if row == 1 { 0 } else { longest };
            let label = |r: &mut Random| (blank + 1 + r.below(c - 1) as u32) % c as u32;
            labels.push((0..length).map(|_| label(&mut r)).collect());
            let least: usize =
                length + labels[row].windows(2).filter(|pair| pair[0] == pair[1]).count();
            if least > t {
                labels[row].truncate(1);
            }
            frames.push((least + r.below(t)).clamp(1, t));
        }
        let scales = r.uniform(b, 0.5, 1.5);
        let x64 = widen(&x);
        let of_row = |row: usize, x: &[f64]| {
            f64::from(scales[row]) * ctc_loss(x, c, frames[row], &labels[row], blank)
        };
        let rows = || x64.chunks(t * c).enumerate();
        let losses: Vec<_> = rows().map(|(row, x)| of_row(row, x)).collect();
        let d_x: Vec<_> = rows()
            .flat_map(|(row, x)| central_difference(&mut |x| of_row(row, x), x, 1e-5))
            .map(|d| 0.7f32 as f64 * d)
            .collect();
        // The kernels' table, made another way than the library's.
        let mut table = vec![0u32; b * longest * 3];
        for (row, labels) in labels.iter().enumerate() {
            for (i, label) in labels.iter().enumerate() {
                let next = labels[i + 1..].iter().position(|l| l == label);
                let entry = [*label, u32::from(!labels[..i].contains(label)), {
                    next.map_or(0, |n| (i + 1 + n + 1) as u32)
                }];
                table[(row * longest + i) * 3..][..3].copy_from_slice(&entry);
            }
        }
        let sizes: Vec<_> =
            (0..b).flat_map(|row| [frames[row] as u32, labels[row].len() as u32]).collect();
        for (name, device) in devices() {
            let what = format!("ctc of {b} x {t} x {c}, {longest} labels, {name}");
            let wanted = ctc::Wanted {
                labels: Tensor::from_u32(&table, [table.len()], device).unwrap(),
                rows: Tensor::from_u32(&sizes, [b, 2], device).unwrap(),
                scales: tensor(&scales, [b], device),
                longest,
                blank,
                impossible: f32::INFINITY,
            };
            let lp = softmax::log_softmax(&tensor(&x, [b, t, c], device)).unwrap();
            let (loss, alpha) = ctc::forward(&lp, [b, t, c], &wanted).unwrap();
            close(&what, &loss, &losses, 1e-5);
            let d_loss = tensor(&[0.7], [1], device);
            let found = ctc::backward(&lp, [b, t, c], &wanted, &alpha, &d_loss).unwrap();
            close(&what, &found, &d_x, 1e-4);
        }
    }
}

#[test]
fn cross_entropies_with_smoothing_and_class_weights() {
    let mut r = Random::new(35);
    for [rows, c] in [[1, 1], [3, 7], [5, 65], [2, 130]] {
        let (x, weights) = (r.uniform(rows * c, -3.0, 3.0), r.uniform(rows, 0.1, 2.0));
        let classes = r.uniform(c, 0.1, 2.0);
        let labels: Vec<_> = (0..rows).map(|_| r.below(c) as u32).collect();
        let s = f64::from(0.3f32);
        let of = |x: &[f64]| -> f64 {
            let log = |row: usize, j: usize| {
                let x = &x[row * c..][..c];
                x.iter().map(|x| x.exp()).sum::<f64>().ln() - x[j]
            };
            (0..rows)
                .map(|row| {
                    let l = labels[row] as usize;
                    let right = (1.0 - s) * f64::from(classes[l]) * log(row, l);
                    let all = (0..c).map(|j| f64::from(classes[j]) * log(row, j)).sum::<f64>();
                    0.25 * f64::from(weights[row]) * (right + s / c as f64 * all)
                })
                .sum()
        };
        let x64 = widen(&x);
        let d_x = central_difference(&mut |x| of(x), &x64, 1e-5);
        for (name, device) in devices() {
            let what = format!("smoothed cross-entropy of {rows} x {c}, {name}");
            let x = tensor(&x, [rows, c], device);
            let wanted = cross_entropy::Wanted {
                labels: Tensor::from_u32(&labels, [rows], device).unwrap(),
                weights: Some(tensor(&weights, [rows], device)),
                class_weights: Some(tensor(&classes, [c], device)),
                smoothing: 0.3,
                scale: 0.25,
            };
            let sum: f32 =
                cross_entropy::forward(&x, &wanted).unwrap().to_vec().unwrap().iter().sum();
            if c > 1 {
                close_values(&what, &[sum], &[of(&x64)], 1e-5);
                let one = tensor(&[1.0], [1], device);
                close(&what, &cross_entropy::backward(&x, &wanted, &one).unwrap(), &d_x, 1e-4);
            } else {
                assert!(sum.abs() < 1e-5, "{what}");
            }
        }
    }
}

#[test]
fn losses_between_numbers() {
    let mut r = Random::new(36);
    for [rows, c] in [[1, 1], [3, 7], [33, 65]] {
        let n = rows * c;
        let (x, y, weights) =
            (r.uniform(n, -2.0, 2.0), r.uniform(n, -2.0, 2.0), r.uniform(rows, 0.1, 2.0));
        for kind in [
            pointwise_loss::Kind::AbsoluteError,
            pointwise_loss::Kind::Huber { delta: 0.75 },
            pointwise_loss::Kind::Pinball { quantile: 0.75 },
        ] {
            let of = |i: usize, x: f64| {
                let d = x - f64::from(y[i]);
                let value = match kind {
                    pointwise_loss::Kind::Huber { .. } if d.abs() > 0.75 => {
                        0.75 * (d.abs() - 0.375)
                    }
                    pointwise_loss::Kind::Huber { .. } => d * d / 2.0,
                    pointwise_loss::Kind::Pinball { .. } => (-0.75 * d).max(0.25 * d),
                    _ => d.abs(),
                };
                0.5 * f64::from(weights[i / c]) * value
            };
            let x64 = widen(&x);
            let sums: Vec<f64> = (0..rows)
                .map(|row| (row * c..(row + 1) * c).map(|i| of(i, x64[i])).sum())
                .collect();
            let d_x: Vec<_> =
                (0..n).map(|i| (of(i, x64[i] + 1e-7) - of(i, x64[i] - 1e-7)) / 2e-7).collect();
            for (name, device) in devices() {
                let what = format!("{kind:?} of {rows} x {c}, {name}");
                let (x, y) = (tensor(&x, [rows, c], device), tensor(&y, [rows, c], device));
                let w = tensor(&weights, [rows], device);
                let found = pointwise_loss::forward(kind, &x, &y, Some(&w), 0.5).unwrap();
                close(&what, &found, &sums, 1e-5);
                let one = tensor(&[1.0], [1], device);
                let found = pointwise_loss::backward(kind, &x, &y, Some(&w), 0.5, &one).unwrap();
                close(&what, &found, &d_x, 1e-4);
            }
        }
    }
}

/// A layer-normalised LSTM by its equations: outputs, h, c, all of which a loss takes.
struct NormLstm {
    b: usize,
    t: usize,
    h: usize,
    lengths: Vec<usize>,
    reverse: bool,
}

impl NormLstm {
    /// `x`: the input projection, R, norms, first h and c. Gives the outputs, then h and c.
    fn run(&self, x: [&[f64]; 4]) -> Vec<f64> {
        let [part, r, norms, first] = x;
        let &Self { b, t, h, .. } = self;
        let stats = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
            (mean, 1.0 / (variance + f64::from(1e-3f32)).sqrt())
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut y = vec![0.0; b * t * h];
        let mut ends = vec![0.0; b * 2 * h];
        for row in 0..b {
            let mut state = first[row * 2 * h..][..2 * h].to_vec();
            for step in 0..self.lengths[row] {
                let at = if self.reverse { self.lengths[row] - 1 - step } else { step };
                let frame = row * t + at;
                let z: Vec<f64> =
                    (0..4 * h).map(|j| (0..h).map(|k| state[k] * r[k * 4 * h + j]).sum()).collect();
                let (mean, root) = stats(&z);
                let a: Vec<_> = (0..4 * h)
                    .map(|j| part[frame * 4 * h + j] + norms[j] * (z[j] - mean) * root)
                    .collect();
                for u in 0..h {
                    let c = state[h + u];
                    state[h + u] =
                        sigmoid(a[4 * u + 1]) * c + sigmoid(a[4 * u]) * a[4 * u + 2].tanh();
                }
                let (mean, root) = stats(&state[h..]);
                for u in 0..h {
                    let normal = (state[h + u] - mean) * root;
                    let value = (norms[4 * h + u] * normal + norms[5 * h + u]).tanh();
                    state[u] = sigmoid(a[4 * u + 3]) * value;
                    y[frame * h + u] = state[u];
                }
            }
            ends[row * 2 * h..][..2 * h].copy_from_slice(&state);
        }
        y.extend(ends);
        y
    }
}

#[test]
fn layer_normalised_lstms() {
    let mut r = Random::new(37);
    for [b, t, h] in [[1, 1, 2], [3, 4, 7], [2, 2, 33], [1, 2, 65]] {
        for (ragged, reverse) in [(false, false), (true, false), (true, true)] {
            if h > 60 && !ragged {
                // Another size of workgroup, of which each mode compiles anew.
                continue;
            }
            let lengths =
                (0..b).map(|row| if ragged { 1 + (row * 2 + 1) % t } else { t }).collect();
            let of = NormLstm { b, t, h, lengths, reverse };
            let part = r.uniform(b * t * 4 * h, -1.0, 1.0);
            let weight = r.uniform(h * 4 * h, -0.5, 0.5);
            let norms = r.uniform(6 * h, 0.2, 1.5);
            let first = r.uniform(b * 2 * h, -1.0, 1.0);
            let (d_y, d_end) = (r.uniform(b * t * h, -1.0, 1.0), r.uniform(b * 2 * h, -1.0, 1.0));
            let wide = [widen(&part), widen(&weight), widen(&norms), widen(&first)];
            let d = [&d_y[..], &d_end].concat();
            let expected = of.run([&wide[0], &wide[1], &wide[2], &wide[3]]);
            // A large R has more elements than differences are worth taking of.
            let count = |which: usize| if which == 1 && h > 30 { 300 } else { wide[which].len() };
            let gradients = [0, 1, 2, 3].map(|which| {
                let (some, rest) = wide[which].split_at(count(which));
                let mut f = |x: &[f64]| {
                    let x = [x, rest].concat();
                    let mut all = [&wide[0][..], &wide[1], &wide[2], &wide[3]];
                    all[which] = &x;
                    dot(&of.run(all), &d)
                };
                central_difference(&mut f, some, 1e-5)
            });
            for (name, device) in devices() {
                let what = format!("normalised {b}x{t}x{h}, {ragged}, {reverse}, {name}");
                let mut poisoned = part.clone();
                for row in 0..b {
                    let end = (row + 1) * t * 4 * h;
                    poisoned[(row * t + of.lengths[row]) * 4 * h..end].fill(f32::NAN);
                }
                let call = norm::Call {
                    gates: tensor(&poisoned, [b, t, h, 4], device),
                    weight_hh: tensor(&weight, [h, h, 4], device),
                    norms: tensor(&norms, [6 * h], device),
                    lengths: ragged.then(|| Lengths::new(&of.lengths, device).unwrap()),
                    reverse,
                    epsilon: 1e-3,
                };
                let state = tensor(&first, [b, 2 * h], device);
                // Beside another direction's columns.
                let y = Tensor::zeros([b, t, h + 3], device).unwrap();
                let columns = Columns { tensor: &y, first: 2 };
                let saved = call.forward(&state, Some(columns), true).unwrap().unwrap();
                let y = y.to_vec().unwrap();
                let found: Vec<_> = y
                    .chunks(h + 3)
                    .flat_map(|f| f[2..2 + h].to_vec())
                    .chain(state.to_vec().unwrap())
                    .collect();
                close_values(&what, &found, &expected, 1e-5);
                let mut beside = vec![f32::NAN; b * t * (h + 3)];
                for (to, from) in beside.chunks_mut(h + 3).zip(d_y.chunks(h)) {
                    to[2..2 + h].copy_from_slice(from);
                }
                let d_y = tensor(&beside, [b, t, h + 3], device);
                let columns = Columns { tensor: &d_y, first: 2 };
                let half = |which: usize| {
                    let d: Vec<_> =
                        d_end.chunks(h).skip(which).step_by(2).flatten().copied().collect();
                    tensor(&d, [b, h], device)
                };
                let d_weight = Tensor::zeros([h, 4 * h], device).unwrap();
                let found = saved
                    .backward(Some(columns), Some(&half(0)), Some(&half(1)), &d_weight)
                    .unwrap();
                close(&format!("d_x of {what}"), &found.gates, &gradients[0], 1e-4);
                let d_weight = &d_weight.to_vec().unwrap()[..count(1)];
                close_values(&format!("d_r of {what}"), d_weight, &gradients[1], 1e-4);
                close(&format!("d_norms of {what}"), &found.norms, &gradients[2], 1e-4);
                let (d_h, d_c) = (found.h.to_vec().unwrap(), found.c.to_vec().unwrap());
                let found: Vec<_> =
                    d_h.chunks(h).zip(d_c.chunks(h)).flat_map(|(h, c)| [h, c].concat()).collect();
                close_values(&format!("d_state of {what}"), &found, &gradients[3], 1e-4);
            }
        }
    }
}

#[test]
fn penalties_and_norms() {
    let mut r = Random::new(38);
    for [rows, c] in [[1, 1], [7, 65], [130, 67], [3, 5000]] {
        let mut x = r.uniform(rows * c, -1.0, 1.0);
        x[0] = 0.0;
        let (l1, l2) = (0.25f32, 0.5f32);
        let x64 = widen(&x);
        let sum: f64 = x64.iter().map(|x| 0.25 * x.abs() + 0.5 * x * x).sum();
        let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
        let d_x: Vec<_> = x64.iter().map(|x| 2.0 * (0.25 * sign(*x) + x)).collect();
        let scale = |j: usize| {
            let norm = x64.iter().skip(j).step_by(c).map(|x| x * x).sum::<f64>().sqrt();
            if norm > 0.75 { 0.75 / norm } else { 1.0 }
        };
        let scales: Vec<_> = (0..c).map(scale).collect();
        let held: Vec<_> = x64.iter().enumerate().map(|(i, x)| x * scales[i % c]).collect();
        for (name, device) in devices() {
            let what = format!("penalty of {rows} x {c}, {name}");
            let x = tensor(&x, [rows, c], device);
            close(&what, &regularizer::penalty(&x, [l1, l2]).unwrap(), &[sum], 1e-5);
            let (two, found) = (tensor(&[2.0], [1], device), Tensor::empty([rows, c], device));
            let found = found.unwrap();
            regularizer::backward(&x, [l1, l2], &two, &found, false).unwrap();
            close(&what, &found, &d_x, 1e-5);
            regularizer::backward(&x, [l1, l2], &two, &found, true).unwrap();
            let twice: Vec<_> = d_x.iter().map(|d| 2.0 * d).collect();
            close(&what, &found, &twice, 1e-5);
            regularizer::max_norm(&x, c, 0.75).unwrap();
            close(&what, &x, &held, 1e-5);
        }
    }
}

#[test]
fn tables_and_swapped_axes() {
    let mut r = Random::new(39);
    for [n, rows, size] in [[1, 1, 1], [70, 9, 3], [129, 40, 65]] {
        let ids: Vec<_> = (0..n).map(|_| r.below(rows) as u32).collect();
        let floats: Vec<_> = ids.iter().map(|&id| id as f32).collect();
        let (table, d_y) = (r.uniform(rows * size, -1.0, 1.0), r.uniform(n * size, -1.0, 1.0));
        let first = r.uniform(rows * size, -1.0, 1.0);
        let padding = (rows > 1).then_some(1);
        let of = |place: usize| ids[place] as usize;
        let y: Vec<_> =
            (0..n * size).map(|i| f64::from(table[of(i / size) * size + i % size])).collect();
        let mut sums = widen(&first);
        for i in (0..n * size).filter(|i| Some(of(i / size)) != padding) {
            sums[of(i / size) * size + i % size] += f64::from(d_y[i]);
        }
        for (name, device) in devices() {
            let what = format!("{n} of {rows} x {size}, {name}");
            let numbers = Tensor::from_u32(&ids, [n], device).unwrap();
            for ids in [numbers, tensor(&floats, [n], device)] {
                let table = tensor(&table, [rows, size], device);
                close(&what, &embedding::embedding(&ids, &table, [rows, size]).unwrap(), &y, 0.0);
                let (d_y, d) =
                    (tensor(&d_y, [n, size], device), tensor(&first, [rows, size], device));
                let drawn = (0..n).filter(|&place| Some(of(place)) != padding);
                let drawn = Places::new(drawn.map(|place| (place as u32, of(place) as u32)));
                embedding::backward(&drawn, &d_y, &d, [rows, size]).unwrap();
                close(&what, &d, &sums, 1e-5);
                // The rows drawn alone: those sums without what was there before.
                let rows: Vec<_> = drawn.rows().map(|row| row as usize).collect();
                let found = embedding::backward_rows(&drawn, &d_y, size).unwrap();
                let of_row = |row: &usize| row * size..(row + 1) * size;
                let sums = rows.iter().flat_map(of_row).map(|i| sums[i] - f64::from(first[i]));
                if !rows.is_empty() {
                    close(&what, &found, &sums.collect::<Vec<_>>(), 1e-5);
                }
            }
            let x = tensor(&d_y, [1, n, size], device);
            assert_eq!(swap_axes::swap_axes(&x).unwrap().to_vec().unwrap(), d_y, "{what}");
            let x = tensor(&table, [rows, 1, size], device);
            let y = swap_axes::swap_axes(&x).unwrap();
            assert_eq!((y.shape(), y.to_vec().unwrap()), (&[1, rows, size][..], table.clone()));
        }
    }
    for (name, device) in devices() {
        let x: Vec<f32> = (0..2 * 3 * 2).map(|i| i as f32).collect();
        let y = swap_axes::swap_axes(&tensor(&x, [2, 3, 2], device)).unwrap();
        let expected = [0., 1., 6., 7., 2., 3., 8., 9., 4., 5., 10., 11.];
        assert_eq!(y.to_vec().unwrap(), expected, "{name}");
    }
}
