//! The tool as users run it, on files of the library's tests.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod files;
mod graphs;
mod modules;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MODEL: &str = "tests/files/format_1.safetensors";

/// Runs the tool in the project's folder, on the CPU.
fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgpu-lstm"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
        .env("WGPU_LSTM_DEVICE", "cpu")
        .output()
        .unwrap()
}

/// What it prints where all goes well.
fn good(arguments: &[&str]) -> String {
    let found = tool(arguments);
    let error = String::from_utf8(found.stderr).unwrap();
    assert!(found.status.success(), "{arguments:?}: {error}");
    String::from_utf8(found.stdout).unwrap()
}

/// Its error, and the status with which it ends.
fn bad(arguments: &[&str], status: i32) -> String {
    let found = tool(arguments);
    assert_eq!(found.status.code(), Some(status), "{arguments:?}: {found:?}");
    assert!(found.stdout.is_empty(), "{found:?}");
    String::from_utf8(found.stderr).unwrap()
}

/// A path in a folder of this test's own.
fn own(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    folder.join(format!("{}-{name}", std::process::id())).display().to_string()
}

fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&good(arguments)).unwrap()
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

/// An input `[2,3,2]` of the model.
fn input(name: &str) -> String {
    let values: Vec<f32> = (0..12).map(|i| i as f32 / 7.0).collect();
    floats(name, &values, &[2, 3, 2])
}

fn floats(name: &str, values: &[f32], shape: &[usize]) -> String {
    let path = own(name);
    wgpu_lstm::data::NpyArray::save(&path, values, shape).unwrap();
    path
}

fn values(path: &str) -> (Vec<usize>, Vec<f32>) {
    let array = wgpu_lstm::data::NpyArray::open(path).unwrap();
    (array.shape().to_vec(), array.read().unwrap())
}

fn remove(paths: &[&String]) {
    paths.iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

/// Two arrays are close, element by element.
fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-5, "{what}: {a} and {b}");
    }
}

#[test]
fn inspect_tells_layers_shapes_and_ways() {
    let text = good(&["inspect", MODEL, "--threads", "1"]);
    has(&text, &["wgpu-lstm model", "F32", "[B, T, 2]", "705 (2,820 bytes as f32)", "i, f, g, o"]);
    has(&text, &["lstm.weight_ih_l1_reverse [16, 4]", "cell.clip 3.0", "directions.Both Sum"]);
    has(&text, &["CPU: all rows on one thread (the device has one thread)"]);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let all = json(&["inspect", MODEL, "--json", "--batch", "4", "--steps", "9"]);
    assert_eq!(all["parameters"], 705);
    assert_eq!((&all["batch"], &all["steps"]), (&4.into(), &9.into()));
    let kinds: Vec<_> = all["layers"].as_array().unwrap().iter().map(|l| &l["kind"]).collect();
    assert_eq!(kinds, ["lstm", "layer_norm", "dropout", "rnn", "lstm", "pool", "repeat", "dense"]);
    assert_eq!(all["layers"][0]["options"]["cell"]["clip"], 3.0);
    assert_eq!(all["layers"][7]["parameters"][0]["shape"], serde_json::json!([3, 2]));
}

#[test]
fn other_formats_are_told_by_what_they_hold() {
    let modules = good(&["inspect", "tests/io/corpus/zip_pt/small.pt"]);
    has(
        &modules,
        &["PyTorch state dict", "float32", "Linear of 2 features, 1 outputs", "--modules"],
    );
    let graph = json(&["inspect", "tests/io/corpus/onnx/torch_old.onnx", "--json"]);
    assert_eq!(graph["format"], "ONNX graph");
    assert_eq!(graph["inputs"][0]["shape"], serde_json::json!(["b", "t", 2]));
    let keras = json(&["inspect", "tests/io/corpus/keras/small.keras", "--json"]);
    assert_eq!(keras["format"], "Keras model");
    assert_eq!(keras["layers"][0]["kind"], "lstm");
    let renamed = own("renamed.bin");
    std::fs::copy("../tests/io/corpus/hdf5/legacy.h5", &renamed).unwrap();
    has(&good(&["inspect", &renamed]), &["Keras model", "[B, T, 1]"]);
    std::fs::remove_file(renamed).unwrap();
}

#[test]
fn run_predicts_what_the_library_predicts() {
    let (x, y) = (input("x.npy"), own("y.npy"));
    let text = good(&["run", MODEL, "--input", &x, "--output", &y]);
    has(&text, &["output [2, 2, 3], from ", " on CPU ("]);
    let device = wgpu_lstm::Device::cpu().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(MODEL);
    let model = wgpu_lstm::Sequential::load(path, &device).unwrap();
    let sequences = wgpu_lstm::data::NpyArray::open(&x).unwrap().sequences().unwrap();
    let (shape, found) = values(&y);
    assert_eq!(shape, [2, 2, 3]);
    assert_eq!(found, model.predict(&sequences).unwrap().values());
    has(&bad(&["run", MODEL, "--input", &x, "--streamed"], 1), &["bidirectional"]);
    for path in [x, y] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_converted_model_says_the_same() {
    let keras = "tests/io/corpus/keras/small.keras";
    let (x, y) = (own("cx.npy"), own("cy.npy"));
    let numbers: Vec<f32> = (0..10).map(|i| i as f32 / 7.0 - 0.4).collect();
    wgpu_lstm::data::NpyArray::save(&x, &numbers, &[2, 5, 1]).unwrap();
    good(&["run", keras, "--input", &x, "--output", &y]);
    let expected = values(&y);
    let all = ["m.safetensors", "m.onnx", "n.safetensors", "m.keras"].map(own);
    let mut from = keras.to_owned();
    for to in &all {
        good(&["convert", &from, to]);
        good(&["run", to, "--input", &x, "--output", &y]);
        let found = values(&y);
        assert_eq!(found.0, expected.0, "{to}");
        for (a, b) in found.1.iter().zip(&expected.1) {
            assert!((a - b).abs() < 1e-6, "{to}: {a} and {b}");
        }
        from.clone_from(to);
    }
    let dict = own("dict.safetensors");
    good(&["convert", &from, &dict, "--to", "pytorch", "--names", "rnn,head"]);
    has(&good(&["inspect", &dict]), &["rnn: LSTM of 1 features, 1 units", "head: Linear"]);
    good(&["run", &dict, "--modules", "rnn,head", "--input", &x, "--output", &y]);
    assert_eq!(values(&y).0, expected.0);
    // What a state dict does not hold is told.
    let rows = "tests/io/keras/files/rows.keras";
    let told = tool(&["convert", rows, &dict, "--to", "pytorch", "--names", "fc,head"]);
    assert!(told.status.success());
    has(&String::from_utf8(told.stderr).unwrap(), &["note: ", "fc (dense): activation Relu"]);
    for path in all.iter().chain([&x, &y, &dict]) {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn bench_times_batches_and_streams() {
    let keras = "tests/io/corpus/keras/small.keras";
    let options = ["--threads", "1", "--batch", "1,3", "--steps", "4", "--seconds", "0.01"];
    let text = good(&[&["bench", keras][..], &options[..]].concat());
    has(&text, &["steps/s", "streamed"]);
    assert_eq!(text.lines().count(), 4, "{text}");
    let text =
        good(&[&["bench", "tests/io/corpus/onnx/torch_old.onnx"][..], &options[..]].concat());
    has(&text, &["graph"]);
    has(&bad(&["bench", keras, "--batch", "0"], 1), &["--batch and --steps are at least 1"]);
}

#[test]
fn devices_name_the_one_that_is_auto() {
    has(&good(&["devices"]), &["auto  CPU (", "WGPU_LSTM_DEVICE=cpu says which is auto"]);
    let all = json(&["devices", "--json"]);
    assert_eq!((&all["cpu"]["auto"], &all["variable"]), (&true.into(), &"cpu".into()));
}

#[test]
fn errors_say_what_does_not_fit_and_what_to_do() {
    let error = bad(&["inspect", "tests/vectors/array_1.npy"], 1);
    has(&error, &["error: tests/vectors/array_1.npy", "an array of numpy", "expected a model"]);
    has(&bad(&["inspect", "README.md"], 1), &["it begins with \"# wgpu-lstm"]);
    has(&bad(&["inspect", "missing.onnx"], 1), &["missing.onnx: No such file"]);
    has(&bad(&["convert", MODEL, "model.txt"], 1), &["does not say the format", "--to"]);
    let state = "tests/io/corpus/zip_pt/small.pt";
    has(&bad(&["bench", state], 1), &["what joins them", "--modules"]);
    has(&bad(&["bench", state, "--modules", "x"], 1), &["no module is called \"x\""]);
    has(&bad(&["run", MODEL, "--input", "-"], 1), &["standard input", "give a file's name"]);
    has(&bad(&["inspect", "-"], 1), &["standard input"]);
    has(&bad(&["run", MODEL, "--input", "x", "--threads", "0"], 1), &["the device: Device::cpu"]);
    let much = ["--batch", "4294967296", "--threads", "1"];
    has(&bad(&[&["bench", MODEL], &much[..]].concat(), 1), &["more than there is memory for"]);
    let much = ["--batch", "18446744073709551615", "--threads", "1"];
    has(&bad(&[&["bench", MODEL], &much[..]].concat(), 1), &["more than there is memory for"]);
    let graph = "tests/io/corpus/onnx/torch_old.onnx";
    has(&bad(&[&["bench", graph], &much[..]].concat(), 1), &["more than there is memory for"]);
    has(&bad(&["bench", MODEL, "--modules", "x"], 1), &["has its layers"]);
    has(&bad(&["convert", MODEL, &own("n.keras")], 1), &["cannot write", "as a model of Keras: "]);
    let device = bad(&["bench", MODEL, "--device", "no such card"], 1);
    has(&device, &["no device is called \"no such card\""]);
    has(&bad(&["frobnicate"], 2), &["unrecognized subcommand"]);
}

#[test]
fn help_has_examples_and_fits_a_terminal() {
    for command in [&["--help"][..], &["inspect", "--help"], &["convert", "--help"]]
        .into_iter()
        .chain([&["run", "--help"][..], &["bench", "--help"], &["devices", "--help"]])
    {
        let text = good(command);
        has(&text, &["Examples:\n  wgpu-lstm "]);
        let wide = text.lines().find(|line| line.chars().count() > 100);
        assert_eq!(wide, None, "{command:?}");
    }
}

#[test]
fn models_of_rows_take_rows_and_streams_take_what_models_take() {
    use wgpu_lstm::nn::{Dense, Flatten, Lstm};
    let device = wgpu_lstm::Device::cpu().unwrap();
    let mut model = wgpu_lstm::Sequential::new(&device).add(Dense::new(3));
    model.build(4).unwrap();
    let (path, y) = (own("rows.safetensors"), own("rows_y.npy"));
    model.save(&path).unwrap();
    let numbers: Vec<f32> = (0..48).map(|i| i as f32 / 9.0).collect();
    let rows = floats("rows_x.npy", &numbers[..8], &[2, 4]);
    has(&good(&["inspect", &path]), &["[B, T, 4], or rows [B, 4] of one frame each"]);
    good(&["run", &path, "--input", &rows, "--output", &y]);
    let x = wgpu_lstm::data::Sequences::from_array(&numbers[..8], [2, 1, 4]).unwrap();
    assert_eq!(values(&y), (vec![2, 3], model.predict(&x).unwrap().values().to_vec()));

    // As Keras' models of rows are read.
    let flat = Flatten::new().timesteps(1);
    let mut model = wgpu_lstm::Sequential::new(&device).add(flat).add(Dense::new(3));
    model.build(4).unwrap();
    model.save(&path).unwrap();
    has(&good(&["inspect", &path]), &[" [B, 4]\n", "batches of 32 rows"]);
    good(&["run", &path, "--input", &rows, "--output", &y]);
    assert_eq!(values(&y), (vec![2, 3], model.predict(&x).unwrap().values().to_vec()));
    has(&good(&["bench", &path, "--threads", "1", "--batch", "2", "--seconds", "0"]), &["  1  "]);
    let many = floats("many_rows.npy", &numbers[..24], &[2, 3, 4]);
    has(&bad(&["run", &path, "--input", &many], 1), &["[2, 3, 4], expected [B,4]"]);
    remove(&[&many]);

    let mut model = wgpu_lstm::Sequential::new(&device).add(Lstm::new(2).return_sequences());
    model.build(4).unwrap();
    model.save(&path).unwrap();
    let frames = floats("frames_x.npy", &numbers[..24], &[2, 3, 4]);
    good(&["run", &path, "--input", &frames, "--streamed", "--output", &y]);
    let x = wgpu_lstm::data::Sequences::from_array(&numbers[..24], [2, 3, 4]).unwrap();
    assert_eq!(values(&y), (vec![2, 3, 2], model.predict(&x).unwrap().values().to_vec()));
    // Of more axes, and of other features.
    for shape in [&[2, 3, 2, 4][..], &[2, 8, 3], &[12, 4], &[48]] {
        let many = floats("many_x.npy", &numbers, shape);
        for streamed in [&["--streamed"][..], &[]] {
            let error = bad(&[&["run", &path, "--input", &many], streamed].concat(), 1);
            has(&error, &[&format!("{shape:?}, expected [B,T,4], as the model has it")]);
        }
        remove(&[&many]);
    }
    remove(&[&path, &y, &rows, &frames]);
}

/// A reader that has seen enough.
#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_error() {
    use std::process::Stdio;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgpu-lstm"));
    command.args(["inspect", MODEL, "--json"]).current_dir(folder).env("WGPU_LSTM_DEVICE", "cpu");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let found = child.wait_with_output().unwrap();
    assert!(found.status.success() && found.stderr.is_empty(), "{found:?}");
}
