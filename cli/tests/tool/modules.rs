//! State dicts of PyTorch, and what is said of their modules.

use super::{bad, close, good, has, own, remove, tool, values};
use std::path::Path;

#[test]
fn modules_are_what_is_said_of_them() {
    const DICT: &str = "tests/io/pytorch/modules.pt";
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let expected = root.join("tests/io/pytorch/modules_expected.safetensors");
    let expected = wgpu_lstm::io::pytorch::StateDict::open(expected).unwrap();
    let (x, y) = (own("mx.npy"), own("my.npy"));
    for (modules, name) in [
        ("rnn_relu:relu", "rnn_relu"),
        ("linear_no_bias:linear", "linear_no_bias"),
        ("layer_norm:eps=1e-5", "layer_norm"),
        ("batch_norm", "batch_norm"),
        ("conv_no_bias:groups=2", "conv_no_bias"),
    ] {
        let shape = expected.shape(&format!("{name}.x")).unwrap();
        let numbers = expected.values(&format!("{name}.x")).unwrap();
        wgpu_lstm::data::NpyArray::save(&x, &numbers, shape).unwrap();
        good(&["run", DICT, "--modules", modules, "--sequences", "--input", &x, "--output", &y]);
        close(&values(&y).1, &expected.values(&format!("{name}.y")).unwrap(), name);
    }
    let text = good(&["inspect", DICT]);
    has(&text, &["rnn_relu: RNN of 3 features", "taken with tanh (rnn_relu:relu"]);
    has(&text, &["taken with eps 1e-5 (layer_norm:eps=1e-6", "GroupNorm or InstanceNorm1d"]);
    let found = tool(&["run", DICT, "--modules", "rnn_relu", "--input", &x]);
    has(&String::from_utf8(found.stderr).unwrap(), &["  rnn_relu: taken with tanh"]);
    let bench = |modules| bad(&["bench", DICT, "--modules", modules], 1);
    has(&bench("gru"), &["no layer of this crate", "torch.onnx.export"]);
    has(&bench("rnn:selu"), &["GateActivation"]);
    has(&bench("rnn:eps=1"), &["\"eps=1\" is no option of it", "relu or tanh"]);
    has(&bench("conv:stride=x"), &["conv:stride=x: no number"]);
    has(&bench("embedding:embedding:relu"), &["not both"]);
    has(&bench("lstm:relu"), &["options that go: none"]);
    remove(&[&x, &y]);
}
