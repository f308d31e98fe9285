//! Graphs of ONNX.

use crate::run::{Array, Numbers};
use anyhow::{Result, bail};
use std::path::Path;
use wgpu_lstm::data::NpyArray;
use wgpu_lstm::io::onnx::{Axis, Element, Export, Model, TensorInfo, Value};
use wgpu_lstm::{Device, Sequential};

pub fn load(path: &Path, device: &Device) -> Result<Model> {
    Ok(Model::load(path, device)?)
}

/// With inputs in the place of values that the file has for them.
pub fn load_with(path: &Path, inputs: &[&str], device: &Device) -> Result<Model> {
    Ok(Model::load_with(path, inputs, device)?)
}

pub fn save(model: &Sequential, path: &Path, step: bool) -> Result<()> {
    let export = if step { Export::new().stateful_step() } else { Export::new() };
    Ok(export.save(model, path)?)
}

/// An input from a file, as numbers of the kind that the graph takes: integers exactly.
pub fn value(info: &TensorInfo, array: &NpyArray, device: &Device) -> Result<Value> {
    let is_float = match info.element {
        Some(element) => element.is_float(),
        None => array.dtype().starts_with("float"),
    };
    Ok(match is_float {
        true => Value::f32(&array.read()?, array.shape(), device)?,
        false => Value::i64(&array.read_i64()?, array.shape())?,
    })
}

/// An output as an array.
pub fn array(value: &Value) -> Result<Array> {
    let numbers = match value {
        Value::Floats(_) => Numbers::Floats(value.to_f32()?),
        _ => Numbers::Ints(value.to_i64()?),
    };
    Ok(Array { shape: value.shape().to_vec(), numbers })
}

/// An input or output in a few words: `x f32 [batch, 16]`.
pub fn described(info: &TensorInfo) -> String {
    let axis = |axis: &Axis| match axis {
        Axis::Size(size) => size.to_string(),
        Axis::Named(name) => name.escape_debug().to_string(),
        _ => "?".into(),
    };
    let element = info.element.map_or("?".into(), |element| element.to_string());
    let shape = info.shape.as_ref().map_or("of any shape".into(), |axes| {
        format!("[{}]", axes.iter().map(axis).collect::<Vec<_>>().join(", "))
    });
    format!("{} {element} {shape}", info.name.escape_debug())
}

/// A made-up input: open axes are the batch, then the steps, then 1.
pub fn made_up(info: &TensorInfo, batch: usize, steps: usize, device: &Device) -> Result<Value> {
    let Some(axes) = &info.shape else {
        bail!("the input {:?} may have any shape: `run` takes one from a file", info.name)
    };
    let mut open = [batch, steps].into_iter();
    let size = |axis: &Axis| match axis {
        Axis::Size(size) => *size,
        _ => open.next().unwrap_or(1),
    };
    let shape: Vec<usize> = axes.iter().map(size).collect();
    let is_float = info.element.is_none_or(Element::is_float);
    Ok(match is_float {
        true => Value::f32(&filled(&shape, |i| (i as f32 * 0.7).sin())?, shape, device)?,
        false => Value::i64(&filled(&shape, |_| 1)?, shape)?,
    })
}

/// Numbers of a shape by their places, if there is memory for them.
pub fn filled<T>(shape: &[usize], value: impl Fn(usize) -> T) -> Result<Vec<T>> {
    let count = shape.iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
    let mut values = Vec::new();
    match count {
        Some(count) if values.try_reserve_exact(count).is_ok() => {
            values.extend((0..count).map(value));
            Ok(values)
        }
        _ => bail!("an array {shape:?} is more than there is memory for"),
    }
}
