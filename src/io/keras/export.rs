//! From a model to the files of Keras 3.

use super::archive::{CONFIG, METADATA, WEIGHTS};
use super::describe::{Described, describe, foreign};
use super::weights::{Leaf, exported, leaves, next_name, snake_case};
use crate::file::{io, replace};
use crate::nn::Layer;
use crate::{Error, Result, Sequential};
use hdf5_pure::{FileBuilder, FinishedGroup, GroupBuilder};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A version that reads what is written here.
const VERSION: &str = "3.15.1";

/// Writes a `.keras` file.
pub(super) fn whole(model: &Sequential, path: &Path) -> Result<()> {
    let layers = layers(model)?;
    let config = config(model, &layers)?.to_string();
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
    let weights = weights(model, &layers(model)?)?;
    replace(path, &[], |file| weights.finish_to(file).map_err(|error| io("write", path, error)))
}

/// The layers of a model as Keras has them, in their order.
fn layers(model: &Sequential) -> Result<Vec<Described>> {
    model.features()?;
    let (mut all, mut masked) = (Vec::new(), false);
    for (number, layer) in model.layers().iter().enumerate() {
        let names = model.parameter_names(number);
        let frozen = names.first().is_some_and(|name| model.params().keeps_name(name));
        let described = describe(&**layer, !frozen, masked)?;
        for layer in &described {
            let config = &layer.config;
            masked = match layer.class {
                "Masking" => true,
                "Embedding" => config["mask_zero"] == true,
                "LSTM" | "SimpleRNN" => masked && config["return_sequences"] == true,
                "Bidirectional" => masked && config["layer"]["config"]["return_sequences"] == true,
                class => masked && !class.starts_with("Global"),
            };
        }
        all.extend(described);
    }
    Ok(all)
}

/// The model as JSON.
fn config(model: &Sequential, layers: &[Described]) -> Result<Value> {
    let tokens = model.layers().first().is_some_and(|layer| layer.takes_tokens());
    let steps = input_timesteps(model.layers(), layers)?;
    let shape = match tokens {
        true => json!([null, steps]),
        false => json!([null, steps, model.features()?]),
    };
    let object = |class: &str, config: Value| {
        json!({
            "module": "keras.layers",
            "class_name": class,
            "config": config,
            "registered_name": null,
        })
    };
    let input = json!({ "batch_shape": shape, "dtype": "float32", "name": "input_layer" });
    let mut all = vec![object("InputLayer", input)];
    let mut seen = HashMap::new();
    for layer in layers {
        let mut config = layer.config.clone();
        config.insert("name".into(), json!(next_name(&mut seen, &snake_case(layer.class))));
        all.push(object(layer.class, Value::Object(config)));
    }
    Ok(json!({
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
    }))
}

/// The timesteps that the model takes, if a layer fixes them: the fewest that a `Flatten` is built for.
fn input_timesteps(
    ours: &[std::sync::Arc<dyn Layer>],
    layers: &[Described],
) -> Result<Option<usize>> {
    let flat = ours.iter().find(|layer| layer.kind() == "flatten");
    let Some(flat) = flat else { return Ok(None) };
    let config: Value = serde_json::from_str(&flat.config()?).map_err(Error::custom)?;
    let missing = || foreign("Flatten without timesteps", "a file of Keras");
    let mut steps = config["timesteps"].as_u64().ok_or_else(missing)? as usize;
    let before = layers.iter().take_while(|layer| layer.class != "Flatten");
    for layer in before.collect::<Vec<_>>().into_iter().rev() {
        let size = |key: &str| layer.config.get(key).and_then(Value::as_u64).map(|n| n as usize);
        let wide = match layer.class {
            "Conv1D" => size("kernel_size").map(|n| (n - 1) * size("dilation_rate").unwrap_or(1) + 1),
            "MaxPooling1D" | "AveragePooling1D" => size("pool_size"),
            "RepeatVector" => return Ok(None),
            _ => None,
        };
        let Some(wide) = wide else { continue };
        let stride = size("strides").unwrap_or(if layer.class == "Conv1D" { 1 } else { wide });
        let valid = layer.config["padding"] == "valid";
        steps = steps.saturating_sub(1).saturating_mul(stride);
        steps = steps.saturating_add(if valid { wide } else { 1 });
    }
    Ok(Some(steps))
}

/// The weights as HDF5.
fn weights(model: &Sequential, layers: &[Described]) -> Result<FileBuilder> {
    let mut leaves = if model.params().names().is_empty() { Vec::new() } else { leaves(model)? }.into_iter();
    let mut file = FileBuilder::new();
    let (mut all, mut seen) = (file.create_group("layers"), HashMap::new());
    for layer in layers {
        let mut group = all.create_group(&next_name(&mut seen, &snake_case(layer.class)));
        let leaf = if layer.weights { leaves.next() } else { None };
        let [mut own, mut cell, mut reverse] = [const { Vec::new() }; 3];
        for name in leaf.iter().flat_map(|leaf| &leaf.names) {
            match (layer.class, name.ends_with("_reverse")) {
                ("Bidirectional", true) => reverse.push(name),
                ("Bidirectional" | "LSTM" | "SimpleRNN", _) => cell.push(name),
                _ => own.push(name),
            }
        }
        let vars = |group: &mut GroupBuilder, names: &[&String]| -> Result<()> {
            let vars = variables(group.create_group("vars"), model, leaf.as_ref(), names)?;
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
        match layer.class {
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
    match leaves.next() {
        None => Ok(file),
        Some(leaf) => Err(leaf.foreign()),
    }
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
