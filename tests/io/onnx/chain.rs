//! Graphs that are chains of layers, as models that can be trained further.

use crate::onnx::exporters;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::io::onnx::Value;
use wgpu_lstm::train::{Adam, Fit, Loss};
use wgpu_lstm::{Device, Error, Result};

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
        // A layer normalisation of ten operators is no layer.
        if name == "last_9" {
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
    assert_eq!(seen.len(), 11, "{seen:?}");
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
