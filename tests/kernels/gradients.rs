//! What happens to gradients before an optimizer's step, and the averages of weights behind it.

use super::oracle::{self, Random, widen};
use super::{assert_same_bits, close, devices, tensor};
use crate::ops::optim::clip::{self, Units};
use crate::ops::optim::{average, loss_scale, norm};
use crate::{Device, Tensor};

/// Gradients on a device, and the state of their loss scale if they are multiplied by it.
fn upload(values: &[Vec<f32>], scaled: bool, device: &Device) -> (Vec<Tensor>, Option<Tensor>) {
    let tensors = values.iter().map(|v| tensor(v, [v.len()], device));
    if !scaled {
        return (tensors.collect(), None);
    }
    let state = loss_scale::state(device).unwrap();
    let rescaled = tensors.map(|t| loss_scale::rescale(&t, &state, false).unwrap());
    (rescaled.collect(), Some(state))
}

/// The values without the loss scale.
fn unscaled(g: &Tensor, scaling: Option<&Tensor>) -> Tensor {
    match scaling {
        Some(state) => loss_scale::rescale(g, state, true).unwrap(),
        None => g.clone(),
    }
}

#[test]
fn norms_at_every_edge() {
    let mut r = Random::new(401);
    // A lane, a workgroup, a block, their neighbours; several gradients of which some are small.
    for sizes in
        [&[1][..], &[63], &[64, 1], &[65], &[4095], &[4096, 3], &[4097, 8191, 77], &[50_001]]
    {
        let values: Vec<_> = sizes.iter().map(|&n| r.uniform(n, -1.0, 1.0)).collect();
        let wide: Vec<_> = values.iter().map(|v| widen(v)).collect();
        let exact = oracle::gradients::norm(&wide);
        for (name, device) in devices() {
            for (scaled, share) in [(false, 0.5), (true, 0.5), (false, 1.5), (true, 1.5)] {
                let what = format!("{sizes:?}, scaled {scaled}, to {share}, {name}");
                let (g, scaling) = upload(&values, scaled, device);
                let all: Vec<_> = g.iter().collect();
                let scale = if scaled { 65_536.0 } else { 1.0 };
                let found = norm::norm(&all).unwrap() / scale;
                assert!((found / exact - 1.0).abs() < 1e-6, "{what}: {found} for {exact}");
                let limit = (exact * share) as f32;
                norm::clip(&all, limit, scaling.as_ref()).unwrap();
                let expected = oracle::gradients::clip_norm(&wide, f64::from(limit));
                for (g, expected) in g.iter().zip(&expected) {
                    close(&what, &unscaled(g, scaling.as_ref()), expected, 1e-6);
                }
                if share > 1.0 {
                    let found = unscaled(&g[0], scaling.as_ref()).to_vec().unwrap();
                    assert_same_bits(&what, &found, &values[0]);
                }
            }
        }
    }
}

/// As precise as that of a few, with the same bits each time, and over more blocks than there are parts.
#[test]
fn norms_of_millions() {
    let n = 9_000_001;
    let values = vec![0.3f32; n];
    let exact = f64::from(0.3f32) * (n as f64).sqrt();
    for (name, device) in devices() {
        let clipped = || {
            let g = tensor(&values, [n], device);
            let found = norm::norm(&[&g]).unwrap();
            assert!((found / exact - 1.0).abs() < 1e-6, "{name}: {found} for {exact}");
            norm::clip(&[&g], 2.0, None).unwrap();
            g.to_vec().unwrap()
        };
        let (once, again) = (clipped(), clipped());
        let expected = 2.0 / (n as f64).sqrt();
        assert!(once.iter().all(|&g| (f64::from(g) / expected - 1.0).abs() < 1e-6), "{name}");
        assert_same_bits(name, &once, &again);
    }
}

/// Squares of these overflow or vanish, their norms do not.
#[test]
fn norms_of_large_and_small_values() {
    for (name, device) in devices() {
        for (size, limit) in [(1e30f32, 1.0f32), (3e38, 1e10), (1e-30, 1e-32)] {
            let values = [size, -size, 0.0, size * 0.5, size];
            let wide = [widen(&values)];
            let g = tensor(&values, [5], device);
            let (found, exact) = (norm::norm(&[&g]).unwrap(), oracle::gradients::norm(&wide));
            assert!((found / exact - 1.0).abs() < 1e-6, "{name}: {found} for {exact}");
            norm::clip(&[&g], limit, None).unwrap();
            let expected = oracle::gradients::clip_norm(&wide, f64::from(limit));
            for (found, expected) in g.to_vec().unwrap().iter().zip(&expected[0]) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error <= 1e-6 * f64::from(limit), "{name}: {found} for {expected}");
            }
        }
    }
}

#[test]
fn values_at_every_edge() {
    let mut r = Random::new(402);
    for n in [1, 63, 64, 65, 1000] {
        let values = [r.uniform(n, -2.0, 2.0)];
        let expected: Vec<_> = values[0].iter().map(|&g| f64::from(g).clamp(-0.75, 0.75)).collect();
        for (name, device) in devices() {
            for scaled in [false, true] {
                let (g, scaling) = upload(&values, scaled, device);
                clip::value(&g[0], 0.75, scaling.as_ref()).unwrap();
                let what = format!("{n}, scaled {scaled}, {name}");
                close(&what, &unscaled(&g[0], scaling.as_ref()), &expected, 0.0);
            }
        }
    }
}

#[test]
fn units_of_both_layouts() {
    let mut r = Random::new(403);
    // Workgroups take 4 units with 64 lanes each, or 16 with 16.
    for (count, size) in
        [(1, 1), (1, 2049), (3, 63), (4, 64), (5, 65), (16, 16), (17, 15), (67, 33), (129, 301)]
    {
        let n = count * size;
        let mut w = r.uniform(n, -1.0, 1.0);
        // Weights that are nearly 0, and a unit that is not clipped.
        w[..size].fill(1e-6);
        let mut values = r.uniform(n, -1.0, 1.0);
        values.iter_mut().skip(n / 2).step_by(3).for_each(|g| *g *= 1e-4);
        let wide = [widen(&w), widen(&values)];
        for (units, unit) in [
            (Units::Rows(count), &(|i| i / size) as &dyn Fn(usize) -> usize),
            (Units::Columns(count), &|i| i % count),
        ] {
            let expected =
                oracle::gradients::clip_units([&wide[0], &wide[1]], count, unit, f64::from(0.1f32));
            for (name, device) in devices() {
                for scaled in [false, true] {
                    let (g, scaling) = upload(std::slice::from_ref(&values), scaled, device);
                    let w = tensor(&w, [n], device);
                    clip::units([&w, &g[0]], units, 0.1, scaling.as_ref()).unwrap();
                    let what = format!("{units:?} of {size}, scaled {scaled}, {name}");
                    let found = unscaled(&g[0], scaling.as_ref()).to_vec().unwrap();
                    // Each by itself: some are much smaller than others.
                    for (found, expected) in found.iter().zip(&expected) {
                        let error = (f64::from(*found) - expected).abs();
                        assert!(error <= 2e-6 * expected.abs(), "{what}: {found} for {expected}");
                    }
                }
            }
        }
    }
}

#[test]
fn averages_of_several() {
    let mut r = Random::new(404);
    for n in [1, 63, 64, 65, 1000] {
        let (mean, x) = (r.uniform(n, -1.0, 1.0), r.uniform(n, -1.0, 1.0));
        for share in [0.001f32, 0.5, 1.0] {
            let step = |(&m, &x): (&f32, &f32)| {
                f64::from(m) + f64::from(share) * (f64::from(x) - f64::from(m))
            };
            let expected: Vec<_> = mean.iter().zip(&x).map(step).collect();
            for (name, device) in devices() {
                let [mean, x] = [&mean, &x].map(|values| tensor(values, [n], device));
                average::average(&x, &mean, share).unwrap();
                close(&format!("{n}, share {share}, {name}"), &mean, &expected, 3e-7);
            }
        }
    }
}

/// What a device cannot bind at once goes in windows.
#[cfg(feature = "gpu")]
#[test]
fn more_than_a_binding() {
    use crate::GpuOptions;
    let device = super::gpu(crate::testing::binding_bytes(GpuOptions::default().poison(), 1 << 16));
    let mut r = Random::new(405);
    let (count, size) = (900, 50);
    let n = count * size;
    let (w, values) = (r.uniform(n, -1.0, 1.0), r.uniform(n, -1.0, 1.0));
    let wide = [widen(&w), widen(&values)];
    let large = |v: &[f32]| Tensor::large_from_slice(v, [n], "a test", &device).unwrap();
    let (w, small) = (large(&w), tensor(&values[..7], [7], &device));

    let g = large(&values);
    norm::clip(&[&small, &g], 1.0, None).unwrap();
    let both = [wide[1][..7].to_vec(), wide[1].clone()];
    let expected = oracle::gradients::clip_norm(&both, 1.0);
    close("a small one", &small, &expected[0], 1e-6);
    close("by norm", &g, &expected[1], 1e-6);

    let g = large(&values);
    clip::value(&g, 0.5, None).unwrap();
    let expected: Vec<_> = wide[1].iter().map(|g| g.clamp(-0.5, 0.5)).collect();
    close("by value", &g, &expected, 0.0);

    let g = large(&values);
    clip::units([&w, &g], Units::Rows(count), 0.1, None).unwrap();
    let limit = f64::from(0.1f32);
    let expected = oracle::gradients::clip_units([&wide[0], &wide[1]], count, |i| i / size, limit);
    close("by units", &g, &expected, 2e-6);

    let mean = large(&values);
    average::average(&w, &mean, 0.5).unwrap();
    let expected: Vec<_> = wide[0].iter().zip(&wide[1]).map(|(w, m)| (w + m) / 2.0).collect();
    close("an average", &mean, &expected, 3e-7);
}
