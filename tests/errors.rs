//! Bad input: each a typed error that names what was expected and what was found. No panic.

mod common;

use common::{devices, gpu};
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::{self, Labels, RowWeights};
use wgpu_lstm::nn::{
    Activation, Dense, Dropout, Embedding, GateActivation, Layer, LayerNorm, Lstm, LstmState,
    Merge, Params, Repeat, Rnn, Strategy,
};
use wgpu_lstm::train::{Adam, Fit, Loss, Metric, Sgd};
use wgpu_lstm::{DType, Device, Error, GpuOptions, Lengths, Mask, Result, Tape, Tensor, Var};

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
fn an_lstm_checks_its_input() {
    for device in devices() {
        let of = |shape: &[usize]| {
            lstm_error(device, |tape, layer| layer.forward(tape, &zeros(shape, device)).map(|_| ()))
        };
        let error = of(&[2, 3]);
        assert!(matches!(&error, Error::Rank { arg: "x", found, .. } if found == &[2, 3]));
        assert_eq!(
            error.to_string(),
            "lstm: `x` has 2 axes [2, 3], expected [B,T,I], as a layer with return_sequences gives it"
        );
        let error = of(&[2, 5, 4]);
        assert!(
            matches!(&error, Error::Shape { expected, found, .. }
                if expected == &[2, 5, 3] && found == &[2, 5, 4]),
            "{error}"
        );
        for empty in [[0, 5, 3], [2, 0, 3]] {
            assert!(matches!(of(&empty), Error::Empty { found, .. } if found == empty));
        }
        let error = lstm_error(device, |tape, layer| {
            let x = Tensor::from_u32(&[1; 6], [1, 2, 3], device)?;
            layer.forward(tape, &x.into()).map(|_| ())
        });
        let (expected, found) = (DType::F32, DType::U32);
        assert_eq!(error, Error::DType { op: "lstm", arg: "x", expected, found });
    }
}

#[test]
fn an_lstm_checks_lengths_and_states() {
    for device in devices() {
        assert!(matches!(
            Lengths::new(&[2, 0], device),
            Err(Error::Length { row: 1, found: 0, .. })
        ));
        let with = |lengths: &[usize]| {
            lstm_error(device, |tape, layer| {
                let x =
                    zeros(&[2, 5, 3], device).with_lengths(Some(Lengths::new(lengths, device)?));
                layer.forward(tape, &x).map(|_| ())
            })
        };
        assert_eq!(with(&[5, 6]), Error::Length { row: 1, found: 6, max: 5 });
        assert!(matches!(with(&[5]), Error::Shape { arg: "lengths", .. }));
        let error = lstm_error(device, |tape, layer| {
            let state = LstmState::new(zeros(&[2, 4], device), zeros(&[2, 5], device));
            layer.run(tape, &zeros(&[2, 5, 3], device), Some(&[state])).map(|_| ())
        });
        assert!(matches!(error, Error::Shape { arg: "c_0", .. }));
        let error = lstm_error(device, |tape, layer| {
            layer.run(tape, &zeros(&[2, 5, 3], device), Some(&[])).map(|_| ())
        });
        assert!(matches!(error, Error::State { what: "states", expected: 1, found: 0, .. }));
        let error = lstm_error(device, |tape, layer| {
            let mask = Mask::new(&[true; 10], [2, 5], device)?;
            let x = zeros(&[2, 5, 3], device).with_mask(Some(mask));
            let x = x.with_lengths(Some(Lengths::new(&[5, 4], device)?));
            layer.forward(tape, &x).map(|_| ())
        });
        assert_eq!(unsupported(&error), ["Var::with_lengths", "Var::with_mask"]);
        let params = Params::new(device);
        let layer = Lstm::new(4).stateful().build(&params, 3).unwrap();
        let rows = |n: usize| layer.forward(&Tape::inference(&params), &zeros(&[n, 5, 3], device));
        rows(2).unwrap();
        assert_eq!(
            rows(3).unwrap_err().to_string(),
            "lstm: 3 rows in the batch of a stateful layer, expected 2; as many as the batch before \
             had; or reset_state() first"
        );
        layer.reset_state();
        rows(3).unwrap();
    }
}

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
    assert_eq!(format!("{error}"), "labels[1] is 4, expected 0..=3 (4 classes)");
}

/// Whether the layers of a stack go one by one or, on a GPU, as a wavefront, which these are for.
#[test]
fn a_stack_checks_its_states() {
    for device in devices() {
        let params = Params::new(device);
        let stack = Lstm::new(4).num_layers(2).return_sequences().build(&params, 3).unwrap();
        for training in [false, true] {
            let tape = if training { Tape::new(&params) } else { Tape::inference(&params) };
            let good = LstmState::new(zeros(&[2, 4], device), zeros(&[2, 4], device));
            let numbers = Tensor::from_u32(&[1; 8], [2, 4], device).unwrap();
            let bad = LstmState::new(good.h.clone(), numbers.into());
            let x = zeros(&[2, 64, 3], device);
            let error = stack.run(&tape, &x, Some(&[good, bad])).unwrap_err();
            let (expected, found) = (DType::F32, DType::U32);
            assert_eq!(error, Error::DType { op: "lstm", arg: "c_0", expected, found });
        }
    }
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

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn tensors_of_two_devices_do_not_mix() {
    let [cpu, gpu] = devices() else { panic!("two devices") };
    let error =
        lstm_error(cpu, |tape, layer| layer.forward(tape, &zeros(&[2, 5, 3], gpu)).map(|_| ()));
    assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
    let params = Params::new(gpu);
    let dense = Dense::new(1).build(&params, 3).unwrap();
    let error = dense.forward(&Tape::new(&params), &zeros(&[2, 3], cpu)).unwrap_err();
    assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
}

/// Two handles of one adapter, or of the CPU, have one name: the text says why they do not mix.
#[test]
fn a_device_that_is_opened_twice_is_two() {
    let cpu = || Device::cpu_with_threads(2).unwrap();
    for (one, other) in [(cpu(), cpu()), (gpu(GpuOptions::default()), gpu(GpuOptions::default()))] {
        let params = Params::new(&one);
        let dense = Dense::new(1).build(&params, 3).unwrap();
        let run = |x: &Var| dense.forward(&Tape::new(&params), x);
        run(&zeros(&[2, 3], &one)).unwrap();
        let error = run(&zeros(&[2, 3], &other)).unwrap_err();
        let Error::OtherDevice { expected, found, .. } = &error else { panic!("{error}") };
        assert_eq!(*found, format!("{expected}, opened another time"));
        assert!(error.to_string().contains("opened another time"), "{error}");
        let moved = zeros(&[2, 3], &other).tensor().to_device(&one).unwrap();
        run(&moved.into()).unwrap();
    }
}

#[test]
fn tensors_check_their_count() {
    for device in devices() {
        let error = Tensor::from_slice(&[1.0; 5], [2, 3], device).unwrap_err();
        assert!(matches!(error, Error::Count { expected: 6, found: 5, .. }));
        let error = Tensor::from_slice(&[1.0], [usize::MAX, 2], device).unwrap_err();
        assert!(matches!(error, Error::Count { .. }));
        let t = Tensor::zeros([2, 3], device).unwrap();
        assert!(matches!(t.reshape([7]), Err(Error::Count { expected: 7, found: 6, .. })));
        assert!(matches!(t.to_vec_u32(), Err(Error::DType { .. })));
        assert!(Tensor::zeros([0, 3], device).unwrap().to_vec().unwrap().is_empty());
    }
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_tensor_too_large_is_an_error() {
    let device = gpu(GpuOptions::default().portable());
    let error = Tensor::zeros([1 << 26], &device).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes: 268_435_456, .. }), "{error}");
    let error = Tensor::zeros([usize::MAX, 2], &device).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. } | Error::OutOfMemory { .. }), "{error}");
    let error = Tensor::zeros([usize::MAX, 2], &devices()[0]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. } | Error::OutOfMemory { .. }), "{error}");
}

#[test]
fn labels_and_weights_are_checked() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let logits = tape.input(Tensor::zeros([3, 4], device).unwrap());
        let labels = |l: &[u32]| Labels::new(l, device).unwrap();
        let error = loss::cross_entropy(&tape, &logits, &labels(&[0, 4, 1]), None).unwrap_err();
        assert_eq!(error, Error::Label { row: 1, found: 4, classes: 4 });
        assert_eq!(error.to_string(), "labels[1] is 4, expected 0..=3 (4 classes)");
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
fn nothing_runs_before_it_is_built() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = zeros(&[1, 1, 1], device);
        assert!(matches!(Lstm::new(1).forward(&tape, &x), Err(Error::NotBuilt { .. })));
        assert!(matches!(Dense::new(1).forward(&tape, &x), Err(Error::NotBuilt { .. })));
        // Built with other parameters than the tape's.
        let layer = Lstm::new(1).build(&Params::new(device), 1).unwrap();
        assert!(matches!(layer.forward(&tape, &x), Err(Error::NotBuilt { .. })));
        let mut adam = Adam::default();
        assert!(matches!(adam.step(&Params::new(device)), Err(Error::NotBuilt { .. })));
        let empty = Params::new(device);
        let error = empty.get("lstm.bias_l0").unwrap_err();
        assert!(matches!(error, Error::UnknownParameter { .. }));
    }
}

#[test]
fn sizes_and_rates_are_checked() {
    for device in devices() {
        let params = Params::new(device);
        for (error, name) in [
            (Lstm::new(0).build(&params, 1).unwrap_err(), "Lstm::hidden_size"),
            (Lstm::new(1).build(&params, 0).unwrap_err(), "Lstm::input_size"),
            (Dense::new(0).build(&params, 1).unwrap_err(), "Dense::units"),
            (Dense::new(1).build(&params, 0).unwrap_err(), "Dense::input_size"),
            (Rnn::new(0).build(&params, 1).unwrap_err(), "Rnn::hidden_size"),
            (Embedding::new(0, 1).build(&params).unwrap_err(), "Embedding::tokens"),
            (Embedding::new(1, 0).build(&params).unwrap_err(), "Embedding::size"),
            (LayerNorm::new().build(&params, 0).unwrap_err(), "LayerNorm::input_size"),
        ] {
            assert!(matches!(&error, Error::Option { found, .. } if found == "0"), "{error}");
            assert_eq!(option(&error), name);
        }
        let padded = Embedding::new(3, 1).padding_index(3).build(&params).unwrap_err();
        assert_eq!(option(&padded), "Embedding::padding_index");
        let epsilon = LayerNorm::new().epsilon(0.0).build(&params, 1).unwrap_err();
        assert_eq!(option(&epsilon), "LayerNorm::epsilon");
        let rate = Dropout::new(1.0).forward(&Tape::new(&params), &zeros(&[1, 1], device));
        assert_eq!(option(&rate.unwrap_err()), "Dropout::rate");
        let n = Repeat::new(0).forward(&Tape::new(&params), &zeros(&[1, 1], device));
        assert_eq!(option(&n.unwrap_err()), "Repeat::n");
        for error in [
            Lstm::new(1 << 20).build(&params, 1).unwrap_err(),
            Dense::new(1 << 24).build(&params, 1 << 24).unwrap_err(),
            Lstm::new(1).num_layers(1 << 24).build(&params, 1).unwrap_err(),
            Lstm::new(65).build(&params, 1).unwrap().stepper(&params, 1 << 24).err().unwrap(),
            Lstm::new(1).build(&params, 999).unwrap().stepper(&params, 1 << 24).err().unwrap(),
        ] {
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        }
        let lengths = Lengths::new(&[3, 2], device).unwrap();
        let error = RowWeights::from_lengths(&lengths, usize::MAX).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
        let _ = Dense::new(1).build(&params, 1).unwrap();
        for (mut adam, name) in [
            (Adam::new(f32::NAN), "Adam::learning_rate"),
            (Adam::default().betas(1.0, 0.5), "Adam::betas"),
            (Adam::default().betas(0.5, -0.1), "Adam::betas"),
            (Adam::default().epsilon(0.0), "Adam::epsilon"),
            (Adam::default().epsilon(-1e-8), "Adam::epsilon"),
            (Adam::default().epsilon(1e-40), "Adam::epsilon"),
            (Adam::default().epsilon(f32::NAN), "Adam::epsilon"),
            (Adam::default().weight_decay(-1.0), "Adam::weight_decay"),
        ] {
            assert_eq!(option(&adam.step(&params).unwrap_err()), name);
        }
        for (mut sgd, name) in
            [(Sgd::new(-1.0), "Sgd::learning_rate"), (Sgd::new(1.0).momentum(1.0), "Sgd::momentum")]
        {
            assert_eq!(option(&sgd.step(&params).unwrap_err()), name);
        }
        let error = params.set("dense.bias", &[1.0, 2.0]).unwrap_err();
        assert!(matches!(error, Error::Count { expected: 1, found: 2, .. }));
    }
}

#[test]
fn a_model_that_cannot_be_built_leaves_no_parameters() {
    let device = &Device::cpu().unwrap();
    let mut model = model(device, Dense::new(0));
    assert_eq!(option(&model.build(3).unwrap_err()), "Dense::units");
    assert_eq!(model.params().names(), Vec::<String>::new());
    assert_eq!(model.params().parameter_count(), 0);
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_forced_strategy_that_cannot_run_is_an_error() {
    let device = gpu(GpuOptions::default().portable());
    let params = Params::new(&device);
    let layer = Lstm::new(512).strategy(Strategy::Sequence).build(&params, 1).unwrap();
    let error = layer.forward(&Tape::new(&params), &zeros(&[1, 1, 1], &device)).unwrap_err();
    assert!(matches!(error, Error::Strategy { hidden_size: 512, .. }), "{error}");
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn an_unknown_device_is_an_error_that_lists_those_that_are_there() {
    let error = Device::named("no such card").unwrap_err();
    let Error::UnknownDevice { name, available } = &error else { panic!("{error}") };
    assert_eq!(name, "no such card");
    assert!(!available.is_empty(), "this test needs a GPU adapter");
    let text = error.to_string();
    assert!(text.contains(&available[0]));
    // A card with two drivers is listed once.
    let sorted: std::collections::BTreeSet<_> = available.iter().collect();
    assert_eq!(sorted.len(), available.len(), "{text}");
    assert!(Device::named("cpu").is_ok_and(|d| !d.is_gpu()));
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_gpu_is_hardware_or_an_error() {
    match Device::named("gpu") {
        Ok(device) => assert!(device.adapter().is_some_and(|a| !a.software), "{device}"),
        Err(error) => assert!(matches!(error, Error::NoAdapter { .. }), "{error}"),
    }
}

#[cfg(not(feature = "gpu"))]
#[test]
fn a_gpu_without_the_feature_is_an_error_that_says_so() {
    assert!(Device::adapters().is_empty());
    assert!(Device::named("auto").is_ok_and(|d| !d.is_gpu() && d.adapter().is_none()));
    for name in ["gpu", "software", "radeon"] {
        let error = Device::named(name).unwrap_err();
        assert!(matches!(error, Error::MissingFeature { feature: "gpu", .. }), "{error}");
        assert!(error.to_string().contains("feature `gpu`"), "{error}");
    }
}

fn model(device: &Device, head: Dense) -> Sequential {
    Sequential::new(device).add(Lstm::new(4)).add(head)
}

fn sequences() -> Sequences {
    Sequences::from_array(&[0.5; 6 * 3 * 2], [6, 3, 2]).unwrap()
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
        let none = Targets::values([], 1);
        let error = model.fit(&empty, &none, Fit::new().quiet()).unwrap_err();
        assert!(matches!(error, Error::Empty { .. }), "{error}");
        model.fit(&x, &bits, Fit::new().epochs(1).quiet()).unwrap();
        assert!(matches!(model.evaluate(&empty, &none), Err(Error::Empty { .. })));
        assert_eq!(model.predict(&empty).unwrap().rows(), 0);
        assert_eq!(
            model.predict(&other).unwrap_err().to_string(),
            "Sequential::predict: 3 features a frame, expected 2; the model was made for frames of so \
             many"
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
    assert_eq!(error, Error::Token { sequence: 1, place: 1, tokens: 1 << 24 });
    assert!(matches!(of(2, vec![vec![1.0; 2], vec![]]), Error::Length { row: 1, .. }));
    assert!(matches!(Sequences::from_array(&[], [0, 1, 1]), Err(Error::Empty { .. })));
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
        matches!(&error, Error::NotFinite { place, .. } if place == "value 3 of sequence 2"),
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
    assert!(matches!(error, Error::NotFinite { what: "the loss", .. }), "{error}");
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

#[test]
fn options_of_an_lstm_that_make_no_sense() {
    let params = Params::new(&Device::cpu().unwrap());
    let layer = || Lstm::new(4);
    let flat = GateActivation::ScaledTanh { alpha: 0.0, beta: 1.0 };
    let refused = |layer: Lstm| {
        Sequential::new(&params.device()).add(layer.clone()).summary();
        layer.build(&params, 3).unwrap_err()
    };
    for (layer, name) in [
        (layer().projection(4), "Lstm::projection"),
        (layer().projection(0), "Lstm::projection"),
        (layer().projection(usize::MAX), "Lstm::projection"),
        (layer().projection(usize::MAX).bidirectional(Merge::Concat), "Lstm::projection"),
        (layer().num_layers(0), "Lstm::num_layers"),
        (layer().dropout(0.5), "Lstm::dropout"),
        (layer().num_layers(2).dropout(1.0), "Lstm::dropout"),
        (layer().input_dropout(-0.1), "Lstm::input_dropout"),
        (layer().recurrent_dropout(f32::NAN), "Lstm::recurrent_dropout"),
        (layer().zoneout(0.0, 1.0), "Lstm::zoneout"),
        (layer().weight_drop(2.0), "Lstm::weight_drop"),
        (layer().clip(0.0), "Lstm::clip"),
        (layer().cell_clip(f32::INFINITY), "Lstm::cell_clip"),
        (layer().forget_bias(f32::NAN), "Lstm::forget_bias"),
        (layer().activation(flat), "Lstm::activation"),
        (layer().output_activation(flat), "Lstm::output_activation"),
        (
            layer().recurrent_activation(GateActivation::Elu { alpha: -1.0 }),
            "Lstm::recurrent_activation",
        ),
    ] {
        let text = format!("{layer:?}");
        assert_eq!(option(&refused(layer)), name, "{text}");
    }
    for (layer, with) in [
        (layer().projection(2).zoneout(0.1, 0.0), "Lstm::zoneout"),
        (layer().projection(2).recurrent_dropout(0.1), "Lstm::recurrent_dropout"),
    ] {
        assert_eq!(unsupported(&refused(layer)), ["Lstm::projection", with]);
    }
    let error = Rnn::new(4).activation(flat).build(&params, 3).unwrap_err();
    assert_eq!(option(&error), "Rnn::activation");
    assert_eq!(params.parameter_count(), 0);
}

#[test]
fn there_is_no_sequence_behind_the_last() {
    let x = sequences();
    for i in [6, 7, usize::MAX - 1, usize::MAX] {
        assert!(x.frames(i) == 0 && x.get(i).is_empty(), "{i}");
    }
}
