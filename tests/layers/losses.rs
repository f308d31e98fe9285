//! Losses and the weights of rows.

use super::gradient;
use crate::common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::loss::{self, CrossEntropy, Labels};
use wgpu_lstm::nn::Params;
use wgpu_lstm::{Error, Mask, Tape, Tensor, Var};

#[test]
fn losses_between_numbers_and_classes() {
    let v = Vectors::load("layer_losses");
    let labels: Vec<_> = v.get("labels").iter().map(|&l| l as u32).collect();
    for device in devices() {
        let params = Params::new(device);
        let y = v.tensor("y", [6, 5], device);
        let labels = Labels::new(&labels, device).unwrap();
        type Of<'a> = &'a dyn Fn(&Tape, &Var) -> Var;
        let classes = |options: CrossEntropy| {
            let labels = &labels;
            move |tape: &Tape, x: &Var| options.loss(tape, x, labels, None).unwrap()
        };
        let weighted = CrossEntropy::new().class_weights(v.get("classes"));
        let all: [(&str, Of); 7] = [
            ("mae", &|tape, x| loss::mean_absolute_error(tape, x, &y, None).unwrap()),
            ("huber", &|tape, x| loss::huber(tape, x, &y, 0.7, None).unwrap()),
            ("quantile", &|tape, x| loss::quantile(tape, x, &y, 0.8, None).unwrap()),
            ("ignored", &classes(CrossEntropy::new().ignore_index(3))),
            ("smoothed", &classes(CrossEntropy::new().label_smoothing(0.1))),
            ("weighted", &classes(weighted.clone())),
            ("all", &classes(weighted.ignore_index(3).label_smoothing(0.2))),
        ];
        for (name, of) in all {
            let tape = Tape::new(&params);
            let x = tape.input(v.tensor("x", [6, 5], device));
            let loss = of(&tape, &x);
            let what = format!("{name} on {device}");
            close(&what, &value(&loss), &v.get(name), 1e-5);
            let found = gradient(&tape.backward(&loss).unwrap(), &x);
            close(&what, &found, &v.get(&format!("d_{name}")), 1e-4);
        }
    }
}

#[test]
fn rows_that_do_not_count() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(tensor(&[f32::NAN, 1.0, 2.0, f32::INFINITY], [2, 2], device));
        let labels = Labels::new(&[u32::MAX; 2], device).unwrap();
        let loss = CrossEntropy::new().ignore_index(u32::MAX).loss(&tape, &x, &labels, None);
        let loss = loss.unwrap();
        assert_eq!(value(&loss), [0.0]);
        assert_eq!(gradient(&tape.backward(&loss).unwrap(), &x), [0.0; 4]);
    }
}

#[test]
fn options_of_losses_that_make_no_sense() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(Tensor::zeros([2, 3], device).unwrap());
        let y = Tensor::zeros([2, 3], device).unwrap();
        let labels = Labels::new(&[0, 2], device).unwrap();
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let huber = loss::huber(&tape, &x, &y, bad, None);
            assert!(matches!(huber, Err(Error::Option { option: "Huber::delta", .. })));
            let quantile = loss::quantile(&tape, &x, &y, bad, None);
            assert!(matches!(quantile, Err(Error::Option { option: "Quantile::quantile", .. })));
        }
        let of = |options: CrossEntropy| match options.loss(&tape, &x, &labels, None) {
            Err(Error::Option { option, .. }) => option,
            other => panic!("{other:?}"),
        };
        let smooth = CrossEntropy::new().label_smoothing(1.5);
        assert_eq!(of(smooth), "CrossEntropy::label_smoothing");
        for weights in [&[1.0; 2][..], &[1.0, -1.0, 1.0]] {
            let weighted = CrossEntropy::new().class_weights(weights);
            assert_eq!(of(weighted), "CrossEntropy::class_weights");
        }
        let labels = Labels::new(&[0, 3], device).unwrap();
        let error = CrossEntropy::new().ignore_index(7).loss(&tape, &x, &labels, None);
        assert!(matches!(error, Err(Error::Label { row: 1, found: 3, classes: 3 })));
    }
}

#[test]
fn weights_of_rows_from_a_mask() {
    for device in devices() {
        let on = [true, false, true, false, false, true];
        let mask = Mask::new(&on, [2, 3], device).unwrap();
        let weights = loss::RowWeights::from_mask(&mask).unwrap();
        assert_eq!(weights.values(), [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        assert_eq!(weights.sum(), 3.0);
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(tensor(&[1.0, 9.0, 2.0, 9.0, 9.0, 3.0], [2, 3, 1], device));
        let y = Tensor::zeros([2, 3, 1], device).unwrap();
        let loss = loss::mean_absolute_error(&tape, &x, &y, Some(&weights)).unwrap();
        close(&format!("a mean over a mask's steps on {device}"), &value(&loss), &[2.0], 1e-6);
        let d_x = gradient(&tape.backward(&loss).unwrap(), &x);
        assert_eq!([d_x[1], d_x[3], d_x[4]], [0.0; 3], "{device}");
        let nothing = Mask::new(&[false; 6], [2, 3], device).unwrap();
        let error = loss::RowWeights::from_mask(&nothing).unwrap_err();
        assert!(matches!(error, Error::Option { option: "RowWeights::weights", .. }), "{error}");
    }
}
