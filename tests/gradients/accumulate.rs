use crate::common::{close, devices};
use crate::{data, model, numbers, weights};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::CrossEntropy;
use wgpu_lstm::nn::{Dense, Lstm, Regularizer};
use wgpu_lstm::train::{Adam, Callback, Clip, Ema, Fit, Loss, Run, Sgd, Swa};
use wgpu_lstm::{Device, Result, Sequential};

/// Several small batches are one large batch, also where an epoch ends amid them.
#[test]
fn small_batches_are_a_large_one() {
    let (x, y) = data(20);
    for device in devices() {
        // 20 rows: one step of all; steps of 12 and 8; of 15 and 5, the last batch of 1 row alone.
        for (small, times) in [(4, 5), (4, 3), (3, 5), (7, 9)] {
            let train = |size: usize, times: usize| {
                let mut model = model(device, Sgd::new(0.5).momentum(0.9));
                let fit = Fit::new().epochs(2).batch_size(size).accumulate(times);
                let history = model.fit(&x, &y, fit.quiet()).unwrap();
                (weights(model.params()), history.epochs[1].training.loss)
            };
            let ((found, loss), (expected, of_large)) =
                (train(small, times), train(small * times, 1));
            close(&format!("{times} of {small} on {device}"), &found, &expected, 1e-6);
            assert!((loss / of_large - 1.0).abs() < 1e-6, "{loss} for {of_large}");
        }
    }
}

/// Rows and frames count in small batches as they would in a large one: sequences of different lengths with
/// a target for each frame, weights of rows, weights of classes, labels that do not count, a penalty.
#[test]
fn what_counts_counts_as_much() {
    let rows: Vec<Vec<f32>> = (0..13).map(|i| numbers(3 * (1 + i * 5 % 7), i as f32)).collect();
    let frames: usize = rows.iter().map(|row| row.len() / 3).sum();
    let x = Sequences::new(3, rows).unwrap();
    let y = Targets::classes((0..frames).map(|i| (i * i % 4) as u32).collect::<Vec<_>>());
    // The rows of the last batch count nothing.
    let samples: Vec<_> =
        (0..13).map(|i| if i < 12 { 0.25 * (i % 5) as f32 } else { 0.0 }).collect();
    let loss = CrossEntropy::new().ignore_index(3).class_weights([0.5, 2.0, 1.0, 1.0]);
    for device in devices() {
        let train = |size: usize, times: usize| {
            let dense = Dense::new(4).kernel_regularizer(Regularizer::l2(0.1));
            let lstm = Lstm::new(5).return_sequences();
            let mut model = Sequential::new(device).seed(2).add(lstm).add(dense);
            model.compile(Sgd::new(0.5), Loss::CrossEntropyWith(loss.clone()), &[]);
            let fit = Fit::new().epochs(2).batch_size(size).accumulate(times).shuffle(false);
            model.fit(&x, &y, fit.sample_weights(&samples).quiet()).unwrap();
            weights(model.params())
        };
        close(&format!("on {device}"), &train(4, 4), &train(16, 1), 1e-6);
        close(&format!("on {device}"), &train(2, 3), &train(6, 1), 1e-6);
    }
}

/// Notes batches and steps.
#[derive(Default)]
struct Places(Vec<(usize, usize, u64)>);

impl Callback for Places {
    fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.0.push((run.batch(), run.batches(), run.steps()));
        Ok(())
    }
}

#[test]
fn batches_and_steps_are_told_apart() {
    let (x, y) = data(20);
    let mut model = model(&devices()[0], Sgd::new(0.5));
    let mut places = Places::default();
    let rates = std::cell::RefCell::new(Vec::new());
    let fit = Fit::new().epochs(2).batch_size(4).accumulate(2).quiet();
    let fit = fit.callback(&mut places).schedule(|step| {
        rates.borrow_mut().push(step);
        1.0
    });
    model.fit(&x, &y, fit).unwrap();
    assert_eq!(*rates.borrow(), [0, 1, 2, 3, 4, 5]);
    let expected = [(2, 5, 1), (4, 5, 2), (5, 5, 3), (2, 5, 4), (4, 5, 5), (5, 5, 6)];
    assert_eq!(places.0, expected);
}

/// With all that this file's neighbours test, two calls of `fit` are one, bit for bit, and so are two runs.
#[test]
fn one_fit_or_two() {
    let (x, y) = data(20);
    let (v, w) = data(6);
    for device in devices() {
        let make = |device: &Device| {
            let lstm = Lstm::new(5).input_dropout(0.2);
            let mut model = Sequential::new(device).seed(4).add(lstm).add(Dense::new(2));
            model.compile(Adam::new(0.01), Loss::MeanSquaredError, &[]);
            model
        };
        for clip in [Clip::GlobalNorm(0.1), Clip::Adaptive(0.01)] {
            let fit = || {
                let fit = Fit::new().batch_size(3).accumulate(2).clip(clip);
                fit.validation_data(&v, &w).quiet()
            };
            let (mut once, mut ema) = (make(device), Ema::new(0.9).warm_up());
            once.fit(&x, &y, fit().epochs(4).average(&mut ema)).unwrap();
            let (mut twice, mut ema) = (make(device), Ema::new(0.9).warm_up());
            twice.fit(&x, &y, fit().epochs(1).average(&mut ema)).unwrap();
            twice.fit(&x, &y, fit().epochs(3).average(&mut ema)).unwrap();
            assert_eq!(weights(once.params()), weights(twice.params()), "{clip:?} on {device}");

            let (mut once, mut swa) = (make(device), Swa::new().start(3).every(2));
            once.fit(&x, &y, fit().epochs(4).average(&mut swa)).unwrap();
            let (mut twice, mut swa) = (make(device), Swa::new().start(3).every(2));
            twice.fit(&x, &y, fit().epochs(2).average(&mut swa)).unwrap();
            twice.fit(&x, &y, fit().epochs(2).average(&mut swa)).unwrap();
            assert_eq!(weights(once.params()), weights(twice.params()), "{clip:?} on {device}");
        }
    }
}

/// In mixed precision as in full, as far as its 16 bits go.
#[cfg(feature = "gpu")]
#[test]
fn in_mixed_precision() {
    use crate::common::lacks;
    use wgpu_lstm::nn::Precision;
    let device = &devices()[1];
    if lacks("f16", device.adapter().is_some_and(|a| a.half_precision)) {
        return;
    }
    let (x, y) = data(20);
    let train = |precision, size: usize, times: usize| {
        let mut model = model(device, Sgd::new(0.5));
        assert_eq!(model.params().set_precision(precision), precision);
        let fit = Fit::new().epochs(2).batch_size(size).accumulate(times);
        let mut ema = Ema::new(0.5);
        model.fit(&x, &y, fit.clip(Clip::GlobalNorm(0.2)).average(&mut ema).quiet()).unwrap();
        weights(model.params())
    };
    let expected = train(Precision::Full, 20, 1);
    close("mixed, at once", &train(Precision::Mixed, 20, 1), &expected, 2e-3);
    close("mixed, in five", &train(Precision::Mixed, 4, 5), &expected, 2e-3);
}
