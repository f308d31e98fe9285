//! A layer whose weights are of 8 bits: for inference alone.

use super::direction::{Outputs, sizes};
use super::{DirectionParams, Lstm, LstmState};
use crate::autograd::{ParamId, Tape, Var};
use crate::nn::Params;
use crate::ops::lstm::Columns;
use crate::ops::lstm::cell::Cell;
use crate::ops::quantized::{call::Forward, layer::forward};
use crate::{Error, Result, Tensor};

impl Lstm {
    /// The weights that may be of 8 bits: those of a plain cell without normalisation and projection.
    pub(super) fn quantizable_weights(&self) -> Vec<ParamId> {
        // In inference nothing is dropped.
        let cell = Cell { recurrent_dropout: 0.0, ..self.cell };
        let plain = !cell.is_variant() && !self.layer_norm && self.projection.is_none();
        let directions = self.built.iter().filter(|_| plain).flat_map(|built| &built.directions);
        directions.flat_map(|ids| [ids.weight_ih, ids.weight_hh]).collect()
    }

    /// Whether the weights are of 8 bits.
    pub(super) fn is_quantized(&self, params: &Params) -> bool {
        let first = self.built.as_ref().and_then(|built| built.directions.first());
        first.is_some_and(|ids| params.quantized(ids.weight_hh).is_some())
    }

    /// Runs one layer of the stack with weights of 8 bits: its outputs, of all directions together or of each, and
    /// last states.
    pub(super) fn quantized_layer(
        &self,
        tape: &Tape,
        x: &Var,
        directions: &[DirectionParams],
        state: Option<&[LstmState]>,
        wanted: Outputs,
    ) -> Result<(Vec<Var>, Vec<LstmState>)> {
        let (h, device) = (self.hidden_size, x.tensor().device());
        let width = h * directions.len();
        let y = match wanted {
            Outputs::None => None,
            Outputs::Packed => Some(Tensor::empty([x.shape()[0], width], &device)?),
            Outputs::Padded => {
                let [batch, timesteps] = match x.packed_dims() {
                    Some(dims) => dims,
                    None => sizes(x.tensor()).map(|[batch, timesteps, _]| [batch, timesteps])?,
                };
                let y = Tensor::empty([batch, timesteps, width], &device)?;
                if x.lengths().is_some() {
                    y.fill(0.0)?;
                }
                Some(y)
            }
        };
        let weight = |id: ParamId| {
            tape.quantized(id)?.ok_or(Error::Unsupported {
                what: "a weight of 8 bits",
                with: "one of 32 bits in the same Lstm",
                help: "quantise the model as a whole: Sequential::quantize",
            })
        };
        let calls =
            self.each(directions, state).enumerate().map(|(number, (ids, reverse, state))| {
                Ok(Forward {
                    x: x.tensor(),
                    lengths: x.lengths(),
                    hidden_size: h,
                    weight_ih: weight(ids.weight_ih)?,
                    weight_hh: weight(ids.weight_hh)?,
                    bias: ids
                        .bias
                        .map(|id| Ok::<_, Error>(tape.parameter(id, &[h, 4])?.0))
                        .transpose()?,
                    reverse,
                    state: state.map(|state| [state.h.tensor(), state.c.tensor()]),
                    y: y.as_ref().map(|tensor| Columns { tensor, first: number * h }),
                })
            });
        let calls = calls.collect::<Result<Vec<_>>>()?;
        let ends = forward(&calls)?.into_iter();
        let ends: Vec<_> = ends.map(|[h, c]| LstmState::new(h.into(), c.into())).collect();
        let outputs = match y {
            Some(y) => vec![Var::from(y).with_steps_of(x)],
            None => ends.iter().map(|end| end.h.clone()).collect(),
        };
        Ok((outputs, ends))
    }
}
