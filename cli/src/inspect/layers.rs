//! What is told of a model of layers.

use super::Report;
use crate::text::{table, thousands, wrap};
use anyhow::Result;
use serde_json::{Map, Value, json};
use wgpu_lstm::Sequential;
use wgpu_lstm::nn::Layers;
use wgpu_lstm::train::LayerPlan;

const GATES: &str = "i, f, g, o (PyTorch's; Keras calls g c)";

/// What a model takes.
pub fn input(model: &Sequential, report: &mut Report) -> Result<()> {
    let plans = model.explain(1, 1)?;
    let tokens = plans.first().filter(|plan| plan.kind == "embedding").and_then(tokens);
    let size = model.input_size().unwrap_or_default();
    let (input, more) = match tokens {
        Some(tokens) => (format!("[B, T] tokens below {}", thousands(tokens)), String::new()),
        None if takes_only_rows(&plans) => (format!("[B, {size}]"), String::new()),
        None if takes_rows(&plans) => {
            (format!("[B, T, {size}]"), format!(", or rows [B, {size}] of one frame each"))
        }
        None => (format!("[B, T, {size}]"), String::new()),
    };
    report.line("input", format!("{input}{more}"));
    report.line("device", model.params().device().to_string());
    report.value("input", json!(input));
    Ok(())
}

/// What its layers are, and how they run.
pub fn tell(model: &Sequential, [batch, steps]: [usize; 2], report: &mut Report) -> Result<()> {
    let params = model.params();
    let (plans, sequences) = match takes_only_rows(&model.explain(1, 1)?) {
        true => (model.explain(batch, 1)?, "rows".to_owned()),
        false => (model.explain(batch, steps)?, format!("sequences of {steps} frames")),
    };
    let device = params.device();
    let counts: Vec<usize> = plans
        .iter()
        .map(|plan| plan.parameters.iter().filter_map(|name| params.shape(name).ok()))
        .map(|shapes| shapes.map(|shape| shape.iter().product::<usize>()).sum())
        .collect();
    let total = counts.iter().sum::<usize>() as u64;
    let memory = total * 4;
    report.line("parameters", format!("{} ({} bytes as f32)", thousands(total), thousands(memory)));
    report.value("parameters", json!(total));
    if plans.iter().any(|plan| plan.kind == "lstm") {
        report.line("gates", GATES);
        report.value("gates", json!(["i", "f", "g", "o"]));
    }
    report.line("for", format!("batches of {batch} {sequences}"));
    report.value("device", json!(device.to_string()));
    report.value("batch", json!(batch));
    report.value("steps", json!(steps));

    let outputs: Vec<String> = plans.iter().map(output).collect();
    let mut lines = vec![["", "layer", "output", "parameters"].map(str::to_owned).to_vec()];
    for (i, plan) in plans.iter().enumerate() {
        let count = thousands(counts[i] as u64);
        lines.push(vec![(i + 1).to_string(), plan.kind.clone(), outputs[i].clone(), count]);
    }
    report.text += &table(&lines);
    let mut layers = Vec::new();
    for (i, plan) in plans.iter().enumerate() {
        let options = options(&plan.kind, plan.options.as_deref());
        let shapes = plan.parameters.iter().filter_map(|name| {
            let shape = params.shape(name).ok()?;
            Some((name.as_str(), shape))
        });
        let shapes: Vec<_> = shapes.collect();
        report.text += &format!("\n{} {}\n", i + 1, plan.kind);
        let mut told = vec![("runs", format!("{} ({})", plan.path, plan.why))];
        if !options.is_empty() {
            let mut texts = Vec::new();
            flatten("", &options, &mut texts);
            told.push(("options", texts.join(", ")));
        }
        let nodes = nodes(plan);
        if !nodes.is_empty() {
            told.push(("nodes", nodes.join("; ")));
        }
        if !shapes.is_empty() {
            let shapes = shapes.iter().map(|(name, sizes)| format!("{name} {sizes:?}"));
            told.push(("parameters", shapes.collect::<Vec<_>>().join(", ")));
        }
        for (name, text) in told {
            report.text += &format!("  {name:10}  {}\n", wrap(&text, 14));
        }
        layers.push(json!({
            "kind": plan.kind,
            "output": outputs[i],
            "options": options,
            "nodes": nodes,
            "parameters": shapes.iter().map(|(name, shape)| json!({ "name": name, "shape": shape })).collect::<Vec<_>>(),
            "path": plan.path,
            "why": plan.why,
        }));
    }
    report.value("layers", Value::Array(layers));
    Ok(())
}

fn output(plan: &LayerPlan) -> String {
    let axes = if plan.gives_sequence { "B, T" } else { "B" };
    format!("[{axes}, {}]", plan.output_size)
}

/// The options that are not those of a new layer, or all if there is nothing to compare them with.
fn options(kind: &str, text: Option<&str>) -> Map<String, Value> {
    let parse = |text: &str| match serde_json::from_str(text) {
        Ok(Value::Object(options)) => Some(options),
        _ => None,
    };
    let options = text.and_then(parse).unwrap_or_default();
    let new = Layers::new().make(kind, "{}").and_then(Result::ok);
    let new = new.and_then(|layer| parse(&layer.config().ok()?)).unwrap_or_default();
    changed(options, &new)
}

/// Of a graph of layers each node: `a = lstm(input) hidden_size 4`.
fn nodes(plan: &LayerPlan) -> Vec<String> {
    let nodes = plan.options.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let Some(Value::Array(nodes)) = nodes.filter(|_| plan.kind == "graph") else { return vec![] };
    let node = |node: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = match &node["join"] {
            Value::String(join) => join.to_lowercase(),
            _ => text(&node["layer"]["kind"]),
        };
        let inputs = node["inputs"].as_array().map_or(&[][..], Vec::as_slice);
        let inputs = inputs.iter().map(text).collect::<Vec<_>>().join(", ");
        let mut texts = vec![format!("{} = {kind}({inputs})", text(&node["name"]))];
        flatten("", &options(&kind, node["layer"]["config"].as_str()), &mut texts);
        texts.join(" ")
    };
    nodes.iter().map(node).collect()
}

/// What differs, also within options that have several values.
fn changed(options: Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let differs = |(name, value): (String, Value)| match (value, new.get(&name)) {
        (Value::Null, _) => None,
        (value, Some(old)) if value == *old => None,
        (Value::Object(inner), Some(Value::Object(old)))
            if inner.len() == old.len() && inner.len() > 1 =>
        {
            Some((name, Value::Object(changed(inner, old))))
        }
        (value, _) => Some((name, value)),
    };
    options.into_iter().filter_map(differs).collect()
}

/// Options as texts: `cell.clip 3.0`.
fn flatten(prefix: &str, options: &Map<String, Value>, texts: &mut Vec<String>) {
    for (name, value) in options {
        match value {
            Value::Object(inner) => flatten(&format!("{prefix}{name}."), inner, texts),
            Value::String(text) => texts.push(format!("{prefix}{name} {text}")),
            other => texts.push(format!("{prefix}{name} {other}")),
        }
    }
}

/// Whether rows `[B,I]` cannot be meant as anything but sequences of one frame: the model does the same to each frame,
/// or takes one alone.
pub fn takes_rows(plans: &[LayerPlan]) -> bool {
    const ALONE: [&str; 5] = ["dense", "activation", "dropout", "layer_norm", "batch_norm"];
    takes_only_rows(plans) || plans.iter().all(|plan| ALONE.contains(&plan.kind.as_str()))
}

/// Whether a model takes sequences of one frame and no others, as one of Keras that was of rows.
pub fn takes_only_rows(plans: &[LayerPlan]) -> bool {
    let Some(first) = plans.first().filter(|first| first.kind == "flatten") else { return false };
    let options = first.options.as_deref().and_then(|text| serde_json::from_str(text).ok());
    options.is_some_and(|options: Value| options["timesteps"] == 1)
}

/// The number of tokens that an embedding takes.
pub fn tokens(plan: &LayerPlan) -> Option<u64> {
    let options: Value = serde_json::from_str(plan.options.as_deref()?).ok()?;
    options.get("tokens")?.as_u64()
}
