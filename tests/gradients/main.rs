//! What happens to gradients before an optimizer's step and to weights behind it: limits of gradients,
//! steps of several batches, averages of weights. And gradients by what is no parameter.

#[path = "../common/mod.rs"]
mod common;

mod accumulate;
mod average;
mod clip;
mod inputs;

use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Dense, Lstm, Params};
use wgpu_lstm::train::{Loss, Optimizer};
use wgpu_lstm::{Device, Sequential};

/// Numbers between -1 and 1, the same everywhere.
fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
}

/// Sequences of 4 frames with 3 features, and 2 targets for each.
fn data(rows: usize) -> (Sequences, Targets) {
    let x = Sequences::from_array(&numbers(rows * 4 * 3, 1.0), [rows, 4, 3]).unwrap();
    (x, Targets::values(numbers(rows * 2, 2.0), 2))
}

fn model(device: &Device, optimizer: impl Optimizer + 'static) -> Sequential {
    let mut model = Sequential::new(device).seed(4).add(Lstm::new(5)).add(Dense::new(2));
    model.compile(optimizer, Loss::MeanSquaredError, &[]);
    model
}

/// All values, parameter by parameter.
fn weights(params: &Params) -> Vec<f32> {
    params.names().iter().flat_map(|name| params.get(name).unwrap()).collect()
}

/// All gradients, parameter by parameter, with their shapes.
fn gradients(params: &Params) -> Vec<(Vec<usize>, Vec<f32>)> {
    let of = |name: &String| (params.shape(name).unwrap(), params.gradient(name).unwrap());
    params.names().iter().map(of).collect()
}
