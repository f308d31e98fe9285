//! Steps and rows that do not count, against what Keras and ONNX Runtime computed.

use super::gradient;
use crate::common::{Vectors, close, devices, value};
use wgpu_lstm::loss::{self, RowWeights};
use wgpu_lstm::nn::{Activation, Dense, Lstm, LstmState, Params};
use wgpu_lstm::{Device, Mask, Tape, Var};

/// Sets the parameters that a file has.
pub(super) fn set(params: &Params, v: &Vectors) {
    for name in params.names() {
        params.set(&name, &v.get(&name)).unwrap();
    }
}

/// Compares the parameters' gradients with a file's.
pub(super) fn check_gradients(what: &str, params: &Params, v: &Vectors) {
    for name in params.names() {
        let expected = v.get(&format!("d.{name}"));
        close(&format!("d.{name} of {what}"), &params.gradient(&name).unwrap(), &expected, 1e-4);
    }
}

pub(super) fn mask(v: &Vectors, [b, t]: [usize; 2], device: &Device) -> Mask {
    let mask: Vec<_> = v.get("mask").iter().map(|&on| on != 0.0).collect();
    Mask::new(&mask, [b, t], device).unwrap()
}

/// Keras: Masking, LSTM, Dense with tanh, Dense without bias; the mean squared error of the steps that count.
#[test]
fn dense_layers_behind_a_mask_are_those_of_keras() {
    let v = Vectors::load("steps_masked_dense");
    let [b, t, i] = v.usizes("sizes")[..] else { panic!() };
    for device in devices() {
        let params = Params::new(device);
        let lstm = Lstm::new(5).return_sequences().build(&params, i).unwrap();
        let one = Dense::new(3).activation(Activation::Tanh).build(&params, 5).unwrap();
        let two = Dense::new(2).no_bias().build(&params, 3).unwrap();
        assert_eq!(params.names()[5..], ["dense_1.weight"]);
        set(&params, &v);
        let what = |of: &str| format!("{of} on {device}");
        let tape = Tape::new(&params);
        let x = tape.input(v.tensor("x", [b, t, i], device));
        let mask = mask(&v, [b, t], device);
        let h = lstm.forward(&tape, &x.clone().with_mask(Some(mask.clone()))).unwrap();
        let hidden = one.forward(&tape, &h).unwrap();
        let y = two.forward(&tape, &hidden).unwrap();
        for (name, var) in [("h", &h), ("hidden", &hidden), ("y", &y)] {
            close(&what(name), &value(var), &v.get(name), 1e-5);
        }
        let weights = RowWeights::from_mask(&mask).unwrap();
        let target = v.tensor("target", [b, t, 2], device);
        let loss = loss::mean_squared_error(&tape, &y, &target, Some(&weights)).unwrap();
        close(&what("loss"), &value(&loss), &v.get("loss"), 1e-5);
        let gradients = tape.backward(&loss).unwrap();
        close(&what("d_x"), &gradient(&gradients, &x), &v.get("d_x"), 1e-4);
        check_gradients(&what("masked Dense"), &params, &v);
    }
}

type Run = Box<dyn Fn(&Tape, &Var, &[Var]) -> Var>;

/// Compares one direction of a layer of Keras with one of ours, which takes first states. Keras turns the outputs
/// of a layer that goes backwards.
pub(super) fn one_direction(name: &str, backwards: bool, build: &dyn Fn(&Params, usize) -> Run) {
    let v = Vectors::load(&format!("steps_{name}"));
    let [b, t, i, h] = v.usizes("sizes")[..] else { panic!() };
    let turned = |values: Vec<f32>| -> Vec<f32> {
        match backwards {
            true => values
                .chunks(t * h)
                .flat_map(|row| row.chunks(h).rev().flatten())
                .copied()
                .collect(),
            false => values,
        }
    };
    for device in devices() {
        let what = |of: &str| format!("{of} of {name} on {device}");
        let params = Params::new(device);
        let run = build(&params, i);
        set(&params, &v);
        let tape = Tape::new(&params);
        let x = tape.input(v.tensor("x", [b, t, i], device));
        let first = ["h_0", "c_0"].into_iter().filter_map(|of| v.find(of));
        let first: Vec<_> =
            first.map(|words| crate::common::tensor(&words, [b, h], device).into()).collect();
        let y = run(&tape, &x.clone().with_mask(Some(mask(&v, [b, t], device))), &first);
        close(&what("y"), &value(&y), &turned(v.get("y")), 1e-5);
        let d_y = crate::common::tensor(&turned(v.get("d_y")), y.shape(), device);
        let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
        close(&what("d_x"), &gradient(&gradients, &x), &v.get("d_x"), 1e-4);
        check_gradients(&what("weights"), &params, &v);
    }
}

/// Keras' LSTM with `zero_output_for_mask`, from a state.
#[test]
fn zeros_where_a_mask_leaves_out() {
    let plain = Lstm::new(4).return_sequences().zero_output_for_mask();
    for (name, layer) in [("zero_lstm", plain.clone()), ("zero_lstm_back", plain.go_backwards())] {
        one_direction(name, name == "zero_lstm_back", &|params, i| {
            let layer = layer.clone().build(params, i).unwrap();
            Box::new(move |tape, x, first| {
                let state = LstmState::new(first[0].clone(), first[1].clone());
                layer.run(tape, x, Some(&[state])).unwrap().output
            })
        });
    }
}
