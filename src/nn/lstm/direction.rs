//! The directions of a layer, or the layers of a wavefront, on the tape.

use super::LstmState;
use crate::autograd::{Gradients, Tape, Var, VarId};
use crate::check::Check;
use crate::nn::Precision;
use crate::ops::elementwise::half;
use crate::ops::lstm::Weights;
use crate::ops::lstm::{
    self, Backward, CellConfig, Columns, Cut, Forward, GradRequest, Output, OutputGrads,
};
use crate::tensor::Tensor;
use crate::{DType, Lengths, Result};

/// A weight for an op, and the destination of its gradient.
pub(in crate::nn) struct Operand {
    value: Tensor,
    sink: Sink,
}

enum Sink {
    /// The gradient buffer of the parameters.
    Parameter(Tensor),
    /// The value from which the weight was computed.
    Value(Option<VarId>),
}

impl Operand {
    pub(in crate::nn) fn parameter((value, gradient): (Tensor, Tensor)) -> Self {
        Self { value, sink: Sink::Parameter(gradient) }
    }

    /// A weight without a gradient, for inference.
    pub(in crate::nn) fn constant(value: Tensor) -> Self {
        Self { value, sink: Sink::Value(None) }
    }

    /// The weight in the form that the op takes.
    pub(in crate::nn) fn tensor(&self) -> &Tensor {
        &self.value
    }

    pub(in crate::nn) fn value(tape: &Tape, var: &Var, shape: &[usize]) -> Result<Self> {
        Ok(Self { value: var.tensor().reshape(shape)?, sink: Sink::Value(tape.id(var)) })
    }

    /// As [`Operand::value`], in the precision of products.
    pub(in crate::nn) fn weight(tape: &Tape, var: &Var, shape: &[usize]) -> Result<Self> {
        let mut operand = Self::value(tape, var, shape)?;
        if tape.params().precision() == Precision::Mixed {
            operand.value = half::half(&operand.value)?;
        }
        Ok(operand)
    }

    /// The tensor to which an op adds the gradient.
    fn begin(&self) -> Result<Tensor> {
        match &self.sink {
            Sink::Parameter(gradient) => Ok(gradient.clone()),
            Sink::Value(_) => Tensor::zeros(self.value.shape(), &self.value.device()),
        }
    }

    fn end(self, sum: Tensor, shape: &[usize], gradients: &mut Gradients) -> Result<()> {
        match self.sink {
            Sink::Parameter(_) => Ok(()),
            Sink::Value(id) => gradients.add(id, sum.reshape(shape)?),
        }
    }
}

/// The weights of a direction, and its configuration.
pub(in crate::nn) struct Direction {
    pub(in crate::nn) weight_ih: Operand,
    /// The shape of the value from which `weight_ih` was computed.
    pub(in crate::nn) weight_ih_shape: Vec<usize>,
    pub(in crate::nn) weight_hh: Operand,
    /// The shape of the value from which `weight_hh` was computed.
    pub(in crate::nn) weight_hh_shape: Vec<usize>,
    pub(in crate::nn) bias: Option<Operand>,
    pub(in crate::nn) peepholes: Option<Operand>,
    pub(in crate::nn) config: CellConfig,
}

impl Direction {
    pub(in crate::nn) fn weights(&self) -> Weights {
        Weights {
            weight_ih: self.weight_ih.value.clone(),
            weight_hh: self.weight_hh.value.clone(),
            bias: self.bias.as_ref().map(|b| b.value.clone()),
            peepholes: self.peepholes.as_ref().map(|p| p.value.clone()),
        }
    }

    fn begin(&self) -> Result<Weights> {
        let optional = |operand: &Option<Operand>| operand.as_ref().map(Operand::begin).transpose();
        Ok(Weights {
            weight_ih: self.weight_ih.begin()?,
            weight_hh: self.weight_hh.begin()?,
            bias: optional(&self.bias)?,
            peepholes: optional(&self.peepholes)?,
        })
    }
}

/// The outputs that are wanted of a layer beside its last states.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::nn) enum Outputs {
    None,
    /// `[B,T,..]`, 0 past a row's length.
    Padded,
    /// Those of a packed input: `[frames,..]`.
    Packed,
}

/// The sizes of an input `[B,T,I]`.
pub(super) fn sizes(x: &Tensor) -> Result<[usize; 3]> {
    let check = Check::new("lstm", "a batch of sequences");
    check.dtype("x", x, DType::F32)?;
    check.dims("x", x, "[B,T,I], as a layer with return_sequences gives it")
}

/// The calls of directions, or of layers, that run together, without outputs.
fn calls<'a>(
    x: &'a Var,
    directions: &[Direction],
    weights: &'a [Weights],
    lengths: Option<&'a Lengths>,
    states: Option<&'a [LstmState]>,
    save: bool,
) -> Vec<Forward<'a>> {
    let each = directions.iter().zip(weights).enumerate();
    let call = |(number, (direction, weights)): (usize, (&Direction, &'a Weights))| {
        let state = states.and_then(|states| states.get(number));
        let state = state.map(|s| (s.h.tensor(), s.c.tensor()));
        Forward { x: x.tensor(), weights, lengths, state, y: None, save, config: direction.config }
    };
    each.map(call).collect()
}

/// Runs the directions of a layer. Returns their outputs side by side, if they are wanted, and the last state
/// of each.
pub(in crate::nn) fn run_directions(
    tape: &Tape,
    x: &Var,
    hidden_size: usize,
    directions: Vec<Direction>,
    states: Option<&[LstmState]>,
    wanted: Outputs,
) -> Result<(Option<Var>, Vec<LstmState>)> {
    let [batch, timesteps] = match x.packed_dims() {
        Some(dims) => dims,
        None => sizes(x.tensor()).map(|[batch, timesteps, _]| [batch, timesteps])?,
    };
    let (width, device) = (hidden_size * directions.len(), x.tensor().device());
    let y = match wanted {
        Outputs::None => None,
        Outputs::Packed => Some(Tensor::empty([x.shape()[0], width], &device)?),
        Outputs::Padded => Some(Tensor::empty([batch, timesteps, width], &device)?),
    };
    if let (Some(y), Some(_), Outputs::Padded) = (&y, x.lengths(), wanted) {
        y.fill(0.0)?;
    }
    let weights: Vec<_> = directions.iter().map(Direction::weights).collect();
    let mut calls = calls(x, &directions, &weights, x.lengths(), states, tape.records());
    for (number, call) in calls.iter_mut().enumerate() {
        call.y = y.as_ref().map(|tensor| Columns { tensor, first: number * hidden_size });
    }
    let outputs = lstm::forward(&calls)?;
    Ok(record(tape, x, hidden_size, (directions, Axis::Directions), states, (outputs, y)))
}

/// Runs stacked layers, with nothing between them, as a wavefront; `None` if an argument is wrong. Returns
/// the outputs of the last layer, if `sequences`, else its last h; and all last states.
pub(in crate::nn) fn run_wavefront(
    tape: &Tape,
    x: &Var,
    hidden_size: usize,
    layers: Vec<Direction>,
    states: Option<&[LstmState]>,
    (cut, sequences): (Cut, bool),
) -> Result<Option<(Var, Vec<LstmState>)>> {
    let weights: Vec<_> = layers.iter().map(Direction::weights).collect();
    let calls = calls(x, &layers, &weights, None, states, tape.records());
    let Some((outputs, y)) = lstm::forward_stack(&calls, cut)? else { return Ok(None) };
    let layers = (layers, Axis::Layers);
    let (y, ends) = record(tape, x, hidden_size, layers, states, (outputs, sequences.then_some(y)));
    let output = y.or_else(|| ends.last().map(|end| end.h.clone()));
    Ok(output.map(|output| (output, ends)))
}

/// The relation of the recurrences that run in one pass.
#[derive(Clone, Copy, PartialEq)]
enum Axis {
    /// Directions over one input, whose outputs lie side by side.
    Directions,
    /// Layers of which each is the input of the next.
    Layers,
}

/// Records the results of directions or layers on the tape, and how to differentiate them.
fn record(
    tape: &Tape,
    x: &Var,
    hidden_size: usize,
    (directions, axis): (Vec<Direction>, Axis),
    states: Option<&[LstmState]>,
    (results, y): (Vec<Output>, Option<Tensor>),
) -> (Option<Var>, Vec<LstmState>) {
    let sequences = y.is_some();
    let state_id = |number: usize| {
        let state = states.and_then(|states| states.get(number));
        state.map_or((None, None), |s| (tape.id(&s.h), tape.id(&s.c)))
    };
    let state_ids: Vec<_> = (0..directions.len()).map(state_id).collect();
    let mut outputs = Vec::new();
    let mut saved = Vec::new();
    for result in results {
        outputs.extend([result.h_n, result.c_n]);
        saved.extend(result.saved);
    }
    outputs.extend(y);

    let x_id = tape.id(x);
    let mut vars = tape.push(outputs, tape.records(), move |d, gradients| {
        let at = |i: usize| d.get(i).and_then(Option::as_ref);
        let d_y = at(2 * directions.len());
        let all_sums = directions.iter().map(Direction::begin).collect::<Result<Vec<_>>>()?;
        let last = directions.len() - 1;
        let passes = saved.into_iter().zip(&all_sums).enumerate().map(|(number, (saved, sums))| {
            let columns = |tensor| match axis {
                Axis::Directions => Some(Columns { tensor, first: number * hidden_size }),
                Axis::Layers => (number == last).then_some(Columns { tensor, first: 0 }),
            };
            let arriving = OutputGrads {
                d_y: d_y.and_then(columns),
                d_h_n: at(2 * number),
                d_c_n: at(2 * number + 1),
            };
            Backward { saved, arriving, gradients: sums }
        });
        let d_state = state_ids.iter().any(|(h_id, c_id)| h_id.or(*c_id).is_some());
        let wanted = GradRequest { d_x: x_id.is_some(), d_state };
        let leaving = match axis {
            Axis::Directions => lstm::backward(passes.collect(), wanted)?,
            Axis::Layers => lstm::backward_stack(passes.collect(), wanted)?,
        };
        let ends = leaving.into_iter().zip(state_ids);
        for ((direction, sums), (leaving, (h_id, c_id))) in
            directions.into_iter().zip(all_sums).zip(ends)
        {
            if let Some(d_x) = leaving.d_x {
                gradients.add(x_id, d_x)?;
            }
            if let Some((d_h, d_c)) = leaving.d_state {
                gradients.add(h_id, d_h)?;
                gradients.add(c_id, d_c)?;
            }
            direction.weight_ih.end(sums.weight_ih, &direction.weight_ih_shape, gradients)?;
            if let (Some(bias), Some(sum)) = (direction.bias, sums.bias) {
                let shape = sum.shape().to_vec();
                bias.end(sum, &shape, gradients)?;
            }
            direction.weight_hh.end(sums.weight_hh, &direction.weight_hh_shape, gradients)?;
        }
        Ok(())
    });
    let y = if sequences { vars.pop().map(|y| y.with_steps_of(x)) } else { None };
    let mut vars = vars.into_iter();
    let mut ends = Vec::new();
    while let (Some(h), Some(c)) = (vars.next(), vars.next()) {
        ends.push(LstmState { h, c });
    }
    (y, ends)
}
