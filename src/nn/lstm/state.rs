//! The state of an LSTM layer, and what it gives.

use crate::autograd::Var;
use crate::ops::frames::apply_mask::apply_mask;
use crate::{Mask, Result, Tensor};

/// The state of a direction of a layer between timesteps. Handed to a layer on a later tape it is
/// a constant: gradients end there, as in truncated back-propagation through time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LstmState {
    /// The output of the timestep before, `[B,H]`; `[B,P]` with a projection.
    pub h: Var,
    /// The cell state, `[B,H]`.
    pub c: Var,
}

impl LstmState {
    /// An initial state: `h` `[B,H]` (`[B,P]` with a projection) and `c` `[B,H]`.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, Tensor, Var, nn::{Lstm, LstmState, Params}};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let lstm = Lstm::new(4).build(&params, 3)?;
    /// let zeros = |shape: &[usize]| Ok(Var::from(Tensor::zeros(shape, &device)?));
    /// let state = LstmState::new(zeros(&[2, 4])?, zeros(&[2, 4])?);
    /// let out = lstm.run(&Tape::inference(&params), &zeros(&[2, 5, 3])?, Some(&[state]))?;
    /// assert_eq!(out.output.shape(), [2, 4]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn new(h: Var, c: Var) -> Self {
        Self { h, c }
    }
}

/// The output of an LSTM layer, and its last states.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LstmOutput {
    /// The output: `[B,T,D H]` with [`super::Lstm::return_sequences`], else `[B,D H]`; D is 2 if the layer
    /// is bidirectional and concatenates, else 1. With a projection P stands for H, and a time-major
    /// layer gives `[T,B,D H]`.
    pub output: Var,
    /// The states after each row's last timestep, in PyTorch's order: the directions of the first
    /// layer, of the second …
    pub state: Vec<LstmState>,
}

/// A state `[B,H]` with zeros in the rows that a mask `[B,1]` leaves out.
pub(super) fn keep_rows(state: &Var, mask: &Mask) -> Result<Tensor> {
    let &[rows, size] = state.shape() else { return Ok(state.tensor().clone()) };
    apply_mask(&state.tensor().reshape([rows, 1, size])?, mask)?.reshape([rows, size])
}
