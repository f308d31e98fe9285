//! Nodes, weights and constants of a graph, by the field numbers of onnx.proto.

use super::proto::Message;
use crate::Result;
use crate::autograd::Params;
use crate::file::{Entry, Sink};
use std::collections::BTreeMap;

/// An attribute of a node.
pub(super) enum Attr {
    Int(i64),
    Float(f32),
    Text(&'static str),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<&'static str>),
    Graph(Message),
}

/// The attributes of a node, by name.
pub(super) type Attrs = Vec<(&'static str, Attr)>;

/// The types of a value's numbers, as TensorProto.DataType counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Float = 1,
    Int32 = 6,
    Int64 = 7,
    Bool = 9,
}

/// An axis of a value: its size, its name if it varies, or nothing that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Axis {
    Size(usize),
    Named(&'static str),
    Any,
}

/// Which values of a parameter go into a weight.
pub(super) enum Part {
    /// All in their order.
    Whole(String),
    /// The equal blocks of the first axis, in this order.
    Blocks(String, &'static [usize]),
    /// A matrix of so many columns, columns first.
    Turned(String, usize),
    Zeros(usize),
}

impl Part {
    fn write(&self, params: &Params, sink: &mut Sink<'_>) -> Result<()> {
        match self {
            Self::Whole(name) => sink(&params.get(name)?),
            Self::Blocks(name, order) => {
                let values = params.get(name)?;
                let len = values.len() / order.len();
                order.iter().try_for_each(|&block| sink(&values[block * len..][..len]))
            }
            Self::Turned(name, columns) => {
                let values = params.get(name)?;
                (0..*columns).try_for_each(|column| {
                    let turned: Vec<_> =
                        values.iter().skip(column).step_by(*columns).copied().collect();
                    sink(&turned)
                })
            }
            Self::Zeros(n) => sink(&vec![0.0; *n]),
        }
    }
}

struct Node {
    op: &'static str,
    name: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    attrs: Attrs,
}

/// What stands around a body.
pub(super) struct Outer {
    nodes: Vec<Node>,
    scope: String,
}

/// A graph in the making. The nodes of a body, as Scan has one, see all that stands before them outside.
pub(super) struct Graph {
    params: Params,
    /// The version of the operators.
    pub(super) opset: u32,
    /// What the names of new nodes begin with: the layer's name.
    pub(super) scope: String,
    nodes: Vec<Node>,
    initializers: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    /// The values that are outputs, by the names that they had before.
    given: BTreeMap<String, String>,
    /// How often a name was asked for.
    names: BTreeMap<String, usize>,
    /// The names of the constants, by their type, shape and bytes.
    constants: BTreeMap<(Kind, Vec<usize>, Vec<u8>), String>,
}

impl Graph {
    pub(super) fn new(params: &Params, opset: u32) -> Self {
        Self {
            params: params.clone(),
            opset,
            scope: String::new(),
            nodes: Vec::new(),
            initializers: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            given: BTreeMap::new(),
            names: BTreeMap::new(),
            constants: BTreeMap::new(),
        }
    }

    /// The name, or the name with a number if it is taken.
    pub(super) fn free(&mut self, name: String) -> String {
        let count = self.names.entry(name.clone()).or_default();
        *count += 1;
        match *count {
            1 => name,
            n => {
                let numbered = format!("{name}_{}", n - 1);
                self.free(numbered)
            }
        }
    }

    /// A node of one output.
    pub(super) fn node(&mut self, op: &'static str, inputs: &[&str], attrs: Attrs) -> String {
        self.nodes(op, inputs, &[true], attrs).remove(0)
    }

    /// A node, and the names of those of its outputs that are wanted; the others' are empty.
    pub(super) fn nodes(
        &mut self,
        op: &'static str,
        inputs: &[&str],
        wanted: &[bool],
        attrs: Attrs,
    ) -> Vec<String> {
        let name = self.free(format!("{}/{op}", self.scope));
        let output = |(number, &wanted): (usize, &bool)| match (wanted, number) {
            (false, _) => String::new(),
            (true, 0) => name.clone(),
            (true, _) => format!("{name}.{number}"),
        };
        let outputs: Vec<_> = wanted.iter().enumerate().map(output).collect();
        // What is left out at the end is not named at all.
        let last =
            |names: &[String]| names.iter().rposition(|n| !n.is_empty()).map_or(0, |n| n + 1);
        let mut inputs: Vec<_> = inputs.iter().map(|&input| input.to_owned()).collect();
        inputs.truncate(last(&inputs));
        let mut named = outputs.clone();
        named.truncate(last(&named));
        self.nodes.push(Node { op, name, inputs, outputs: named, attrs });
        outputs
    }

    /// A weight, whose values are read when the file is written.
    pub(super) fn weight(&mut self, name: &str, shape: &[usize], parts: Vec<Part>) -> String {
        let name = self.free(name.to_owned());
        let params = self.params.clone();
        let values = crate::file::Values::F32(Box::new(move |sink: &mut Sink<'_>| {
            parts.iter().try_for_each(|part| part.write(&params, sink))
        }));
        let entry = Entry { name: name.clone(), shape: shape.to_vec(), values };
        self.initializers.push(tensor(Kind::Float, shape, &name).values(9, entry));
        name
    }

    fn constant(&mut self, kind: Kind, shape: &[usize], text: String, bytes: Vec<u8>) -> String {
        let key = (kind, shape.to_vec(), bytes);
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = self.free(text);
        self.initializers.push(tensor(kind, shape, &name).text(9, &key.2));
        self.constants.insert(key, name.clone());
        name
    }

    /// A list of whole numbers: `[n]`.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        let text = values.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(Kind::Int64, &[values.len()], format!("[{text}]"), bytes)
    }

    /// A whole number: `[]`.
    pub(super) fn int(&mut self, value: i64) -> String {
        self.constant(Kind::Int64, &[], value.to_string(), value.to_le_bytes().into())
    }

    /// A number: `[]`.
    pub(super) fn float(&mut self, value: f32) -> String {
        self.constant(Kind::Float, &[], format!("{value:?}"), value.to_le_bytes().into())
    }

    /// An input of the graph.
    pub(super) fn input(&mut self, name: &str, kind: Kind, axes: &[Axis]) -> String {
        let name = self.free(name.to_owned());
        self.inputs.push(value_info(&name, kind, Some(axes)));
        name
    }

    /// Gives a value this name, as an output of the graph.
    pub(super) fn output(&mut self, value: &str, name: &str, axes: &[Axis]) {
        let known = self.given.get(value).cloned();
        let made = self.nodes.iter().any(|node| node.outputs.iter().any(|output| output == value));
        let value = match (made, known) {
            (true, _) => value.to_owned(),
            (false, known) => self.node("Identity", &[known.as_deref().unwrap_or(value)], vec![]),
        };
        for node in &mut self.nodes {
            let names = node.inputs.iter_mut().chain(&mut node.outputs);
            names.filter(|known| **known == value).for_each(|known| name.clone_into(known));
        }
        self.given.insert(value, name.to_owned());
        self.outputs.push(value_info(name, Kind::Float, Some(axes)));
    }

    /// Begins a body with these inputs: what comes from here on is in it, and sees all that came before. Gives the
    /// names of the inputs.
    pub(super) fn begin_body(&mut self, inputs: &[(&str, Kind)]) -> (Outer, Vec<String>) {
        let outer = Outer { nodes: std::mem::take(&mut self.nodes), scope: self.scope.clone() };
        self.scope.push_str("/step");
        let scope = self.scope.clone();
        let names = inputs.iter().map(|(name, _)| self.free(format!("{scope}.{name}"))).collect();
        (outer, names)
    }

    /// Ends a body that gives these floats.
    pub(super) fn end_body(
        &mut self,
        outer: Outer,
        inputs: impl Iterator<Item = (String, Kind)>,
        outputs: &[String],
    ) -> Message {
        let nodes = std::mem::replace(&mut self.nodes, outer.nodes);
        let name = std::mem::replace(&mut self.scope, outer.scope);
        let outputs = outputs.iter().map(|name| value_info(name, Kind::Float, None));
        Message::new()
            .messages(1, nodes.into_iter().map(Node::message))
            .text(2, name)
            .messages(11, inputs.map(|(name, kind)| value_info(&name, kind, None)))
            .messages(12, outputs)
    }

    /// The graph as a message.
    pub(super) fn message(self, name: &str) -> Message {
        Message::new()
            .messages(1, self.nodes.into_iter().map(Node::message))
            .text(2, name)
            .messages(5, self.initializers)
            .messages(11, self.inputs)
            .messages(12, self.outputs)
    }
}

impl Node {
    fn message(self) -> Message {
        let message = self.inputs.iter().fold(Message::new(), |m, input| m.text(1, input));
        let message = self.outputs.iter().fold(message, |m, output| m.text(2, output));
        let message = message.text(3, &self.name).text(4, self.op);
        message.messages(5, self.attrs.into_iter().map(|(name, attr)| attribute(name, attr)))
    }
}

fn attribute(name: &str, attr: Attr) -> Message {
    let message = Message::new().text(1, name);
    match attr {
        Attr::Float(value) => message.float(2, value).int(20, 1),
        Attr::Int(value) => message.int(3, value).int(20, 2),
        Attr::Text(value) => message.text(4, value).int(20, 3),
        Attr::Graph(graph) => message.message(6, graph).int(20, 5),
        Attr::Floats(values) => values.iter().fold(message, |m, &v| m.float(7, v)).int(20, 6),
        Attr::Ints(values) => values.iter().fold(message, |m, &v| m.int(8, v)).int(20, 7),
        Attr::Texts(values) => values.iter().fold(message, |m, v| m.text(9, v)).int(20, 8),
    }
}

/// A tensor without its values.
fn tensor(kind: Kind, shape: &[usize], name: &str) -> Message {
    let dims = shape.iter().fold(Message::new(), |message, &size| message.int(1, size as i64));
    dims.int(2, kind as i64).text(8, name)
}

/// The name and type of a value; of one in a body the shape is left to whoever reads it.
fn value_info(name: &str, kind: Kind, axes: Option<&[Axis]>) -> Message {
    let axis = |axis: &Axis| match axis {
        Axis::Size(size) => Message::new().int(1, *size as i64),
        Axis::Named(name) => Message::new().text(2, name),
        Axis::Any => Message::new(),
    };
    let mut of = Message::new().int(1, kind as i64);
    if let Some(axes) = axes {
        of = of.message(2, Message::new().messages(1, axes.iter().map(axis)));
    }
    Message::new().text(1, name).message(2, Message::new().message(1, of))
}
