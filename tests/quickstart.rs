//! The quickstart's promise, on the data that it ships.

mod common;
#[path = "../examples/quickstart.rs"]
#[allow(dead_code, reason = "only its data are used here")]
mod quickstart;

use quickstart::Set;
use wgpu_lstm::Sequential;
use wgpu_lstm::loss::CrossEntropy;
use wgpu_lstm::nn::{Activation, Dense, Dropout, Lstm, Merge, Precision};
use wgpu_lstm::train::{Adam, Fit, Loss, Metric};
use wgpu_lstm::{Device, GpuOptions};

fn data() -> (Set, Set) {
    quickstart::load(include_bytes!("../examples/data/japanese_vowels.bin")).unwrap()
}

fn model(device: &Device, lstm: Lstm, seed: u64) -> Sequential {
    let mut model = Sequential::new(device)
        .seed(seed)
        .add(lstm)
        .add(Dense::new(9).activation(Activation::Softmax));
    model.compile(Adam::new(3e-3), Loss::CrossEntropy, &[Metric::Accuracy]);
    model
}

/// The accuracies of some seeds, sorted.
fn accuracies(seeds: u64, make: impl Fn(u64) -> Sequential) -> Vec<f32> {
    let (train, test) = data();
    assert_eq!((train.0.len(), test.0.len()), (270, 370));
    let mut accuracies: Vec<f32> = (0..seeds)
        .map(|seed| {
            let mut model = make(seed);
            model.fit(&train.0, &train.1, Fit::new().epochs(60).seed(seed).quiet()).unwrap();
            model.evaluate(&test.0, &test.1).unwrap().metrics[0]
        })
        .collect();
    accuracies.sort_by(f32::total_cmp);
    accuracies
}

#[test]
fn the_median_of_five_seeds_is_above_94_percent() {
    let cpu = Device::named("cpu").unwrap();
    let accuracies = accuracies(5, |seed| model(&cpu, Lstm::new(128), seed));
    assert!(accuracies[2] >= 0.94, "{accuracies:?}");
}

/// With dropout and smoothed labels, which 270 utterances can do with. Nine seeds, since one differs
/// from the next by more than what is asked for.
#[test]
fn the_median_in_both_directions_is_above_96_5_percent() {
    let cpu = Device::named("cpu").unwrap();
    let accuracies = accuracies(9, |seed| {
        let mut model = Sequential::new(&cpu)
            .seed(seed)
            .add(Lstm::new(128).bidirectional(Merge::Concat))
            .add(Dropout::new(0.5))
            .add(Dense::new(9).activation(Activation::Softmax));
        let loss = Loss::CrossEntropyWith(CrossEntropy::new().label_smoothing(0.1));
        model.compile(Adam::new(3e-3), loss, &[Metric::Accuracy]);
        model
    });
    assert!(accuracies[4] >= 0.965, "{accuracies:?}");
}

/// In mixed precision, the same is asked for as in full: three seeds, since a software adapter takes
/// a quarter of a minute for each. Without 16-bit floats parameters stay in full precision, and say so;
/// that it begins there as on the CPU is tested below.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn the_median_in_mixed_precision_is_above_94_percent() {
    let gpu = common::gpu(GpuOptions::default());
    let mixed = |seed| {
        let model = model(&gpu, Lstm::new(128), seed);
        model.params().set_precision(Precision::Mixed);
        model
    };
    if common::lacks("f16", gpu.adapter().is_some_and(|adapter| adapter.half_precision)) {
        assert_eq!(mixed(0).params().precision(), Precision::Full);
        return;
    }
    let accuracies = accuracies(3, mixed);
    assert!(accuracies[1] >= 0.94, "{accuracies:?}");
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn mixed_precision_begins_like_full() {
    let (train, _) = data();
    let gpu = common::gpu(GpuOptions::default());
    let losses = [Precision::Full, Precision::Mixed].map(|precision| {
        let mut model = model(&gpu, Lstm::new(128), 0);
        model.params().set_precision(precision);
        let history = model.fit(&train.0, &train.1, Fit::new().epochs(3).quiet()).unwrap();
        history.epochs.iter().map(|e| e.training.loss).collect::<Vec<_>>()
    });
    for (full, mixed) in losses[0].iter().zip(&losses[1]) {
        assert!((full - mixed).abs() < 0.01 * full, "{losses:?}");
    }
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn both_devices_begin_alike() {
    let (train, _) = data();
    let losses: Vec<f32> = common::devices()
        .iter()
        .map(|device| {
            let history = model(device, Lstm::new(128), 0)
                .fit(&train.0, &train.1, Fit::new().quiet())
                .unwrap();
            history.epochs[0].training.loss
        })
        .collect();
    assert!((losses[0] - losses[1]).abs() < 1e-3, "{losses:?}");
}
