//! From what a file says to a model.

use super::activations::Version;
use super::classes::{Join, Made, make};
use super::config::Architecture;
use super::flow::{Flow, same_flow};
use super::h5::Group;
use super::node::{INPUT, Node};
use super::weights::{Arrays, leaves, plan};
use crate::io::Source;
use crate::nn::{Activation, Flatten, Graph, IntoLayer, Layer};
use crate::{Device, Error, Result, Sequential};
use std::collections::{HashMap, HashSet};

/// Makes the model, and gives it its weights.
pub(super) fn model(
    source: &Source,
    architecture: &Architecture,
    version: Version,
    file: &Group,
    arrays: impl FnOnce() -> Result<Vec<Arrays>>,
    device: &Device,
) -> Result<Sequential> {
    // A layer that cannot be had is named before anything that its arrays lack.
    let (input_size, layers) = layers(source, architecture, version)?;
    let arrays = arrays()?;
    let input_size = match input_size {
        Some(size) => size,
        None => size_by(source, &arrays)?,
    };
    let mut model = layers.into_iter().fold(Sequential::new(device), Sequential::add);
    let params = model.params().clone();
    let built = params.blank(Arrays::count(&arrays), || model.build(input_size));
    built.map_err(|error| match error {
        Error::OutOfMemory { .. } | Error::DeviceLost { .. } | Error::Gpu { .. } => error,
        error => {
            source.bad("the model", "of layers that go together", format!("of others ({error})"))
        }
    })?;
    // A model without parameters has nothing to read.
    let leaves = if params.names().is_empty() { Vec::new() } else { leaves(&model)? };
    plan(&params, file, &leaves, arrays)?
        .into_iter()
        .try_for_each(|planned| planned.set(&params))?;
    Ok(model)
}

/// The features of what a model takes, if the file says, and its layers in their order.
pub(super) type Layers = (Option<usize>, Vec<Box<dyn Layer>>);

/// Makes the layers of a model.
pub(super) fn layers(
    source: &Source,
    architecture: &Architecture,
    version: Version,
) -> Result<Layers> {
    Import { source, architecture, version }.layers()
}

/// The features of what a model takes, by the weights of a first layer that does not say.
fn size_by(source: &Source, arrays: &[Arrays]) -> Result<usize> {
    let array = arrays.first().and_then(|arrays| arrays.arrays.first());
    match array.map(|array| &array.shape[..]) {
        Some(&[size, _] | &[_, size, _] | &[size]) => Ok(size),
        _ => Err(source.bad("the model's input", "of a known shape", "of none")),
    }
}

struct Import<'a> {
    source: &'a Source,
    architecture: &'a Architecture,
    version: Version,
}

impl Import<'_> {
    /// The features of what the layers take, and the layers in their order.
    fn layers(&self) -> Result<Layers> {
        let Architecture { nodes, order } = self.architecture;
        let Some(&first) = order.first() else {
            return Err(self.source.bad("the model", "with layers", "without"));
        };
        let (input_size, mut flow) = self.input(&nodes[first])?;
        let order = if nodes[first].class == INPUT { &order[1..] } else { &order[..] };
        let mut layers: Vec<Box<dyn Layer>> = Vec::new();
        if !flow.sequence && !self.takes_tokens() {
            // What this crate takes are sequences: here of one frame, which is the row.
            layers.push(Box::new(Flatten::new().timesteps(1)));
        }
        for part in parts(nodes, order) {
            match part {
                [node] if nodes[*node].inputs.len() <= 1 => {
                    let node = &nodes[*node];
                    let (made, next) = make(self.source, node, flow, self.version)?;
                    let one = flow.timesteps == Some(1);
                    flow = next;
                    match made {
                        Made::Layer(layer)
                            if one && layers.is_empty() && layer.kind() == "flatten" =>
                        {
                            // At the beginning it would stand for rows; what does nothing keeps it from there.
                            layers.extend([Activation::Linear.into_layer(), layer]);
                        }
                        Made::Layer(layer) => layers.push(layer),
                        Made::Nothing => {}
                        Made::Join(_) => return Err(self.alone(node)),
                    }
                }
                part => {
                    let (graph, next) = self.graph(part, flow)?;
                    flow = next;
                    layers.push(Box::new(graph));
                }
            }
        }
        Ok((input_size, layers))
    }

    fn alone(&self, node: &Node) -> Error {
        let entry = format!("the inputs of the layer {:?} ({})", node.name, node.class);
        self.source.bad(entry, "at least two, of layers behind the model's input", "others")
    }

    /// Whether the first layer behind the input takes tokens.
    fn takes_tokens(&self) -> bool {
        let mut nodes = self.architecture.order.iter().map(|&node| &self.architecture.nodes[node]);
        nodes.find(|node| node.class != INPUT).is_some_and(|node| node.class == "Embedding")
    }

    /// The features of the model's input, if the file says, and what it is.
    fn input(&self, first: &Node) -> Result<(Option<usize>, Flow)> {
        let plain = Flow { sequence: false, mask: None, timesteps: None };
        let (rows, sequence) = (plain, Flow { sequence: true, ..plain });
        let axes = first.input_shape.as_deref();
        match (self.takes_tokens(), axes) {
            (true, Some(&[_, timesteps])) => Ok((Some(1), Flow { timesteps, ..rows })),
            (true, None) => Ok((Some(1), rows)),
            (false, Some(&[_, timesteps, Some(size)])) => {
                Ok((Some(size), Flow { timesteps, ..sequence }))
            }
            (false, Some(&[_, Some(size)])) => Ok((Some(size), rows)),
            (false, None) => Ok((None, sequence)),
            (_, Some(other)) => {
                let expected = "[B,T,F] or [B,F], or tokens [B,T]";
                Err(self.source.bad(
                    "the shape of the model's input",
                    expected,
                    format!("{other:?}"),
                ))
            }
        }
    }

    /// A part of the model in which layers have several inputs, or outputs that several layers take.
    fn graph(&self, part: &[usize], flow: Flow) -> Result<(Graph, Flow)> {
        let nodes = &self.architecture.nodes;
        let (mut graph, mut taken) = (Graph::new(), HashSet::from([GRAPH_INPUT.to_owned()]));
        let first = (GRAPH_INPUT.to_owned(), flow);
        // What each node gives, by its name in the graph.
        let mut given = HashMap::<usize, (String, Flow)>::new();
        let (mut last, mut added) = (first.clone(), String::new());
        for &number in part {
            let node = &nodes[number];
            let input = |input: &usize| given.get(input).unwrap_or(&first).clone();
            let (from, flows): (Vec<_>, Vec<_>) = node.inputs.iter().map(input).unzip();
            let flow = same_flow(self.source, node, &flows)?;
            let (made, next) = make(self.source, node, flow, self.version)?;
            let mut name = node.name.clone();
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            let all: Vec<&str> = from.iter().map(String::as_str).collect();
            (graph, name) = match (made, &all[..]) {
                (Made::Layer(layer), &[from]) => (graph.layer(&*name, from, layer), name),
                (Made::Nothing, &[from]) => (graph, from.to_owned()),
                (Made::Join(Join::Concat), [_, _, ..]) => (graph.concat(&*name, &all), name),
                (Made::Join(Join::Add), [_, _, ..]) => (graph.add(&*name, &all), name),
                (Made::Join(Join::Multiply), [_, _, ..]) => (graph.multiply(&*name, &all), name),
                _ => return Err(self.alone(node)),
            };
            if Some(&name) != from.first() {
                added.clone_from(&name);
            }
            last = (name, next);
            given.insert(number, last.clone());
        }
        if last.0 != added {
            // A graph gives what was added last.
            graph = graph.concat("output", &[&last.0]);
        }
        Ok((graph, last.1))
    }
}

/// What a graph calls its input.
const GRAPH_INPUT: &str = "input";

/// Cuts an order of nodes where nothing but the last one's output goes on.
fn parts<'a>(nodes: &[Node], order: &'a [usize]) -> Vec<&'a [usize]> {
    let place: HashMap<usize, usize> =
        order.iter().enumerate().map(|(place, &node)| (node, place)).collect();
    // The last place that takes what a node gives; first of all, the model's input.
    let (mut until, mut input_until) = (vec![0; order.len()], 0);
    for (at, &node) in order.iter().enumerate() {
        for input in &nodes[node].inputs {
            match place.get(input) {
                Some(&from) => until[from] = at,
                None => input_until = at,
            }
        }
    }
    let (mut parts, mut start, mut open) = (Vec::new(), 0, input_until);
    for at in 0..order.len() {
        // What this node itself gives may go anywhere.
        if open <= at {
            parts.push(&order[start..=at]);
            start = at + 1;
        }
        open = open.max(until[at]);
    }
    parts
}
