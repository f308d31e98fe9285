//! A layer frame by frame, time-major layers, projections with a first state, plain recurrence,
//! and the node tests of the ONNX package.

mod common;

use common::{Vectors, assert_close, close, devices, gpu, tensor, value};
use wgpu_lstm::nn::{
    Coupling, GateActivation, Layer, Lstm, LstmState, Merge, Params, Rnn, Strategy,
};
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::{Device, Error, GpuOptions, Lengths, Mask, Tape, Tensor, Var};

/// A stream's frame at a time.
fn frame(stream: usize, t: usize) -> [f32; 3] {
    [0, 1, 2].map(|j| ((stream * 31 + t * 7 + j) as f32 * 0.37).sin())
}

/// What a layer gives for the first frames of a stream.
fn whole(layer: &Lstm, params: &Params, stream: usize, frames: usize) -> Vec<f32> {
    let x: Vec<f32> = (0..frames).flat_map(|t| frame(stream, t)).collect();
    let x = tensor(&x, [1, frames, 3], &params.device());
    value(&layer.forward(&Tape::inference(params), &x.into()).unwrap())
}

#[test]
fn streams_join_step_and_leave() {
    for device in devices() {
        for strategy in [Strategy::Sequence, Strategy::Stepwise] {
            // What is normalised has one strategy alone.
            for (layer, normalised) in [
                (Lstm::new(7).num_layers(2), false),
                (Lstm::new(7).num_layers(2).projection(4), false),
                (Lstm::new(5).peepholes(), false),
                (Lstm::new(5).num_layers(2).layer_norm(), true),
            ] {
                if normalised && strategy == Strategy::Stepwise {
                    continue;
                }
                let strategy = if normalised { Strategy::Auto } else { strategy };
                let params = Params::seeded(device, 4);
                let layer = layer.strategy(strategy).build(&params, 3).unwrap();
                let what = format!("{strategy:?} on {device}");
                let mut stepper = layer.stepper(&params, 3).unwrap();
                let close_to = |found: &[f32], stream: usize, frames: usize| {
                    let expected = whole(&layer, &params, stream, frames);
                    // Outputs are below 1: here differences count as they are.
                    let what = format!("stream {stream} after {frames} frames, {what}");
                    assert_close(what, found, &expected, 1.0, 1e-6);
                };
                let (a, b) = (stepper.join().unwrap(), stepper.join().unwrap());
                let y = stepper.step(&[(a, &frame(0, 0)), (b, &frame(1, 0))]).unwrap();
                close_to(&y[0], 0, 1);
                close_to(&y[1], 1, 1);
                // One waits.
                let y = stepper.step(&[(b, &frame(1, 1))]).unwrap();
                close_to(&y[0], 1, 2);
                let c = stepper.join().unwrap();
                assert_eq!(stepper.join(), Err(Error::TooManyStreams { places: 3 }));
                let y = stepper.step(&[(c, &frame(2, 0)), (a, &frame(0, 1))]).unwrap();
                close_to(&y[0], 2, 1);
                close_to(&y[1], 0, 2);
                // Another takes its place, from zeros.
                stepper.leave(a).unwrap();
                let gone = |op, at| Error::Stream { op, at, twice: false };
                let (step, leave) = ("LstmStepper::step", "LstmStepper::leave");
                let error = stepper.step(&[(b, &frame(1, 2)), (a, &frame(0, 2))]);
                assert_eq!(error, Err(gone(step, Some(1))));
                let d = stepper.join().unwrap();
                assert_eq!(stepper.step(&[(a, &frame(0, 2))]), Err(gone(step, Some(0))));
                assert_eq!(stepper.leave(a), Err(gone(leave, None)));
                assert_eq!(stepper.reset(a), Err(gone("LstmStepper::reset", None)));
                assert_ne!(a, d);
                let y = stepper.step(&[(d, &frame(3, 0)), (b, &frame(1, 2))]).unwrap();
                close_to(&y[0], 3, 1);
                close_to(&y[1], 1, 3);
                stepper.reset(b).unwrap();
                let all = [frame(3, 1), frame(1, 0), frame(2, 1)].concat();
                let y = stepper.step_all(&tensor(&all, [3, 3], device)).unwrap();
                let y = y.to_vec().unwrap();
                let size = y.len() / 3;
                close_to(&y[..size], 3, 2);
                close_to(&y[size..2 * size], 1, 1);
                close_to(&y[2 * size..], 2, 2);
            }
        }
    }
}

#[test]
fn a_stepper_checks_what_it_gets_and_keeps_its_states() {
    for device in devices() {
        let params = Params::new(device);
        let layer = Lstm::new(4).build(&params, 3).unwrap();
        let none = layer.stepper(&params, 0);
        assert!(matches!(none, Err(Error::Option { option: "LstmStepper::streams", .. })));
        assert!(matches!(Lstm::new(4).stepper(&params, 1), Err(Error::NotBuilt { .. })));
        let others = layer.stepper(&Params::new(device), 1);
        assert!(matches!(others, Err(Error::NotBuilt { call: "build with these Params", .. })));
        for (layer, way) in [
            (Lstm::new(4).bidirectional(Merge::Sum), "Lstm::bidirectional"),
            (Lstm::new(4).go_backwards(), "Lstm::go_backwards"),
        ] {
            let error = layer.build(&params, 3).unwrap().stepper(&params, 1).err().unwrap();
            let Error::Unsupported { what: "Lstm::stepper", with, .. } = error else {
                panic!("{error}")
            };
            assert_eq!(with, way);
        }
        let mut stepper = layer.stepper(&params, 2).unwrap();
        let a = stepper.join().unwrap();
        stepper.step(&[(a, &frame(0, 0))]).unwrap();
        let short = stepper.step(&[(a, &[1.0])]);
        assert!(matches!(short, Err(Error::Count { expected: 3, found: 1, .. })));
        let error = stepper.step(&[(a, &frame(0, 1)), (a, &frame(0, 1))]).unwrap_err();
        assert_eq!(error, Error::Stream { op: "LstmStepper::step", at: Some(1), twice: true });
        assert_eq!(
            error.to_string(),
            "LstmStepper::step: the stream of frames[1] comes a second time, expected one frame of each"
        );
        assert!(stepper.step(&[]).unwrap().is_empty());
        let wrong = tensor(&[0.0; 3], [1, 3], device);
        assert!(matches!(stepper.step_all(&wrong), Err(Error::Shape { .. })));
        let y = stepper.step(&[(a, &frame(0, 1))]).unwrap();
        close(&format!("after errors on {device}"), &y[0], &whole(&layer, &params, 0, 2), 1e-5);
    }
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn steps_make_no_new_buffers() {
    // Devices of their own: other tests make buffers meanwhile.
    for device in &[poisoned_cpu(), gpu(GpuOptions::default())] {
        let params = Params::new(device);
        let layer = Lstm::new(16).num_layers(2).build(&params, 3).unwrap();
        let mut stepper = layer.stepper(&params, 4).unwrap();
        let ids: Vec<_> = (0..4).map(|_| stepper.join().unwrap()).collect();
        let mut step = |n: usize, t: usize| {
            let frames: Vec<_> = ids[..n].iter().map(|&id| (id, frame(0, t))).collect();
            let frames: Vec<_> = frames.iter().map(|(id, f)| (*id, &f[..])).collect();
            stepper.step(&frames).unwrap();
        };
        for t in 0..4 {
            step(4, t);
            step(3, t);
        }
        let before = device.counters().buffers_created;
        for t in 0..50 {
            step(4, t);
            step(3, t);
        }
        assert_eq!(device.counters().buffers_created, before, "{device}");
    }
}

/// What has changed since the last step counts from the next on: a parameter, or where all of
/// them lie, since a layer was built.
#[test]
fn a_stepper_follows_its_parameters() {
    for (device, projection) in devices().iter().flat_map(|d| [(d, false), (d, true)]) {
        let params = Params::seeded(device, 9);
        let layer = Lstm::new(6).num_layers(2);
        let layer = if projection { layer.projection(4) } else { layer };
        let layer = layer.build(&params, 3).unwrap();
        let mut stepper = layer.stepper(&params, 2).unwrap();
        let stream = stepper.join().unwrap();
        let mut state: Option<Vec<LstmState>> = None;
        for t in 0..6 {
            let double = |name: &str| {
                let doubled = params.get(name).unwrap();
                let doubled: Vec<_> = doubled.iter().map(|w| 2.0 * w).collect();
                params.set(name, &doubled).unwrap();
            };
            match t {
                2 => double("lstm.weight_hh_l1"),
                3 => drop(Lstm::new(4).build(&params, 3).unwrap()),
                4 if projection => double("lstm.weight_hr_l0"),
                _ => {}
            }
            let x = tensor(&frame(0, t), [1, 1, 3], device).into();
            // A tape that records computes everything anew.
            let out = layer.run(&Tape::new(&params), &x, state.as_deref()).unwrap();
            let y = stepper.step(&[(stream, &frame(0, t))]).unwrap();
            close(&format!("step {t} on {device}"), &y[0], &value(&out.output), 1e-6);
            state = Some(out.state);
        }
    }
}

/// So many streams that threads share them, and not all of them have a frame: each is as it would be
/// alone, bit for bit.
#[test]
fn streams_on_several_threads_are_as_alone() {
    let device = Device::cpu_with_threads(3).unwrap();
    let params = Params::seeded(&device, 2);
    let layer = Lstm::new(67).num_layers(2).zoneout(0.1, 0.2).build(&params, 3).unwrap();
    let mut together = layer.stepper(&params, 11).unwrap();
    let streams: Vec<_> = (0..11).map(|_| together.join().unwrap()).collect();
    let mut alone: Vec<_> = streams
        .iter()
        .map(|_| {
            let mut stepper = layer.stepper(&params, 1).unwrap();
            let stream = stepper.join().unwrap();
            (stepper, stream)
        })
        .collect();
    for t in 0..4 {
        let frames: Vec<_> =
            (0..11).filter(|n| (n + t) % 4 != 0).map(|n| (n, frame(n, t))).collect();
        let calls: Vec<_> = frames.iter().map(|(n, frame)| (streams[*n], &frame[..])).collect();
        let outputs = together.step(&calls).unwrap();
        for ((n, frame), found) in frames.iter().zip(outputs) {
            let (stepper, stream) = &mut alone[*n];
            let expected = stepper.step(&[(*stream, frame)]).unwrap();
            assert_eq!(found, expected[0], "stream {n}, step {t}");
        }
    }
    // Whoever joins in the place of another begins from zero, on every thread.
    for stream in streams {
        together.leave(stream).unwrap();
    }
    let first = frame(1, 1);
    let mut new = layer.stepper(&params, 1).unwrap();
    let stream = new.join().unwrap();
    let expected = new.step(&[(stream, &first)]).unwrap();
    let streams: Vec<_> = (0..11).map(|_| together.join().unwrap()).collect();
    let calls: Vec<_> = streams.iter().map(|&stream| (stream, &first[..])).collect();
    for (place, found) in together.step(&calls).unwrap().iter().enumerate() {
        assert_eq!(found, &expected[0], "place {place}");
    }
}

#[test]
fn time_major_is_batch_first_with_other_axes() {
    for device in devices() {
        let params = Params::seeded(device, 9);
        let layer = Lstm::new(4).bidirectional(Merge::Concat).return_sequences();
        let layer = layer.build(&params, 2).unwrap();
        let x: Vec<f32> = (0..3 * 5 * 2).map(|i| (i as f32).cos()).collect();
        // [3,5,w] and [5,3,w].
        let swapped = |x: &[f32], a: usize, b: usize, w: usize| -> Vec<f32> {
            (0..a * b).flat_map(|row| x[(row % a * b + row / a) * w..][..w].to_vec()).collect()
        };
        let lengths = Lengths::new(&[5, 2, 4], device).unwrap();
        let run = |layer: &Lstm, x: Tensor, d: Tensor| {
            let tape = Tape::new(&params);
            params.zero_gradients().unwrap();
            let input = tape.input(x);
            let x = input.clone().with_lengths(Some(lengths.clone()));
            let y = layer.forward(&tape, &x).unwrap();
            let found = value(&y);
            let gradients = tape.backward_from(&[(&y, d)]).unwrap();
            (found, gradients.get(&input).unwrap().to_vec().unwrap())
        };
        let d: Vec<f32> = (0..3 * 5 * 8).map(|i| (i as f32 * 0.3).sin()).collect();
        let first = run(&layer, tensor(&x, [3, 5, 2], device), tensor(&d, [3, 5, 8], device));
        let major = layer.clone().time_major();
        let second = run(
            &major,
            tensor(&swapped(&x, 3, 5, 2), [5, 3, 2], device),
            tensor(&swapped(&d, 3, 5, 8), [5, 3, 8], device),
        );
        assert_eq!(swapped(&second.0, 5, 3, 8), first.0, "{device}");
        assert_eq!(swapped(&second.1, 5, 3, 2), first.1, "{device}");
    }
}

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
fn a_projection_with_a_state_and_a_mask_is_refused() {
    let device = &devices()[0];
    let params = Params::new(device);
    let layer = Lstm::new(4).projection(2).build(&params, 1).unwrap();
    let x = Var::from(Tensor::zeros([1, 2, 1], device).unwrap())
        .with_mask(Some(Mask::new(&[true, false], [1, 2], device).unwrap()));
    let zeros = |size: usize| Var::from(Tensor::zeros([1, size], device).unwrap());
    let state = [LstmState::new(zeros(2), zeros(4))];
    let error = layer.run(&Tape::inference(&params), &x, Some(&state)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { with: "Var::with_mask", .. }), "{error}");
    let state = [LstmState::new(zeros(4), zeros(4))];
    let x = Var::from(Tensor::zeros([1, 2, 1], device).unwrap());
    let error = layer.run(&Tape::inference(&params), &x, Some(&state)).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
}

#[test]
fn a_plain_recurrent_layer() {
    pytorch_state("layer_rnn", "rnn.", [4, 6, 3, 1, 5], &|params, i| {
        let layer = Rnn::new(5).return_sequences().build(params, i).unwrap();
        Box::new(move |tape, x, h_0, _| {
            let (y, h) = layer.run(tape, x, h_0.first()).unwrap();
            (y, vec![h], Vec::new())
        })
    });
    let params = Params::new(&devices()[0]);
    assert!(Rnn::new(0).build(&params, 1).is_err());
    let layer = Rnn::new(2).build(&params, 3).unwrap();
    assert_eq!(layer.parameter_count(), 2 * (3 + 2 + 1));
}

/// The gates of ONNX's operator lie in the order i, o, f, c; ours in i, f, g, o.
fn from_onnx(values: &[f32], rows: usize) -> Vec<f32> {
    let gate = values.len() / 4;
    assert_eq!(gate % rows.max(1), 0);
    [0, 2, 3, 1].iter().flat_map(|&g| values[g * gate..][..gate].to_vec()).collect()
}

#[test]
fn every_lstm_case_of_the_onnx_package() {
    for name in
        ["defaults", "with_initial_bias", "with_peepholes", "batchwise", "reverse", "bidirectional"]
    {
        let v = Vectors::load(&format!("onnx_node_{name}"));
        let shapes = v.metadata("shapes").unwrap();
        let shapes: Vec<usize> = shapes.split(',').map(|s| s.parse().unwrap()).collect();
        let batch_first = v.metadata("layout").is_some_and(|l| l == "1");
        let way = v.metadata("direction").unwrap_or_default();
        let both = way.contains("bidirectional");
        let directions = if both { 2 } else { 1 };
        let (t, b) = match batch_first {
            true => (shapes[1], shapes[0]),
            false => (shapes[0], shapes[1]),
        };
        let i = shapes[2];
        let h: usize = v.metadata("hidden_size").unwrap().parse().unwrap();
        for device in devices() {
            let what = format!("ONNX's {name} on {device}");
            let mut layer = Lstm::new(h).return_sequences();
            if !batch_first {
                layer = layer.time_major();
            }
            layer = match way.as_str() {
                way if way.contains("reverse") => layer.go_backwards(),
                _ if both => layer.bidirectional(Merge::Concat),
                _ => layer,
            };
            if v.find("P").is_some() {
                layer = layer.peepholes();
            }
            let params = Params::new(device);
            let layer = layer.build(&params, i).unwrap();
            for (d, suffix) in ["", "_reverse"].iter().take(directions).enumerate() {
                let part = |name: &str| -> Option<Vec<f32>> {
                    let all = v.find(name)?;
                    Some(all[d * all.len() / directions..][..all.len() / directions].to_vec())
                };
                let set = |name: &str, values: &[f32]| {
                    params.set(&format!("lstm.{name}_l0{suffix}"), values).unwrap();
                };
                set("weight_ih", &from_onnx(&part("W").unwrap(), i));
                set("weight_hh", &from_onnx(&part("R").unwrap(), h));
                let bias = part("B").unwrap_or_else(|| vec![0.0; 8 * h]);
                let sum: Vec<f32> = (0..4 * h).map(|j| bias[j] + bias[4 * h + j]).collect();
                set("bias", &from_onnx(&sum, 1));
                if let Some(p) = part("P") {
                    // i, o, f there; i, f, o here.
                    let p: Vec<f32> =
                        [0, 2, 1].iter().flat_map(|&g| p[g * h..][..h].to_vec()).collect();
                    set("peephole", &p);
                }
            }
            let shape = if batch_first { [b, t, i] } else { [t, b, i] };
            let x = Var::from(v.tensor("X", shape, device));
            let zeros = |name: &str, d: usize| {
                let all = v.find(name).unwrap_or_else(|| vec![0.0; directions * b * h]);
                Var::from(tensor(&all[d * b * h..][..b * h], [b, h], device))
            };
            let states: Vec<_> = (0..directions)
                .map(|d| LstmState::new(zeros("initial_h", d), zeros("initial_c", d)))
                .collect();
            let out = layer.run(&Tape::inference(&params), &x, Some(&states)).unwrap();
            let mut compared = 0;
            if let Some(y) = v.find("Y") {
                // [T,D,B,H] there, or [B,T,D,H] with the batch first; [T,B,D H] here.
                let found = value(&out.output);
                let found: Vec<f32> = match batch_first {
                    true => found,
                    false => (0..t * directions * b)
                        .flat_map(|row| {
                            let (t, d, b_) = (row / b / directions, row / b % directions, row % b);
                            found[((t * b + b_) * directions + d) * h..][..h].to_vec()
                        })
                        .collect(),
                };
                close(&what, &found, &y, 1e-5);
                compared += 1;
            }
            for (name, of) in [("Y_h", 0), ("Y_c", 1)] {
                let Some(expected) = v.find(name) else { continue };
                let found: Vec<f32> =
                    out.state.iter().flat_map(|s| value([&s.h, &s.c][of])).collect();
                close(&what, &found, &expected, 1e-5);
                compared += 1;
            }
            assert!(compared > 0, "{what}");
        }
    }
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

/// What a mask leaves out of a single step stays, in the outputs too.
#[test]
fn a_single_masked_step_keeps_the_state() {
    for device in devices() {
        for (layer, hidden) in
            [(Lstm::new(4).projection(2), 4), (Lstm::new(2).layer_norm(), 2), (Lstm::new(2), 2)]
        {
            let params = Params::new(device);
            let last = layer.clone().build(&params, 1).unwrap();
            let other = Params::new(device);
            let all = layer.return_sequences().build(&other, 1).unwrap();
            for (layer, params) in [(last, params), (all, other)] {
                let mask = Mask::new(&[true, false], [2, 1], device).unwrap();
                let x = Var::from(tensor(&[0.3, f32::NAN], [2, 1, 1], device));
                let h = Var::from(tensor(&[0.5; 4], [2, 2], device));
                let c = Var::from(tensor(&vec![0.25; 2 * hidden], [2, hidden], device));
                let x = x.with_mask(Some(mask));
                let tape = Tape::inference(&params);
                let out = layer.run(&tape, &x, Some(&[LstmState::new(h, c)])).unwrap();
                assert_eq!(value(&out.output)[2..], [0.5, 0.5], "{device}");
                assert_eq!(value(&out.state[0].h)[2..], [0.5, 0.5], "{device}");
                assert_eq!(value(&out.state[0].c)[hidden..], vec![0.25; hidden], "{device}");
                assert_ne!(value(&out.output)[..2], [0.5, 0.5], "{device}");
            }
        }
    }
}

/// Whose first axis are not the rows: lengths go in, but not on.
#[test]
fn a_time_major_output_has_no_lengths_and_no_place_in_a_sequential() {
    use wgpu_lstm::Sequential;
    use wgpu_lstm::nn::Dense;
    for device in devices() {
        let params = Params::new(device);
        let layer = Lstm::new(4).time_major().return_sequences().build(&params, 2).unwrap();
        let lengths = Lengths::new(&[1, 2, 3], device).unwrap();
        let x = Var::from(tensor(&[0.5; 18], [3, 3, 2], device)).with_lengths(Some(lengths));
        let y = layer.forward(&Tape::inference(&params), &x).unwrap();
        assert!(y.lengths().is_none() && y.mask().is_none());
        // [T,B,H]: the second row ends after two steps.
        let y = value(&y);
        assert!(y[(3 + 1) * 4..][..4].iter().all(|v| *v != 0.0));
        assert_eq!(y[(6 + 1) * 4..][..4], [0.0; 4]);
        let mut model = Sequential::new(device).add(Lstm::new(3).time_major()).add(Dense::new(1));
        let error = model.build(2).unwrap_err();
        assert!(matches!(error, Error::Unsupported { with: "Lstm::time_major", .. }), "{error}");
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
