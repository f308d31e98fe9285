//! Models and their data.

use super::{option, sequences, unsupported};
use crate::common::devices;
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Lstm};
use wgpu_lstm::train::{Adam, Fit, Loss, Metric, Sgd};
use wgpu_lstm::{Device, Error};

#[test]
fn targets_are_as_many_as_the_model_gives_values() {
    let device = &devices()[0];
    let x = sequences();
    for (sequences, expected) in [(false, 6), (true, 18)] {
        let lstm = if sequences { Lstm::new(4).return_sequences() } else { Lstm::new(4) };
        let mut model = Sequential::new(device).add(lstm).add(Dense::new(1));
        model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
        let y = Targets::values(vec![1.0; 24 - expected], 1);
        let error = model.fit(&x, &y, Fit::new().quiet()).unwrap_err();
        let found = 24 - expected;
        assert!(
            matches!(error, Error::Targets { op: "Sequential::fit", expected: e, found: f, .. }
                if (e, f) == (expected, found)),
            "{error}"
        );
        assert_eq!(error.to_string().contains("return_sequences"), sequences, "{error}");
    }
}

/// Nor do they end a training that has begun.
#[test]
fn a_batch_of_tiny_weights_is_trained_on() {
    let device = &Device::cpu().unwrap();
    let x = sequences();
    let weights = [1.0, 1.0, 1.0, 1.0, 1e-39, 1e-39];
    let fit = || Fit::new().batch_size(2).shuffle(false).sample_weights(&weights).quiet();
    let mut of_classes = model(device, Dense::new(2).activation(Activation::Softmax));
    of_classes.compile(Sgd::new(0.1), Loss::CrossEntropy, &[]);
    of_classes.fit(&x, &Targets::classes([0, 1, 0, 1, 0, 1]), fit()).unwrap();
    let mut of_values = model(device, Dense::new(1));
    of_values.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
    of_values.fit(&x, &Targets::values([1.0; 6], 1), fit()).unwrap();
}

#[test]
fn a_model_that_cannot_be_built_leaves_no_parameters() {
    let device = &Device::cpu().unwrap();
    let mut model = model(device, Dense::new(0));
    assert_eq!(option(&model.build(3).unwrap_err()), "Dense::units");
    assert_eq!(model.params().names(), Vec::<String>::new());
    assert_eq!(model.params().parameter_count(), 0);
}

fn model(device: &Device, head: Dense) -> Sequential {
    Sequential::new(device).add(Lstm::new(4)).add(head)
}

#[test]
fn a_model_checks_data_options_and_loss() {
    for device in devices() {
        let x = sequences();
        let fit = |head: Dense, loss, y: &Targets, options: Fit<'_>| {
            let mut model = model(device, head);
            model.compile(Adam::default(), loss, &[Metric::Accuracy]);
            model.fit(&x, y, options.quiet()).unwrap_err()
        };
        let classes = Targets::classes([0, 1, 2, 0, 1, 2]);
        let bits = Targets::values([1.0; 6], 1);
        let softmax = || Dense::new(3).activation(Activation::Softmax);
        let sigmoid = || Dense::new(1).activation(Activation::Sigmoid);

        let error = fit(softmax(), Loss::CrossEntropy, &Targets::classes([0, 1]), Fit::new());
        assert!(matches!(error, Error::Targets { expected: 6, found: 2, .. }), "{error}");
        let bad = Targets::classes([0, 1, 2, 3, 1, 2]);
        let error = fit(softmax(), Loss::CrossEntropy, &bad, Fit::new().shuffle(false));
        assert_eq!(error, Error::Label { row: 3, found: 3, classes: 3 });
        let error = fit(sigmoid(), Loss::CrossEntropy, &classes, Fit::new());
        assert!(matches!(error, Error::Loss { .. }), "{error}");
        let error = fit(softmax(), Loss::BinaryCrossEntropy, &bits, Fit::new());
        assert!(matches!(error, Error::Loss { .. }), "{error}");
        let error = fit(softmax(), Loss::CrossEntropy, &bits, Fit::new());
        assert!(matches!(error, Error::Loss { .. }), "{error}");
        let error = fit(Dense::new(1), Loss::MeanSquaredError, &bits, Fit::new());
        assert!(matches!(error, Error::Loss { loss: "Metric::Accuracy", .. }), "{error}");
        for (options, name) in [
            (Fit::new().batch_size(0), "Fit::batch_size"),
            (Fit::new().validation_split(1.0), "Fit::validation_split"),
            (Fit::new().validation_split(-0.1), "Fit::validation_split"),
            (Fit::new().validation_split(f32::NAN), "Fit::validation_split"),
            (Fit::new().validation_split(0.99), "Fit::validation_split"),
            (Fit::new().sample_weights(&[-1.0; 6]), "Fit::sample_weights"),
            (Fit::new().sample_weights(&[3e38; 6]), "Fit::sample_weights"),
        ] {
            let error = fit(sigmoid(), Loss::BinaryCrossEntropy, &bits, options);
            assert_eq!(option(&error), name);
        }
        // Before the first step, of the data to validate on, too.
        let wide = Targets::values([1.0; 12], 2);
        for (y, validation) in [(&wide, &bits), (&bits, &wide)] {
            let options = Fit::new().validation_data(&x, validation);
            let error = fit(sigmoid(), Loss::BinaryCrossEntropy, y, options);
            let error = match error {
                Error::At { place, error } if place == "Fit::validation_data" => *error,
                error => error,
            };
            assert_eq!(option(&error), "Targets::width");
            assert!(error.to_string().contains("is 2, expected 1"), "{error}");
        }
        let options = Fit::new().validation_data(&x, &classes);
        let error = fit(sigmoid(), Loss::BinaryCrossEntropy, &bits, options);
        let text = "Fit::validation_data: Loss::BinaryCrossEntropy needs Targets::values, found Targets::classes";
        assert!(error.to_string().starts_with(text), "{error}");
        let mut without_layers = Sequential::new(device);
        without_layers.compile(Adam::default(), Loss::BinaryCrossEntropy, &[]);
        let error = without_layers.fit(&x, &bits, Fit::new().quiet()).unwrap_err();
        assert!(matches!(error, Error::NotBuilt { call: "add", .. }), "{error}");
        let both = Fit::new().validation_split(0.5).validation_data(&x, &bits);
        let error = fit(sigmoid(), Loss::BinaryCrossEntropy, &bits, both);
        assert_eq!(unsupported(&error), ["Fit::validation_split", "Fit::validation_data"]);
        let none = Targets::values([1.0; 6], 0);
        let error = fit(sigmoid(), Loss::BinaryCrossEntropy, &none, Fit::new());
        assert_eq!(option(&error), "Targets::width");
        let other = Sequences::from_array(&[0.5; 6], [2, 1, 3]).unwrap();
        let y = Targets::values([1.0; 2], 1);
        let options = Fit::new().validation_data(&other, &y);
        let error = fit(sigmoid(), Loss::BinaryCrossEntropy, &bits, options);
        assert!(
            matches!(
                error,
                Error::Features { op: "Fit::validation_data", expected: 2, found: 3, .. }
            ),
            "{error}"
        );
        let empty = Sequences::new(2, Vec::<Vec<f32>>::new()).unwrap();
        let mut model = model(device, sigmoid());
        assert!(matches!(model.fit(&x, &bits, Fit::new()), Err(Error::NotBuilt { .. })));
        model.compile(Adam::default(), Loss::BinaryCrossEntropy, &[]);
        let none = Targets::values(Vec::<f32>::new(), 1);
        let error = model.fit(&empty, &none, Fit::new().quiet()).unwrap_err();
        assert!(matches!(error, Error::Empty { .. }), "{error}");
        model.fit(&x, &bits, Fit::new().epochs(1).quiet()).unwrap();
        assert!(matches!(model.evaluate(&empty, &none), Err(Error::Empty { .. })));
        assert_eq!(model.predict(&empty).unwrap().rows(), 0);
        assert_eq!(
            model.predict(&other).unwrap_err().to_string(),
            "Sequential::predict: 3 features a frame, expected 2; the model was made for frames of so \
             many: give it the columns that it learned from, in their order"
        );
        let error = model.predict_batches(&x, 0).unwrap_err();
        assert_eq!(option(&error), "Sequential::predict_batches");
        let error = model.evaluate_batches(&x, &bits, 0).unwrap_err();
        assert_eq!(option(&error), "Sequential::evaluate_batches");
        let mut model = Sequential::new(device);
        assert!(matches!(model.build(1), Err(Error::NotBuilt { .. })));
        assert!(matches!(model.predict(&x), Err(Error::NotBuilt { .. })));
    }
}

#[test]
fn sequences_check_their_shape() {
    let of = |features, rows: Vec<Vec<f32>>| Sequences::new(features, rows).unwrap_err();
    assert_eq!(option(&of(0, vec![])), "Sequences::features");
    let error = of(2, vec![vec![1.0; 4], vec![1.0; 3]]);
    assert_eq!(error, Error::Frame { sequence: 1, values: 3, features: 2 });
    assert_eq!(
        error.to_string(),
        "sequence 1 has 3 values, expected a multiple of 2, the features of a frame"
    );
    let error = Sequences::from_tokens([vec![1], vec![2, 1 << 24]]).unwrap_err();
    let found = (1 << 24) as f32;
    assert_eq!(error, Error::Token { sequence: 1, place: 1, found, tokens: 1 << 24 });
    assert!(matches!(of(2, vec![vec![1.0; 2], vec![]]), Error::Length { row: 1, .. }));
    assert!(matches!(Sequences::from_array::<f32>(&[], [0, 1, 1]), Err(Error::Empty { .. })));
    assert!(matches!(Sequences::from_array(&[1.0], [1, 1, 2]), Err(Error::Count { .. })));
}

#[test]
fn a_label_error_leaves_the_model_as_it_was_trained() {
    let device = &devices()[0];
    let x = sequences();
    let mut model = model(device, Dense::new(3).activation(Activation::Softmax));
    model.compile(Adam::default(), Loss::CrossEntropy, &[]);
    let good = Targets::classes([0, 1, 2, 0, 1, 2]);
    model.fit(&x, &good, Fit::new().epochs(3).quiet()).unwrap();
    let before = model.params().get("lstm.weight_hh_l0").unwrap();
    let bad = Targets::classes([9; 6]);
    assert!(model.fit(&x, &bad, Fit::new().quiet()).is_err());
    assert_eq!(model.params().get("lstm.weight_hh_l0").unwrap(), before);
    model.fit(&x, &good, Fit::new().quiet()).unwrap();
    assert_ne!(model.params().get("lstm.weight_hh_l0").unwrap(), before);
}

#[test]
fn a_wrong_label_is_named_by_its_place_in_the_data_before_anything_is_trained() {
    let x = sequences();
    let mut labels: Vec<u32> = (0..x.len() as u32).map(|i| i % 2).collect();
    let wrong = labels.len() - 1;
    labels[wrong] = 9;
    let mut model = model(&Device::cpu().unwrap(), Dense::new(2));
    model.compile(Adam::default(), Loss::CrossEntropy, &[]);
    let fit = Fit::new().batch_size(2).validation_split(0.5).quiet();
    let error = model.fit(&x, &Targets::classes(labels), fit).unwrap_err();
    assert_eq!(error, Error::Label { row: wrong, found: 9, classes: 2 });
    // Nor was it built for these sequences.
    assert_eq!(model.params().parameter_count(), 0);
}

#[test]
fn numbers_that_are_none_are_refused() {
    let error = Sequences::new(1, [[1.0, 2.0], [3.0, f32::NAN]]).unwrap_err();
    assert!(
        matches!(&error, Error::NotFinite { place, .. } if place == "value 1 of sequence 1"),
        "{error}"
    );
    let mut values = [0.5; 3 * 2 * 2];
    values[11] = f32::INFINITY;
    let error = Sequences::from_array(&values, [3, 2, 2]).unwrap_err();
    assert!(
        matches!(&error, Error::NotFinite { place, .. } if place == "value 3 of sequence 2 (frame 1, column 1)"),
        "{error}"
    );
    let x = sequences();
    let mut model = model(&Device::cpu().unwrap(), Dense::new(1));
    model.compile(Sgd::new(0.1), Loss::BinaryCrossEntropy, &[]);
    let two = Targets::values(vec![2.0; x.len()], 1);
    let error = model.fit(&x, &two, Fit::new().quiet()).unwrap_err();
    assert!(matches!(error, Error::Target { at: 0, found: 2.0, .. }), "{error}");
    let mut model = self::model(&Device::cpu().unwrap(), Dense::new(1));
    model.compile(Sgd::new(3e38), Loss::MeanSquaredError, &[]);
    let y = Targets::values(vec![1.0; x.len()], 1);
    let error = model.fit(&x, &y, Fit::new().epochs(9).quiet()).unwrap_err();
    assert!(matches!(error, Error::Diverged { epoch: 2, batch: Some(1), .. }), "{error}");
}

#[test]
fn layers_may_follow_a_built_model() {
    let mut model = model(&Device::cpu().unwrap(), Dense::new(2));
    model.build(3).unwrap();
    let mut model = model.add(Dense::new(5));
    model.build(3).unwrap();
    assert_eq!(model.params().shape("dense_1.weight").unwrap(), [5, 2]);
    assert!(matches!(model.build(4), Err(Error::Features { expected: 3, found: 4, .. })));
}
