//! Tables of tokens.

use crate::common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::nn::{Dense, Embedding, Group, Params};
use wgpu_lstm::train::AdamW;
use wgpu_lstm::{Error, Tape, Tensor, Var};

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
