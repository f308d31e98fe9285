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
    has(&bench("rnn_relu:sigmoid"), &["\"sigmoid\" is no option of it", "relu or tanh"]);
    has(&bench("conv:groups=0"), &["conv:groups=0: no number that goes"]);
    has(&bench("rnn:eps=1"), &["\"eps=1\" is no option of it", "relu or tanh"]);
    has(&bench("conv:stride=x"), &["conv:stride=x: no number"]);
    has(&bench("embedding:embedding:relu"), &["not both"]);
    has(&bench("lstm:relu"), &["options that go: none"]);
    let note = |modules: &str| {
        let found = tool(&["bench", DICT, "--modules", modules, "--seconds", "0", "--steps", "9"]);
        String::from_utf8(found.stderr).unwrap()
    };
    let text = note("conv_no_bias:groups=2");
    has(&text, &["taken with stride 1, padding 0, dilation 1 and no activation"]);
    has(&text, &["(conv_no_bias:stride=2:padding=1:dilation=2:relu would be others)"]);
    let text = note("layer_norm:eps=1e-5");
    assert!(text.contains("GroupNorm") && !text.contains("with eps"), "{text}");
    let text = note("rnn_relu:relu");
    assert!(!text.contains("taken"), "{text}");
    remove(&[&x, &y]);
}

/// A file of tensors `[1]` under these names.
fn dict(name: &str, tensors: &[&str]) -> String {
    let entry = |(at, name): (usize, &&str)| {
        let (begin, end) = (4 * at, 4 * at + 4);
        format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{begin},{end}]}}"#)
    };
    let entries: Vec<_> = tensors.iter().enumerate().map(entry).collect();
    let head = format!("{{{}}}", entries.join(","));
    let bytes =
        [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &vec![0; 4 * tensors.len()]];
    let path = own(name);
    std::fs::write(&path, bytes.concat()).unwrap();
    path
}

#[test]
fn tensors_that_are_computed_of_others_are_told() {
    for (tensors, call) in [
        (&["a.bias", "a.parametrizations.weight.original0"][..], "remove_parametrizations"),
        (&["a.bias", "a.weight_g", "a.weight_v"], "remove_weight_norm"),
        (&["a.bias", "a.weight_orig", "a.weight_u", "a.weight_v"], "remove_spectral_norm"),
        (&["a.bias", "a.weight_orig", "a.weight_mask"], "prune.remove"),
    ] {
        let path = dict("computed.safetensors", tensors);
        has(&bad(&["bench", &path, "--modules", "a"], 1), &["computed of those", call]);
        remove(&[&path]);
    }
}
