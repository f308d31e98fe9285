//! Twenty steps as PyTorch and Keras make them, and steps that mixed precision leaves out.

use super::common::{Vectors, close, devices, lacks};
use super::{Plain, numbers};
use wgpu_lstm::Error;
use wgpu_lstm::nn::{Params, Precision};
use wgpu_lstm::train::{
    Adadelta, Adagrad, Adam, AdamW, Adamax, Lion, NAdam, Optimizer, RAdam, RmsProp, Sgd,
};

type Make = fn() -> Box<dyn Optimizer>;

/// Those of `make_optimizers.py`.
pub(super) const RULES: [(&str, Make); 26] = [
    ("sgd", || Box::new(Sgd::new(0.1))),
    ("sgd_decay", || Box::new(Sgd::new(0.1).momentum(0.9).weight_decay(0.1))),
    ("sgd_nesterov_decay", || Box::new(Sgd::new(0.1).momentum(0.8).nesterov().weight_decay(0.1))),
    ("adam", || Box::new(Adam::new(0.01))),
    ("adam_coupled", || {
        let adam = Adam::new(0.01).betas(0.8, 0.99).epsilon(1e-6);
        Box::new(adam.weight_decay(0.1).coupled_weight_decay())
    }),
    ("adam_amsgrad", || Box::new(Adam::new(0.01).betas(0.9, 0.9).amsgrad())),
    ("adamw", || Box::new(AdamW::new(0.01))),
    ("adamw_amsgrad", || Box::new(AdamW::new(0.01).betas(0.9, 0.9).weight_decay(0.1).amsgrad())),
    ("adamax", || Box::new(Adamax::default())),
    ("adamax_decay", || {
        Box::new(Adamax::new(0.05).betas(0.8, 0.9).epsilon(1e-4).weight_decay(0.1))
    }),
    ("nadam", || Box::new(NAdam::default())),
    ("nadam_decay", || Box::new(NAdam::new(0.01).weight_decay(0.1).momentum_decay(0.5))),
    ("nadam_decoupled", || {
        let nadam = NAdam::new(0.01).betas(0.8, 0.9);
        Box::new(nadam.weight_decay(0.1).decoupled_weight_decay())
    }),
    ("radam", || Box::new(RAdam::default())),
    ("radam_decay", || Box::new(RAdam::new(0.01).betas(0.8, 0.9).epsilon(1e-4).weight_decay(0.1))),
    ("radam_decoupled", || Box::new(RAdam::new(0.01).weight_decay(0.1).decoupled_weight_decay())),
    ("rms_prop", || Box::new(RmsProp::default())),
    ("rms_prop_momentum", || {
        Box::new(RmsProp::new(0.02).alpha(0.9).momentum(0.8).weight_decay(0.1))
    }),
    ("rms_prop_centered", || Box::new(RmsProp::new(0.02).alpha(0.9).epsilon(1e-4).centered())),
    ("rms_prop_both", || Box::new(RmsProp::new(0.01).alpha(0.9).momentum(0.8).centered())),
    ("adagrad", || Box::new(Adagrad::default())),
    ("adagrad_options", || {
        let adagrad = Adagrad::new(0.1).lr_decay(0.05).weight_decay(0.1);
        Box::new(adagrad.initial_accumulator_value(0.1).epsilon(1e-5))
    }),
    ("adadelta", || Box::new(Adadelta::default())),
    ("adadelta_options", || Box::new(Adadelta::new(0.5).rho(0.8).epsilon(1e-4).weight_decay(0.1))),
    ("lion", || Box::new(Lion::new(0.01))),
    ("lion_options", || Box::new(Lion::new(0.01).betas(0.8, 0.9).weight_decay(0.1))),
];

#[test]
fn twenty_steps_of_each() {
    let vectors = Vectors::load("optimizer_rules");
    let (start, gradients) = (vectors.get("start"), vectors.get("gradients"));
    for device in devices() {
        for (name, make) in RULES {
            let mut optimizer = make();
            let model = Plain::new(device, &[("own.p", start.clone())]);
            let mut compared = 0;
            for (step, gradient) in gradients.chunks(start.len()).enumerate() {
                model.step(optimizer.as_mut(), &[gradient.to_vec()]);
                let Some(expected) = vectors.find(&format!("{name}_{step}")) else { continue };
                let found = model.params.get("own.p").unwrap();
                close(&format!("{name}, step {step}, {device}"), &found, &expected, 1e-5);
                compared += 1;
            }
            assert_eq!(compared, 4, "{name}");
        }
    }
}

/// A step whose gradients are not finite in 16 bits moves nothing, is kept nowhere and does not count.
#[test]
fn steps_that_overflow_are_left_out() {
    for device in devices() {
        let params = Params::new(device);
        params.set_precision(Precision::Mixed);
        let mixed = params.precision() == Precision::Mixed;
        if !device.is_gpu() || lacks("f16", mixed) {
            continue;
        }
        let start = vec![("own.a", numbers(7, 1.0)), ("own.b", numbers(130, 2.0))];
        for (name, make) in RULES {
            let (full, half) = (Plain::new(device, &start), Plain::new(device, &start));
            half.params.set_precision(Precision::Mixed);
            let (mut of_full, mut of_half) = (make(), make());
            for step in 0..8 {
                let gradients = [numbers(7, step as f32), numbers(130, step as f32 + 0.5)];
                full.step(of_full.as_mut(), &gradients);
                if step % 3 == 0 {
                    let state = |of: &dyn Optimizer| of.state(&half.params).unwrap();
                    let before = half.params.get("own.b").unwrap();
                    let kept = (step > 0).then(|| state(of_half.as_ref()));
                    half.step(of_half.as_mut(), &[vec![0.5; 7], vec![f32::MAX; 130]]);
                    assert_eq!(half.params.get("own.b").unwrap(), before, "{name}, {device}");
                    if let Some(kept) = kept {
                        assert_eq!(state(of_half.as_ref()), kept, "{name}, {device}");
                    }
                }
                half.step(of_half.as_mut(), &gradients);
            }
            for parameter in ["own.a", "own.b"] {
                let [found, expected] = [&half, &full].map(|m| m.params.get(parameter).unwrap());
                close(&format!("{name}, {device}"), &found, &expected, 2e-5);
            }
            // Back in full precision the count of the device goes on.
            half.params.set_precision(Precision::Full);
            let gradients = [numbers(7, 0.1), numbers(130, 0.2)];
            full.step(of_full.as_mut(), &gradients);
            half.step(of_half.as_mut(), &gradients);
            let [found, expected] = [&half, &full].map(|m| m.params.get("own.a").unwrap());
            close(&format!("{name}, full again, {device}"), &found, &expected, 2e-5);
        }
    }
}

#[test]
fn options_that_make_no_sense_are_told_by_their_name() {
    let device = &devices()[0];
    let model = Plain::new(device, &[("own.p", vec![1.0])]);
    let cases: [(&str, Box<dyn Optimizer>); 14] = [
        ("Sgd::weight_decay", Box::new(Sgd::new(0.1).weight_decay(-1.0))),
        ("AdamW::betas", Box::new(AdamW::new(0.1).betas(1.0, 0.9))),
        ("AdamW::learning_rate", Box::new(AdamW::new(f32::NAN))),
        ("Adamax::epsilon", Box::new(Adamax::new(0.1).epsilon(0.0))),
        ("NAdam::momentum_decay", Box::new(NAdam::new(0.1).momentum_decay(-0.1))),
        ("NAdam::betas", Box::new(NAdam::new(0.1).betas(0.9, f32::NAN))),
        ("RAdam::epsilon", Box::new(RAdam::new(0.1).epsilon(1e-40))),
        ("RmsProp::alpha", Box::new(RmsProp::new(0.1).alpha(1.0))),
        ("RmsProp::momentum", Box::new(RmsProp::new(0.1).momentum(1.5))),
        ("Adagrad::lr_decay", Box::new(Adagrad::new(0.1).lr_decay(f32::INFINITY))),
        (
            "Adagrad::initial_accumulator_value",
            Box::new(Adagrad::new(0.1).initial_accumulator_value(-1.0)),
        ),
        ("Adadelta::rho", Box::new(Adadelta::new(0.1).rho(-0.1))),
        ("Lion::betas", Box::new(Lion::new(0.1).betas(0.5, 1.0))),
        ("Lion::weight_decay", Box::new(Lion::new(0.1).weight_decay(f32::NAN))),
    ];
    for (expected, mut optimizer) in cases {
        let error = optimizer.step(&model.params).unwrap_err();
        assert!(matches!(error, Error::Option { option, .. } if option == expected), "{error:?}");
    }
    for (name, make) in RULES {
        let mut optimizer = make();
        let rate = optimizer.learning_rate().unwrap();
        optimizer.set_learning_rate(rate * 0.5);
        assert_eq!(optimizer.learning_rate(), Some(rate * 0.5), "{name}");
    }
}
