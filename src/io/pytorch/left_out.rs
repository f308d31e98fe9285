//! What a model computes with that a state dict does not hold.

use crate::nn::{Layer, Layers};
use crate::{Error, Result, Sequential};
use serde_json::{Map, Value};

/// What shapes tell, how values were drawn that are there now, and ways to the same values.
const TOLD: [&str; 13] = [
    "hidden_size",
    "units",
    "num_layers",
    "projection",
    "tokens",
    "size",
    "channels",
    "kernel_size",
    "use_bias",
    "directions",
    "init",
    "strategy",
    "recompute",
];

/// A line for each layer that has options beside its parameters, in the model's order. `names` are those of the
/// modules, by the layers' numbers.
pub(super) fn left_out(model: &Sequential, names: &[(usize, &str)]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (number, layer) in model.layers().iter().enumerate() {
        let name = names.iter().find(|(layer, _)| *layer == number).map(|(_, name)| *name);
        let plain = match name {
            // A layer without parameters is left out as a whole.
            None => Map::new(),
            Some(_) => match Layers::new().make(layer.kind(), "{}") {
                Some(Ok(plain)) => options(&*plain)?,
                _ => Map::new(),
            },
        };
        let own = options(&**layer)?.into_iter().filter(|(key, value)| {
            let told = TOLD.contains(&&key[..]) || key.ends_with("_init");
            // Of an LSTM; of a Dense it is a penalty.
            let bias = key == "bias" && value.is_boolean();
            !(told || bias || plain.get(key) == Some(value))
        });
        let own: Vec<_> = own.map(|(key, value)| said(&key, &value)).collect();
        let said = if own.is_empty() { String::new() } else { format!(": {}", own.join(", ")) };
        match name {
            Some(_) if said.is_empty() => {}
            Some("") | None => lines.push(format!("{}{said}", layer.kind())),
            Some(name) => lines.push(format!("{name} ({}){said}", layer.kind())),
        }
    }
    Ok(lines)
}

fn options(layer: &dyn Layer) -> Result<Map<String, Value>> {
    serde_json::from_str(&layer.config()?).map_err(Error::custom)
}

fn said(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) => format!("{key} {text}"),
        value => format!("{key} {value}"),
    }
}
