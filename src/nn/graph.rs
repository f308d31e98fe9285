//! Layers that are joined otherwise than one after the other.

use super::functions::{add, concat, multiply};
use super::inner::{self, Flow, Make, Part};
use super::{Activation, IntoLayer, Layer, LayerState, Own, Params, to_config};
use crate::autograd::{ParamId, Tape, Var};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

/// The name of a graph's input.
const INPUT: &str = "input";

/// Layers and joins of their outputs, each of which has a name by which later ones take it: a way around layers, several
/// ways of which the results are joined. It has one input, `"input"`, and one output, that of the node added last, and
/// is a layer itself. Keras' functional models.
///
/// ```
/// use wgpu_lstm::nn::{AttentionPool, Dense, Graph, Lstm};
/// use wgpu_lstm::{Device, Sequential};
/// let graph = Graph::new()
///     .layer("first", "input", Lstm::new(8).return_sequences())
///     .layer("second", "first", Lstm::new(8).return_sequences())
///     .add("around", &["first", "second"])
///     .concat("all", &["input", "around"])
///     .layer("pooled", "all", AttentionPool::new());
/// let mut model = Sequential::new(&Device::auto()?).add(graph).add(Dense::new(2));
/// model.build(3)?;
/// assert_eq!(model.params().shape("dense.weight")?, [2, 11]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Graph {
    nodes: Vec<Node>,
    built: Option<Built>,
    /// How many parts the state of each node has, once it is known.
    states: OnceLock<Vec<usize>>,
}

struct Built {
    /// Of each node the numbers of its inputs, 0 for the graph's and 1 for that of the first node.
    inputs: Vec<Vec<usize>>,
    output_size: usize,
}

struct Node {
    name: String,
    inputs: Vec<String>,
    of: Of,
}

impl Node {
    fn layer(&self) -> Option<&dyn Layer> {
        match &self.of {
            Of::Layer(layer) => Some(layer.as_ref()),
            Of::Join(_) => None,
        }
    }
}

/// What a node does.
enum Of {
    Layer(Box<dyn Layer>),
    Join(Join),
}

/// How values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Join {
    Add,
    Multiply,
    Concat,
}

/// What a file says of a node: it has a layer or a join.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    name: String,
    inputs: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    join: Option<Join>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<Part>,
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Self {
        Self { nodes: Vec::new(), built: None, states: OnceLock::new() }
    }

    fn node(mut self, name: impl Into<String>, inputs: &[&str], of: Of) -> Self {
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        self.nodes.push(Node { name: name.into(), inputs, of });
        self
    }

    /// Adds a layer that takes the output of the node `input`, which is there already, or the graph's `"input"`.
    pub fn layer(self, name: impl Into<String>, input: &str, layer: impl IntoLayer) -> Self {
        self.node(name, &[input], Of::Layer(layer.into_layer()))
    }

    /// Adds a node that gives the sum of others, which have as many features: [`add`].
    pub fn add(self, name: impl Into<String>, inputs: &[&str]) -> Self {
        self.node(name, inputs, Of::Join(Join::Add))
    }

    /// Adds a node that gives the product of others, which have as many features: [`multiply`].
    pub fn multiply(self, name: impl Into<String>, inputs: &[&str]) -> Self {
        self.node(name, inputs, Of::Join(Join::Multiply))
    }

    /// Adds a node that gives the features of others side by side: [`concat()`].
    pub fn concat(self, name: impl Into<String>, inputs: &[&str]) -> Self {
        self.node(name, inputs, Of::Join(Join::Concat))
    }

    pub(super) fn from_config(config: &str, make: Make<'_>) -> Result<Self> {
        let parts: Vec<Config> = serde_json::from_str(config).map_err(Error::custom)?;
        let mut graph = Self::new();
        for Config { name, inputs, join, layer } in parts {
            let of = match (join, layer) {
                (Some(join), None) => Of::Join(join),
                (None, Some(part)) => Of::Layer(part.make(make)?),
                _ => {
                    return Err(Error::custom(format!(
                        "node {name} has no layer or join, or both"
                    )));
                }
            };
            graph.nodes.push(Node { name, inputs, of });
        }
        Ok(graph)
    }

    /// The graph with the parameters of its layers in `params`, named as they are.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] without nodes; [`Error::Option`] for a name that is there twice, that none or a later node
    /// has, and for joins without inputs or of other sizes; [`Error::Unsupported`] for a stateful layer; those of the
    /// layers.
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`], and those of the layers inside; [`Error::Shape`] for values that cannot be joined.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        self.run(tape, x, |_, layer, x| inner::forward(layer, tape, x))
    }

    /// Runs all nodes, the layers by `each`, which gets the node's number.
    fn run(
        &self,
        tape: &Tape,
        x: &Var,
        mut each: impl FnMut(usize, &dyn Layer, &Var) -> Result<Var>,
    ) -> Result<Var> {
        let Some(Built { inputs, .. }) = &self.built else {
            return Err(Error::NotBuilt { what: "this Graph", call: "build" });
        };
        let mut values = vec![x.clone()];
        for (number, (node, inputs)) in self.nodes.iter().zip(inputs).enumerate() {
            let y = match &node.of {
                Of::Layer(layer) => each(number, layer.as_ref(), &values[inputs[0]])?,
                Of::Join(join) => {
                    let parts = inputs.iter().map(|&at| super::unpacked(tape, &values[at]));
                    join.forward(tape, &parts.collect::<Result<Vec<_>>>()?)?
                }
            };
            values.push(y);
        }
        Ok(values.pop().unwrap_or_else(|| x.clone()))
    }

    /// The layers that take the graph's input, of which the first speaks for all.
    fn first(&self) -> Option<&dyn Layer> {
        let takes = |node: &&Node| node.inputs.first().is_some_and(|input| input == INPUT);
        self.nodes.iter().filter(takes).find_map(Node::layer)
    }

    /// What `f` makes of the values of a layer's input, and a join of its first, for the last node. It is asked before
    /// the graph is built, too; one that cannot be built is as good as any then.
    fn trace<V: Copy>(&self, input: V, f: impl Fn(&dyn Layer, V) -> V) -> V {
        let mut values = vec![input];
        let resolved = match &self.built {
            Some(built) => Cow::Borrowed(&built.inputs),
            None => Cow::Owned(self.resolved().unwrap_or_default()),
        };
        for (node, inputs) in self.nodes.iter().zip(resolved.iter()) {
            let before = inputs.first().map_or(input, |&at| values[at]);
            values.push(match &node.of {
                Of::Layer(layer) => f(layer.as_ref(), before),
                Of::Join(_) => before,
            });
        }
        values.last().copied().unwrap_or(input)
    }

    /// The numbers of each node's inputs.
    fn resolved(&self) -> Result<Vec<Vec<usize>>> {
        let wrong = |found: &str, expected: &str| {
            let (found, expected) = (format!("{found:?}"), expected.into());
            Err(Error::Option { option: "a name in Graph", found, expected })
        };
        let mut names = vec![INPUT];
        let mut all = Vec::new();
        for node in &self.nodes {
            if node.inputs.is_empty() {
                return wrong(&node.name, "a node with inputs");
            }
            let mut inputs = Vec::new();
            for input in &node.inputs {
                match names.iter().position(|name| name == input) {
                    Some(at) => inputs.push(at),
                    None => {
                        return wrong(input, "\"input\", or that of a node that was added before");
                    }
                }
            }
            if names.contains(&node.name.as_str()) {
                return wrong(&node.name, "a name that no other node has");
            }
            names.push(&node.name);
            all.push(inputs);
        }
        Ok(all)
    }
}

impl Join {
    fn forward(self, tape: &Tape, parts: &[Var]) -> Result<Var> {
        let Some((first, others)) = parts.split_first() else { return concat(tape, parts) };
        match self {
            Self::Concat => concat(tape, parts),
            Self::Add => others.iter().try_fold(first.clone(), |a, b| add(tape, &a, b)),
            Self::Multiply => others.iter().try_fold(first.clone(), |a, b| multiply(tape, &a, b)),
        }
    }

    /// What is known of the output, by what is known of the inputs.
    fn flow(self, name: &str, inputs: &[Flow]) -> Result<Flow> {
        let first = inputs.first().copied();
        let mut all = first.unwrap_or(Flow { size: 0, sequence: true, timesteps: None });
        for input in inputs.iter().skip(1) {
            let other_steps = all.timesteps.zip(input.timesteps).is_some_and(|(a, b)| a != b);
            let other_size = self != Self::Concat && input.size != all.size;
            if input.sequence != all.sequence || other_steps || other_size {
                let of = |flow: &Flow| match (flow.sequence, flow.timesteps) {
                    (false, _) => format!("[B,{}]", flow.size),
                    (true, None) => format!("[B,T,{}]", flow.size),
                    (true, Some(timesteps)) => format!("[B,{timesteps},{}]", flow.size),
                };
                return Err(Error::Option {
                    option: "the inputs of a node of Graph",
                    found: format!("{} and {}, of {name:?}", of(&all), of(input)),
                    expected: "values that can be joined".into(),
                });
            }
            all.timesteps = all.timesteps.or(input.timesteps);
            if self == Self::Concat {
                all.size += input.size;
            }
        }
        Ok(all)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_map();
        for Node { name, inputs, of } in &self.nodes {
            match of {
                Of::Layer(layer) => all.entry(name, &(layer.kind(), inputs)),
                Of::Join(join) => all.entry(name, &(join, inputs)),
            };
        }
        all.finish()
    }
}

impl Layer for Graph {
    fn kind(&self) -> &'static str {
        "graph"
    }

    fn config(&self) -> Result<String> {
        let config = |node: &Node| -> Result<Config> {
            let (name, inputs) = (node.name.clone(), node.inputs.clone());
            let (join, layer) = match &node.of {
                Of::Layer(layer) => (None, Some(Part::of(layer.as_ref())?)),
                Of::Join(join) => (Some(*join), None),
            };
            Ok(Config { name, inputs, join, layer })
        };
        to_config(&self.nodes.iter().map(config).collect::<Result<Vec<_>>>()?)
    }

    fn activation(&self) -> Option<Activation> {
        match self.nodes.last().map(|node| &node.of) {
            Some(Of::Layer(layer)) => layer.activation(),
            _ => Some(Activation::Linear),
        }
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.inner(Own).into_iter().find_map(|layer| layer.parameter(Own))
    }

    fn inner(&self, _: Own) -> Vec<&dyn Layer> {
        self.nodes.iter().filter_map(Node::layer).collect()
    }

    fn takes_tokens(&self) -> bool {
        self.first().is_some_and(|first| first.takes_tokens())
    }

    fn masked_value(&self, _: Own) -> Option<f32> {
        self.first()?.masked_value(Own)
    }

    fn well_formed(&self, _: Own) -> Result<()> {
        self.resolved()?;
        self.inner(Own).into_iter().try_for_each(|layer| layer.well_formed(Own))
    }

    fn check_input(&self, values: &[f32]) -> Result<()> {
        self.first().map_or(Ok(()), |first| first.check_input(values))
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        self.build_for(params, input_size, None)
    }

    fn build_for(
        &mut self,
        params: &Params,
        input_size: usize,
        timesteps: Option<usize>,
    ) -> Result<()> {
        if self.nodes.is_empty() {
            return Err(Error::NotBuilt { what: "a Graph without nodes", call: "layer" });
        }
        let inputs = self.resolved()?;
        let mut flows = vec![Flow { size: input_size, sequence: true, timesteps }];
        let mark = params.mark();
        let built = self.nodes.iter_mut().zip(&inputs).try_for_each(|(node, inputs)| {
            let before: Vec<_> = inputs.iter().map(|&at| flows[at]).collect();
            flows.push(match &mut node.of {
                Of::Layer(layer) => {
                    inner::check("Graph", layer.as_ref())?;
                    let mut flow = before[0];
                    flow.build(layer.as_mut(), params)?;
                    flow
                }
                Of::Join(join) => join.flow(&node.name, &before)?,
            });
            Ok(())
        });
        built.inspect_err(|_: &Error| params.drop_since(mark))?;
        let output_size = flows.last().map_or(0, |flow| flow.size);
        self.built = Some(Built { inputs, output_size });
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.built.as_ref().map_or(0, |built| built.output_size)
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        self.trace(takes_sequence, |layer, takes| layer.gives_sequence(takes))
    }

    fn output_timesteps(&self, timesteps: usize) -> usize {
        self.trace(timesteps, |layer, timesteps| layer.output_timesteps(timesteps))
    }

    fn fixed_timesteps(&self) -> Option<usize> {
        self.trace(None, |layer, before| {
            layer.fixed_timesteps().or(before.map(|before| layer.output_timesteps(before)))
        })
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Graph::forward(self, tape, x)
    }

    fn forward_logits(&self, tape: &Tape, x: &Var) -> Result<(Var, Activation)> {
        let (last, mut activation) = (self.nodes.len().saturating_sub(1), Activation::Linear);
        let y = self.run(tape, x, |number, layer, x| {
            if number < last {
                return inner::forward(layer, tape, x);
            }
            let (y, of) = layer.forward_logits(tape, &super::unpacked(tape, x)?)?;
            activation = of;
            Ok(y)
        })?;
        Ok((y, activation))
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        // The parts of all states, one node's after the other's: how many each has is seen in the first step.
        let mut parts = state.0.unwrap_or_default().into_iter();
        let known = self.states.get();
        let (mut after, mut counts) = (Vec::new(), vec![0; self.nodes.len()]);
        let y = self.run(tape, x, |number, layer, x| {
            let count = known.map_or(0, |counts| counts[number]);
            let own: Vec<_> = parts.by_ref().take(count).collect();
            let own = LayerState(if own.is_empty() { None } else { Some(own) });
            let (y, state) = layer.step(tape, x, own)?;
            let state = state.0.unwrap_or_default();
            counts[number] = state.len();
            after.extend(state);
            Ok(y)
        })?;
        let _ = self.states.set(counts);
        Ok((y, LayerState(if after.is_empty() { None } else { Some(after) })))
    }

    fn parameter_count(&self) -> usize {
        self.inner(Own).iter().map(|layer| layer.parameter_count()).sum()
    }
}
