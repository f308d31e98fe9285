//! Mixed precision, on an adapter that has it: models, losses and optimizers.

mod common;

use common::{close, gpu, lacks};
use std::sync::OnceLock;
use wgpu_lstm::nn::{Activation, Dense, Lstm, Merge, Params, Precision, Rnn};
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::train::{Adam, Sgd};
use wgpu_lstm::{Device, GpuOptions, Lengths, Tape, Tensor, Var, loss};

fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| gpu(GpuOptions::default().poison()))
}

/// Parameters in mixed precision; where the adapter has no 16-bit floats they stay in full precision and say
/// so, and what a test asks of others is not reached.
#[track_caller]
fn mixed(device: &Device) -> Params {
    let params = Params::seeded(device, 3);
    params.set_precision(Precision::Mixed);
    let able = device.adapter().is_some_and(|a| a.half_precision);
    let expected = if lacks("f16", able) { Precision::Full } else { Precision::Mixed };
    assert_eq!(params.precision(), expected);
    params
}

type Model = Box<dyn Fn(&Tape, &Var) -> Var>;
type Make<'a> = &'a dyn Fn(&Params) -> Model;

fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
}

/// What a model gives for a batch, and the gradients of all parameters and of the input, of a loss
/// that is `size` times as large.
fn pass(
    params: &Params,
    forward: &dyn Fn(&Tape, &Var) -> Var,
    lengths: bool,
    size: f32,
) -> Vec<(String, Vec<f32>)> {
    let device = params.device();
    let x = Tensor::from_slice(&numbers(5 * 7 * 3, 1.0), [5, 7, 3], &device).unwrap();
    let lengths = lengths.then(|| Lengths::new(&[7, 1, 4, 7, 3], &device).unwrap());
    params.zero_gradients().unwrap();
    let tape = Tape::new(params);
    let x = tape.input(x).with_lengths(lengths);
    let y = forward(&tape, &x);
    let d_y: Vec<f32> = numbers(y.tensor().len(), 2.0).iter().map(|d| size * d).collect();
    let d_y = Tensor::from_slice(&d_y, y.shape(), &device).unwrap();
    let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
    let mut found = vec![
        ("y".to_owned(), y.tensor().to_vec().unwrap()),
        ("d_x".to_owned(), gradients.get(&x).unwrap().to_vec().unwrap()),
    ];
    for name in params.names() {
        found.push((name.clone(), params.gradient(&name).unwrap()));
    }
    found
}

/// A model that is run in both precisions.
struct Compared<'a> {
    name: &'a str,
    /// Whether it is also run with rows of different lengths: every kernel takes a software adapter
    /// seconds to compile.
    lengths: bool,
    /// Whether mixed precision rounds all of it, or leaves it as it is.
    rounds: bool,
    make: Make<'a>,
}

/// Outputs and gradients are those of full precision but for the rounding, and are rounded.
#[test]
fn layers_agree_with_full_precision() {
    let models = [
        Compared {
            name: "a stack in both directions",
            lengths: true,
            rounds: true,
            make: &|params| {
                let lstm = Lstm::new(10).num_layers(2).bidirectional(Merge::Concat);
                let lstm = lstm.return_sequences().build(params, 3).unwrap();
                let dense = Dense::new(5).activation(Activation::Tanh).build(params, 20).unwrap();
                Box::new(move |tape, x| {
                    dense.forward(tape, &lstm.forward(tape, x).unwrap()).unwrap()
                })
            },
        },
        Compared {
            name: "peepholes, recomputed",
            lengths: false,
            rounds: true,
            make: &|params| {
                let lstm = Lstm::new(9).peepholes().recompute().return_sequences();
                let lstm = lstm.build(params, 3).unwrap();
                Box::new(move |tape, x| lstm.forward(tape, x).unwrap())
            },
        },
        Compared {
            name: "a projection",
            lengths: false,
            rounds: true,
            make: &|params| {
                let lstm = Lstm::new(12).projection(5).build(params, 3).unwrap();
                Box::new(move |tape, x| lstm.forward(tape, x).unwrap())
            },
        },
        Compared {
            name: "a plain recurrent layer",
            lengths: false,
            rounds: true,
            make: &|params| {
                let rnn = Rnn::new(11).build(params, 3).unwrap();
                Box::new(move |tape, x| rnn.forward(tape, x).unwrap())
            },
        },
        Compared {
            name: "layer normalisation",
            lengths: false,
            rounds: false,
            make: &|params| {
                let lstm = Lstm::new(8).layer_norm().build(params, 3).unwrap();
                Box::new(move |tape, x| lstm.forward(tape, x).unwrap())
            },
        },
    ];
    for Compared { name, lengths, rounds, make } in models {
        for lengths in if lengths { &[false, true][..] } else { &[false] } {
            let full = Params::seeded(device(), 3);
            let expected = pass(&full, &make(&full), *lengths, 0.25);
            let half = mixed(device());
            let found = pass(&half, &make(&half), *lengths, 0.25);
            let rounded = half.precision() == Precision::Mixed && rounds;
            for ((what, found), (_, expected)) in found.iter().zip(&expected) {
                let what = format!("{what} of {name}, lengths {lengths}, on {}", device());
                close(&what, found, expected, 1e-2);
                if rounded {
                    assert_ne!(found, expected, "{what}");
                }
            }
        }
    }
}

/// Without a loss scale, gradients of 1e-8 would all be 0 in 16 bits.
#[test]
fn small_gradients_do_not_vanish() {
    let run = |params: &Params| {
        let lstm = Lstm::new(10).num_layers(2).build(params, 3).unwrap();
        pass(params, &|tape, x| lstm.forward(tape, x).unwrap(), false, 1e-8)
    };
    let (full, half) = (Params::seeded(device(), 3), mixed(device()));
    for ((what, found), (_, expected)) in run(&half).iter().zip(&run(&full)).skip(1) {
        let size = |values: &[f32]| values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(size(expected) < 1e-6);
        let scaled = |values: &[f32]| values.iter().map(|v| v * 1e8).collect::<Vec<_>>();
        close(&format!("{what} on {}", device()), &scaled(found), &scaled(expected), 1e-2);
    }
}

/// A step whose gradients overflow moves nothing and does not count; the scale falls until they do
/// not.
#[test]
fn steps_that_overflow_are_left_out() {
    let params = mixed(device());
    if params.precision() == Precision::Full {
        return;
    }
    let lstm = Lstm::new(10).build(&params, 3).unwrap();
    let weights = || params.names().iter().map(|n| params.get(n).unwrap()).collect::<Vec<_>>();
    assert_eq!(params.loss_scale().unwrap(), 65_536.0);
    let mut adam = Adam::new(1e-2);
    let mut moved = 0;
    for _ in 0..12 {
        let before = (weights(), params.loss_scale().unwrap());
        // 16 bits end at 65,504.
        let found = pass(&params, &|tape, x| lstm.forward(tape, x).unwrap(), false, 100.0);
        let finite = found.iter().skip(2).all(|(_, g)| g.iter().all(|g| g.is_finite()));
        adam.step(&params).unwrap();
        let scale = params.loss_scale().unwrap();
        match finite {
            true => {
                if moved == 0 {
                    // Adam's first step, whatever was left out before, is as large as its rate.
                    for (before, after) in before.0.iter().flatten().zip(weights().iter().flatten())
                    {
                        assert!(((after - before).abs() - 1e-2).abs() < 1e-5, "{before} {after}");
                    }
                }
                moved += 1;
                assert_ne!(weights(), before.0);
                assert_eq!(scale, before.1);
            }
            false => {
                assert_eq!(moved, 0, "the scale falls once");
                assert_eq!(weights(), before.0);
                assert_eq!(scale, before.1 / 2.0);
            }
        }
    }
    assert!((1..12).contains(&moved), "{moved}");
}

/// What was written to the parameters is what products take next, by whatever way.
#[test]
fn the_copies_of_16_bits_are_never_stale() {
    // A limit writes to the weights behind each step.
    stale(Dense::new(2).kernel_max_norm(0.1));
    stale(Dense::new(2));
}

fn stale(dense: Dense) {
    let params = mixed(device());
    let dense = dense.build(&params, 3).unwrap();
    let x: Var = Tensor::from_slice(&numbers(3, 1.0), [1, 3], device()).unwrap().into();
    let y = || dense.forward(&Tape::inference(&params), &x).unwrap().tensor().to_vec().unwrap();
    let expected = || -> Vec<f32> {
        let (w, b) = (params.get("dense.weight").unwrap(), params.get("dense.bias").unwrap());
        let x = x.tensor().to_vec().unwrap();
        (0..2).map(|o| b[o] + (0..3).map(|i| w[3 * o + i] * x[i]).sum::<f32>()).collect()
    };
    let what = |when: &str| format!("{when}, on {}", device());
    close(&what("first values"), &y(), &expected(), 2e-3);
    params.constrain().unwrap();
    close(&what("limited"), &y(), &expected(), 2e-3);
    params.set("dense.weight", &[1.0, -2.0, 3.0, -4.0, 5.0, -6.0]).unwrap();
    close(&what("set"), &y(), &expected(), 2e-3);
    let mut sgd = Sgd::new(0.5).momentum(0.5);
    for _ in 0..2 {
        let tape = Tape::new(&params);
        let target = Tensor::from_slice(&[0.5, -0.5], [1, 2], device()).unwrap();
        let prediction = dense.forward(&tape, &x).unwrap();
        let loss = loss::mean_squared_error(&tape, &prediction, &target, None).unwrap();
        tape.backward(&loss).unwrap();
        sgd.step(&params).unwrap();
        // Of large weights that cancel.
        close(&what("trained"), &y(), &expected(), 2e-2);
    }
    // More parameters make the buffers anew.
    let late = Dense::new(1).build(&params, 2).unwrap();
    let ones: Var = Tensor::from_slice(&[1.0, 1.0], [1, 2], device()).unwrap().into();
    let of_late = late.forward(&Tape::inference(&params), &ones).unwrap();
    let sum: f32 = params.get("dense_1.weight").unwrap().iter().sum();
    close(&what("late"), &of_late.tensor().to_vec().unwrap(), &[sum], 2e-3);
    close(&what("grown"), &y(), &expected(), 2e-2);
    params.set_precision(Precision::Full);
    close(&what("full"), &y(), &expected(), 1e-6);
}

/// Gradients of one scale are not taken for those of another.
#[test]
fn gradients_do_not_outlive_a_change_of_precision() {
    let params = mixed(device());
    if params.precision() == Precision::Full {
        return;
    }
    let dense = Dense::new(2).build(&params, 3).unwrap();
    let gradient = || params.gradient("dense.weight").unwrap();
    for precision in [Precision::Full, Precision::Mixed] {
        pass(&params, &|tape, x| dense.forward(tape, x).unwrap(), false, 1.0);
        let before = gradient();
        assert!(before.iter().all(|g| *g != 0.0 && g.abs() < 1e3));
        params.set_precision(params.precision());
        assert_eq!(gradient(), before);
        params.set_precision(precision);
        assert_eq!(gradient(), [0.0; 6]);
    }
}

/// Steps that were left out do not count in full precision either, nor do those of full precision
/// twice.
#[test]
fn adam_counts_its_steps_over_a_change_of_precision() {
    let params = mixed(device());
    if params.precision() == Precision::Full {
        return;
    }
    let dense = Dense::new(2).build(&params, 3).unwrap();
    let mut adam = Adam::new(1e-2);
    let mut step = |precision, size| {
        params.set_precision(precision);
        let before = params.get("dense.weight").unwrap();
        pass(&params, &|tape, x| dense.forward(tape, x).unwrap(), false, size);
        adam.step(&params).unwrap();
        let after = params.get("dense.weight").unwrap();
        before.iter().zip(after).map(|(before, after)| (after - before).abs()).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        assert_eq!(step(Precision::Mixed, f32::MAX), [0.0; 6]);
    }
    // Of gradients that are always the same, each step is as large as the rate.
    for precision in [Precision::Full, Precision::Full, Precision::Mixed, Precision::Full] {
        for moved in step(precision, 1.0) {
            assert!((moved - 1e-2).abs() < 1e-5, "{moved} in {precision:?}");
        }
    }
    // With more parameters it begins anew.
    step(Precision::Mixed, 0.5);
    let _ = Dense::new(1).build(&params, 1).unwrap();
    for moved in step(Precision::Mixed, 1.0) {
        assert!((moved - 1e-2).abs() < 1e-5, "{moved} of more parameters");
    }
}

#[test]
fn the_cpu_and_plain_gpus_stay_with_full_precision() {
    for device in [poisoned_cpu(), gpu(GpuOptions::default().portable())] {
        let params = Params::new(&device);
        params.set_precision(Precision::Mixed);
        assert_eq!(params.precision(), Precision::Full, "{device}");
        assert_eq!(params.loss_scale().unwrap(), 1.0);
    }
}

/// `Fit::precision` is `set_precision` in a word: the same bits, and other than those of full precision; the model
/// keeps it, and where there is no other precision the training runs as without it.
#[test]
fn a_training_chooses_its_precision() {
    use wgpu_lstm::prelude::{Fit, Loss, Sequences, Sequential, Targets};
    let x = Sequences::from_array(&numbers(24 * 5 * 3, 4.0), [24, 5, 3]).unwrap();
    let y = Targets::values(numbers(24, 5.0), 1);
    let train = |device: &Device, before: Option<Precision>, fit: Fit<'_>| {
        let mut model = Sequential::new(device).seed(2).add(Lstm::new(20)).add(Dense::new(1));
        model.compile(Adam::new(1e-2), Loss::MeanSquaredError, &[]);
        model.build(3).unwrap();
        if let Some(precision) = before {
            model.params().set_precision(precision);
        }
        model.fit(&x, &y, fit.epochs(2).batch_size(7).quiet()).unwrap();
        (model.predict(&x).unwrap().values().to_vec(), model.params().precision())
    };
    let full = train(device(), None, Fit::new());
    assert_eq!(full.1, Precision::Full);
    let word = train(device(), None, Fit::new().precision(Precision::Mixed));
    assert_eq!(word, train(device(), Some(Precision::Mixed), Fit::new()));
    if !lacks("f16", device().adapter().is_some_and(|a| a.half_precision)) {
        assert_eq!(word.1, Precision::Mixed);
        assert_ne!(word.0, full.0);
        assert_eq!(
            full,
            train(device(), Some(Precision::Mixed), Fit::new().precision(Precision::Full))
        );
    }
    let cpu = poisoned_cpu();
    assert_eq!(
        train(&cpu, None, Fit::new().precision(Precision::Mixed)),
        train(&cpu, None, Fit::new())
    );
}

/// A value that lies elsewhere than the parameters has its gradient without the loss scale, too.
#[test]
fn gradients_on_the_host_are_not_scaled() {
    let cpu = Device::cpu().unwrap();
    let tape = Tape::new(&mixed(device()));
    let x = tape.input(Tensor::from_slice(&[1.0, 2.0], [2], &cpu).unwrap());
    let seed = Tensor::from_slice(&[0.5, -0.25], [2], &cpu).unwrap();
    let gradients = tape.backward_from(&[(&x, seed)]).unwrap();
    assert_eq!(gradients.get(&x).unwrap().to_vec().unwrap(), [0.5, -0.25]);

    let tape = Tape::new(&mixed(device()));
    let x = tape.input(Tensor::from_slice(&[3.0], [1], &cpu).unwrap());
    let gradients = tape.backward(&x).unwrap();
    assert_eq!(gradients.get(&x).unwrap().to_vec().unwrap(), [1.0]);
}
