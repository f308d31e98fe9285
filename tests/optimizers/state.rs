//! What an optimizer keeps, for a training that goes on from it.

use super::common::{close, devices, lacks};
use super::rules::RULES;
use super::{Model, Plain, numbers};
use wgpu_lstm::nn::{Params, Precision};
use wgpu_lstm::train::{Adam, Optimizer, Sgd, State};
use wgpu_lstm::{Device, Error};

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Ten steps, and five, the state, and five by a new optimizer of new parameters.
#[test]
fn a_resumed_training_has_the_same_bits() {
    for device in devices() {
        for (name, make) in RULES {
            let model = Model::new(device);
            let mut optimizer = make();
            // Of no step: the state of a training that did not begin.
            let mut other = make();
            other.set_state(&model.params, &optimizer.state(&model.params).unwrap()).unwrap();
            (0..5).for_each(|step| model.step(other.as_mut(), step));
            let early = Model::new(device);
            (0..5).for_each(|step| early.step(optimizer.as_mut(), step));
            assert_eq!(bits(&early.values()), bits(&model.values()), "{name}, {device}");

            let resumed = early.copy();
            let mut new = make();
            let state = optimizer.state(&early.params).unwrap();
            new.set_state(&resumed.params, &state).unwrap();
            assert_eq!(new.state(&resumed.params).unwrap(), state, "{name}, {device}");
            for step in 5..10 {
                early.step(optimizer.as_mut(), step);
                resumed.step(new.as_mut(), step);
            }
            assert_eq!(bits(&resumed.values()), bits(&early.values()), "{name}, {device}");
            // A state that says nothing would not be seen otherwise.
            let forgetful = early.copy();
            let (mut kept, mut new) = (make(), make());
            kept.set_state(&forgetful.params, &optimizer.state(&early.params).unwrap()).unwrap();
            let fresh = forgetful.copy();
            forgetful.step(kept.as_mut(), 10);
            fresh.step(new.as_mut(), 10);
            let differs = forgetful.values() != fresh.values();
            assert_eq!(differs, name != "sgd", "{name}, {device}");
        }
    }
}

/// In mixed precision the device counts, and the count is kept.
#[test]
fn a_training_in_mixed_precision_resumes() {
    for device in devices() {
        let params = Params::new(device);
        params.set_precision(Precision::Mixed);
        let mixed = params.precision() == Precision::Mixed;
        if !device.is_gpu() || lacks("f16", mixed) {
            continue;
        }
        for (name, make) in RULES {
            let run = |resumes: bool| {
                let model = Plain::new(device, &[("own.p", numbers(33, 1.0))]);
                model.params.set_precision(Precision::Mixed);
                let mut optimizer = make();
                for step in 0..10 {
                    if step == 5 && resumes {
                        let state = optimizer.state(&model.params).unwrap();
                        optimizer = make();
                        optimizer.set_state(&model.params, &state).unwrap();
                    }
                    let mut gradient = numbers(33, step as f32);
                    if step == 3 {
                        gradient[7] = f32::MAX;
                    }
                    model.step(optimizer.as_mut(), &[gradient]);
                }
                let steps = optimizer.state(&model.params).unwrap();
                (bits(&model.params.get("own.p").unwrap()), steps)
            };
            assert_eq!(run(true), run(false), "{name}, {device}");
        }
    }
}

/// A state moves from a device to another.
#[test]
fn a_state_goes_to_another_device() {
    let [from, to] = [devices().first().unwrap(), devices().last().unwrap()];
    let start = [("own.a", numbers(130, 1.0)), ("own.b", numbers(3, 2.0))];
    let run = |then: &Device| {
        let (model, mut optimizer) = (Plain::new(from, &start), Adam::new(0.01).amsgrad());
        let step = |model: &Plain, optimizer: &mut Adam, step: f32| {
            model.step(optimizer, &[numbers(130, step), numbers(3, step)]);
        };
        (0..5).for_each(|at| step(&model, &mut optimizer, at as f32));
        let next = Plain::new(then, &start);
        for (name, _) in &start {
            next.params.set(name, &model.params.get(name).unwrap()).unwrap();
        }
        let mut new = Adam::new(0.01).amsgrad();
        new.set_state(&next.params, &optimizer.state(&model.params).unwrap()).unwrap();
        (5..10).for_each(|at| step(&next, &mut new, at as f32));
        next.params.get("own.a").unwrap()
    };
    close(&format!("{from} to {to}"), &run(to), &run(from), 1e-5);
}

/// The state of another optimizer or of other parameters is refused, and nothing has changed then.
#[test]
fn other_states_are_refused() {
    for device in devices() {
        let start = [("own.a", numbers(4, 1.0)), ("own.b", numbers(6, 2.0))];
        let model = Plain::new(device, &start);
        let gradients = [numbers(4, 3.0), numbers(6, 4.0)];
        let mut adam = Adam::new(0.01);
        model.step(&mut adam, &gradients);
        let before = adam.state(&model.params).unwrap();
        let state_of = |mut optimizer: Box<dyn Optimizer>, start: &[(&str, Vec<f32>)]| {
            let model = Plain::new(device, start);
            let gradients: Vec<_> = start.iter().map(|(_, v)| numbers(v.len(), 1.0)).collect();
            model.step(optimizer.as_mut(), &gradients);
            optimizer.state(&model.params).unwrap()
        };
        let mut refused = |state: &State| {
            let error = adam.set_state(&model.params, state).unwrap_err();
            assert_eq!(adam.state(&model.params).unwrap(), before);
            error
        };
        let missing = |error: Error, expected: &str| {
            assert!(matches!(&error, Error::Missing { name } if name == expected), "{error:?}");
        };
        let sgd = state_of(Box::new(Sgd::new(0.1).momentum(0.9)), &start);
        missing(refused(&sgd), "Adam/steps");
        missing(refused(&State::new()), "Adam/steps");
        let adam_of = |start: &[(&str, Vec<f32>)]| state_of(Box::new(Adam::new(0.01)), start);
        let renamed = [("own.a", numbers(4, 1.0)), ("own.c", numbers(6, 2.0))];
        missing(refused(&adam_of(&renamed)), "Adam/exp_avg/own.b");
        let sizes = [("own.a", numbers(6, 1.0)), ("own.b", numbers(4, 2.0))];
        let error = refused(&adam_of(&sizes));
        let expected =
            Error::Count { op: "Optimizer::set_state", shape: vec![4], expected: 4, found: 6 };
        assert_eq!(error, expected);
        let more = [start[0].clone(), start[1].clone(), ("own.c", numbers(1, 2.0))];
        let error = refused(&adam_of(&more));
        let expected =
            Error::Count { op: "Optimizer::set_state", shape: vec![10], expected: 10, found: 11 };
        assert_eq!(error, expected);
        let mut amsgrad = Adam::new(0.01).amsgrad();
        let error = amsgrad.set_state(&model.params, &before).unwrap_err();
        missing(error, "Adam/max_exp_avg_sq/own.a");
        // What was refused left nothing behind.
        let other = Plain::new(device, &start);
        let mut fresh = Adam::new(0.01);
        other.step(&mut fresh, &gradients);
        model.step(&mut adam, &gradients);
        other.step(&mut fresh, &gradients);
        let [found, expected] = [&model, &other].map(|m| m.params.get("own.a").unwrap());
        assert_eq!(bits(&found), bits(&expected), "{device}");
    }
}
