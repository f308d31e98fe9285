//! The layer-normalised LSTM.

use super::super::oracle::{Random, central_difference, widen};
use super::super::{close, close_values, devices, tensor};
use super::dot;
use crate::ops::lstm::{Columns, norm};
use crate::{Lengths, Tensor};

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
