//! ONNX's LSTM: its gates are i, o, f, c, and those of [`crate::ops::lstm`] i, f, g, o side by side.

use super::super::super::node::Node;
use super::super::super::plan::{Args, Run, wrong};
use super::super::super::value::Value;
use super::{Common, Sizes, expect, first_states, last_states, lengths, sizes};
use crate::ops::lstm::cell::{Cell, Noise};
use crate::ops::lstm::{CellConfig, Columns, Forward, Output, Weights, forward};
use crate::ops::{Coupling, nd};
use crate::tensor::room_for;
use crate::{Lengths, Result, Strategy, Tensor};
use std::sync::Arc;

/// The place of each gate i, f, g, o among i, o, f, c.
const ORDER: [usize; 4] = [0, 2, 3, 1];

/// The operator with its attributes.
pub(in super::super) struct Lstm {
    common: Common,
    coupled: bool,
    /// Whether Y is asked for.
    sequences: bool,
}

pub(super) fn build(node: &Node<'_>) -> Result<Run> {
    let lstm = Lstm::of(node)?;
    let part = |at: usize| match node.constant(at) {
        Some(Value::Floats(part)) => Some(part),
        _ => None,
    };
    // W, R, B and P in this crate's order: once, if they do not change.
    let constant = |at: usize| part(at).is_some() || !node.has_input(at);
    let known = match (part(1), part(2)) {
        (Some(w), Some(r)) if constant(3) && constant(7) => {
            let weights = lstm.weights(w, r, part(3), part(7));
            Some(Arc::new(weights.map_err(|error| error.at(node.label))?))
        }
        _ => None,
    };
    if known.is_some() {
        *node.weights.borrow_mut() = known.clone();
        *node.taken.borrow_mut() = vec![1, 2, 3, 7];
    }
    Ok(Arc::new(move |args| match &known {
        Some(weights) => lstm.run(args, weights),
        None => {
            let (bias, peepholes) = (args.opt_floats(3)?, args.opt_floats(7)?);
            lstm.run(args, &lstm.weights(args.floats(1)?, args.floats(2)?, bias, peepholes)?)
        }
    }))
}

impl Lstm {
    pub(in super::super) fn of(node: &Node<'_>) -> Result<Self> {
        let common = Common::of(node, &["Sigmoid", "Tanh", "Tanh"])?;
        let coupled = node.flag("input_forget", false)?;
        Ok(Self { common, coupled, sequences: node.has_output(0) })
    }

    /// Whether each direction goes backwards, if all else is as an operator of no options has it.
    pub(in super::super) fn plain(&self) -> Option<&[bool]> {
        use crate::ops::GateActivation::{Sigmoid, Tanh};
        let common = &self.common;
        let plain = common.activations.iter().all(|all| all[..] == [Sigmoid, Tanh, Tanh]);
        let plain = plain && !self.coupled && common.clip.is_none() && !common.batch_first;
        plain.then_some(&common.directions)
    }

    fn cell(&self, direction: usize, peepholes: bool) -> Cell {
        let mut cell = Cell { clip: self.common.clip, peepholes, ..Cell::default() };
        if let Some(&[recurrent, input, output]) =
            self.common.activations.get(direction).map(Vec::as_slice)
        {
            (cell.recurrent, cell.input, cell.output) = (recurrent, input, output);
        }
        if self.coupled {
            cell.coupling = Coupling::ForgetFollowsInput;
        }
        cell
    }

    /// The weights of each direction, from W `[D,4H,I]`, R `[D,4H,H]`, B `[D,8H]` and P `[D,3H]`.
    pub(in super::super) fn weights(
        &self,
        w: &Tensor,
        r: &Tensor,
        b: Option<&Tensor>,
        p: Option<&Tensor>,
    ) -> Result<Vec<Weights>> {
        let directions = self.common.directions.len();
        let &[_, rows, inputs] = w.shape() else {
            return Err(wrong(1, "a tensor of 3 axes", format!("{:?}", w.shape())));
        };
        let hidden = rows / 4;
        expect(1, w, &[directions, 4 * hidden, inputs])?;
        expect(2, r, &[directions, 4 * hidden, hidden])?;
        b.map_or(Ok(()), |b| expect(3, b, &[directions, 8 * hidden]))?;
        p.map_or(Ok(()), |p| expect(7, p, &[directions, 3 * hidden]))?;
        if w.is_empty() || r.is_empty() {
            return Err(wrong(1, "weights of some units", "of none"));
        }
        let device = w.device();
        let values = |tensor: Option<&Tensor>| tensor.map(Tensor::to_vec).transpose();
        let (b, p) = (values(b)?, values(p)?);
        let mut all = Vec::with_capacity(directions);
        for direction in 0..directions {
            let bias = |b: &Vec<f32>| {
                let part = &b[direction * 8 * hidden..][..8 * hidden];
                let sum = |at: usize| {
                    let from = ORDER[at % 4] * hidden + at / 4;
                    part[from] + part[4 * hidden + from]
                };
                let sums: Vec<_> = (0..4 * hidden).map(sum).collect();
                Tensor::from_slice(&sums, [hidden, 4], &device)
            };
            let peepholes = |p: &Vec<f32>| {
                let part = &p[direction * 3 * hidden..][..3 * hidden];
                // i, o, f; g has none.
                let value = |at: usize| match at % 4 {
                    0 => part[at / 4],
                    1 => part[2 * hidden + at / 4],
                    3 => part[hidden + at / 4],
                    _ => 0.0,
                };
                let values: Vec<_> = (0..4 * hidden).map(value).collect();
                Tensor::from_slice(&values, [hidden, 4], &device)
            };
            all.push(Weights {
                weight_ih: turned(w, direction)?,
                weight_hh: turned(r, direction)?,
                bias: b.as_ref().map(bias).transpose()?,
                peepholes: p.as_ref().map(peepholes).transpose()?,
            });
        }
        Ok(all)
    }

    /// X, sequence_lens, initial_h and initial_c at their places; weights as above.
    pub(in super::super) fn run(&self, args: &Args<'_>, weights: &[Weights]) -> Result<Vec<Value>> {
        let x = args.floats(0)?;
        let Some(first) = weights.first() else { return Err(wrong(1, "weights", "none")) };
        let (common, directions) = (&self.common, weights.len());
        let hidden = first.weight_hh.shape()[0];
        let sizes = sizes(common, x, &[directions, 4 * hidden, hidden], 4)?;
        let Sizes { time, batch, input, .. } = sizes;
        args.room(&[time, batch, directions, 4, hidden])?;
        if input != first.weight_ih.shape()[0] {
            return Err(wrong(0, format!("{} features", first.weight_ih.shape()[0]), input));
        }
        let lengths = lengths(args, 4, sizes)?
            .map(|lengths| Lengths::new(&lengths, args.device))
            .transpose()?;
        let h_0 = first_states(args, 5, common, sizes)?;
        let c_0 = first_states(args, 6, common, sizes)?;
        let states = match (h_0, c_0) {
            (None, None) => None,
            (h_0, c_0) => {
                let zeros = || Ok(vec![Tensor::zeros([batch, hidden], args.device)?; directions]);
                Some((h_0.map_or_else(zeros, Ok)?, c_0.map_or_else(zeros, Ok)?))
            }
        };
        let x = match common.batch_first || batch == 1 || time == 1 {
            true => x.reshape([batch, time, input])?,
            false => nd::transpose(x, &[1, 0, 2])?,
        };
        let width = directions * hidden;
        let y = match self.sequences {
            true => Some(Tensor::empty([batch, time, width], args.device)?),
            false => None,
        };
        if let (Some(y), Some(_)) = (&y, &lengths) {
            y.fill(0.0)?;
        }
        let mut calls = Vec::with_capacity(directions);
        for (at, weights) in weights.iter().enumerate() {
            calls.push(Forward {
                x: &x,
                weights,
                lengths: lengths.as_ref(),
                state: states.as_ref().map(|(h, c)| (&h[at], &c[at])),
                y: y.as_ref().map(|tensor| Columns { tensor, first: at * hidden }),
                save: false,
                config: CellConfig {
                    cell: self.cell(at, weights.peepholes.is_some()),
                    reverse: common.directions[at],
                    strategy: Strategy::Auto,
                    recompute: false,
                    noise: Noise::default(),
                },
            });
        }
        // Directions of other activations do not run together.
        let together = common.activations.windows(2).all(|pair| pair[0] == pair[1]);
        let none = lengths.as_ref().is_some_and(|lengths| lengths.frames() == 0);
        let outputs = match together {
            _ if none => {
                calls.iter().map(|call| before_any(call, [batch, hidden])).collect::<Result<_>>()?
            }
            true => forward(&calls)?,
            false => {
                let alone = calls.chunks(1).map(forward).collect::<Result<Vec<_>>>()?;
                alone.into_iter().flatten().collect()
            }
        };
        let (mut h_n, mut c_n) = (Vec::new(), Vec::new());
        for output in outputs {
            h_n.push(output.h_n);
            c_n.push(output.c_n);
        }
        let y = match y {
            None => h_n.first().cloned().ok_or_else(|| wrong(1, "weights", "none"))?,
            Some(y) => {
                let y = y.reshape([batch, time, directions, hidden])?;
                if common.batch_first { y } else { nd::transpose(&y, &[1, 2, 0, 3])? }
            }
        };
        Ok(vec![
            Value::Floats(y),
            last_states(h_n, common, sizes)?,
            last_states(c_n, common, sizes)?,
        ])
    }
}

/// Of W `[D,4H,from]` a direction's `[from,H,4]`. On the CPU there is no copy in between: these may be nearly all of a
/// model.
fn turned(all: &Tensor, direction: usize) -> Result<Tensor> {
    let (rows, from, device) = (all.shape()[1], all.shape()[2], all.device());
    let hidden = rows / 4;
    let part = all.view(direction * rows * from, [rows, from]);
    let shape = [from, hidden, 4];
    let turn = |values: &[f32], to: &mut [f32]| {
        for (row, values) in values.chunks_exact(from).enumerate() {
            let (gate, unit) = (row / hidden, row % hidden);
            let place = ORDER.iter().position(|&g| g == gate).unwrap_or_default();
            for (at, &value) in values.iter().enumerate() {
                to[(at * hidden + unit) * 4 + place] = value;
            }
        }
    };
    if part.gpu().is_some() {
        let mut to = room_for("the weights of an LSTM", rows * from)?;
        to.resize(rows * from, 0.0);
        turn(&part.to_vec()?, &mut to);
        return Tensor::from_slice(&to, shape, &device);
    }
    let to = Tensor::empty(shape, &device)?;
    let values = part.cpu();
    to.cpu_mut(|to| turn(&values, to));
    Ok(to)
}

/// The states of rows that have no step.
fn before_any(call: &Forward<'_>, shape: [usize; 2]) -> Result<Output> {
    let zeros = || Tensor::zeros(shape, &call.x.device());
    let (h_n, c_n) = match call.state {
        Some((h, c)) => (h.clone(), c.clone()),
        None => (zeros()?, zeros()?),
    };
    Ok(Output { h_n, c_n, saved: None })
}
