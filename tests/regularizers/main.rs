//! What keeps parameters and outputs small, by its formulas, and weights that differ.

#[path = "../common/mod.rs"]
mod common;
mod models;

use common::{close, devices};
use wgpu_lstm::nn::{Activation, Dense, Layer, Lstm, Params, Regularizer};
use wgpu_lstm::train::{Adam, Optimizer, Sgd};
use wgpu_lstm::{Device, Error, Tape, Tensor, Var, loss};

fn input(device: &Device) -> Tensor {
    let x: Vec<f32> = (0..4 * 5 * 3).map(|i| (i as f32 * 0.7).sin()).collect();
    Tensor::from_slice(&x, [4, 5, 3], device).unwrap()
}

/// The loss without regularizers and with them, the layer's outputs, and all gradients.
fn run(layer: Lstm, device: &Device) -> (f32, f32, Vec<f32>, Params) {
    let params = Params::seeded(device, 3);
    let layer = layer.return_sequences().build(&params, 3).unwrap();
    let bias: Vec<_> = (0..24).map(|i| (i as f32 - 12.0) / 10.0).collect();
    params.set("lstm.bias_l0", &bias).unwrap();
    let tape = Tape::new(&params);
    let y = layer.forward(&tape, &input(device).into()).unwrap();
    let target = Tensor::zeros(y.shape(), device).unwrap();
    let plain = loss::mean_squared_error(&tape, &y, &target, None).unwrap();
    let all = tape.regularized(&plain).unwrap();
    let losses = [&plain, &all].map(|l| l.tensor().to_vec().unwrap()[0]);
    let outputs = y.tensor().to_vec().unwrap();
    tape.backward(&all).unwrap();
    (losses[0], losses[1], outputs, params)
}

#[test]
fn penalties_and_their_gradients() {
    let (l1, l2) = (0.01f32, 0.02f32);
    for device in devices() {
        let (plain, same, outputs, before) = run(Lstm::new(6), device);
        assert_eq!(plain, same);
        let both = Regularizer::l1_l2(l1, l2);
        let layer = Lstm::new(6)
            .kernel_regularizer(both)
            .recurrent_regularizer(both)
            .bias_regularizer(Regularizer::l2(l2));
        let (_, found, _, after) = run(layer, device);
        let mut expected = f64::from(plain);
        for (name, l1) in
            [("lstm.weight_ih_l0", l1), ("lstm.weight_hh_l0", l1), ("lstm.bias_l0", 0.0)]
        {
            let values = after.get(name).unwrap();
            expected += values.iter().map(|w| f64::from(l1 * w.abs() + l2 * w * w)).sum::<f64>();
            let d: Vec<_> = before
                .gradient(name)
                .unwrap()
                .into_iter()
                .zip(&values)
                .map(|(d, w)| d + l1 * if *w == 0.0 { 0.0 } else { w.signum() } + 2.0 * l2 * w)
                .collect();
            close(&format!("{name} on {device}"), &after.gradient(name).unwrap(), &d, 1e-5);
        }
        close(&format!("loss on {device}"), &[found], &[expected as f32], 1e-5);
        // The activity, in the mean of the four rows.
        let layer = Lstm::new(6).activity_regularizer(Regularizer::l1_l2(0.3, 0.5));
        let (_, found, _, _) = run(layer, device);
        let of = |y: &f32| f64::from(0.3 * y.abs() + 0.5 * y * y) / 4.0;
        let expected = f64::from(plain) + outputs.iter().map(of).sum::<f64>();
        close(&format!("activity on {device}"), &[found], &[expected as f32], 1e-5);
    }
}

/// The activity's gradient is that of its formula, here of a linear layer: d y = (l1 sign y + 2 l2 y) / B.
#[test]
fn the_activity_has_a_gradient() {
    for device in devices() {
        let params = Params::seeded(device, 1);
        let layer = Dense::new(2).activity_regularizer(Regularizer::l1_l2(0.5, 0.25));
        let layer = layer.build(&params, 3).unwrap();
        let tape = Tape::new(&params);
        let x = tape.input(input(device));
        let y = layer.forward(&tape, &x).unwrap();
        let target = y.tensor().clone();
        let zero = loss::mean_squared_error(&tape, &y, &target, None).unwrap();
        let all = tape.regularized(&zero).unwrap();
        let (values, x) = (y.tensor().to_vec().unwrap(), input(device).to_vec().unwrap());
        tape.backward(&all).unwrap();
        let mut expected = vec![0.0f32; 6];
        for (x, y) in x.chunks(3).zip(values.chunks(2)) {
            for u in 0..2 {
                let d = (0.5 * y[u].signum() + 0.5 * y[u]) / 4.0;
                (0..3).for_each(|j| expected[u * 3 + j] += d * x[j]);
            }
        }
        close(
            &format!("d_weight on {device}"),
            &params.gradient("dense.weight").unwrap(),
            &expected,
            1e-5,
        );
        let (_, activation) =
            layer.forward_logits(&Tape::new(&params), &input(device).into()).unwrap();
        assert_eq!(activation, Activation::Linear);
    }
}

#[test]
fn norms_stay_below_their_limit() {
    for device in devices() {
        for mut optimizer in
            [Box::new(Adam::new(0.5)) as Box<dyn Optimizer>, Box::new(Sgd::new(50.0))]
        {
            let params = Params::seeded(device, 7);
            let layer = Lstm::new(5).kernel_max_norm(0.7).recurrent_max_norm(0.4);
            let layer = layer.build(&params, 3).unwrap();
            let dense = Dense::new(2).kernel_max_norm(0.6).build(&params, 5).unwrap();
            let before = params.get("lstm.weight_hh_l0").unwrap();
            for _ in 0..3 {
                let tape = Tape::new(&params);
                let y = layer.forward(&tape, &input(device).into()).unwrap();
                let y = dense.forward(&tape, &y).unwrap();
                let target = Tensor::from_slice(&[3.0; 8], [4, 2], device).unwrap();
                let loss = loss::mean_squared_error(&tape, &y, &target, None).unwrap();
                tape.backward(&loss).unwrap();
                optimizer.step(&params).unwrap();
            }
            assert_ne!(params.get("lstm.weight_hh_l0").unwrap(), before);
            for (name, width, limit) in [
                ("lstm.weight_ih_l0", 3, 0.7),
                ("lstm.weight_hh_l0", 5, 0.4),
                ("dense.weight", 5, 0.6),
            ] {
                let norms: Vec<f32> = params
                    .get(name)
                    .unwrap()
                    .chunks(width)
                    .map(|row| row.iter().map(|w| w * w).sum::<f32>().sqrt())
                    .collect();
                assert!(norms.iter().all(|n| *n <= limit * 1.0001), "{name}: {norms:?}");
                assert!(norms.iter().any(|n| *n > limit * 0.99), "{name}: {norms:?}");
            }
        }
    }
}

#[test]
fn factors_that_make_no_sense() {
    let params = Params::new(&devices()[0]);
    for bad in [-1.0, f32::NAN, f32::INFINITY] {
        let r = Regularizer::l2(bad);
        let option = |error: Error| match error {
            Error::Option { option, .. } => option,
            other => panic!("{other}"),
        };
        for (layer, name) in [
            (Lstm::new(2).kernel_regularizer(r), "Lstm::kernel_regularizer"),
            (Lstm::new(2).recurrent_regularizer(r), "Lstm::recurrent_regularizer"),
            (Lstm::new(2).bias_regularizer(r), "Lstm::bias_regularizer"),
            (Lstm::new(2).activity_regularizer(r), "Lstm::activity_regularizer"),
            (Lstm::new(2).kernel_max_norm(bad), "Lstm::kernel_max_norm"),
            (Lstm::new(2).recurrent_max_norm(bad), "Lstm::recurrent_max_norm"),
        ] {
            assert_eq!(option(layer.build(&params, 1).unwrap_err()), name);
        }
        for (layer, name) in [
            (Dense::new(2).kernel_regularizer(r), "Dense::kernel_regularizer"),
            (Dense::new(2).bias_regularizer(r), "Dense::bias_regularizer"),
            (Dense::new(2).activity_regularizer(r), "Dense::activity_regularizer"),
            (Dense::new(2).kernel_max_norm(bad), "Dense::kernel_max_norm"),
        ] {
            assert_eq!(option(layer.build(&params, 1).unwrap_err()), name);
        }
    }
}

/// Padding costs nothing, wherever it comes from.
#[test]
fn the_activity_of_padding_does_not_count() {
    use wgpu_lstm::{Lengths, Mask};
    for device in devices() {
        let params = Params::seeded(device, 1);
        let layer = Dense::new(2).bias_regularizer(Regularizer::default());
        let layer = layer.activity_regularizer(Regularizer::l1(1.0)).build(&params, 3).unwrap();
        params.set("dense.bias", &[1.0, -2.0]).unwrap();
        let of = |x: Var| {
            let tape = Tape::new(&params);
            let y = layer.forward(&tape, &x).unwrap();
            let zero = loss::mean_squared_error(&tape, &y, y.tensor(), None).unwrap();
            let sum = tape.regularized(&zero).unwrap();
            let sum_value = sum.tensor().to_vec().unwrap()[0];
            params.zero_gradients().unwrap();
            tape.backward(&sum).unwrap();
            (sum_value, params.gradient("dense.bias").unwrap())
        };
        let short = of(Tensor::zeros([1, 2, 3], device).unwrap().into());
        let long = Var::from(Tensor::zeros([1, 7, 3], device).unwrap());
        let lengths = Lengths::new(&[2], device).unwrap();
        let mask = [true, false, false, true, false, false, false];
        let mask = Mask::new(&mask, [1, 7], device).unwrap();
        assert_eq!(of(long.clone().with_lengths(Some(lengths))), short, "{device}");
        assert_eq!(of(long.with_mask(Some(mask))), short, "{device}");
        assert_eq!(short, (6.0, vec![2.0, -2.0]));
    }
}

/// The gradient of an LSTM's activity is what comes of seeds of its formula, time-major or not.
#[test]
fn the_activity_of_an_lstm_has_a_gradient() {
    let (l1, l2) = (0.3f32, 0.5f32);
    for device in devices() {
        let build = |time_major: bool, activity: bool| {
            let params = Params::seeded(device, 6);
            let mut layer = Lstm::new(6).return_sequences();
            if activity {
                layer = layer.activity_regularizer(Regularizer::l1_l2(l1, l2));
            }
            if time_major {
                layer = layer.time_major();
            }
            (layer.build(&params, 3).unwrap(), params)
        };
        let (layer, params) = build(false, false);
        let tape = Tape::new(&params);
        let y = layer.forward(&tape, &input(device).into()).unwrap();
        let values = y.tensor().to_vec().unwrap();
        let seed: Vec<_> = values.iter().map(|y| (l1 * y.signum() + 2.0 * l2 * y) / 4.0).collect();
        let seed = Tensor::from_slice(&seed, y.shape(), device).unwrap();
        tape.backward_from(&[(&y, seed)]).unwrap();
        let expected = params.gradient("lstm.weight_hh_l0").unwrap();
        let mut losses = Vec::new();
        for time_major in [false, true] {
            let (layer, params) = build(time_major, true);
            let x = input(device).to_vec().unwrap();
            let swapped: Vec<f32> =
                (0..20).flat_map(|i| x[(i % 4 * 5 + i / 4) * 3..][..3].to_vec()).collect();
            let x = match time_major {
                true => Tensor::from_slice(&swapped, [5, 4, 3], device).unwrap(),
                false => input(device),
            };
            let tape = Tape::new(&params);
            let y = layer.forward(&tape, &x.into()).unwrap();
            let zero = loss::mean_squared_error(&tape, &y, y.tensor(), None).unwrap();
            let sum = tape.regularized(&zero).unwrap();
            let again = tape.regularized(&zero).unwrap();
            let of = |v: &Var| v.tensor().to_vec().unwrap()[0];
            assert_eq!(of(&sum), of(&again));
            losses.push(of(&sum));
            tape.backward(&sum).unwrap();
            let found = params.gradient("lstm.weight_hh_l0").unwrap();
            close(&format!("time-major {time_major} on {device}"), &found, &expected, 1e-5);
        }
        close(&format!("losses on {device}"), &losses[1..], &losses[..1], 1e-5);
    }
}

#[test]
fn norms_of_very_large_weights() {
    for device in devices() {
        let params = Params::new(device);
        let layer = Dense::new(2).kernel_max_norm(1.0).build(&params, 2).unwrap();
        assert_eq!(layer.parameter_count(), 6);
        params.set("dense.weight", &[3e20, 4e20, 0.0, 0.0]).unwrap();
        params.constrain().unwrap();
        close(
            &format!("norms on {device}"),
            &params.get("dense.weight").unwrap(),
            &[0.6, 0.8, 0.0, 0.0],
            1e-5,
        );
    }
}
