//! A layer frame by frame, time-major layers, projections with a first state, plain recurrence,
//! and the node tests of the ONNX package.

#[path = "../common/mod.rs"]
mod common;
mod models;
mod onnx;
mod servers;
mod states;

use common::{assert_close, close, devices, gpu, tensor, value};
use wgpu_lstm::nn::{Lstm, LstmState, Merge, Params, Strategy};
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
                    assert_close(
                        what,
                        found,
                        &expected,
                        1.0,
                        if device.is_gpu() { 1e-6 } else { 0.0 },
                    );
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
                let number = a.to_string().strip_prefix("stream ").unwrap().parse().unwrap();
                let gone = |op, at| Error::Stream { op, at, stream: number, twice: false };
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
        let text = short.unwrap_err().to_string();
        assert!(text.starts_with("the frame of stream ") && text.contains("1 values"), "{text}");
        let error = stepper.step(&[(a, &frame(0, 1)), (a, &frame(0, 1))]).unwrap_err();
        assert!(matches!(error, Error::Stream { at: Some(1), twice: true, .. }));
        assert_eq!(
            error.to_string(),
            format!(
                "LstmStepper::step: {a} (frames[1]) comes a second time, expected one frame of each"
            )
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
                4 if projection => {
                    double("lstm.weight_hr_l0");
                    // On the CPU a stream goes on from h before the projection.
                    stepper.reset(stream).unwrap();
                    state = None;
                }
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

/// What a mask leaves out of a single step stays, in the last output too; of the outputs of all steps there is none
/// before that it could repeat.
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
            for (layer, params, shown) in [(last, params, [0.5; 2]), (all, other, [0.0; 2])] {
                let mask = Mask::new(&[true, false], [2, 1], device).unwrap();
                let x = Var::from(tensor(&[0.3, f32::NAN], [2, 1, 1], device));
                let h = Var::from(tensor(&[0.5; 4], [2, 2], device));
                let c = Var::from(tensor(&vec![0.25; 2 * hidden], [2, hidden], device));
                let x = x.with_mask(Some(mask));
                let tape = Tape::inference(&params);
                let out = layer.run(&tape, &x, Some(&[LstmState::new(h, c)])).unwrap();
                assert_eq!(value(&out.output)[2..], shown, "{device}");
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
