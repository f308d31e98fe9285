//! What a mask makes of a recurrent layer: the steps that count go through it packed, as those of rows of
//! different lengths do, and its outputs then go to all steps.

use super::direction::sizes;
use super::{Directions, LstmState};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::lengths::{Repeats, both};
use crate::nn::functions::map;
use crate::ops::frames::gather::{gather, sum_runs};
use crate::{DType, Result, Tensor};

/// The steps of `x` `[B,T,I]` that its mask counts, packed: `[frames,I]`, with the lengths of the rows, of
/// which some may be 0. Without a mask `x` itself.
pub(in crate::nn) fn pack(tape: &Tape, x: &Var, input_size: usize) -> Result<Var> {
    if x.mask().is_some() && x.lengths().is_some() {
        return Err(both());
    }
    // What counts nothing reaches no op that would look at it.
    if x.mask().is_some() || (is_idle(x) && x.packed_dims().is_none()) {
        let [batch, timesteps, _] = sizes(x.tensor())?;
        let check = Check::new("lstm", "the layer was built for that input_size");
        check.shape("x", x.tensor(), "[B,T,I]", &[batch, timesteps, input_size])?;
        x.counted("lstm", batch, timesteps)?;
    }
    let Some(mask) = x.mask() else { return Ok(x.clone()) };
    let packing = mask.packing()?;
    let y = gather(x.tensor(), None, &packing.order)?;
    let (places, shape) = (packing.places.clone(), x.shape().to_vec());
    let y = map(tape, x, y, move |d_y| gather(d_y, None, &places)?.reshape(shape));
    Ok(y.with_lengths(Some(packing.lengths.clone())))
}

/// The output of a step that a mask leaves out.
pub(in crate::nn) enum LeftOut {
    /// As in Keras' `Bidirectional`, whose directions would repeat different steps.
    Zero,
    /// The output before it, in the order in which the layer runs. Before the first there is none: it is 0, as in
    /// Keras, whatever the state in which the layer begins.
    Repeats { reverse: bool },
}

impl LeftOut {
    pub(in crate::nn) fn of(directions: Directions, zero: bool) -> Self {
        match directions {
            Directions::Both(_) => Self::Zero,
            _ if zero => Self::Zero,
            directions => Self::Repeats { reverse: directions == Directions::Reverse },
        }
    }
}

/// Packed outputs `[frames,H]` at all steps `[B,T,H]` of `x`, which has the mask; without one `y` itself.
pub(in crate::nn) fn unpack(tape: &Tape, y: Var, x: &Var, left_out: LeftOut) -> Result<Var> {
    let Some(mask) = x.mask() else { return Ok(y) };
    let shape = [&x.shape()[..2], &y.shape()[1..]].concat();
    let all = match left_out {
        LeftOut::Repeats { reverse } => {
            repeat(tape, &y, None, mask.repeats(reverse)?.clone(), shape)?
        }
        LeftOut::Zero => {
            let packing = mask.packing()?;
            let all = gather(y.tensor(), None, &packing.places)?.reshape(shape)?;
            let order = packing.order.clone();
            map(tape, &y, all, move |d_y| gather(d_y, None, &order))
        }
    };
    Ok(all.with_mask(Some(mask.clone())))
}

/// The last h of each row, or that of the state before if the row has no step: for a layer whose states do not
/// go in as such.
pub(super) fn keep_empty(tape: &Tape, h: &Var, before: &Var, x: &Var) -> Result<Var> {
    match x.lengths().filter(|lengths| lengths.has_empty()) {
        Some(lengths) => {
            repeat(tape, h, Some(before), Repeats::of_rows(lengths)?, h.shape().to_vec())
        }
        None => Ok(h.clone()),
    }
}

/// The frames of `x`, and then those of `first`, as often as each is repeated.
fn repeat(
    tape: &Tape,
    x: &Var,
    first: Option<&Var>,
    repeats: Repeats,
    shape: Vec<usize>,
) -> Result<Var> {
    let ids = [tape.id(x), first.and_then(|first| tape.id(first))];
    let y = gather(x.tensor(), first.map(Var::tensor), &repeats.from)?.reshape(shape)?;
    let (frames, sources) = (x.shape()[0], repeats.runs.shape()[0]);
    Ok(tape.push_one(y, ids.iter().any(Option::is_some), move |d_y, gradients| {
        for (id, some) in ids.into_iter().zip([0..frames, frames..sources]) {
            if id.is_some() {
                gradients.add(id, sum_runs(d_y, &repeats.runs, some)?)?;
            }
        }
        Ok(())
    }))
}

/// Whether no step of a value counts, by its lengths.
pub(in crate::nn) fn is_idle(x: &Var) -> bool {
    x.lengths().is_some_and(|lengths| lengths.longest() == 0 && lengths.has_empty())
}

/// What a layer gives where no step counts: outputs of 0, or none if `x` is packed; and the states with which
/// it begins, of h and c of these sizes.
pub(in crate::nn) fn idle<'a>(
    tape: &Tape,
    x: &Var,
    states: impl Iterator<Item = Option<&'a LstmState>>,
    sizes: [usize; 2],
    width: usize,
) -> Result<(Var, Vec<LstmState>)> {
    let check = Check::new("lstm", "one state for each row of the batch");
    let device = x.tensor().device();
    let rows = x.lengths().map_or(0, |lengths| lengths.values().len());
    let mut shape = x.shape().to_vec();
    shape.pop();
    shape.push(width);
    let (x_id, x_shape) = (tape.id(x), x.shape().to_vec());
    let (mut ids, mut values) = (Vec::new(), Vec::new());
    for state in states {
        let parts = state.map(|state| [&state.h, &state.c]);
        for (part, (arg, size)) in ["h_0", "c_0"].into_iter().zip(sizes).enumerate() {
            let Some(var) = parts.map(|parts| parts[part]) else {
                ids.push(None);
                values.push(Tensor::zeros([rows, size], &device)?);
                continue;
            };
            check.dtype(arg, var.tensor(), DType::F32)?;
            check.shape(arg, var.tensor(), "[B,H]", &[rows, size])?;
            check.device(x.tensor(), &[(arg, var.tensor())])?;
            ids.push(tape.id(var));
            values.push(var.tensor().clone());
        }
    }
    values.push(Tensor::zeros(shape, &device)?);
    let mut vars = tape.push(values, tape.records(), move |d, gradients| {
        for (id, d) in ids.into_iter().zip(d) {
            if let Some(d) = d {
                gradients.add(id, d.clone())?;
            }
        }
        gradients.add(x_id, Tensor::zeros(x_shape, &device)?)
    });
    let y = vars.pop().unwrap_or_else(|| x.clone());
    let state = |pair: &[Var]| LstmState::new(pair[0].clone(), pair[1].clone());
    Ok((y.with_steps_of(x), vars.chunks_exact(2).map(state).collect()))
}
