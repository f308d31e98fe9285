//! Losses against probabilities, with weights of classes, and of several quantiles: against PyTorch's and Keras', and
//! in whole trainings.

use super::gradient;
use crate::common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::{self, BinaryCrossEntropy, CrossEntropy, Labels, RowWeights};
use wgpu_lstm::nn::{Activation, Dense, Lstm, Params};
use wgpu_lstm::train::{Fit, Loss, Metric, Sgd};
use wgpu_lstm::{Device, Error, Sequential, Tape, Tensor, Var};

#[test]
fn losses_against_probabilities() {
    let v = Vectors::load("targets");
    for device in devices() {
        let params = Params::new(device);
        let labels = Labels::probabilities(&v.get("y"), 5, device).unwrap();
        let plain = CrossEntropy::new;
        let weighted = || CrossEntropy::new().class_weights(v.get("classes"));
        for (name, kind) in [
            ("soft", plain()),
            ("soft_smoothed", plain().label_smoothing(0.1)),
            ("soft_weighted", weighted()),
            ("soft_all", weighted().label_smoothing(0.2)),
            ("keras", plain()),
            ("keras_smoothed", plain().label_smoothing(0.1)),
        ] {
            let tape = Tape::new(&params);
            let x = tape.input(v.tensor("x", [6, 5], device));
            let loss = kind.loss(&tape, &x, &labels, None).unwrap();
            let what = format!("{name} on {device}");
            close(&what, &value(&loss), &v.get(name), 1e-5);
            if let Some(d_x) = v.find(&format!("d_{name}")) {
                close(&what, &gradient(&tape.backward(&loss).unwrap(), &x), &d_x, 1e-5);
            }
        }
        // By the head of a model, whose logits it makes itself.
        let head = Dense::new(5).build(&params, 5).unwrap();
        let names = params.names();
        let identity: Vec<_> = (0..25).map(|i| f32::from(u8::from(i % 6 == 0))).collect();
        let weight = names.iter().find(|n| n.ends_with("weight")).unwrap();
        params.set(weight, &identity).unwrap();
        let tape = Tape::new(&params);
        let x = Var::from(v.tensor("x", [6, 5], device));
        let loss = head.cross_entropy(&tape, &x, &plain(), &labels, None).unwrap();
        close(&format!("a head on {device}"), &value(&loss), &v.get("soft"), 1e-5);
    }
}

#[test]
fn weights_of_yes_and_no() {
    let v = Vectors::load("targets");
    for device in devices() {
        let params = Params::new(device);
        let tape = Tape::new(&params);
        let x = tape.input(v.tensor("binary_x", [6, 3], device));
        let y = v.tensor("binary_y", [6, 3], device);
        let kind = BinaryCrossEntropy::new().pos_weight(v.get("pos"));
        let loss = kind.loss(&tape, &x, &y, None).unwrap();
        let what = format!("PyTorch's pos_weight on {device}");
        close(&what, &value(&loss), &v.get("binary_pos"), 1e-5);
        close(&what, &gradient(&tape.backward(&loss).unwrap(), &x), &v.get("d_binary_pos"), 1e-5);

        let tape = Tape::new(&params);
        let (x, y) = (v.tensor("one_x", [8, 1], device).into(), v.tensor("one_y", [8, 1], device));
        let kind = BinaryCrossEntropy::new().class_weights([0.75, 4.0]);
        let loss = kind.loss(&tape, &x, &y, None).unwrap();
        let what = format!("Keras' class_weight on {device}");
        close(&what, &value(&loss), &v.get("one_weighted"), 1e-5);
        // One number serves all outputs, and 1 changes nothing.
        let of = |kind: BinaryCrossEntropy| value(&kind.loss(&tape, &x, &y, None).unwrap());
        let plain = of(BinaryCrossEntropy::new());
        close(&what, &of(BinaryCrossEntropy::new().pos_weight([1.0])), &plain, 1e-6);
    }
}

#[test]
fn several_quantiles() {
    let v = Vectors::load("targets");
    let levels = [0.1, 0.5, 0.8];
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(v.tensor("quantiles_x", [7, 6], device));
        let y = v.tensor("quantiles_y", [7, 2], device);
        let loss = loss::quantiles(&tape, &x, &y, &levels, None).unwrap();
        let what = format!("quantiles on {device}");
        close(&what, &value(&loss), &v.get("quantiles"), 1e-5);
        close(&what, &gradient(&tape.backward(&loss).unwrap(), &x), &v.get("d_quantiles"), 1e-5);
        // Of one quantile it is that loss.
        let tape = Tape::new(&Params::new(device));
        let y = v.tensor("quantiles_x", [7, 6], device);
        let x = Tensor::zeros([7, 6], device).unwrap().into();
        let one = loss::quantile(&tape, &x, &y, 0.3, None).unwrap();
        let several = loss::quantiles(&tape, &x, &y, &[0.3], None).unwrap();
        close(&what, &value(&several), &value(&one), 1e-6);
    }
}

/// Rows of weight 0 may hold anything.
#[test]
fn padding_does_not_count() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(tensor(&[f32::NAN, 1.0, 2.0, 1.0], [2, 2], device));
        let weights = RowWeights::new(&[0.0, 3.0], device).unwrap();
        let labels = Labels::probabilities(&[0.0, 0.0, 0.25, 0.75], 2, device).unwrap();
        let soft = loss::cross_entropy(&tape, &x, &labels, Some(&weights)).unwrap();
        let log = (1f32.exp() + 1.0).ln();
        close("soft", &value(&soft), &[0.25 * (log - 1.0) + 0.75 * log], 1e-5);
        let y = tensor(&[f32::NAN, 0.0, 1.0, 0.0], [2, 2], device);
        let kind = BinaryCrossEntropy::new().pos_weight([2.0]);
        let binary = kind.loss(&tape, &x, &y, Some(&weights)).unwrap();
        let softplus = |x: f32| x.exp().ln_1p();
        close("yes", &value(&binary), &[(2.0 * softplus(-2.0) + softplus(1.0)) / 2.0], 1e-5);
        let y = tensor(&[f32::NAN, 3.0], [2, 1], device);
        let both = loss::quantiles(&tape, &x, &y, &[0.1, 0.9], Some(&weights)).unwrap();
        close("quantiles", &value(&both), &[(0.1 + 1.8) / 2.0], 1e-5);
        let loss = [(&soft, 1.0), (&binary, 1.0), (&both, 1.0)]
            .map(|(loss, w)| (loss, tensor(&[w], [1], device)));
        let d_x = gradient(&tape.backward_from(&loss).unwrap(), &x);
        assert_eq!(d_x[..2], [0.0; 2]);
        assert!(d_x[2..].iter().all(|d| d.is_finite() && *d != 0.0), "{d_x:?}");
    }
}

#[test]
fn options_that_make_no_sense() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(Tensor::zeros([2, 3], device).unwrap());
        let y = Tensor::zeros([2, 3], device).unwrap();
        for bad in [vec![], vec![1.0, 2.0], vec![-1.0], vec![f32::NAN], vec![1e13]] {
            let error = BinaryCrossEntropy::new().pos_weight(bad).loss(&tape, &x, &y, None);
            let option = "BinaryCrossEntropy::pos_weight";
            assert!(matches!(error, Err(Error::Option { option: o, .. }) if o == option));
        }
        for bad in [vec![], vec![0.0], vec![1.0], vec![0.5, 0.5], vec![0.9, 0.1], vec![f32::NAN]] {
            let error = loss::quantiles(&tape, &x, &y, &bad, None);
            assert!(matches!(error, Err(Error::Option { option: "Loss::Quantiles", .. })));
        }
        let error = loss::quantiles(&tape, &x, &y, &[0.1, 0.9], None).unwrap_err();
        let text = "loss::quantiles: `prediction` is [2, 3], expected [..,C*Q] = [2, 6]; the prediction has an \
                    output for each quantile of each target";
        assert_eq!(error.to_string(), text);
        let error = loss::quantiles(&tape, &x, &y, &[0.1, 0.5, 0.9], None).unwrap_err();
        assert!(matches!(error, Error::Shape { arg: "targets", .. }), "{error}");
        let labels = Labels::probabilities(&[0.25; 8], 4, device).unwrap();
        let error = loss::cross_entropy(&tape, &x, &labels, None).unwrap_err();
        assert!(matches!(error, Error::Shape { arg: "labels", .. }), "{error}");
        let labels = Labels::probabilities(&[0.25; 6], 3, device).unwrap();
        let error = CrossEntropy::new().ignore_index(0).loss(&tape, &x, &labels, None).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(matches!(Labels::probabilities(&[0.5; 3], 2, device), Err(Error::Count { .. })));
        assert!(matches!(Labels::probabilities(&[], 0, device), Err(Error::Option { .. })));
    }
}

/// Frames of sequences of different lengths, with a class each.
fn frames() -> (Sequences, Vec<u32>) {
    let lengths = [3, 5, 1, 4, 2, 5];
    let row =
        |&n: &usize| (0..2 * n).map(|i| (i as f32 * 0.7 + n as f32).sin()).collect::<Vec<_>>();
    let x = Sequences::new(2, lengths.iter().map(row)).unwrap();
    let labels = (0..x.total_frames() as u32).map(|i| i * 5 % 3).collect();
    (x, labels)
}

/// One-hot rows are classes, in training, evaluation and metrics, by frames of different lengths with weights.
#[test]
fn one_hot_rows_train_as_classes_do() {
    let (x, labels) = frames();
    let one_hot: Vec<f32> = labels
        .iter()
        .flat_map(|&label| (0..3).map(move |j| f32::from(u8::from(j == label))))
        .collect();
    let classes = Targets::classes(labels);
    let weights = [1.0, 2.0, 0.5, 1.0, 0.0, 1.5];
    let loss = || {
        let options = CrossEntropy::new().label_smoothing(0.1);
        Loss::CrossEntropyWith(options)
    };
    for device in devices() {
        let train = |y: &Targets| {
            let head = Dense::new(3).activation(Activation::Softmax);
            let mut model =
                Sequential::new(device).add(Lstm::new(4).return_sequences()).add(head).seed(3);
            model.compile(Sgd::new(0.1), loss(), &[Metric::Accuracy, Metric::LogLoss]);
            let fit = Fit::new().epochs(3).batch_size(2).sample_weights(&weights);
            let history = model.fit(&x, y, fit.validation_data(&x, y).quiet()).unwrap();
            let last = history.epochs.last().unwrap();
            let mut found = [&last.training, last.validation.as_ref().unwrap()]
                .map(|e| [&[e.loss], &e.metrics[..]].concat())
                .concat();
            let matrix = model.confusion_matrix(&x, y).unwrap();
            found.extend((0..3).flat_map(|label| matrix.row(label).to_vec()).map(|w| w as f32));
            found.extend(model.params().get("dense.weight").unwrap());
            found
        };
        for y in [Targets::probabilities(one_hot.clone(), 3), Targets::values(one_hot.clone(), 3)] {
            close(&format!("one-hot on {device}"), &train(&y), &train(&classes), 2e-6);
        }
    }
}

/// Models learn what their losses say: the share of each class where all inputs are alike; quantiles; and yes,
/// rare as it is, where it counts more.
#[test]
fn models_learn_shares_and_quantiles() {
    let device = &Device::cpu().unwrap();
    let n = 40;
    let x = Sequences::from_array(&vec![1.0; n], [n, 1, 1]).unwrap();
    let learned = |outputs: usize, loss: Loss, y: &Targets, rate: f32| {
        let mut model = Sequential::new(device).add(Lstm::new(2)).add(Dense::new(outputs));
        model.compile(Sgd::new(rate), loss, &[]);
        model.fit(&x, y, Fit::new().epochs(400).batch_size(n).quiet()).unwrap();
        model.predict(&x).unwrap()
    };
    let soft = Targets::probabilities([0.1, 0.6, 0.3].repeat(n), 3);
    let found = learned(3, Loss::CrossEntropy, &soft, 0.5);
    let sum: f32 = found.row(0).iter().map(|x| x.exp()).sum();
    let shares: Vec<_> = found.row(0).iter().map(|x| x.exp() / sum).collect();
    close("shares", &shares, &[0.1, 0.6, 0.3], 1e-3);

    // One of ten is yes; nine times as much, it is as likely as no.
    let rare: Vec<_> = (0..n).map(|i| f32::from(u8::from(i % 10 == 0))).collect();
    let weighted = Loss::BinaryCrossEntropyWith(BinaryCrossEntropy::new().pos_weight([9.0]));
    let found = learned(1, weighted, &Targets::values(rare.clone(), 1), 0.5);
    assert!(found.row(0)[0].abs() < 1e-2, "{found:?}");
    let found = learned(1, Loss::BinaryCrossEntropy, &Targets::values(rare, 1), 0.5);
    assert!((found.row(0)[0] + 9f32.ln()).abs() < 1e-2, "{found:?}");
    assert_eq!(found.classes_at(0.05), vec![1; n]);
    assert_eq!(found.classes_at(0.2), vec![0; n]);
    assert_eq!((found.classes_at(0.5), found.width()), (found.classes(), 1));
    assert_eq!((found.classes_at(1.0), found.classes_at(0.0)), (vec![0; n], vec![1; n]));
    assert_eq!((found.column(0), found.column(1)), (found.values().to_vec(), vec![]));

    // Of two targets, from 0 up to 1 and from 2 up to 4.
    let y: Vec<_> = (0..n).flat_map(|i| [i, 2 * i + 2 * n].map(|y| y as f32 / n as f32)).collect();
    let loss = Loss::Quantiles(vec![0.1, 0.5, 0.9]);
    let found = learned(6, loss, &Targets::values(y, 2), 1.0);
    let expected = [0.1, 0.5, 0.9, 2.2, 3.0, 3.8];
    for (found, expected) in found.row(0).iter().zip(expected) {
        assert!((found - expected).abs() < 0.06, "{found} for {expected}");
    }
}
