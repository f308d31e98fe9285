//! A training that was killed, stopped or cut in two ends with the bits of one that was not.

#[path = "../common/mod.rs"]
mod common;
mod everything;
mod killed;
mod limits;

use common::{Folder, devices, quick};
use std::path::Path;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Dropout, Lstm};
use wgpu_lstm::train::{Adam, EarlyStopping, Fit, History, Loss, Metric, Sgd};
use wgpu_lstm::{Device, Error, Sequential};

/// Sequences of 1 to 6 frames, whose target is whether their sum is above 0.
fn data() -> (Sequences, Targets) {
    let value = |i: usize| (i as f32 * 0.731).sin();
    let rows: Vec<Vec<f32>> = (0..52)
        .map(|row| (0..2 * (1 + row * 5 % 6)).map(|i| value(row * 31 + i)).collect())
        .collect();
    let y: Vec<f32> =
        rows.iter().map(|r| f32::from(u8::from(r.iter().sum::<f32>() > 0.0))).collect();
    (Sequences::new(2, rows).unwrap(), Targets::values(y, 1))
}

/// A model with dice in each step, and not yet built.
fn model(device: &Device) -> Sequential {
    let mut model = Sequential::new(device)
        .seed(11)
        .add(Lstm::new(9).recurrent_dropout(0.2).zoneout(0.1, 0.1))
        .add(Dropout::new(0.3))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    model.compile(Adam::new(0.02), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    model
}

fn fit<'a>(epochs: usize) -> Fit<'a> {
    let schedule = |step: u64| 1.0 / (1.0 + step as f32 * 0.1);
    Fit::new().epochs(epochs).batch_size(8).validation_split(0.2).seed(4).schedule(schedule).quiet()
}

/// A folder of a test's own.
fn folder(test: &str) -> Folder {
    let folder = Folder::new(test);
    std::fs::create_dir_all(folder.path()).unwrap();
    folder
}

/// All bits of a model, and of what its training was measured at.
fn bits(model: &Sequential, history: &History) -> Vec<u32> {
    let params = model.params();
    let values = params.names().into_iter().flat_map(|name| params.get(&name).unwrap());
    let measured = history.epochs.iter().flat_map(|epoch| {
        let both = [Some(&epoch.training), epoch.validation.as_ref()];
        let both = both.into_iter().flatten();
        both.flat_map(|e| [e.loss].into_iter().chain(e.metrics.clone())).collect::<Vec<_>>()
    });
    values.chain(measured).map(f32::to_bits).collect()
}

#[test]
fn two_calls_of_fit_are_one() {
    for device in devices() {
        let (x, y) = data();
        let mut whole = model(device);
        let history = whole.fit(&x, &y, fit(4)).unwrap();
        let expected = bits(&whole, &history);
        for parts in [vec![1, 3], vec![1, 1, 1, 1], vec![0, 2, 2]] {
            let mut model = model(device);
            let mut all = History::default();
            for &epochs in &parts {
                all.epochs.extend(model.fit(&x, &y, fit(epochs)).unwrap().epochs);
            }
            assert_eq!(bits(&model, &all), expected, "{parts:?} on {device}");
        }
    }
}

/// Trains a fresh model, which ends at some step if it is asked to, with a checkpoint after every `every`
/// steps and each epoch.
fn run(
    device: &Device,
    path: &Path,
    every: u64,
    end: Option<u64>,
) -> Result<(Sequential, History), Error> {
    struct Steps<'a>(&'a Path, u64, Option<u64>);
    impl wgpu_lstm::train::Callback for Steps<'_> {
        fn after_step(&mut self, run: &mut wgpu_lstm::train::Run<'_>) -> Result<(), Error> {
            if run.steps().is_multiple_of(self.1) {
                run.save_checkpoint(self.0);
            }
            if Some(run.steps()) == self.2 {
                return Err(Error::custom("the power went off"));
            }
            Ok(())
        }
        fn after_epoch(&mut self, run: &mut wgpu_lstm::train::Run<'_>) -> Result<(), Error> {
            run.save_checkpoint(self.0);
            Ok(())
        }
    }
    let (x, y) = data();
    let mut model = model(device);
    let history = model.fit(&x, &y, fit(4).callback(Steps(path, every, end)).resume(path))?;
    Ok((model, history))
}

#[test]
fn a_training_goes_on_from_any_step() {
    for device in devices() {
        let folder = folder("resume");
        let path = folder.path().join("never");
        let (whole, history) = run(device, &path, 3, None).unwrap();
        let expected = bits(&whole, &history);
        assert_eq!(history.epochs.len(), 4);
        // Four epochs of six steps.
        let ends: &[u64] = if quick() { &[4, 13] } else { &[1, 3, 4, 6, 7, 13, 18, 23, 24] };
        for &end in ends {
            let path = folder.path().join(format!("at_{end}"));
            let error = run(device, &path, 3, Some(end)).err().unwrap();
            assert!(matches!(error, Error::Custom(_)), "{error}");
            let (model, history) = run(device, &path, 3, None).unwrap();
            assert_eq!(bits(&model, &history), expected, "ended at step {end} on {device}");
        }
        // A training that was done is not repeated.
        let (model, history) = run(device, &path, 3, None).unwrap();
        assert_eq!(bits(&model, &history), expected, "{device}");
    }
}

#[test]
fn another_training_does_not_go_on() {
    let folder = folder("resume_other");
    let path = folder.path().join("checkpoint");
    let device = &devices()[0];
    let _ = run(device, &path, 100, None).unwrap();
    let (x, y) = data();
    let resumed = |mut model: Sequential, fit: Fit<'_>| model.fit(&x, &y, fit.resume(&path));

    let error = resumed(model(device), fit(4).batch_size(9)).unwrap_err();
    assert!(
        matches!(&error, Error::Option { option: "Fit::resume", found, .. } if found.contains("batches of 8")),
        "{error}"
    );
    // A checkpoint that is refused leaves the model as it is.
    let mut other = model(device);
    other.compile(Sgd::new(0.1).momentum(0.5), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    other.build(2).unwrap();
    let before = bits(&other, &History::default());
    let error = other.fit(&x, &y, fit(4).resume(&path)).unwrap_err();
    assert!(matches!(&error, Error::File { entry, .. } if entry.contains("optimizer")), "{error}");
    assert_eq!(bits(&other, &History::default()), before);
    let mut wider = Sequential::new(device).add(Lstm::new(10)).add(Dense::new(1));
    wider.compile(Adam::new(0.02), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    let error = resumed(wider, fit(4)).unwrap_err();
    assert!(matches!(&error, Error::File { .. }), "{error}");
    std::fs::write(&path, b"no checkpoint").unwrap();
    let error = resumed(model(device), fit(4)).unwrap_err();
    assert!(matches!(&error, Error::File { .. }), "{error}");
}

#[test]
fn a_model_alone_is_no_checkpoint() {
    let folder = folder("resume_model");
    let path = folder.path().join("model");
    let (x, y) = data();
    let mut trained = model(&devices()[0]);
    trained.fit(&x, &y, fit(1)).unwrap();
    trained.save(&path).unwrap();
    let error = model(&devices()[0]).fit(&x, &y, fit(1).resume(&path)).unwrap_err();
    assert!(matches!(&error, Error::File { .. } | Error::Missing { .. }), "{error}");
    // The other way round a checkpoint is a model.
    let path = folder.path().join("checkpoint");
    let (trained, _) = run(&devices()[0], &path, 100, None).unwrap();
    let loaded = Sequential::load(&path, &devices()[0]).unwrap();
    let [found, expected] = [&loaded, &trained].map(|m| m.predict(&x).unwrap().values().to_vec());
    assert_eq!(found, expected);
}

#[test]
fn a_training_that_was_stopped_goes_on() {
    let device = &devices()[0];
    let folder = folder("resume_stopped");
    let (x, y) = data();
    let (whole, history) = run(device, &folder.path().join("never"), 100, None).unwrap();
    let expected = bits(&whole, &history);
    // In the middle of an epoch, and at its end.
    for first in [4, 6] {
        let path = folder.path().join(format!("new/folder/{first}"));
        let mut stops = Vec::new();
        let mut last = None;
        for limit in [first, 13, 1000] {
            let mut model = model(device);
            let fit = fit(4).callback(Always(&path)).max_steps(limit).resume(&path);
            let history = model.fit(&x, &y, fit).unwrap();
            stops.push(history.stopped.is_some());
            last = Some(bits(&model, &history));
        }
        assert_eq!(stops, [true, true, false]);
        assert!(last.unwrap() == expected, "stopped at {first}");
    }
}

/// A checkpoint after each step.
struct Always<'a>(&'a Path);

impl wgpu_lstm::train::Callback for Always<'_> {
    fn after_step(&mut self, run: &mut wgpu_lstm::train::Run<'_>) -> Result<(), Error> {
        run.save_checkpoint(self.0);
        Ok(())
    }
}

#[test]
fn early_stopping_ends_a_resumed_training_where_it_ended() {
    let device = &devices()[0];
    let folder = folder("resume_early");
    let path = folder.path().join("checkpoint");
    let (x, y) = data();
    let fitted = |epochs: usize, patience: usize| {
        let mut model = model(device);
        let early = EarlyStopping::new("val_loss").patience(patience).min_delta(10.0);
        let each = |run: &mut wgpu_lstm::train::Run<'_>| {
            run.save_checkpoint(&path);
            Ok(())
        };
        let history =
            model.fit(&x, &y, fit(epochs).callback(early).on_epoch(each).resume(&path)).unwrap();
        (bits(&model, &history), history)
    };
    // Nothing is better by 10: the second epoch that is not ends it.
    let (expected, history) = fitted(9, 2);
    assert_eq!(history.epochs.len(), 3);
    assert!(history.stopped.is_some());
    let (found, again) = fitted(9, 2);
    assert!(found == expected && again.stopped == history.stopped);
    // Who has more patience now goes on.
    assert_eq!(fitted(9, 4).1.epochs.len(), 5);
}
