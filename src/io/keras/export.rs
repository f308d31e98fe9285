//! From a model to the files of Keras 3.

use super::archive::{CONFIG, METADATA, WEIGHTS};
use super::chart::{Placed, chart};
use super::weights::{Leaf, exported};
use crate::file::{io, replace};
use crate::{Result, Sequential};
use hdf5_pure::{FileBuilder, FinishedGroup, GroupBuilder};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A version that reads what is written here.
const VERSION: &str = "3.15.1";

/// Writes a `.keras` file.
pub(super) fn whole(model: &Sequential, path: &Path) -> Result<()> {
    let layers = chart(model)?;
    let config = config(&layers).to_string();
    let metadata = json!({ "keras_version": VERSION }).to_string();
    let weights = weights(model, &layers)?;
    replace(path, &[], |file| {
        let failed = |error: std::io::Error| io("write", path, error);
        let zipped = |error: zip::result::ZipError| io("write", path, error);
        let mut zip = ZipWriter::new(BufWriter::new(file));
        // Without a time: the same model is the same file.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .large_file(model.params().parameter_count() > 1 << 28);
        for (name, text) in [(METADATA, metadata), (CONFIG, config)] {
            zip.start_file(name, options).map_err(zipped)?;
            zip.write_all(text.as_bytes()).map_err(failed)?;
        }
        zip.start_file(WEIGHTS, options).map_err(zipped)?;
        weights.finish_to(&mut zip).map_err(|error| io("write", path, error))?;
        zip.finish().map_err(zipped)?.flush().map_err(failed)
    })
}

/// Writes a `.weights.h5` file.
pub(super) fn weights_alone(model: &Sequential, path: &Path) -> Result<()> {
    let weights = weights(model, &chart(model)?)?;
    replace(path, &[], |file| weights.finish_to(file).map_err(|error| io("write", path, error)))
}

/// The model as JSON: a `Sequential`, or a `Functional` where layers branch.
fn config(layers: &[Placed]) -> Value {
    let chain = layers.iter().enumerate().all(|(at, layer)| match &layer.inputs[..] {
        [] => at == 0,
        &[input] => input + 1 == at,
        _ => false,
    });
    let tensor = |&input: &usize| {
        json!({
            "class_name": "__keras_tensor__",
            "config": {
                "shape": [null],
                "dtype": "float32",
                "keras_history": [layers[input].name, 0, 0],
            },
        })
    };
    let layer = |layer: &Placed| {
        let mut config = layer.described.config.clone();
        config.insert("name".into(), json!(layer.name));
        let mut all = json!({
            "module": "keras.layers",
            "class_name": layer.described.class,
            "config": config,
            "registered_name": null,
        });
        if !chain {
            let inputs: Vec<_> = layer.inputs.iter().map(tensor).collect();
            all["name"] = json!(layer.name);
            all["inbound_nodes"] = match inputs.len() {
                0 => json!([]),
                1 => json!([{ "args": inputs, "kwargs": {} }]),
                _ => json!([{ "args": [inputs], "kwargs": {} }]),
            };
        }
        all
    };
    let all: Vec<_> = layers.iter().map(layer).collect();
    let shape = layers.first().map(|input| input.described.config["batch_shape"].clone());
    let last = layers.iter().find(|layer| layer.last).map(|layer| &layer.name);
    match chain {
        true => json!({
            "module": "keras",
            "class_name": "Sequential",
            "config": {
                "name": "sequential",
                "trainable": true,
                "dtype": "float32",
                "layers": all,
                "build_input_shape": shape,
            },
            "registered_name": null,
            "build_config": { "input_shape": shape },
            "compile_config": null,
        }),
        false => json!({
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": {
                "name": "functional",
                "trainable": true,
                "layers": all,
                "input_layers": [layers.first().map(|input| &input.name), 0, 0],
                "output_layers": [last, 0, 0],
            },
            "registered_name": "Functional",
            "build_config": { "input_shape": null },
            "compile_config": null,
        }),
    }
}

/// The weights as HDF5.
fn weights(model: &Sequential, layers: &[Placed]) -> Result<FileBuilder> {
    let mut file = FileBuilder::new();
    let mut all = file.create_group("layers");
    for layer in layers {
        let mut group = all.create_group(&layer.path);
        let [mut own, mut cell, mut reverse] = [const { Vec::new() }; 3];
        for name in layer.leaf.iter().flat_map(|leaf| &leaf.names) {
            match (layer.described.class, name.ends_with("_reverse")) {
                ("Bidirectional", true) => reverse.push(name),
                ("Bidirectional" | "LSTM" | "SimpleRNN", _) => cell.push(name),
                _ => own.push(name),
            }
        }
        let vars = |group: &mut GroupBuilder, names: &[&String]| -> Result<()> {
            let vars = variables(group.create_group("vars"), model, layer.leaf.as_ref(), names)?;
            group.add_group(vars);
            Ok(())
        };
        let cells = |group: &mut GroupBuilder, names: &[&String]| -> Result<()> {
            vars(group, &[])?;
            let mut cell = group.create_group("cell");
            vars(&mut cell, names)?;
            group.add_group(cell.finish());
            Ok(())
        };
        match layer.described.class {
            "LSTM" | "SimpleRNN" => cells(&mut group, &cell)?,
            "Bidirectional" => {
                vars(&mut group, &[])?;
                for (way, names) in [("forward_layer", cell), ("backward_layer", reverse)] {
                    let mut layer = group.create_group(way);
                    cells(&mut layer, &names)?;
                    group.add_group(layer.finish());
                }
            }
            _ => vars(&mut group, &own)?,
        }
        all.add_group(group.finish());
    }
    file.add_group(all.finish());
    let vars = file.create_group("vars").finish();
    file.add_group(vars);
    Ok(file)
}

fn variables(
    mut group: GroupBuilder,
    model: &Sequential,
    leaf: Option<&Leaf>,
    names: &[&String],
) -> Result<FinishedGroup> {
    for (number, name) in names.iter().enumerate() {
        let Some(leaf) = leaf else { continue };
        let (shape, values) = exported(model.params(), leaf, name)?;
        let shape: Vec<u64> = shape.into_iter().map(|size| size as u64).collect();
        group.create_dataset(&number.to_string()).with_f32_data(&values).with_shape(&shape);
    }
    Ok(group.finish())
}
