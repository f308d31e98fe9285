//! The layers of a model as Keras has them, and how they are joined.

use super::describe::{Described, describe, foreign};
use super::names::{next_name, snake_case};
use super::weights::{Leaf, leaves};
use crate::nn::{Layer, Layers};
use crate::{Error, Result, Sequential};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// A layer, and its place in a model.
pub(super) struct Placed {
    pub(super) described: Described,
    pub(super) name: String,
    /// What its weights are called by.
    pub(super) path: String,
    /// The places of what it takes.
    pub(super) inputs: Vec<usize>,
    pub(super) leaf: Option<Leaf>,
    /// Whether it is the model's output.
    pub(super) last: bool,
}

/// What a [`crate::nn::Graph`] says of a node.
#[derive(Deserialize)]
struct Node {
    name: String,
    inputs: Vec<String>,
    #[serde(default)]
    join: Option<String>,
    #[serde(default)]
    layer: Option<Part>,
}

#[derive(Deserialize)]
struct Part {
    kind: String,
    config: String,
}

/// The layers of a model in the order in which Keras counts them.
///
/// # Errors
/// [`Error::NotBuilt`]; [`Error::Unsupported`] for what Keras lacks.
pub(super) fn chart(model: &Sequential) -> Result<Vec<Placed>> {
    let features = model.features()?;
    let tokens = model.layers().first().is_some_and(|layer| layer.takes_tokens());
    let none = model.params().names().is_empty();
    let leaves = if none { Vec::new() } else { leaves(model)? };
    let mut chart = Chart { leaves: leaves.into_iter(), model, placed: Vec::new(), masked: false };
    let (rows, layers) = rows(model)?;
    let steps = if rows { None } else { timesteps(layers)? };
    let shape = match (tokens, rows) {
        (true, _) => json!([null, steps]),
        (false, true) => json!([null, features]),
        (false, false) => json!([null, steps, features]),
    };
    let input = [("batch_shape", shape), ("dtype", json!("float32"))];
    let config = Map::from_iter(input.map(|(key, value)| (key.to_owned(), value)));
    let mut at = chart.place(Described { class: "InputLayer", config, weights: false }, Vec::new());
    for layer in layers {
        at = match layer.kind() {
            "graph" => chart.graph(&**layer, at)?,
            _ => chart.layer(&**layer, at)?,
        };
    }
    match chart.leaves.next() {
        None => Ok(named(chart.placed, at)),
        Some(leaf) => Err(leaf.foreign()),
    }
}

struct Chart<'a> {
    model: &'a Sequential,
    leaves: std::vec::IntoIter<Leaf>,
    placed: Vec<Placed>,
    /// Whether what the next layer takes has a mask.
    masked: bool,
}

impl Chart<'_> {
    fn place(&mut self, mut described: Described, inputs: Vec<usize>) -> usize {
        let leaf = if described.weights { self.leaves.next() } else { None };
        if let Some(first) = leaf.as_ref().and_then(|leaf| leaf.names.first()) {
            let frozen = self.model.params().keeps_name(first);
            described.config.insert("trainable".into(), Value::Bool(!frozen));
        }
        let (name, path, last) = (String::new(), String::new(), false);
        self.placed.push(Placed { described, name, path, inputs, leaf, last });
        self.placed.len() - 1
    }

    /// Places the layers that one of ours is; returns the last one's place.
    fn layer(&mut self, layer: &dyn Layer, mut at: usize) -> Result<usize> {
        for described in describe(layer, self.masked)? {
            let config = &described.config;
            self.masked = match described.class {
                "Masking" => true,
                "Embedding" => config["mask_zero"] == true,
                "LSTM" | "SimpleRNN" => self.masked && config["return_sequences"] == true,
                "Bidirectional" => {
                    self.masked && config["layer"]["config"]["return_sequences"] == true
                }
                class => self.masked && !class.starts_with("Global"),
            };
            at = self.place(described, vec![at]);
        }
        Ok(at)
    }

    fn graph(&mut self, graph: &dyn Layer, input: usize) -> Result<usize> {
        if self.masked {
            let help = "Keras' file has the masks of such a model as operations, which are not written here; \
                        Sequential::save keeps all";
            return Err(Error::Unsupported {
                what: "Graph",
                with: "a mask in a file of Keras",
                help,
            });
        }
        let nodes: Vec<Node> = serde_json::from_str(&graph.config()?).map_err(Error::custom)?;
        let mut places = HashMap::from([("input".to_owned(), input)]);
        let mut last = input;
        for Node { name, inputs, join, layer } in nodes {
            let inputs: Vec<_> =
                inputs.iter().filter_map(|name| places.get(name)).copied().collect();
            last = match (join.as_deref(), layer, &inputs[..]) {
                // Of one input it is that input.
                (Some(_), _, &[input]) => input,
                (Some(join), _, _) => {
                    let class = match join {
                        "Add" => "Add",
                        "Multiply" => "Multiply",
                        _ => "Concatenate",
                    };
                    self.place(Described { class, config: Map::new(), weights: false }, inputs)
                }
                (None, Some(Part { kind, config }), &[input]) => {
                    let layer = Layers::new().make(&kind, &config);
                    let layer = layer
                        .ok_or_else(|| foreign("a layer of one's own", "a file of Keras"))??;
                    match layer.kind() {
                        "graph" => self.graph(&*layer, input)?,
                        _ => self.layer(&*layer, input)?,
                    }
                }
                _ => return Err(foreign("Graph", "a file of Keras")),
            };
            places.insert(name, last);
        }
        Ok(last)
    }
}

/// Puts layers into Keras' order, by which those of one class are counted: by how many layers are at most between them
/// and the output, and then as they are met on the way from there.
fn named(placed: Vec<Placed>, output: usize) -> Vec<Placed> {
    let mut depths = vec![0_usize; placed.len()];
    for (at, layer) in placed.iter().enumerate().rev() {
        for &input in &layer.inputs {
            depths[input] = depths[input].max(depths[at] + 1);
        }
    }
    let (mut met, mut count) = (vec![usize::MAX; placed.len()], 0);
    let mut stack = vec![output];
    while let Some(at) = stack.pop() {
        if met[at] == usize::MAX {
            met[at] = count;
            count += 1;
            stack.extend(placed[at].inputs.iter().rev());
        }
    }
    // What the output does not need goes nowhere in Keras either.
    let mut order: Vec<_> = (0..placed.len()).filter(|&at| met[at] != usize::MAX).collect();
    order.sort_by_key(|&at| (Reverse(depths[at]), met[at]));
    let mut after = vec![0; placed.len()];
    for (new, &old) in order.iter().enumerate() {
        after[old] = new;
    }
    let mut layers: Vec<_> = placed.into_iter().enumerate().collect();
    layers.retain(|(old, _)| met[*old] != usize::MAX);
    layers.sort_by_key(|(old, _)| after[*old]);
    let mut seen = HashMap::new();
    let finish = |(old, mut layer): (usize, Placed)| {
        layer.path = next_name(&mut seen, &snake_case(layer.described.class));
        layer.name.clone_from(&layer.path);
        layer.inputs.iter_mut().for_each(|input| *input = after[*input]);
        layer.last = old == output;
        layer
    };
    layers.into_iter().map(finish).collect()
}

/// Whether a model takes rows `[B,F]` in Keras, and the layers that it has there: what takes sequences of one frame here,
/// by a `Flatten` as [`super::load`] puts it before such a model.
fn rows(model: &Sequential) -> Result<(bool, &[Arc<dyn Layer>])> {
    let layers = model.layers();
    match layers.split_first() {
        Some((first, others)) if first.kind() == "flatten" => {
            let one = options(&**first)?["timesteps"] == 1;
            Ok((one, if one { others } else { layers }))
        }
        // It takes nothing else.
        Some((first, _)) if first.kind() == "repeat" => Ok((true, layers)),
        _ => Ok((false, layers)),
    }
}

fn options(layer: &dyn Layer) -> Result<Value> {
    serde_json::from_str(&layer.config()?).map_err(Error::custom)
}

/// The timesteps that the model takes, if a layer fixes them: the fewest that a `Flatten` is built for.
fn timesteps(layers: &[Arc<dyn Layer>]) -> Result<Option<usize>> {
    let Some(flat) = layers.iter().position(|layer| layer.kind() == "flatten") else {
        return Ok(None);
    };
    let before = || layers[..flat].iter().rev();
    if before().any(|layer| layer.fixed_timesteps().is_some() || layer.kind() == "repeat") {
        return Ok(None);
    }
    let missing = || foreign("Flatten without timesteps", "a file of Keras");
    let flat = options(&*layers[flat])?;
    let mut steps = flat["timesteps"].as_u64().ok_or_else(missing)?;
    for layer in before() {
        let config = options(&**layer)?;
        let size = |key: &str| config[key].as_u64();
        let (wide, stride) = match layer.kind() {
            "conv1d" => {
                let taps = size("kernel_size").unwrap_or(1).saturating_sub(1);
                (taps.saturating_mul(size("dilation").unwrap_or(1)), size("stride").unwrap_or(1))
            }
            "pool1d" => {
                let window = size("window").unwrap_or(1);
                (window.saturating_sub(1), size("stride").unwrap_or(window))
            }
            _ => continue,
        };
        let valid = config["padding"] == "Valid" || config["padding"]["Explicit"] == json!([0, 0]);
        steps = steps.saturating_sub(1).saturating_mul(stride).saturating_add(1);
        steps = if valid { steps.saturating_add(wide) } else { steps };
    }
    Ok(usize::try_from(steps).ok())
}
