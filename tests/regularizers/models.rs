//! Weights of rows and losses in models.

use crate::common::{close, devices};
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::CrossEntropy;
use wgpu_lstm::nn::{Activation, Dense, Layer, Lstm, Params, Regularizer, Repeat};
use wgpu_lstm::train::{Adam, Fit, Loss, Metric, Sgd};
use wgpu_lstm::{Device, Error, Tape, Tensor, Var};

fn two_classes(n: usize) -> (Sequences, Targets) {
    let x: Vec<f32> = (0..n * 4).map(|i| (i as f32 * 1.3).sin()).collect();
    let x = Sequences::from_array(&x, [n, 4, 1]).unwrap();
    let labels: Vec<u32> = (0..n).map(|i| u32::from(x.get(i)[0] > 0.0)).collect();
    (x, Targets::classes(labels))
}

fn fitted(device: &Device, x: &Sequences, y: &Targets, loss: Loss, fit: Fit<'_>) -> (f32, f32) {
    let mut model = Sequential::new(device)
        .seed(2)
        .add(Lstm::new(6))
        .add(Dense::new(2).activation(Activation::Softmax));
    model.compile(Adam::new(1e-2), loss, &[Metric::Accuracy]);
    let history = model.fit(x, y, fit.quiet().shuffle(false)).unwrap();
    let last = &history.epochs[history.epochs.len() - 1];
    (last.training.loss, last.training.metrics[0])
}

/// A sequence of weight 0, or with an ignored label, might as well not be there.
#[test]
fn sequences_that_do_not_count() {
    for device in devices() {
        let (x, y) = two_classes(20);
        let few: Vec<_> = (0..12).map(|i| x.get(i).to_vec()).collect();
        let few = Sequences::new(1, few).unwrap();
        let (_, first) = two_classes(12);
        let alone = fitted(device, &few, &first, Loss::CrossEntropy, Fit::new().batch_size(20));
        let weights: Vec<f32> = (0..20).map(|i| if i < 12 { 1.0 } else { 0.0 }).collect();
        let fit = Fit::new().batch_size(20).sample_weights(&weights);
        let weighted = fitted(device, &x, &y, Loss::CrossEntropy, fit);
        let labels: Vec<u32> =
            (0..20).map(|i| if i < 12 { u32::from(x.get(i)[0] > 0.0) } else { 99 }).collect();
        let ignoring = Loss::CrossEntropyWith(CrossEntropy::new().ignore_index(99));
        let ignored =
            fitted(device, &x, &Targets::classes(labels), ignoring, Fit::new().batch_size(20));
        for (name, found) in [("weights", weighted), ("labels", ignored)] {
            let what = format!("{name} on {device}");
            close(&what, &[found.0, found.1], &[alone.0, alone.1], 1e-5);
        }
        let (x, y) = two_classes(3);
        let mut model = Sequential::new(device).add(Lstm::new(2)).add(Dense::new(2));
        model.compile(Adam::default(), Loss::CrossEntropy, &[]);
        let short = model.fit(&x, &y, Fit::new().sample_weights(&[1.0; 2]).quiet());
        assert!(matches!(short, Err(Error::Count { expected: 3, found: 2, .. })));
        let bad = model.fit(&x, &y, Fit::new().sample_weights(&[1.0, -1.0, 1.0]).quiet());
        assert!(matches!(bad, Err(Error::Option { option: "Fit::sample_weights", .. })));
        let loss = Loss::CrossEntropyWith(CrossEntropy::new().label_smoothing(2.0));
        model.compile(Adam::default(), loss, &[]);
        let error = model.fit(&x, &y, Fit::new().quiet());
        assert!(matches!(
            error,
            Err(Error::Option { option: "CrossEntropy::label_smoothing", .. })
        ));
        model.compile(Adam::default(), Loss::Huber { delta: 0.0 }, &[]);
        let y = Targets::values([0.0; 6], 2);
        let error = model.fit(&x, &y, Fit::new().quiet());
        assert!(matches!(error, Err(Error::Option { option: "Huber::delta", .. })));
    }
}

/// A model that says a fixed number of frames, whatever it reads.
#[test]
fn a_model_that_repeats_learns_frames() {
    let rows: Vec<Vec<f32>> = (0..12).map(|i| vec![i as f32 / 12.0; 2 + i % 3]).collect();
    let x = Sequences::new(1, &rows).unwrap();
    let y: Vec<f32> = (0..12).flat_map(|i| [0.0, 1.0, 2.0].map(|t| i as f32 / 12.0 * t)).collect();
    for device in devices() {
        for loss in
            [Loss::MeanAbsoluteError, Loss::Huber { delta: 0.5 }, Loss::Quantile { quantile: 0.5 }]
        {
            let mut model = Sequential::new(device)
                .seed(4)
                .add(Lstm::new(6))
                .add(Repeat::new(3))
                .add(Lstm::new(6).return_sequences())
                .add(Dense::new(1));
            model.compile(Adam::new(2e-2), loss, &[]);
            let y = Targets::values(y.clone(), 1);
            let history = model.fit(&x, &y, Fit::new().epochs(30).quiet()).unwrap();
            let of = |i: usize| history.epochs[i].training.loss;
            assert!(of(29) < 0.6 * of(0), "{} to {}", of(0), of(29));
            let prediction = model.predict(&x).unwrap();
            assert_eq!(prediction.rows(), 36);
            let wrong = Targets::values([0.0; 12], 1);
            let error = model.evaluate(&x, &wrong).unwrap_err();
            assert!(matches!(error, Error::Targets { expected: 36, found: 12, .. }), "{error}");
        }
    }
    let tape = Tape::inference(&Params::new(&devices()[0]));
    let x = Var::from(Tensor::zeros([2, 3, 4], &devices()[0]).unwrap());
    assert!(Repeat::new(3).forward(&tape, &x).is_err());
}

/// A layer that is built before it goes into a model is the model's, clones included.
#[test]
fn a_layer_built_with_a_models_params_stays() {
    for device in devices() {
        let model = Sequential::new(device).seed(3);
        let lstm = Lstm::new(4).build(model.params(), 1).unwrap();
        let mut model = model.add(lstm.clone()).add(Dense::new(2));
        model.compile(Sgd::new(0.1), Loss::CrossEntropy, &[]);
        let (x, y) = two_classes(8);
        model.fit(&x, &y, Fit::new().epochs(2).quiet()).unwrap();
        assert!(!model.params().names().iter().any(|n| n.contains("lstm_1")));
        let expected = model.predict(&x).unwrap();
        let mut stepper = lstm.stepper(model.params(), 1).unwrap();
        let stream = stepper.join().unwrap();
        let mut h = Vec::new();
        for v in x.get(0) {
            h = stepper.step(&[(stream, &[*v])]).unwrap().remove(0);
        }
        let weight = model.params().get("dense.weight").unwrap();
        let bias = model.params().get("dense.bias").unwrap();
        let found: Vec<f32> = (0..2)
            .map(|u| bias[u] + (0..4).map(|j| weight[u * 4 + j] * h[j]).sum::<f32>())
            .collect();
        close(&format!("by steps on {device}"), &found, expected.row(0), 1e-5);
        let error = lstm.clone().build(model.params(), 2).unwrap_err();
        assert!(matches!(error, Error::Features { expected: 1, found: 2, .. }), "{error}");
    }
}

/// A build that fails leaves no layer that thinks it is built.
#[test]
fn a_model_whose_build_failed_builds_anew() {
    let device = &devices()[0];
    let mut model = Sequential::new(device).add(Lstm::new(3)).add(Dense::new(0));
    assert!(model.build(2).is_err());
    assert!(model.params().names().is_empty());
    assert!(model.build(2).is_err());
    let params = Params::new(device);
    let lstm = Lstm::new(3).build(&params, 2).unwrap();
    let other = Params::new(device);
    let moved = lstm.clone().build(&other, 5).unwrap();
    assert_eq!(other.shape("lstm.weight_ih_l0").unwrap(), [12, 5]);
    assert_eq!(moved.parameter_count(), 12 * (5 + 3 + 1));
}

#[test]
fn one_output_has_two_classes() {
    let device = &devices()[0];
    let (x, _) = two_classes(12);
    let y: Vec<f32> = (0..12).map(|i| f32::from(x.get(i)[0] > 0.0)).collect();
    let mut model = Sequential::new(device)
        .add(Lstm::new(6))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    model.compile(Adam::new(3e-2), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    let y = Targets::values(y, 1);
    model.fit(&x, &y, Fit::new().epochs(30).quiet()).unwrap();
    let accuracy = model.evaluate(&x, &y).unwrap().metrics[0];
    let right = model.predict(&x).unwrap().classes();
    let right = right.iter().enumerate().filter(|(i, c)| (x.get(*i)[0] > 0.0) == (**c == 1));
    assert!((right.count() as f32 / 12.0 - accuracy).abs() < 1e-6);
    assert!(accuracy > 0.9, "{accuracy}");
}

#[test]
fn a_stateful_layer_says_what_it_wants() {
    for device in devices() {
        let params = Params::new(device);
        let layer = Lstm::new(6).stateful().build(&params, 3).unwrap();
        let tape = Tape::inference(&params);
        let x = |rows: usize| Var::from(Tensor::zeros([rows, 2, 3], device).unwrap());
        layer.forward(&tape, &x(3)).unwrap();
        let error = layer.forward(&tape, &x(1)).unwrap_err();
        assert!(error.to_string().contains("reset_state"), "{error}");
        layer.reset_state();
        layer.forward(&tape, &x(1)).unwrap();
    }
}

/// In a model, the losses are those of their formulas, and a head's activity counts too.
#[test]
fn losses_of_a_model_by_their_formulas() {
    let (x, _) = two_classes(7);
    let y: Vec<f32> = (0..7).map(|i| (i as f32 - 3.0) / 2.0).collect();
    for device in devices() {
        let evaluate = |loss: Loss, activity: f32| {
            let mut model = Sequential::new(device)
                .seed(5)
                .add(Lstm::new(6))
                .add(Dense::new(1).activity_regularizer(Regularizer::l2(activity)));
            model.compile(Adam::default(), loss, &[]);
            model.build(1).unwrap();
            let found = model.evaluate(&x, &Targets::values(y.clone(), 1)).unwrap().loss;
            (found, model.predict(&x).unwrap().values().to_vec())
        };
        let mean = |p: &[f32], of: &dyn Fn(f32) -> f32| -> f32 {
            p.iter().zip(&y).map(|(p, y)| of(p - y)).sum::<f32>() / 7.0
        };
        let huber = |d: f32| if d.abs() > 0.4 { 0.4 * (d.abs() - 0.2) } else { d * d / 2.0 };
        let pinball = |d: f32| if d < 0.0 { -0.9 * d } else { 0.1 * d };
        type Of<'a> = &'a dyn Fn(f32) -> f32;
        let all: [(Loss, Of); 4] = [
            (Loss::MeanSquaredError, &|d| d * d),
            (Loss::MeanAbsoluteError, &f32::abs),
            (Loss::Huber { delta: 0.4 }, &huber),
            (Loss::Quantile { quantile: 0.9 }, &pinball),
        ];
        for (loss, of) in all {
            let what = format!("{loss:?} on {device}");
            let (found, p) = evaluate(loss, 0.0);
            close(&what, &[found], &[mean(&p, of)], 1e-5);
        }
        let (found, p) = evaluate(Loss::MeanSquaredError, 0.5);
        let activity = p.iter().map(|p| 0.5 * p * p).sum::<f32>() / 7.0;
        close(
            &format!("the activity on {device}"),
            &[found],
            &[mean(&p, &|d| d * d) + activity],
            1e-5,
        );
    }
}

/// A sequence of weight 2 is that sequence twice, in training and in validation.
#[test]
fn a_weight_of_two_is_a_sequence_twice() {
    for device in devices() {
        let (x, y) = two_classes(10);
        let rows = [0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9];
        let twice: Vec<_> = rows.iter().map(|&i| x.get(i).to_vec()).collect();
        let twice = Sequences::new(1, twice).unwrap();
        let labels = rows.iter().map(|&i| u32::from(x.get(i)[0] > 0.0)).collect::<Vec<_>>();
        let weights = [2., 1., 1., 1., 1., 1., 1., 2., 1., 1.];
        let run = |x: &Sequences, y: &Targets, fit: Fit<'_>| {
            let mut model = Sequential::new(device).seed(1).add(Lstm::new(6)).add(Dense::new(2));
            model.compile(Sgd::new(0.5), Loss::CrossEntropy, &[Metric::Accuracy]);
            let fit = fit.epochs(4).batch_size(12).shuffle(false).quiet();
            let history = model.fit(x, y, fit).unwrap();
            let last = &history.epochs[3];
            let validation = last.validation.as_ref().unwrap();
            [last.training.loss, last.training.metrics[0], validation.loss, validation.metrics[0]]
        };
        // 7 and 8 to train on, 3 and 4 to validate on: the same, with the double ones counted.
        let fit = Fit::new().validation_split(0.3).sample_weights(&weights);
        let weighted = run(&x, &y, fit);
        let doubled = run(&twice, &Targets::classes(labels), Fit::new().validation_split(0.333));
        close(&format!("weighted and doubled on {device}"), &weighted, &doubled, 1e-5);
    }
}
