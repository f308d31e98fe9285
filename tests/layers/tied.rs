//! A layer whose weights are an embedding's vectors: as one with weights of its own that hold the same, whose gradient
//! is added to the embedding's.

use crate::common::{close, devices, value};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::{CrossEntropy, Labels, cross_entropy};
use wgpu_lstm::nn::{Dense, Embedding, Init, Lstm, Params, Regularizer};
use wgpu_lstm::train::{Adam, Fit, Loss};
use wgpu_lstm::{Device, Error, Sequential, Tape};

/// The loss and the gradients of a model that says the next token of some.
fn run(params: &Params, tied: bool, [tokens, size]: [usize; 2], rows: usize, head: bool) -> f32 {
    let device = params.device();
    let words = Embedding::new(tokens, size).build(params).unwrap();
    let mut last = Dense::new(tokens);
    if tied {
        last = last.tied();
    }
    let last = last.build(params, size).unwrap();
    let vectors: Vec<_> = (0..tokens * size).map(|i| (i as f32 * 1.7).sin() * 0.4).collect();
    params.set("embedding.weight", &vectors).unwrap();
    if !tied {
        params.set("dense.weight", &vectors).unwrap();
    }
    params.set("dense.bias", &vectors[..tokens]).unwrap();
    let ids: Vec<u32> = (0..rows as u32).map(|i| i * 7 % tokens as u32).collect();
    let next: Vec<u32> = (0..rows as u32).map(|i| (i * 5 + 1) % tokens as u32).collect();
    let labels = Labels::new(&next, &device).unwrap();
    let tape = Tape::new(params);
    let x = words.lookup(&tape, &ids, [1, rows]).unwrap();
    let loss = match head {
        true => last.cross_entropy(&tape, &x, &CrossEntropy::new(), &labels, None).unwrap(),
        false => cross_entropy(&tape, &last.forward(&tape, &x).unwrap(), &labels, None).unwrap(),
    };
    tape.backward(&loss).unwrap();
    value(&loss)[0]
}

fn compare(device: &Device, sizes: [usize; 2], rows: usize, head: bool) {
    let what = format!("{sizes:?}, {rows} rows, {head}, on {device}");
    let [own, tied] = [Params::new(device), Params::new(device)];
    let losses = [run(&own, false, sizes, rows, head), run(&tied, true, sizes, rows, head)];
    close(&what, &losses[1..], &losses[..1], 1e-6);
    assert_eq!(tied.names(), ["embedding.weight", "dense.bias"]);
    let [a, b] = ["embedding.weight", "dense.weight"].map(|name| own.gradient(name).unwrap());
    let sum: Vec<_> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    close(&what, &tied.gradient("embedding.weight").unwrap(), &sum, 1e-5);
    let bias = |params: &Params| params.gradient("dense.bias").unwrap();
    close(&what, &bias(&tied), &bias(&own), 1e-5);
}

#[test]
fn gradients_of_both_uses_are_added() {
    for device in devices() {
        for (sizes, rows) in [([5, 3], 4), ([67, 33], 70), ([130, 8], 9)] {
            compare(device, sizes, rows, false);
            compare(device, sizes, rows, true);
        }
    }
    // Where logits are made some rows at a time.
    compare(&Device::cpu().unwrap(), [4099, 5], 1100, true);
}

#[test]
fn a_model_is_trained_and_saved() {
    let path = std::env::temp_dir().join(format!("tied-{}.safetensors", std::process::id()));
    let x: Vec<Vec<u32>> = (0..6).map(|row| (0..7).map(|t| (row + 2 * t) % 9).collect()).collect();
    let y: Vec<u32> = x.iter().flatten().map(|token| (token + 2) % 9).collect();
    let (x, y) = (Sequences::from_tokens(x).unwrap(), Targets::classes(y));
    for device in devices() {
        let mut model = Sequential::new(device)
            .seed(3)
            .add(Embedding::new(9, 12).init(Init::Normal { std: 0.5 }))
            .add(Lstm::new(12).return_sequences())
            .add(Dense::new(9).tied());
        model.compile(Adam::new(0.03), Loss::CrossEntropy, &[]);
        let history = model.fit(&x, &y, Fit::new().epochs(40).quiet()).unwrap();
        assert!(history.epochs[39].training.loss < 0.1, "{:?}", history.epochs[39].training);
        assert_eq!(model.params().parameter_count(), 9 * 12 + 4 * 12 * 25 + 9);
        let found = model.predict(&x).unwrap();
        model.save(&path).unwrap();
        let mut loaded = Sequential::load(&path, device).unwrap();
        assert_eq!(loaded.predict(&x).unwrap().values(), found.values());
        assert_eq!(loaded.params().names(), model.params().names());
        loaded.compile(Adam::new(0.03), Loss::CrossEntropy, &[]);
        loaded.fit(&x, &y, Fit::new().epochs(1).quiet()).unwrap();
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_does_not_go_together() {
    let params = Params::new(&Device::cpu().unwrap());
    let build = |dense: Dense, size| dense.build(&params, size).unwrap_err();
    assert!(matches!(build(Dense::new(5).tied(), 3), Error::NotBuilt { .. }));
    let _ = Embedding::new(5, 3).sparse().build(&params).unwrap();
    let what = |error: Error| match error {
        Error::Unsupported { what, with: "Dense::tied", .. } => what,
        other => panic!("{other}"),
    };
    assert_eq!(what(build(Dense::new(5).tied(), 3)), "Embedding::sparse");
    let _ = Embedding::new(5, 3).build(&params).unwrap();
    let init = Dense::new(5).tied().kernel_init(Init::PyTorch);
    assert_eq!(what(build(init, 3)), "Dense::kernel_init");
    let penalty = Dense::new(5).tied().kernel_regularizer(Regularizer::l2(0.1));
    assert_eq!(what(build(penalty, 3)), "a penalty or a limit of weights");
    for (units, size) in [(6, 3), (5, 4)] {
        assert!(matches!(build(Dense::new(units).tied(), size), Error::NotBuilt { .. }));
    }
    assert_eq!(params.names().len(), 2);
    assert!(Dense::new(5).tied().build(&params, 3).is_ok());
}
