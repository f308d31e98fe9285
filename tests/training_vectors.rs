//! Whole trainings follow those of Keras and of PyTorch, from the same weights.

mod common;

use common::{Vectors, devices};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Lstm};
use wgpu_lstm::train::{
    Adam, AdamW, Callback, Clip, Fit, History, Loss, Metric, OneCycle, ReduceOnPlateau, Run,
};
use wgpu_lstm::{Device, Result, Sequential};

const N: usize = 60;
const EPOCHS: usize = 5;

/// A model with the first weights of a file, and the file's data.
fn start(file: &Vectors, device: &Device) -> (Sequential, Sequences, Targets) {
    let x = file.get("x");
    let (timesteps, features) = (7, 3);
    let x = Sequences::from_array(&x, [N, timesteps, features]).unwrap();
    let y = Targets::values(file.get("y"), 1);
    let mut model = Sequential::new(device)
        .add(Lstm::new(8))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    model.build(features).unwrap();
    for name in model.params().names() {
        model.params().set(&name, &file.get(&format!("first.{name}"))).unwrap();
    }
    (model, x, y)
}

/// The last twelve sequences are for validation.
fn fit<'a>() -> Fit<'a> {
    Fit::new().epochs(EPOCHS).batch_size(12).validation_split(0.2).shuffle(false).quiet()
}

#[track_caller]
fn near(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= bound, "{what}: {f} at {i}, expected {e} ± {bound}");
    }
}

fn compare(file: &Vectors, model: &Sequential, history: &History, names: &[&str], device: &Device) {
    for name in names {
        let found = history.epochs.iter().map(|epoch| epoch.value(name).unwrap());
        let expected = file.get(name);
        near(&format!("{name} on {device}"), &found.collect::<Vec<_>>(), &expected, 1e-4);
    }
    for name in model.params().names() {
        let (found, expected) =
            (model.params().get(&name).unwrap(), file.get(&format!("last.{name}")));
        near(&format!("{name} on {device}"), &found, &expected, 2e-3);
    }
}

#[test]
fn keras_adam_with_clipped_norms_and_a_plateau() {
    let file = Vectors::load("training_keras");
    for device in devices() {
        let (mut model, x, y) = start(&file, device);
        let adam = Adam::new(0.05).epsilon(1e-11);

        model.compile(adam, Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
        let mut rates = Vec::new();
        // Keras waits for one epoch more than PyTorch, whose words the library uses.
        let plateau =
            ReduceOnPlateau::new("val_loss").factor(0.5).patience(0).min_delta(0.02).min_rate(0.01);
        let fit = fit().clip(Clip::Norm(0.1)).callback(plateau).on_epoch(|run| {
            rates.push(run.learning_rate().unwrap());
            Ok(())
        });
        let history = model.fit(&x, &y, fit).unwrap();
        let names = ["loss", "val_loss", "accuracy", "val_accuracy"];
        compare(&file, &model, &history, &names, device);
        near("the rates", &rates, &file.get("rates"), 1e-7);
    }
}

/// Keeps the rate and the norm of the gradients of each step.
#[derive(Default)]
struct Steps {
    rates: Vec<f32>,
    norms: Vec<f32>,
}

impl Callback for Steps {
    fn before_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.norms.push(run.params().gradient_norm()?);
        Ok(())
    }

    fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.rates.extend(run.learning_rate());
        Ok(())
    }
}

#[test]
fn pytorch_adamw_with_one_cycle_and_a_clipped_global_norm() {
    let file = Vectors::load("training_torch");
    for device in devices() {
        let (mut model, x, y) = start(&file, device);
        let adam = AdamW::new(0.05).weight_decay(0.1);
        model.compile(adam, Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
        let mut steps = Steps::default();
        let fit =
            fit().clip(Clip::GlobalNorm(0.1)).schedule(OneCycle::new(20)).callback(&mut steps);
        let history = model.fit(&x, &y, fit).unwrap();
        let names = ["loss", "val_loss", "accuracy", "val_accuracy"];
        compare(&file, &model, &history, &names, device);
        near("the rates", &steps.rates, &file.get("rates"), 1e-6);
        near("the norms", &steps.norms, &file.get("norms"), 1e-4);
    }
}
