//! Convolutions, pools, spectra and activations: kernels and twins against plain f64 sums and their central
//! differences.

use super::oracle::{Random, central_difference, widen};
use super::{close, devices, tensor};
use crate::lengths::Counted;
use crate::ops::conv::conv1d::{Conv, conv1d, to_memory};
use crate::ops::conv::pool1d::{Kind, Pool1d, pool1d};
use crate::ops::conv::{Window, batch_norm, magnitude, reflect};
use crate::ops::elementwise::activation;
use crate::{Lengths, Mask, Tensor};

fn dot(a: &[f64], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, &b)| a * f64::from(b)).sum()
}

/// Size, stride, dilation, and padding before and after.
fn window([size, stride, dilation, before, after]: [usize; 5]) -> Window {
    Window { size, stride, dilation, before, after }
}

/// The place of the frame that a tap lies on, if it is one.
fn frame(w: Window, output: usize, tap: usize, t: usize) -> Option<usize> {
    (output * w.stride + tap * w.dilation).checked_sub(w.before).filter(|&at| at < t)
}

/// By the formula, with the weight as PyTorch has it: `[O, C/groups, size]`.
fn convolved(
    x: &[f64],
    weight: &[f64],
    bias: &[f64],
    w: Window,
    [b, t, c, o, groups]: [usize; 5],
) -> Vec<f64> {
    let (steps, channels) = (w.steps(t), c / groups);
    let mut y = Vec::new();
    for row in 0..b {
        for output in 0..steps {
            for k in 0..o {
                let mut sum = bias[k];
                for tap in 0..w.size {
                    let Some(at) = frame(w, output, tap, t) else { continue };
                    for j in 0..channels {
                        let from = k / (o / groups) * channels + j;
                        let x = x[(row * t + at) * c + from];
                        sum += x * weight[(k * channels + j) * w.size + tap];
                    }
                }
                y.push(sum);
            }
        }
    }
    y
}

#[test]
fn convolutions() {
    let mut r = Random::new(71);
    for (w, sizes) in [
        ([1, 1, 1, 0, 0], [1, 1, 1, 1, 1]),
        ([3, 1, 1, 1, 1], [3, 7, 5, 17, 1]),
        ([3, 2, 1, 1, 1], [5, 4, 3, 4, 1]),
        ([3, 2, 1, 1, 1], [9, 2, 6, 3, 1]),
        ([3, 1, 1, 1, 1], [4, 1, 2, 3, 1]),
        ([4, 3, 2, 5, 7], [2, 11, 4, 6, 2]),
        ([5, 1, 1, 2, 2], [2, 35, 3, 33, 1]),
        ([2, 1, 3, 0, 3], [2, 9, 7, 7, 7]),
        ([16, 5, 1, 0, 0], [3, 40, 1, 18, 1]),
        ([2, 4, 1, 9, 0], [1, 3, 2, 2, 1]),
    ] {
        let (w, [b, t, c, o, groups]) = (window(w), sizes);
        let (steps, terms) = (w.steps(t), w.size * c / groups);
        let x = r.uniform(b * t * c, -1.0, 1.0);
        let (weight, bias) = (r.uniform(o * terms, -1.0, 1.0), r.uniform(o, -1.0, 1.0));
        let d_y = r.uniform(b * steps * o, -1.0, 1.0);
        let [x64, weight64, bias64] = [&x, &weight, &bias].map(|v| widen(v));
        let y = convolved(&x64, &weight64, &bias64, w, sizes);
        let of = |x: &[f64], weight: &[f64]| dot(&convolved(x, weight, &bias64, w, sizes), &d_y);
        let d_x = central_difference(&mut |x| of(x, &weight64), &x64, 1e-4);
        let d_weight = central_difference(&mut |weight| of(&x64, weight), &weight64, 1e-4);
        let order = [groups, w.size, c / groups, o / groups];
        let packed = |outside: &[f32], first: f32| {
            let mut memory = vec![0.0; outside.len()];
            to_memory(outside, &mut memory, order);
            memory.iter_mut().for_each(|v| *v += first);
            memory
        };
        let narrow: Vec<_> = d_weight.iter().map(|&d| d as f32).collect();
        let d_memory = widen(&packed(&narrow, 0.25));
        for (name, device) in devices() {
            let what = format!("{w:?} over {sizes:?}, {name}");
            let x = tensor(&x, [b, t, c], device);
            let weight = tensor(&packed(&weight, 0.0), [groups, terms, o / groups], device);
            let bias = tensor(&bias, [o], device);
            let found = conv1d(&x, &weight, Some(&bias), w).unwrap();
            assert_eq!(found.shape(), [b, steps, o], "{what}");
            close(&what, &found, &y, 1e-5);
            let conv = Conv::new(&x, &weight, None, w).unwrap();
            let d_y = tensor(&d_y, [b, steps, o], device);
            // It is added to what is there.
            let added = tensor(&vec![0.25; o * terms], [groups, terms, o / groups], device);
            let found = conv.backward(&x, &weight, &d_y, &added, true).unwrap().unwrap();
            close(&what, &found, &d_x, 1e-5);
            close(&what, &added, &d_memory, 1e-5);
            let again = conv.backward(&x, &weight, &d_y, &added, false).unwrap();
            assert!(again.is_none(), "{what}");
        }
    }
}

fn pooled(kind: Kind, x: &[f64], on: &[bool], w: Window, [b, t, c]: [usize; 3]) -> Vec<f64> {
    let mut y = Vec::new();
    for at in 0..b * w.steps(t) * c {
        let (row, output, j) = (at / c / w.steps(t), at / c % w.steps(t), at % c);
        let taps = (0..w.size).filter_map(|tap| frame(w, output, tap, t));
        let frames = taps.filter(|frame| on[row * t + frame]);
        let frames: Vec<_> = frames.map(|frame| x[(row * t + frame) * c + j]).collect();
        let sum: f64 = frames.iter().sum();
        y.push(match kind {
            Kind::MeanWithPadding => sum / w.size as f64,
            Kind::Mean => sum / frames.len().max(1) as f64,
            Kind::Max if frames.is_empty() => 0.0,
            Kind::Max => frames.into_iter().fold(f64::NEG_INFINITY, f64::max),
        });
    }
    y
}

#[test]
fn pools_of_windows() {
    let mut r = Random::new(72);
    for (w, dims) in [
        ([1, 1, 1, 0, 0], [1, 1, 1]),
        ([3, 2, 1, 1, 1], [3, 7, 5]),
        ([2, 3, 2, 0, 4], [2, 11, 19]),
        ([20, 1, 1, 10, 10], [2, 25, 3]),
        ([3, 4, 1, 6, 0], [1, 3, 300]),
    ] {
        let (w, [b, t, c]) = (window(w), dims);
        let steps = w.steps(t);
        let x = r.uniform(b * t * c, -2.0, 2.0);
        let d_y = r.uniform(b * steps * c, -1.0, 1.0);
        let lengths: Vec<_> = (0..b).map(|row| (row * 5 + t / 2) % t + 1).collect();
        let before: Vec<_> = (0..b * t).map(|i| i % t < lengths[i / t]).collect();
        let holes: Vec<_> = (0..b * t).map(|i| !(i * 7 + i / t).is_multiple_of(3)).collect();
        for kind in [Kind::Mean, Kind::MeanWithPadding, Kind::Max] {
            for (which, on) in [(0, vec![true; b * t]), (1, before.clone()), (2, holes.clone())] {
                let y = pooled(kind, &widen(&x), &on, w, dims);
                let of = |x: &[f64]| dot(&pooled(kind, x, &on, w, dims), &d_y);
                let d_x = central_difference(&mut |x| of(x), &widen(&x), 1e-6);
                for (name, device) in devices() {
                    let steps_that_count = match which {
                        0 => Counted::All,
                        1 => Counted::Lengths(Lengths::new(&lengths, device).unwrap()),
                        _ => Counted::Mask(Mask::new(&on, [b, t], device).unwrap()),
                    };
                    let what = format!("{kind:?}, {w:?} over {dims:?}, {which}, {name}");
                    let x = tensor(&x, dims, device);
                    let pool = Pool1d { kind, window: w, dims, steps: steps_that_count };
                    let (found, taken) = pool.forward(&x).unwrap();
                    close(&what, &found, &y, 1e-5);
                    let d_y = tensor(&d_y, [b, steps, c], device);
                    close(&what, &pool.backward(&d_y, &taken).unwrap(), &d_x, 1e-4);
                    if which == 0 {
                        close(&what, &pool1d(kind, &x, w).unwrap(), &y, 1e-5);
                    }
                }
            }
        }
    }
    for (name, device) in devices() {
        let x = [1.0, f32::NAN, 2.0, 3.0, 4.0, 5.0];
        let y = pool1d(Kind::Max, &tensor(&x, [1, 6, 1], device), window([2, 2, 1, 0, 0])).unwrap();
        let y = y.to_vec().unwrap();
        assert!(y[0].is_nan() && y[1..] == [3.0, 5.0], "{y:?}, {name}");
    }
}

#[test]
fn spectra_and_statistics() {
    let mut r = Random::new(73);
    for [rows, f] in [[1, 1], [3, 7], [5, 65], [2, 130]] {
        let (x, d_y) = (r.uniform(2 * rows * f, -2.0, 2.0), r.uniform(rows * f, -1.0, 1.0));
        let magnitudes = |x: &[f64]| -> Vec<f64> {
            let of = |i: usize| x[i / f * 2 * f + i % f].hypot(x[(i / f * 2 + 1) * f + i % f]);
            (0..rows * f).map(of).collect()
        };
        let d_x = central_difference(&mut |x| dot(&magnitudes(x), &d_y), &widen(&x), 1e-6);
        let values: [Vec<f32>; 3] = std::array::from_fn(|_| r.uniform(f, -1.0, 1.0));
        let ([mean, gain, bias], variance) = (&values, r.uniform(f, 0.1, 2.0));
        let z = r.uniform(rows * f, -2.0, 2.0);
        let normal = |z: &[f64], gain: &[f64]| -> Vec<f64> {
            let of = |i: usize| {
                let (m, v, b) = (mean[i % f], variance[i % f], bias[i % f]);
                let root = (f64::from(v) + f64::from(1e-3f32)).sqrt();
                (z[i] - f64::from(m)) / root * gain[i % f] + f64::from(b)
            };
            (0..rows * f).map(of).collect()
        };
        let gain64 = widen(gain);
        let d_z = central_difference(&mut |z| dot(&normal(z, &gain64), &d_y), &widen(&z), 1e-5);
        let of_gain = |gain: &[f64]| dot(&normal(&widen(&z), gain), &d_y);
        let d_gain = central_difference(&mut |gain| of_gain(gain), &gain64, 1e-5);
        for (name, device) in devices() {
            let what = format!("{rows} x {f}, {name}");
            let (x, d_y) = (tensor(&x, [rows, 2 * f], device), tensor(&d_y, [rows, f], device));
            let y = magnitude::magnitude(&x).unwrap();
            close(&what, &y, &magnitudes(&widen(&x.to_vec().unwrap())), 1e-6);
            close(&what, &magnitude::backward(&x, &y, &d_y).unwrap(), &d_x, 1e-5);
            let zeros = Tensor::zeros([rows, 2 * f], device).unwrap();
            let y = magnitude::magnitude(&zeros).unwrap();
            let d_zeros = magnitude::backward(&zeros, &y, &d_y).unwrap();
            assert!(d_zeros.to_vec().unwrap().iter().all(|&d| d == 0.0), "{what}");
            let of = |values: &[f32]| tensor(values, [f], device);
            let norm = batch_norm::BatchNorm {
                mean: of(mean),
                variance: of(&variance),
                gain: of(gain),
                bias: of(bias),
                epsilon: 1e-3,
            };
            let z_here = tensor(&z, [rows, f], device);
            close(&what, &norm.forward(&z_here).unwrap(), &normal(&widen(&z), &gain64), 1e-5);
            close(&what, &norm.backward(&d_y).unwrap(), &d_z, 1e-5);
            let terms = norm.gain_terms(&z_here, &d_y).unwrap().to_vec().unwrap();
            let sum = |j: usize| terms.iter().skip(j).step_by(f).sum::<f32>();
            close(&what, &of(&(0..f).map(sum).collect::<Vec<_>>()), &d_gain, 1e-4);
        }
    }
}

#[test]
fn mirror_images() {
    let mut r = Random::new(74);
    for (dims, edges) in
        [([1, 1, 1], [0, 0]), ([2, 5, 3], [4, 2]), ([3, 7, 1], [0, 6]), ([2, 130, 2], [129, 1])]
    {
        let ([b, t, c], [before, after]) = (dims, edges);
        let all = before + t + after;
        let mirrored = |x: &[f64]| -> Vec<f64> {
            let of = |i: usize| {
                let at = (i / c % all).abs_diff(before);
                let at = (t - 1) - (t - 1).abs_diff(at);
                x[(i / c / all * t + at) * c + i % c]
            };
            (0..b * all * c).map(of).collect()
        };
        let (x, d_y) = (r.uniform(b * t * c, -1.0, 1.0), r.uniform(b * all * c, -1.0, 1.0));
        let d_x = central_difference(&mut |x| dot(&mirrored(x), &d_y), &widen(&x), 1e-3);
        for (name, device) in devices() {
            let what = format!("{dims:?} with {edges:?}, {name}");
            let found = reflect::reflect(&tensor(&x, dims, device), dims, edges).unwrap();
            close(&what, &found, &mirrored(&widen(&x)), 0.0);
            let d_y = tensor(&d_y, [b, all, c], device);
            close(&what, &reflect::backward(&d_y, dims, edges).unwrap(), &d_x, 1e-5);
        }
    }
}

/// The formulas of the activations that are told from x, in f64.
fn activated(kind: activation::Kind, x: f64) -> f64 {
    use activation::Kind;
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    let softplus = x.max(0.0) + (-x.abs()).exp().ln_1p();
    let hard = |alpha: f64, beta: f64| (alpha * x + beta).clamp(0.0, 1.0);
    match kind {
        Kind::Sigmoid => sigmoid,
        Kind::Tanh => x.tanh(),
        Kind::Relu => x.max(0.0),
        Kind::Elu { alpha } if x < 0.0 => f64::from(alpha) * x.exp_m1(),
        Kind::Selu if x < 0.0 => 1.050_700_987_355_480_5 * 1.673_263_242_354_377_2 * x.exp_m1(),
        Kind::Selu => 1.050_700_987_355_480_5 * x,
        Kind::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Kind::GeluTanh => {
            let scale = (2.0 / std::f64::consts::PI).sqrt();
            0.5 * x * (1.0 + (scale * (x + 0.044715 * x.powi(3))).tanh())
        }
        Kind::Silu => x * sigmoid,
        Kind::Softplus => softplus,
        Kind::Softsign => x / (1.0 + x.abs()),
        Kind::HardSigmoid { alpha, beta } => hard(alpha.into(), beta.into()),
        Kind::LeakyRelu { alpha } if x < 0.0 => f64::from(alpha) * x,
        Kind::Exp => x.exp(),
        Kind::Relu6 => x.clamp(0.0, 6.0),
        Kind::HardSilu => x * hard(1.0 / 6.0, 0.5),
        Kind::Mish => x * softplus.tanh(),
        Kind::ThresholdedRelu { alpha } if x <= f64::from(alpha) => 0.0,
        Kind::Elu { .. } | Kind::LeakyRelu { .. } | Kind::ThresholdedRelu { .. } => x,
    }
}

#[test]
fn activations_of_all_kinds() {
    use activation::Kind;
    let mut r = Random::new(75);
    let (alpha, beta) = (0.3, 0.25);
    for kind in [
        Kind::Elu { alpha },
        Kind::Selu,
        Kind::Gelu,
        Kind::GeluTanh,
        Kind::Silu,
        Kind::Softplus,
        Kind::Softsign,
        Kind::HardSigmoid { alpha, beta },
        Kind::LeakyRelu { alpha },
        Kind::Exp,
        Kind::Relu6,
        Kind::HardSilu,
        Kind::Mish,
        Kind::ThresholdedRelu { alpha },
    ] {
        for n in [1, 63, 131] {
            let (x, d_y) = (r.uniform(n, -7.0, 7.0), r.uniform(n, -1.0, 1.0));
            let of = |x: &[f64]| -> Vec<f64> { x.iter().map(|&x| activated(kind, x)).collect() };
            let d_x = central_difference(&mut |x| dot(&of(x), &d_y), &widen(&x), 1e-6);
            for (name, device) in devices() {
                let what = format!("{kind:?} of {n}, {name}");
                let (x, d_y) = (tensor(&x, [n], device), tensor(&d_y, [n], device));
                let found = activation::activation(kind, &x).unwrap();
                close(&what, &found, &of(&widen(&x.to_vec().unwrap())), 2e-6);
                assert!(kind.slope_is_of_x());
                close(&what, &activation::backward(kind, &x, &d_y).unwrap(), &d_x, 2e-5);
            }
        }
        for (name, device) in devices() {
            let x = [f32::NAN, 1e30, -1e30, 88.0, -88.0];
            let y = activation::activation(kind, &tensor(&x, [5], device)).unwrap();
            let y = y.to_vec().unwrap();
            assert!(y[0].is_nan(), "{kind:?}, {name}: {y:?}");
            let finite = y[2..].iter().all(|y| y.is_finite());
            assert!(!y[1].is_nan() && finite, "{kind:?}, {name}: {y:?}");
            let ones = tensor(&[1.0; 4], [4], device);
            let d = activation::backward(kind, &tensor(&x[1..], [4], device), &ones).unwrap();
            let d = d.to_vec().unwrap();
            assert!(d.iter().all(|d| !d.is_nan()), "{kind:?}'s slope, {name}: {d:?}");
        }
    }
}
