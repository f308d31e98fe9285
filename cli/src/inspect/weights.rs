//! What is told of a state dict.

use super::Report;
use crate::formats::modules::assumed;
use crate::formats::pytorch::types;
use crate::text::{thousands, wrap};
use serde_json::{Value, json};
use wgpu_lstm::io::pytorch::{ModuleKind, StateDict};

pub fn tell(dict: &StateDict, report: &mut Report) {
    let size = |name: &str| dict.shape(name).map_or(0, |shape| shape.iter().product::<usize>());
    let total = dict.names().map(size).sum::<usize>() as u64;
    report.line("numbers", types(dict));
    report.line("values", thousands(total));
    report.value("numbers", json!(types(dict)));
    report.value("values", json!(total));
    let modules = dict.modules();
    if modules.iter().any(|module| matches!(module.kind, ModuleKind::Lstm(_))) {
        report.line("gates", "i, f, g, o");
        report.value("gates", json!(["i", "f", "g", "o"]));
    }
    let lines = modules.iter().map(|module| {
        let mut text = format!("  {}\n", wrap(&module.to_string(), 4));
        if let Some(assumed) = assumed(module, &[]) {
            text += &format!("      {}\n", wrap(&format!("taken {assumed}"), 6));
        }
        text
    });
    report.text = format!("modules, in the order of the file:\n{}", lines.collect::<String>());
    report.text += "\nWhat joins them is not in the file: --modules NAME,… of run, bench and convert says it.\n";
    let modules = modules
        .iter()
        .map(|module| json!({ "name": module.name, "kind": module.kind.to_string(), "taken": assumed(module, &[]) }));
    report.value("modules", modules.collect());
    let tensors = dict.names().map(|name| {
        let (shape, dtype) = (dict.shape(name).ok(), dict.dtype(name).ok());
        json!({ "name": name, "shape": shape, "dtype": dtype })
    });
    report.value("tensors", Value::Array(tensors.collect()));
}
