//! Graphs of ONNX.

use crate::run::Array;
use anyhow::{Context, Result, bail};
use std::path::Path;
use wgpu_lstm::io::onnx::{Axis, Export, Model, TensorInfo, Value};
use wgpu_lstm::{Device, Sequential};

pub fn load(path: &Path, device: &Device) -> Result<Model> {
    Ok(Model::load(path, device)?)
}

pub fn save(model: &Sequential, path: &Path, step: bool) -> Result<()> {
    let export = if step { Export::new().stateful_step() } else { Export::new() };
    export.save(model, path).context("ONNX")
}

/// An input from an array, as numbers of the kind that the graph takes.
pub fn value(info: &TensorInfo, array: &Array, device: &Device) -> Result<Value> {
    if info.element.is_none_or(|element| element.is_float()) {
        return Ok(Value::f32(&array.values, &array.shape[..], device)?);
    }
    let whole = array.values.iter().map(|&x| match x.fract() == 0.0 {
        true => Ok(x as i64),
        false => bail!("the input {:?} takes whole numbers, and {x} is none", info.name),
    });
    Ok(Value::i64(&whole.collect::<Result<Vec<_>>>()?, &array.shape[..])?)
}

/// An output as an array.
pub fn array(value: &Value) -> Result<Array> {
    let values = match value {
        Value::Floats(_) => value.to_f32()?,
        _ => value.to_i64()?.into_iter().map(|x| x as f32).collect(),
    };
    Ok(Array { shape: value.shape().to_vec(), values })
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
    let values = (0..shape.iter().product::<usize>()).map(|i| match info.element {
        Some(element) if !element.is_float() => 1.0,
        _ => (i as f32 * 0.7).sin(),
    });
    value(info, &Array { values: values.collect(), shape }, device)
}
