//! Metrics of models with several quantiles of each target, and of yes and no at a threshold.

use super::{Average, Metric, Sequences, Targets, Vectors, close, devices, identity, trained};
use wgpu_lstm::train::metrics::best_threshold;
use wgpu_lstm::train::{Fit, Loss, Sgd};
use wgpu_lstm::{Error, Sequential, nn::Dense};

const LEVELS: [f32; 3] = [0.1, 0.5, 0.8];

#[test]
fn of_several_quantiles() {
    let v = Vectors::load("targets");
    let metrics = [
        (Metric::Pinball { quantile: 0.8 }, "pinball"),
        (Metric::Crps { quantiles: LEVELS.to_vec() }, "crps"),
        (Metric::Coverage { lower: 0, upper: 2 }, "coverage"),
        (Metric::IntervalWidth { lower: 0, upper: 2 }, "width"),
        (Metric::MeanAbsoluteError, "mae"),
        (Metric::RootMeanSquaredError, "rmse"),
        (Metric::R2, "r2"),
    ];
    let x = Sequences::from_array(&v.get("quantiles_x"), [7, 1, 6]).unwrap();
    let y = Targets::values(v.get("quantiles_y"), 2);
    let own: Vec<_> = metrics.iter().map(|(metric, _)| metric.clone()).collect();
    for device in devices() {
        let mut model = identity(6, Loss::Quantiles(LEVELS.to_vec()), &own, device);
        for (way, weights) in [("plain", vec![1.0; 7]), ("weighted", v.get("quantiles_w"))] {
            let expected: Vec<_> =
                metrics.iter().map(|(_, name)| v.get(&format!("{way}_{name}"))[0]).collect();
            for batch in [1, 3, 7] {
                let found = trained(&mut model, &x, &y, &weights, batch);
                close(&format!("{way} by {batch} on {device}"), &found.metrics, &expected, 2e-6);
            }
        }
        let loss = model.evaluate(&x, &y).unwrap().loss;
        close("loss", &[loss], &v.get("quantiles"), 1e-6);
    }
}

#[test]
fn of_columns_without_quantiles() {
    // Widths of 1 and 3.
    let x = Sequences::from_array(&[0.0, 1.0, 2.0, 5.0], [2, 1, 2]).unwrap();
    let y = Targets::values([0.0; 4], 2);
    let metrics = [Metric::IntervalWidth { lower: 0, upper: 1 }];
    for device in devices() {
        let model = identity(2, Loss::MeanAbsoluteError, &metrics, device);
        let found = model.evaluate(&x, &y).unwrap();
        assert_eq!((found.metrics, &found.names[0][..]), (vec![2.0], "interval_width"));
    }
}

#[test]
fn of_yes_and_no_at_a_threshold() {
    let v = Vectors::load("targets");
    let x = Sequences::from_array(&v.get("rare_x"), [40, 1, 1]).unwrap();
    let y = Targets::values(v.get("rare_y"), 1);
    let one = Average::Class(1);
    for device in devices() {
        for (name, threshold) in [("30", 0.3), ("70", 0.7)] {
            let metrics = [
                (Metric::Accuracy.at(threshold), "accuracy"),
                (Metric::Precision(one).at(threshold), "precision"),
                (Metric::Recall(one).at(threshold), "recall"),
                (Metric::F1(one).at(threshold), "f1"),
                (Metric::F1(Average::Macro).at(threshold), "macro"),
                (Metric::Mcc.at(threshold), "mcc"),
                (Metric::BinaryAccuracy { threshold }, "accuracy"),
            ];
            let own: Vec<_> = metrics.iter().map(|(metric, _)| metric.clone()).collect();
            // Beside the same at a half.
            let all = [own.clone(), vec![Metric::F1(one), Metric::Accuracy]].concat();
            let model = identity(1, Loss::BinaryCrossEntropy, &all, device);
            let found = model.evaluate_batches(&x, &y, 7).unwrap();
            let expected: Vec<_> =
                metrics.iter().map(|(_, of)| v.get(&format!("rare_{of}_{name}"))[0]).collect();
            close(&format!("{name} on {device}"), &found.metrics[..own.len()], &expected, 2e-6);
            assert_eq!(found.names[3], format!("f1_at_{threshold}"));
            let plain = identity(1, Loss::BinaryCrossEntropy, &all[own.len()..], device);
            assert_eq!(plain.evaluate(&x, &y).unwrap().metrics, found.metrics[own.len()..]);
            let said: Vec<_> = v.usizes(&format!("rare_said_{name}"));
            assert_eq!(model.predict(&x).unwrap().classes_at(threshold), said);
        }
    }
}

#[test]
fn the_best_threshold_is_scikit_learns() {
    let v = Vectors::load("targets");
    let positive: Vec<_> = v.get("rare_y").iter().map(|&y| y > 0.5).collect();
    let scores: Vec<_> = v.get("rare_x").iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
    let weights = v.get("rare_w");
    for (name, w) in [("plain", None), ("weighted", Some(&weights[..]))] {
        let (threshold, f1) = best_threshold(&scores, &positive, w).unwrap().unwrap();
        close(name, &[f1 as f32], &v.get(&format!("rare_best_{name}")), 1e-6);
        // It parts the scores where scikit-learn's does.
        let least = v.get(&format!("rare_least_{name}"))[0];
        let above = |t: f32| scores.iter().filter(|&&s| s > t).count();
        assert_eq!(above(threshold), above(least - 1e-4), "{threshold} for {least}");
    }
    let best = |scores: &[f32], positive: &[bool]| best_threshold(scores, positive, None).unwrap();
    assert_eq!(best(&[0.5, 0.2], &[false, false]), None);
    assert_eq!(best(&[0.5, f32::NAN], &[true, false]), None);
    assert_eq!(best(&[], &[]), None);
    // Where all are yes, and where scores are neighbours.
    assert_eq!(best(&[0.5, 0.2], &[true, true]), Some((0.1, 1.0)));
    assert_eq!(best(&[0.0], &[true]), Some((-0.5, 1.0)));
    let next = f32::from_bits(0.7f32.to_bits() + 1);
    assert_eq!(best(&[next, 0.7], &[true, false]), Some((0.7, 1.0)));
    assert!(best_threshold(&[0.5], &[], None).is_err());
}

#[test]
fn what_does_not_fit_says_so() {
    let refused = |width: usize, loss: &Loss, metric: Metric| {
        let mut model = Sequential::new(&devices()[0]).add(Dense::new(width));
        let x = Sequences::from_array(&[0.5; 2], [1, 1, 2]).unwrap();
        let targets = width / if let Loss::Quantiles(q) = loss { q.len() } else { 1 };
        let y = Targets::values(vec![1.0; targets], targets);
        model.compile(Sgd::new(0.1), loss.clone(), &[metric]);
        model.fit(&x, &y, Fit::new().quiet()).unwrap_err().to_string()
    };
    let all = &Loss::Quantiles(LEVELS.to_vec());
    let outer = &Loss::Quantiles(vec![0.1, 0.9]);
    let yes = &Loss::BinaryCrossEntropy;
    for (width, loss, metric, text) in [
        (
            4,
            outer,
            Metric::MeanAbsoluteError,
            "Metric::MeanAbsoluteError needs the quantile 0.5 in Loss::Quantiles, of which it is taken, found \
             [0.1, 0.9]",
        ),
        (
            6,
            all,
            Metric::Pinball { quantile: 0.9 },
            "Pinball::quantile is 0.9, expected one of [0.1, 0.5, 0.8]",
        ),
        (
            6,
            all,
            Metric::Crps { quantiles: vec![0.1, 0.5] },
            "Crps::quantiles is [0.1, 0.5], expected [0.1, 0.5, 0.8], those of the loss",
        ),
        (
            6,
            all,
            Metric::Coverage { lower: 0, upper: 3 },
            "Metric::Coverage is of the columns 0 and 3, expected places in [0.1, 0.5, 0.8], that of the lower \
             bound first",
        ),
        (
            2,
            yes,
            Metric::RocAuc.at(0.3),
            "Metric::at is of roc_auc, expected of accuracy, precision, recall, F1 or Matthews' coefficient",
        ),
        (1, yes, Metric::Accuracy.at(1.0), "Metric::at::threshold is 1, expected between 0 and 1"),
        (
            2,
            yes,
            Metric::Mcc.at(0.5),
            "Metric::Mcc is of 2 outputs with Loss::BinaryCrossEntropy, expected of one, or of classes: of \
             several outputs there is no one coefficient",
        ),
        (
            3,
            all,
            Metric::Accuracy.at(0.5),
            "Metric::at needs Loss::BinaryCrossEntropy, found Loss::Quantiles",
        ),
    ] {
        assert_eq!(refused(width, loss, metric), text);
    }
    let nested = Metric::Accuracy.at(0.5).at(0.3);
    assert!(refused(1, yes, nested).starts_with("Metric::at is of accuracy_at_0.5"));
    // A width that the quantiles do not divide.
    let mut model = Sequential::new(&devices()[0]).add(Dense::new(4));
    model.compile(Sgd::new(0.1), all.clone(), &[]);
    let x = Sequences::from_array(&[0.5; 2], [1, 1, 2]).unwrap();
    let error = model.fit(&x, &Targets::values([1.0], 1), Fit::new().quiet()).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Targets::width", .. }), "{error}");
    assert!(
        error.to_string().ends_with("with 4 outputs it has no whole number; make it 3"),
        "{error}"
    );
}
