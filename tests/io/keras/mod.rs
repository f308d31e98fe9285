//! Files of Keras, against what Keras computed.

mod hostile;
mod models;
mod textgenrnn;

use crate::common::{Folder, close, devices};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::io::keras;
use wgpu_lstm::nn::{Dense, LayerNorm, Lstm, Merge, Rnn};
use wgpu_lstm::train::{Adam, Fit, Loss};
use wgpu_lstm::{Device, Error, Sequential};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/keras/files").join(name)
}

/// What `make_keras.py` computed: a shape and values.
fn vectors(name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(file("keras.safetensors")).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = all.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let words = tensor.data().as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word));
    (tensor.shape().to_vec(), words.collect())
}

/// What a case is given: tokens `[B,T]`, rows `[B,F]` as sequences of one frame, or sequences.
fn input(name: &str) -> Sequences {
    let (shape, x) = vectors(&format!("x.{name}"));
    match shape[..] {
        [_, t] if ["mask_zero", "training"].contains(&name) => {
            let rows = x.chunks(t).map(|row| row.iter().map(|&x| x as u32).collect::<Vec<_>>());
            Sequences::from_tokens(rows).unwrap()
        }
        [b, f] => Sequences::from_array(&x, [b, 1, f]).unwrap(),
        [b, t, f] => Sequences::from_array(&x, [b, t, f]).unwrap(),
        _ => panic!("{name}: {shape:?}"),
    }
}

#[track_caller]
fn check(what: &str, name: &str, model: &Sequential) {
    let (found, expected) = (model.predict(&input(name)).unwrap(), vectors(&format!("y.{name}")).1);
    close(&format!("{what} of {name}"), found.values(), &expected, 1e-5);
}

const CASES: [&str; 13] = [
    "lstm",
    "gates",
    "both",
    "mask_zero",
    "masking",
    "conv",
    "repeat",
    "graph",
    "activations",
    "rows",
    "weights",
    "nested",
    "nested_rows",
];

#[test]
fn archives_compute_what_keras_did() {
    for device in devices() {
        for name in CASES {
            let model = keras::load(file(&format!("{name}.keras")), device);
            let model = model.unwrap_or_else(|error| panic!("{name}: {error}"));
            check("the archive", name, &model);
        }
    }
}

#[test]
fn whole_models_in_hdf5_compute_what_keras_did() {
    let device = Device::cpu().unwrap();
    for name in ["lstm", "both", "mask_zero", "graph", "nested"] {
        let model = keras::load(file(&format!("{name}.h5")), &device);
        check("the HDF5", name, &model.unwrap_or_else(|error| panic!("{name}: {error}")));
    }
}

/// A model as the program builds it, for weights alone.
fn built(device: &Device) -> Sequential {
    let mut model = Sequential::new(device)
        .add(Lstm::new(3).return_sequences())
        .add(Lstm::new(2).return_sequences())
        .add(Rnn::new(2).bidirectional(Merge::Concat))
        .add(Dense::new(3))
        .add(LayerNorm::new().epsilon(1e-3))
        .add(Dense::new(1));
    model.build(2).unwrap();
    model
}

#[test]
fn weights_alone_go_into_a_model_of_the_programs_own() {
    let device = Device::cpu().unwrap();
    for name in ["weights.weights.h5", "weights.keras"] {
        let model = built(&device);
        keras::load_weights(file(name), &model).unwrap();
        check(name, "weights", &model);
    }
    // By the order that a file tells, and beside the states of random numbers.
    for (name, path) in [("both", "both.h5"), ("lstm", "lstm.weights.h5")] {
        let model = keras::load(file(&format!("{name}.keras")), &device).unwrap();
        for name in model.params().names() {
            let zeros = vec![0.0; model.params().get(&name).unwrap().len()];
            model.params().set(&name, &zeros).unwrap();
        }
        keras::load_weights(file(path), &model).unwrap();
        check("the weights", name, &model);
    }
    let other = Sequential::new(&device).add(Lstm::new(3));
    let error = keras::load_weights(file("weights.weights.h5"), &other).unwrap_err();
    assert!(matches!(error, Error::NotBuilt { .. }), "{error}");
}

#[test]
fn weights_that_do_not_fit_change_nothing() {
    let device = Device::cpu().unwrap();
    let mut others = [
        Sequential::new(&device).add(Lstm::new(3)).add(Dense::new(1)),
        Sequential::new(&device)
            .add(Lstm::new(3).num_layers(2).return_sequences())
            .add(Rnn::new(2).bidirectional(Merge::Sum))
            .add(Dense::new(3))
            .add(LayerNorm::new())
            .add(Dense::new(1)),
    ];
    for model in &mut others {
        model.build(2).unwrap();
        let all = |model: &Sequential| {
            let names = model.params().names();
            names.iter().map(|name| model.params().get(name).unwrap()).collect::<Vec<_>>()
        };
        let before = all(model);
        let error = keras::load_weights(file("weights.weights.h5"), model).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
        assert_eq!(all(model), before);
    }
}

#[test]
fn other_types_of_floats_become_ours() {
    for dtype in ["float16", "bfloat16", "float64"] {
        let model = keras::load(file(&format!("{dtype}.keras")), &Device::cpu().unwrap()).unwrap();
        let (shape, kernel) = vectors(&format!("{dtype}.0"));
        let [rows, columns] = shape[..] else { panic!("{dtype}: {shape:?}") };
        let turned = (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c)));
        let turned: Vec<_> = turned.map(|(r, c)| kernel[r * columns + c]).collect();
        assert_eq!(model.params().get("dense.weight").unwrap(), turned, "{dtype}");
        assert_eq!(model.params().get("dense.bias").unwrap(), vectors(&format!("{dtype}.1")).1);
    }
}

/// The loss of an epoch, and what the model computes after it.
#[test]
fn a_model_is_trained_on_as_keras_would() {
    for device in devices() {
        let mut model = keras::load(file("training.keras"), device).unwrap();
        // Keras adds its epsilon before the variance is corrected, which moves the fourth digit here.
        model.compile(Adam::new(0.02).epsilon(1e-7), Loss::BinaryCrossEntropy, &[]);
        let y = Targets::values(vectors("t.training").1, 1);
        let fit = Fit::new().epochs(1).batch_size(4).shuffle(false).quiet();
        let history = model.fit(&input("training"), &y, fit).unwrap();
        let (_, losses) = vectors("losses.training");
        let found = history.epochs[0].value("loss").unwrap();
        let expected = losses.iter().sum::<f32>() / losses.len() as f32;
        assert!((found - expected).abs() < 1e-4 * expected, "{found}, not {expected} on {device}");
        let (found, expected) =
            (model.predict(&input("training")).unwrap(), vectors("y.training").1);
        close(&format!("after training on {device}"), found.values(), &expected, 1e-3);
    }
}

/// Writes models, reads them again, and leaves them for `check_keras.py` if it is told where.
fn round_trip(name: &str, model: &Sequential, x: &Sequences, values: &[f32], shape: &[usize]) {
    let kept = std::env::var_os("WGPU_LSTM_KERAS_OUT").map(PathBuf::from);
    let own = Folder::new(&format!("keras-{name}"));
    let folder = kept.clone().unwrap_or_else(|| own.path().to_owned());
    let path = |ending: &str| folder.join(format!("{name}{ending}"));
    keras::save(model, path(".keras")).unwrap_or_else(|error| panic!("{name}: {error}"));
    keras::save(model, path(".weights.h5")).unwrap();
    let y = model.predict(x).unwrap();
    let device = Device::cpu().unwrap();
    let again = keras::load(path(".keras"), &device).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(again.predict(x).unwrap().values(), y.values(), "{name}");
    for name in again.params().names() {
        let zeros = vec![0.0; again.params().get(&name).unwrap().len()];
        again.params().set(&name, &zeros).unwrap();
    }
    keras::load_weights(path(".weights.h5"), &again).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(again.predict(x).unwrap().values(), y.values(), "{name}");
    let bytes = std::fs::read(path(".keras")).unwrap();
    keras::save(model, path(".keras")).unwrap();
    assert_eq!(std::fs::read(path(".keras")).unwrap(), bytes, "{name}: another file");
    if kept.is_some() {
        let all = model.predict(x).unwrap();
        let rows = shape[0];
        let mut y_shape = vec![rows];
        let count = all.values().len() / rows;
        let frames = all.row(0).len();
        y_shape.extend(if frames == count { vec![count] } else { vec![count / frames, frames] });
        let words =
            |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        let (x, y) = (words(values), words(all.values()));
        let view = |shape: &[usize], words| {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), words)
        };
        let tensors = [("x", view(shape, &x).unwrap()), ("y", view(&y_shape, &y).unwrap())];
        let bytes = safetensors::serialize(tensors, None).unwrap();
        std::fs::write(path(".safetensors"), bytes).unwrap();
    }
}
