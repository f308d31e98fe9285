//! Outputs and gradients that PyTorch computed, through the public interface.

mod common;

use common::{Vectors, close, devices, value};
use wgpu_lstm::loss::{self, Labels, RowWeights};
use wgpu_lstm::nn::{Activation, Dense, Lstm, LstmState, Params, Strategy};
use wgpu_lstm::train::{Adam, Optimizer, Sgd};
use wgpu_lstm::{Lengths, Tape, Tensor, Var};

fn lstm(name: &str) {
    let vectors = Vectors::load(&format!("lstm_{name}"));
    let [b, t, i, h] = vectors.get("sizes").iter().map(|&v| v as usize).collect::<Vec<_>>()[..]
    else {
        panic!("four sizes");
    };
    let lengths: Vec<_> = vectors.get("lengths").iter().map(|&v| v as usize).collect();
    let ragged = lengths.iter().any(|&l| l < t);
    for device in devices() {
        for strategy in [Strategy::Auto, Strategy::Sequence, Strategy::Stepwise] {
            let what = |v: &str| format!("{v} of {name}, {strategy:?} on {device}");
            let params = Params::new(device);
            let layer =
                Lstm::new(h).return_sequences().strategy(strategy).build(&params, i).unwrap();
            for p in ["weight_ih", "weight_hh", "bias"] {
                params.set(&format!("lstm.{p}_l0"), &vectors.get(p)).unwrap();
                assert_eq!(params.get(&format!("lstm.{p}_l0")).unwrap(), vectors.get(p));
            }
            let tape = Tape::new(&params);
            let input = tape.input(vectors.tensor("x", [b, t, i], device));
            let lengths = ragged.then(|| Lengths::new(&lengths, device).unwrap());
            let x = input.clone().with_lengths(lengths);
            let state = LstmState::new(
                tape.input(vectors.tensor("h_0", [b, h], device)),
                tape.input(vectors.tensor("c_0", [b, h], device)),
            );
            let out = layer.run(&tape, &x, Some(std::slice::from_ref(&state))).unwrap();
            close(&what("y"), &value(&out.output), &vectors.get("y"), 1e-5);
            close(&what("h_n"), &value(&out.state[0].h), &vectors.get("h_n"), 1e-5);
            close(&what("c_n"), &value(&out.state[0].c), &vectors.get("c_n"), 1e-5);

            let gradients = tape
                .backward_from(&[
                    (&out.output, vectors.tensor("d_y", [b, t, h], device)),
                    (&out.state[0].h, vectors.tensor("d_h_n", [b, h], device)),
                    (&out.state[0].c, vectors.tensor("d_c_n", [b, h], device)),
                ])
                .unwrap();
            for (var, d) in [(&input, "d_x"), (&state.h, "d_h_0"), (&state.c, "d_c_0")] {
                let found = gradients.get(var).unwrap().to_vec().unwrap();
                close(&what(d), &found, &vectors.get(d), 1e-4);
            }
            for p in ["weight_ih", "weight_hh", "bias"] {
                let found = params.gradient(&format!("lstm.{p}_l0")).unwrap();
                close(&what(p), &found, &vectors.get(&format!("d_{p}")), 1e-4);
            }
        }
    }
}

#[test]
fn lstm_plain() {
    lstm("plain");
}

#[test]
fn lstm_of_size_one() {
    lstm("one");
}

#[test]
fn lstm_with_lengths() {
    lstm("lengths");
}

#[test]
fn lstm_of_odd_sizes() {
    lstm("odd");
}

#[test]
fn lstm_with_a_state() {
    lstm("state");
}

#[test]
fn dense_with_every_activation() {
    let vectors = Vectors::load("dense");
    for device in devices() {
        for (name, activation) in [
            ("linear", Activation::Linear),
            ("sigmoid", Activation::Sigmoid),
            ("tanh", Activation::Tanh),
            ("relu", Activation::Relu),
            ("softmax", Activation::Softmax),
        ] {
            let params = Params::new(device);
            let layer = Dense::new(3).activation(activation).build(&params, 7).unwrap();
            params.set("dense.weight", &vectors.get("weight")).unwrap();
            params.set("dense.bias", &vectors.get("bias")).unwrap();
            let tape = Tape::new(&params);
            let x = tape.input(vectors.tensor("x", [5, 7], device));
            let y = layer.forward(&tape, &x).unwrap();
            let expected = vectors.get(&format!("y_{name}"));
            let what = format!("{name} on {device}");
            close(&what, &value(&y), &expected, 1e-5);
            let d_y = vectors.tensor("d_y", [5, 3], device);
            let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
            let found = gradients.get(&x).unwrap().to_vec().unwrap();
            close(&what, &found, &vectors.get(&format!("d_x_{name}")), 1e-4);
            for p in ["weight", "bias"] {
                let found = params.gradient(&format!("dense.{p}")).unwrap();
                close(&what, &found, &vectors.get(&format!("d_{p}_{name}")), 1e-4);
            }
        }
    }
}

#[test]
fn losses_and_their_gradients() {
    let vectors = Vectors::load("losses");
    let labels: Vec<_> = vectors.get("labels").iter().map(|&v| v as u32).collect();
    for device in devices() {
        for weighted in [false, true] {
            let suffix = if weighted { "_weighted" } else { "" };
            let weights =
                weighted.then(|| RowWeights::new(&vectors.get("weights"), device).unwrap());
            for name in ["cross_entropy", "binary_cross_entropy", "mean_squared_error"] {
                let tape = Tape::new(&Params::new(device));
                let x = tape.input(vectors.tensor("x", [6, 4], device));
                let w = weights.as_ref();
                let loss = match name {
                    "cross_entropy" => {
                        let labels = Labels::new(&labels, device).unwrap();
                        loss::cross_entropy(&tape, &x, &labels, w)
                    }
                    "binary_cross_entropy" => {
                        let bits = vectors.tensor("bits", [6, 4], device);
                        loss::binary_cross_entropy(&tape, &x, &bits, w)
                    }
                    _ => {
                        let targets = vectors.tensor("targets", [6, 4], device);
                        loss::mean_squared_error(&tape, &x, &targets, w)
                    }
                }
                .unwrap();
                let what = format!("{name}{suffix} on {device}");
                let expected = vectors.get(&format!("{name}{suffix}"));
                close(&what, &value(&loss), &expected, 1e-5);
                let gradients = tape.backward(&loss).unwrap();
                let found = gradients.get(&x).unwrap().to_vec().unwrap();
                close(&what, &found, &vectors.get(&format!("d_{name}{suffix}")), 1e-4);
            }
        }
    }
}

/// Steps of an optimizer on the weight of a layer whose gradient is the input: y = W x, x = 1.
#[test]
fn optimizers_step_by_step() {
    let vectors = Vectors::load("optimizers");
    type Make = fn() -> Box<dyn Optimizer>;
    let make: [(&str, Make); 5] = [
        ("adam", || Box::new(Adam::new(0.01))),
        ("adamw", || Box::new(Adam::new(0.01).weight_decay(0.1))),
        ("sgd", || Box::new(Sgd::new(0.1))),
        ("momentum", || Box::new(Sgd::new(0.1).momentum(0.9))),
        ("nesterov", || Box::new(Sgd::new(0.1).momentum(0.9).nesterov())),
    ];
    for device in devices() {
        for (name, optimizer) in make {
            let mut optimizer = optimizer();
            let params = Params::new(device);
            let layer = Dense::new(8).build(&params, 4).unwrap();
            params.set("dense.weight", &vectors.get("start")).unwrap();
            for step in 0..5 {
                // With the unit vectors as input, the weight's gradient is d_y transposed.
                let tape = Tape::new(&params);
                let unit: Vec<f32> = (0..16).map(|i| f32::from(i % 5 == 0)).collect();
                let x = Var::from(Tensor::from_slice(&unit, [4, 4], device).unwrap());
                let y = layer.forward(&tape, &x).unwrap();
                let gradient = vectors.get(&format!("gradient_{step}"));
                let d_y: Vec<f32> = (0..32).map(|i| gradient[i % 8 * 4 + i / 8]).collect();
                let d_y = Tensor::from_slice(&d_y, [4, 8], device).unwrap();
                tape.backward_from(&[(&y, d_y)]).unwrap();
                optimizer.step(&params).unwrap();
                let expected = vectors.get(&format!("{name}_{step}"));
                let found = params.get("dense.weight").unwrap();
                close(&format!("{name}, step {step}, {device}"), &found, &expected, 1e-5);
            }
        }
    }
}
