//! Tables of tokens.

use super::steps::{check_gradients, set};
use crate::common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::{RowWeights, mean_squared_error};
use wgpu_lstm::nn::{Dense, Embedding, Group, Lstm, Merge, Params, Pool, Pooling};
use wgpu_lstm::train::{AdamW, Loss, Metric, Sgd};
use wgpu_lstm::{Device, Error, Lengths, Sequential, Tape, Tensor, Var};

#[test]
fn embeddings() {
    let v = Vectors::load("layer_embedding");
    let ids: Vec<_> = v.get("ids").iter().map(|&id| id as u32).collect();
    for device in devices() {
        for floats in [false, true] {
            let params = Params::new(device);
            let layer = Embedding::new(6, 3).padding_index(0).build(&params).unwrap();
            assert_eq!(params.get("embedding.weight").unwrap()[..3], [0.0; 3]);
            params.set("embedding.weight", &v.get("weight")).unwrap();
            let tape = Tape::new(&params);
            let y = match floats {
                true => layer.forward(&tape, &v.tensor("ids", [2, 5, 1], device).into()).unwrap(),
                false => layer.lookup(&tape, &ids, [2, 5]).unwrap(),
            };
            assert_eq!(y.shape(), [2, 5, 3]);
            assert_eq!(value(&y), v.get("y"), "floats {floats} on {device}");
            tape.backward_from(&[(&y, v.tensor("d_y", [2, 5, 3], device))]).unwrap();
            let found = params.gradient("embedding.weight").unwrap();
            close(&format!("embedding on {device}"), &found, &v.get("d_weight"), 1e-5);
            let error = layer.lookup(&Tape::new(&params), &[5, 6], [1, 2]);
            assert!(matches!(error, Err(Error::Token { sequence: 0, place: 1, tokens: 6, .. })));
            let odd = Var::from(tensor(&[5.0, 6.0, -1.0, f32::NAN], [4, 1], device));
            // A GPU's floats are not looked at where no gradient is wanted.
            match layer.forward(&Tape::inference(&params), &odd) {
                Ok(y) if device.is_gpu() => {
                    let found = value(&y);
                    assert!(found[..3].iter().all(|v| v.is_finite()));
                    assert!(found[3..].iter().all(|v| v.is_nan()), "{found:?}");
                }
                found => assert!(
                    matches!(found, Err(Error::Token { sequence: 1, place: 0, tokens: 6, .. })),
                    "{found:?}"
                ),
            }
        }
        let params = Params::new(device);
        let vectors: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let frozen = Embedding::new(3, 2).vectors(vectors.clone()).frozen();
        let frozen = frozen.build(&params).unwrap();
        let tape = Tape::new(&params);
        let y = frozen.lookup(&tape, &[2, 0], [1, 2]).unwrap();
        assert_eq!(value(&y), [4.0, 5.0, 0.0, 1.0]);
        let seeds = [(&y, Tensor::zeros([1, 2, 2], device).unwrap())];
        assert!(matches!(tape.backward_from(&seeds), Err(Error::NotRecorded { .. })));
        assert!(Embedding::new(3, 2).padding_index(3).build(&params).is_err());
        assert!(Embedding::new(3, 2).vectors([0.0; 5]).build(&params).is_err());
    }
}

/// Many tokens, of which some come often: the sums go over several workgroups' places.
#[test]
fn an_embedding_of_many_tokens_sums_the_same_bits_each_time() {
    let ids: Vec<u32> = (0..700u32).map(|i| (i * i + i / 7) % 97).collect();
    let d_y: Vec<f32> = (0..700 * 70).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut expected = vec![0.0f64; 97 * 70];
    for (place, &id) in ids.iter().enumerate() {
        for j in 0..70 {
            expected[id as usize * 70 + j] += f64::from(d_y[place * 70 + j]);
        }
    }
    let expected: Vec<_> = expected.into_iter().map(|v| v as f32).collect();
    for device in devices() {
        let mut before = None;
        for _ in 0..2 {
            let params = Params::new(device);
            let layer = Embedding::new(97, 70).build(&params).unwrap();
            let tape = Tape::new(&params);
            let y = layer.lookup(&tape, &ids, [7, 100]).unwrap();
            tape.backward_from(&[(&y, tensor(&d_y, [7, 100, 70], device))]).unwrap();
            let found = params.gradient("embedding.weight").unwrap();
            close(&format!("embedding on {device}"), &found, &expected, 1e-5);
            assert!(before.replace(found.clone()).is_none_or(|b| b == found));
        }
    }
}

/// Not even a decay of the weights moves them, which no gradient does.
#[test]
fn frozen_vectors_stay_under_weight_decay() {
    for device in devices() {
        for sparse in [false, true] {
            let params = Params::new(device);
            let table = Embedding::new(3, 2).vectors(vec![1.0, -2.0, 3.0, 4.0, -5.0, 6.0]).frozen();
            let table = if sparse { table.sparse() } else { table };
            let table = table.build(&params).unwrap();
            let dense = Dense::new(2).build(&params, 2).unwrap();
            params.group(|_| true, Group::new().rate(1.0)).unwrap();
            let before = [params.get("embedding.weight"), params.get("dense.weight")];
            let mut adam = AdamW::new(0.1).weight_decay(0.5);
            for _ in 0..2 {
                let tape = Tape::new(&params);
                let x = table.lookup(&tape, &[2, 0], [1, 2]).unwrap();
                let y = dense.forward(&tape, &x).unwrap();
                let d_y = Tensor::from_slice(&[1.0; 4], y.shape(), device).unwrap();
                tape.backward_from(&[(&y, d_y)]).unwrap();
                adam.step(&params).unwrap();
            }
            let after = [params.get("embedding.weight"), params.get("dense.weight")];
            assert_eq!(before[0], after[0], "{device}, sparse: {sparse}");
            assert_ne!(before[1], after[1], "{device}");
        }
    }
}

/// Keras' `mask_zero`: an LSTM of all steps, one of the last in both directions, a mean.
fn behind_zeros(device: &Device, name: &str) -> Sequential {
    let model = Sequential::new(device).add(Embedding::new(6, 3).mask_zero());
    let mut model = match name {
        "tagger" => model.add(Lstm::new(4).return_sequences()),
        "classifier" => model.add(Lstm::new(4).bidirectional(Merge::Concat)),
        _ => model.add(Pool::new(Pooling::Mean)),
    }
    .add(Dense::new(2));
    model.build(1).unwrap();
    model
}

#[test]
fn tokens_of_zero_are_left_out_as_in_keras() {
    for name in ["tagger", "classifier", "pooled"] {
        let v = Vectors::load(&format!("steps_mask_zero_{name}"));
        let tokens: Vec<_> = v.get("tokens").iter().map(|&id| id as u32).collect();
        for device in devices() {
            let what = |of: &str| format!("{of} of {name} on {device}");
            let mut model = behind_zeros(device, name);
            set(model.params(), &v);
            let tape = Tape::new(model.params());
            let x = Var::from(Tensor::from_u32(&tokens, [4, 5], device).unwrap());
            let y = model.forward(&tape, &x).unwrap();
            close(&what("y"), &value(&y), &v.get("y"), 1e-5);
            let weights = y.mask().map(|mask| RowWeights::from_mask(mask).unwrap());
            assert_eq!(weights.is_some(), name == "tagger");
            let target = v.tensor("target", y.shape(), device);
            let loss = mean_squared_error(&tape, &y, &target, weights.as_ref()).unwrap();
            close(&what("loss"), &value(&loss), &v.get("loss"), 1e-5);
            tape.backward(&loss).unwrap();
            check_gradients(&what("weights"), model.params(), &v);
            model.params().zero_gradients().unwrap();

            // The same by the model itself, which makes the batches: loss, and what is predicted.
            let x = Sequences::from_tokens(tokens.chunks(5)).unwrap();
            let targets = Targets::values(v.get("target"), 2);
            model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[Metric::MeanSquaredError]);
            let found = model.evaluate(&x, &targets).unwrap();
            close(&what("the model's loss"), &[found.loss], &v.get("loss"), 1e-5);
            close(&what("its metric"), &found.metrics, &v.get("loss"), 1e-5);
            close(&what("predictions"), model.predict(&x).unwrap().values(), &v.get("y"), 1e-5);
        }
    }
}

/// Rows of different lengths with zeros in between, in all forms in which tokens come.
#[test]
fn zeros_in_rows_of_different_lengths() {
    let rows = [vec![3, 0, 5, 1], vec![2], vec![0, 0, 4], vec![0, 0]];
    let lengths = [4, 1, 3, 2];
    let on = [[1, 0, 1, 1], [1, 0, 0, 0], [0, 0, 1, 0], [0; 4]].concat();
    let on: Vec<_> = on.iter().map(|&on| on == 1).collect();
    for device in devices() {
        let mut model = behind_zeros(device, "tagger");
        let params = model.params();
        let table = Embedding::new(6, 3).mask_zero().build(params).unwrap();
        let padded: Vec<u32> =
            rows.iter().flat_map(|row| row.iter().copied().chain([9; 4]).take(4)).collect();
        let lengths = Lengths::new(&lengths, device).unwrap();
        let tape = Tape::new(params);
        let ids = Var::from(Tensor::from_u32(&padded, [4, 4], device).unwrap());
        let y = table.forward(&tape, &ids.clone().with_lengths(Some(lengths.clone()))).unwrap();
        assert!(y.lengths().is_none());
        assert_eq!(y.mask().unwrap().values(), on, "{device}");
        assert!(value(&y).iter().all(|v| v.is_finite()), "{device}");
        let floats: Vec<f32> = padded.iter().map(|&id| id as f32).collect();
        let floats = Var::from(tensor(&floats, [4, 4, 1], device)).with_lengths(Some(lengths));
        let z = table.forward(&tape, &floats).unwrap();
        assert_eq!(z.mask().unwrap().values(), on, "{device}");
        assert_eq!(value(&z), value(&y), "{device}");
        // Without a zero lengths stay lengths.
        let plain = Tensor::from_u32(&[1, 2, 3, 0], [2, 2], device).unwrap();
        let plain = Var::from(plain).with_lengths(Some(Lengths::new(&[2, 1], device).unwrap()));
        let y = table.forward(&tape, &plain).unwrap();
        assert!(y.mask().is_none() && y.lengths().is_some(), "{device}");
        let flat = Tensor::from_u32(&[1, 0], [2], device).unwrap();
        let error = table.forward(&tape, &flat.into()).unwrap_err();
        assert!(matches!(error, Error::Rank { op: "embedding", .. }), "{error}");

        // In a model, packed: each row is as it is without its zeros.
        let x = Sequences::from_tokens(&rows).unwrap();
        let found = model.predict(&x).unwrap();
        let without = Sequences::from_tokens([vec![3, 5, 1], vec![2], vec![4]]).unwrap();
        let expected = model.predict(&without).unwrap();
        let counted: Vec<_> = rows.concat().iter().map(|&id| id != 0).collect();
        let places = (0..counted.len()).filter(|&at| counted[at]);
        let values: Vec<_> = places.flat_map(|at| found.row(at).to_vec()).collect();
        close(&format!("predictions on {device}"), &values, expected.values(), 1e-6);
        let labels: Vec<u32> = (0..10).map(|at| at % 2).collect();
        let own: Vec<u32> = (0..10).filter(|&at| counted[at]).map(|at| labels[at]).collect();
        model.compile(Sgd::new(0.1), Loss::CrossEntropy, &[Metric::Accuracy]);
        let (y, own) = (Targets::classes(labels), Targets::classes(own));
        let (found, expected) = (model.evaluate(&x, &y).unwrap(), model.evaluate(&without, &own));
        let expected = expected.unwrap();
        close(&format!("loss on {device}"), &[found.loss], &[expected.loss], 1e-5);
        assert_eq!(found.metrics, expected.metrics, "{device}");
        let matrix = model.confusion_matrix(&x, &y).unwrap();
        assert_eq!(matrix, model.confusion_matrix(&without, &own).unwrap(), "{device}");
    }
}

/// A model that is an embedding alone has rows of different lengths, too.
#[test]
fn an_embedding_alone_takes_rows_of_different_lengths() {
    for device in devices() {
        let mut model = Sequential::new(device).add(Embedding::new(9, 4));
        model.build(1).unwrap();
        let table = model.params().get("embedding.weight").unwrap();
        let x = Sequences::from_tokens([vec![3, 1, 8], vec![5]]).unwrap();
        let found = model.predict(&x).unwrap();
        let expected: Vec<f32> =
            [3, 1, 8].iter().flat_map(|&t: &usize| table[4 * t..4 * t + 4].to_vec()).collect();
        assert_eq!(found.values()[..12], expected, "on {device}");
        assert_eq!(found.values()[12..16], table[20..24], "on {device}");
    }
}
