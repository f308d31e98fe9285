//! Callbacks, schedules and the rate finder, through the public interface.

mod checkpoints;
#[path = "../common/mod.rs"]
mod common;
mod logs;
mod models;
mod rates;
mod statistics;
mod stopping;

use common::devices;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Dense, Lstm};
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::train::{Callback, Fit, History, Loss, Optimizer, Run, Sgd};
use wgpu_lstm::{Device, Result, Sequential};

/// Lets a model of [`scripted`] have these losses, epoch after epoch: its one output is its bias, and the
/// target 0.
struct Script<'a> {
    losses: &'a [f32],
    at: usize,
}

impl Script<'_> {
    fn set(&self, run: &Run<'_>) -> Result<()> {
        match self.losses.get(self.at) {
            Some(loss) => run.params().set("dense.bias", &[loss.sqrt()]),
            None => Ok(()),
        }
    }
}

impl Callback for Script<'_> {
    fn begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.set(run)
    }

    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.at += 1;
        self.set(run)
    }
}

fn script(losses: &[f32]) -> Script<'_> {
    Script { losses, at: 0 }
}

fn scripted(optimizer: impl Optimizer + 'static) -> Sequential {
    let mut model = Sequential::new(&poisoned_cpu()).add(Dense::new(1));
    model.compile(optimizer, Loss::MeanSquaredError, &[]);
    model
}

/// Trains a model without a rate on a script, with a callback before it.
fn play(model: &mut Sequential, losses: &[f32], callback: impl Callback) -> Result<History> {
    let (x, y) = (Sequences::from_array(&[0.0], [1, 1, 1])?, Targets::values([0.0], 1));
    let fit = Fit::new().epochs(losses.len()).validation_data(&x, &y).quiet();
    model.fit(&x, &y, fit.callback(callback).callback(script(losses)))
}

/// As [`play`], of a fresh model. Its weights stay as the script sets them.
fn played(losses: &[f32], callback: impl Callback) -> Result<History> {
    play(&mut scripted(Sgd::new(0.0)), losses, callback)
}

/// 20 sequences of 1 to 4 frames, whose target is their first value.
fn waves() -> (Sequences, Targets) {
    let row = |i: usize| (0..1 + i % 4).map(move |t| ((i * 5 + t * 3) as f32).sin()).collect();
    let rows: Vec<Vec<f32>> = (0..20).map(row).collect();
    let y: Vec<f32> = rows.iter().map(|row| row[0]).collect();
    (Sequences::new(1, rows).unwrap(), Targets::values(y, 1))
}

fn model(device: &Device, optimizer: impl Optimizer + 'static) -> Sequential {
    let mut model = Sequential::new(device).seed(4).add(Lstm::new(6)).add(Dense::new(1));
    model.compile(optimizer, Loss::MeanSquaredError, &[]);
    model
}

/// All parameters, by name.
fn weights(model: &Sequential) -> Vec<(String, Vec<f32>)> {
    let params = model.params();
    params.names().into_iter().map(|name| (name.clone(), params.get(&name).unwrap())).collect()
}
