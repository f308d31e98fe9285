//! Metrics: those on the host, and those of a model on both devices, against scikit-learn's and their
//! definitions.

#[path = "../common/mod.rs"]
mod common;
mod host;
mod models;
mod refused;
mod special;
mod targets;

use common::{Vectors, close, devices};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Dense, Params};
use wgpu_lstm::train::metrics::Average;
use wgpu_lstm::train::{Evaluation, Fit, Loss, Metric, Sgd};
use wgpu_lstm::{Device, Sequential};

fn vectors() -> Vectors {
    Vectors::load("metrics")
}

/// The values as rows of sequences of these lengths.
fn sequences(values: &[f32], width: usize, lengths: &[usize]) -> Sequences {
    let mut rest = values;
    let mut next = |length: usize| {
        let (own, behind) = rest.split_at(length * width);
        rest = behind;
        own.to_vec()
    };
    Sequences::new(width, lengths.iter().map(|&l| next(l))).unwrap()
}

/// A model that gives what it gets, frame by frame.
fn identity(width: usize, loss: Loss, metrics: &[Metric], device: &Device) -> Sequential {
    let mut model = Sequential::new(device).add(Dense::new(width));
    model.compile(Sgd::new(0.0), loss, metrics);
    model.build(width).unwrap();
    let ones = (0..width * width).map(|i| f32::from(u8::from(i % (width + 1) == 0)));
    set(model.params(), &ones.collect::<Vec<_>>());
    model
}

/// Sets the weight, the only one of two axes.
fn set(params: &Params, values: &[f32]) {
    let names = params.names();
    let weight = names.iter().find(|name| params.get(name).unwrap().len() == values.len());
    params.set(weight.unwrap(), values).unwrap();
}

/// The metrics by training for an epoch without changing anything, in batches of this size.
fn trained(
    model: &mut Sequential,
    x: &Sequences,
    y: &Targets,
    samples: &[f32],
    batch: usize,
) -> Evaluation {
    let fit = Fit::new().batch_size(batch).seed(3).sample_weights(samples).quiet();
    model.fit(x, y, fit).unwrap().epochs.remove(0).training
}
