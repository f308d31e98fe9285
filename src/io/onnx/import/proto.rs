//! The messages of ONNX: models, graphs, nodes, attributes, values. Names and numbers of fields: `onnx.proto`.

use super::tensor::TensorProto;
use super::wire::{Content, Message, Wire};
use crate::Result;
use std::collections::BTreeMap;

/// How deep graphs may lie within graphs.
const DEEPEST: usize = 16;
/// The nodes and tensors of a file, and the inputs of a node.
const MOST: usize = 1 << 18;

#[derive(Debug, Default)]
pub(super) struct ModelProto {
    pub(super) producer: String,
    /// The version of each domain's operators; that of ONNX itself is called "".
    pub(super) opsets: BTreeMap<String, i64>,
    pub(super) graph: GraphProto,
    /// The functions that the model defines.
    pub(super) functions: usize,
}

#[derive(Debug, Default)]
pub(super) struct GraphProto {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: Vec<TensorProto>,
    pub(super) inputs: Vec<ValueInfo>,
    pub(super) outputs: Vec<ValueInfo>,
    /// Whether there are tensors in which only what is not 0 is stored.
    pub(super) sparse: bool,
}

#[derive(Debug, Default)]
pub(super) struct NodeProto {
    pub(super) name: String,
    pub(super) op: String,
    pub(super) domain: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) attributes: Vec<(String, Attribute)>,
}

impl NodeProto {
    /// The node without the tensors and graphs among its attributes.
    pub(super) fn plain(&self) -> Self {
        let plain = |(name, value): &(String, Attribute)| Some((name.clone(), value.plain()?));
        Self {
            name: self.name.clone(),
            op: self.op.clone(),
            domain: self.domain.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            attributes: self.attributes.iter().filter_map(plain).collect(),
        }
    }
}

impl Attribute {
    fn plain(&self) -> Option<Self> {
        Some(match self {
            Self::Float(value) => Self::Float(*value),
            Self::Int(value) => Self::Int(*value),
            Self::Text(text) => Self::Text(text.clone()),
            Self::Floats(values) => Self::Floats(values.clone()),
            Self::Ints(values) => Self::Ints(values.clone()),
            Self::Texts(texts) => Self::Texts(texts.clone()),
            Self::Tensor(_) | Self::Graph(_) | Self::Other => return None,
        })
    }
}

#[derive(Debug)]
pub(super) enum Attribute {
    Float(f32),
    Int(i64),
    Text(String),
    Tensor(TensorProto),
    Graph(Box<GraphProto>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
    /// Of a kind that no operator here takes.
    Other,
}

#[derive(Debug, Default, Clone)]
pub(super) struct ValueInfo {
    pub(super) name: String,
    pub(super) element: i64,
    /// Whether it is a sequence or a map, and no tensor.
    pub(super) is_other: bool,
    /// The axes, if they are told: a size, a name, or nothing.
    pub(super) shape: Option<Vec<(Option<i64>, String)>>,
}

/// Reads messages, and counts them.
struct Reader {
    wire: Wire,
    count: usize,
}

/// The model in a file.
pub(super) fn read(wire: Wire) -> Result<ModelProto> {
    let message = wire.message();
    let mut reader = Reader { wire, count: 0 };
    reader.model(message)
}

impl Reader {
    fn counted(&mut self, what: &str) -> Result<()> {
        self.count += 1;
        if self.count > MOST {
            let found = format!("more than {MOST}");
            return Err(self.wire.source.bad(what, "a model of fewer nodes and tensors", found));
        }
        Ok(())
    }

    fn model(&mut self, mut message: Message) -> Result<ModelProto> {
        let mut model = ModelProto::default();
        let mut has_graph = false;
        while let Some((field, content)) = self.wire.next(&mut message)? {
            match field {
                2 => model.producer = self.wire.text(&content, "producer_name")?,
                7 => {
                    let inner = self.wire.inner(&content, "the graph")?;
                    model.graph = self.graph(inner, 0)?;
                    has_graph = true;
                }
                8 => {
                    self.counted("opset_import")?;
                    let (domain, version) = self.opset(&content)?;
                    model.opsets.insert(domain, version);
                }
                25 => model.functions += 1,
                _ => {}
            }
        }
        if !has_graph {
            return Err(self.wire.source.bad(
                "the model",
                "an ONNX model with a graph",
                "without one",
            ));
        }
        Ok(model)
    }

    fn opset(&mut self, content: &Content) -> Result<(String, i64)> {
        let mut inner = self.wire.inner(content, "opset_import")?;
        let (mut domain, mut version) = (String::new(), 0);
        while let Some((field, content)) = self.wire.next(&mut inner)? {
            match field {
                1 => domain = self.wire.text(&content, "an opset's domain")?,
                2 => version = self.wire.int(&content, "an opset's version")?,
                _ => {}
            }
        }
        if domain == "ai.onnx" {
            domain.clear();
        }
        Ok((domain, version))
    }

    fn graph(&mut self, mut message: Message, depth: usize) -> Result<GraphProto> {
        if depth > DEEPEST {
            let found = "one that is deeper";
            return Err(self.wire.source.bad(
                "a graph",
                format!("at most {DEEPEST} deep in others"),
                found,
            ));
        }
        let mut graph = GraphProto::default();
        while let Some((field, content)) = self.wire.next(&mut message)? {
            match field {
                1 => {
                    self.counted("the graph")?;
                    let inner = self.wire.inner(&content, "a node")?;
                    graph.nodes.push(self.node(inner, depth)?);
                }
                5 => {
                    self.counted("the graph")?;
                    let inner = self.wire.inner(&content, "an initializer")?;
                    graph.initializers.push(TensorProto::read(&mut self.wire, inner)?);
                }
                11 | 12 => {
                    self.counted("the graph")?;
                    let inner = self.wire.inner(&content, "a value_info")?;
                    let info = self.value_info(inner)?;
                    if field == 11 { graph.inputs.push(info) } else { graph.outputs.push(info) }
                }
                15 => graph.sparse = true,
                _ => {}
            }
        }
        Ok(graph)
    }

    fn node(&mut self, mut message: Message, depth: usize) -> Result<NodeProto> {
        let mut node = NodeProto::default();
        while let Some((field, content)) = self.wire.next(&mut message)? {
            match field {
                1 => {
                    self.counted("a node's inputs")?;
                    node.inputs.push(self.wire.text(&content, "a node's input")?);
                }
                2 => {
                    self.counted("a node's outputs")?;
                    node.outputs.push(self.wire.text(&content, "a node's output")?);
                }
                3 => node.name = self.wire.text(&content, "a node's name")?,
                4 => node.op = self.wire.text(&content, "a node's op_type")?,
                5 => {
                    self.counted("a node's attributes")?;
                    let inner = self.wire.inner(&content, "an attribute")?;
                    node.attributes.push(self.attribute(inner, depth)?);
                }
                7 => node.domain = self.wire.text(&content, "a node's domain")?,
                _ => {}
            }
        }
        if node.domain == "ai.onnx" {
            node.domain.clear();
        }
        Ok(node)
    }

    fn attribute(&mut self, mut message: Message, depth: usize) -> Result<(String, Attribute)> {
        let mut name = String::new();
        let mut kind = 0;
        let (mut float, mut int, mut text, mut tensor, mut graph) = (0.0, 0, None, None, None);
        let (mut floats, mut ints, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        // What is there tells the type in files that do not.
        let mut seen = 0;
        while let Some((field, content)) = self.wire.next(&mut message)? {
            seen = match field {
                2 => 1,
                3 => 2,
                4 => 3,
                5 => 4,
                6 => 5,
                7 => 6,
                8 => 7,
                9 => 8,
                _ => seen,
            };
            match field {
                1 => name = self.wire.text(&content, "an attribute's name")?,
                2 => float = self.wire.float(&content, "an attribute")?,
                3 => int = self.wire.int(&content, "an attribute")?,
                // One that is no text is an error only where it is asked for.
                4 => text = self.wire.text(&content, "an attribute").ok(),
                5 => {
                    let inner = self.wire.inner(&content, "an attribute's tensor")?;
                    tensor = Some(TensorProto::read(&mut self.wire, inner)?);
                }
                6 => {
                    let inner = self.wire.inner(&content, "an attribute's graph")?;
                    graph = Some(self.graph(inner, depth + 1)?);
                }
                7 => self.wire.floats(&content, "an attribute's floats", &mut floats)?,
                8 => self.wire.ints(&content, "an attribute's ints", &mut ints)?,
                9 => {
                    self.counted("an attribute's texts")?;
                    texts.push(self.wire.text(&content, "an attribute's texts")?);
                }
                20 => kind = self.wire.int(&content, "an attribute's type")?,
                _ => {}
            }
        }
        let kind = if kind == 0 { seen } else { kind };
        let value = match (kind, text, tensor, graph) {
            (1, ..) => Attribute::Float(float),
            (2, ..) => Attribute::Int(int),
            (3, Some(text), ..) => Attribute::Text(text),
            (4, _, Some(tensor), _) => Attribute::Tensor(tensor),
            (5, _, _, Some(graph)) => Attribute::Graph(Box::new(graph)),
            (6, ..) => Attribute::Floats(floats),
            (7, ..) => Attribute::Ints(ints),
            (8, ..) => Attribute::Texts(texts),
            _ => Attribute::Other,
        };
        Ok((name, value))
    }

    fn value_info(&mut self, mut message: Message) -> Result<ValueInfo> {
        let mut info = ValueInfo::default();
        while let Some((field, content)) = self.wire.next(&mut message)? {
            match field {
                1 => info.name = self.wire.text(&content, "a value's name")?,
                2 => {
                    let mut kind = self.wire.inner(&content, "a value's type")?;
                    while let Some((field, content)) = self.wire.next(&mut kind)? {
                        if field == 1 {
                            let tensor = self.wire.inner(&content, "a tensor's type")?;
                            self.tensor_type(tensor, &mut info)?;
                        } else if field != 6 {
                            info.is_other = true;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(info)
    }

    fn tensor_type(&mut self, mut message: Message, info: &mut ValueInfo) -> Result<()> {
        while let Some((field, content)) = self.wire.next(&mut message)? {
            match field {
                1 => info.element = self.wire.int(&content, "a value's elem_type")?,
                2 => {
                    let mut dims = Vec::new();
                    let mut shape = self.wire.inner(&content, "a value's shape")?;
                    while let Some((field, content)) = self.wire.next(&mut shape)? {
                        if field == 1 {
                            self.counted("a value's axes")?;
                            let inner = self.wire.inner(&content, "a value's axis")?;
                            dims.push(self.dim(inner)?);
                        }
                    }
                    info.shape = Some(dims);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn dim(&mut self, mut message: Message) -> Result<(Option<i64>, String)> {
        let (mut size, mut name) = (None, String::new());
        while let Some((field, content)) = self.wire.next(&mut message)? {
            match field {
                1 => size = Some(self.wire.int(&content, "an axis' size")?),
                2 => name = self.wire.text(&content, "an axis' name")?,
                _ => {}
            }
        }
        Ok((size, name))
    }
}
