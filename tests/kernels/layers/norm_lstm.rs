//! The layer-normalised LSTM.

use super::super::oracle::{Random, central_difference, widen};
use super::super::specials::norm_lstm::{norm_lstm, norm_lstm_formula};
use super::super::{close, close_values, devices, gpu, inner, tensor};
use super::dot;
use crate::ops::lstm::{Columns, norm};
use crate::{Device, GpuOptions, Lengths, Tensor};

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

/// Arguments as `norm_lstm_formula` has them.
fn arguments([b, t, h]: [usize; 3], seed: u64) -> Vec<Vec<f32>> {
    let mut r = Random::new(seed);
    let spread = (1.0 / h as f32).sqrt();
    vec![
        r.uniform(b * t * 4 * h, -1.0, 1.0),
        r.uniform(h * 4 * h, -spread, spread),
        r.uniform(6 * h, 0.2, 1.5),
        r.uniform(b * 2 * h, -1.0, 1.0),
        r.uniform(b * t * h, -1.0, 1.0),
        r.uniform(b * h, -1.0, 1.0),
        r.uniform(b * h, -1.0, 1.0),
    ]
}

/// Rows of one length, or of up to so many steps, one of them of all.
fn lengths([b, t, _]: [usize; 3], ragged: bool) -> Vec<usize> {
    (0..b).map(|row| if ragged { t - row * 2 % t } else { t }).collect()
}

const NAMES: [&str; 7] = ["y", "state", "d_gates", "d_r", "d_norms", "d_h", "d_c"];

/// Fewer units than a vector has lanes, as many, and some more; rows for one tile and for several, in one
/// thread and in several.
#[test]
fn layer_normalised_lstms_of_every_size() {
    let mut seed = 700;
    for h in [1, 7, 16, 17, 33, 128] {
        for b in [1, 5, 13] {
            seed += 1;
            let sizes = [b, 3, h];
            let (ragged, reverse) = (b > 1, seed % 2 == 0);
            let x = arguments(sizes, seed);
            let lengths = lengths(sizes, ragged);
            let wide: Vec<_> = x.iter().map(|x| widen(x)).collect();
            let expected = norm_lstm_formula(&wide, sizes, &lengths, reverse);
            for (name, device) in devices() {
                let found = norm_lstm(device, &x, sizes, ragged.then_some(&lengths), reverse);
                for (what, (found, expected)) in NAMES.iter().zip(found.iter().zip(&expected)) {
                    let what = format!("{what} of {sizes:?}, reverse {reverse}, {name}");
                    close_values(&what, found, expected, 1e-4);
                }
            }
        }
    }
}

/// Longer than the sums of the norms' gradients stay in single precision.
#[test]
fn a_long_layer_normalised_lstm() {
    let sizes = [3, 150, 9];
    let x = arguments(sizes, 750);
    let lengths = lengths(sizes, true);
    let wide: Vec<_> = x.iter().map(|x| widen(x)).collect();
    let expected = norm_lstm_formula(&wide, sizes, &lengths, false);
    for (name, device) in devices() {
        let found = norm_lstm(device, &x, sizes, Some(&lengths), false);
        for (what, (found, expected)) in NAMES.iter().zip(found.iter().zip(&expected)) {
            close_values(&format!("{what}, {name}"), found, expected, 1e-4);
        }
    }
}

#[test]
fn layer_normalised_lstms_have_the_same_bits_on_however_many_threads() {
    for sizes in [[5, 40, 33], [13, 9, 128]] {
        let x = arguments(sizes, 760);
        for (ragged, reverse) in [(false, false), (true, true)] {
            let lengths = lengths(sizes, ragged);
            let bits = |threads: usize| -> Vec<Vec<u32>> {
                let device = Device::cpu_with_threads(threads).unwrap();
                let found = norm_lstm(&device, &x, sizes, ragged.then_some(&lengths), reverse);
                found.iter().map(|v| v.iter().map(|v| v.to_bits()).collect()).collect()
            };
            let one = bits(1);
            for threads in [2, 3, 8] {
                for (what, (found, one)) in NAMES.iter().zip(bits(threads).iter().zip(&one)) {
                    assert_eq!(found, one, "{what} of {sizes:?} on {threads} threads");
                }
            }
        }
    }
}

/// What is not saved, or not wanted, changes nothing else.
#[test]
fn a_layer_normalised_lstm_gives_the_same_without_a_backward_pass() {
    let sizes @ [b, t, h] = [5, 4, 19];
    let x = arguments(sizes, 770);
    for (name, device) in devices() {
        let run = |save: bool, sequences: bool| {
            let call = norm::Call {
                gates: tensor(&x[0], [b, t, h, 4], device),
                weight_hh: tensor(&x[1], [h, h, 4], device),
                norms: tensor(&x[2], [6 * h], device),
                lengths: Some(Lengths::new(&lengths(sizes, true), device).unwrap()),
                reverse: true,
                epsilon: 1e-3,
            };
            let state = tensor(&x[3], [b, 2 * h], device);
            let y = Tensor::zeros([b, t, h], device).unwrap();
            let columns = sequences.then_some(Columns { tensor: &y, first: 0 });
            assert_eq!(call.forward(&state, columns, save).unwrap().is_some(), save);
            (state.to_vec().unwrap(), y.to_vec().unwrap())
        };
        let (state, y) = run(true, true);
        assert_eq!(run(false, true), (state.clone(), y), "{name}");
        for save in [false, true] {
            assert_eq!(run(save, false).0, state, "{name}, {save}");
        }
    }
}

/// Numbers for a layer: the input's part, R, the norms, the first state, the gradients of the outputs and of
/// the last state.
struct Numbers {
    of: NormLstm,
    part: Vec<f32>,
    weight: Vec<f32>,
    norms: Vec<f32>,
    first: Vec<f32>,
    d_y: Vec<f32>,
    d_end: [Vec<f32>; 2],
}

impl Numbers {
    fn new([b, t, h]: [usize; 3], ragged: bool, reverse: bool) -> Self {
        let mut r = Random::new(1000 * h as u64 + b as u64);
        let lengths: Vec<_> =
            (0..b).map(|row| if ragged { 1 + (row * 5 + 2) % t } else { t }).collect();
        let mut frames = |width: usize| {
            let mut values = r.uniform(b * t * width, -1.0, 1.0);
            for (row, &length) in lengths.iter().enumerate() {
                values[(row * t + length) * width..(row + 1) * t * width].fill(f32::NAN);
            }
            values
        };
        let (part, d_y) = (frames(4 * h), frames(h));
        let size = 1.0 / (h as f32).sqrt();
        Self {
            part,
            d_y,
            weight: r.uniform(h * 4 * h, -size, size),
            norms: r.uniform(6 * h, 0.2, 1.0),
            first: r.uniform(b * 2 * h, -1.0, 1.0),
            d_end: [r.uniform(b * h, -1.0, 1.0), r.uniform(b * h, -1.0, 1.0)],
            of: NormLstm { b, t, h, lengths, reverse },
        }
    }

    /// Outputs and last state, without a backward pass and with one, then all gradients.
    fn run(&self, device: &Device, ragged: bool) -> Vec<Vec<f32>> {
        let Self { of: NormLstm { b, t, h, lengths, reverse }, .. } = self;
        let (&b, &t, &h) = (b, t, h);
        let call = || norm::Call {
            gates: tensor(&self.part, [b, t, h, 4], device),
            weight_hh: tensor(&self.weight, [h, h, 4], device),
            norms: tensor(&self.norms, [6 * h], device),
            lengths: ragged.then(|| Lengths::new(lengths, device).unwrap()),
            reverse: *reverse,
            epsilon: 1e-3,
        };
        let state = || tensor(&self.first, [b, 2 * h], device);
        let (inferred, end) = (Tensor::zeros([b, t, h], device).unwrap(), state());
        let none = call().forward(&end, Some(Columns { tensor: &inferred, first: 0 }), false);
        assert!(none.unwrap().is_none());
        // A stateful layer may want its last state alone.
        let alone = state();
        call().forward(&alone, None, false).unwrap();
        let (y, last) = (Tensor::zeros([b, t, h], device).unwrap(), state());
        let columns = Columns { tensor: &y, first: 0 };
        let saved = call().forward(&last, Some(columns), true).unwrap().unwrap();
        let d_y = tensor(&self.d_y, [b, t, h], device);
        let [d_h, d_c] = self.d_end.each_ref().map(|d| tensor(d, [b, h], device));
        let d_r = Tensor::zeros([h, 4 * h], device).unwrap();
        let columns = Columns { tensor: &d_y, first: 0 };
        let d = saved.backward(Some(columns), Some(&d_h), Some(&d_c), &d_r).unwrap();
        let all = [inferred, end, alone, y, last, d.gates, d_r, d.norms, d.h, d.c];
        all.iter().map(|t| t.to_vec().unwrap()).collect()
    }
}

/// The ways of a software adapter and those of hardware, over the edges of their tiles.
#[test]
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
fn layer_normalised_lstms_beside_the_cpu() {
    let cpu = Device::poisoned_cpu();
    let hardware = gpu(GpuOptions::default().poison().threads(2).like_hardware());
    assert!(!inner(&hardware).info.software);
    let both = [(false, false), (true, false), (true, true)];
    for (sizes, hows) in [
        ([1, 1, 1], &both[..1]),
        ([1, 5, 7], &both[..]),
        ([5, 4, 16], &both),
        ([17, 3, 33], &both),
        ([2, 3, 64], &both[1..2]),
        ([5, 3, 100], &both[2..]),
        ([17, 2, 200], &both[1..2]),
        ([2, 3, 257], &both[1..]),
        ([9, 3, 257], &both[..1]),
        // More than a dispatch has.
        ([5, 1030, 3], &both[1..2]),
    ] {
        for &(ragged, reverse) in hows {
            let numbers = Numbers::new(sizes, ragged, reverse);
            let expected = numbers.run(&cpu, ragged);
            // Each size of workgroup of the kernel for hardware takes long to compile.
            let as_hardware = [3, 33, 200, 257].contains(&sizes[2]);
            let like_hardware = as_hardware.then_some(("like hardware", &hardware));
            let software = devices().iter().map(|(name, device)| (name.as_str(), device));
            for (name, device) in software.chain(like_hardware) {
                let found = numbers.run(device, ragged);
                for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let what = format!("{which} of {sizes:?}, {ragged}, {reverse}, {name}");
                    // Of one unit the sums are all rounding: a driver without fused sums is 1.05e-4 off.
                    close_values(&what, found, &widen(expected), 2e-4);
                }
            }
        }
    }
}
