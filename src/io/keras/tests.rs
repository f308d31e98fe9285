//! What files say of models, without weights; and archives that lie.

use super::activations::Version;
use super::chart::chart;
use super::weights::within;
use super::{config, import, read};
use crate::io::Source;
use crate::nn::{Activation, Dense, Dropout, GateActivation, Layer, Lstm, Regularizer};
use crate::{Device, Error, Result, Sequential};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use zip::write::SimpleFileOptions;

/// The layers that a model's JSON makes.
fn layers(text: &str) -> Result<import::Layers> {
    let source = Source::memory("model", *b"");
    import::layers(&source, &config::read(&source, text)?, Version::Three)
}

#[track_caller]
fn refused(text: &str, part: &str) {
    match layers(text) {
        Err(error @ Error::File { .. }) => {
            assert!(error.to_string().contains(part), "{error}: no {part}");
        }
        Err(error) => panic!("{error:?}"),
        Ok((_, layers)) => panic!("{part}: {} layers", layers.len()),
    }
}

#[test]
fn what_cannot_be_had_is_named() {
    let all: Value =
        serde_json::from_str(include_str!("../../../tests/io/keras/files/refused.json")).unwrap();
    let all = all.as_object().unwrap();
    assert!(all.len() >= 7);
    for (option, model) in all {
        refused(&model.to_string(), option);
    }
}

#[test]
fn options_are_kept() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/keras/files/lstm.keras");
    let model = super::load(path, &Device::plain_cpu()).unwrap();
    let expected: [Box<dyn Layer>; 5] = [
        Box::new(
            Lstm::new(4)
                .return_sequences()
                .input_dropout(0.1)
                .recurrent_dropout(0.2)
                .kernel_regularizer(Regularizer::l2(0.01))
                .recurrent_regularizer(Regularizer::l1_l2(1e-3, 1e-2))
                .bias_regularizer(Regularizer::l1(0.01))
                .activity_regularizer(Regularizer::l1(1e-3))
                .kernel_max_norm(3.0)
                .recurrent_max_norm(2.0),
        ),
        Box::new(Dropout::new(0.3)),
        Box::new(
            Lstm::new(3)
                .return_sequences()
                .no_bias()
                .activation(GateActivation::Relu)
                .recurrent_activation(GateActivation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 })
                .frozen(),
        ),
        Box::new(
            Lstm::new(5)
                .go_backwards()
                .activation(GateActivation::Softsign)
                .recurrent_activation(GateActivation::Tanh),
        ),
        Box::new(
            Dense::new(3)
                .activation(Activation::Softmax)
                .no_bias()
                .kernel_regularizer(Regularizer::l1(0.01))
                .activity_regularizer(Regularizer::l2(0.01))
                .kernel_max_norm(2.0),
        ),
    ];
    assert_eq!(model.layers().len(), expected.len());
    for (found, expected) in model.layers().iter().zip(expected) {
        assert_eq!(found.config().unwrap(), expected.config().unwrap());
    }
}

/// A layer as Keras 2 writes it in a functional model.
fn node(class: &str, name: &str, config: Value, inputs: &[&str]) -> Value {
    let inputs: Vec<_> = inputs.iter().map(|input| json!([input, 0, 0, {}])).collect();
    let calls = if inputs.is_empty() { json!([]) } else { json!([inputs]) };
    json!({ "class_name": class, "name": name, "config": config, "inbound_nodes": calls })
}

fn functional(layers: &[Value], output: &str) -> String {
    let config = json!({ "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [[output, 0, 0]] });
    json!({ "class_name": "Model", "config": config }).to_string()
}

fn input() -> Value {
    node("InputLayer", "x", json!({ "batch_input_shape": [null, 5, 3] }), &[])
}

#[test]
fn models_of_keras_2_are_read() {
    let dense = |name: &str, from: &[&str]| node("Dense", name, json!({ "units": 3 }), from);
    let add = node("Add", "sum", json!({}), &["a", "b"]);
    let lstm = json!({ "units": 3, "recurrent_activation": "hard_sigmoid", "implementation": 1 });
    let lstm = node("LSTM", "last", lstm, &["sum"]);
    let all = [input(), lstm, add, dense("b", &["a"]), dense("a", &["x"])];
    let source = Source::memory("model", *b"");
    let read = config::read(&source, &functional(&all, "last")).unwrap();
    let (size, layers) = import::layers(&source, &read, Version::Two).unwrap();
    let kinds: Vec<_> = layers.iter().map(|layer| layer.kind()).collect();
    assert_eq!((size, &kinds[..]), (Some(3), &["dense", "graph", "lstm"][..]));
    let gate = GateActivation::HardSigmoid { alpha: 0.2, beta: 0.5 };
    let expected = Lstm::new(3).recurrent_activation(gate);
    assert_eq!(layers[2].config().unwrap(), expected.config().unwrap());
}

#[test]
fn models_that_go_together_in_no_way_are_refused() {
    let dense = |name: &str, from: &[&str]| node("Dense", name, json!({ "units": 3 }), from);
    refused(&functional(&[input(), dense("a", &["b"]), dense("b", &["a"])], "b"), "circle");
    refused(&functional(&[input(), dense("a", &["a"])], "a"), "circle");
    refused(&functional(&[input(), dense("a", &["y"])], "a"), "\"y\"");
    refused(&functional(&[input(), dense("a", &["x"]), dense("a", &["x"])], "a"), "one of two");
    refused(&functional(&[input(), dense("a", &["x"])], "z"), "outputs");
    refused(&functional(&[input(), node("Add", "s", json!({}), &["x"])], "s"), "at least two");
    refused(&functional(&[input(), dense("a", &[])], "a"), "without");
    let other = node("InputLayer", "y", json!({ "batch_input_shape": [null, 5, 3] }), &[]);
    refused(&functional(&[input(), other, node("Add", "s", json!({}), &["x", "y"])], "s"), "input");
    let mut twice = dense("a", &["x"]);
    twice["inbound_nodes"] = json!([[["x", 0, 0, {}]], [["x", 0, 0, {}]]]);
    refused(&functional(&[input(), twice], "a"), "used 2 times");
    let states = json!([[["x", 0, 0, { "initial_state": ["x", 0, 0] }]]]);
    let mut stateful = node("LSTM", "a", json!({ "units": 2 }), &["x"]);
    stateful["inbound_nodes"] = states;
    refused(&functional(&[input(), stateful], "a"), "initial_state");
    for text in ["", "{}", "[]", "{\"class_name\": \"Sequential\"}"] {
        refused(text, "the model");
    }
    refused("{\"class_name\": \"Mine\", \"config\": {\"layers\": []}}", "Mine");
    refused("{\"class_name\": \"Sequential\", \"config\": {\"layers\": []}}", "with layers");
    refused(&"[".repeat(1 << 20), "unreadable");
    refused(&"{\"a\":".repeat(1 << 18), "unreadable");
    let shape = json!([null, 3, 4, 5]);
    let image = node("InputLayer", "x", json!({ "batch_input_shape": shape }), &[]);
    refused(&functional(&[image, dense("a", &["x"])], "a"), "shape");
}

/// Keras drops a mask there; the layers here go by it.
#[test]
fn masks_where_keras_has_none_are_refused() {
    let masked = node("Masking", "m", json!({ "mask_value": 0.0 }), &["x"]);
    for class in ["GlobalMaxPooling1D", "Flatten", "Conv1D", "MaxPooling1D"] {
        let config = json!({ "filters": 2, "kernel_size": [2], "pool_size": [2] });
        let layer = node(class, "a", config, &["m"]);
        refused(&functional(&[input(), masked.clone(), layer], "a"), "the mask");
    }
}

/// A second mask takes the place of the first in Keras, and operations drop masks.
#[test]
fn masks_of_which_keras_takes_another_are_refused() {
    let masking = |name: &str, value: f32, from: &str| {
        node("Masking", name, json!({ "mask_value": value, "trainable": true }), &[from])
    };
    let two = [input(), masking("m", 0.0, "x"), masking("n", 1.0, "m")];
    refused(&functional(&two, "n"), "the mask");
    let lstm = |name: &str, config, from: &[&str]| node("LSTM", name, config, from);
    let sum = node("Add", "s", json!({ "trainable": true }), &["m", "n"]);
    let last = lstm("l", json!({ "units": 2 }), &["s"]);
    let branches = [input(), masking("m", 0.0, "x"), masking("n", 1.0, "x"), sum, last];
    refused(&functional(&branches, "l"), "with two");
    let sum = node("Add", "s", json!({}), &["m", "m"]);
    let last = lstm("l", json!({ "units": 2 }), &["s"]);
    refused(&functional(&[input(), masking("m", 0.0, "x"), sum, last], "l"), "operations drop it");
    let zeros = json!({ "units": 2, "zero_output_for_mask": true, "trainable": true });
    let last = lstm("l", zeros, &["m"]);
    refused(&functional(&[input(), masking("m", 0.0, "x"), last], "l"), "zero_output_for_mask");
}

/// A class of a program's own may be called as one of Keras.
#[test]
fn classes_of_a_programs_own_are_refused() {
    let by = "the program that wrote it";
    // As Keras writes a class that is registered, one of a module, and one of the script that ran.
    let owners = [
        json!({ "module": null, "registered_name": "my>Dense" }),
        json!({ "module": "keras_of_mine.layers", "registered_name": "Dense" }),
        json!({ "module": null, "registered_name": "Dense" }),
    ];
    let with = |mut object: Value, owner: &Value| {
        for (key, value) in owner.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    };
    let dense = |config: Value| node("Dense", "a", config, &["x"]);
    let plain = dense(json!({ "units": 3 }));
    for owner in &owners {
        refused(&functional(&[input(), with(plain.clone(), owner)], "a"), by);
        let whole = functional(&[input(), plain.clone()], "a");
        let whole = with(serde_json::from_str(&whole).unwrap(), owner);
        refused(&whole.to_string(), by);
        let l2 = with(json!({ "class_name": "L2", "config": { "l2": 0.1 } }), owner);
        let penalised = dense(json!({ "units": 3, "kernel_regularizer": l2 }));
        refused(&functional(&[input(), penalised], "a"), by);
        let limit = with(json!({ "class_name": "MaxNorm", "config": { "max_value": 1.0 } }), owner);
        let limited = dense(json!({ "units": 3, "kernel_constraint": limit }));
        refused(&functional(&[input(), limited], "a"), by);
    }
    // As Keras writes a function that is registered, whatever its name.
    let relu = json!({ "module": "builtins", "class_name": "function", "config": "my>relu", "registered_name": "function" });
    refused(
        &functional(&[input(), dense(json!({ "units": 3, "activation": relu }))], "a"),
        "activation",
    );
    let of_keras = json!({ "module": "keras.layers", "registered_name": null });
    let plain = with(plain, &of_keras);
    assert!(layers(&functional(&[input(), plain], "a")).is_ok());
}

/// What Keras has as rows are sequences of one frame here.
#[test]
fn models_of_rows_begin_with_their_one_frame() {
    let layer = |class: &str, config: Value| json!({ "class_name": class, "config": config });
    let model = |shape: Value| {
        let all = [
            layer("InputLayer", json!({ "batch_shape": shape, "name": "x" })),
            layer("Dense", json!({ "units": 2, "name": "a" })),
        ];
        json!({ "class_name": "Sequential", "config": { "layers": all } }).to_string()
    };
    let kinds = |text: &str| {
        let (size, layers) = layers(text).unwrap();
        (size, layers.iter().map(|layer| layer.kind()).collect::<Vec<_>>())
    };
    assert_eq!(kinds(&model(json!([null, 4]))), (Some(4), vec!["flatten", "dense"]));
    assert_eq!(kinds(&model(json!([null, null, 4]))), (Some(4), vec!["dense"]));
    assert_eq!(kinds(&model(json!([null, 1, 4]))), (Some(4), vec!["dense"]));
}

/// A Flatten of the file's own at the beginning makes no rows of sequences of one frame.
#[test]
fn sequences_of_one_frame_stay_sequences() {
    let layer = |class: &str, config: Value| json!({ "class_name": class, "config": config });
    for steps in [1, 5] {
        let all = [
            layer("InputLayer", json!({ "batch_shape": [null, steps, 4], "name": "x" })),
            layer("Flatten", json!({ "name": "f" })),
            layer("Dense", json!({ "units": 2, "name": "a" })),
        ];
        let text = json!({ "class_name": "Sequential", "config": { "layers": all } }).to_string();
        let (_, layers) = layers(&text).unwrap();
        let model = Sequential::new(&Device::plain_cpu());
        let mut model = layers.into_iter().fold(model, Sequential::add);
        model.build(4).unwrap();
        let placed = chart(&model).unwrap();
        assert_eq!(placed[0].described.config["batch_shape"], json!([null, steps, 4]));
    }
}

/// Of a model within the model all arrays are listed as one layer's.
#[test]
fn layers_of_one_name_within_models_have_their_own_arrays() {
    let layers = |names: &[&str]| -> Vec<Value> {
        let config =
            |name: &&str| json!({ "class_name": "Dense", "config": { "name": name, "units": 1 } });
        names.iter().map(config).collect()
    };
    let model = |name: &str, layers: Vec<Value>| json!({ "class_name": "Sequential", "config": { "name": name, "layers": layers } });
    let inner = ["p", "q"].map(|name| model(name, layers(&["z", "p", "bias"])));
    let text = model("model", vec![model("outer", inner.to_vec())]).to_string();
    let paths = [
        "p/z/kernel",
        "q/p/p_cell/bias",
        "q/z/bias/kernel",
        "p/bias/bias",
        "p/p/kernel",
        "q/bias/p/bias",
    ];
    let mut file = hdf5_pure::FileBuilder::new();
    let mut outer = file.create_group("outer");
    let names = paths.map(str::to_owned).to_vec();
    outer.set_attr("weight_names", hdf5_pure::AttrValue::StringArray(names));
    file.add_group(outer.finish());
    let file = Source::memory("weights", file.finish().unwrap());
    let file = super::h5::open(&file, 0..file.len()).unwrap();
    let read = config::read(&Source::memory("model", *b""), &text).unwrap();
    let outer = file.group("outer").unwrap().unwrap();
    let found = within(&outer, "outer", &read).unwrap();
    let mut found: Vec<_> = found
        .into_iter()
        .map(|(at, paths)| (read.nodes[at].names.join("/"), paths.join(" ")))
        .collect();
    found.sort();
    let expected = [
        ("outer/p/bias", "p/bias/bias"),
        ("outer/p/p", "p/p/kernel"),
        ("outer/p/z", "p/z/kernel"),
        ("outer/q/bias", "q/bias/p/bias"),
        ("outer/q/p", "q/p/p_cell/bias"),
        ("outer/q/z", "q/z/bias/kernel"),
    ];
    assert_eq!(found, expected.map(|(layer, paths)| (layer.to_owned(), paths.to_owned())));
}

/// Models among the layers of models: where they are joined, and what their layers' weights are called by.
#[test]
fn models_within_models_are_unfolded() {
    let model = |name: &str, layers: &[Value], output: &str, from: &[&str]| {
        let config: Value = serde_json::from_str(&functional(layers, output)).unwrap();
        node("Model", name, config["config"].clone(), from)
    };
    let dense = |name: &str, from: &str| {
        node("Dense", name, json!({ "units": 3, "trainable": true }), &[from])
    };
    let innermost = model("p", &[input(), dense("b", "x")], "b", &["a"]);
    let inner = model("m", &[input(), dense("a", "x"), innermost], "p", &["d"]);
    let all = [input(), dense("d", "x"), inner, dense("e", "m")];
    let read = config::read(&Source::memory("model", *b""), &functional(&all, "e")).unwrap();
    let places = read.order.iter().map(|&node| read.nodes[node].place.join("/"));
    let places: Vec<_> = places.filter(|place| place.contains("dense")).collect();
    assert_eq!(places, ["dense", "model/dense", "model/model/dense", "dense_1"]);
    let names = read.order.iter().map(|&node| read.nodes[node].name.clone());
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["x", "d", "m/x", "m/a", "m/p/x", "m/p/b", "m/p", "m", "e"]);
    assert_eq!(layers(&functional(&all, "e")).unwrap().1.len(), 4);
    // One without layers, and one of two outputs, are no layer.
    let empty = json!({ "class_name": "Sequential", "config": { "name": "s", "layers": [] } });
    let config = json!({ "layers": [json!({ "class_name": "InputLayer", "config": { "batch_shape": [null, 5, 3] } }), empty] });
    refused(&json!({ "class_name": "Sequential", "config": config }).to_string(), "with layers");
    let mut two = model("m", &[input(), dense("a", "x")], "a", &["x"]);
    two["config"]["output_layers"] = json!([["a", 0, 0], ["x", 0, 0]]);
    refused(&functional(&[input(), two], "m"), "the model's outputs");
}

/// Not what the arrays lack, which follows from it.
#[test]
fn a_layer_that_cannot_be_had_is_named_first() {
    let dense = node("Dense", "a", json!({ "units": 3, "trainable": true }), &["x"]);
    let noise = node("GaussianNoise", "noise", json!({ "stddev": 0.1 }), &["a"]);
    let mut weights = hdf5_pure::FileBuilder::new();
    let mut layers = weights.create_group("layers");
    let (mut dense_group, mut vars) = (layers.create_group("dense"), layers.create_group("vars"));
    vars.create_dataset("0").with_i32_data(&[1]).with_shape(&[1]);
    dense_group.add_group(vars.finish());
    layers.add_group(dense_group.finish());
    weights.add_group(layers.finish());
    let weights = weights.finish().unwrap();
    let error = |layers: &[Value], output: &str| {
        let text = functional(layers, output);
        let bytes = archive(&[("config.json", text.as_bytes()), ("model.weights.h5", &weights)]);
        let read = read(&Source::memory("model", bytes), &Device::plain_cpu()).map(drop);
        read.unwrap_err().to_string()
    };
    let damaged = error(&[input(), dense.clone()], "a");
    assert!(damaged.contains("dense/vars/0"), "{damaged}");
    let foreign = error(&[input(), dense, noise], "noise");
    assert!(foreign.contains("\"noise\" (GaussianNoise)"), "{foreign}");
}

fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn archives_that_unpack_to_far_more_are_refused() {
    let zeros = vec![b' '; 80 << 20];
    for parts in [
        &[("config.json", &zeros[..])][..],
        &[("config.json", &b"{}"[..]), ("model.weights.h5", &zeros[..])],
    ] {
        let bytes = archive(parts);
        assert!(bytes.len() < 1 << 20);
        let error = read(&Source::memory("bomb", bytes), &Device::plain_cpu()).map(drop);
        let error = error.unwrap_err();
        assert!(error.to_string().contains("longer"), "{error}");
    }
    let error = read(&Source::memory("empty", archive(&[])), &Device::plain_cpu()).map(drop);
    assert!(matches!(error, Err(Error::File { .. })));
}

/// Sizes that a file only says, and weights that it does not have.
#[test]
fn a_model_without_its_weights_takes_no_memory() {
    let mut file = hdf5_pure::FileBuilder::new();
    let group = file.create_group("layers").finish();
    file.add_group(group);
    let file = Source::memory("weights", file.finish().unwrap());
    let weights = super::h5::open(&file, 0..file.len()).unwrap();
    let device = Device::plain_cpu();
    for size in [(1_u64 << 28) - 1, 1 << 28, 1 << 40, u64::MAX] {
        for class in ["Dense", "LSTM", "SimpleRNN", "Conv1D", "Embedding", "RepeatVector"] {
            let keys: &[&str] = match class {
                "Conv1D" => &["filters", "kernel_size", "dilation_rate"],
                "Embedding" => &["input_dim", "output_dim"],
                "RepeatVector" => &["n"],
                _ => &["units"],
            };
            let options = keys.iter().map(|key| ((*key).to_owned(), json!(size)));
            let layer = node(class, "a", Value::Object(options.collect()), &["x"]);
            let shape = match class {
                "Embedding" => json!([null, 5]),
                "RepeatVector" => json!([null, size]),
                _ => json!([null, 5, size]),
            };
            let input = node("InputLayer", "x", json!({ "batch_input_shape": shape }), &[]);
            let text = functional(&[input, layer], "a");
            let source = Source::memory("model", *b"");
            let found = config::read(&source, &text).and_then(|read| {
                import::model(&source, &read, Version::Three, &weights, || Ok(Vec::new()), &device)
            });
            // It repeats as often as it is told, and has no weights.
            let allowed = class == "RepeatVector" && size < 1 << 28;
            match found.map(drop) {
                Ok(()) if allowed => {}
                Err(Error::File { .. }) => {}
                other => panic!("{class} of {size}: {other:?}"),
            }
        }
    }
}
