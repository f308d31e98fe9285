//! The state of an LSTM layer, and what it gives.

use crate::autograd::Var;
use crate::nn::LayerState;
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

/// The output of an LSTM layer, and its last states. [`super::Lstm::inspect`] gives the cell states and gates of
/// every timestep.
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

/// The parts of a layer's state, each `[rows,size]`.
pub(super) fn parts(state: &LayerState) -> impl Iterator<Item = &Var> {
    state.0.iter().flatten().flat_map(|state| [&state.h, &state.c])
}

/// The features of a value.
pub(super) fn width(value: &Var) -> usize {
    value.shape().last().copied().unwrap_or(0)
}

/// A state of what `f` makes of each part.
pub(super) fn of_each(
    state: &LayerState,
    mut f: impl FnMut(&Var) -> Result<Tensor>,
) -> Result<LayerState> {
    let Some(states) = &state.0 else { return Ok(LayerState(None)) };
    let all = states.iter().map(|s| Ok(LstmState::new(f(&s.h)?.into(), f(&s.c)?.into())));
    Ok(LayerState(Some(all.collect::<Result<_>>()?)))
}

/// Some rows of a part on the CPU.
pub(super) fn gather(all: &Tensor, rows: &[usize]) -> Result<Tensor> {
    let size = all.shape().last().copied().unwrap_or(0);
    let some = Tensor::empty([rows.len(), size], &all.device())?;
    let all = all.cpu();
    some.cpu_mut(|some| {
        for (to, row) in some.chunks_exact_mut(size.max(1)).zip(rows) {
            to.copy_from_slice(&all[row * size..][..size]);
        }
    });
    Ok(some)
}

/// The opposite: puts some rows of a state on the CPU in their places.
pub(super) fn put(all: &LayerState, some: &LayerState, rows: &[usize]) {
    for (all, some) in parts(all).zip(parts(some)) {
        let (size, some) = (width(all), some.tensor().cpu());
        all.tensor().cpu_mut(|all| {
            for (from, row) in some.chunks_exact(size.max(1)).zip(rows) {
                all[row * size..][..size].copy_from_slice(from);
            }
        });
    }
}
