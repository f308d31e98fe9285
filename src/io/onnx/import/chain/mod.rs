//! A graph that is a chain of this crate's layers, as such a model.
//!
//! The graph is traced on an input of some sizes, which takes away what is made of shapes. Then each node that is
//! left takes what the one before it gave, and what it does to the axes says which layer it is.

mod axes;
mod check;
mod recurrent;
mod windows;

use super::node::Node;
use super::plan::{Plan, Ref, Step};
use super::value::{Element, Ints, Value};
use super::{Axis, Model, trace};
use crate::io::Source;
use crate::nn::{Activation, BatchNorm, Dense, IntoLayer, LayerNorm, Pool, Pooling};
use crate::ops::nd;
use crate::{Error, Result, Sequential, Tensor};
use std::cell::RefCell;

/// What an axis of a value is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Label {
    /// The first axis of the input, which is rows or timesteps.
    First,
    /// The second, which is the other.
    Second,
    Features,
    Directions,
    /// One number, which stands for nothing.
    One,
}

/// The sizes of the axes that the file leaves open, told from others by their products. The first of them that are not
/// too few for the windows of a graph are taken.
const OPEN: [[usize; 2]; 3] = [[5, 7], [67, 71], [521, 523]];

/// The layers so far, and the value behind them.
struct Chain<'a> {
    model: Sequential,
    source: Source,
    plan: &'a Plan,
    /// Of each layer that has some, its node and its parameters in the order of its build.
    values: Vec<(usize, String, Vec<Vec<f32>>)>,
    /// What errors call the node that is looked at.
    label: String,
    axes: Vec<(Label, usize)>,
    /// Which axis of the input is time.
    time: Option<Label>,
    /// Those of the first two axes of the input whose sizes the file says.
    fixed: Vec<Label>,
    /// A product without its bias.
    open: Option<(usize, Vec<f32>)>,
    layers: usize,
}

impl Model {
    /// The model as a [`Sequential`] with the same weights, which can be trained further, if its graph is a chain
    /// of layers that this crate has: `Gather` of a table ([`crate::nn::Embedding`]), `LSTM` and `RNN`, `MatMul` and `Gemm`
    /// ([`Dense`]), `Conv` and pools along time, a `Flatten` of timesteps whose number the file says, `LayerNormalization`, `BatchNormalization`, the last timestep, means
    /// and maxima over time, and activations.
    ///
    /// It takes `[B,T,F]`, or tokens, whichever axis is time in the graph; first states that are zero in the graph,
    /// or that begin as such, are left out. Where the graph has several outputs it is no chain.
    ///
    /// # Errors
    /// [`crate::Error::File`] with the node that is no part of a chain of layers, and those of [`crate::Sequential::build`].
    pub fn to_sequential(&self) -> Result<Sequential> {
        let source = Source::memory(&self.name, Vec::new());
        let ([input], [_]) = (&self.inputs[..], &self.outputs[..]) else {
            let found = format!("{} inputs and {} outputs", self.inputs.len(), self.outputs.len());
            return Err(source.bad(
                "the graph",
                "one input and one output, as a chain of layers has",
                found,
            ));
        };
        let bad = || {
            source.bad(
                "the input",
                "tokens of two axes, or floats of three of which the last is fixed",
                input.text(),
            )
        };
        let axes = input.shape.as_ref().ok_or_else(bad)?;
        let labels = [Label::First, Label::Second, Label::Features];
        let is_float = input.element.is_none_or(Element::is_float);
        let mut traced = Err(bad());
        for open in OPEN {
            let open = open.into_iter().map(Some).chain([None, None]);
            let size = |(axis, open): (&Axis, Option<usize>)| match axis {
                Axis::Size(size) => Some(*size),
                _ => open,
            };
            let sizes: Option<Vec<usize>> = axes.iter().zip(open).map(size).collect();
            let sizes = sizes.filter(|sizes| !sizes.contains(&0)).ok_or_else(bad)?;
            input.check_few(&source, &sizes)?;
            let value = match (is_float, axes.len()) {
                (true, 3) => Value::Floats(Tensor::zeros(sizes.clone(), &self.device)?),
                (false, 2) => {
                    let kind = input.element.unwrap_or(Element::I64);
                    Value::Ints(Ints::new(kind, sizes.clone(), vec![0; sizes.iter().product()])?)
                }
                _ => return Err(bad()),
            };
            traced =
                trace::run(&self.plan, vec![value], &self.device).map(|(_, plan)| (plan, sizes));
            // More timesteps help where a window found too few.
            if !traced.as_ref().is_err_and(|error| self.is_of_window(error)) {
                break;
            }
        }
        let (plan, sizes) = traced?;
        let said = labels.into_iter().zip(axes).take(2);
        let said = said.filter(|(_, axis)| matches!(axis, Axis::Size(_)));
        let mut chain = Chain {
            model: Sequential::new(&self.device),
            source,
            plan: &plan,
            values: Vec::new(),
            label: String::new(),
            axes: labels.into_iter().zip(sizes.iter().copied()).collect(),
            time: None,
            fixed: said.map(|(label, _)| label).collect(),
            open: None,
            layers: 0,
        };
        let features = if is_float { chain.axes[2].1 } else { 1 };
        let mut at = Ref::Slot(0);
        for step in &plan.steps {
            chain.label = step.label.to_string();
            at = chain.step(step, at)?;
        }
        if plan.outputs != [at] {
            return Err(chain.source.bad("the output", "that of the last layer", "another"));
        }
        let (time, axes) = (chain.time, chain.axes.clone());
        let model = chain.finish(features)?;
        self.check(&model, &sizes, time, &axes)?;
        Ok(model)
    }
}

impl Model {
    /// Whether an error is one of a node that takes windows of its input.
    fn is_of_window(&self, error: &Error) -> bool {
        let Error::At { place, .. } = error else { return false };
        let mut steps = self.plan.steps.iter();
        steps.find(|step| *step.label == **place).is_some_and(|step| {
            matches!(step.proto.op.as_str(), "Conv" | "MaxPool" | "AveragePool" | "Pad")
        })
    }
}

impl Chain<'_> {
    fn add(&mut self, layer: impl IntoLayer, values: Vec<Vec<f32>>) {
        let none = Sequential::new(&self.model.params().device());
        let model = std::mem::replace(&mut self.model, none);
        self.model = model.add(layer);
        if !values.is_empty() {
            self.values.push((self.layers, self.label.clone(), values));
        }
        self.layers += 1;
    }

    fn finish(mut self, features: usize) -> Result<Sequential> {
        self.close();
        self.model.build(features)?;
        for (layer, label, values) in self.values {
            let names = self.model.parameter_names(layer);
            if names.len() != values.len() {
                let found = format!("{} of {}", values.len(), names.len());
                return Err(self.source.bad(label, "all parameters of a layer", found));
            }
            for (name, values) in names.iter().zip(values) {
                self.model.params().set(name, &values).map_err(|error| error.at(&*label))?;
            }
        }
        Ok(self.model)
    }

    /// A product that no bias followed.
    fn close(&mut self) {
        if let Some((units, weight)) = self.open.take() {
            self.add(Dense::new(units).no_bias(), vec![weight]);
        }
    }

    /// Takes a node that takes the value at a place, and gives the place of what it gives.
    fn step(&mut self, step: &Step, at: Ref) -> Result<Ref> {
        let constants: Vec<_> = step
            .inputs
            .iter()
            .map(|input| match input {
                Some(Ref::Constant(at)) => self.plan.constants.get(*at).cloned(),
                _ => None,
            })
            .collect();
        let place = step.inputs.iter().position(|&input| input == Some(at));
        let others = step
            .inputs
            .iter()
            .flatten()
            .filter(|&&input| matches!(input, Ref::Slot(_)) && input != at);
        let source = self.source.clone();
        let no_chain = |found: &str| source.bad(&*step.label, "a layer of a chain", found);
        let (Some(place), 0) = (place, others.count()) else {
            return Err(no_chain("one that takes other values than that of the layer before"));
        };
        let used: Vec<_> =
            step.outputs.iter().enumerate().filter_map(|(at, slot)| Some((at, (*slot)?))).collect();
        let &[(output, slot)] = &used[..] else {
            return Err(no_chain("one of several outputs that are used"));
        };
        let device = self.model.params().device();
        let node = Node {
            proto: &step.proto,
            version: step.version,
            label: &step.label,
            source: &source,
            folder: None,
            device: &device,
            constants: &constants,
            used: RefCell::default(),
            weights: RefCell::new(step.weights.clone()),
            taken: RefCell::default(),
        };
        match self.layer(&node, place, output)? {
            true => Ok(Ref::Slot(slot)),
            false => {
                let axes: Vec<_> = self.axes.iter().map(|&(label, _)| self.name(label)).collect();
                Err(no_chain(&format!(
                    "nothing that a layer does with a value [{}]",
                    axes.join(", ")
                )))
            }
        }
    }

    /// An axis, for an error.
    fn name(&self, label: Label) -> &'static str {
        match (label, self.time) {
            (Label::First | Label::Second, Some(time)) if label == time => "timesteps",
            (Label::First | Label::Second, Some(_)) => "rows",
            (Label::First, None) => "the input's first axis",
            (Label::Second, None) => "the input's second axis",
            (Label::Features, _) => "features",
            (Label::Directions, _) => "directions",
            (Label::One, _) => "1",
        }
    }

    /// The layer of a node, if it is one of this value's.
    fn layer(&mut self, node: &Node<'_>, place: usize, output: usize) -> Result<bool> {
        let op = node.proto.op.as_str();
        if let (Some(_), "Add", Some(Value::Floats(bias))) =
            (&self.open, op, node.constant(1 - place.min(1)))
            && let Some((units, weight)) = self.open.take()
        {
            let bias = bias.to_vec()?;
            if bias.len() != units {
                return Ok(false);
            }
            self.add(Dense::new(units), vec![weight, bias]);
            return Ok(true);
        }
        self.close();
        if place != 0 && op != "Gather" {
            return Ok(false);
        }
        let (rank, last) = (self.axes.len(), self.axes.last().map(|axis| axis.0));
        match op {
            "Identity" | "Cast" | "Dropout" => {}
            "Transpose" => {
                let Some(order) = node.ints("perm")? else { return Ok(false) };
                self.axes =
                    order.iter().filter_map(|&at| self.axes.get(at as usize).copied()).collect();
            }
            "Reshape" | "Squeeze" | "Flatten" => return self.reshape(node),
            "Gather" => return self.gather(node, place),
            "Slice" => return self.slice(node),
            "LSTM" => return self.lstm(node, output),
            "RNN" => return self.rnn(node, output),
            "MatMul" | "Gemm" => return self.product(node),
            "Conv" => return self.conv(node),
            "MaxPool" | "AveragePool" => return self.pool(node),
            "GlobalAveragePool" | "GlobalMaxPool" => {
                if !self.is_channels_first() {
                    return Ok(false);
                }
                let mean = op == "GlobalAveragePool";
                self.add(Pool::new(if mean { Pooling::Mean } else { Pooling::Max }), vec![]);
                self.axes[2] = (Label::One, 1);
            }
            "ReduceMean" | "ReduceMax" => return self.over_time(node, op == "ReduceMean"),
            "LayerNormalization" => {
                let at = node.int("axis", -1)?;
                if last != Some(Label::Features) || (at != -1 && at != rank as i64 - 1) {
                    return Ok(false);
                }
                let Some(Value::Floats(scale)) = node.constant(1) else { return Ok(false) };
                // They may be broadcast.
                let features = [self.axes[rank - 1].1];
                let scale = nd::expand(scale, &features)?;
                let bias = match node.constant(2) {
                    Some(Value::Floats(bias)) => nd::expand(bias, &features)?.to_vec()?,
                    _ => vec![0.0; scale.len()],
                };
                let epsilon = node.float("epsilon", 1e-5)?;
                self.add(LayerNorm::new().epsilon(epsilon), vec![scale.to_vec()?, bias]);
            }
            "BatchNormalization" => {
                let mut values = Vec::new();
                for at in 1..5 {
                    let Some(Value::Floats(part)) = node.constant(at) else { return Ok(false) };
                    values.push(part.to_vec()?);
                }
                if self.axes.get(1).is_none_or(|axis| axis.0 != Label::Features) {
                    return Ok(false);
                }
                self.add(BatchNorm::new().eps(node.float("epsilon", 1e-5)?), values);
            }
            "Softmax" => {
                let default = if node.version < 13 { 1 } else { -1 };
                let at = node.int("axis", default)?;
                if last != Some(Label::Features) || (at != -1 && at != rank as i64 - 1) {
                    return Ok(false);
                }
                self.add(Activation::Softmax, vec![]);
            }
            _ => match activation(node)? {
                Some(activation) => self.add(activation, vec![]),
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    fn product(&mut self, node: &Node<'_>) -> Result<bool> {
        let Some(Value::Floats(weight)) = node.constant(1) else { return Ok(false) };
        let (&[rows, columns], Some(last)) = (weight.shape(), self.axes.last_mut()) else {
            return Ok(false);
        };
        let turned = node.flag("transB", false)?;
        let [inputs, units] = if turned { [columns, rows] } else { [rows, columns] };
        if last.0 != Label::Features || last.1 != inputs || node.flag("transA", false)? {
            return Ok(false);
        }
        last.1 = units;
        let mut values = match turned {
            true => weight.to_vec()?,
            false => nd::transpose(weight, &[1, 0])?.to_vec()?,
        };
        if node.proto.op == "MatMul" {
            self.open = Some((units, values));
            return Ok(true);
        }
        let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
        values.iter_mut().for_each(|value| *value *= alpha);
        match node.constant(2) {
            Some(Value::Floats(bias)) => {
                let bias = nd::expand(bias, &[units])?;
                let bias = bias.to_vec()?.into_iter().map(|value| value * beta).collect();
                self.add(Dense::new(units), vec![values, bias]);
            }
            Some(Value::Ints(_)) => return Ok(false),
            None => self.open = Some((units, values)),
        }
        Ok(true)
    }
}

fn activation(node: &Node<'_>) -> Result<Option<Activation>> {
    let alpha = |default| node.float("alpha", default);
    Ok(Some(match node.proto.op.as_str() {
        "Sigmoid" => Activation::Sigmoid,
        "Tanh" => Activation::Tanh,
        "Relu" => Activation::Relu,
        "Elu" => Activation::Elu { alpha: alpha(1.0)? },
        "Selu" if !node.has("alpha") && !node.has("gamma") => Activation::Selu,
        "Gelu" => match node.text("approximate", "none")? {
            "none" => Activation::Gelu,
            _ => Activation::GeluTanh,
        },
        "Softplus" => Activation::Softplus,
        "Softsign" => Activation::Softsign,
        "HardSigmoid" => {
            Activation::HardSigmoid { alpha: alpha(0.2)?, beta: node.float("beta", 0.5)? }
        }
        "LeakyRelu" => Activation::LeakyRelu { alpha: alpha(0.01)? },
        "Exp" => Activation::Exp,
        "HardSwish" => Activation::HardSilu,
        "Mish" => Activation::Mish,
        "ThresholdedRelu" => Activation::ThresholdedRelu { alpha: alpha(1.0)? },
        _ => return Ok(None),
    }))
}
