//! What is written for PyTorch.

use super::modules::{NAMES, features, input, layer};
use super::{bits, open};
use crate::common::{Folder, devices, value};
use std::path::Path;
use wgpu_lstm::io::pytorch::{StateDict, save};
use wgpu_lstm::nn::{
    Activation, Conv1d, Coupling, Dense, Dropout, GateActivation, Layer, LayerNorm, Lstm, Merge,
    Rnn,
};
use wgpu_lstm::{Error, Sequential, Tape, Var};

/// A model of one layer, with the values of a module.
fn model(dict: &StateDict, name: &str) -> Sequential {
    let mut model = Sequential::new(&devices()[0]).add(layer(dict, name).unwrap());
    dict.load_into(&mut model, &[name]).unwrap();
    model
}

#[test]
fn what_is_written_is_read_again() {
    let dict = open("modules.pt");
    let folder = Folder::new("pytorch_written");
    for name in NAMES {
        let before = model(&dict, name);
        let path = folder.path().join("it.safetensors");
        save(&before, &path, &["a.b"]).unwrap();
        let written = StateDict::open(&path).unwrap();
        // The same names and shapes, but for those of cells, which have no layers.
        if !name.contains("cell") {
            let part = dict.prefix(name).unwrap();
            let mut names: Vec<_> = part.names().collect();
            names.retain(|&name| name != "num_batches_tracked");
            names.sort();
            let written = written.prefix("a.b").unwrap();
            let mut found: Vec<_> = written.names().collect();
            found.sort();
            assert_eq!(found, names);
            for tensor in names {
                assert_eq!(written.shape(tensor), part.shape(tensor), "{name}: {tensor}");
            }
        }
        let mut after = Sequential::new(&devices()[0]).add(layer(&dict, name).unwrap());
        after.build(features(name)).unwrap();
        written.load_into(&mut after, &["a.b"]).unwrap();
        for parameter in before.params().names() {
            let values = |model: &Sequential| bits(&model.params().get(&parameter).unwrap());
            assert_eq!(values(&after), values(&before), "{name}: {parameter}");
        }
    }
}

#[test]
fn what_pytorch_would_compute_otherwise_is_refused() {
    let folder = Folder::new("pytorch_refused");
    let path = folder.path().join("it.safetensors");
    let write = |layer: Box<dyn Layer>| {
        let mut model = Sequential::new(&devices()[0]).add(layer);
        model.build(3)?;
        save(&model, &path, &["it"])
    };
    let lstm = || Lstm::new(4);
    for layer in [
        lstm().peepholes(),
        lstm().layer_norm(),
        lstm().clip(1.0),
        lstm().coupled(Coupling::ForgetFollowsInput),
        lstm().activation(GateActivation::Relu),
        lstm().go_backwards(),
        lstm().bidirectional(Merge::Sum),
    ] {
        let error = write(Box::new(layer)).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(!path.exists());
    }
    let error = write(Box::new(Rnn::new(4).activation(GateActivation::Sigmoid)));
    assert!(matches!(error, Err(Error::Unsupported { .. })), "{error:?}");
    // What acts in training alone is no matter.
    write(Box::new(lstm().recurrent_dropout(0.1).zoneout(0.1, 0.2))).unwrap();

    let mut two = Sequential::new(&devices()[0]).add(Dense::new(3)).add(Dense::new(3));
    let error = save(&two, &path, &["a", "b"]).unwrap_err();
    assert!(matches!(error, Error::NotBuilt { .. }), "{error}");
    two.build(3).unwrap();
    for names in [&["a"][..], &["a", "b", "c"], &["a", "a"]] {
        let error = save(&two, &path, names).unwrap_err();
        assert!(matches!(error, Error::Option { .. }), "{error}");
    }
}

#[test]
fn what_a_state_dict_does_not_hold_is_told() {
    let mut model = Sequential::new(&devices()[0])
        .add(Conv1d::new(4, 3).stride(2))
        .add(Lstm::new(4).num_layers(2).no_bias().bidirectional(Merge::Concat))
        .add(LayerNorm::new().epsilon(0.5))
        .add(Dropout::new(0.5))
        .add(Dense::new(3).no_bias())
        .add(Activation::Relu)
        .add(Dense::new(2).activation(Activation::Sigmoid).frozen());
    model.build(3).unwrap();
    let folder = Folder::new("pytorch_left_out");
    let path = folder.path().join("it.safetensors");
    let left_out = save(&model, &path, &["conv", "rnn", "norm", "fc", "head"]).unwrap();
    let expected = [
        "conv (conv1d): stride 2",
        "norm (layer_norm): epsilon 0.5",
        "dropout: rate 0.5, same_steps false",
        "activation: activation Relu",
        "head (dense): activation Sigmoid, frozen true",
    ];
    assert_eq!(left_out, expected);
}

/// Writes models for PyTorch into a folder: see README.md.
#[test]
fn files_for_pytorch() {
    let Some(folder) = std::env::var_os("WGPU_LSTM_TEST_PYTORCH") else { return };
    let folder = Path::new(&folder);
    let (dict, expected) = (open("modules.pt"), open("modules_expected.safetensors"));
    let write = |file: &str, model: &Sequential, names: &[&str], x: &Var| {
        save(model, folder.join(file).with_extension("safetensors"), names).unwrap();
        let y = value(&model.forward(&Tape::inference(model.params()), x).unwrap());
        let shape = x.shape();
        let x: Vec<_> = match shape.len() {
            2 => x.tensor().to_vec_u32().unwrap().into_iter().map(|token| token as f32).collect(),
            _ => value(x),
        };
        let case = serde_json::json!({"x": x, "x_shape": shape, "y": y});
        std::fs::write(folder.join(file).with_extension("json"), case.to_string()).unwrap();
    };
    for name in NAMES.into_iter().filter(|name| !name.contains("cell")) {
        write(name, &model(&dict, name), &[""], &input(&expected, name, &devices()[0]));
    }
    let x = input(&expected, "lstm_both", &devices()[0]);
    write("prefixed", &model(&dict, "lstm_both"), &["encoder.rnn"], &x);

    let x = input(&expected, "embedding", &devices()[0]);
    let checkpoint = open("checkpoint_2.pt").prefix("model").unwrap();
    let mut whole = Sequential::new(&devices()[0])
        .seed(5)
        .add(checkpoint.embedding("embedding").unwrap())
        .add(checkpoint.lstm("encoder").unwrap().return_sequences())
        .add(checkpoint.layer_norm("norm").unwrap())
        .add(Dense::new(2).activation(Activation::Linear));
    whole.build(1).unwrap();
    write("model", &whole, &["embedding", "encoder", "norm", "head"], &x);
}
