//! Layers: what goes in, their options and sizes.

use super::{lstm_error, option, sequences, unsupported, zeros};
use crate::common::{devices, gpu};
use wgpu_lstm::Sequential;
use wgpu_lstm::loss::RowWeights;
use wgpu_lstm::nn::{
    Dense, Dropout, Embedding, GateActivation, Init, LayerNorm, Lstm, LstmState, Merge, Params,
    Repeat, Rnn, Strategy,
};
use wgpu_lstm::train::{Adam, Sgd};
use wgpu_lstm::{DType, Device, Error, GpuOptions, Lengths, Mask, Tape, Tensor};

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
        let long = Lengths::new(&[2, usize::MAX], device).unwrap_err();
        let max = u32::MAX as usize;
        assert_eq!(long, Error::Length { row: 1, found: usize::MAX, max });
        let with = |lengths: &[usize]| {
            lstm_error(device, |tape, layer| {
                let x =
                    zeros(&[2, 5, 3], device).with_lengths(Some(Lengths::new(lengths, device)?));
                layer.forward(tape, &x).map(|_| ())
            })
        };
        let error = with(&[5, 6]);
        assert_eq!(error, Error::Length { row: 1, found: 6, max: 5 });
        assert!(error.to_string().contains("is 6, expected 0..=5"), "{error}");
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
        let Error::At { error, .. } = error else { panic!("{error:?}") };
        assert!(matches!(*error, Error::Count { expected: 1, found: 2, .. }));
    }
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
        (layer().kernel_init(Init::Uniform { limit: -0.1 }), "Lstm::kernel_init"),
        (layer().recurrent_init(Init::Orthogonal { gain: f32::NAN }), "Lstm::recurrent_init"),
        (layer().bias_init(Init::Constant(f32::INFINITY)), "Lstm::bias_init"),
        (layer().bias_init(Init::Orthogonal { gain: 1.0 }), "Lstm::bias_init"),
        (layer().chrono_init(2), "Lstm::chrono_init"),
        (layer().chrono_init(usize::MAX), "Lstm::chrono_init"),
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
    for (layer, pair) in [
        (layer().chrono_init(9).forget_bias(1.0), ["Lstm::chrono_init", "Lstm::forget_bias"]),
        (layer().chrono_init(9).no_bias(), ["Lstm::chrono_init", "Lstm::no_bias"]),
        (layer().bias_init(Init::Zeros).no_bias(), ["Lstm::bias_init", "Lstm::no_bias"]),
    ] {
        assert_eq!(unsupported(&refused(layer)), pair);
    }
    let infinite = Init::Normal { std: f32::INFINITY };
    let error = Rnn::new(4).activation(flat).build(&params, 3).unwrap_err();
    assert_eq!(option(&error), "Rnn::activation");
    let error = Rnn::new(4).recurrent_init(infinite).build(&params, 3).unwrap_err();
    assert_eq!(option(&error), "Rnn::recurrent_init");
    let error = Dense::new(4).kernel_init(infinite).build(&params, 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Dense::kernel_init is Normal { std: inf }, expected a finite number of at least 0 in it"
    );
    let error = Dense::new(4).bias_init(Init::Orthogonal { gain: 1.0 }).build(&params, 3);
    assert_eq!(option(&error.unwrap_err()), "Dense::bias_init");
    let error = Dense::new(4).bias_init(Init::Constant(1.0)).no_bias().build(&params, 3);
    assert_eq!(unsupported(&error.unwrap_err()), ["Dense::bias_init", "Dense::no_bias"]);
    let error = Embedding::new(4, 2).init(infinite).build(&params).unwrap_err();
    assert_eq!(option(&error), "Embedding::init");
    let error = Embedding::new(4, 2).init(Init::Zeros).vectors([0.5; 8]).build(&params);
    assert_eq!(unsupported(&error.unwrap_err()), ["Embedding::init", "Embedding::vectors"]);
    assert_eq!(params.parameter_count(), 0);
}

#[test]
fn there_is_no_sequence_behind_the_last() {
    let x = sequences();
    for i in [6, 7, usize::MAX - 1, usize::MAX] {
        assert!(x.frames(i) == 0 && x.get(i).is_empty(), "{i}");
    }
}
