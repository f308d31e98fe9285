//! Modules of PyTorch as layers: what they compute.

use super::{open, wrong};
use crate::common::{close, devices, value};
use wgpu_lstm::io::pytorch::{ModuleKind, StateDict};
use wgpu_lstm::nn::{Dense, Dropout, Embedding, GateActivation, Layer, Lstm, Params};
use wgpu_lstm::{Device, Error, Sequential, Tape, Tensor, Var};

/// The layers of which each is a module of `modules.pt`, and gives all outputs.
pub(super) fn layer(dict: &StateDict, name: &str) -> Option<Box<dyn Layer>> {
    let kind = name.split('_').next()?;
    Some(match (kind, name) {
        ("lstm", _) => Box::new(dict.lstm(name).unwrap().return_sequences()),
        ("rnn", "rnn_relu") => {
            let rnn = dict.rnn(name).unwrap().activation(GateActivation::Relu);
            Box::new(rnn.return_sequences())
        }
        ("rnn", _) => Box::new(dict.rnn(name).unwrap().return_sequences()),
        ("linear", _) => Box::new(dict.dense(name).unwrap()),
        ("embedding", _) => Box::new(dict.embedding(name).unwrap()),
        ("conv", "conv_no_bias") => Box::new(dict.conv1d(name).unwrap().groups(2)),
        ("conv", _) => Box::new(dict.conv1d(name).unwrap()),
        ("batch", _) => Box::new(dict.batch_norm(name).unwrap()),
        ("layer", _) => Box::new(dict.layer_norm(name).unwrap()),
        _ => return None,
    })
}

/// The names of the modules in `modules.pt` for which there is a layer.
pub(super) const NAMES: [&str; 19] = [
    "lstm",
    "lstm_stacked",
    "lstm_both",
    "lstm_no_bias",
    "lstm_projection",
    "lstm_all",
    "lstm_cell",
    "lstm_cell_no_bias",
    "rnn",
    "rnn_relu",
    "rnn_no_bias",
    "rnn_cell",
    "linear",
    "linear_no_bias",
    "embedding",
    "layer_norm",
    "conv",
    "conv_no_bias",
    "batch_norm",
];

/// The features of its input.
pub(super) fn features(name: &str) -> usize {
    match name {
        "embedding" => 1,
        "conv_no_bias" => 4,
        _ => 3,
    }
}

/// The input of a module in `modules_expected.safetensors`.
pub(super) fn input(expected: &StateDict, name: &str, device: &Device) -> Var {
    let name = format!("{name}.x");
    let (values, shape) = (expected.values(&name).unwrap(), expected.shape(&name).unwrap());
    Var::from(match shape.len() {
        2 => {
            let tokens: Vec<_> = values.iter().map(|&value| value as u32).collect();
            Tensor::from_u32(&tokens, shape, device).unwrap()
        }
        _ => Tensor::from_slice(&values, shape, device).unwrap(),
    })
}

#[test]
fn layers_compute_what_the_modules_do() {
    let expected = open("modules_expected.safetensors");
    for file in ["modules.pt", "modules_legacy.pth"] {
        let dict = open(file);
        for device in devices() {
            for name in NAMES {
                let mut layer = layer(&dict, name).unwrap();
                let params = Params::new(device);
                layer.build_on(&params, features(name)).unwrap();
                dict.load_layer(name, &params, layer.kind()).unwrap_or_else(|e| panic!("{e}"));
                let x = input(&expected, name, device);
                let y = layer.forward(&Tape::inference(&params), &x).unwrap();
                let expected = expected.values(&format!("{name}.y")).unwrap();
                close(&format!("{name} of {file} on {device}"), &value(&y), &expected, 1e-5);
            }
        }
    }
}

#[test]
fn a_model_is_loaded_as_a_whole() {
    let expected = open("model_expected.safetensors");
    let x = Tensor::from_u32(
        &expected.values("x").unwrap().iter().map(|&token| token as u32).collect::<Vec<_>>(),
        expected.shape("x").unwrap(),
        &devices()[0],
    );
    let x = Var::from(x.unwrap());
    let checkpoint = open("checkpoint_2.pth");
    let script = open("model_script.pt");
    for dict in [checkpoint.prefix("ema.1").unwrap(), script] {
        let mut model = Sequential::new(&devices()[0])
            .add(dict.embedding("embedding").unwrap())
            .add(Dropout::new(0.5))
            .add(dict.lstm("encoder").unwrap().return_sequences())
            .add(dict.layer_norm("norm").unwrap())
            .add(dict.dense("head").unwrap());
        dict.load_into(&mut model, &["embedding", "encoder", "norm", "head"]).unwrap();
        let y = model.forward(&Tape::inference(model.params()), &x).unwrap();
        close("model", &value(&y), &expected.values("y").unwrap(), 1e-5);
    }
}

#[test]
fn modules_are_told_by_their_tensors() {
    for file in ["modules.pt", "modules.safetensors"] {
        let modules = open(file).modules();
        let mut lines: Vec<_> = modules.iter().map(ToString::to_string).collect();
        lines.sort();
        let expected = [
            "batch_norm: BatchNorm1d of 3 features",
            "conv: Conv1d of 3 channels a group, 4 outputs, 2 timesteps",
            "conv_no_bias: Conv1d of 2 channels a group, 6 outputs, 3 timesteps, no bias",
            "embedding: Embedding or Linear without bias, a weight [7, 3]",
            "gru: GRU of 3 features, 5 units",
            "layer_norm: LayerNorm of 3 features",
            "linear: Linear of 3 features, 4 outputs",
            "linear_no_bias: Embedding or Linear without bias, a weight [4, 3]",
            "lstm: LSTM of 3 features, 5 units",
            "lstm_all: LSTM of 3 features, 5 units, 2 layers, both directions, projected to 2, no bias",
            "lstm_both: LSTM of 3 features, 4 units, 2 layers, both directions",
            "lstm_cell: LSTMCell of 3 features, 5 units",
            "lstm_cell_no_bias: LSTMCell of 3 features, 5 units, no bias",
            "lstm_no_bias: LSTM of 3 features, 5 units, 2 layers, no bias",
            "lstm_projection: LSTM of 3 features, 5 units, projected to 2",
            "lstm_stacked: LSTM of 3 features, 4 units, 3 layers",
            "rnn: RNN of 3 features, 5 units, 2 layers, both directions",
            "rnn_cell: RNNCell of 3 features, 5 units",
            "rnn_no_bias: RNN of 3 features, 5 units, no bias",
            "rnn_relu: RNN of 3 features, 5 units",
        ];
        assert_eq!(lines, expected, "{file}");
    }
    let small = &open("small.pt").modules()[0];
    assert_eq!(small.to_string(), "Linear of 2 features, 1 outputs");
    assert_eq!(small.kind, ModuleKind::Linear { input_size: 2, output_size: 1 });
    let rng = open("checkpoint_2.pt").modules().into_iter().find(|module| module.name.is_empty());
    assert_eq!(rng.unwrap().to_string(), "other tensors: rng");
}

#[test]
fn what_does_not_fit_is_told_before_a_value_is_set() {
    let dict = open("modules.pt");
    let device = &devices()[0];
    let of = |layer: Lstm| Sequential::new(device).add(layer).add(Dense::new(4));
    let load = |mut model: Sequential, names: &[&str]| {
        model.build(3).unwrap();
        let before = model.params().get("lstm.weight_ih_l0").unwrap();
        let error = dict.load_into(&mut model, names).unwrap_err();
        assert_eq!(model.params().get("lstm.weight_ih_l0").unwrap(), before);
        error
    };
    let [entry, expected, found] = wrong::<()>(Err(load(of(Lstm::new(4)), &["lstm", "linear"])));
    assert_eq!(entry, "tensor lstm.weight_ih_l0");
    assert_eq!((&*expected, &*found), ("[16, 3], for lstm.weight_ih_l0", "[20, 3]"));
    let [entry, _, found] = wrong::<()>(Err(load(of(Lstm::new(5)), &["lstm_no_bias", "linear"])));
    assert_eq!((&*entry, &*found), ("tensor lstm_no_bias.bias_ih_l0", "missing"));
    let no_bias = of(Lstm::new(5).no_bias());
    let [entry, expected, found] = wrong::<()>(Err(load(no_bias, &["lstm", "linear"])));
    assert_eq!((&*entry, &*found), ("tensor lstm.bias_ih_l0", "of no parameter"));
    assert!(expected.starts_with("no more than the layer lstm has: weight_ih_l0"), "{expected}");
    let deeper = of(Lstm::new(5).num_layers(2));
    let [entry, ..] = wrong::<()>(Err(load(deeper, &["lstm", "linear"])));
    assert_eq!(entry, "tensor lstm.weight_ih_l1");
    // The second module: the first is not set either.
    let [entry, ..] = wrong::<()>(Err(load(of(Lstm::new(5)), &["lstm", "linear"])));
    assert_eq!(entry, "tensor linear.weight");
    for names in [&["lstm"][..], &["lstm", "linear", "rnn"]] {
        let error = load(of(Lstm::new(5)), names);
        let expected = "2, for the layers with parameters: lstm, dense";
        assert!(matches!(&error, Error::Option { expected: e, .. } if e == expected), "{error}");
    }
    let [entry, expected, found] = wrong(dict.lstm("gru"));
    assert_eq!((&*entry, &*found), ("tensor gru.…", "GRU of 3 features, 5 units"));
    assert!(expected.starts_with("an LSTM"), "{expected}");
    for error in [
        dict.rnn("lstm").err(),
        dict.dense("lstm").err(),
        dict.embedding("linear").err(),
        dict.layer_norm("batch_norm").err(),
        dict.batch_norm("layer_norm").err(),
        dict.conv1d("linear").err(),
        dict.lstm("nothing").err(),
    ] {
        assert!(matches!(error, Some(Error::File { .. })), "{error:?}");
    }
    let params = Params::new(device);
    let error = dict.load_layer("lstm", &params, "lstm").unwrap_err();
    assert!(matches!(error, Error::UnknownParameter { .. }), "{error}");
    // The input's size does not follow from an embedding's module behind a dropout.
    let mut model = Sequential::new(device).add(Dropout::new(0.1)).add(Embedding::new(7, 3));
    let error = dict.load_into(&mut model, &["embedding"]).unwrap_err();
    assert!(matches!(error, Error::NotBuilt { call: "build", .. }), "{error}");
}
