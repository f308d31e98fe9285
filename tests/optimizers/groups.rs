//! Groups of parameters: rates and decays of their own, and none at all.

use super::common::{close, devices, tensor};
use super::rules::RULES;
use super::{Model, Plain, numbers};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Dense, Group};
use wgpu_lstm::train::{Adam, AdamW, Fit, Loss, Optimizer, Sgd};
use wgpu_lstm::{Error, Sequential, Tape, Var};

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn start() -> [(&'static str, Vec<f32>); 3] {
    [("own.a", numbers(130, 1.0)), ("own.b", numbers(7, 2.0)), ("own.c", numbers(128, 3.0))]
}

fn gradients(step: usize) -> Vec<Vec<f32>> {
    let step = step as f32;
    vec![numbers(130, step), numbers(7, step + 0.3), numbers(128, step + 0.6)]
}

/// A group of its own rate is as if another optimizer moved it; factors of 1 change no bit.
#[test]
fn rates_are_multiplied() {
    for device in devices() {
        for (name, make) in RULES {
            let [one, other, grouped, ones] = [(); 4].map(|()| Plain::new(device, &start()));
            grouped.params.group(|name| name == "own.b", Group::new().rate(0.25)).unwrap();
            ones.params.group(|_| true, Group::new().rate(1.0).weight_decay(1.0)).unwrap();
            let mut optimizers = [make(), make(), make(), make()];
            let rate = optimizers[1].learning_rate().unwrap();
            optimizers[1].set_learning_rate(0.25 * rate);
            for step in 0..6 {
                for (model, optimizer) in
                    [&one, &other, &grouped, &ones].into_iter().zip(&mut optimizers)
                {
                    model.step(optimizer.as_mut(), &gradients(step));
                }
            }
            let what = |of: &str| format!("{name}, {of}, {device}");
            let found = |parameter| grouped.params.get(parameter).unwrap();
            for parameter in ["own.a", "own.c"] {
                let expected = one.params.get(parameter).unwrap();
                assert_eq!(bits(&found(parameter)), bits(&expected), "{}", what(parameter));
            }
            close(&what("own.b"), &found("own.b"), &other.params.get("own.b").unwrap(), 1e-6);
            for (parameter, _) in start() {
                let [found, expected] = [&ones, &one].map(|m| m.params.get(parameter).unwrap());
                assert_eq!(bits(&found), bits(&expected), "{}", what("factors of 1"));
            }
        }
    }
}

#[test]
fn decays_are_multiplied() {
    type Make = fn(f32) -> Box<dyn Optimizer>;
    let kinds: [(&str, Make); 3] = [
        ("adamw", |decay| Box::new(AdamW::new(0.1).weight_decay(decay))),
        ("coupled", |decay| Box::new(Adam::new(0.1).weight_decay(decay).coupled_weight_decay())),
        ("sgd", |decay| Box::new(Sgd::new(0.1).momentum(0.5).weight_decay(decay))),
    ];
    for device in devices() {
        for (name, make) in kinds {
            let [with, without, half, grouped] = [(); 4].map(|()| Plain::new(device, &start()));
            let group = |of: &'static str, factor| {
                let group = Group::new().weight_decay(factor);
                grouped.params.group(move |name| name == of, group).unwrap();
            };
            group("own.a", 0.0);
            group("own.b", 0.5);
            let mut optimizers = [make(0.5), make(0.0), make(0.25), make(0.5)];
            for step in 0..6 {
                for (model, optimizer) in
                    [&with, &without, &half, &grouped].into_iter().zip(&mut optimizers)
                {
                    model.step(optimizer.as_mut(), &gradients(step));
                }
            }
            for (parameter, like) in [("own.a", &without), ("own.b", &half), ("own.c", &with)] {
                let [found, expected] = [&grouped, like].map(|m| m.params.get(parameter).unwrap());
                close(&format!("{name}, {parameter}, {device}"), &found, &expected, 1e-6);
            }
        }
    }
}

/// What is frozen keeps its bits, and so does what the optimizer keeps for it: of a table, of a weight whose
/// norm is limited, and of gradients that are no numbers.
#[test]
fn frozen_parameters_keep_their_bits() {
    for device in devices() {
        for (name, make) in RULES {
            let model = Model::new(device);
            let mut optimizer = make();
            (0..3).for_each(|step| model.step(optimizer.as_mut(), step));
            let of = |model: &Model, optimizer: &dyn Optimizer, parameter: &str| {
                let state = optimizer.state(&model.params).unwrap();
                let slots = ["momentum_buffer", "exp_avg", "exp_avg_sq", "square_avg", "sum"];
                let kinds = ["Sgd", "Adam", "AdamW", "RmsProp", "Adagrad", "Lion"];
                let keys = slots.iter().flat_map(|slot| {
                    kinds.iter().map(move |kind| format!("{kind}/{slot}/{parameter}"))
                });
                let kept = keys.filter_map(|key| state.values(&key).ok().map(<[f32]>::to_vec));
                let value = model.params.get(parameter).unwrap();
                [value].into_iter().chain(kept).map(|v| bits(&v)).collect::<Vec<_>>()
            };
            let frozen = ["embedding.weight", "dense.weight", "own.scale"];
            // Larger than its limit.
            model.params.set("dense.weight", &[2.0; 15]).unwrap();
            let before = frozen.map(|parameter| of(&model, optimizer.as_ref(), parameter));
            let bias = of(&model, optimizer.as_ref(), "dense.bias");
            model.backward(3);
            let held = move |name: &str| frozen.contains(&name);
            model.params.group(held, Group::new().frozen()).unwrap();
            // Frozen between the two passes, too.
            optimizer.step(&model.params).unwrap();
            (4..6).for_each(|step| model.step(optimizer.as_mut(), step));
            let what = format!("{name}, {device}");
            assert_eq!(frozen.map(|p| of(&model, optimizer.as_ref(), p)), before, "{what}");
            assert_ne!(of(&model, optimizer.as_ref(), "dense.bias"), bias, "{what}");

            model.params.group(|name| name == "own.scale", Group::new().rate(1.0)).unwrap();
            model.step(optimizer.as_mut(), 6);
            let after = frozen.map(|p| of(&model, optimizer.as_ref(), p));
            assert_eq!(after[..2], before[..2], "{what}");
            assert_ne!(after[2], before[2], "{what}");
        }
    }
}

#[test]
fn gradients_of_frozen_parameters_are_zero() {
    for device in devices() {
        let model = Plain::new(device, &start());
        model.params.group(|name| name != "own.b", Group::new().frozen()).unwrap();
        let nan = [vec![f32::NAN; 130], numbers(7, 1.0), vec![f32::INFINITY; 128]];
        model.backward(&nan);
        for (name, expected) in [("own.a", 0.0), ("own.c", 0.0)] {
            assert!(model.params.gradient(name).unwrap().iter().all(|&g| g == expected), "{name}");
        }
        assert_eq!(model.params.gradient("own.b").unwrap(), numbers(7, 1.0), "{device}");
        Adam::new(0.1).step(&model.params).unwrap();
        let [a, b, c] = ["own.a", "own.b", "own.c"].map(|name| model.params.get(name).unwrap());
        assert_eq!((a, c), (start()[0].1.clone(), start()[2].1.clone()), "{device}");
        assert!(b.iter().zip(&start()[1].1).all(|(b, before)| b.is_finite() && b != before));

        // An optimizer of one's own is not asked to move them.
        model.backward(&nan);
        let mut asked = Vec::new();
        model.params.update(|name, _, _| asked.push(name.to_owned())).unwrap();
        assert_eq!(asked, ["own.b"], "{device}");
    }
}

/// Groups are of names, whenever the layers are built; they may ask the parameters.
#[test]
fn groups_know_later_layers() {
    for device in devices() {
        let x = Sequences::from_array(&numbers(24, 1.0), [4, 2, 3]).unwrap();
        let y = Targets::values(numbers(8, 2.0), 1);
        let mut model = Sequential::new(device).add(Dense::new(4)).add(Dense::new(1));
        let params = model.params().clone();
        params
            .clone()
            .group(move |name| params.shape(name).unwrap() == [4, 3], Group::new().frozen())
            .unwrap();
        model.build(3).unwrap();
        let before: Vec<_> = weights(&model);
        model.compile(Adam::new(0.1), Loss::MeanSquaredError, &[]);
        model.fit(&x, &y, Fit::new().epochs(2).quiet()).unwrap();
        let after: Vec<_> = weights(&model);
        assert_eq!(before[0], after[0], "{device}");
        for at in 1..4 {
            assert_ne!(before[at], after[at], "{at} on {device}");
        }
        // One more layer, behind the others in memory.
        let late = Dense::new(2).build(model.params(), 3).unwrap();
        let group = Group::new().frozen();
        model.params().group(|name| name == "dense_2.bias", group).unwrap();
        let kept = model.params().get("dense_2.bias").unwrap();
        let weight = model.params().get("dense_2.weight").unwrap();
        let tape = Tape::new(model.params());
        let input = Var::from(tensor(&[1.0, 2.0, 3.0], [1, 3], device));
        let y = late.forward(&tape, &input).unwrap();
        tape.backward_from(&[(&y, tensor(&[1.0, 1.0], [1, 2], device))]).unwrap();
        Sgd::new(0.1).step(model.params()).unwrap();
        assert_eq!(model.params().get("dense_2.bias").unwrap(), kept, "{device}");
        assert_ne!(model.params().get("dense_2.weight").unwrap(), weight, "{device}");
    }
}

fn weights(model: &Sequential) -> Vec<Vec<f32>> {
    let params = model.params();
    params.names().iter().map(|name| params.get(name).unwrap()).collect()
}

#[test]
fn factors_that_make_no_sense_are_refused() {
    let model = Plain::new(&devices()[0], &start());
    for (group, expected) in [
        (Group::new().rate(-0.1), "Group::rate"),
        (Group::new().weight_decay(f32::NAN), "Group::weight_decay"),
    ] {
        let error = model.params.group(|_| true, group).unwrap_err();
        assert!(matches!(error, Error::Option { option, .. } if option == expected), "{error:?}");
    }
}
