//! Models as wholes: what they predict, how they are put together, what they keep.

use super::{quiet, sequences};
use crate::common::devices;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Layer, Lstm, Params, Pool, Pooling};
use wgpu_lstm::train::{Adam, Loss, Metric, Sgd};
use wgpu_lstm::{Device, Error, Result, Tape, Tensor, Var};

#[test]
fn predictions_and_metrics_agree_on_what_an_output_means() {
    let x = sequences(40, 3, 2);
    let y = Targets::values((0..40).map(|i| f32::from(i % 3 == 0)).collect::<Vec<_>>(), 1);
    for device in devices() {
        for activation in [Activation::Linear, Activation::Sigmoid] {
            let mut model = Sequential::new(device)
                .seed(3)
                .add(Lstm::new(5))
                .add(Dense::new(1).activation(activation));
            model.compile(Adam::new(1e-2), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
            model.fit(&x, &y, quiet().epochs(2)).unwrap();
            let classes = model.predict(&x).unwrap().classes();
            let right = classes.iter().enumerate().filter(|&(i, &c)| (c == 1) == (i % 3 == 0));
            let accuracy = right.count() as f32 / 40.0;
            let found = model.evaluate(&x, &y).unwrap().metrics[0];
            assert!((found - accuracy).abs() < 1e-6, "{activation:?} on {device}");
        }
    }
}

/// A sigmoid of a tiny logit is a half exactly, two logits that differ in the last place are as likely:
/// what was rounded away still tells the class, as it does in the metric.
#[test]
fn classes_are_told_where_probabilities_tie() {
    let x = Sequences::from_array(&[1.0], [1, 1, 1]).unwrap();
    for device in devices() {
        for (units, activation, loss, bias, right) in [
            (1, Activation::Sigmoid, Loss::BinaryCrossEntropy, vec![1e-9], 1),
            (1, Activation::Sigmoid, Loss::BinaryCrossEntropy, vec![-1e-9], 0),
            (1, Activation::Sigmoid, Loss::BinaryCrossEntropy, vec![0.0], 0),
            (2, Activation::Softmax, Loss::CrossEntropy, vec![1e-9, 1.1e-9], 1),
        ] {
            let mut model = Sequential::new(device)
                .add(Pool::new(Pooling::Last))
                .add(Dense::new(units).activation(activation));
            model.build(1).unwrap();
            model.params().set("dense.weight", &vec![0.0; units]).unwrap();
            model.params().set("dense.bias", &bias).unwrap();
            let targets = match units {
                1 => Targets::values([right as f32], 1),
                _ => Targets::classes([right as u32]),
            };
            model.compile(Sgd::new(0.0), loss, &[Metric::Accuracy]);
            let classes = model.predict(&x).unwrap().classes();
            assert_eq!(classes, [right], "{bias:?} on {device}");
            assert_eq!(
                model.evaluate(&x, &targets).unwrap().metrics,
                [1.0],
                "{bias:?} on {device}"
            );
        }
    }
}

/// A layer that says one thing and gives another, in one of many ways.
#[derive(Clone)]
struct Liar {
    what: &'static str,
    panics: Arc<AtomicBool>,
}

impl Layer for Liar {
    fn kind(&self) -> &'static str {
        "liar"
    }
    fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
        Ok(())
    }
    fn output_size(&self) -> usize {
        match self.what {
            "size 0" => 0,
            "too wide" => 2,
            _ => 4,
        }
    }
    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence && self.what != "a sequence"
    }
    fn fixed_timesteps(&self) -> Option<usize> {
        match self.what {
            "fixed" => Some(2),
            "fixed to many" => Some(usize::MAX),
            "fixed to none" => Some(0),
            _ => None,
        }
    }
    fn forward(&self, _: &Tape, x: &Var) -> Result<Var> {
        assert!(!self.panics.load(Ordering::Relaxed), "a fault of the user's");
        let (shape, device) = (x.shape(), x.tensor().device());
        Ok(match self.what {
            "rows" => Tensor::zeros([shape[0] - 1, shape[1], 4], &device)?.into(),
            "timesteps" => Tensor::zeros([shape[0], shape[1] / 2, 4], &device)?.into(),
            "axes" => Tensor::zeros([shape[0] * shape[1] * 4], &device)?.into(),
            _ => x.clone(),
        })
    }
    fn parameter_count(&self) -> usize {
        0
    }
}

#[test]
fn a_layer_that_is_not_what_it_says_is_an_error() {
    let (x, y) = (sequences(6, 4, 4), Targets::values([0.0; 24 * 4], 4));
    for device in devices() {
        for what in [
            "size 0",
            "too wide",
            "a sequence",
            "fixed",
            "fixed to many",
            "fixed to none",
            "rows",
            "timesteps",
            "axes",
        ] {
            let liar = Liar { what, panics: Arc::default() };
            let mut model = Sequential::new(device).add(liar).add(Dense::new(4));
            model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
            let trained = model.fit(&x, &y, quiet());
            let is_right = |error: &Error| match what {
                // Here the targets already do not fit.
                "a sequence" | "fixed" => {
                    matches!(error, Error::Targets { .. } | Error::Layer { kind: "liar", .. })
                }
                _ => matches!(error, Error::Layer { kind: "liar", .. } | Error::Targets { .. }),
            };
            assert!(trained.as_ref().is_err_and(is_right), "{what} on {device}: {trained:?}");
            if model.build(4).is_ok() {
                let said = model.predict(&x);
                let is_right = |error: &Error| matches!(error, Error::Layer { kind: "liar", .. });
                assert!(said.as_ref().is_err_and(is_right), "{what} on {device}: {said:?}");
            }
        }
    }
}

#[test]
fn a_panic_of_the_users_costs_no_compiled_model() {
    let (x, y) = (sequences(6, 4, 4), Targets::values([0.0; 6 * 4 * 4], 4));
    let panics = Arc::new(AtomicBool::new(true));
    let mut model = Sequential::new(&devices()[0])
        .add(Liar { what: "", panics: panics.clone() })
        .add(Dense::new(4));
    model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
    let fit = std::panic::AssertUnwindSafe(|| model.fit(&x, &y, quiet()));
    assert!(std::panic::catch_unwind(fit).is_err());
    panics.store(false, Ordering::Relaxed);
    model.fit(&x, &y, quiet()).unwrap();
}

#[test]
fn stateful_layers_take_batches_that_divide_and_validation_leaves_their_state() {
    let model = |device: &Device| {
        let mut model =
            Sequential::new(device).seed(1).add(Lstm::new(3).stateful()).add(Dense::new(1));
        model.compile(Sgd::new(0.0), Loss::MeanSquaredError, &[]);
        model
    };
    let targets = |n: usize| Targets::values((0..n).map(|i| i as f32 * 0.1).collect::<Vec<_>>(), 1);
    for device in devices() {
        let mut a = model(device);
        let before = |model: &Sequential| model.params().get("dense.weight").ok();
        let error =
            a.fit(&sequences(75, 4, 2), &targets(75), quiet().batch_size(10).shuffle(false));
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Option { option: "Fit::batch_size", .. }), "{error}");
        assert_eq!(before(&a), None, "nothing was built");

        let (x, y) = (sequences(50, 4, 2), targets(50));
        a.fit(&x, &y, quiet().batch_size(10).shuffle(false)).unwrap();
        let error = a.predict(&x).unwrap_err();
        let option = "Sequential::predict_batches";
        assert!(matches!(error, Error::Option { option: found, .. } if found == option), "{error}");
        let error = a.evaluate(&x, &y).unwrap_err();
        let option = "Sequential::evaluate_batches";
        assert!(matches!(error, Error::Option { option: found, .. } if found == option), "{error}");
        let error = a.predict_batches(&x, 5).unwrap_err();
        assert!(matches!(error, Error::State { expected: 10, found: 5, .. }), "{error}");
        assert_eq!(a.predict_batches(&x, 10).unwrap().rows(), 50);

        // With a rate of 0 an evaluation from the beginning is what the training saw.
        let (x, y) = (sequences(20, 4, 2), targets(20));
        let mut b = model(device);
        let fit = || quiet().batch_size(5).shuffle(false);
        let trained = b.fit(&x, &y, fit()).unwrap().epochs[0].training.loss;
        b.reset_state();
        let found = b.evaluate_batches(&x, &y, 5).unwrap().loss;
        assert!((trained - found).abs() < 1e-6, "{trained}, then {found} on {device}");

        // Validation goes its own way, and what is trained after it does not know of it.
        let losses = |validation: bool| {
            let mut model = model(device);
            let (x2, y2) = (sequences(10, 4, 2), targets(10));
            let fit = fit().epochs(3);
            let fit = if validation { fit.validation_data(&x2, &y2) } else { fit };
            let history = model.fit(&x, &y, fit).unwrap();
            history.epochs.iter().map(|e| e.training.loss).collect::<Vec<_>>()
        };
        assert_eq!(losses(true), losses(false), "{device}");
    }
}

/// What is pooled behind a sigmoid are probabilities, which a cross-entropy does not take for logits.
#[test]
fn probabilities_before_the_last_layer_are_no_logits() {
    let (x, y) = (sequences(6, 3, 2), Targets::values([1.0; 6], 1));
    for device in devices() {
        let mut model = Sequential::new(device)
            .add(Dense::new(1).activation(Activation::Sigmoid))
            .add(Pool::new(Pooling::Mean));
        model.compile(Sgd::new(0.1), Loss::BinaryCrossEntropy, &[]);
        assert!(matches!(model.fit(&x, &y, quiet()), Err(Error::Loss { .. })), "{device}");
        model.build(2).unwrap();
        let said = model.predict(&x).unwrap();
        let classes: Vec<_> = said.values().iter().map(|&p| usize::from(p > 0.5)).collect();
        assert_eq!(said.classes(), classes, "{device}");
    }
}

/// Clones of a layer that is not built yet are layers of their own.
#[test]
fn templates_share_no_state() {
    let device = &devices()[0];
    let template = Lstm::new(3).stateful();
    let model = || {
        let mut model = Sequential::new(device).add(template.clone());
        model.build(2).unwrap();
        model
    };
    let (a, b) = (model(), model());
    let x = sequences(4, 3, 2);
    let first = a.predict(&x).unwrap();
    assert_eq!(b.predict(&x).unwrap(), first);
    assert_ne!(a.predict(&x).unwrap(), first);
}

#[test]
fn a_softmax_over_one_unit_is_refused() {
    let layer = Dense::new(1).activation(Activation::Softmax);
    let built = layer.build(&Params::new(&devices()[0]), 3);
    assert!(matches!(built, Err(Error::Option { option: "Dense::units", .. })));
}
