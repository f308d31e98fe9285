//! Bad input: each a typed error that names what was expected and what was found. No panic.

#[path = "../common/mod.rs"]
mod common;
mod devices;
mod layers;
mod models;
mod slips;
mod targets;

use common::devices;
use wgpu_lstm::Sequential;
use wgpu_lstm::data::Sequences;
use wgpu_lstm::loss::{self, Labels, RowWeights};
use wgpu_lstm::nn::{Dense, Dropout, Layer, Lstm, Params};
use wgpu_lstm::{DType, Device, Error, Result, Tape, Tensor, Var};

/// The option that an error is about.
#[track_caller]
fn option(error: &Error) -> &'static str {
    match error {
        Error::Option { option, .. } => option,
        other => panic!("{other:?}"),
    }
}

/// The two things of which an error says that they do not go together.
#[track_caller]
fn unsupported(error: &Error) -> [&'static str; 2] {
    match error {
        Error::Unsupported { what, with, .. } => [what, with],
        other => panic!("{other:?}"),
    }
}

fn zeros(shape: &[usize], device: &Device) -> Var {
    Var::from(Tensor::zeros(shape, device).unwrap())
}

/// The error of an LSTM of 4 units on 3 features.
fn lstm_error(device: &Device, run: impl Fn(&Tape, &Lstm) -> Result<()>) -> Error {
    let params = Params::new(device);
    let layer = Lstm::new(4).build(&params, 3).unwrap();
    run(&Tape::new(&params), &layer).unwrap_err()
}

#[test]
fn an_error_of_the_users_own_comes_back_as_it_was() {
    struct Refuses;
    impl Layer for Refuses {
        fn kind(&self) -> &'static str {
            "refuses"
        }
        fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
            Err(Error::custom("1,2".parse::<f32>().unwrap_err()))
        }
        fn output_size(&self) -> usize {
            1
        }
        fn gives_sequence(&self, _: bool) -> bool {
            false
        }
        fn forward(&self, _: &Tape, x: &Var) -> Result<Var> {
            Ok(x.clone())
        }
        fn parameter_count(&self) -> usize {
            0
        }
    }
    let error = Sequential::new(&devices()[0]).add(Refuses).build(1).unwrap_err();
    assert_eq!(error.to_string(), "invalid float literal");
    assert_eq!(error, error.clone());
    assert_ne!(error, Error::custom("1,2".parse::<f32>().unwrap_err()));
    let Error::Custom(own) = &error else { panic!("{error:?}") };
    assert!(own.get().is::<std::num::ParseFloatError>());
}

/// `Debug` has the fields, `Display` the text.
#[test]
fn an_error_is_printed_for_programs_and_for_people() {
    let error = Error::Label { row: 1, found: 4, classes: 4 };
    assert_eq!(format!("{error:?}"), "Label { row: 1, found: 4, classes: 4 }");
    let text = "labels[1] is 4, expected 0..=3 (4 classes); labels begin with 0: if these go from 1 to 4, \
                take 1 off each, else give the last layer an output for each class";
    assert_eq!(format!("{error}"), text);
    let error = Error::Label { row: 1, found: 9, classes: 4 };
    assert_eq!(error.to_string(), "labels[1] is 9, expected 0..=3 (4 classes)");
}

#[test]
fn a_loss_and_what_is_dropped_are_floats() {
    for device in devices() {
        let params = Params::new(device);
        let wrong = |result: Result<()>| {
            matches!(result, Err(Error::DType { expected: DType::F32, found: DType::U32, .. }))
        };
        let numbers = |shape: &[usize]| {
            let n = shape.iter().product();
            Tensor::from_u32(&vec![1; n], shape, device).unwrap()
        };
        let tape = Tape::new(&params);
        let loss = tape.input(numbers(&[1]));
        assert!(wrong(tape.regularized(&loss).map(|_| ())));
        assert!(wrong(tape.backward(&loss).map(|_| ())));
        let tape = Tape::new(&params);
        let layer = Lstm::new(4).input_dropout(0.5).build(&params, 3).unwrap();
        assert!(wrong(layer.forward(&tape, &numbers(&[2, 5, 3]).into()).map(|_| ())));
        assert!(wrong(Dropout::new(0.5).forward(&tape, &numbers(&[2, 3]).into()).map(|_| ())));
        // Nothing, of however many rows, is no error.
        let nothing = zeros(&[0, usize::MAX, 3], device);
        let y = Dropout::new(0.5).features().forward(&tape, &nothing).unwrap();
        assert_eq!(y.shape(), nothing.shape());
        assert!(matches!(layer.forward(&tape, &nothing), Err(Error::Empty { .. })));
    }
}

#[test]
fn labels_and_weights_are_checked() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let logits = tape.input(Tensor::zeros([3, 4], device).unwrap());
        let labels = |l: &[u32]| Labels::new(l, device).unwrap();
        let error = loss::cross_entropy(&tape, &logits, &labels(&[0, 4, 1]), None).unwrap_err();
        assert_eq!(error, Error::Label { row: 1, found: 4, classes: 4 });
        assert!(error.to_string().starts_with("labels[1] is 4, expected 0..=3 (4 classes)"));
        let error = loss::cross_entropy(&tape, &logits, &labels(&[0, 1]), None).unwrap_err();
        assert!(matches!(error, Error::Shape { arg: "labels", .. }));
        for bad in [&[0.0, 0.0][..], &[1.0, -1.0], &[f32::NAN, 1.0], &[f32::INFINITY]] {
            let error = RowWeights::new(bad, device).unwrap_err();
            assert_eq!(option(&error), "RowWeights::weights", "{bad:?}");
        }
        let weights = RowWeights::new(&[1.0; 2], device).unwrap();
        let error =
            loss::cross_entropy(&tape, &logits, &labels(&[0, 1, 2]), Some(&weights)).unwrap_err();
        assert!(matches!(error, Error::Shape { arg: "weights", .. }));
        let targets = Tensor::zeros([3, 5], device).unwrap();
        let error = loss::mean_squared_error(&tape, &logits, &targets, None).unwrap_err();
        assert!(matches!(error, Error::Shape { arg: "targets", .. }));
    }
}

/// A mean is the same whatever the unit of its weights, as long as they have a sum.
#[test]
fn weights_of_any_unit_make_the_same_mean() {
    let (rows, columns) = (2, 1000);
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(Tensor::zeros([rows, columns], device).unwrap());
        let ones = Tensor::from_slice(&vec![1.0; rows * columns], [rows, columns], device).unwrap();
        let labels = Labels::new(&[3, 999], device).unwrap();
        for unit in [1e-36, 1e-10, 1.0, 1e10, 1e36] {
            let weights = RowWeights::new(&[unit, 3.0 * unit], device).unwrap();
            assert_eq!(weights.values(), [unit, 3.0 * unit]);
            let weights = Some(&weights);
            let squares = loss::mean_squared_error(&tape, &x, &ones, weights).unwrap();
            let plain = loss::cross_entropy(&tape, &x, &labels, weights).unwrap();
            let ignoring = loss::CrossEntropy::new().ignore_index(3);
            let ignoring = ignoring.loss(&tape, &x, &labels, weights).unwrap();
            let entropy = (columns as f32).ln();
            for (loss, expected) in [(squares, 1.0), (plain, entropy), (ignoring, entropy)] {
                let loss = loss.tensor().to_vec().unwrap()[0];
                assert!((loss - expected).abs() < 1e-4, "{unit}: {loss}, not {expected}");
            }
        }
        for bad in [1e-40, 3e38] {
            let error = RowWeights::new(&[bad, bad], device).unwrap_err();
            assert_eq!(option(&error), "RowWeights::weights");
        }
    }
}

fn sequences() -> Sequences {
    Sequences::from_array(&[0.5; 6 * 3 * 2], [6, 3, 2]).unwrap()
}

#[test]
fn a_gradient_needs_its_tape() {
    for device in devices() {
        let params = Params::new(device);
        let layer = Dense::new(1).build(&params, 2).unwrap();
        let run = |tape: &Tape, layer: &Dense| layer.forward(tape, &zeros(&[1, 2], device));
        let tape = Tape::inference(&params);
        let y = run(&tape, &layer).unwrap();
        let one = || Tensor::from_slice(&[1.0], [1, 1], device).unwrap();
        let refused = |tape: Tape, y: &Var| {
            matches!(tape.backward_from(&[(y, one())]), Err(Error::NotRecorded { .. }))
        };
        assert!(refused(tape, &y));
        let (tape, other) = (Tape::new(&params), Tape::new(&params));
        let y = run(&tape, &layer).unwrap();
        assert!(refused(other, &y));
        // The gradient's device and type.
        for other in devices() {
            let tape = Tape::new(&params);
            let y = run(&tape, &layer).unwrap();
            let seed = Tensor::zeros([1, 1], other).unwrap();
            let same = format!("{other}") == format!("{device}");
            let result = tape.backward_from(&[(&y, seed)]);
            assert_eq!(result.is_ok(), same);
        }
        let tape = Tape::new(&params);
        let y = run(&tape, &layer).unwrap();
        let seed = Tensor::from_u32(&[1], [1, 1], device).unwrap();
        assert!(matches!(tape.backward_from(&[(&y, seed)]), Err(Error::DType { .. })));
        // Parameters that come later move the others.
        let tape = Tape::new(&params);
        let y = run(&tape, &layer).unwrap();
        let late = Dense::new(1).build(&params, 1).unwrap();
        let y = late.forward(&tape, &y).unwrap();
        assert!(refused(tape, &y));
        // A layer works on its own parameters alone.
        let strangers = Params::new(device);
        let _ = Dense::new(1).build(&strangers, 2).unwrap();
        assert!(matches!(run(&Tape::new(&strangers), &layer), Err(Error::NotBuilt { .. })));
    }
}
