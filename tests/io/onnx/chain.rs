//! Graphs that are chains of layers, as models that can be trained further.

use crate::onnx::build::{self, attribute, bytes, floats, info, ints, node};
use crate::onnx::exporters;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::io::onnx::{Axis, Export, Model, Value};
use wgpu_lstm::nn::{Conv1d, Dense, Embedding, Flatten, Graph, Pool, Pooling};
use wgpu_lstm::train::{Adam, Fit, Loss};
use wgpu_lstm::{Device, Error, Result, Sequential};

/// An input as rows of data.
fn sequences(value: &Value) -> Result<Sequences> {
    let shape = value.shape();
    match value {
        Value::Floats(tensor) => {
            Sequences::from_array(&tensor.to_vec()?, [shape[0], shape[1], shape[2]])
        }
        Value::Ints(ints) => {
            let tokens: Vec<u32> = ints.values().iter().map(|&token| token as u32).collect();
            let rows: Vec<_> = tokens.chunks(shape[1]).collect();
            Sequences::from_tokens(&rows)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_chain_gives_the_same_outputs_as_the_graph() -> Result<()> {
    let device = Device::cpu()?;
    let mut seen = Vec::new();
    for record in exporters::all() {
        let name = record.name.as_str();
        if !["tagger", "classifier", "last", "pooled"].iter().any(|start| name.starts_with(start)) {
            continue;
        }
        let graph = record.load(&device)?;
        // A layer normalisation of ten operators is no layer, nor is an RNN that the exporter wrote out step by step.
        if ["last_9", "pooled_dynamo"].contains(&name) {
            let error = graph.to_sequential().map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::File { .. }), "{error}");
            continue;
        }
        let mut model = graph.to_sequential().unwrap_or_else(|error| panic!("{name}: {error}"));
        let inputs = record.inputs(&device)?;
        let expected = graph.run(&inputs)?[0].1.to_f32()?;
        let x = sequences(&inputs[0].1)?;
        let found = model.predict(&x)?.values().to_vec();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{name}: {found}, expected {expected}");
        }
        if name.starts_with("pooled") {
            model.compile(Adam::new(0.05), Loss::MeanSquaredError, &[]);
            let y = Targets::values([1.0, -1.0, 0.5, 2.0], 2);
            let losses = model.fit(&x, &y, Fit::new().epochs(20).quiet())?;
            let (first, last) = (losses.epochs[0].training.loss, losses.epochs[19].training.loss);
            assert!(last < 0.5 * first, "{first} to {last}");
        }
        seen.push(name.to_string());
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
    Ok(())
}

#[test]
fn what_is_no_chain_is_told() -> Result<()> {
    for (start, text) in [("lstm_17", "outputs"), ("attention_17", "inputs")] {
        let record = exporters::all().into_iter().find(|record| record.name == start).unwrap();
        let error = record.load(&Device::cpu()?)?.to_sequential().map(|_| ()).unwrap_err();
        assert!(matches!(&error, Error::File { found, .. } if found.contains(text)), "{error}");
    }
    Ok(())
}

/// What looks like a chain of layers: a sum that takes the input twice, the seventh step, a bias along time, another
/// output of a node, another order of axes, numbers without their fractions. `make_no_chain.py` made the files.
#[test]
fn what_only_looks_like_a_chain_is_refused() -> Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/onnx/no_chain");
    for name in ["residual", "step", "along", "mean", "features", "whole"] {
        let graph = Model::load(folder.join(format!("{name}.onnx")), &Device::cpu()?)?;
        assert!(graph.to_sequential().is_err(), "{name}");
    }
    Ok(())
}

/// A model of rows of some number, or of one: `[B,T,2]`, an LSTM of three units and what comes then.
fn fixed(rows: i64, then: &[Vec<u8>], output: &[i64]) -> Result<Model> {
    let weights = |count: usize| (0..count).map(|at| (at as f32 * 0.7).sin()).collect::<Vec<_>>();
    let mut nodes = vec![
        [node("Transpose", &["x"], &["t"]), attribute("perm", &[1, 0, 2])].concat(),
        node("LSTM", &["t", "w", "r"], &["all", "last"]),
    ];
    nodes.extend_from_slice(then);
    let tensors = [
        floats("w", &[1, 12, 2], &weights(24)),
        floats("r", &[1, 12, 3], &weights(36)),
        floats("m", &[3, 2], &weights(6)),
        ints("zero", &[0]),
        ints("one", &[1]),
        ints("flat", &[-1, 3]),
        floats("share", &[1], &[0.5]),
        floats("wide", &[3, 1000], &weights(3000)),
        ints("rows", &[11, -1, 1000]),
    ];
    let parts = nodes.iter().flat_map(|node| bytes(1, node));
    let tensors = tensors.iter().flat_map(|tensor| bytes(5, tensor));
    let values = [bytes(11, &info("x", &[rows, -1, 2])), bytes(12, &info("y", output))];
    let graph: Vec<u8> = parts.chain(tensors).chain(values.concat()).collect();
    Model::from_bytes(build::model(&graph), &Device::cpu()?)
}

/// The axis of directions goes, also where that of the rows is as long; that of the rows does not.
#[test]
fn a_model_of_one_row_is_one_of_any() -> Result<()> {
    let x: Vec<f32> = (0..30).map(|at| (at as f32).cos()).collect();
    let x = Sequences::from_array(&x, [3, 5, 2])?;
    let product = node("MatMul", &["h", "m"], &["y"]);
    let squeezed = [node("Squeeze", &["last", "zero"], &["h"]), product.clone()];
    let reshaped = [node("Reshape", &["last", "flat"], &["h"]), product.clone()];
    let right = fixed(-1, &squeezed, &[-1, 2])?.to_sequential()?.predict(&x)?.values().to_vec();
    for then in [&squeezed, &reshaped] {
        let found = fixed(1, then, &[1, 2])?.to_sequential()?.predict(&x)?.values().to_vec();
        assert_eq!(found, right);
    }
    let rows = [node("Squeeze", &["last", "one"], &["h"]), product];
    let error = fixed(1, &rows, &[1, 2])?.to_sequential().map(drop).unwrap_err();
    assert!(error.to_string().contains("Squeeze"), "{error}");
    Ok(())
}

/// Numbers of a normalisation that all features share; and a graph whose rows are written into it, which is told at
/// once, not tried on ever more timesteps.
#[test]
fn shared_numbers_are_spread_and_what_fails_is_tried_once() -> Result<()> {
    let norm = [node("LayerNormalization", &["all", "share", "share"], &["n"])];
    let squeeze = node("Squeeze", &["n", "one"], &["s"]);
    let turn = [node("Transpose", &["s"], &["y"]), attribute("perm", &[1, 0, 2])].concat();
    let then = [norm.to_vec(), vec![squeeze, turn]].concat();
    let model = fixed(-1, &then, &[-1, -1, 3])?.to_sequential()?;
    assert_eq!(model.params().shape("layer_norm.weight")?, [3]);

    // As many numbers as a graph may not make for the most timesteps that are tried.
    let wide = node("MatMul", &["all", "wide"], &["m"]);
    let rows = [wide, node("Reshape", &["m", "rows"], &["y"])];
    let error = fixed(-1, &rows, &[-1, -1, 3])?.to_sequential().map(drop).unwrap_err();
    assert!(error.to_string().contains("Reshape"), "{error}");
    Ok(())
}

/// A `Flatten` is for one number of timesteps, which the graph says: that of one frame, that before windows, that of
/// tokens, and that of one branch. Our own reader takes what is a chain.
#[test]
fn a_graph_with_flatten_says_its_timesteps() -> Result<()> {
    let device = Device::cpu()?;
    let new = || Sequential::new(&device);
    let conv = || Conv1d::new(4, 3).stride(2);
    let branches = Graph::new()
        .layer("flat", "input", Flatten::new().timesteps(6))
        .layer("mean", "input", Pool::new(Pooling::Mean))
        .concat("both", &["flat", "mean"]);
    let models = [
        (new().add(Flatten::new().timesteps(1)).add(Dense::new(2)), 3, 1, true),
        (
            new().add(conv()).add(conv()).add(Flatten::new().timesteps(4)).add(Dense::new(2)),
            3,
            19,
            true,
        ),
        (
            new().add(Embedding::new(9, 2)).add(Flatten::new().timesteps(5)).add(Dense::new(2)),
            1,
            5,
            true,
        ),
        (new().add(branches).add(Dense::new(2)), 2, 6, false),
    ];
    for (number, (mut model, features, steps, is_chain)) in models.into_iter().enumerate() {
        model.build(features)?;
        let name = format!("wgpu-lstm-flatten-{number}-{}.onnx", std::process::id());
        let path = std::env::temp_dir().join(name);
        Export::new().save(&model, &path)?;
        let graph = Model::load(&path, &device);
        let _ = std::fs::remove_file(&path);
        let graph = graph?;
        let axes = graph.inputs()[0].shape.clone().unwrap_or_default();
        assert_eq!(axes[1], Axis::Size(steps), "{number}");
        assert!(matches!(axes[0], Axis::Named(_)), "{number}");
        let back = graph.to_sequential();
        if !is_chain {
            let error = back.map(drop).unwrap_err().to_string();
            assert!(error.contains("a layer of a chain"), "{error}");
            continue;
        }
        let x: Vec<f32> = (0..4 * steps * features).map(|at| (at % 7) as f32).collect();
        let x = Sequences::from_array(&x, [4, steps, features])?;
        let (found, expected) = (back?.predict(&x)?, model.predict(&x)?);
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
        assert!(found.values().iter().zip(expected.values()).all(near), "{number}");
    }
    // Without it, any.
    let mut model = new().add(conv()).add(Pool::new(Pooling::Mean));
    model.build(3)?;
    let path = std::env::temp_dir().join(format!("wgpu-lstm-open-{}.onnx", std::process::id()));
    Export::new().save(&model, &path)?;
    let graph = Model::load(&path, &device);
    let _ = std::fs::remove_file(&path);
    let axes = graph?.inputs()[0].shape.clone().unwrap_or_default();
    assert!(matches!(axes[1], Axis::Named(_)), "{axes:?}");
    Ok(())
}

#[test]
fn what_no_layer_does_is_told_in_words() -> Result<()> {
    let model = fixed(-1, &[node("Neg", &["all"], &["y"])], &[-1, 1, -1, 3])?;
    let text = model.to_sequential().map(drop).unwrap_err().to_string();
    let axes = "[timesteps, directions, rows, features]";
    assert!(text.contains(&format!("nothing that a layer does with a value {axes}")), "{text}");
    Ok(())
}
