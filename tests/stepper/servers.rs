//! Streams of a model as a server has them: frames that are not finite, states that are kept, errors, a training
//! meanwhile, threads.

use super::models::{Residual, assert_same, frame, models, predicted, step};
use crate::common::{devices, gpu};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Dense, Layer, LayerState, Lstm, Params, StreamId};
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::train::{Fit, Loss, Sgd, Stepper};
use wgpu_lstm::{Error, GpuOptions, Result, Sequential, Tape, Var};

/// Gives its input on, or fails, as it is told.
struct Gate(Arc<AtomicBool>);

impl Layer for Gate {
    fn kind(&self) -> &'static str {
        "gate"
    }
    fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
        Ok(())
    }
    fn output_size(&self) -> usize {
        5
    }
    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }
    fn forward(&self, _: &Tape, x: &Var) -> Result<Var> {
        match self.0.load(Ordering::Relaxed) {
            true => Ok(x.clone()),
            false => Err(Error::custom("shut")),
        }
    }
    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.forward(tape, x)?, state))
    }
    fn parameter_count(&self) -> usize {
        0
    }
}

#[test]
fn what_is_not_finite_is_refused_or_stays_in_its_stream() {
    for device in devices() {
        for (name, mut model) in models(device) {
            model.build(3).unwrap();
            let mut stepper = model.stepper(2).unwrap();
            let (a, b) = (stepper.join().unwrap(), stepper.join().unwrap());
            for (value, text) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
                let error = stepper.step(&[(a, &[0.0; 3]), (b, &[0.0, value, 0.0])]).unwrap_err();
                assert!(matches!(error, Error::NotFinite { .. }));
                let start = format!("a frame is not finite in {b}, whose value 1 is {text}; ");
                assert!(error.to_string().starts_with(&start), "{error}");
            }
            // Nothing has moved.
            let y = step(&mut stepper, &[(a, frame(0, 0)), (b, frame(1, 0))]);
            assert_same(name, device, &y[0], &predicted(&model, 0, 1));
            let mut stepper = stepper.allow_nan();
            let y = step(&mut stepper, &[(b, vec![f32::NAN; 3]), (a, frame(0, 1))]);
            assert!(y[0].iter().all(|y| y.is_nan()), "{name} on {device}");
            assert_same(name, device, &y[1], &predicted(&model, 0, 2));
            // A reset heals it, and so does another in its place.
            stepper.reset(b).unwrap();
            let y = step(&mut stepper, &[(b, frame(1, 0)), (a, frame(0, 2))]);
            assert_same(name, device, &y[0], &predicted(&model, 1, 1));
            step(&mut stepper, &[(b, vec![f32::INFINITY; 3])]);
            stepper.leave(b).unwrap();
            let c = stepper.join().unwrap();
            let y = step(&mut stepper, &[(a, frame(0, 3)), (c, frame(2, 0))]);
            assert_same(name, device, &y[0], &predicted(&model, 0, 4));
            assert_same(name, device, &y[1], &predicted(&model, 2, 1));
        }
    }
}

#[test]
fn a_state_is_kept_and_goes_on_elsewhere() {
    for device in devices() {
        for (name, mut model) in models(device) {
            model.build(3).unwrap();
            let mut stepper = model.stepper(2).unwrap();
            let (a, b) = (stepper.join().unwrap(), stepper.join().unwrap());
            step(&mut stepper, &[(a, frame(0, 0)), (b, frame(1, 0))]);
            let kept = stepper.state(b).unwrap();
            let expected = step(&mut stepper, &[(a, frame(0, 1)), (b, frame(1, 1))]);
            // Of a stepper that has made no step, in another place; then of one that has.
            let mut other = model.stepper(3).unwrap();
            let c = other.join().unwrap();
            assert!(other.state(c).unwrap().iter().all(|v| *v == 0.0));
            for _ in 0..2 {
                other.set_state(c, &kept).unwrap();
                assert_eq!(other.state(c).unwrap(), kept, "{name} on {device}");
                let y = step(&mut other, &[(c, frame(1, 1))]);
                assert_eq!(y[0], expected[1], "{name} on {device}");
            }
            let error = other.set_state(c, &kept[1..]).unwrap_err();
            assert!(matches!(error, Error::Count { op: "Stepper::set_state", .. }), "{error}");
            stepper.leave(b).unwrap();
            let gone = format!("Stepper::state: {b} has left, or is another stepper's; ");
            assert!(stepper.state(b).unwrap_err().to_string().starts_with(&gone));
            assert!(matches!(stepper.set_state(b, &kept), Err(Error::Stream { .. })));
        }
    }
}

#[test]
fn an_error_of_a_later_layer_changes_no_state() {
    for device in devices() {
        let open = Arc::new(AtomicBool::new(true));
        let mut model = Sequential::new(device)
            .add(Lstm::new(5).return_sequences())
            .add(Residual(Lstm::new(5).return_sequences()))
            .add(Gate(open.clone()))
            .add(Dense::new(1));
        model.build(3).unwrap();
        let mut stepper = model.stepper(2).unwrap();
        let (a, b) = (stepper.join().unwrap(), stepper.join().unwrap());
        step(&mut stepper, &[(a, frame(0, 0)), (b, frame(1, 0))]);
        open.store(false, Ordering::Relaxed);
        let error = stepper.step(&[(b, &frame(1, 1)), (a, &frame(0, 1))]).unwrap_err();
        assert_eq!(error.to_string(), "shut");
        open.store(true, Ordering::Relaxed);
        let y = step(&mut stepper, &[(a, frame(0, 1)), (b, frame(1, 1))]);
        assert_same("after an error", device, &y[0], &predicted(&model, 0, 2));
        assert_same("after an error", device, &y[1], &predicted(&model, 1, 2));
    }
}

#[test]
fn a_stepper_sees_what_fit_changes() {
    for device in devices() {
        for (name, mut model) in models(device) {
            model.build(3).unwrap();
            let mut stepper = model.stepper(1).unwrap();
            let stream = stepper.join().unwrap();
            let before = step(&mut stepper, &[(stream, frame(0, 0))]);
            let x: Vec<f32> = (0..4).flat_map(|t| frame(5, t)).collect();
            let x = Sequences::from_array(&x, [2, 2, 3]).unwrap();
            let rows = model.predict(&x).unwrap();
            let y = Targets::values(vec![0.25; rows.values().len()], rows.row(0).len());
            model.reset_state();
            model.compile(Sgd::new(0.5), Loss::MeanSquaredError, &[]);
            model.fit(&x, &y, Fit::new().epochs(2).batch_size(2).quiet()).unwrap();
            model.reset_state();
            stepper.reset(stream).unwrap();
            let after = step(&mut stepper, &[(stream, frame(0, 0))]);
            assert_ne!(after, before, "{name} on {device}");
            assert_same(name, device, &after[0], &predicted(&model, 0, 1));
        }
    }
}

/// A server: threads predict with one model while others each step streams of it.
#[test]
fn threads_share_a_model() {
    fn shared<T: Send + Sync>() {}
    shared::<Sequential>();
    shared::<Stepper>();
    shared::<StreamId>();
    let x: Vec<f32> = (0..40).flat_map(|t| frame(t, 0)).collect();
    let x = Sequences::from_array(&x, [5, 8, 3]).unwrap();
    for device in devices() {
        let (_, mut model) = models(device).swap_remove(0);
        model.build(3).unwrap();
        let model = Arc::new(model);
        let right = model.predict(&x).unwrap();
        let walk = |model: &Sequential| {
            let mut stepper = model.stepper(2).unwrap();
            let (a, b) = (stepper.join().unwrap(), stepper.join().unwrap());
            (0..6)
                .flat_map(|t| step(&mut stepper, &[(a, frame(0, t)), (b, frame(1, t))]))
                .collect::<Vec<_>>()
        };
        let steps = walk(&model);
        let done = Mutex::new(0);
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (model, right, steps, done) = (model.clone(), &right, &steps, &done);
                let x = &x;
                scope.spawn(move || {
                    match number % 2 {
                        0 => (0..3).for_each(|_| assert_eq!(model.predict(x).unwrap(), *right)),
                        _ => (0..3).for_each(|_| assert_eq!(walk(&model), *steps)),
                    }
                    *done.lock().unwrap() += 1;
                });
            }
        });
        assert_eq!(*done.lock().unwrap(), 4, "{device}");
    }
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn steps_of_a_model_make_no_new_buffers() {
    // Devices of their own: other tests make buffers meanwhile.
    for device in &[poisoned_cpu(), gpu(GpuOptions::default())] {
        for (name, mut model) in models(device) {
            model.build(3).unwrap();
            let mut stepper = model.stepper(3).unwrap();
            let ids: Vec<_> = (0..3).map(|_| stepper.join().unwrap()).collect();
            let mut steps = |count: usize| {
                for t in 0..count {
                    for n in [3, 2] {
                        let frames: Vec<_> = ids[..n].iter().map(|&id| (id, frame(0, t))).collect();
                        step(&mut stepper, &frames);
                    }
                }
            };
            steps(4);
            let before = device.counters().buffers_created;
            steps(10);
            assert_eq!(device.counters().buffers_created, before, "{name} on {device}");
        }
    }
}
