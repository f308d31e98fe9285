//! Models are trained, on the CPU and on a GPU.

mod common;

use common::{close, devices, gpu};
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Lstm, Params};
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::train::{Adam, Fit, History, Loss, Metric};
use wgpu_lstm::{Device, GpuOptions, Lengths, Tape, Tensor, Var, loss};

/// Sequences of 2 to 9 frames; the class says in which third the mean of the first feature lies.
fn thirds(n: usize) -> (Sequences, Targets) {
    let mut state = 12345u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 24) as f32
    };
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for i in 0..n {
        let class = i % 3;
        let frames = 2 + (random() * 8.0) as usize;
        let level = class as f32 - 1.0;
        rows.push((0..frames).flat_map(|_| [level + 0.4 * random() - 0.2, random()]).collect());
        labels.push(class as u32);
    }
    (Sequences::new::<Vec<f32>>(2, rows).unwrap(), Targets::classes(labels))
}

fn train(device: &Device, epochs: usize) -> (Sequential, History) {
    let (x, y) = thirds(60);
    let mut model = Sequential::new(device)
        .seed(3)
        .add(Lstm::new(12))
        .add(Dense::new(3).activation(Activation::Softmax));
    model.compile(Adam::new(1e-2), Loss::CrossEntropy, &[Metric::Accuracy]);
    let fit = Fit::new().epochs(epochs).batch_size(16).validation_split(0.2).seed(5).quiet();
    let history = model.fit(&x, &y, fit).unwrap();
    (model, history)
}

#[test]
fn a_classifier_learns() {
    for device in devices() {
        let (model, history) = train(device, 15);
        let last = history.epochs.last().unwrap();
        assert!(last.training.metrics[0] > 0.95, "{last:?} on {device}");
        assert!(last.validation.as_ref().unwrap().metrics[0] > 0.9, "{last:?} on {device}");
        let (x, y) = thirds(60);
        let classes = model.predict(&x).unwrap().classes();
        let right = classes.iter().enumerate().filter(|(i, c)| i % 3 == **c).count();
        let accuracy = model.evaluate(&x, &y).unwrap().metrics[0];
        assert!((accuracy - right as f32 / 60.0).abs() < 1e-6);
    }
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn both_devices_train_alike() {
    let histories: Vec<_> = devices().iter().map(|d| train(d, 2).1).collect();
    for (a, b) in histories[0].epochs.iter().zip(&histories[1].epochs) {
        assert!((a.training.loss - b.training.loss).abs() < 1e-4, "{a:?} {b:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    for device in devices() {
        let weights = || {
            let (model, _) = train(device, 2);
            let params = model.params();
            params.names().iter().map(|n| params.get(n).unwrap()).collect::<Vec<_>>()
        };
        assert!(weights() == weights(), "{device}");
    }
}

#[test]
fn two_fits_go_on_where_one_ended() {
    let device = &devices()[0];
    let (x, y) = thirds(60);
    let make = || {
        let mut model = Sequential::new(device).add(Lstm::new(5)).add(Dense::new(3));
        model.compile(Adam::new(1e-2), Loss::CrossEntropy, &[]);
        model
    };
    let fit = || Fit::new().shuffle(false).quiet();
    let (mut once, mut twice) = (make(), make());
    once.fit(&x, &y, fit().epochs(2)).unwrap();
    twice.fit(&x, &y, fit()).unwrap();
    twice.fit(&x, &y, fit()).unwrap();
    for name in once.params().names() {
        assert_eq!(once.params().get(&name).unwrap(), twice.params().get(&name).unwrap());
    }
}

#[test]
fn the_validation_split_is_the_last_share() {
    // The last 2 of 10 carry another target: only the validation's loss can see it.
    let x = Sequences::from_array(&[0.0; 10], [10, 1, 1]).unwrap();
    let mut y = [0.0; 10];
    y[8..].fill(100.0);
    let mut model = Sequential::new(&devices()[0]).add(Lstm::new(2)).add(Dense::new(1));
    model.compile(Adam::new(1e-9), Loss::MeanSquaredError, &[]);
    let fit = Fit::new().validation_split(0.2).quiet();
    let history = model.fit(&x, &Targets::values(y, 1), fit).unwrap();
    let epoch = &history.epochs[0];
    assert!(epoch.training.loss < 1.0, "{epoch:?}");
    assert!(epoch.validation.as_ref().unwrap().loss > 9_000.0, "{epoch:?}");
}

/// One target a frame: whether the frames so far sum to more than 0. Padding must not count.
#[test]
fn a_tagger_learns_from_sequences_of_different_lengths() {
    for device in devices() {
        let (mut rows, mut bits) = (Vec::new(), Vec::new());
        for i in 0..40usize {
            let mut sum = 0.0;
            let frames = 1 + i % 7;
            let row: Vec<f32> = (0..frames).map(|t| ((i * 7 + t * 3) as f32).sin()).collect();
            for v in &row {
                sum += v;
                bits.push(f32::from(sum > 0.0));
            }
            rows.push(row);
        }
        let x = Sequences::new(1, &rows).unwrap();
        let y = Targets::values(bits.clone(), 1);
        let mut model = Sequential::new(device)
            .add(Lstm::new(16).return_sequences())
            .add(Dense::new(1).activation(Activation::Sigmoid));
        model.compile(Adam::new(2e-2), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
        model.fit(&x, &y, Fit::new().epochs(30).batch_size(8).quiet()).unwrap();
        let accuracy = model.evaluate(&x, &y).unwrap().metrics[0];
        assert!(accuracy > 0.9, "{accuracy} on {device}");
        let prediction = model.predict(&x).unwrap();
        assert_eq!(prediction.rows(), bits.len());
        let right =
            prediction.values().iter().zip(&bits).filter(|(p, y)| (**p > 0.5) == (**y > 0.5));
        assert!((right.count() as f32 / bits.len() as f32 - accuracy).abs() < 1e-6);
    }
}

/// The whole tape: two LSTMs, an activation, weights; against central differences.
#[test]
fn a_models_gradients_are_its_gradients() {
    for device in devices() {
        let params = Params::seeded(device, 2);
        let first = Lstm::new(3).return_sequences().build(&params, 2).unwrap();
        let second = Lstm::new(4).build(&params, 3).unwrap();
        let head = Dense::new(2).activation(Activation::Tanh).build(&params, 4).unwrap();
        let x: Vec<f32> = (0..3 * 4 * 2).map(|i| (i as f32 * 0.7).sin()).collect();
        let x = Tensor::from_slice(&x, [3, 4, 2], device).unwrap();
        let y = Tensor::from_slice(&[0.5, -0.5, 0.1, 0.2, 0.9, -0.1], [3, 2], device).unwrap();
        let lengths = Lengths::new(&[4, 1, 3], device).unwrap();
        let run = |tape: &Tape| -> [Var; 2] {
            let x = Var::from(x.clone()).with_lengths(Some(lengths.clone()));
            let h = first.forward(tape, &x).unwrap();
            let h = second.forward(tape, &h).unwrap();
            let prediction = head.forward(tape, &h).unwrap();
            // Used twice: two gradients meet.
            [
                loss::mean_squared_error(tape, &prediction, &y, None).unwrap(),
                loss::binary_cross_entropy(tape, &prediction, &y, None).unwrap(),
            ]
        };
        let tape = Tape::new(&params);
        let losses = run(&tape);
        let one = || Tensor::from_slice(&[1.0], [1], device).unwrap();
        tape.backward_from(&[(&losses[0], one()), (&losses[1], one())]).unwrap();
        for name in params.names() {
            let found = params.gradient(&name).unwrap();
            let start = params.get(&name).unwrap();
            let expected: Vec<f32> = (0..start.len())
                .map(|i| {
                    let at = |step: f32| {
                        let mut values = start.clone();
                        values[i] += step;
                        params.set(&name, &values).unwrap();
                        let losses = run(&Tape::inference(&params));
                        let value = |v: &Var| f64::from(v.tensor().to_vec().unwrap()[0]);
                        value(&losses[0]) + value(&losses[1])
                    };
                    let step = 2e-2;
                    let slope = (at(step) - at(-step)) / f64::from(2.0 * step);
                    slope as f32
                })
                .collect();
            params.set(&name, &start).unwrap();
            // Single precision and a step of 2e-2 leave three digits.
            close(&format!("{name} on {device}"), &found, &expected, 5e-3);
        }
    }
}

/// A state from an earlier tape is a constant: its place there means nothing here.
#[test]
fn a_state_of_another_tape_gets_no_gradient() {
    for device in devices() {
        let gradient = |detached: bool| {
            let params = Params::seeded(device, 1);
            let layer = Lstm::new(3).build(&params, 2).unwrap();
            let x = Tensor::from_slice(&[0.3; 2 * 4 * 2], [2, 4, 2], device).unwrap();
            let first = Tape::new(&params);
            let mut state = layer.run(&first, &x.clone().into(), None).unwrap().state;
            if detached {
                state[0].h = state[0].h.tensor().clone().into();
                state[0].c = state[0].c.tensor().clone().into();
            }
            let second = Tape::new(&params);
            // Takes the first places of the second tape, with the same shapes.
            let head = layer.run(&second, &x.clone().into(), None).unwrap();
            let out = layer.run(&second, &x.clone().into(), Some(&state)).unwrap();
            let d = || Tensor::from_slice(&[1.0; 6], [2, 3], device).unwrap();
            second.backward_from(&[(&out.output, d()), (&head.output, d())]).unwrap();
            params.gradient("lstm.weight_hh_l0").unwrap()
        };
        assert_eq!(gradient(false), gradient(true), "{device}");
    }
}

#[test]
fn the_forget_gates_bias_begins_at_one() {
    let params = Params::new(&Device::cpu().unwrap());
    let _ = Lstm::new(2).build(&params, 1).unwrap();
    let bias = params.get("lstm.bias_l0").unwrap();
    assert_eq!(bias, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn fit_shuffles_by_its_seed() {
    let values: Vec<f32> = (0..40).map(|i| (i as f32 * 0.7).sin()).collect();
    let x = Sequences::from_array(&values, [20, 2, 1]).unwrap();
    let y = Targets::values(values[..20].to_vec(), 1);
    let train = |fit: Fit<'static>| {
        let device = Device::cpu().unwrap();
        let mut model = Sequential::new(&device).add(Lstm::new(3)).add(Dense::new(1));
        model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
        model.fit(&x, &y, fit.batch_size(4).epochs(1).quiet()).unwrap();
        model.params().get("dense.weight").unwrap()
    };
    assert_eq!(train(Fit::new().seed(1)), train(Fit::new().seed(1)));
    assert_ne!(train(Fit::new().seed(1)), train(Fit::new().seed(2)));
    assert_ne!(train(Fit::new().seed(1)), train(Fit::new().shuffle(false)));
}

#[test]
fn a_validation_split_is_exact_for_large_data() {
    let n = 10_000;
    let x = Sequences::from_array(&vec![0.5; n], [n, 1, 1]).unwrap();
    // All targets of the training part are 0; one of 1 would show in its loss.
    let y = Targets::values((0..n).map(|i| f32::from(i >= 7000)).collect::<Vec<_>>(), 1);
    let device = Device::cpu().unwrap();
    let mut model = Sequential::new(&device).add(Lstm::new(1)).add(Dense::new(1));
    model.compile(Adam::new(0.0), Loss::MeanSquaredError, &[]);
    let fit = Fit::new().epochs(1).batch_size(1000).validation_split(0.3).quiet();
    let history = model.fit(&x, &y, fit).unwrap();
    let p = f64::from(model.predict(&x).unwrap().values()[0]);
    let epoch = &history.epochs[0];
    assert!((f64::from(epoch.training.loss) - p * p).abs() < 1e-6);
    let validation = epoch.validation.as_ref().unwrap().loss;
    assert!((f64::from(validation) - (1.0 - p) * (1.0 - p)).abs() < 1e-5);
}

#[test]
fn padding_before_a_dense_layer_is_not_looked_at() {
    for device in devices() {
        let gradient = |padding: f32| {
            let params = Params::seeded(device, 1);
            let dense = Dense::new(3).build(&params, 1).unwrap();
            let lstm = Lstm::new(2).build(&params, 3).unwrap();
            let x = Tensor::from_slice(&[0.5, padding, 0.3, 0.9], [2, 2, 1], device).unwrap();
            let lengths = wgpu_lstm::Lengths::new(&[1, 2], device).unwrap();
            let tape = Tape::new(&params);
            let y = dense.forward(&tape, &Var::from(x).with_lengths(Some(lengths))).unwrap();
            let y = lstm.forward(&tape, &y).unwrap();
            let ones = Tensor::from_slice(&[1.0; 4], [2, 2], device).unwrap();
            tape.backward_from(&[(&y, ones)]).unwrap();
            params.gradient("dense.weight").unwrap()
        };
        let found = gradient(f32::NAN);
        assert!(found.iter().all(|v| v.is_finite()), "{device}: {found:?}");
        assert_eq!(found, gradient(7.0), "{device}");
    }
}

/// Layers of one model in the tasks of a thread pool: whoever waits may take up another's work.
#[test]
fn the_cpu_device_runs_inside_a_thread_pool() {
    use rayon::prelude::*;
    let device = Device::cpu().unwrap();
    let params = Params::new(&device);
    let layer = Dense::new(96).build(&params, 96).unwrap();
    (0..24).into_par_iter().for_each(|_| {
        let tape = Tape::new(&params);
        let x = Tensor::from_slice(&[0.1; 96 * 96], [96, 96], &device).unwrap();
        let y = layer.forward(&tape, &Var::from(x)).unwrap();
        let ones = Tensor::from_slice(&[1.0; 96 * 96], [96, 96], &device).unwrap();
        tape.backward_from(&[(&y, ones)]).unwrap();
    });
    assert!(params.gradient("dense.weight").unwrap().iter().all(|v| v.is_finite()));
}

/// What the backward pass computes anew needs no memory from one pass to the other.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn recomputing_the_gates_saves_memory_and_changes_nothing_else() {
    for device in &[poisoned_cpu(), gpu(GpuOptions::default())] {
        let run = |layer: Lstm| {
            let params = Params::seeded(device, 5);
            let layer = layer.build(&params, 3).unwrap();
            let x: Vec<f32> = (0..16 * 50 * 3).map(|i| (i as f32).sin()).collect();
            let x = Tensor::from_slice(&x, [16, 50, 3], device).unwrap();
            let before = device.memory().in_use;
            let tape = Tape::new(&params);
            let y = layer.forward(&tape, &x.into()).unwrap();
            device.synchronize().unwrap();
            let held = device.memory().in_use - before;
            let seed = Tensor::from_slice(&[1.0; 16 * 32], [16, 32], device).unwrap();
            tape.backward_from(&[(&y, seed)]).unwrap();
            (held, params.gradient("lstm.weight_hh_l0").unwrap())
        };
        let (kept, gradient) = run(Lstm::new(32));
        let (anew, same) = run(Lstm::new(32).recompute());
        // Four gates of six values a unit and step.
        assert!((anew as f64) < 0.5 * kept as f64, "{anew} of {kept} bytes on {device}");
        close(&format!("gradient on {device}"), &same, &gradient, 1e-5);
    }
}

/// What is recorded but not submitted computes with the values of before.
#[test]
fn what_is_set_comes_after_what_was_computed() {
    for device in devices() {
        let params = Params::new(device);
        let dense = Dense::new(1).build(&params, 2).unwrap();
        params.set("dense.weight", &[1.0, 2.0]).unwrap();
        let x = Var::from(Tensor::from_slice(&[3.0, 4.0], [1, 2], device).unwrap());
        let y = || dense.forward(&Tape::inference(&params), &x).unwrap();
        let before = y();
        params.set("dense.weight", &[5.0, 6.0]).unwrap();
        let after = y();
        assert_eq!(before.tensor().to_vec().unwrap(), [11.0], "{device}");
        assert_eq!(after.tensor().to_vec().unwrap(), [39.0], "{device}");
    }
}
