//! A way around a layer: its formula, gradients by differences, steps of streams, files and trainings.

use crate::common::{close, devices, value};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::mean_squared_error;
use wgpu_lstm::nn::{Activation, Dense, Highway, Lstm, Params, Pool, Pooling};
use wgpu_lstm::train::{Adam, Fit, Loss};
use wgpu_lstm::{Device, Error, Lengths, Sequential, Tape, Tensor, Var};

fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 1.3 + seed).sin()).collect()
}

/// A tanh layer of three units with a way around it, by its formula, of rows of `size` features.
fn formula(params: &Params, x: &[f32], size: usize) -> Vec<f32> {
    let get = |name: &str| params.get(name).unwrap();
    let product = |name: &str, x: &[f32]| -> Vec<f32> {
        get(name).chunks(size).map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
    };
    let (bias, gate_bias) = (get("dense.bias"), get("dense_1.bias"));
    x.chunks(size)
        .flat_map(|x| {
            let (y, gate) = (product("dense.weight", x), product("dense_1.weight", x));
            let around = if size == 3 { x.to_vec() } else { product("dense_2.weight", x) };
            let of = |j: usize| {
                let t = 1.0 / (1.0 + (-gate[j] - gate_bias[j]).exp());
                t * (y[j] + bias[j]).tanh() + (1.0 - t) * around[j]
            };
            (0..3).map(of).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn formula_and_gradients() {
    for device in devices() {
        for size in [3, 5] {
            let params = Params::seeded(device, 4);
            let layer = Highway::new(Dense::new(3).activation(Activation::Tanh)).gate_bias(-0.5);
            let layer = layer.build(&params, size).unwrap();
            assert_eq!(params.get("dense_1.bias").unwrap(), [-0.5; 3]);
            let x = numbers(2 * 4 * size, 0.2);
            let run = |params: &Params| {
                let tape = Tape::new(params);
                let x = tape.input(Tensor::from_slice(&x, [2, 4, size], device).unwrap());
                let y = layer.forward(&tape, &x).unwrap();
                let targets = Tensor::from_slice(&numbers(24, 2.0), [2, 4, 3], device).unwrap();
                let loss = mean_squared_error(&tape, &y, &targets, None).unwrap();
                (tape, x, y, loss)
            };
            let (tape, input, y, loss) = run(&params);
            let what = format!("{size} features on {device}");
            close(&what, &value(&y), &formula(&params, &x, size), 1e-5);
            let found = tape.backward(&loss).unwrap();
            assert!(found.get(&input).is_some());
            for name in params.names() {
                let (gradient, before) =
                    (params.gradient(&name).unwrap(), params.get(&name).unwrap());
                for at in [0, before.len() - 1] {
                    let loss_at = |step: f32| {
                        let mut values = before.clone();
                        values[at] += step;
                        params.set(&name, &values).unwrap();
                        value(&run(&params).3)[0]
                    };
                    let slope = (loss_at(0.02) - loss_at(-0.02)) / 0.04;
                    let off = (slope - gradient[at]).abs();
                    assert!(off < 2e-4, "{name} {at} of {what}: {slope}, {}", gradient[at]);
                }
                params.set(&name, &before).unwrap();
            }
        }
    }
}

/// What stands in the padding does not count.
#[test]
fn padding_is_not_read() {
    for device in devices() {
        let params = Params::seeded(device, 5);
        let layer = Highway::new(Lstm::new(3).return_sequences()).build(&params, 3).unwrap();
        let run = |padding: f32| {
            let mut x = numbers(2 * 4 * 3, 0.1);
            x[6..12].fill(padding);
            let tape = Tape::new(&params);
            let lengths = Lengths::new(&[2, 4], device).unwrap();
            let x = tape.input(Tensor::from_slice(&x, [2, 4, 3], device).unwrap());
            let y = layer.forward(&tape, &x.with_lengths(Some(lengths))).unwrap();
            value(&y)
        };
        let (found, expected) = (run(f32::NAN), run(0.0));
        assert!(found[..6] == expected[..6] && found[12..] == expected[12..], "{device}");
    }
}

#[test]
fn models_of_highways_stream_learn_and_come_back_from_files() {
    let path = std::env::temp_dir().join(format!("highway-{}.safetensors", std::process::id()));
    let x = Sequences::from_array(&numbers(6 * 5 * 2, 0.4), [6, 5, 2]).unwrap();
    let y = Targets::values((0..6).map(|i| i as f32 * 0.2 - 0.5).collect::<Vec<_>>(), 1);
    for device in devices() {
        let mut model = Sequential::new(device)
            .seed(2)
            .add(Highway::new(Lstm::new(4).return_sequences()))
            .add(Highway::new(Lstm::new(4).return_sequences()))
            .add(Pool::new(Pooling::Last))
            .add(Dense::new(1));
        model.compile(Adam::new(0.02), Loss::MeanSquaredError, &[]);
        let history = model.fit(&x, &y, Fit::new().epochs(60).quiet()).unwrap();
        let losses = [0, 59].map(|epoch| history.epochs[epoch].training.loss);
        assert!(losses[1] < 0.2 * losses[0], "{losses:?} on {device}");
        let found = model.predict(&x).unwrap();
        model.save(&path).unwrap();
        let loaded = Sequential::load(&path, device).unwrap();
        assert_eq!(loaded.predict(&x).unwrap().values(), found.values());

        let mut frames = Sequential::new(device).add(Highway::new(Lstm::new(2).return_sequences()));
        frames.build(2).unwrap();
        let whole = frames.predict(&x).unwrap();
        let mut stepper = frames.stepper(1).unwrap();
        let stream = stepper.join().unwrap();
        for t in 0..5 {
            let frame = &x.get(0)[2 * t..2 * t + 2];
            let step = stepper.step(&[(stream, frame)]).unwrap();
            close(&format!("step {t} on {device}"), step.row(0), whole.row(t), 1e-5);
        }
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_goes_around_no_layer() {
    let params = Params::new(&Device::cpu().unwrap());
    let error = Highway::new(Lstm::new(3)).build(&params, 3).unwrap_err();
    assert!(matches!(error, Error::Unsupported { with: "Highway", .. }), "{error}");
    let stateful = Lstm::new(3).return_sequences().stateful();
    let error = Highway::new(stateful).build(&params, 3).unwrap_err();
    assert!(matches!(error, Error::Unsupported { with: "Highway", .. }), "{error}");
    let error = Highway::new(Dense::new(2)).gate_bias(f32::NAN).build(&params, 3).unwrap_err();
    assert!(matches!(error, Error::Option { .. }), "{error}");
    assert!(params.names().is_empty());
    let layer = Highway::new(Dense::new(2));
    let tape = Tape::new(&params);
    let x = Var::from(Tensor::zeros([1, 2, 3], &params.device()).unwrap());
    assert!(matches!(layer.forward(&tape, &x), Err(Error::NotBuilt { .. })));
}
