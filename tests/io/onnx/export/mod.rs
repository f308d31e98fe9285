//! Models to ONNX. What is written is looked through here: the format, the names, the sizes. That onnx's checker
//! takes it and ONNX Runtime computes the same is seen by `tests/io/onnx/export_check.py`, which lets
//! [`models_of_all_options`] write its models and what they give into a folder.

mod models;
mod wire;

use models::{Model, model};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use wgpu_lstm::data::Sequences;
use wgpu_lstm::io::onnx::{Export, Value as Graphs};
use wgpu_lstm::nn::{Layer, Params, Rnn};
use wgpu_lstm::prelude::*;
use wgpu_lstm::{Error, Result, Tape, Var};

/// The folder in which a check outside of this test wants the models, and how many of them.
const FOLDER: &str = "WGPU_LSTM_ONNX_MODELS";
const COUNT: &str = "WGPU_LSTM_ONNX_COUNT";

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("wgpu-lstm-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn models_of_all_options() -> Result<()> {
    let own = Folder::new("onnx");
    let wanted = std::env::var_os(FOLDER).map(PathBuf::from);
    let count = std::env::var(COUNT).ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let path = wanted.clone().unwrap_or_else(|| own.0.clone());
    let mut cases = Vec::new();
    for seed in 0..count {
        cases.extend(written(&path, seed, &model(seed)?)?);
    }
    assert!(cases.len() as u64 > 3 * count / 2, "{} files of {count} models", cases.len());
    if let Some(path) = wanted {
        let text = serde_json::to_string(&cases).unwrap();
        std::fs::write(path.join("cases.json"), text).unwrap();
    }
    Ok(())
}

/// Writes a model in all its forms, and gives for each what it takes and has to give.
fn written(folder: &Path, seed: u64, model: &Model) -> Result<Vec<Value>> {
    let Model { model: it, about, features, .. } = model;
    let mut cases = Vec::new();
    let mut save = |form: &str, export: Export, rows: &Sequences, values: Value| -> Result<()> {
        let file = format!("{seed}_{form}.onnx");
        export.opset(17 + (seed % 5) as u32).save(it, folder.join(&file))?;
        wire::check(&std::fs::read(folder.join(&file)).unwrap());
        let rows: Vec<_> = (0..rows.len()).map(|row| rows.get(row).to_vec()).collect();
        let tokens = model.tokens.is_some();
        if form == "sequence" {
            let path = folder.join(&file);
            if let Err(error) = read_back(&path, (tokens, *features), &rows, &values) {
                panic!("{file}: {about}: {error}");
            }
        }
        cases.push(json!({
            "file": file, "form": form, "about": about, "tokens": tokens, "features": features,
            "rows": rows, "values": values, "longer": !(model.masks && model.windows),
        }));
        Ok(())
    };
    let predicted = |x: &Sequences| -> Result<Value> {
        let found = it.predict(x)?;
        let rows: Vec<_> = (0..x.len()).map(|row| found.sequence(row).to_vec()).collect();
        Ok(json!(rows))
    };
    let same = model.rows(seed, true)?;
    save("sequence", Export::new(), &same, predicted(&same)?)?;
    match model.alike {
        // Rows of one length, but the graph cannot know that.
        true => {
            let error = Export::new().lengths().save(it, folder.join("none.onnx")).err();
            let refused = matches!(error, Some(Error::Unsupported { .. }));
            assert!(refused || model.masks, "{about}: {error:?}");
        }
        false => {
            let rows = model.rows(seed + 1000, false)?;
            save("lengths", Export::new().lengths(), &rows, predicted(&rows)?)?;
        }
    }
    let step = Export::new().stateful_step();
    match it.stepper(1) {
        Ok(_) => save("step", step, &same, stepped(model, &same)?)?,
        Err(error) => {
            let found = step.save(it, folder.join("none.onnx")).unwrap_err();
            let is_same = |error: &Error| matches!(error, Error::Unsupported { .. });
            assert!(is_same(&error) && is_same(&found), "{about}: {error}; {found}");
        }
    }
    Ok(cases)
}

/// Runs what was written by this crate's own reader of ONNX.
fn read_back(
    path: &Path,
    (tokens, features): (bool, usize),
    rows: &[Vec<f32>],
    values: &Value,
) -> Result<()> {
    let device = Device::cpu()?;
    let graph = wgpu_lstm::io::onnx::Model::load(path, &device)?;
    let all = rows.concat();
    let input = match tokens {
        true => {
            let tokens: Vec<_> = all.iter().map(|&token| token as i64).collect();
            Graphs::i64(&tokens, [rows.len(), rows[0].len()])?
        }
        false => {
            let shape = [rows.len(), rows[0].len() / features, features];
            Graphs::f32(&all, shape, &device)?
        }
    };
    let found = graph.run(&[("input", input)])?;
    let found = found[0].1.to_f32()?;
    let expected: Vec<Vec<f32>> = serde_json::from_value(values.clone()).unwrap();
    let expected = expected.concat();
    assert_eq!(found.len(), expected.len(), "{}", path.display());
    for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
        let off = (a - b).abs() / (1.0 + b.abs());
        assert!(off < 1e-5, "{} at {i}: {a}, expected {b}", path.display());
    }
    Ok(())
}

/// What a stepper gives after each frame of each row; nothing for a token that a mask leaves out.
fn stepped(model: &Model, x: &Sequences) -> Result<Value> {
    let mut stepper = model.model.stepper(x.len())?;
    let mut rows = Vec::new();
    for row in 0..x.len() {
        let stream = stepper.join()?;
        let mut found = Vec::new();
        let mut left_out = false;
        for frame in x.get(row).chunks(model.features) {
            let leaves_out = model.masks && model.tokens.is_some() && frame == [0.0];
            // A mask ends at a convolution: what is behind it goes on over the frame, which a stepper refuses.
            left_out = leaves_out || (left_out && model.windows);
            found.push(match left_out {
                true => Value::Null,
                false => json!(stepper.step(&[(stream, frame)])?.row(0)),
            });
        }
        rows.push(found);
    }
    Ok(json!(rows))
}

fn small() -> Result<Sequential> {
    let mut model = Sequential::new(&Device::cpu()?)
        .add(Embedding::new(5, 3).mask_zero())
        .add(Lstm::new(4).num_layers(2).return_sequences())
        .add(Lstm::new(6).projection(2).bidirectional(Merge::Concat))
        .add(Dense::new(2).activation(Activation::Softmax));
    model.build(1)?;
    Ok(model)
}

/// The names that a viewer shows, and those by which a program calls the model.
#[test]
fn names_are_those_of_layers_and_parameters() -> Result<()> {
    let folder = Folder::new("onnx-names");
    let path = folder.0.join("model.onnx");
    let mut model = small()?;
    model.keep("classes", &["calm", "storm"])?;
    Export::new().lengths().save(&model, &path)?;
    let found = wire::check(&std::fs::read(&path).unwrap());
    assert_eq!(found.inputs, ["input", "lengths"]);
    assert_eq!(found.outputs, ["output"]);
    assert_eq!(found.opset, 17);
    assert_eq!(found.texts["wgpu_lstm.kept.classes"], r#"["calm","storm"]"#);
    for node in ["embedding/Gather", "lstm/LSTM", "lstm/LSTM_1", "lstm_1/Scan", "lstm_1/Scan_1"] {
        assert!(found.nodes.iter().any(|name| name == node), "{node}: {:?}", found.nodes);
    }
    let shapes = |name: &str| found.weights[name].clone();
    assert_eq!(shapes("embedding.weight"), [5, 3]);
    assert_eq!(shapes("lstm.weight_ih_l0"), [1, 16, 3]);
    assert_eq!(shapes("lstm.weight_hh_l1"), [1, 16, 4]);
    assert_eq!(shapes("lstm.bias_l1"), [1, 32]);
    assert_eq!(shapes("lstm_1.weight_hr_l0_reverse"), [6, 2]);
    assert_eq!(shapes("dense.weight"), [4, 2]);
    Ok(())
}

#[test]
fn states_are_listed() -> Result<()> {
    let folder = Folder::new("onnx-states");
    let path = folder.0.join("model.onnx");
    let mut model = Sequential::new(&Device::cpu()?)
        .add(Lstm::new(4).num_layers(2).projection(3).return_sequences())
        .add(Rnn::new(5));
    model.build(2)?;
    Export::new().stateful_step().opset(21).save(&model, &path)?;
    let found = wire::check(&std::fs::read(&path).unwrap());
    assert_eq!(found.inputs, ["input", "h_0_in", "c_0_in", "h_1_in", "c_1_in", "h_2_in"]);
    let outputs = ["output", "h_0_out", "c_0_out", "h_1_out", "c_1_out", "h_2_out"];
    assert_eq!(found.outputs, outputs);
    assert_eq!(found.opset, 21);
    let states: Value = serde_json::from_str(&found.texts["wgpu_lstm.states"]).unwrap();
    let right = json!([
        {"name": "h_0", "layer": "lstm", "size": 3}, {"name": "c_0", "layer": "lstm", "size": 4},
        {"name": "h_1", "layer": "lstm", "size": 3}, {"name": "c_1", "layer": "lstm", "size": 4},
        {"name": "h_2", "layer": "rnn", "size": 5},
    ]);
    assert_eq!(states, right);
    Ok(())
}

struct Own;

impl Layer for Own {
    fn kind(&self) -> &'static str {
        "own"
    }
    fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
        Ok(())
    }
    fn output_size(&self) -> usize {
        3
    }
    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }
    fn forward(&self, _: &Tape, x: &Var) -> Result<Var> {
        Ok(x.clone())
    }
    fn parameter_count(&self) -> usize {
        0
    }
}

#[test]
fn what_has_no_form_is_refused_and_leaves_the_old_file() -> Result<()> {
    let folder = Folder::new("onnx-refused");
    let path = folder.0.join("model.onnx");
    Export::new().save(&small()?, &path)?;
    let before = std::fs::read(&path).unwrap();
    let model = Sequential::new(&Device::cpu()?).add(Dense::new(3));
    let error = Export::new().save(&model, &path).unwrap_err();
    assert!(matches!(error, Error::NotBuilt { .. }), "{error}");
    let mut model = model.add(Own);
    model.build(3)?;
    let error = Export::new().save(&model, &path).unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: "own", .. }), "{error}");
    for version in [0, 16, 22] {
        let error = Export::new().opset(version).save(&small()?, &path).unwrap_err();
        assert!(matches!(error, Error::Option { option: "Export::opset", .. }), "{error}");
    }
    let both = Export::new().stateful_step().lengths();
    let error = both.save(&small()?, &path).unwrap_err();
    assert!(matches!(error, Error::Unsupported { with: "Export::lengths", .. }), "{error}");
    let error = Export::new().stateful_step().save(&small()?, &path).unwrap_err();
    assert!(matches!(error, Error::Unsupported { with: "Lstm::bidirectional", .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let left = std::fs::read_dir(&folder.0).unwrap().count();
    assert_eq!(left, 1);
    Ok(())
}
