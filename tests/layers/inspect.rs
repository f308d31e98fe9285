//! States and gates of every timestep, against what the layer gives of rows that end there.

use super::steps::mask as mask_of;
use crate::common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::nn::{Coupling, GateActivation, Lstm, LstmState, Merge, Params};
use wgpu_lstm::{Device, Error, Lengths, Mask, Tape, Var};

fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (12.9898 * i as f32 + seed).sin() * 0.9).collect()
}

const H: usize = 5;
const B: usize = 3;
const T: usize = 6;

/// A layer, the sizes of a direction's h, and its directions.
fn cases() -> Vec<(&'static str, Lstm, usize, &'static [bool])> {
    let (one, both): (&[bool], &[bool]) = (&[false], &[false, true]);
    let relu = GateActivation::Relu;
    vec![
        ("plain", Lstm::new(H), H, one),
        ("two layers", Lstm::new(H).num_layers(2).no_bias(), H, one),
        ("backwards", Lstm::new(H).go_backwards(), H, &[true]),
        ("both ways", Lstm::new(H).num_layers(2).bidirectional(Merge::Concat), H, both),
        ("a product", Lstm::new(H).num_layers(2).bidirectional(Merge::Product), H, both),
        ("a mean", Lstm::new(H).num_layers(2).bidirectional(Merge::Mean), H, both),
        ("peepholes", Lstm::new(H).peepholes().clip(0.8).cell_clip(0.3), H, one),
        ("coupled", Lstm::new(H).coupled(Coupling::InputFollowsForget).activation(relu), H, one),
        (
            "zoneout",
            Lstm::new(H).zoneout(0.2, 0.3).recurrent_dropout(0.4).dropout(0.1).num_layers(2),
            H,
            one,
        ),
        ("a projection", Lstm::new(H).projection(2).num_layers(2), 2, one),
        ("normalised", Lstm::new(H).layer_norm().num_layers(2), H, one),
    ]
}

fn states(count: usize, size: usize, device: &Device) -> Vec<LstmState> {
    let part = |size: usize, seed| Var::from(tensor(&numbers(B * size, seed), [B, size], device));
    (0..count).map(|n| LstmState::new(part(size, n as f32), part(H, 0.5 + n as f32))).collect()
}

/// At each step h and c are the last states of rows that end there (or begin, of one that goes backwards).
#[test]
fn states_are_those_of_rows_that_end_there() {
    for device in devices() {
        for (name, layer, size, ways) in cases() {
            let params = Params::seeded(device, 4);
            let layer = layer.return_sequences().build(&params, 3).unwrap();
            for name in params.names().iter().filter(|name| name.contains("peephole")) {
                params.set(name, &numbers(3 * H, 0.7)).unwrap();
            }
            let x = numbers(B * T * 3, 0.3);
            let layers =
                if ["plain", "backwards", "peepholes", "coupled"].contains(&name) { 1 } else { 2 };
            let first = states(layers * ways.len(), size, device);
            let tape = Tape::inference(&params);
            let input = Var::from(tensor(&x, [B, T, 3], device));
            let traces = layer.inspect(&params, &input, Some(&first)).unwrap();
            let out = layer.run(&tape, &input, Some(&first)).unwrap();
            assert_eq!(traces.len(), out.state.len(), "{name}");
            let what = |of: &str| format!("{of} of {name} on {device}");
            if ways.len() == 1 {
                let last = traces.last().unwrap();
                close(&what("outputs"), &last.h, &value(&out.output), 1e-5);
            }
            // Of several directions those that go on ahead see rows that end elsewhere.
            let alone = if ways.len() == 2 { 2 } else { traces.len() };
            for end in 1..=T {
                for (number, trace) in traces.iter().enumerate().take(alone) {
                    let reverse = ways[number % ways.len()];
                    let steps = if reverse { T - end..T } else { 0..end };
                    let part: Vec<_> = x
                        .chunks(T * 3)
                        .flat_map(|row| &row[3 * steps.start..3 * steps.end])
                        .copied()
                        .collect();
                    let part = Var::from(tensor(&part, [B, end, 3], device));
                    let ends = layer.run(&tape, &part, Some(&first)).unwrap().state;
                    let t = if reverse { steps.start } else { end - 1 };
                    let at = |values: &[f32], size: usize| -> Vec<f32> {
                        values
                            .chunks(T * size)
                            .flat_map(|row| row[t * size..][..size].to_vec())
                            .collect()
                    };
                    close(&what("h"), &at(&trace.h, size), &value(&ends[number].h), 1e-5);
                    close(&what("c"), &at(&trace.c, H), &value(&ends[number].c), 1e-5);
                }
            }
        }
    }
}

/// The gates make the states: by the formulas of the plain cell, and of its variants.
#[test]
fn gates_make_the_states() {
    let device = &devices()[0];
    for (name, layer, ..) in cases().into_iter().filter(|case| case.0 != "zoneout") {
        let params = Params::seeded(device, 4);
        let layer = layer.build(&params, 3).unwrap();
        let x = Var::from(tensor(&numbers(B * T * 3, 0.3), [B, T, 3], device));
        for trace in layer.inspect(&params, &x, None).unwrap() {
            let backwards = name == "backwards";
            for (row, frames) in trace.c.chunks(T * H).enumerate().filter(|_| name != "both ways") {
                let mut before = vec![0.0; H];
                for step in 0..T {
                    let t = if backwards { T - 1 - step } else { step };
                    let gate =
                        |number: usize| &trace.gates[((row * T + t) * 4 + number) * H..][..H];
                    let [i, f, g, o] = [0, 1, 2, 3].map(gate);
                    let c = &frames[t * H..][..H];
                    let limit = if name == "peepholes" { 0.3 } else { f32::INFINITY };
                    let expected: Vec<_> = (0..H)
                        .map(|u| (f[u] * before[u] + i[u] * g[u]).clamp(-limit, limit))
                        .collect();
                    if [
                        "plain",
                        "two layers",
                        "backwards",
                        "peepholes",
                        "coupled",
                        "a projection",
                        "normalised",
                    ]
                    .contains(&name)
                    {
                        close(&format!("c of {name}"), c, &expected, 1e-5);
                    }
                    if name == "coupled" {
                        assert!((0..H).all(|u| (i[u] + f[u] - 1.0).abs() < 1e-6));
                    }
                    if ["plain", "two layers", "backwards"].contains(&name) {
                        let h = &trace.h[(row * T + t) * H..][..H];
                        let expected: Vec<_> = (0..H).map(|u| o[u] * c[u].tanh()).collect();
                        close(&format!("h of {name}"), h, &expected, 1e-5);
                    }
                    before = c.to_vec();
                }
            }
        }
    }
}

/// Keras' numbers behind a mask; lengths; rows without a step.
#[test]
fn steps_that_do_not_count_have_no_gates() {
    let v = Vectors::load("steps_masked_dense");
    let [b, t, i] = v.usizes("sizes")[..] else { panic!() };
    for device in devices() {
        let params = Params::new(device);
        let layer = Lstm::new(5).return_sequences().build(&params, i).unwrap();
        super::steps::set(&params, &v);
        let mask = mask_of(&v, [b, t], device);
        let x = Var::from(v.tensor("x", [b, t, i], device));
        let trace = layer.inspect(&params, &x.clone().with_mask(Some(mask.clone())), None).unwrap();
        close(&format!("h on {device}"), &trace[0].h, &v.get("h"), 1e-5);
        for (gates, on) in trace[0].gates.chunks(20).zip(mask.values()) {
            assert!(*on == gates.iter().any(|&gate| gate != 0.0));
        }
        let lengths = Lengths::new(&[2, 0, 6], device).unwrap();
        let x = x.with_lengths(Some(lengths));
        let trace = layer.inspect(&params, &x, None).unwrap().remove(0);
        let y = layer.forward(&Tape::inference(&params), &x).unwrap();
        close(&format!("y on {device}"), &trace.h, &value(&y), 1e-5);
        assert!(trace.c[2 * 5..2 * t * 5].iter().all(|&c| c == 0.0));
        assert!(trace.gates[2 * 20..2 * t * 20].iter().all(|&gate| gate == 0.0));
        // Time-major: the batch is the second axis of the input alone.
        let turned = Lstm::new(5).time_major().build(&params, i).unwrap();
        let x = Var::from(tensor(&numbers(2 * 3 * i, 0.1), [3, 2, i], device));
        let trace = turned.inspect(&params, &x, None).unwrap().remove(0);
        let last = value(&turned.forward(&Tape::inference(&params), &x).unwrap());
        close("time-major", &trace.h[2 * 5..3 * 5], &last[..5], 1e-5);

        let wrong = Var::from(tensor(&[0.0; 6], [1, 2, 3], device));
        let error = layer.inspect(&params, &wrong, None).unwrap_err();
        assert!(matches!(error, Error::Shape { op: "lstm", arg: "x", .. }), "{error}");
        let x = Var::from(tensor(&[0.0; 8], [1, 2, 4], device));
        let error = layer.inspect(&params, &x, Some(&[])).unwrap_err();
        assert!(matches!(error, Error::State { expected: 1, found: 0, .. }), "{error}");
        let state = LstmState::new(wrong.clone(), wrong);
        let error = layer.inspect(&params, &x, Some(&[state])).unwrap_err();
        assert!(matches!(error, Error::Rank { arg: "h_0", .. } | Error::Shape { arg: "h_0", .. }));
        let mask = Mask::new(&[true; 3], [1, 3], device).unwrap();
        assert!(layer.inspect(&params, &x.with_mask(Some(mask)), None).is_err());
        let error =
            Lstm::new(5).inspect(&params, &Var::from(tensor(&[0.0], [1, 1, 1], device)), None);
        assert!(matches!(error, Err(Error::NotBuilt { .. })));
    }
}
