//! What is told of a graph of ONNX.

use super::{Report, layers};
use crate::formats::onnx;
use crate::text::wrap;
use anyhow::Result;
use serde_json::{Value, json};
use wgpu_lstm::io::onnx::{Axis, Model, TensorInfo};

pub fn tell(model: &Model, shape: [usize; 2], report: &mut Report) -> Result<()> {
    report.line("device", model.device().to_string());
    let chain = model.to_sequential();
    let text = model.describe();
    let has_lstm = text.contains(" x LSTM");
    if has_lstm {
        report.line("gates", "i, o, f, c (ONNX's) in its LSTM nodes");
    }
    // The file itself is named above.
    let rest = text.find(": ONNX").map_or(&text[..], |at| &text[at + 2..]);
    report.text = format!("{rest}\n");
    let defaults = model.defaults();
    if !defaults.is_empty() {
        let more = if defaults.len() > SHOWN { ", …" } else { "" };
        let names: Vec<_> = defaults.iter().take(SHOWN).map(onnx::described).collect();
        let text = format!("inputs with a value in the file: {}{more}", names.join("; "));
        report.text += &format!("{}\n", wrap(&text, 2));
    }
    match &chain {
        Ok(layers) => {
            report.text += "\nas a chain of layers:\n";
            layers::tell(layers, shape, report)?;
        }
        Err(error) => report.line("layers", format!("no chain of them: {error}")),
    }
    // Also of a chain these are those of the graph.
    let all = |infos: &[TensorInfo]| infos.iter().map(json).collect::<Value>();
    if has_lstm {
        report.value("gates", json!(["i", "o", "f", "c"]));
    }
    report.value("device", json!(model.device().to_string()));
    report.value("inputs", all(model.inputs()));
    report.value("defaults", all(defaults));
    report.value("outputs", all(model.outputs()));
    report.value("chain", chain.map_or_else(|error| json!(error.to_string()), |_| json!(true)));
    Ok(())
}

/// The most inputs with a value that are told.
const SHOWN: usize = 12;

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
