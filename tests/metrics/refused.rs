//! Metrics that do not fit say so before the first step.

use super::{Average, Metric, Targets, devices, sequences};
use wgpu_lstm::nn::{Dense, Pool, Pooling};
use wgpu_lstm::train::{Fit, Loss, Sgd};
use wgpu_lstm::{Error, Sequential};

/// The error of a model with so many outputs; its parameters are not even made.
fn refused(width: usize, loss: Loss, metric: Metric, pooled: bool) -> Error {
    let mut model = Sequential::new(&devices()[0]).add(Dense::new(width));
    if pooled {
        model = model.add(Pool::new(Pooling::Mean));
    }
    let x = sequences(&[0.5; 6], 2, &[1, 2]);
    let rows = if pooled { 2 } else { 3 };
    let y = match loss {
        Loss::CrossEntropy => Targets::classes(vec![0; rows]),
        _ => Targets::values(vec![1.0; rows * width], width),
    };
    model.compile(Sgd::new(0.1), loss, &[metric]);
    let error = model.fit(&x, &y, Fit::new().quiet()).unwrap_err();
    assert!(model.params().names().is_empty(), "built before {error}");
    model.build(2).unwrap();
    assert_eq!(model.evaluate(&x, &y).unwrap_err(), error);
    error
}

#[test]
fn a_loss_of_another_kind() {
    let tags = vec!["O".to_owned(); 3];
    for metric in [
        Metric::Accuracy,
        Metric::BinaryAccuracy { threshold: 0.5 },
        Metric::TopK(2),
        Metric::F1(Average::Macro),
        Metric::Precision(Average::Micro),
        Metric::Recall(Average::Class(0)),
        Metric::Mcc,
        Metric::RocAuc,
        Metric::AveragePrecision,
        Metric::LogLoss,
        Metric::Perplexity,
        Metric::EditDistance,
        Metric::ErrorRate,
        Metric::Bleu,
        Metric::SpanF1 { tags },
    ] {
        let error = refused(3, Loss::MeanSquaredError, metric.clone(), false);
        let Error::Loss { loss, expected, found } = &error else { panic!("{metric:?}: {error}") };
        assert!(format!("{metric:?}").starts_with(loss.strip_prefix("Metric::").unwrap()));
        assert!(expected.contains("CrossEntropy"), "{error}");
        assert_eq!(found, "Loss::MeanSquaredError");
    }
    for metric in [
        Metric::MeanAbsoluteError,
        Metric::MeanSquaredError,
        Metric::RootMeanSquaredError,
        Metric::MeanAbsolutePercentageError,
        Metric::SymmetricMeanAbsolutePercentageError,
        Metric::Mase { scale: 1.0 },
        Metric::R2,
        Metric::Pinball { quantile: 0.5 },
        Metric::Crps { quantiles: vec![0.5; 3] },
        Metric::Coverage { lower: 0, upper: 1 },
    ] {
        for loss in [Loss::CrossEntropy, Loss::BinaryCrossEntropy] {
            let error = refused(3, loss, metric.clone(), false);
            assert!(matches!(error, Error::Loss { .. }), "{metric:?}: {error}");
        }
    }
    const EITHER: &str = "Loss::CrossEntropy or Loss::Ctc";
    for (metric, wanted) in [
        (Metric::TopK(1), "Loss::CrossEntropy"),
        (Metric::Perplexity, "Loss::CrossEntropy"),
        (Metric::Bleu, EITHER),
        (Metric::ErrorRate, EITHER),
    ] {
        let error = refused(3, Loss::BinaryCrossEntropy, metric, false);
        assert!(matches!(error, Error::Loss { expected, .. } if expected == wanted), "{error}");
    }
    let error = refused(3, Loss::CrossEntropy, Metric::BinaryAccuracy { threshold: 0.5 }, false);
    assert!(matches!(error, Error::Loss { expected: "Loss::BinaryCrossEntropy", .. }), "{error}");
}

#[test]
fn options_that_make_no_sense() {
    let tags = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let (classes, numbers) = (Loss::CrossEntropy, Loss::MeanSquaredError);
    let yes = Loss::BinaryCrossEntropy;
    for (width, loss, metric, option) in [
        (3, &classes, Metric::TopK(0), "Metric::TopK"),
        (3, &classes, Metric::F1(Average::Class(3)), "Metric::F1"),
        (1, &yes, Metric::Recall(Average::Class(2)), "Metric::Recall"),
        (3, &yes, Metric::Mcc, "Metric::Mcc"),
        (1, &yes, Metric::BinaryAccuracy { threshold: 1.0 }, "BinaryAccuracy::threshold"),
        (1, &yes, Metric::BinaryAccuracy { threshold: f32::NAN }, "BinaryAccuracy::threshold"),
        (1, &numbers, Metric::Pinball { quantile: 0.0 }, "Pinball::quantile"),
        (1, &numbers, Metric::Mase { scale: 0.0 }, "Mase::scale"),
        (1, &numbers, Metric::Mase { scale: f32::INFINITY }, "Mase::scale"),
        (2, &numbers, Metric::Crps { quantiles: vec![] }, "Crps::quantiles"),
        (2, &numbers, Metric::Crps { quantiles: vec![0.5] }, "Crps::quantiles"),
        (2, &numbers, Metric::Crps { quantiles: vec![0.5, 1.5] }, "Crps::quantiles"),
        (2, &numbers, Metric::Coverage { lower: 0, upper: 2 }, "Metric::Coverage"),
        (2, &numbers, Metric::Coverage { lower: 1, upper: 0 }, "Metric::Coverage"),
        (3, &classes, Metric::SpanF1 { tags: tags(&["O", "B-A"]) }, "SpanF1::tags"),
        (3, &classes, Metric::SpanF1 { tags: tags(&["O", "B-A", "A"]) }, "SpanF1::tags"),
    ] {
        let error = refused(width, loss.clone(), metric, false);
        assert!(matches!(&error, Error::Option { option: o, .. } if *o == option), "{error}");
    }
    for metric in [Metric::EditDistance, Metric::ErrorRate, Metric::Bleu] {
        let error = refused(3, Loss::CrossEntropy, metric, true);
        assert!(matches!(error, Error::Option { .. }), "{error}");
    }
    let error = refused(3, Loss::CrossEntropy, Metric::F1(Average::Class(3)), false);
    let text = "Metric::F1 is of class 3, expected the number of a class; the model has 3 outputs";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_confusion_matrix_of_numbers() {
    let mut model = Sequential::new(&devices()[0]).add(Dense::new(2));
    let x = sequences(&[0.5; 6], 2, &[1, 2]);
    let y = Targets::values([1.0; 6], 2);
    let error = model.confusion_matrix(&x, &y).unwrap_err();
    assert!(matches!(error, Error::NotBuilt { call: "compile", .. }), "{error}");
    model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
    model.build(2).unwrap();
    let error = model.confusion_matrix(&x, &y).unwrap_err();
    let own = "Sequential::confusion_matrix";
    assert!(matches!(error, Error::Loss { loss, .. } if loss == own), "{error}");
    model.compile(Sgd::new(0.1), Loss::BinaryCrossEntropy, &[]);
    let error = model.confusion_matrix(&x, &y).unwrap_err();
    assert!(matches!(error, Error::Option { option, .. } if option == own), "{error}");
}
