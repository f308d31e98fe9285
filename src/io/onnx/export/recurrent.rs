//! Recurrent layers: the operators `LSTM` and `RNN` where they compute the same, else that of `cell.rs`.

use super::graph::{Attr, Attrs, Part};
use super::steps::{Flow, LeftOut, Steps};
use super::writer::{Any, Writer};
use crate::nn::Merge;
use crate::ops::lstm::cell::Cell;
use crate::{Coupling, Error, GateActivation, Result};
use serde::Deserialize;

/// The options of an `Lstm` that its file has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(
    dead_code,
    reason = "what is of training alone is named, so that an option that is not is noticed"
)]
pub(super) struct LstmOptions {
    pub(super) hidden_size: usize,
    num_layers: usize,
    directions: Directions,
    return_sequences: bool,
    zero_output_for_mask: bool,
    bias: bool,
    init: Any,
    pub(super) projection: Option<usize>,
    pub(super) layer_norm: bool,
    pub(super) cell: Cell,
    dropout: Any,
    input_dropout: Any,
    weight_drop: Any,
    strategy: Any,
    time_major: Any,
    recompute: Any,
    kernel: Any,
    recurrent: Any,
    bias_constraints: Any,
    activity: Any,
    frozen: Any,
    stateful: Any,
}

/// The options of an `Rnn` that its file has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as of LstmOptions")]
pub(super) struct RnnOptions {
    hidden_size: usize,
    num_layers: usize,
    directions: Directions,
    return_sequences: bool,
    zero_output_for_mask: bool,
    bias: bool,
    activation: GateActivation,
    kernel_init: Any,
    recurrent_init: Any,
    bias_init: Any,
    frozen: Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Directions {
    Forward,
    Reverse,
    Both(Merge),
}

/// The parameters of a direction of a layer.
pub(super) struct Lane {
    pub(super) inputs: usize,
    pub(super) reverse: bool,
    pub(super) weight_ih: String,
    pub(super) weight_hh: String,
    pub(super) bias: Option<String>,
    pub(super) peepholes: Option<String>,
    pub(super) weight_hr: Option<String>,
    /// Of W x, of R h and of the cell, and the bias of the last.
    pub(super) norms: Option<[String; 4]>,
}

/// What a layer computes in a step.
enum Step {
    Lstm(Box<LstmOptions>),
    Rnn(GateActivation),
}

/// Stacked layers.
struct Stack {
    step: Step,
    hidden_size: usize,
    /// The output features of a direction.
    size: usize,
    num_layers: usize,
    directions: Directions,
    sequences: bool,
    zero_left_out: bool,
    bias: bool,
}

/// A state: h, and c of an LSTM.
pub(super) type State = Vec<String>;

impl LstmOptions {
    /// Whether ONNX's operator has no such cell.
    fn is_beyond(&self) -> bool {
        self.projection.is_some()
            || self.layer_norm
            || self.cell.cell_clip.is_some()
            || self.cell.zoneout != [0.0; 2]
            || self.cell.coupling == Coupling::InputFollowsForget
    }
}

impl Stack {
    fn lanes(&self) -> &'static [bool] {
        match self.directions {
            Directions::Forward => &[false],
            Directions::Reverse => &[true],
            Directions::Both(_) => &[false, true],
        }
    }

    fn merge(&self) -> Option<Merge> {
        match self.directions {
            Directions::Both(merge) => Some(merge),
            _ => None,
        }
    }

    fn width(&self) -> usize {
        match self.directions {
            Directions::Both(Merge::Concat) => 2 * self.size,
            _ => self.size,
        }
    }

    fn is_lstm(&self) -> bool {
        matches!(self.step, Step::Lstm(_))
    }
}

impl Writer<'_> {
    pub(super) fn lstm(&mut self, options: LstmOptions, x: Flow) -> Result<Flow> {
        let stack = Stack {
            hidden_size: options.hidden_size,
            size: options.projection.unwrap_or(options.hidden_size),
            num_layers: options.num_layers,
            directions: options.directions,
            sequences: options.return_sequences,
            zero_left_out: options.zero_output_for_mask,
            bias: options.bias,
            step: Step::Lstm(Box::new(options)),
        };
        self.stack(&stack, x, ["Lstm::go_backwards", "Lstm::bidirectional"])
    }

    pub(super) fn rnn(&mut self, options: RnnOptions, x: Flow) -> Result<Flow> {
        let stack = Stack {
            hidden_size: options.hidden_size,
            size: options.hidden_size,
            num_layers: options.num_layers,
            directions: options.directions,
            sequences: options.return_sequences,
            zero_left_out: options.zero_output_for_mask,
            bias: options.bias,
            step: Step::Rnn(options.activation),
        };
        self.stack(&stack, x, ["Rnn::go_backwards", "Rnn::bidirectional"])
    }

    fn stack(&mut self, stack: &Stack, x: Flow, names: [&'static str; 2]) -> Result<Flow> {
        let y = match self.step {
            true => self.step_stack(stack, &x, names)?,
            false => self.sequence_stack(stack, &x)?,
        };
        Ok(Flow { name: y, sequence: stack.sequences, features: stack.width(), ..x })
    }

    /// All layers over whole sequences.
    fn sequence_stack(&mut self, stack: &Stack, x: &Flow) -> Result<String> {
        let (packed, packing) = self.packed(x);
        let lengths = match &packed.steps {
            Steps::Lengths(lengths) => lengths.clone(),
            _ => String::new(),
        };
        let mut value = self.graph.transpose(&packed.name, &[1, 0, 2]);
        for layer in 0..stack.num_layers {
            let lanes = self.take_lanes(stack, layer, x.features)?;
            let sequences = stack.sequences || layer + 1 < stack.num_layers;
            value = match &stack.step {
                Step::Lstm(options) if options.is_beyond() => {
                    let mask = self.frame_mask(&packed);
                    let mask = mask.map(|mask| self.graph.transpose(&mask, &[1, 0, 2]));
                    let scan = |lane| self.scan(options, lane, &value, mask.as_deref(), sequences);
                    let found = lanes.iter().map(scan).collect();
                    self.join_apart(found, stack.merge())
                }
                _ => {
                    let wanted = [sequences, !sequences];
                    let found = self.operator(stack, &lanes, &value, &lengths, &[], &wanted);
                    match sequences {
                        true => self.join(&found[0], true, stack),
                        false => self.join(&found[1], false, stack),
                    }
                }
            };
        }
        if !stack.sequences {
            return Ok(value);
        }
        let y = self.graph.transpose(&value, &[1, 0, 2]);
        let left_out = match stack.directions {
            Directions::Both(_) => LeftOut::Zero,
            _ if stack.zero_left_out => LeftOut::Zero,
            directions => LeftOut::Repeats { reverse: directions == Directions::Reverse },
        };
        Ok(match &packing {
            Some(packing) => self.unpacked(&y, packing, left_out),
            None => y,
        })
    }

    /// All layers over one frame, from states that are inputs to states that are outputs.
    fn step_stack(&mut self, stack: &Stack, x: &Flow, names: [&'static str; 2]) -> Result<String> {
        let with = match stack.directions {
            Directions::Forward => None,
            Directions::Reverse => Some(names[0]),
            Directions::Both(_) => Some(names[1]),
        };
        if let Some(with) = with {
            let (what, help) = ("Export::stateful_step", "frames to come are not there yet");
            return Err(Error::Unsupported { what, with, help });
        }
        let mut value = match x.sequence {
            true => self.graph.squeeze(&x.name, 1),
            false => x.name.clone(),
        };
        let counts = self.mask_of(x);
        let mut new = String::new();
        for layer in 0..stack.num_layers {
            let lanes = self.take_lanes(stack, layer, x.features)?;
            let parts = [("h", stack.size), ("c", stack.hidden_size)];
            let before = self.begin_state(&parts[..if stack.is_lstm() { 2 } else { 1 }]);
            let mut after = match &stack.step {
                Step::Lstm(options) if options.is_beyond() => {
                    let part = self.input_part(options, &lanes[0], &value);
                    self.cell(options, &lanes[0], &part, &before)
                }
                _ => {
                    let x = self.graph.unsqueeze(&value, 0);
                    let first: Vec<_> =
                        before.iter().map(|state| self.graph.unsqueeze(state, 0)).collect();
                    let wanted = [false, true, true];
                    let wanted = &wanted[..before.len() + 1];
                    let found = self.operator(stack, &lanes, &x, "", &first, wanted);
                    found[1..].iter().map(|state| self.graph.squeeze(state, 0)).collect()
                }
            };
            new.clone_from(&after[0]);
            if let Some(counts) = &counts {
                for (after, before) in after.iter_mut().zip(&before) {
                    *after = self.graph.node("Where", &[counts, after, before], vec![]);
                }
            }
            value.clone_from(&after[0]);
            self.end_state(after);
        }
        if !stack.sequences {
            return Ok(value);
        }
        if let (Some(counts), true) = (&counts, stack.zero_left_out) {
            let zero = self.graph.float(0.0);
            value = self.graph.node("Where", &[counts, &new, &zero], vec![]);
        }
        Ok(self.graph.unsqueeze(&value, 1))
    }

    /// The next parameters, in the order of the layer's build.
    fn take_lanes(&mut self, stack: &Stack, layer: usize, features: usize) -> Result<Vec<Lane>> {
        let inputs = if layer == 0 { features } else { stack.width() };
        let lane = |&reverse: &bool| -> Result<Lane> {
            let (weight_ih, weight_hh) = (self.parameter()?, self.parameter()?);
            let mut lane = Lane {
                inputs,
                reverse,
                weight_ih,
                weight_hh,
                bias: stack.bias.then(|| self.parameter()).transpose()?,
                peepholes: None,
                weight_hr: None,
                norms: None,
            };
            if let Step::Lstm(options) = &stack.step {
                let (peepholes, norms) = (options.cell.peepholes, options.layer_norm);
                lane.peepholes = peepholes.then(|| self.parameter()).transpose()?;
                lane.weight_hr = options.projection.map(|_| self.parameter()).transpose()?;
                if norms {
                    let mut next = || self.parameter();
                    lane.norms = Some([next()?, next()?, next()?, next()?]);
                }
            }
            Ok(lane)
        };
        stack.lanes().iter().map(lane).collect()
    }

    /// ONNX's operator over `x` `[T,B,I]`. Its outputs, if they are wanted: those of all steps `[T,D,B,H]`, and the
    /// last states `[D,B,H]`.
    fn operator(
        &mut self,
        stack: &Stack,
        lanes: &[Lane],
        x: &str,
        lengths: &str,
        first: &[String],
        wanted: &[bool],
    ) -> Vec<String> {
        let (h, count, inputs) = (stack.hidden_size, lanes.len(), lanes[0].inputs);
        // Ours are i, f, g, o and i, f, o; ONNX's i, o, f, c and i, o, f.
        let (gates, order): (usize, &'static [usize]) = match stack.is_lstm() {
            true => (4, &[0, 3, 1, 2]),
            false => (1, &[0]),
        };
        let blocks = |of: &String, order| Part::Blocks(of.clone(), order);
        let parts = |of: fn(&Lane) -> &String| lanes.iter().map(|l| blocks(of(l), order)).collect();
        let g = &mut self.graph;
        let weight_ih = (&lanes[0].weight_ih, parts(|lane| &lane.weight_ih));
        let weight_ih = g.weight(weight_ih.0, &[count, gates * h, inputs], weight_ih.1);
        let weight_hh = (&lanes[0].weight_hh, parts(|lane| &lane.weight_hh));
        let weight_hh = g.weight(weight_hh.0, &[count, gates * h, h], weight_hh.1);
        let mut optional = |of: fn(&Lane) -> Option<&String>, size, order, zeros| {
            let mut parts = Vec::new();
            for name in lanes.iter().filter_map(of) {
                parts.push(blocks(name, order));
                parts.push(Part::Zeros(zeros));
            }
            let name = of(&lanes[0])?;
            Some(g.weight(name, &[count, size], parts))
        };
        // Ours is the sum of ONNX's two.
        let bias = optional(|lane| lane.bias.as_ref(), 2 * gates * h, order, gates * h);
        let peepholes = optional(|lane| lane.peepholes.as_ref(), 3 * h, &[0, 2, 1], 0);
        let [bias, peepholes] = [bias, peepholes].map(Option::unwrap_or_default);
        let state = |number: usize| first.get(number).map_or("", String::as_str);
        let inputs = [x, &weight_ih, &weight_hh, &bias, lengths, state(0), state(1), &peepholes];
        let direction = match stack.directions {
            Directions::Forward => "forward",
            Directions::Reverse => "reverse",
            Directions::Both(_) => "bidirectional",
        };
        let mut attrs =
            vec![("hidden_size", Attr::Int(h as i64)), ("direction", Attr::Text(direction))];
        let op = match &stack.step {
            Step::Rnn(activation) => {
                activations(&[*activation], count, &mut attrs);
                "RNN"
            }
            Step::Lstm(options) => {
                let cell = &options.cell;
                activations(&[cell.recurrent, cell.input, cell.output], count, &mut attrs);
                attrs.extend(cell.clip.map(|clip| ("clip", Attr::Float(clip))));
                if cell.coupling == Coupling::ForgetFollowsInput {
                    attrs.push(("input_forget", Attr::Int(1)));
                }
                "LSTM"
            }
        };
        self.graph.nodes(op, &inputs, wanted, attrs)
    }

    /// The directions of an operator's output as the layer's: of all steps `[T,D,B,H]`, or `[D,B,H]`.
    fn join(&mut self, value: &str, steps: bool, stack: &Stack) -> String {
        let (axis, width) = (i64::from(steps), stack.width() as i64);
        let g = &mut self.graph;
        match stack.merge() {
            None => g.squeeze(value, axis),
            Some(Merge::Concat) => {
                let (order, shape): (&[i64], &[i64]) = match steps {
                    true => (&[0, 2, 1, 3], &[0, 0, width]),
                    false => (&[1, 0, 2], &[0, width]),
                };
                let (turned, shape) = (g.transpose(value, order), g.ints(shape));
                g.node("Reshape", &[&turned, &shape], vec![])
            }
            Some(Merge::Sum) => g.reduce("ReduceSum", value, axis),
            Some(Merge::Mean) => g.reduce("ReduceMean", value, axis),
            Some(Merge::Product) => g.reduce("ReduceProd", value, axis),
        }
    }

    /// The outputs of directions that stand by themselves as the layer's.
    fn join_apart(&mut self, values: Vec<String>, merge: Option<Merge>) -> String {
        let g = &mut self.graph;
        match (&values[..], merge) {
            ([a, b], Some(Merge::Concat)) => {
                g.node("Concat", &[a, b], vec![("axis", Attr::Int(-1))])
            }
            ([a, b], Some(Merge::Product)) => g.node("Mul", &[a, b], vec![]),
            ([a, b], Some(Merge::Sum)) => g.node("Add", &[a, b], vec![]),
            ([a, b], Some(Merge::Mean)) => g.node("Mean", &[a, b], vec![]),
            _ => values[0].clone(),
        }
    }
}

/// The attributes of the activations of each direction, unless they are those that ONNX has by default; the
/// parameters of those that have some, in their order.
fn activations(all: &[GateActivation], lanes: usize, attrs: &mut Attrs) {
    if matches!(all, [GateActivation::Tanh])
        || matches!(all, [GateActivation::Sigmoid, GateActivation::Tanh, GateActivation::Tanh])
    {
        return;
    }
    let named = all.iter().map(|activation| activation_of(*activation));
    let each: Vec<_> = named.cycle().take(all.len() * lanes).collect();
    let list = |of: fn(&Named) -> Option<f32>| each.iter().filter_map(of).collect::<Vec<_>>();
    let (alphas, betas) = (list(|named| named.1), list(|named| named.2));
    attrs.push(("activations", Attr::Texts(each.iter().map(|named| named.0).collect())));
    if !alphas.is_empty() {
        attrs.push(("activation_alpha", Attr::Floats(alphas)));
    }
    if !betas.is_empty() {
        attrs.push(("activation_beta", Attr::Floats(betas)));
    }
}

/// ONNX's name of an activation, alpha and beta.
type Named = (&'static str, Option<f32>, Option<f32>);

fn activation_of(activation: GateActivation) -> Named {
    match activation {
        GateActivation::Sigmoid => ("Sigmoid", None, None),
        GateActivation::Tanh => ("Tanh", None, None),
        GateActivation::Relu => ("Relu", None, None),
        GateActivation::Softsign => ("Softsign", None, None),
        GateActivation::Softplus => ("Softplus", None, None),
        GateActivation::Affine { alpha, beta } => ("Affine", Some(alpha), Some(beta)),
        GateActivation::HardSigmoid { alpha, beta } => ("HardSigmoid", Some(alpha), Some(beta)),
        GateActivation::ScaledTanh { alpha, beta } => ("ScaledTanh", Some(alpha), Some(beta)),
        GateActivation::LeakyRelu { alpha } => ("LeakyRelu", Some(alpha), None),
        GateActivation::Elu { alpha } => ("Elu", Some(alpha), None),
        GateActivation::ThresholdedRelu { alpha } => ("ThresholdedRelu", Some(alpha), None),
    }
}
