//! A recurrent layer that runs step by step, so that the states between its timesteps are values on the tape.

use super::functions::{concat, reshape};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::ops::frames::copy_columns::copy_columns;
use crate::{Result, Tensor};

/// A layer of this crate that has a state between timesteps.
pub trait Recurrent {
    /// For each layer of a stack, from the lowest, what computes one timestep.
    fn steps(&self) -> Result<Vec<Step>>;
}

/// Computes the state after a timestep of the frame `[B,1,I]` and the state before; `None`: zeros.
pub(super) type Step = Box<dyn Fn(&Tape, &Var, Option<&StepState>) -> Result<StepState>>;

/// The state after a timestep: h `[B,H]`, which is also the output, and, of an LSTM, c `[B,H]`.
pub struct StepState {
    pub(crate) h: Var,
    pub(crate) c: Option<Var>,
}

/// What a layer gave step by step.
pub(crate) struct Unrolled {
    /// As [`super::Layer::forward`] gives it.
    pub(crate) output: Var,
    /// For each layer of a stack, from the lowest, the state after each timestep.
    pub(crate) states: Vec<Vec<StepState>>,
}

/// Runs a layer over a batch `[B,T,I]` without lengths and mask, from a state of zeros; `sequences`: for the
/// outputs of all timesteps. No gradient flows to `x`.
pub(crate) fn unroll(
    layer: &dyn Recurrent,
    tape: &Tape,
    x: &Var,
    sequences: bool,
) -> Result<Unrolled> {
    let check = Check::new("Sequential::gradient_flow", "a batch of sequences");
    let [rows, timesteps, size] = check.dims("x", x.tensor(), "[B,T,I]")?;
    let mut values = frames(x.tensor(), [rows, timesteps, size])?;
    let mut states = Vec::new();
    for (number, step) in layer.steps()?.into_iter().enumerate() {
        if number > 0 {
            values = values.iter().map(|h| frame(tape, h)).collect::<Result<_>>()?;
        }
        let mut own: Vec<StepState> = Vec::with_capacity(timesteps);
        for value in &mut values {
            let state = step(tape, value, own.last())?;
            *value = state.h.clone();
            own.push(state);
        }
        states.push(own);
    }
    let output = match values.last() {
        Some(last) if !sequences => last.clone(),
        _ => {
            // Rows of [B,T H] are those of [B,T,H].
            let all = concat(tape, &values)?;
            let size = all.tensor().len() / (rows * timesteps);
            reshape(tape, &all, &[rows, timesteps, size])?
        }
    };
    Ok(Unrolled { output, states })
}

/// The frames `[B,1,I]` of a batch, as constants.
fn frames(x: &Tensor, [rows, timesteps, size]: [usize; 3]) -> Result<Vec<Var>> {
    let flat = x.reshape([rows, timesteps * size])?;
    let frame = |t: usize| {
        let frame = Tensor::empty([rows, size], &x.device())?;
        copy_columns((&flat, t * size), (&frame, 0), size)?;
        Ok(frame.reshape([rows, 1, size])?.into())
    };
    (0..timesteps).map(frame).collect()
}

/// A state `[B,H]` as the frame `[B,1,H]` of the layer above.
fn frame(tape: &Tape, h: &Var) -> Result<Var> {
    let &[rows, size] = h.shape() else { return Ok(h.clone()) };
    reshape(tape, h, &[rows, 1, size])
}
