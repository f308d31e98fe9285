//! Situations of users that once failed, each with what is right: of a kind that no op's own test has.

#[path = "../common/mod.rs"]
mod common;
mod lengths;
mod models;
mod tables;
mod threads;

use common::{close, devices, gpu, lacks};
use wgpu_lstm::data::Sequences;
use wgpu_lstm::loss::mean_squared_error;
use wgpu_lstm::nn::{Dense, Lstm, Params, Precision};
use wgpu_lstm::train::{Adam, Fit, Sgd};
use wgpu_lstm::{Error, GpuOptions, Tape, Tensor, Var};

fn quiet<'a>() -> Fit<'a> {
    Fit::new().quiet()
}

/// `n` sequences of `t` frames of `f` features, without a pattern.
fn sequences(n: usize, t: usize, f: usize) -> Sequences {
    let values: Vec<_> = (0..n * t * f).map(|i| (i as f32 * 0.731).sin()).collect();
    Sequences::from_array(&values, [n, t, f]).unwrap()
}

#[test]
fn an_infinite_input_has_the_gradient_of_a_closed_gate() {
    for device in devices() {
        let params = Params::new(device);
        let lstm = Lstm::new(3).no_bias().build(&params, 1).unwrap();
        params.set("lstm.weight_ih_l0", &[1.0; 12]).unwrap();
        params.set("lstm.weight_hh_l0", &[0.0; 36]).unwrap();
        let tape = Tape::new(&params);
        let x = tape.input(Tensor::from_slice(&[f32::INFINITY, 0.5], [2, 1, 1], device).unwrap());
        let y = lstm.forward(&tape, &x).unwrap();
        let ones = Tensor::from_slice(&[1.0; 6], [2, 3], device).unwrap();
        let gradients = tape.backward_from(&[(&y, ones)]).unwrap();
        let d_x = gradients.get(&x).unwrap().to_vec().unwrap();
        assert!(d_x[0] == 0.0 && d_x[1] > 0.0, "{d_x:?} on {device}");
    }
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn what_a_clip_holds_has_no_gradient_in_mixed_precision_either() {
    let device = gpu(GpuOptions::default());
    lacks("f16", device.adapter().is_some_and(|adapter| adapter.half_precision));
    for (clip, recompute) in [(0.3, false), (0.7, false), (0.1, false), (0.3, true)] {
        let run = |precision: Precision| {
            let params = Params::seeded(&device, 8);
            params.set_precision(precision);
            let lstm = Lstm::new(16).clip(clip).return_sequences();
            let lstm = if recompute { lstm.recompute() } else { lstm }.build(&params, 8).unwrap();
            // Numbers that 16 bits hold, and their products as well: then no rounding puts a sum on the
            // other side of the clip.
            let of = |n: usize, steps: f32| -> Vec<f32> {
                (0..n).map(|i| (8.0 * (i as f32 * 0.37).sin()).round() / steps).collect()
            };
            params.set("lstm.weight_ih_l0", &of(64 * 8, 16.0)).unwrap();
            params.set("lstm.weight_hh_l0", &of(64 * 16, 32.0)).unwrap();
            let x = of(4 * 12 * 8, 4.0);
            let x = Var::from(Tensor::from_slice(&x, [4, 12, 8], &device).unwrap());
            let tape = Tape::new(&params);
            let y = lstm.forward(&tape, &x).unwrap();
            let zeros = Tensor::zeros(y.shape(), &device).unwrap();
            let loss = mean_squared_error(&tape, &y, &zeros, None).unwrap();
            tape.backward(&loss).unwrap();
            params.gradient("lstm.weight_ih_l0").unwrap()
        };
        // Gates that are computed anew come from sums that are rounded before they are clipped: a few of
        // the 3,072 lie on the other side.
        let bound = if recompute { 3e-2 } else { 2e-3 };
        let what = format!("clip {clip}, recompute {recompute} on {device}");
        close(&what, &run(Precision::Mixed), &run(Precision::Full), bound);
    }
}

#[test]
fn parameters_that_change_before_the_backward_pass_are_an_error() {
    for device in devices() {
        let params = Params::new(device);
        let dense = Dense::new(1).build(&params, 2).unwrap();
        let x = Var::from(Tensor::from_slice(&[1.0, 2.0], [1, 2], device).unwrap());
        let y = Tensor::zeros([1, 1], device).unwrap();
        let forward = || {
            let tape = Tape::new(&params);
            let out = dense.forward(&tape, &x).unwrap();
            let loss = mean_squared_error(&tape, &out, &y, None).unwrap();
            (tape, loss)
        };
        let (tape, loss) = forward();
        let (first, of_first) = forward();
        first.backward(&of_first).unwrap();
        Sgd::new(0.1).step(&params).unwrap();
        assert!(matches!(tape.backward(&loss), Err(Error::Stale { .. })), "{device}");
        let (tape, loss) = forward();
        params.set("dense.bias", &[1.0]).unwrap();
        assert!(matches!(tape.backward(&loss), Err(Error::Stale { .. })), "{device}");
        let (tape, loss) = forward();
        tape.backward(&loss).unwrap();
    }
}

/// A loop that never reads anything nor submits: its work goes to the device all the same, and its
/// memory stays bounded.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn work_is_submitted_by_its_amount() {
    let device = gpu(GpuOptions::default());
    let params = Params::new(&device);
    let lstm = Lstm::new(16).build(&params, 40).unwrap();
    let mut adam = Adam::new(1e-3);
    let step = &mut || {
        let x = Tensor::from_slice(&[0.5; 32 * 20 * 40], [32, 20, 40], &device).unwrap();
        let tape = Tape::new(&params);
        let y = lstm.forward(&tape, &Var::from(x)).unwrap();
        let zeros = Tensor::zeros(y.shape(), &device).unwrap();
        let loss = mean_squared_error(&tape, &y, &zeros, None).unwrap();
        tape.backward(&loss).unwrap();
        adam.step(&params).unwrap();
    };
    (0..200).for_each(|_| step());
    assert!(device.counters().submissions > 4, "{:?}", device.counters());
    let memory = device.memory();
    assert!(memory.peak < 100 << 20, "{memory:?}");
}

/// Uploads that no kernel uses take no more memory each time.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn uploads_alone_are_given_back() {
    let device = gpu(GpuOptions::default());
    let values = vec![0.5; 1 << 20];
    for _ in 0..100 {
        Tensor::from_slice(&values, [values.len()], &device).unwrap();
    }
    let memory = device.memory();
    assert!(memory.peak < 100 << 20, "{memory:?}");
}
