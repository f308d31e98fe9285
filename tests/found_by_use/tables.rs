//! Tables of tokens, large and sparse ones.

use super::quiet;
use crate::common::{close, devices, gpu};
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::mean_squared_error;
use wgpu_lstm::nn::{Dense, Embedding, Lstm, Params, Pool, Pooling};
use wgpu_lstm::testing::{binding_bytes, poisoned_cpu};
use wgpu_lstm::train::{Adam, Loss, Sgd};
use wgpu_lstm::{Device, Error, GpuOptions, Lengths, Tape, Tensor, Var};

/// A model whose parameters take more than one binding, and whose table alone does.
fn large(device: &Device, sparse: bool) -> Sequential {
    let table = Embedding::new(5000, 8);
    Sequential::new(device)
        .seed(5)
        .add(if sparse { table.sparse() } else { table })
        .add(Lstm::new(12).num_layers(3))
        .add(Dense::new(1))
}

/// Bindings of 64 KiB, where the parameters of the model above take 183 KiB.
fn small_bindings() -> Device {
    gpu(binding_bytes(GpuOptions::default(), 1 << 16).poison())
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn parameters_larger_than_a_binding_train_as_on_the_cpu() {
    let rows: Vec<Vec<u32>> = (0..64)
        .map(|row| (0..3 + row % 5).map(|t| (row * 977 + t * 1553) % 5000).collect())
        .collect();
    let x = Sequences::from_tokens(&rows).unwrap();
    let y = Targets::values((0..64).map(|i| (i as f32 * 0.3).sin()).collect::<Vec<_>>(), 1);
    let gpu = small_bindings();
    for sparse in [false, true] {
        for adam in [true, false] {
            let train = |device: &Device| {
                let mut model = large(device, sparse);
                match adam {
                    true => model.compile(Adam::new(1e-2), Loss::MeanSquaredError, &[]),
                    false => {
                        let sgd = Sgd::new(0.1).momentum(0.5);
                        model.compile(sgd, Loss::MeanSquaredError, &[])
                    }
                };
                let history = model.fit(&x, &y, quiet().epochs(3)).unwrap();
                let losses: Vec<_> = history.epochs.iter().map(|e| e.training.loss).collect();
                let weights = model.params().get("embedding.weight").unwrap();
                (losses, weights, model.predict(&x).unwrap().values().to_vec())
            };
            let (losses, weights, values) = train(&poisoned_cpu());
            let (found, found_weights, found_values) = train(&gpu);
            let what = format!("sparse {sparse}, adam {adam} on {gpu}");
            close(&what, &found, &losses, 1e-4);
            close(&what, &found_values, &values, 1e-3);
            close(&what, &found_weights, &weights, 1e-3);
        }
    }
}

/// Plain descent moves the rows that are drawn alone, whichever way their gradient is kept.
#[test]
fn a_sparse_table_has_the_gradient_and_the_descent_of_a_dense_one() {
    for device in devices() {
        let run = |sparse: bool, set: bool| {
            let params = Params::seeded(device, 4);
            let table = Embedding::new(50, 3).padding_index(7);
            let table = if sparse { table.sparse() } else { table }.build(&params).unwrap();
            if set {
                let values: Vec<_> = (0..150).map(|i| i as f32 * 0.01).collect();
                params.set("embedding.weight", &values).unwrap();
            }
            let tape = Tape::new(&params);
            // Drawn twice in a step: the two gradients are one.
            let a = table.lookup(&tape, &[3, 7, 49, 3], [2, 2]).unwrap();
            let b = table.lookup(&tape, &[0, 3], [1, 2]).unwrap();
            let seeds = [([2, 2, 3], 1.0), ([1, 2, 3], 0.5)].map(|(shape, scale): (_, f32)| {
                let n = shape.iter().product::<usize>();
                let values: Vec<_> = (0..n).map(|i| scale * (i as f32 + 1.0)).collect();
                Tensor::from_slice(&values, shape, device).unwrap()
            });
            let [da, db] = seeds;
            tape.backward_from(&[(&a, da), (&b, db)]).unwrap();
            let gradient = params.gradient("embedding.weight").unwrap();
            Sgd::new(0.1).step(&params).unwrap();
            let after = params.gradient("embedding.weight").unwrap();
            assert!(after.iter().all(|&g| g == 0.0), "{device}");
            (gradient, params.get("embedding.weight").unwrap())
        };
        for set in [false, true] {
            let (sparse, dense) = (run(true, set), run(false, set));
            close(&format!("the gradient on {device}"), &sparse.0, &dense.0, 1e-6);
            close(&format!("the weights on {device}"), &sparse.1, &dense.1, 1e-6);
            assert!(dense.0.iter().any(|&g| g != 0.0));
        }
    }
}

#[test]
fn tokens_that_are_none_are_named_with_their_place() {
    for device in devices() {
        let params = Params::new(device);
        let layer = Embedding::new(10, 2).build(&params).unwrap();
        let ids = Tensor::from_u32(&[1, 2, 3, 4, 10, 5], [2, 3], device).unwrap();
        for tape in [Tape::new(&params), Tape::inference(&params)] {
            let y = layer.forward(&tape, &Var::from(ids.clone()));
            let right = Error::Token { sequence: 1, place: 1, found: 10.0, tokens: 10 };
            assert!(y.is_err_and(|error| error == right), "{device}");
        }
        for (bad, name) in [(-1.0, "-1"), (10.0, "10"), (1.5, "1.5"), (f32::NAN, "NaN")] {
            let ids = Tensor::from_slice(&[0.0, 9.0, bad, 1.0], [2, 2, 1], device).unwrap();
            let y = layer.forward(&Tape::new(&params), &Var::from(ids));
            let text = format!("place 0 of sequence 1 is {name}, no token");
            assert!(
                matches!(y, Err(Error::Token { sequence: 1, place: 0, tokens: 10, .. })),
                "{name} on {device}"
            );
            assert!(y.is_err_and(|error| error.to_string().starts_with(&text)), "{name}");
        }
        // What lies behind a row's end may be anything, and nothing flows to it.
        let lengths = Lengths::new(&[3, 1], device).unwrap();
        let ids = Tensor::from_u32(&[1, 2, 3, 4, u32::MAX, 0], [2, 3], device).unwrap();
        let tape = Tape::new(&params);
        let x = Var::from(ids).with_lengths(Some(lengths));
        let y = layer.forward(&tape, &x).unwrap();
        let ones = Tensor::from_slice(&[1.0; 12], [2, 3, 2], device).unwrap();
        tape.backward_from(&[(&y, ones)]).unwrap();
        let gradient = params.gradient("embedding.weight").unwrap();
        let rows: Vec<_> = gradient.chunks(2).map(|row| row[0]).collect();
        assert_eq!(rows, [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], "{device}");
    }
    let x = Sequences::from_tokens([vec![1, 2], vec![3, 10]]).unwrap();
    let mut model = Sequential::new(&devices()[0]).add(Embedding::new(10, 2)).add(Lstm::new(2));
    model.build(1).unwrap();
    let right = Error::Token { sequence: 1, place: 1, found: 10.0, tokens: 10 };
    assert!(model.predict(&x).is_err_and(|error| error == right));
}

/// A table that lies by itself, before layers whose parameters do not, in a loop of one's own.
#[test]
fn a_sparse_table_and_other_layers_train_in_a_loop_of_ones_own() {
    for device in devices() {
        let params = Params::new(device);
        let table = Embedding::new(20, 3).sparse().build(&params).unwrap();
        let dense = Dense::new(1).build(&params, 3).unwrap();
        let mut adam = Adam::new(0.1);
        let y = Tensor::from_slice(&[1.0, -1.0], [2, 1], device).unwrap();
        let mut losses = Vec::new();
        for _ in 0..30 {
            let tape = Tape::new(&params);
            let x = table.lookup(&tape, &[4, 17], [2, 1]).unwrap();
            let x = Pool::new(Pooling::Last).forward(&tape, &x).unwrap();
            let out = dense.forward(&tape, &x).unwrap();
            let loss = mean_squared_error(&tape, &out, &y, None).unwrap();
            losses.push(loss.tensor().to_vec().unwrap()[0]);
            tape.backward(&loss).unwrap();
            adam.step(&params).unwrap();
        }
        assert!(losses[29] < 0.1 * losses[0], "{losses:?} on {device}");
    }
}
