//! Projections, normalised layers and plain recurrence that begin in a state, as PyTorch has them.

use crate::common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::nn::{
    Coupling, GateActivation, Layer, Lstm, LstmState, Merge, Params, Rnn, Strategy,
};
use wgpu_lstm::{Error, Lengths, Mask, Tape, Tensor, Var};

/// Checks a layer of PyTorch with a first state.
fn pytorch_state(name: &str, prefix: &str, sizes: [usize; 5], run: &Run<'_>) {
    let v = Vectors::load(name);
    let [b, t, i, layers, p] = sizes;
    for device in devices() {
        let what = |of: &str| format!("{of} of {name} on {device}");
        let params = Params::new(device);
        let tape_run = run(&params, i);
        for name in params.names() {
            params.set(&name, &v.get(name.strip_prefix(prefix).unwrap())).unwrap();
        }
        let tape = Tape::new(&params);
        let input = tape.input(v.tensor("x", [b, t, i], device));
        let lengths = Lengths::new(&v.usizes("lengths"), device).unwrap();
        let x = input.clone().with_lengths(Some(lengths));
        let states = |name: &str| -> Vec<Var> {
            let Some(values) = v.find(name) else { return Vec::new() };
            let size = values.len() / layers / b;
            values.chunks(b * size).map(|s| tape.input(tensor(s, [b, size], device))).collect()
        };
        let (h_0, c_0) = (states("h_0"), states("c_0"));
        let (y, h_n, c_n) = tape_run(&tape, &x, &h_0, &c_0);
        let all = |vars: &[Var]| vars.iter().flat_map(value).collect::<Vec<_>>();
        close(&what("y"), &value(&y), &v.get("y"), 1e-5);
        close(&what("h_n"), &all(&h_n), &v.get("h_n"), 1e-5);
        let mut seeds = vec![(&y, v.tensor("d_y", [b, t, p], device))];
        for (name, vars) in [("d_h_n", &h_n), ("d_c_n", &c_n)] {
            let Some(d) = v.find(name) else { continue };
            for (var, d) in vars.iter().zip(d.chunks(d.len() / layers)) {
                seeds.push((var, tensor(d, var.shape(), device)));
            }
        }
        let gradients = tape.backward_from(&seeds).unwrap();
        let of = |var: &Var| gradients.get(var).unwrap().to_vec().unwrap();
        close(&what("d_x"), &of(&input), &v.get("d_x"), 1e-4);
        close(&what("d_h_0"), &h_0.iter().flat_map(of).collect::<Vec<_>>(), &v.get("d_h_0"), 1e-4);
        if !c_0.is_empty() {
            close(&what("c_n"), &all(&c_n), &v.get("c_n"), 1e-5);
            let found = c_0.iter().flat_map(of).collect::<Vec<_>>();
            close(&what("d_c_0"), &found, &v.get("d_c_0"), 1e-4);
        }
        for name in params.names() {
            let expected = v.get(&format!("d_{}", name.strip_prefix(prefix).unwrap()));
            close(&what(&name), &params.gradient(&name).unwrap(), &expected, 1e-4);
        }
    }
}

type Step = Box<dyn Fn(&Tape, &Var, &[Var], &[Var]) -> (Var, Vec<Var>, Vec<Var>)>;

type Run<'a> = dyn Fn(&Params, usize) -> Step + 'a;

#[test]
fn a_projection_begins_in_a_state() {
    for strategy in [Strategy::Sequence, Strategy::Stepwise] {
        pytorch_state("layer_projection_state", "lstm.", [3, 5, 4, 2, 3], &|params, i| {
            let layer = Lstm::new(6).num_layers(2).projection(3).return_sequences();
            let layer = layer.strategy(strategy).build(params, i).unwrap();
            Box::new(move |tape, x, h_0, c_0| {
                let states: Vec<_> = h_0
                    .iter()
                    .zip(c_0)
                    .map(|(h, c)| LstmState::new(h.clone(), c.clone()))
                    .collect();
                let out = layer.run(tape, x, Some(&states)).unwrap();
                let (h, c) = out.state.into_iter().map(|s| (s.h, s.c)).unzip();
                (out.output, h, c)
            })
        });
    }
}

#[test]
fn a_layer_normalised_layer() {
    pytorch_state("layer_norm_lstm", "lstm.", [3, 6, 4, 1, 5], &|params, i| {
        let layer = Lstm::new(5).layer_norm().return_sequences().build(params, i).unwrap();
        Box::new(move |tape, x, h_0, c_0| {
            let state = [LstmState::new(h_0[0].clone(), c_0[0].clone())];
            let mut out = layer.run(tape, x, Some(&state)).unwrap();
            let end = out.state.remove(0);
            (out.output, vec![end.h], vec![end.c])
        })
    });
    let params = Params::new(&devices()[0]);
    let plain = || Lstm::new(4).layer_norm();
    for (bad, method) in [
        (plain().peepholes(), "Lstm::peepholes"),
        (plain().coupled(Coupling::ForgetFollowsInput), "Lstm::coupled"),
        (plain().recurrent_activation(GateActivation::Relu), "Lstm::recurrent_activation"),
        (plain().activation(GateActivation::Relu), "Lstm::activation"),
        (plain().output_activation(GateActivation::Relu), "Lstm::output_activation"),
        (plain().clip(1.0), "Lstm::clip"),
        (plain().cell_clip(1.0), "Lstm::cell_clip"),
        (plain().projection(2), "Lstm::projection"),
        (plain().strategy(Strategy::Stepwise), "Lstm::strategy"),
        (plain().strategy(Strategy::Sequence), "Lstm::strategy"),
        (plain().recompute(), "Lstm::recompute"),
        (plain().recurrent_dropout(0.1), "Lstm::recurrent_dropout"),
        (plain().zoneout(0.1, 0.1), "Lstm::zoneout"),
    ] {
        let error = bad.build(&params, 3).unwrap_err();
        let Error::Unsupported { what: "Lstm::layer_norm", with, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(with, method);
    }
}

/// The reverse direction of a bidirectional layer is the forward one on reversed rows; inference
/// gives what training gives.
#[test]
fn a_layer_normalised_layer_in_both_directions() {
    for device in devices() {
        let params = Params::seeded(device, 1);
        let layer = Lstm::new(6).layer_norm().bidirectional(Merge::Concat).return_sequences();
        let layer = layer.build(&params, 2).unwrap();
        let x: Vec<f32> = (0..2 * 4 * 2).map(|i| (i as f32).sin()).collect();
        let lengths = [4, 3];
        let run = |x: &[f32], tape: &Tape| {
            let x = Var::from(tensor(x, [2, 4, 2], device))
                .with_lengths(Some(Lengths::new(&lengths, device).unwrap()));
            value(&layer.forward(tape, &x).unwrap())
        };
        let y = run(&x, &Tape::inference(&params));
        assert_eq!(y, run(&x, &Tape::new(&params)), "{device}");
        let reversed = |x: &[f32], w: usize| -> Vec<f32> {
            let mut all = x.to_vec();
            for (row, &length) in lengths.iter().enumerate() {
                for t in 0..length {
                    let from = &x[(row * 4 + length - 1 - t) * w..][..w];
                    all[(row * 4 + t) * w..][..w].copy_from_slice(from);
                }
            }
            all
        };
        // With the two directions' parameters exchanged.
        for name in params.names().into_iter().filter(|n| !n.ends_with("_reverse")) {
            let other = format!("{name}_reverse");
            let (a, b) = (params.get(&name).unwrap(), params.get(&other).unwrap());
            params.set(&name, &b).unwrap();
            params.set(&other, &a).unwrap();
        }
        let z = reversed(&run(&reversed(&x, 2), &Tape::inference(&params)), 12);
        let z: Vec<f32> = z.chunks(12).flat_map(|f| [&f[6..], &f[..6]].concat()).collect();
        close(&format!("directions on {device}"), &z, &y, 1e-6);
    }
}

#[test]
fn a_state_of_another_size_than_the_projection_is_refused() {
    let device = &devices()[0];
    let params = Params::new(device);
    let layer = Lstm::new(4).projection(2).build(&params, 1).unwrap();
    let zeros = |size: usize| Var::from(Tensor::zeros([1, size], device).unwrap());
    let state = [LstmState::new(zeros(4), zeros(4))];
    for mask in [None, Some([true, false]), Some([false, false])] {
        let mask = mask.map(|mask| Mask::new(&mask, [1, 2], device).unwrap());
        let x = Var::from(Tensor::zeros([1, 2, 1], device).unwrap()).with_mask(mask);
        let error = layer.run(&Tape::inference(&params), &x, Some(&state)).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
}

#[test]
fn a_plain_recurrent_layer() {
    pytorch_state("layer_rnn", "rnn.", [4, 6, 3, 1, 5], &|params, i| {
        let layer = Rnn::new(5).return_sequences().build(params, i).unwrap();
        Box::new(move |tape, x, h_0, _| {
            let (y, h) = layer.run(tape, x, Some(h_0)).unwrap();
            (y, h, Vec::new())
        })
    });
    let params = Params::new(&devices()[0]);
    assert!(Rnn::new(0).build(&params, 1).is_err());
    let layer = Rnn::new(2).build(&params, 3).unwrap();
    assert_eq!(layer.parameter_count(), 2 * (3 + 2 + 1));
}

/// A reverse layer with a projection and a first state is the forward one on reversed rows.
#[test]
fn a_projection_goes_backwards_from_a_state() {
    for device in devices() {
        let lengths = [4, 2, 3];
        let x: Vec<f32> = (0..3 * 4 * 2).map(|i| (i as f32 * 0.9).sin()).collect();
        let d: Vec<f32> = (0..3 * 4 * 3).map(|i| (i as f32 * 0.4).cos()).collect();
        let reversed = |x: &[f32], w: usize| -> Vec<f32> {
            let mut all = x.to_vec();
            for (row, &length) in lengths.iter().enumerate() {
                for t in 0..length {
                    let from = &x[(row * 4 + length - 1 - t) * w..][..w];
                    all[(row * 4 + t) * w..][..w].copy_from_slice(from);
                }
            }
            all
        };
        let run = |layer: Lstm, x: &[f32], d: &[f32]| {
            let params = Params::seeded(device, 2);
            let layer = layer.projection(3).return_sequences().build(&params, 2).unwrap();
            let tape = Tape::new(&params);
            let seq = tape.input(tensor(x, [3, 4, 2], device));
            let h = tape.input(tensor(&[0.3, -0.2, 0.5].repeat(3), [3, 3], device));
            let c = tape.input(tensor(&[0.1; 15], [3, 5], device));
            let lengths = Lengths::new(&lengths, device).unwrap();
            let state = [LstmState::new(h.clone(), c.clone())];
            let out = layer.run(&tape, &seq.clone().with_lengths(Some(lengths)), Some(&state));
            let y = out.unwrap().output;
            let found = value(&y);
            let gradients = tape.backward_from(&[(&y, tensor(d, [3, 4, 3], device))]).unwrap();
            let of = |v: &Var| gradients.get(v).unwrap().to_vec().unwrap();
            (found, of(&seq), of(&h), of(&c), params.gradient("lstm.weight_hh_l0").unwrap())
        };
        let there = run(Lstm::new(5), &x, &d);
        let back = run(Lstm::new(5).go_backwards(), &reversed(&x, 2), &reversed(&d, 3));
        let what = format!("on {device}");
        close(&what, &reversed(&back.0, 3), &there.0, 1e-6);
        close(&what, &reversed(&back.1, 2), &there.1, 1e-5);
        close(&what, &back.2, &there.2, 1e-5);
        close(&what, &back.3, &there.3, 1e-5);
        close(&what, &back.4, &there.4, 1e-5);
    }
}

#[test]
fn a_layer_normalised_layer_drops_weights() {
    for device in devices() {
        let params = Params::seeded(device, 5);
        let layer = Lstm::new(6).layer_norm().weight_drop(0.5).build(&params, 2).unwrap();
        let x = Var::from(tensor(&[0.5; 12], [2, 3, 2], device));
        let run = |tape: &Tape| value(&layer.forward(tape, &x).unwrap());
        let plain = run(&Tape::inference(&params));
        assert_eq!(plain, run(&Tape::inference(&params)));
        let (a, b) = (run(&Tape::new(&params)), run(&Tape::new(&params)));
        assert!(a != plain && b != plain && a != b, "{device}");
    }
}
