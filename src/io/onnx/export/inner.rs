//! Layers of frames alone, and layers with layers inside.

use super::graph::{Attr, Axis, Kind};
use super::steps::{Flow, Steps};
use super::writer::{Any, Writer};
use crate::nn::{Activation, Layer, Own};
use crate::{Error, Result};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActivationOptions {
    activation: Activation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as of LstmOptions")]
pub(super) struct BatchNormOptions {
    eps: f32,
    frozen: Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MaskingOptions {
    value: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as of LstmOptions")]
pub(super) struct DistributedOptions {
    channels: usize,
    layers: Any,
}

/// A node of a `Graph`: a join, or else a layer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the layers themselves are taken")]
pub(super) struct GraphNode {
    name: String,
    inputs: Vec<String>,
    join: Option<Join>,
    layer: Option<Any>,
}

#[derive(Clone, Copy, Deserialize)]
enum Join {
    Add,
    Multiply,
    Concat,
}

impl Writer<'_> {
    pub(super) fn activate(&mut self, options: &ActivationOptions, x: Flow) -> Flow {
        let name = self.activation(&x.name, options.activation);
        Flow { name, ..x }
    }

    pub(super) fn activation(&mut self, x: &str, activation: Activation) -> String {
        let number = |name, value| vec![(name, Attr::Float(value))];
        let (op, attrs) = match activation {
            Activation::Linear => return x.to_owned(),
            Activation::Sigmoid => ("Sigmoid", vec![]),
            Activation::Tanh => ("Tanh", vec![]),
            Activation::Relu => ("Relu", vec![]),
            Activation::Softmax => ("Softmax", vec![("axis", Attr::Int(-1))]),
            Activation::Elu { alpha } => ("Elu", number("alpha", alpha)),
            Activation::Selu => ("Selu", vec![]),
            Activation::Softplus => ("Softplus", vec![]),
            Activation::Softsign => ("Softsign", vec![]),
            Activation::HardSigmoid { alpha, beta } => {
                ("HardSigmoid", vec![("alpha", Attr::Float(alpha)), ("beta", Attr::Float(beta))])
            }
            Activation::LeakyRelu { alpha } => ("LeakyRelu", number("alpha", alpha)),
            Activation::Exp => ("Exp", vec![]),
            Activation::HardSilu => ("HardSwish", vec![]),
            Activation::ThresholdedRelu { alpha } => ("ThresholdedRelu", number("alpha", alpha)),
            Activation::Relu6 => {
                let (least, most) = (self.graph.float(0.0), self.graph.float(6.0));
                return self.graph.node("Clip", &[x, &least, &most], vec![]);
            }
            Activation::Silu => {
                let gate = self.graph.node("Sigmoid", &[x], vec![]);
                return self.graph.node("Mul", &[x, &gate], vec![]);
            }
            // Version 18 has Mish and 20 Gelu; written out they go everywhere.
            Activation::Mish => {
                let sum = self.graph.node("Softplus", &[x], vec![]);
                let gate = self.graph.node("Tanh", &[&sum], vec![]);
                return self.graph.node("Mul", &[x, &gate], vec![]);
            }
            Activation::Gelu => {
                let part = self.scaled(x, std::f32::consts::FRAC_1_SQRT_2);
                let share = self.graph.node("Erf", &[&part], vec![]);
                return self.half_and(x, &share);
            }
            Activation::GeluTanh => {
                let square = self.graph.node("Mul", &[x, x], vec![]);
                let part = self.scaled(&square, 0.044_715);
                let one = self.graph.float(1.0);
                let sum = self.graph.node("Add", &[&part, &one], vec![]);
                let product = self.graph.node("Mul", &[x, &sum], vec![]);
                let part = self.scaled(&product, (2.0 / std::f32::consts::PI).sqrt());
                let share = self.graph.node("Tanh", &[&part], vec![]);
                return self.half_and(x, &share);
            }
        };
        self.graph.node(op, &[x], attrs)
    }

    /// x (1 + share) / 2.
    fn half_and(&mut self, x: &str, share: &str) -> String {
        let one = self.graph.float(1.0);
        let sum = self.graph.node("Add", &[share, &one], vec![]);
        let product = self.graph.node("Mul", &[x, &sum], vec![]);
        self.scaled(&product, 0.5)
    }

    pub(super) fn batch_norm(&mut self, options: &BatchNormOptions, x: Flow) -> Result<Flow> {
        let mut inputs = Vec::new();
        for _ in 0..4 {
            let name = self.parameter()?;
            inputs.push(self.whole(&name, &[x.features]));
        }
        let turned = match x.sequence {
            true => self.graph.transpose(&x.name, &[0, 2, 1]),
            false => x.name.clone(),
        };
        let inputs = [&turned[..], &inputs[0], &inputs[1], &inputs[2], &inputs[3]];
        let attrs = vec![("epsilon", Attr::Float(options.eps))];
        let mut name = self.graph.node("BatchNormalization", &inputs, attrs);
        if x.sequence {
            name = self.graph.transpose(&name, &[0, 2, 1]);
        }
        Ok(Flow { name, ..x })
    }

    /// Frames of one value alone count nothing, and are zeros.
    pub(super) fn masking(&mut self, options: &MaskingOptions, x: Flow) -> Flow {
        let before = self.mask_of(&x);
        let g = &mut self.graph;
        let value = g.float(options.value);
        let same = g.node("Equal", &[&x.name, &value], vec![]);
        let other = g.node("Not", &[&same], vec![]);
        let other = g.cast(&other, Kind::Float);
        let some = g.reduce("ReduceMax", &other, 2);
        let zero = g.float(0.0);
        let mut mask = g.node("Greater", &[&some, &zero], vec![]);
        if let Some(before) = before {
            mask = g.node("And", &[&mask, &before], vec![]);
        }
        let x = Flow { steps: Steps::Mask(mask), ..x };
        let name = self.counted_or(&x, 0.0);
        Flow { name, ..x }
    }

    pub(super) fn attention_pool(&mut self, x: &Flow) -> Result<Flow> {
        self.whole_sequence("AttentionPool")?;
        let name = self.parameter()?;
        let weight = self.turned(&name, [1, x.features]);
        let frames = self.counted_or(x, 0.0);
        let mut scores = self.graph.node("MatMul", &[&frames, &weight], vec![]);
        let mask = self.mask_of(x);
        if let Some(mask) = self.frame_mask(x) {
            // Not infinite, so that a row without a frame gives no NaN.
            let least = self.graph.float(f32::MIN);
            scores = self.graph.node("Where", &[&mask, &scores, &least], vec![]);
        }
        let weights = self.graph.node("Softmax", &[&scores], vec![("axis", Attr::Int(1))]);
        let parts = self.graph.node("Mul", &[&frames, &weights], vec![]);
        let mut name = self.graph.reduce("ReduceSum", &parts, 1);
        if let Some(mask) = mask {
            name = self.or_zero(&name, &mask);
        }
        let (time, steps) = (Axis::Size(1), Steps::All);
        Ok(Flow { name, sequence: false, time, steps, ..x.clone() })
    }

    pub(super) fn flatten(&mut self, x: Flow, size: usize) -> Result<Flow> {
        self.whole_sequence("Flatten")?;
        if !x.sequence {
            return Ok(x);
        }
        if matches!(x.steps, Steps::Lengths(_)) {
            let help = "each place of a frame has weights of its own behind it";
            let (what, with) = ("Export::lengths", "Flatten");
            return Err(Error::Unsupported { what, with, help });
        }
        let (expected, found) = match x.time {
            Axis::Size(found) => (size / x.features, found),
            _ => (1, 0),
        };
        self.unfit = self.unfit.or((found != expected).then(|| found.cmp(&expected)));
        let shape = self.graph.ints(&[0, size as i64]);
        let name = self.graph.node("Reshape", &[&x.name, &shape], vec![]);
        let (time, steps) = (Axis::Size(1), Steps::All);
        Ok(Flow { name, sequence: false, features: size, time, steps, tokens: false })
    }

    /// Each frame as a sequence of its own.
    pub(super) fn time_distributed(
        &mut self,
        options: &DistributedOptions,
        layer: &dyn Layer,
        x: Flow,
    ) -> Result<Flow> {
        let (channels, features) = (options.channels, layer.output_size());
        let steps = x.features / channels;
        let shape = self.graph.ints(&[-1, steps as i64, channels as i64]);
        let name = self.graph.node("Reshape", &[&x.name, &shape], vec![]);
        let mut y = Flow {
            name,
            sequence: true,
            features: channels,
            time: Axis::Size(steps),
            steps: Steps::All,
            tokens: false,
        };
        // All of the frame is there, in a step model, too.
        let step = std::mem::replace(&mut self.step, false);
        for layer in layer.inner(Own) {
            y = self.inner_layer(layer, y)?;
        }
        self.step = step;
        let g = &mut self.graph;
        let range = vec![("start", Attr::Int(0)), ("end", Attr::Int(-1))];
        let outer = g.node("Shape", &[&x.name], range);
        let size = g.ints(&[features as i64]);
        let shape = g.node("Concat", &[&outer, &size], vec![("axis", Attr::Int(0))]);
        let name = g.node("Reshape", &[&y.name, &shape], vec![]);
        Ok(Flow { name, features, ..x })
    }

    pub(super) fn graph_of(
        &mut self,
        nodes: &[GraphNode],
        layer: &dyn Layer,
        x: Flow,
    ) -> Result<Flow> {
        let mut layers = layer.inner(Own).into_iter();
        let mut values = vec![("input", x.clone())];
        for node in nodes {
            let find = |input: &String| values.iter().find(|(name, _)| name == input);
            let inputs: Vec<_> =
                node.inputs.iter().filter_map(|name| Some(find(name)?.1.clone())).collect();
            let Some(first) = inputs.first().cloned() else {
                return Err(self.strange(format!("the node {} takes nothing", node.name)));
            };
            let y = match (node.join, layers.len()) {
                (Some(join), _) => self.joined(join, first, &inputs),
                (None, 0) => return Err(self.strange(format!("{} is no layer", node.name))),
                (None, _) => match layers.next() {
                    Some(layer) => self.inner_layer(layer, first)?,
                    None => first,
                },
            };
            values.push((&node.name, y));
        }
        Ok(values.pop().map_or(x, |(_, y)| y))
    }

    fn joined(&mut self, join: Join, first: Flow, all: &[Flow]) -> Flow {
        let g = &mut self.graph;
        let names = || all.iter().map(|flow| flow.name.as_str());
        let mut y = first;
        match join {
            Join::Concat => {
                let names: Vec<_> = names().collect();
                y.name = g.node("Concat", &names, vec![("axis", Attr::Int(-1))]);
                y.features = all.iter().map(|flow| flow.features).sum();
            }
            Join::Add | Join::Multiply => {
                let op = if matches!(join, Join::Add) { "Add" } else { "Mul" };
                for name in names().skip(1) {
                    y.name = g.node(op, &[&y.name, name], vec![]);
                }
            }
        }
        y
    }
}
