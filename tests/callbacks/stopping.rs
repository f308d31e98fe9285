//! What stops a training.

use super::*;
use std::time::Duration;
use wgpu_lstm::Error;
use wgpu_lstm::nn::Embedding;
use wgpu_lstm::train::{Adam, EarlyStopping, Metric, Mode};

/// Keras 3.15 stops its `EarlyStopping` at the same epochs, which `tests/vectors/make_stopping.py` prints.
#[test]
fn early_stopping_ends_where_keras_does() {
    let losses = [0.9, 0.7, 0.8, 0.65, 0.66, 0.64, 0.7, 0.71, 0.5, 0.6, 0.61, 0.62];
    let new = || EarlyStopping::new("val_loss");
    for (case, stop, epochs) in [
        ("plain", new(), 3),
        ("patience", new().patience(2), 8),
        ("min_delta", new().patience(2).min_delta(0.1), 4),
        ("baseline", new().patience(2).baseline(0.655), 3),
        ("start", new().patience(1).start_from_epoch(3), 5),
        ("max", new().patience(1).mode(Mode::Max), 2),
        ("never", new().patience(9), 12),
    ] {
        let history = played(&losses, stop).unwrap();
        assert_eq!(history.epochs.len(), epochs, "{case}");
        assert_eq!(history.stopped.is_some(), epochs < losses.len(), "{case}");
    }
}

#[test]
fn the_best_weights_come_back_at_the_end() {
    let losses = [0.81, 0.64, 0.25, 0.36, 0.49];
    for (patience, restore, bias) in [(1, true, 0.5), (9, true, 0.5), (1, false, 0.7)] {
        let mut model = scripted(Sgd::new(0.0));
        let mut stop = EarlyStopping::new("loss").patience(patience).restore_best_weights(restore);
        let history = play(&mut model, &losses, &mut stop).unwrap();
        assert_eq!(history.epochs.len(), if patience == 1 { 4 } else { 5 });
        let found = model.params().get("dense.bias").unwrap()[0];
        assert!((found - bias).abs() < 1e-6, "{found}: {patience}, {restore}");
        assert_eq!(stop.best_epoch(), Some(2));
        assert!((stop.best().unwrap() - 0.25).abs() < 1e-6);
        assert_eq!(history.epochs[2].value("loss"), stop.best());
    }
}

/// All kinds of parameters, on every device: what a callback saw after the best epoch is there at the end.
#[test]
fn tables_and_layers_come_back() {
    let rows: Vec<Vec<u32>> = (0..12).map(|i| (0..3).map(|t| (i * 5 + t) % 11).collect()).collect();
    let x = Sequences::from_tokens(&rows).unwrap();
    let y = Targets::values((0..12).map(|i| (i as f32).sin()).collect::<Vec<_>>(), 1);
    for device in devices() {
        let mut model = Sequential::new(device)
            .add(Embedding::new(11, 3).sparse())
            .add(Lstm::new(5))
            .add(Dense::new(1));
        model.compile(Adam::new(0.3), Loss::MeanSquaredError, &[]);
        let (mut seen, mut stop) = (Vec::new(), EarlyStopping::new("loss").patience(100));
        let fit = Fit::new().epochs(6).batch_size(5).quiet().callback(&mut stop);
        let fit = fit.on_epoch(|run| {
            let params = run.params();
            let all = params.names().into_iter().map(|name| Ok((name.clone(), params.get(&name)?)));
            seen.push(all.collect::<Result<Vec<_>>>()?);
            Ok(())
        });
        model.fit(&x, &y, fit).unwrap();
        let best = stop.best_epoch().unwrap();
        assert!(seen[best] == weights(&model), "{device}, epoch {best}");
        assert!(seen.iter().enumerate().all(|(i, all)| i == best || *all != seen[best]));
    }
}

#[test]
fn a_state_goes_on_where_it_was_given() {
    let losses = [0.81, 0.25, 0.64, 0.49, 0.36, 0.3];
    let new = || EarlyStopping::new("val_loss").patience(3);
    for cut in 1..4 {
        let mut model = scripted(Sgd::new(0.0));
        let mut first = new();
        assert_eq!(play(&mut model, &losses[..cut], &mut first).unwrap().stopped, None);
        let state = first.state().unwrap();
        let mut second = new();
        second.set_state(&state).unwrap();
        assert_eq!(second.state().unwrap(), state);
        let history = play(&mut model, &losses[cut..], &mut second).unwrap();
        assert_eq!(history.epochs.len(), 5 - cut, "cut at {cut}");
        assert!((model.params().get("dense.bias").unwrap()[0] - 0.5).abs() < 1e-6);
    }
    let missing = new().set_state(&Default::default()).unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }), "{missing}");
}

#[test]
fn an_unknown_name_is_told_with_those_that_there_are() {
    let (x, y) = (Sequences::from_array(&[0.5; 8], [4, 2, 1]).unwrap(), [0.0, 1.0, 0.0, 1.0]);
    let y = Targets::values(y, 1);
    let mut model = Sequential::new(&poisoned_cpu()).add(Lstm::new(2)).add(Dense::new(1));
    model.compile(Sgd::new(0.1), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    let fit = Fit::new().validation_split(0.5).quiet();
    let error = model.fit(&x, &y, fit.callback(EarlyStopping::new("val_los"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "EarlyStopping::monitor is val_los, expected one of loss, accuracy, val_loss, val_accuracy"
    );
    let fit = Fit::new().quiet().callback(EarlyStopping::new("val_loss"));
    let error = model.fit(&x, &y, fit).unwrap_err();
    assert!(error.to_string().contains("no validation data"), "{error}");
    let bad = EarlyStopping::new("loss").min_delta(f64::NAN);
    let error = model.fit(&x, &y, Fit::new().quiet().callback(bad)).unwrap_err();
    assert!(matches!(error, Error::Option { option: "EarlyStopping::min_delta", .. }), "{error}");
}

/// An accuracy is better the higher it is, which its name says.
#[test]
fn an_accuracy_is_not_to_fall() {
    let x = Sequences::from_array(&[0.0; 2], [2, 1, 1]).unwrap();
    let y = Targets::values([1.0, 1.0], 1);
    let mut model = Sequential::new(&poisoned_cpu()).add(Dense::new(1));
    model.compile(Sgd::new(0.0), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    let mut stop = EarlyStopping::new("accuracy").patience(2);
    // Right, right, wrong: logits above 0 mean yes.
    let mut biases = [1.0, 1.0, -1.0].into_iter();
    let fit = Fit::new()
        .epochs(9)
        .quiet()
        .callback(&mut stop)
        .on_epoch(|run| run.params().set("dense.bias", &[biases.next().unwrap_or(-1.0)]));
    model.fit(&x, &y, fit).unwrap();
    // The first epoch has a bias of 0, which means no.
    assert_eq!((stop.best(), stop.best_epoch()), (Some(1.0), Some(1)));
}

#[test]
fn a_training_ends_after_so_many_steps() {
    let (x, y) = waves();
    let fit = || Fit::new().epochs(9).batch_size(8).quiet();
    let mut model = model(&poisoned_cpu(), Sgd::new(0.01));
    let mut steps = 0;
    let history = model
        .fit(
            &x,
            &y,
            fit().max_steps(5).on_epoch(|run| {
                steps = run.steps();
                Ok(())
            }),
        )
        .unwrap();
    // Three batches are an epoch.
    assert_eq!((steps, history.epochs.len()), (5, 2));
    assert_eq!(history.stopped.as_deref(), Some("Fit::max_steps: 5 steps were made"));
    let history = model.fit(&x, &y, fit().max_time(Duration::ZERO)).unwrap();
    assert_eq!(history.epochs.len(), 1);
    assert!(history.stopped.unwrap().starts_with("Fit::max_time: 0."));
    let history = model.fit(&x, &y, fit().max_time(Duration::MAX)).unwrap();
    assert_eq!((history.epochs.len(), history.stopped), (9, None));
    let error = model.fit(&x, &y, fit().max_steps(0)).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Fit::max_steps", .. }), "{error}");
}

/// Given by reference to a second `fit`, it counts on: the epochs, too.
#[test]
fn a_second_training_counts_on() {
    let mut stop = EarlyStopping::new("loss").patience(3);
    let mut model = scripted(Sgd::new(0.0));
    let history = play(&mut model, &[0.81, 0.64, 0.25], &mut stop).unwrap();
    assert_eq!((history.stopped, stop.best_epoch()), (None, Some(2)));
    let history = play(&mut model, &[0.36, 0.49, 0.64, 0.81, 0.9], &mut stop).unwrap();
    assert_eq!((history.epochs.len(), stop.best_epoch()), (3, Some(2)));
    let reason = history.stopped.unwrap();
    assert!(reason.contains("0.25") && reason.ends_with("of epoch 3"), "{reason}");
    assert!((model.params().get("dense.bias").unwrap()[0] - 0.5).abs() < 1e-6);
}

/// As in a loop over folds: the weights of another model are none to go on from.
#[test]
fn with_another_model_it_begins_anew() {
    let mut stop = EarlyStopping::new("loss").patience(1);
    for losses in [[0.25, 0.36, 0.49], [0.81, 0.64, 0.9]] {
        let mut model = scripted(Sgd::new(0.0));
        let history = play(&mut model, &losses, &mut stop).unwrap();
        let best = losses.iter().copied().fold(f32::INFINITY, f32::min);
        assert!((stop.best().unwrap() - best).abs() < 1e-6, "{stop:?}");
        assert_eq!(
            stop.best_epoch(),
            history.epochs.iter().position(|e| e.value("loss") == stop.best())
        );
        let bias = model.params().get("dense.bias").unwrap()[0];
        assert!((bias - best.sqrt()).abs() < 1e-6, "{bias}");
    }
}
