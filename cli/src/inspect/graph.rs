//! What is told of a graph of ONNX.

use super::Report;
use serde_json::{Value, json};
use wgpu_lstm::io::onnx::{Axis, Model, TensorInfo};

pub fn tell(model: &Model, report: &mut Report) {
    report.line("device", model.device().to_string());
    report.line("gates", "i, o, f, c (ONNX's) in its LSTM nodes");
    report.value("device", json!(model.device().to_string()));
    report.value("gates", json!(["i", "o", "f", "c"]));
    let all = |infos: &[TensorInfo]| infos.iter().map(json).collect::<Value>();
    report.value("inputs", all(model.inputs()));
    report.value("outputs", all(model.outputs()));
    let text = model.describe();
    // The file itself is named above.
    report.text = text.split_once(": ").map_or(text.clone(), |(_, rest)| rest.to_owned());
}

fn json(info: &TensorInfo) -> Value {
    let axis = |axis: &Axis| match axis {
        Axis::Size(size) => json!(size),
        Axis::Named(name) => json!(name),
        _ => Value::Null,
    };
    let shape = info.shape.as_ref().map(|axes| axes.iter().map(axis).collect::<Vec<_>>());
    let element = info.element.map(|element| element.to_string());
    json!({ "name": info.name, "type": element, "shape": shape })
}
