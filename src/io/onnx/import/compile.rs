//! From a graph of names to a plan: nodes in order, constants computed, what nothing needs left out.

use super::fold::{Room, steps};
use super::frame::Frame;
use super::node::Node;
use super::ops;
use super::plan::{Args, Branch, Plan, Ref, Step};
use super::proto::{Attribute, GraphProto, NodeProto};
use super::tensor::Folder;
use super::value::Value;
use crate::io::Source;
use crate::{Device, Result};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(super) struct Compiler<'a> {
    source: &'a Source,
    folder: Folder<'a>,
    device: &'a Device,
    opsets: &'a BTreeMap<String, i64>,
    frames: Vec<Frame>,
    /// For further constants.
    room: Room,
    /// The nodes that became constants.
    pub(super) folded: usize,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        source: &'a Source,
        folder: Folder<'a>,
        device: &'a Device,
        opsets: &'a BTreeMap<String, i64>,
    ) -> Self {
        let room = Room::of(source.len());
        Self { source, folder, device, opsets, frames: Vec::new(), room, folded: 0 }
    }

    /// The plan of a graph whose inputs have these names, and what it takes from around it.
    pub(super) fn plan(
        &mut self,
        graph: &'a GraphProto,
        inputs: &[&str],
    ) -> Result<(Plan, Vec<Ref>)> {
        let mut frame = Frame::new();
        for &name in inputs {
            let input = frame.input();
            frame.bind(name, input, true);
        }
        self.frames.push(frame);
        let outputs = self.graph(graph);
        let Some(frame) = self.frames.pop() else {
            return Err(self.source.bad("a graph", "one", "none"));
        };
        let Frame { slots, constants, steps, captured, inputs, .. } = frame;
        let mut plan = Plan { slots, inputs, constants, steps, outputs: outputs? };
        plan.finish();
        Ok((plan, captured))
    }

    fn frame(&mut self) -> &mut Frame {
        // There is always one while a graph is compiled.
        if self.frames.is_empty() {
            self.frames.push(Frame::new());
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn bind(&mut self, name: &str, value: Ref) {
        self.frame().bind(name, value, false);
    }

    /// The value of a name, as the innermost plan knows it.
    fn find(&mut self, name: &str) -> Option<Ref> {
        let (depth, mut at) =
            self.frames.iter().enumerate().rev().find_map(|(i, f)| Some((i, f.find(name)?)))?;
        for inner in depth + 1..self.frames.len() {
            let constant = match at {
                Ref::Constant(at) => self.frames[inner - 1].constants.get(at).cloned(),
                Ref::Slot(_) => None,
            };
            let frame = &mut self.frames[inner];
            let here = match constant {
                Some(value) => frame.constant(value),
                None => {
                    frame.captured.push(at);
                    frame.input()
                }
            };
            frame.bind(name, here, true);
            at = here;
        }
        Some(at)
    }

    fn graph(&mut self, graph: &'a GraphProto) -> Result<Vec<Ref>> {
        if graph.sparse {
            return Err(self.source.bad(
                "the graph",
                "tensors that are stored whole",
                "sparse ones",
            ));
        }
        let (order, initializers) = self.order(graph)?;
        for at in initializers {
            let tensor = &graph.initializers[at];
            let value = tensor.value(self.source, self.folder, self.device)?;
            if tensor.is_external() {
                self.room.add(value.len());
            }
            let constant = self.frame().constant(value);
            self.bind(&tensor.name, constant);
        }
        // How often each name is still needed: a constant that no further node needs is let go at once.
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for output in &graph.outputs {
            *uses.entry(&output.name).or_default() += 1;
        }
        let mut names = Vec::new();
        order.iter().for_each(|&at| needs(&graph.nodes[at], &mut names));
        names.drain(..).for_each(|name| *uses.entry(name).or_default() += 1);
        for at in order {
            let node = &graph.nodes[at];
            self.node(node)?;
            needs(node, &mut names);
            for name in names.drain(..) {
                let left = uses.entry(name).or_default();
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.frame().forget(name);
                }
            }
        }
        let mut outputs = Vec::with_capacity(graph.outputs.len());
        for output in &graph.outputs {
            outputs.push(self.find(&output.name).ok_or_else(|| {
                self.source.bad(
                    format!("output {:?}", output.name),
                    "that a node gives",
                    "that none gives",
                )
            })?);
        }
        Ok(outputs)
    }

    /// The nodes that the outputs need, each after those that it needs, and the initializers that they need.
    fn order(&self, graph: &GraphProto) -> Result<(Vec<usize>, Vec<usize>)> {
        let mut makers = HashMap::new();
        for (at, node) in graph.nodes.iter().enumerate() {
            for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                if makers.insert(name.as_str(), at).is_some() {
                    let found = "an output of two nodes";
                    return Err(self.source.bad(
                        format!("value {name:?}"),
                        "an output of one node",
                        found,
                    ));
                }
            }
        }
        let tensors: HashMap<_, _> =
            graph.initializers.iter().enumerate().map(|(at, t)| (t.name.as_str(), at)).collect();
        // 0: not seen, 1: what it needs is looked at, 2: done.
        let mut state = vec![0u8; graph.nodes.len()];
        let (mut order, mut initializers) = (Vec::new(), vec![false; graph.initializers.len()]);
        let mut open: Vec<(usize, Vec<&str>)> = Vec::new();
        let mut roots: Vec<&str> = graph.outputs.iter().map(|o| o.name.as_str()).rev().collect();
        loop {
            let name = match open.last_mut() {
                Some((_, names)) => names.pop(),
                None => match roots.pop() {
                    Some(name) => Some(name),
                    None => break,
                },
            };
            let Some(name) = name else {
                if let Some((node, _)) = open.pop() {
                    state[node] = 2;
                    order.push(node);
                }
                continue;
            };
            if let Some(&at) = tensors.get(name) {
                // Of an input that has a default, the caller's value counts.
                initializers[at] = self.lacks(name);
                continue;
            }
            let Some(&node) = makers.get(name) else { continue };
            match state[node] {
                0 => {
                    state[node] = 1;
                    let mut names = Vec::new();
                    needs(&graph.nodes[node], &mut names);
                    names.reverse();
                    open.push((node, names));
                }
                1 => {
                    let found = "among those that it needs itself";
                    return Err(self.source.bad(
                        label(&graph.nodes[node], at_opset(self, &graph.nodes[node])),
                        "not a part of a cycle",
                        found,
                    ));
                }
                _ => {}
            }
        }
        let initializers =
            initializers.iter().enumerate().filter_map(|(at, &used)| used.then_some(at));
        Ok((order, initializers.collect()))
    }

    /// Whether the innermost graph has no input of this name.
    fn lacks(&self, name: &str) -> bool {
        let scope = self.frames.last().and_then(|frame| frame.scopes.last());
        scope.is_none_or(|scope| !scope.contains_key(name))
    }

    fn node(&mut self, proto: &'a NodeProto) -> Result<()> {
        let version = at_opset(self, proto);
        let label: Arc<str> = label(proto, version).into();
        let Some(version) = version else {
            let expected = "of a domain that the model imports";
            return Err(self.source.bad(&*label, expected, format!("of {:?}", proto.domain)));
        };
        let mut inputs = Vec::with_capacity(proto.inputs.len());
        for name in &proto.inputs {
            inputs.push(match name.is_empty() {
                true => None,
                false => Some(self.find(name).ok_or_else(|| {
                    let found = format!("{name:?}, which nothing gives");
                    self.source.bad(&*label, "inputs that the graph has", found)
                })?),
            });
        }
        let constants: Vec<_> = inputs
            .iter()
            .map(|input| match input {
                Some(Ref::Constant(at)) => self.frame().constants.get(*at).cloned(),
                _ => None,
            })
            .collect();
        let graphs: Vec<(&str, &'a GraphProto)> = proto
            .attributes
            .iter()
            .filter_map(|(name, value)| match value {
                Attribute::Graph(graph) => Some((name.as_str(), &**graph)),
                _ => None,
            })
            .collect();
        if proto.domain.is_empty()
            && proto.op == "If"
            && let Some(Value::Ints(condition)) = constants.first().and_then(Option::as_ref)
            && let &[condition] = &*condition.values()
        {
            return self.inline(proto, &label, &graphs, condition != 0);
        }
        let mut inner = Vec::new();
        for (name, graph) in graphs {
            let names: Vec<_> = graph.inputs.iter().map(|input| input.name.as_str()).collect();
            let (plan, captured) = self.plan(graph, &names)?;
            let first = inputs.len();
            inputs.extend(captured.into_iter().map(Some));
            let (inputs, captured) = (names.len(), first..inputs.len());
            let outputs = &graph.outputs;
            inner.push(ops::Inner { name, inputs, captured, plan: Arc::new(plan), outputs });
        }
        let node = Node {
            proto,
            version,
            label: &label,
            source: self.source,
            folder: self.folder,
            device: self.device,
            constants: &constants,
            used: RefCell::default(),
            weights: RefCell::default(),
            taken: RefCell::default(),
        };
        let run = ops::build(&node, &inner)?;
        node.check_used()?;
        let is_constant = |input: &Option<Ref>| !matches!(input, Some(Ref::Slot(_)));
        if inner.is_empty() && inputs.iter().all(is_constant) {
            let constants = self.frames.last().map_or(&[][..], |frame| &frame.constants);
            let (refs, device, limit) = (&inputs[..], self.device, self.room.limit());
            let args = Args { refs, values: &[], constants, device, limit };
            // What fails here fails when the model runs, if it gets there; so it is with what is too much work.
            if self.room.take_steps(steps(proto, &args))
                && let Ok(values) = run(&args)
                && values.len() >= proto.outputs.len()
            {
                let size = values.iter().map(Value::len).fold(0, usize::saturating_add);
                if self.room.take_numbers(size) {
                    self.folded += 1;
                    for (name, value) in proto.outputs.iter().zip(values) {
                        let constant = self.frame().constant(value);
                        self.bind(name, constant);
                    }
                    return Ok(());
                }
            }
        }
        let mut outputs = Vec::with_capacity(proto.outputs.len());
        for name in &proto.outputs {
            if name.is_empty() {
                outputs.push(None);
                continue;
            }
            let slot = self.frame().slot();
            self.bind(name, Ref::Slot(slot));
            outputs.push(Some(slot));
        }
        let (weights, taken) = (node.weights.take(), node.taken.take());
        for at in taken {
            if let Some(input) = inputs.get_mut(at) {
                *input = None;
            }
        }
        inputs.iter().flatten().for_each(|&input| self.frame().hold(input));
        let proto = Arc::new(proto.plain());
        let branch = |name: &str| {
            let found = inner.iter().find(|inner| inner.name == name)?;
            Some(Branch { plan: found.plan.clone(), captured: found.captured.clone() })
        };
        let branches = match (branch("then_branch"), branch("else_branch")) {
            (Some(then), Some(otherwise)) => Some([then, otherwise]),
            _ => None,
        };
        let inner = inner.into_iter().map(|inner| inner.plan).collect();
        self.frame().steps.push(Step {
            label,
            proto,
            version,
            run,
            inputs,
            outputs,
            last: vec![],
            inner,
            branches,
            weights,
        });
        Ok(())
    }

    /// Makes the branch of an `If` whose condition is known a part of the graph around it.
    fn inline(
        &mut self,
        proto: &NodeProto,
        label: &str,
        graphs: &[(&str, &'a GraphProto)],
        taken: bool,
    ) -> Result<()> {
        let name = if taken { "then_branch" } else { "else_branch" };
        let Some((_, graph)) = graphs.iter().find(|(other, _)| *other == name) else {
            return Err(self.source.bad(label, format!("a {name}"), "without one"));
        };
        if graph.outputs.len() < proto.outputs.len() {
            let found = format!("{} in its {name}", graph.outputs.len());
            return Err(self.source.bad(label, format!("{} outputs", proto.outputs.len()), found));
        }
        self.frame().scopes.push(HashMap::new());
        let outputs = self.graph(graph);
        self.frame().scopes.pop();
        self.folded += 1;
        for (name, output) in proto.outputs.iter().zip(outputs?) {
            self.bind(name, output);
        }
        Ok(())
    }
}

/// Names that a node needs, also in the graphs within it; some of them are found in there.
fn needs<'g>(node: &'g NodeProto, names: &mut Vec<&'g str>) {
    names.extend(node.inputs.iter().map(String::as_str).filter(|name| !name.is_empty()));
    for (_, attribute) in &node.attributes {
        if let Attribute::Graph(graph) = attribute {
            for node in &graph.nodes {
                needs(node, names);
            }
            names.extend(graph.outputs.iter().map(|output| output.name.as_str()));
        }
    }
}

fn at_opset(compiler: &Compiler<'_>, node: &NodeProto) -> Option<i64> {
    compiler.opsets.get(&node.domain).copied()
}

/// What errors call a node: its name, or that of its first output, its operator and the version of that.
fn label(node: &NodeProto, version: Option<i64>) -> String {
    let outputs = || node.outputs.first().map_or("", String::as_str);
    let name = if node.name.is_empty() { outputs() } else { &node.name };
    let dot = if node.domain.is_empty() { "" } else { "." };
    match version {
        Some(version) => {
            format!("node {name:?} ({}{dot}{}, opset {version})", node.domain, node.op)
        }
        None => format!("node {name:?} ({}{dot}{})", node.domain, node.op),
    }
}
