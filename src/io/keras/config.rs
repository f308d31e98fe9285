//! What Keras writes of a model as JSON, in any of its versions: layers with their options, and how they are joined.

use super::masks::{masks, trace};
use super::names::{next_name, snake_case};
use super::node::{Mask, Node, is_model};
use crate::Result;
use crate::io::Source;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The most bytes of a model as JSON, which takes many times as many when it is read: of a layer there are one or two
/// thousand.
pub(super) const LARGEST: u64 = 4 << 20;

/// A model, but for its weights.
pub(super) struct Architecture {
    /// In the order of the file.
    pub(super) nodes: Vec<Node>,
    /// Those that the output needs, each behind its inputs.
    pub(super) order: Vec<usize>,
}

/// Reads the JSON of a model.
///
/// # Errors
/// [`Error::File`].
pub(super) fn read(source: &Source, text: &str) -> Result<Architecture> {
    let parser = Parser { source };
    if text.len() as u64 > LARGEST {
        let expected = format!("at most {LARGEST} bytes");
        return Err(source.bad(MODEL, expected, text.len().to_string()));
    }
    let bad = |error| source.bad(MODEL, "JSON as Keras writes it", format!("unreadable ({error})"));
    let mut model = parser.model(serde_json::from_str(text).map_err(bad)?)?;
    trace(&mut model.nodes, &model.order);
    Ok(model)
}

const MODEL: &str = "the model's config";

/// The shape that a saved model was built for.
fn built_for(model: &Map<String, Value>) -> Option<Value> {
    model.get("build_config")?.get("input_shape").cloned()
}

/// Above all sizes of layers: a product of two is a number of bytes.
pub(super) const LARGEST_SIZE: u64 = 1 << 28;

/// A size.
pub(super) fn size(value: &Value) -> Option<usize> {
    let size = value.as_u64().filter(|&size| size < LARGEST_SIZE)?;
    usize::try_from(size).ok()
}

/// A shape whose first axis is the batch.
pub(super) fn shape(value: &Value) -> Option<Vec<Option<usize>>> {
    let axes = value.as_array()?.iter().map(|axis| match axis {
        Value::Null => Some(None),
        axis => size(axis).map(Some),
    });
    axes.collect()
}

struct Parser<'a> {
    source: &'a Source,
}

impl Parser<'_> {
    fn model(&self, mut model: Map<String, Value>) -> Result<Architecture> {
        let (source, parser) = (self.source, self);
        let class = parser.class(&model, MODEL)?;
        if own(&model) {
            let found = format!("a {class} of the program that wrote it");
            return Err(source.bad(MODEL, "a Sequential or a Functional of Keras", found));
        }
        let (layers, inputs, outputs, named) = match (&class[..], model.remove("config")) {
            // As before Keras 2.2.3.
            ("Sequential", Some(Value::Array(layers))) => (layers, None, None, None),
            ("Sequential", Some(Value::Object(mut config))) => {
                let shape = config.remove("build_input_shape").or_else(|| built_for(&model));
                (parser.list(config.remove("layers"), "its layers")?, None, None, shape)
            }
            ("Functional" | "Model", Some(Value::Object(mut config))) => {
                let layers = parser.list(config.remove("layers"), "its layers")?;
                (layers, config.remove("input_layers"), config.remove("output_layers"), None)
            }
            (_, Some(Value::Object(_) | Value::Array(_))) => {
                let expected = "a Sequential or a Functional, whose layers the file has";
                return Err(source.bad(MODEL, expected, format!("a {class}")));
            }
            _ => return Err(source.bad(MODEL, "with a config", "without")),
        };
        match outputs {
            None => parser.sequential(layers, named.as_ref()),
            Some(outputs) => parser.functional(layers, inputs, &outputs),
        }
    }

    fn class(&self, object: &Map<String, Value>, what: &str) -> Result<String> {
        let class = object.get("class_name").and_then(Value::as_str).map(str::to_owned);
        class.ok_or_else(|| self.source.bad(what, "with a class_name", "without"))
    }

    fn list(&self, value: Option<Value>, what: &str) -> Result<Vec<Value>> {
        match value {
            Some(Value::Array(list)) => Ok(list),
            _ => Err(self.source.bad(what, "a list", "none")),
        }
    }

    /// A layer, and what it says of its inputs.
    fn node(
        &self,
        number: usize,
        layer: Value,
        seen: &mut HashMap<String, usize>,
    ) -> Result<(Node, Vec<Value>)> {
        let what = format!("layer {} of the model", number + 1);
        let Value::Object(mut layer) = layer else {
            return Err(self.source.bad(what, "an object", "none"));
        };
        let class = self.class(&layer, &what)?;
        if own(&layer) {
            let found = format!("a {class} of the program that wrote it");
            return Err(self.source.bad(what, "a class of Keras", found));
        }
        let config = match layer.remove("config") {
            Some(Value::Object(config)) => config,
            _ => return Err(self.source.bad(what, "with a config", "without")),
        };
        let name = layer.get("name").or_else(|| config.get("name")).and_then(Value::as_str);
        let name = name.unwrap_or("").to_owned();
        let inbound = match layer.remove("inbound_nodes") {
            Some(Value::Array(nodes)) => nodes,
            _ => Vec::new(),
        };
        let said = ["batch_shape", "batch_input_shape"].into_iter().find_map(|key| config.get(key));
        let input_shape = said.cloned().or_else(|| built_for(&layer)).as_ref().and_then(shape);
        let names = vec![name.clone()];
        let mut node = Node { name, names, class, config, input_shape, ..Node::default() };
        if node.is_layer() {
            node.place.push(next_name(seen, &snake_case(&node.class)));
        }
        Ok((node, inbound))
    }

    /// Puts the layers of the models among a model's layers into their places. Each of these models is behind them a
    /// layer that does nothing, as its input is before them.
    fn unfold(&self, nodes: &mut Vec<Node>) -> Result<()> {
        for at in 0..nodes.len() {
            if !is_model(&nodes[at].class) {
                continue;
            }
            let (class, config) = (nodes[at].class.clone(), std::mem::take(&mut nodes[at].config));
            let model = [("class_name", Value::String(class)), ("config", Value::Object(config))];
            let model = model.map(|(key, value)| (key.to_owned(), value));
            let Architecture { nodes: inner, order } = self.model(model.into_iter().collect())?;
            let (names, place) = (nodes[at].names.clone(), std::mem::take(&mut nodes[at].place));
            let Some(last) = order.last() else {
                let entry = format!("the layer {:?}", names.join("/"));
                return Err(self.source.bad(entry, "with layers", "without"));
            };
            let first = nodes.len();
            let outer = &mut nodes[at];
            let (input, mask) =
                (std::mem::replace(&mut outer.inputs, vec![first + last]), outer.mask);
            let shape = outer.input_shape.clone();
            outer.mask = None;
            outer.names.clear();
            nodes.extend(inner.into_iter().map(|mut node| {
                node.name = format!("{}/{}", names.join("/"), node.name);
                // What has no weights of its own has neither.
                for (own, outer) in [(&mut node.names, &names), (&mut node.place, &place)] {
                    if !own.is_empty() {
                        own.splice(..0, outer.iter().cloned());
                    }
                }
                node.inputs.iter_mut().for_each(|input| *input += first);
                node.mask = node.mask.map(|mask| mask.moved(first));
                if node.inputs.is_empty() {
                    node.inputs.clone_from(&input);
                    node.mask = node.mask.or(mask);
                    node.input_shape = node.input_shape.or_else(|| shape.clone());
                }
                node
            }));
        }
        Ok(())
    }

    fn sequential(&self, layers: Vec<Value>, built: Option<&Value>) -> Result<Architecture> {
        let (mut nodes, mut seen) = (Vec::with_capacity(layers.len()), HashMap::new());
        for (number, layer) in layers.into_iter().enumerate() {
            let (mut node, _) = self.node(number, layer, &mut seen)?;
            node.inputs.extend(number.checked_sub(1));
            nodes.push(node);
        }
        if let Some(first) = nodes.first_mut().filter(|first| first.input_shape.is_none()) {
            first.input_shape = built.and_then(shape);
        }
        let Some(last) = nodes.len().checked_sub(1) else {
            return Ok(Architecture { nodes, order: Vec::new() });
        };
        self.unfold(&mut nodes)?;
        let order = self.order(&nodes, last)?;
        Ok(Architecture { nodes, order })
    }

    fn functional(
        &self,
        layers: Vec<Value>,
        inputs: Option<Value>,
        outputs: &Value,
    ) -> Result<Architecture> {
        let (mut nodes, mut inbound, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
        for (number, layer) in layers.into_iter().enumerate() {
            let (node, calls) = self.node(number, layer, &mut seen)?;
            nodes.push(node);
            inbound.push(calls);
        }
        let mut names = HashMap::new();
        for (number, node) in nodes.iter().enumerate() {
            if names.insert(node.name.clone(), number).is_some() {
                let entry = format!("the layer {:?}", node.name);
                return Err(self.source.bad(entry, "one of its name", "one of two"));
            }
        }
        let masks = masks(&nodes, &inbound, &names);
        for (node, calls) in nodes.iter_mut().zip(inbound) {
            self.join(node, calls, &names, &masks)?;
        }
        let one = |value: &Value, what: &str| -> Result<usize> {
            // `[name, 0, 0]`, or a list of such.
            let all = match value.as_array().map(Vec::as_slice) {
                Some([Value::String(_), ..]) => vec![value],
                Some(list) => list.iter().collect(),
                None => Vec::new(),
            };
            let [one] = all[..] else {
                let found = format!("{} of them", all.len());
                return Err(self.source.bad(what, "one, as a Sequential has it", found));
            };
            let name = one.get(0).and_then(Value::as_str).unwrap_or("");
            names.get(name).copied().ok_or_else(|| self.source.bad(what, "a layer", "none"))
        };
        let input = one(&inputs.unwrap_or(Value::Null), "the model's inputs")?;
        let output = one(outputs, "the model's outputs")?;
        self.unfold(&mut nodes)?;
        let order = self.order(&nodes, output)?;
        let other = order.iter().find(|&&node| nodes[node].inputs.is_empty() && node != input);
        if let Some(&other) = other {
            let entry = format!("the layer {:?} ({})", nodes[other].name, nodes[other].class);
            return Err(self.source.bad(entry, "with an input", "without"));
        }
        Ok(Architecture { nodes, order })
    }

    /// Reads what a layer is called with.
    fn join(
        &self,
        node: &mut Node,
        mut calls: Vec<Value>,
        names: &HashMap<String, usize>,
        masks: &[Option<Mask>],
    ) -> Result<()> {
        let entry = format!("the layer {:?} ({})", node.name, node.class);
        let bad = |expected: &str, found: String| self.source.bad(&*entry, expected, found);
        if calls.len() > 1 {
            return Err(bad("used once", format!("used {} times", calls.len())));
        }
        let of = |history: Option<&Value>| -> Result<usize> {
            let name = history.and_then(|history| history.get(0)).and_then(Value::as_str);
            let number = |at: usize| history.and_then(|h| h.get(at)).and_then(Value::as_u64);
            match (name, number(1), number(2)) {
                (Some(name), Some(0), Some(0)) => names.get(name).copied().ok_or_else(|| {
                    bad("called with outputs of layers of the model", format!("with {name:?}"))
                }),
                _ => Err(bad("called with the outputs of layers", "with something else".into())),
            }
        };
        match calls.pop() {
            None => {}
            Some(Value::Object(call)) => {
                let mut left: Vec<&Value> = call.get("args").into_iter().collect();
                while let Some(value) = left.pop() {
                    match value {
                        Value::Array(list) => left.extend(list.iter().rev()),
                        Value::Null => {}
                        Value::Object(tensor) if tensor.contains_key("config") => {
                            let history = tensor.get("config").and_then(|c| c.get("keras_history"));
                            node.inputs.push(of(history)?);
                        }
                        // Operations take numbers, too; those that are converted have none.
                        _ if !node.is_layer() => {}
                        other => return Err(bad("called with tensors", format!("with {other}"))),
                    }
                }
                let none = Map::new();
                let named = call.get("kwargs").and_then(Value::as_object).unwrap_or(&none);
                for (key, value) in named {
                    match (&key[..], value) {
                        (_, Value::Null | Value::Bool(false)) => {}
                        ("mask", Value::Array(masks)) if masks.iter().all(Value::is_null) => {}
                        ("mask", mask) => {
                            // Of a list of inputs it is one, too.
                            let mask = match mask.as_array().map(Vec::as_slice) {
                                Some([mask]) => mask,
                                _ => mask,
                            };
                            let history = mask.get("config").and_then(|c| c.get("keras_history"));
                            node.mask = masks.get(of(history)?).copied().flatten();
                            if node.mask.is_none() {
                                let found = "with one that the program made".into();
                                return Err(bad("called with the mask of a layer", found));
                            }
                        }
                        _ => return Err(bad("called with its input alone", format!("with {key}"))),
                    }
                }
            }
            // Of Keras 2: a list for each input.
            Some(Value::Array(inputs)) => {
                for input in &inputs {
                    let named = input.get(3).and_then(Value::as_object);
                    let named = named.into_iter().flatten();
                    if let Some((key, _)) = named.into_iter().find(|(_, value)| !value.is_null()) {
                        return Err(bad("called with its input alone", format!("with {key}")));
                    }
                    node.inputs.push(of(Some(input))?);
                }
            }
            Some(other) => return Err(bad("called with tensors", format!("with {other}"))),
        }
        Ok(())
    }

    /// The nodes that the output needs, each behind its inputs.
    fn order(&self, nodes: &[Node], output: usize) -> Result<Vec<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            Open,
            Done,
        }
        let (mut seen, mut order) = (vec![Seen::Not; nodes.len()], Vec::new());
        // A node, and how many of its inputs were visited.
        let mut stack = vec![(output, 0)];
        seen[output] = Seen::Open;
        while let Some((node, visited)) = stack.last_mut() {
            match nodes[*node].inputs.get(*visited) {
                Some(&input) => {
                    *visited += 1;
                    match seen[input] {
                        Seen::Done => {}
                        Seen::Not => {
                            seen[input] = Seen::Open;
                            stack.push((input, 0));
                        }
                        Seen::Open => {
                            let entry = format!("the layer {:?}", nodes[input].name);
                            return Err(self.source.bad(entry, "in no circle", "in one"));
                        }
                    }
                }
                None => {
                    seen[*node] = Seen::Done;
                    order.push(*node);
                    stack.pop();
                }
            }
        }
        Ok(order)
    }
}

/// Whether a class or function is one of the program that wrote the file, whatever its name.
pub(super) fn own(object: &Map<String, Value>) -> bool {
    let text = |key| object.get(key).and_then(Value::as_str);
    let package = |module: &str| module.split('.').next().unwrap_or("").to_owned();
    let known = |module| ["keras", "tensorflow", "tf_keras"].contains(&&*package(module));
    // Of its own classes Keras says the module; of those of the script that ran, that it is null.
    let script = object.get("module").is_some_and(Value::is_null);
    text("registered_name").is_some_and(|name| script || name.contains('>'))
        || text("module").is_some_and(|module| !known(module))
}
