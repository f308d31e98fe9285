//! A training that meets a number that is not finite ends with the last good weights, and says where.

mod common;

use common::devices;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Dense, Layer, Lstm, Params};
use wgpu_lstm::train::{Adam, EarlyStopping, Fit, Loss, NAdam, Optimizer, Sgd};
use wgpu_lstm::{Device, Error, Result, Sequential, Tape, Tensor, Var};

/// Passes values on; from some call on its outputs, or the gradients, become infinite.
struct Bomb {
    calls: AtomicU64,
    at: u64,
    backward: bool,
}

impl Layer for Bomb {
    fn kind(&self) -> &'static str {
        "bomb"
    }
    fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
        Ok(())
    }
    fn output_size(&self) -> usize {
        4
    }
    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }
    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let bad = call >= self.at;
        let times = |tensor: &Tensor, bad: bool| {
            let mut values = tensor.to_vec()?;
            if bad {
                values[1] = f32::INFINITY;
            }
            Tensor::from_slice(&values, tensor.shape(), &tensor.device())
        };
        let y = times(x.tensor(), bad && !self.backward)?;
        let backward = self.backward;
        let [y] = tape.custom([y], [x], move |[d]| Ok([times(&d, bad && backward)?]));
        Ok(y)
    }
    fn parameter_count(&self) -> usize {
        0
    }
}

fn data() -> (Sequences, Targets) {
    let values: Vec<f32> = (0..40 * 3).map(|i| (i as f32 * 0.37).sin()).collect();
    let y: Vec<f32> = (0..40).map(|i| (i as f32 * 0.21).cos()).collect();
    (Sequences::from_array(&values, [40, 3, 1]).unwrap(), Targets::values(y, 1))
}

fn model(device: &Device, at: u64, backward: bool, optimizer: Box<dyn Optimizer>) -> Sequential {
    struct Boxed(Box<dyn Optimizer>);
    impl Optimizer for Boxed {
        fn step(&mut self, params: &Params) -> Result<()> {
            self.0.step(params)
        }
    }
    let mut model = Sequential::new(device)
        .seed(1)
        .add(Lstm::new(4))
        .add(Bomb { calls: AtomicU64::new(0), at, backward })
        .add(Dense::new(1));
    model.compile(Boxed(optimizer), Loss::MeanSquaredError, &[]);
    model
}

fn values(model: &Sequential) -> Vec<u32> {
    let params = model.params();
    let all = params.names().into_iter().flat_map(|name| params.get(&name).unwrap());
    all.map(f32::to_bits).collect()
}

#[test]
fn the_last_good_weights_stay() {
    let (x, y) = data();
    let fit = || Fit::new().epochs(3).batch_size(4).quiet();
    for device in devices() {
        for (backward, place) in [(false, "the output of layer 2 (bomb)"), (true, "Bomb")] {
            for adam in [true, false] {
                let optimizer = || -> Box<dyn Optimizer> {
                    if adam {
                        Box::new(Adam::new(0.01))
                    } else {
                        Box::new(Sgd::new(0.1).momentum(0.9))
                    }
                };
                // Ten steps an epoch: the fourth batch of the second.
                let mut bad = model(device, 13, backward, optimizer());
                let error = bad.fit(&x, &y, fit()).unwrap_err();
                let Error::Diverged { epoch: 2, batch: Some(4), what } = &error else {
                    panic!("{error} on {device}");
                };
                assert!(what.contains(place), "{what}, expected {place}, on {device}");

                // A training that a callback stops there has the same weights.
                let mut good = model(device, u64::MAX, backward, optimizer());
                struct Steps;
                impl wgpu_lstm::train::Callback for Steps {
                    fn after_step(&mut self, run: &mut wgpu_lstm::train::Run<'_>) -> Result<()> {
                        if run.steps() == 13 {
                            run.stop("thirteen");
                        }
                        Ok(())
                    }
                }
                let history = good.fit(&x, &y, fit().callback(Steps)).unwrap();
                assert_eq!(history.stopped.as_deref(), Some("thirteen"));
                assert!(
                    values(&bad) == values(&good),
                    "adam: {adam}, backward: {backward}, {device}"
                );
            }
        }
    }
}

#[test]
fn a_parameter_that_is_no_number_is_named() {
    let (x, y) = data();
    for device in devices() {
        let mut model = model(device, u64::MAX, false, Box::new(Adam::new(0.01)));
        model.build(1).unwrap();
        model.params().set("dense.bias", &[f32::NAN]).unwrap();
        let error = model.fit(&x, &y, Fit::new().quiet()).unwrap_err();
        let Error::Diverged { epoch: 1, batch: Some(1), what } = &error else { panic!("{error}") };
        assert!(what.contains("dense.bias"), "{what}");
    }
}

#[test]
fn a_guard_ends_with_its_training() {
    let (x, y) = data();
    for device in devices() {
        let mut model = model(device, 5, true, Box::new(Sgd::new(0.1)));
        model.fit(&x, &y, Fit::new().batch_size(4).quiet()).unwrap_err();
        // A loop of the user's own does what it is told.
        let params = model.params();
        let before = values(&model);
        let tape = Tape::new(params);
        let x = Tensor::from_slice(&[0.5, 0.25, 0.125], [1, 3, 1], device).unwrap();
        let y = model.forward(&tape, &x.into()).unwrap();
        let one = Tensor::from_slice(&[1.0], [1, 1], device).unwrap();
        tape.backward_from(&[(&y, one)]).unwrap();
        Sgd::new(0.1).step(params).unwrap();
        assert!(values(&model) != before, "{device}");
    }
}

#[test]
fn a_tape_finds_the_op() {
    for device in devices() {
        let params = Params::new(device);
        let bomb = Bomb { calls: AtomicU64::new(0), at: 0, backward: true };
        let dense = Dense::new(4).build(&params, 4).unwrap();
        let run = || {
            let tape = Tape::new(&params).detect_anomaly();
            let x = tape.input(Tensor::from_slice(&[0.5; 4], [1, 4], device).unwrap());
            let y = bomb.forward(&tape, &dense.forward(&tape, &x).unwrap()).unwrap();
            let d = Tensor::from_slice(&[1.0; 4], [1, 4], device).unwrap();
            tape.backward_from(&[(&y, d)]).err()
        };
        let error = run().unwrap();
        let Error::Anomaly { op, backward: true, parameter: None } = &error else {
            panic!("{error}");
        };
        assert!(op.contains("guards") && op.contains("Bomb"), "{op}");
        params.zero_gradients().unwrap();
        let good = Bomb { calls: AtomicU64::new(0), at: 9, backward: true };
        let tape = Tape::new(&params).detect_anomaly();
        let x = tape.input(Tensor::from_slice(&[0.5; 4], [1, 4], device).unwrap());
        let y = good.forward(&tape, &x).unwrap();
        let d = Tensor::from_slice(&[1.0; 4], [1, 4], device).unwrap();
        assert!(tape.backward_from(&[(&y, d)]).is_ok());
    }
}

#[test]
fn the_best_weights_come_back_after_a_divergence() {
    let (x, y) = data();
    for device in devices() {
        let fit = || Fit::new().batch_size(4).shuffle(false).quiet();
        let mut best = model(device, u64::MAX, false, Box::new(Sgd::new(0.01)));
        best.fit(&x, &y, fit()).unwrap();
        // In the third epoch; nothing is better by 10 than the first.
        let mut bad = model(device, 25, false, Box::new(Sgd::new(0.01)));
        let early = EarlyStopping::new("loss").patience(9).min_delta(10.0);
        let error = bad.fit(&x, &y, fit().epochs(5).callback(early)).unwrap_err();
        assert!(matches!(error, Error::Diverged { epoch: 3, batch: Some(6), .. }), "{error}");
        assert!(values(&bad) == values(&best), "{device}");
    }
}

/// An optimizer's count goes on from the last good step, as in a training that was stopped there.
#[test]
fn an_optimizer_counts_good_steps() {
    let (x, y) = data();
    for device in devices() {
        let counts = [(3, false), (u64::MAX, true)].map(|(at, stop)| {
            let adam = Arc::new(Mutex::new(NAdam::new(0.01)));
            let mut model = model(device, at, true, Box::new(Shared(adam.clone())));
            let fit = || Fit::new().batch_size(4).quiet();
            let fitted = model.fit(&x, &y, if stop { fit().max_steps(3) } else { fit() });
            assert_eq!(fitted.is_ok(), stop, "{fitted:?}");
            let kept = |model: &Sequential| {
                let state = adam.lock().unwrap().state(model.params()).unwrap();
                ["NAdam/steps", "NAdam/mu_product"].map(|name| state.number(name).unwrap())
            };
            let before = kept(&model);
            // A loop of the user's own goes on with the next.
            model.params().zero_gradients().unwrap();
            adam.lock().unwrap().step(model.params()).unwrap();
            (before, kept(&model))
        });
        assert_eq!(counts[0], counts[1], "{device}");
        assert_eq!((counts[0].0[0], counts[0].1[0]), (3.0, 4.0), "{device}");
    }
}

struct Shared(Arc<Mutex<NAdam>>);

impl Optimizer for Shared {
    fn step(&mut self, params: &Params) -> Result<()> {
        self.0.lock().unwrap().step(params)
    }
}
