//! Sequences with and without padding.

use super::quiet;
use crate::common::{close, devices, gpu};
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::mean_squared_error;
use wgpu_lstm::nn::{Dense, Embedding, Lstm, Params};
use wgpu_lstm::train::{Loss, Sgd};
use wgpu_lstm::{Device, Error, GpuOptions, Lengths, Tape, Tensor, Var};

/// A model takes sequences of different lengths without their padding, and says what its layers say of
/// padded ones; its gradients are theirs, too.
#[test]
fn sequences_without_padding_are_as_with_it() {
    let rows: Vec<Vec<u32>> =
        [5, 1, 7, 3].iter().map(|&n| (0..n).map(|t| (t * 5 + n) % 11).collect()).collect();
    let tokens = Sequences::from_tokens(&rows).unwrap();
    let frames = Sequences::new(
        2,
        rows.iter().map(|r| {
            r.iter().flat_map(|&t| [t as f32 * 0.1, 1.0 - t as f32 * 0.2]).collect::<Vec<_>>()
        }),
    )
    .unwrap();
    let y = [0.1, -0.2, 0.3, 0.4];
    for device in devices() {
        for (x, embeds) in [(&tokens, true), (&frames, false)] {
            let params = Params::seeded(device, 6);
            let table = Embedding::new(11, 2).build(&params).unwrap();
            let lstm = Lstm::new(9).bidirectional(wgpu_lstm::nn::Merge::Sum).num_layers(2);
            let lstm = lstm.build(&params, 2).unwrap();
            let dense = Dense::new(1).build(&params, 9).unwrap();

            let (values, shape, lengths) = x.pad();
            let tape = Tape::new(&params);
            let lengths = Lengths::new(&lengths, device).unwrap();
            let input = Tensor::from_slice(&values, shape, device).unwrap();
            let input = Var::from(input).with_lengths(Some(lengths));
            let input = if embeds { table.forward(&tape, &input).unwrap() } else { input };
            let out = dense.forward(&tape, &lstm.forward(&tape, &input).unwrap()).unwrap();
            let right = out.tensor().to_vec().unwrap();
            let targets = Tensor::from_slice(&y, [4, 1], device).unwrap();
            let loss = mean_squared_error(&tape, &out, &targets, None).unwrap();
            tape.backward(&loss).unwrap();
            Sgd::new(0.5).step(&params).unwrap();
            let weights: Vec<_> = params.names().iter().map(|n| params.get(n).unwrap()).collect();

            let model = Sequential::new(device).seed(6);
            let table = Embedding::new(11, 2).build(model.params()).unwrap();
            let mut model = if embeds { model.add(table) } else { model };
            model = model.add(Lstm::new(9).bidirectional(wgpu_lstm::nn::Merge::Sum).num_layers(2));
            let mut model = model.add(Dense::new(1));
            model.compile(Sgd::new(0.5), Loss::MeanSquaredError, &[]);
            model.build(x.features()).unwrap();
            assert_eq!(model.predict(x).unwrap().values(), right, "{embeds} on {device}");
            model.fit(x, &Targets::values(y, 1), quiet().shuffle(false)).unwrap();
            for (name, weights) in params.names().iter().zip(&weights) {
                let what = format!("{name}, embedded {embeds}, on {device}");
                close(&what, &model.params().get(name).unwrap(), weights, 1e-5);
            }
        }
    }
}

/// One long sequence among short ones takes the memory of their frames, not of as many long ones.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn one_long_sequence_does_not_make_all_of_them_long() {
    let rows = (0..32).map(|i| vec![0.1; 80 * if i == 7 { 20_000 } else { 100 }]);
    let x = Sequences::new(80, rows).unwrap();
    for device in [Device::cpu_with_threads(2).unwrap(), gpu(GpuOptions::default())] {
        let mut model = Sequential::new(&device).add(Lstm::new(4)).add(Dense::new(1));
        model.build(80).unwrap();
        assert!(model.predict(&x).unwrap().values().iter().all(|v| v.is_finite()));
        let peak = device.memory().peak;
        assert!(peak < 40 << 20, "{peak} bytes on {device}, for 7.4 MB of frames");
    }
}

/// Lengths that do not belong to a value of two axes lead to no read past its end.
#[test]
fn lengths_of_other_frames_are_an_error() {
    for device in devices() {
        let params = Params::new(device);
        let lengths = Lengths::new(&[5, 2, 1, 1], device).unwrap();
        let x = Tensor::zeros([4, 3], device).unwrap();
        let x = Var::from(x).with_lengths(Some(lengths));
        let lstm = Lstm::new(2).build(&params, 3).unwrap();
        let tape = Tape::inference(&params);
        assert!(matches!(lstm.forward(&tape, &x), Err(Error::Shape { .. })), "{device}");
        let mut model = Sequential::new(device).add(Dense::new(2));
        model.build(3).unwrap();
        let tape = Tape::inference(model.params());
        assert!(matches!(model.forward(&tape, &x), Err(Error::Shape { .. })), "{device}");
        let table = Embedding::new(5, 2).build(&params).unwrap();
        let ids = Tensor::from_u32(&[1, 2, 3], [3], device).unwrap();
        let two = Lengths::new(&[3, 2], device).unwrap();
        let ids = Var::from(ids).with_lengths(Some(two));
        let tape = Tape::inference(&params);
        assert!(matches!(table.forward(&tape, &ids), Err(Error::Shape { .. })), "{device}");
    }
}
