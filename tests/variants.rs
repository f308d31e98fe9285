//! Every way to change an LSTM, against what PyTorch, Keras and ONNX Runtime computed.

mod common;

use common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::nn::{Coupling, GateActivation, Lstm, LstmState, Merge, Params, Strategy};
use wgpu_lstm::{Device, Lengths, Mask, Tape, Tensor, Var};

/// Runs a layer on every device by every strategy.
fn check(name: &str, layer: &dyn Fn(&[usize]) -> Lstm) {
    check_in_order(name, Order::OfTime, layer);
}

/// In which order a file has the outputs of a layer that goes backwards.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// In that of their timesteps, as the layers here give them.
    OfTime,
    /// In that in which they were computed, as Keras gives them.
    Computed,
}

fn check_in_order(name: &str, order: Order, layer: &dyn Fn(&[usize]) -> Lstm) {
    let vectors = Vectors::load(&format!("variant_{name}"));
    let sizes = vectors.usizes("sizes");
    let [b, t, i] = [sizes[0], sizes[1], sizes[2]];
    for device in devices() {
        for strategy in [Strategy::Sequence, Strategy::Stepwise] {
            let what = |v: &str| format!("{v} of {name}, {strategy:?} on {device}");
            let params = Params::new(device);
            let layer = layer(&sizes).return_sequences().strategy(strategy);
            let layer = layer.build(&params, i).unwrap();
            for p in params.names() {
                params.set(&p, &vectors.get(p.strip_prefix("lstm.").unwrap())).unwrap();
            }
            let tape = Tape::new(&params);
            let input = tape.input(vectors.tensor("x", [b, t, i], device));
            let mut x = input.clone();
            if let Some(lengths) = vectors.find("lengths") {
                let lengths: Vec<_> = lengths.iter().map(|&l| l as usize).collect();
                if lengths.iter().any(|&l| l < t) {
                    x = x.with_lengths(Some(Lengths::new(&lengths, device).unwrap()));
                }
            }
            if let Some(mask) = vectors.find("mask") {
                let mask: Vec<_> = mask.iter().map(|&m| m > 0.5).collect();
                x = x.with_mask(Some(Mask::new(&mask, [b, t], device).unwrap()));
            }
            let states: Vec<_> = ["", "_reverse"]
                .iter()
                .filter_map(|suffix| {
                    let state = |v: &str| vectors.find(&format!("{v}_0{suffix}"));
                    let (h, c) = (state("h")?, state("c")?);
                    let var = |v: &[f32]| Var::from(tensor(v, [b, v.len() / b], device));
                    Some(LstmState::new(var(&h), var(&c)))
                })
                .collect();
            let out = layer.run(&tape, &x, (!states.is_empty()).then_some(&states)).unwrap();
            let mut expected = vectors.get("y");
            if order == Order::Computed {
                expected = reversed(&expected, b, t);
            }
            close(&what("y"), &value(&out.output), &expected, 1e-5);
            let all = |of: fn(&LstmState) -> &Var| -> Vec<f32> {
                out.state.iter().flat_map(|s| value(of(s))).collect()
            };
            let (h_n, c_n) = (all(|s| &s.h), all(|s| &s.c));
            for (v, found) in [("h_n", h_n), ("c_n", c_n)] {
                if let Some(expected) = vectors.find(v) {
                    close(&what(v), &found, &expected, 1e-5);
                }
            }

            let Some(mut d_y) = vectors.find("d_y") else { continue };
            if order == Order::Computed {
                d_y = reversed(&d_y, b, t);
            }
            let mut seeds = vec![(&out.output, tensor(&d_y, out.output.shape(), device))];
            let (mut d_h, mut d_c) = (vectors.find("d_h_n"), vectors.find("d_c_n"));
            for state in &out.state {
                for (var, d) in [(&state.h, &mut d_h), (&state.c, &mut d_c)] {
                    if let Some(d) = d {
                        let rest = d.split_off(var.tensor().len());
                        let first = std::mem::replace(d, rest);
                        seeds.push((var, tensor(&first, var.shape(), device)));
                    }
                }
            }
            let gradients = tape.backward_from(&seeds).unwrap();
            let d_x = gradients.get(&input).unwrap().to_vec().unwrap();
            close(&what("d_x"), &d_x, &vectors.get("d_x"), 1e-4);
            for p in params.names() {
                let short = p.strip_prefix("lstm.").unwrap();
                let expected = vectors.get(&format!("d_{short}"));
                close(&what(short), &params.gradient(&p).unwrap(), &expected, 1e-4);
            }
        }
    }
}

/// The timesteps the other way round.
fn reversed(y: &[f32], b: usize, t: usize) -> Vec<f32> {
    let frame = y.len() / b / t;
    y.chunks(t * frame).flat_map(|row| row.chunks(frame).rev().flatten().copied()).collect()
}

#[test]
fn pytorch_stacked() {
    check("pytorch_stacked", &|s| Lstm::new(s[3]).num_layers(s[4]));
}

#[test]
fn pytorch_bidirectional() {
    for name in ["pytorch_both", "pytorch_both_lengths"] {
        check(name, &|s| Lstm::new(s[3]).num_layers(s[4]).bidirectional(Merge::Concat));
    }
}

#[test]
fn pytorch_without_bias() {
    check("pytorch_no_bias", &|s| Lstm::new(s[3]).no_bias());
}

#[test]
fn pytorch_projection() {
    check("pytorch_projection", &|s| Lstm::new(s[3]).num_layers(s[4]).projection(s[7]));
    check("pytorch_projection_both", &|s| {
        Lstm::new(s[3]).bidirectional(Merge::Concat).projection(s[7])
    });
}

#[test]
fn keras_merge_modes_and_masks() {
    for (name, merge) in [
        ("concat", Merge::Concat),
        ("sum", Merge::Sum),
        ("ave", Merge::Mean),
        ("mul", Merge::Product),
    ] {
        check(&format!("keras_{name}"), &|s| Lstm::new(s[3]).bidirectional(merge));
    }
    check("keras_mask", &|s| Lstm::new(s[3]));
}

#[test]
fn keras_activations_and_direction() {
    let hard = GateActivation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 };
    check("keras_hard_sigmoid", &|s| Lstm::new(s[3]).recurrent_activation(hard));
    check("keras_relu", &|s| Lstm::new(s[3]).activation(GateActivation::Relu));
    check_in_order("keras_backwards", Order::Computed, &|s| Lstm::new(s[3]).go_backwards());
}

#[test]
fn onnx_peepholes_directions_and_lengths() {
    check("onnx_peepholes", &|s| Lstm::new(s[3]).peepholes());
    let both = |s: &[usize]| Lstm::new(s[3]).bidirectional(Merge::Concat);
    check("onnx_peepholes_both", &|s| both(s).peepholes());
    check("onnx_lengths_both", &both);
    check("onnx_reverse", &|s| Lstm::new(s[3]).go_backwards());
}

#[test]
fn onnx_coupling_and_clip() {
    check("onnx_input_forget", &|s| Lstm::new(s[3]).coupled(Coupling::ForgetFollowsInput));
    check("onnx_clip", &|s| Lstm::new(s[3]).clip(0.3));
}

#[test]
fn onnx_activations() {
    use GateActivation as G;
    let (sigmoid, tanh) = (G::Sigmoid, G::Tanh);
    let hard = G::HardSigmoid { alpha: 0.2, beta: 0.5 };
    for (name, [f, g, h]) in [
        ("hard_sigmoid", [hard, tanh, tanh]),
        ("relu", [sigmoid, G::Relu, G::Relu]),
        ("leaky_relu", [sigmoid, G::LeakyRelu { alpha: 0.1 }, tanh]),
        ("scaled_tanh", [sigmoid, G::ScaledTanh { alpha: 1.5, beta: 0.7 }, tanh]),
        ("elu", [sigmoid, G::Elu { alpha: 0.8 }, tanh]),
        ("softsign", [sigmoid, G::Softsign, G::Softsign]),
        ("softplus", [sigmoid, G::Softplus, tanh]),
        ("thresholded_relu", [sigmoid, G::ThresholdedRelu { alpha: 0.2 }, tanh]),
        ("affine", [sigmoid, G::Affine { alpha: 0.5, beta: 0.1 }, tanh]),
    ] {
        check(&format!("onnx_{name}"), &|s| {
            Lstm::new(s[3]).recurrent_activation(f).activation(g).output_activation(h)
        });
    }
}

/// Two batches of half a stream give what one batch of all of it gives.
#[test]
fn a_stateful_layer_goes_on_where_it_ended() {
    for device in devices() {
        let params = Params::seeded(device, 3);
        let layer = Lstm::new(4).num_layers(2).return_sequences().stateful();
        let layer = layer.build(&params, 2).unwrap();
        let values: Vec<f32> = (0..2 * 6 * 2).map(|i| (i as f32).sin()).collect();
        let run = |values: Vec<f32>| {
            let x = Tensor::from_slice(&values, [2, values.len() / 4, 2], device).unwrap();
            let y = layer.forward(&Tape::inference(&params), &x.into()).unwrap();
            y.tensor().to_vec().unwrap()
        };
        let half = |which: usize| -> Vec<f32> {
            values.chunks(12).flat_map(|row| row[which * 6..][..6].to_vec()).collect()
        };
        let whole = run(values.clone());
        layer.reset_state();
        let (first, second) = (run(half(0)), run(half(1)));
        let joined: Vec<f32> = (0..2)
            .flat_map(|row| {
                [&first[row * 12..row * 12 + 12], &second[row * 12..row * 12 + 12]].concat()
            })
            .collect();
        close(&format!("stateful on {device}"), &joined, &whole, 1e-6);
    }
}

/// The dice of a training are the same on every device, and others at each step.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn dropout_of_every_kind_is_the_same_on_both_devices() {
    let train = |device: &Device| {
        let params = Params::seeded(device, 11);
        let layer = Lstm::new(6)
            .num_layers(2)
            .dropout(0.3)
            .input_dropout(0.2)
            .recurrent_dropout(0.25)
            .zoneout(0.1, 0.2)
            .weight_drop(0.2)
            .build(&params, 3)
            .unwrap();
        let values: Vec<f32> = (0..4 * 5 * 3).map(|i| (i as f32 * 0.3).cos()).collect();
        let mut outputs = Vec::new();
        for _ in 0..2 {
            let tape = Tape::new(&params);
            let x = tape.input(Tensor::from_slice(&values, [4, 5, 3], device).unwrap());
            let y = layer.forward(&tape, &x).unwrap();
            outputs.push(y.tensor().to_vec().unwrap());
            let ones = Tensor::from_slice(&[1.0; 24], [4, 6], device).unwrap();
            let gradients = tape.backward_from(&[(&y, ones)]).unwrap();
            outputs.push(gradients.get(&x).unwrap().to_vec().unwrap());
        }
        outputs.push(params.gradient("lstm.weight_hh_l1").unwrap());
        outputs
    };
    let [cpu, gpu] = devices() else { panic!("two devices") };
    let (a, b) = (train(cpu), train(gpu));
    assert_ne!(a[0], a[2]);
    for (n, (a, b)) in a.iter().zip(&b).enumerate() {
        close(&format!("output {n} of {gpu}, and of {cpu}"), a, b, 1e-4);
    }
}

#[test]
fn dropout_keeps_the_mean_and_its_gradient_the_same_places() {
    use wgpu_lstm::nn::{Dropout, Layer};
    let n = 40 * 50 * 10;
    for device in devices() {
        let params = Params::seeded(device, 2);
        for (layer, same_steps) in
            [(Dropout::new(0.25), false), (Dropout::new(0.25).features(), true)]
        {
            let tape = Tape::new(&params);
            let x = tape.input(Tensor::from_slice(&vec![1.0; n], [40, 50, 10], device).unwrap());
            let y = layer.forward(&tape, &x).unwrap();
            let values = y.tensor().to_vec().unwrap();
            assert!(values.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
            let mean = values.iter().sum::<f32>() / n as f32;
            // Four standard deviations, of as many independent draws as there are.
            let draws = if same_steps { 400.0f32 } else { n as f32 };
            assert!((mean - 1.0).abs() < 4.0 * (1.0 / 3.0 / draws).sqrt(), "{mean} on {device}");
            if same_steps {
                for row in values.chunks(500) {
                    assert!(row.chunks(10).all(|frame| frame == &row[..10]), "{device}");
                }
            }
            let ones = Tensor::from_slice(&vec![1.0; n], [40, 50, 10], device).unwrap();
            let gradients = tape.backward_from(&[(&y, ones)]).unwrap();
            assert_eq!(gradients.get(&x).unwrap().to_vec().unwrap(), values, "{device}");
            let y = layer.forward(&Tape::inference(&params), &x).unwrap();
            assert!(y.tensor().to_vec().unwrap().iter().all(|&v| v == 1.0), "{device}");
        }
        let mut bad = Dropout::new(1.0);
        assert!(bad.build_on(&params, 3).is_err());
    }
}

/// Gates that grow without bound where nothing holds them: units that only fill a vector up would
/// reach infinity, and infinity times a weight of zero is NaN.
#[test]
fn what_fills_a_vector_up_stays_finite() {
    let device = Device::cpu().unwrap();
    let params = Params::new(&device);
    let lstm = Lstm::new(3)
        .recurrent_activation(GateActivation::Affine { alpha: 1.0, beta: 2.0 })
        .activation(GateActivation::Affine { alpha: 1.0, beta: 1.0 })
        .output_activation(GateActivation::Affine { alpha: 1.0, beta: 0.0 })
        .build(&params, 2)
        .unwrap();
    // All gates are 0.5 with these, and c goes to 0.5.
    params.set("lstm.weight_ih_l0", &[0.0; 24]).unwrap();
    params.set("lstm.weight_hh_l0", &[0.0; 36]).unwrap();
    let bias: Vec<f32> = (0..12).map(|k| if k / 3 == 2 { -0.5 } else { -1.5 }).collect();
    params.set("lstm.bias_l0", &bias).unwrap();
    let tape = Tape::new(&params);
    let x = tape.input(Tensor::from_slice(&[0.1; 400], [1, 200, 2], &device).unwrap());
    let h = lstm.forward(&tape, &x).unwrap();
    assert!(h.tensor().to_vec().unwrap().iter().all(|h| (h - 0.25).abs() < 1e-6));
    let d_h = Tensor::from_slice(&[1.0; 3], [1, 3], &device).unwrap();
    tape.backward_from(&[(&h, d_h)]).unwrap();
    for name in params.names() {
        assert!(params.gradient(&name).unwrap().iter().all(|d| d.is_finite()), "{name}");
    }
}
