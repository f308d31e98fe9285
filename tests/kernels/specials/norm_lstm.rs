//! The layer-normalised LSTM.

use super::super::oracle::Random;
use super::super::tensor;
use super::{Case, argument, moments, none, pairs};
use crate::ops::lstm::{Columns, norm};
use crate::{Device, Lengths, Tensor};

/// A step of the layer-normalised LSTM, as its way back needs it.
struct Step {
    frame: usize,
    h: Vec<f64>,
    c: Vec<f64>,
    /// R h, normalised.
    z: Vec<f64>,
    root_z: f64,
    /// i, f, g, o of each unit.
    gates: Vec<f64>,
    /// The new c, normalised.
    normal: Vec<f64>,
    root_c: f64,
    /// tanh of it, with gain and shift.
    value: Vec<f64>,
}

/// A row's steps forward, from `state` (h, c), which becomes the last.
fn normalised(
    x: &[Vec<f64>],
    frames: impl Iterator<Item = usize>,
    state: &mut [f64],
    y: &mut [f64],
) -> Vec<Step> {
    let (part, r, norms) = (&x[0], &x[1], &x[2]);
    let h = state.len() / 2;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut steps = Vec::new();
    for frame in frames {
        let (old_h, old_c) = (state[..h].to_vec(), state[h..].to_vec());
        let z: Vec<f64> =
            (0..4 * h).map(|j| (0..h).map(|k| old_h[k] * r[k * 4 * h + j]).sum()).collect();
        let (mean, root_z) = moments(&z);
        let z: Vec<_> = z.iter().map(|z| (z - mean) * root_z).collect();
        let gates: Vec<_> = (0..4 * h)
            .map(|j| {
                let a = part[frame * 4 * h + j] + norms[j] * z[j];
                if j % 4 == 2 { a.tanh() } else { sigmoid(a) }
            })
            .collect();
        for u in 0..h {
            state[h + u] = gates[4 * u + 1] * old_c[u] + gates[4 * u] * gates[4 * u + 2];
        }
        let (mean, root_c) = moments(&state[h..]);
        let normal: Vec<_> = state[h..].iter().map(|c| (c - mean) * root_c).collect();
        let value: Vec<_> =
            (0..h).map(|u| (norms[4 * h + u] * normal[u] + norms[5 * h + u]).tanh()).collect();
        for u in 0..h {
            state[u] = gates[4 * u + 3] * value[u];
            y[frame * h + u] = state[u];
        }
        steps.push(Step { frame, h: old_h, c: old_c, z, root_z, gates, normal, root_c, value });
    }
    steps
}

/// What a row's steps back add to, and the gradient of its state.
struct Back<'a> {
    d_gates: &'a mut [f64],
    d_r: &'a mut [f64],
    d_norms: &'a mut [f64],
    d_h: &'a mut [f64],
    d_c: &'a mut [f64],
}

impl Back<'_> {
    fn step(&mut self, x: &[Vec<f64>], step: &Step) {
        let (r, norms, d_y) = (&x[1], &x[2], &x[4]);
        let h = step.h.len();
        let d_h: Vec<_> = (0..h).map(|u| self.d_h[u] + d_y[step.frame * h + u]).collect();
        let slope = |u: usize| 1.0 - step.value[u] * step.value[u];
        let d: Vec<_> = (0..h).map(|u| d_h[u] * step.gates[4 * u + 3] * slope(u)).collect();
        let g: Vec<_> = (0..h).map(|u| d[u] * norms[4 * h + u]).collect();
        let through = normal_backward(&g, &step.normal);
        let mut d_a = vec![0.0; 4 * h];
        for u in 0..h {
            let [i, f, g, o] = [0, 1, 2, 3].map(|j| step.gates[4 * u + j]);
            let d_c = self.d_c[u] + step.root_c * through[u];
            self.d_c[u] = d_c * f;
            self.d_norms[4 * h + u] += d[u] * step.normal[u];
            self.d_norms[5 * h + u] += d[u];
            d_a[4 * u] = d_c * g * i * (1.0 - i);
            d_a[4 * u + 1] = d_c * step.c[u] * f * (1.0 - f);
            d_a[4 * u + 2] = d_c * i * (1.0 - g * g);
            d_a[4 * u + 3] = d_h[u] * step.value[u] * o * (1.0 - o);
        }
        let g: Vec<_> = (0..4 * h).map(|j| d_a[j] * norms[j]).collect();
        let through = normal_backward(&g, &step.z);
        let d_z: Vec<_> = through.iter().map(|d| step.root_z * d).collect();
        for j in 0..4 * h {
            self.d_norms[j] += d_a[j] * step.z[j];
            self.d_gates[step.frame * 4 * h + j] = d_a[j];
        }
        for k in 0..h {
            self.d_h[k] = (0..4 * h).map(|j| r[k * 4 * h + j] * d_z[j]).sum();
            for j in 0..4 * h {
                self.d_r[k * 4 * h + j] += step.h[k] * d_z[j];
            }
        }
    }
}

/// From the gradient of what is normalised to that of what goes in, but for its root.
fn normal_backward(g: &[f64], normal: &[f64]) -> Vec<f64> {
    let n = g.len() as f64;
    let sum = g.iter().sum::<f64>() / n;
    let dot = pairs(g, normal, |g, normal| g * normal).iter().sum::<f64>() / n;
    pairs(g, normal, |g, normal| g - sum - normal * dot)
}

/// The outputs and the last state; the gradients of the input's part, R, the norms, the first h and c.
/// `x`: the input's part, R, the norms, the first state; the gradients of outputs, last h and c.
pub(crate) fn norm_lstm_formula(
    x: &[Vec<f64>],
    [b, t, h]: [usize; 3],
    lengths: &[usize],
    reverse: bool,
) -> Vec<Vec<f64>> {
    let (mut y, mut state) = (vec![0.0; b * t * h], x[3].clone());
    let (mut d_gates, mut d_r) = (vec![0.0; b * t * 4 * h], vec![0.0; h * 4 * h]);
    let (mut d_norms, mut d_h, mut d_c) = (vec![0.0; 6 * h], x[5].clone(), x[6].clone());
    for row in 0..b {
        let last = lengths[row] - 1;
        let frames = (0..=last).map(|step| row * t + if reverse { last - step } else { step });
        let steps = normalised(x, frames, &mut state[row * 2 * h..][..2 * h], &mut y);
        let mut back = Back {
            d_gates: &mut d_gates,
            d_r: &mut d_r,
            d_norms: &mut d_norms,
            d_h: &mut d_h[row * h..][..h],
            d_c: &mut d_c[row * h..][..h],
        };
        steps.iter().rev().for_each(|step| back.step(x, step));
    }
    vec![y, state, d_gates, d_r, d_norms, d_h, d_c]
}

/// What a device gives of the arguments of [`norm_lstm_formula`], in its order.
pub(crate) fn norm_lstm(
    device: &Device,
    x: &[Vec<f32>],
    [b, t, h]: [usize; 3],
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Vec<Vec<f32>> {
    let call = norm::Call {
        gates: tensor(&x[0], [b, t, h, 4], device),
        weight_hh: tensor(&x[1], [h, h, 4], device),
        norms: tensor(&x[2], [6 * h], device),
        lengths: lengths.map(|lengths| Lengths::new(lengths, device).unwrap()),
        reverse,
        epsilon: 1e-3,
    };
    let state = tensor(&x[3], [b, 2 * h], device);
    let y = Tensor::zeros([b, t, h], device).unwrap();
    let columns = Columns { tensor: &y, first: 0 };
    let saved = call.forward(&state, Some(columns), true).unwrap().unwrap();
    let d_y = tensor(&x[4], [b, t, h], device);
    let columns = Columns { tensor: &d_y, first: 0 };
    let (d_h, d_c) = (tensor(&x[5], [b, h], device), tensor(&x[6], [b, h], device));
    let d_r = Tensor::zeros([h, 4 * h], device).unwrap();
    let d = saved.backward(Some(columns), Some(&d_h), Some(&d_c), &d_r).unwrap();
    let all = [y, state, d.gates, d_r, d.norms, d.h, d.c];
    all.iter().map(|t| t.to_vec().unwrap()).collect()
}

#[test]
fn layer_normalised_lstms() {
    let mut failures = Vec::new();
    // The second has more units than a vector has lanes.
    for (sizes, seed) in [([2, 3, 5], 116), ([2, 2, 17], 117)] {
        let [b, t, h] = sizes;
        let lengths = [t, t - 1];
        let mut r = Random::new(seed);
        let off =
            |size: usize| (0..b * t * size).filter(move |i| i / size % t >= lengths[i / size / t]);
        Case {
            op: "norm_lstm",
            what: format!("{sizes:?}"),
            seed,
            bound: 1e-4,
            arguments: vec![
                argument("gates", r.uniform(b * t * 4 * h, -1.0, 1.0)).but(off(4 * h)),
                argument("weight_hh", r.uniform(h * 4 * h, -0.5, 0.5)),
                argument("norms", r.uniform(6 * h, 0.2, 1.5)),
                argument("state", r.uniform(b * 2 * h, -1.0, 1.0)),
                argument("d_y", r.uniform(b * t * h, -1.0, 1.0)).but(off(h)),
                argument("d_h", r.uniform(b * h, -1.0, 1.0)),
                argument("d_c", r.uniform(b * h, -1.0, 1.0)),
            ],
            run: &|device, x| norm_lstm(device, x, sizes, Some(&lengths), false),
            formula: &|x| norm_lstm_formula(x, sizes, &lengths, false),
        }
        .check(&mut failures);
    }
    none(&failures);
}
