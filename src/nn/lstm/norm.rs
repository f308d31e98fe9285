//! A direction of a layer-normalised layer on the tape.

use super::LstmState;
use crate::autograd::{ParamId, Tape, Var};
use crate::check::Check;
use crate::nn::functions::{concat, layer_norm, matmul, parameter, reshape, zero_padding};
use crate::nn::layer_norm::EPSILON;
use crate::ops::frames::copy_columns::copy_columns;
use crate::ops::lstm::{Columns, norm};
use crate::{DType, Error, Result, Tensor};

/// The gains of the normalisations of a direction, and the bias of the cell's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Norms {
    /// The gain of `W x`, `[H,4]` in memory.
    pub(super) ih: ParamId,
    /// The gain of `R h`, `[H,4]` in memory.
    pub(super) hh: ParamId,
    /// The gain of the cell, `[H]`.
    pub(super) c: ParamId,
    /// The bias of the cell, `[H]`.
    pub(super) c_bias: ParamId,
}

/// The parameters of a direction.
pub(super) struct Direction {
    pub(super) input_size: usize,
    pub(super) hidden_size: usize,
    pub(super) weight_ih: ParamId,
    /// The recurrent weight, `[H,4H]`.
    pub(super) weight_hh: Var,
    pub(super) bias: Option<ParamId>,
    pub(super) norms: Norms,
    pub(super) reverse: bool,
}

/// Runs a direction. Returns its outputs `[B,T,H]`, if `sequences`, and its last state.
pub(super) fn direction(
    tape: &Tape,
    x: &Var,
    d: Direction,
    state: Option<&LstmState>,
    sequences: bool,
) -> Result<(Option<Var>, LstmState)> {
    let h = d.hidden_size;
    let check = Check::new("lstm", "the layer was built for that input_size");
    check.dtype("x", x.tensor(), DType::F32)?;
    let [b, t, _] = check.dims("x", x.tensor(), "[B,T,I]")?;
    check.shape("x", x.tensor(), "[B,T,I]", &[b, t, d.input_size])?;
    check.device(x.tensor(), &[("weight_hh", d.weight_hh.tensor())])?;
    let words = b.saturating_mul(t).saturating_mul(4 * h);
    if words > u32::MAX as usize {
        let (bytes, limit) = (4 * words as u64, 4 * u64::from(u32::MAX));
        return Err(Error::TooLarge { what: "a batch", bytes, limit });
    }

    // norm(W x) + b, for all steps at once.
    let clean = zero_padding(tape, "lstm", x)?;
    let weight_ih = parameter(tape, tape.parameter(d.weight_ih, &[d.input_size, 4 * h])?);
    let product = matmul(tape, &clean, &weight_ih)?;
    let gain = tape.parameter(d.norms.ih, &[4 * h])?;
    let bias = d.bias.map(|id| tape.parameter(id, &[4 * h])).transpose()?;
    let part = layer_norm(tape, &product, gain, bias, EPSILON)?;

    let flat = |id: ParamId, n: usize| -> Result<Var> {
        reshape(tape, &parameter(tape, tape.parameter(id, &[n])?), &[1, n])
    };
    let norms = [flat(d.norms.hh, 4 * h)?, flat(d.norms.c, h)?, flat(d.norms.c_bias, h)?];
    let norms = concat(tape, &norms)?;

    let device = x.tensor().device();
    let first = Tensor::zeros([b, 2 * h], &device)?;
    if let Some(state) = state {
        let check = Check::new("lstm", "one state for each row of the batch");
        for (number, (arg, var)) in [("h_0", &state.h), ("c_0", &state.c)].into_iter().enumerate() {
            check.dtype(arg, var.tensor(), DType::F32)?;
            check.shape(arg, var.tensor(), "[B,H]", &[b, h])?;
            check.device(x.tensor(), &[(arg, var.tensor())])?;
            copy_columns((var.tensor(), 0), (&first, number * h), h)?;
        }
    }
    let y = match (sequences, x.lengths()) {
        (false, _) => None,
        (true, None) => Some(Tensor::empty([b, t, h], &device)?),
        (true, Some(_)) => Some(Tensor::zeros([b, t, h], &device)?),
    };
    let call = norm::Call {
        gates: part.tensor().reshape([b, t, h, 4])?,
        weight_hh: d.weight_hh.tensor().reshape([h, h, 4])?,
        norms: norms.tensor().reshape([6 * h])?,
        lengths: x.lengths().cloned(),
        reverse: d.reverse,
        epsilon: EPSILON,
    };
    let columns = y.as_ref().map(|tensor| Columns { tensor, first: 0 });
    let saved = call.forward(&first, columns, tape.records())?;
    let last = |number: usize| -> Result<Tensor> {
        let end = Tensor::empty([b, h], &device)?;
        copy_columns((&first, number * h), (&end, 0), h)?;
        Ok(end)
    };
    let mut outputs = vec![last(0)?, last(1)?];
    outputs.extend(y);
    let ids = [&part, &d.weight_hh, &norms].map(|var| tape.id(var));
    let states = state.map(|s| [tape.id(&s.h), tape.id(&s.c)]);
    let mut vars = tape.push(outputs, tape.records(), move |d, gradients| {
        let Some(saved) = saved else { return Ok(()) };
        let at = |i: usize| d.get(i).and_then(Option::as_ref);
        let d_y = at(2).map(|tensor| Columns { tensor, first: 0 });
        let d_weight = Tensor::zeros([h, 4 * h], &device)?;
        let found = saved.backward(d_y, at(0), at(1), &d_weight)?;
        gradients.add(ids[0], found.gates.reshape([b, t, 4 * h])?)?;
        gradients.add(ids[1], d_weight)?;
        gradients.add(ids[2], found.norms.reshape([1, 6 * h])?)?;
        if let Some([h_id, c_id]) = states {
            gradients.add(h_id, found.h)?;
            gradients.add(c_id, found.c)?;
        }
        Ok(())
    });
    let y = if sequences { vars.pop().map(|y| y.with_steps_of(x)) } else { None };
    let (c, h) = (vars.remove(1), vars.remove(0));
    Ok((y, LstmState { h, c }))
}
