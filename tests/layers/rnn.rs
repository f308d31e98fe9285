//! Plain recurrent layers in all forms, against what PyTorch and Keras computed.

use super::gradient;
use super::steps::{check_gradients, mask, set};
use crate::common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::nn::{GateActivation, Init, Merge, Params, Rnn};
use wgpu_lstm::{Error, Lengths, Tape, Var};

/// PyTorch's RNN: layers, directions, lengths, first and last states.
#[test]
fn stacked_and_in_both_directions() {
    for name in ["both", "stacked", "no_bias"] {
        let v = Vectors::load(&format!("steps_rnn_torch_{name}"));
        let [b, t, i, h, layers, d] = v.usizes("sizes")[..] else { panic!() };
        let mut layer = Rnn::new(h).num_layers(layers).return_sequences();
        if d == 2 {
            layer = layer.bidirectional(Merge::Concat);
        }
        layer = match name {
            "stacked" => layer.activation(GateActivation::Relu),
            "no_bias" => layer.no_bias(),
            _ => layer,
        };
        for device in devices() {
            let what = |of: &str| format!("{of} of {name} on {device}");
            let params = Params::new(device);
            let layer = layer.clone().build(&params, i).unwrap();
            set(&params, &v);
            let tape = Tape::new(&params);
            let x = tape.input(v.tensor("x", [b, t, i], device));
            let part =
                |of: &str, n: usize| tensor(&v.get(of)[n * b * h..][..b * h], [b, h], device);
            let h_0: Vec<_> = (0..layers * d).map(|n| tape.input(part("h_0", n))).collect();
            let lengths = v.usizes("lengths");
            let ragged = lengths.iter().any(|&l| l < t);
            let steps = ragged.then(|| Lengths::new(&lengths, device).unwrap());
            let (y, h_n) = layer.run(&tape, &x.clone().with_lengths(steps), Some(&h_0)).unwrap();
            close(&what("y"), &value(&y), &v.get("y"), 1e-5);
            let found: Vec<_> = h_n.iter().flat_map(value).collect();
            close(&what("h_n"), &found, &v.get("h_n"), 1e-5);
            let mut seeds = vec![(&y, v.tensor("d_y", [b, t, d * h], device))];
            seeds.extend(h_n.iter().enumerate().map(|(n, h)| (h, part("d_h_n", n))));
            let gradients = tape.backward_from(&seeds).unwrap();
            close(&what("d_x"), &gradient(&gradients, &x), &v.get("d_x"), 1e-4);
            let found: Vec<_> = h_0.iter().flat_map(|h| gradient(&gradients, h)).collect();
            close(&what("d_h_0"), &found, &v.get("d_h_0"), 1e-4);
            check_gradients(&what("weights"), &params, &v);
        }
    }
}

/// Keras' Bidirectional around SimpleRNN, behind a mask, in all its ways to merge.
#[test]
fn both_directions_merge_as_in_keras() {
    for (name, merge) in [
        ("concat", Merge::Concat),
        ("sum", Merge::Sum),
        ("ave", Merge::Mean),
        ("mul", Merge::Product),
    ] {
        let v = Vectors::load(&format!("steps_rnn_{name}"));
        let [b, t, i, h] = v.usizes("sizes")[..] else { panic!() };
        for device in devices() {
            let what = |of: &str| format!("{of} of {name} on {device}");
            let params = Params::new(device);
            let layer = Rnn::new(h).bidirectional(merge).return_sequences();
            let layer = layer.build(&params, i).unwrap();
            set(&params, &v);
            let tape = Tape::new(&params);
            let x = tape.input(v.tensor("x", [b, t, i], device));
            let mask = mask(&v, [b, t], device);
            let y = layer.forward(&tape, &x.clone().with_mask(Some(mask))).unwrap();
            close(&what("y"), &value(&y), &v.get("y"), 1e-5);
            let d_y = v.tensor("d_y", y.shape(), device);
            let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
            close(&what("d_x"), &gradient(&gradients, &x), &v.get("d_x"), 1e-4);
            check_gradients(&what("weights"), &params, &v);
        }
    }
}

/// Keras' SimpleRNN in one direction.
#[test]
fn one_direction_of_every_kind() {
    let plain = |h: usize| Rnn::new(h).return_sequences();
    for (name, layer) in [
        ("rnn_back", plain(4).go_backwards()),
        ("rnn_relu", plain(4).activation(GateActivation::Relu)),
        ("zero_rnn", plain(4).zero_output_for_mask()),
        ("rnn_no_bias", Rnn::new(4).no_bias()),
    ] {
        super::steps::one_direction(name, name == "rnn_back", &|params, i| {
            let layer = layer.clone().build(params, i).unwrap();
            Box::new(move |tape, x, first| {
                let (y, _) = layer.run(tape, x, first.first().map(std::slice::from_ref)).unwrap();
                y
            })
        });
    }
}

#[test]
fn options_of_a_plain_layer_are_checked() {
    let device = &devices()[0];
    let params = Params::new(device);
    let option = |layer: Rnn| match layer.build(&params, 3).unwrap_err() {
        Error::Option { option, .. } => option,
        error => panic!("{error}"),
    };
    assert_eq!(option(Rnn::new(2).num_layers(0)), "Rnn::num_layers");
    let error = Rnn::new(2).no_bias().bias_init(Init::Constant(1.0)).build(&params, 3).unwrap_err();
    let Error::Unsupported { what, with, .. } = error else { panic!("{error}") };
    assert_eq!([what, with], ["Rnn::bias_init", "Rnn::no_bias"]);
    assert!(params.names().is_empty());
    let layer = Rnn::new(2).num_layers(2).bidirectional(Merge::Sum).build(&params, 3).unwrap();
    assert_eq!(
        params.names(),
        [
            "rnn.weight_ih_l0",
            "rnn.weight_hh_l0",
            "rnn.bias_l0",
            "rnn.weight_ih_l0_reverse",
            "rnn.weight_hh_l0_reverse",
            "rnn.bias_l0_reverse",
            "rnn.weight_ih_l1",
            "rnn.weight_hh_l1",
            "rnn.bias_l1",
            "rnn.weight_ih_l1_reverse",
            "rnn.weight_hh_l1_reverse",
            "rnn.bias_l1_reverse"
        ]
    );
    let x = Var::from(tensor(&[0.0; 6], [1, 2, 3], device));
    let h = Var::from(tensor(&[0.0; 2], [1, 2], device));
    let error = layer.run(&Tape::new(&params), &x, Some(&[h])).unwrap_err();
    assert!(matches!(error, Error::State { op: "rnn", expected: 4, found: 1, .. }), "{error}");
}
