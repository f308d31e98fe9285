//! A direction's weights as the op takes them, and the input that a projection's first state needs.

use super::direction::{Direction, Operand};
use super::{DirectionParams, Lstm, norm};
use crate::autograd::{ParamId, Tape, Var};
use crate::check::Check;
use crate::device::lock;
use crate::nn::Precision;
use crate::nn::functions::{at_first_step, concat, dropout, matmul, packed, parameter, reshape};
use crate::ops::lstm::CellConfig;
use crate::ops::lstm::cell::Noise;
use crate::{DType, Error, Result, Tensor};

/// The weights of a direction with a projection, for inference: computed once for each change of the
/// parameters, since a stepper needs them at each frame.
#[derive(Debug, Clone)]
pub(super) struct Computed {
    of: (ParamId, bool),
    /// The parameters' generation, version and precision.
    at: (u64, u64, Precision),
    /// `weight_ih`, if a first state comes as input, and `weight_hh`, in the form that the op takes.
    weights: (Option<Tensor>, Tensor),
    weight_hr: Option<Var>,
}

impl Lstm {
    /// The parameters of a direction of a layer with layer normalisation.
    pub(super) fn normalised(
        &self,
        tape: &Tape,
        ids: &DirectionParams,
        reverse: bool,
    ) -> Result<norm::Direction> {
        let h = self.hidden_size;
        let Some(norms) = ids.norms else {
            return Err(Error::NotBuilt { what: "this Lstm", call: "layer_norm, then build" });
        };
        let weight = parameter(tape, tape.parameter(ids.weight_hh, &[h, 4 * h])?);
        Ok(norm::Direction {
            input_size: ids.input_size,
            hidden_size: h,
            weight_ih: ids.weight_ih,
            weight_hh: dropout(tape, &weight, self.weight_drop, false)?,
            bias: ids.bias,
            norms,
            reverse,
        })
    }

    /// The input with the projected h of the first state as additional features of each row's first step.
    pub(super) fn with_state(&self, tape: &Tape, x: &Var, h: &Var, reverse: bool) -> Result<Var> {
        let check = Check::new("lstm", "one state for each row of the batch");
        let [batch, timesteps] = match x.packed_dims() {
            Some(dims) => dims,
            None => check.dims("x", x.tensor(), "[B,T,I]").map(|[b, t, _]| [b, t])?,
        };
        check.dtype("h_0", h.tensor(), DType::F32)?;
        let dims = [batch, timesteps, self.direction_size()];
        check.shape("h_0", h.tensor(), "[B,P]", &[batch, dims[2]])?;
        check.device(x.tensor(), &[("h_0", h.tensor())])?;
        let mut first = at_first_step(tape, h, x, dims, reverse)?;
        if x.packed_dims().is_some() {
            first = packed(tape, &first.with_steps_of(x))?;
        }
        concat(tape, &[x.clone(), first])
    }

    /// The weights of a direction, and the weight of its projection `[H,P]`. With `initial` the first state's
    /// h comes as input: see [`Lstm::with_state`].
    pub(super) fn direction(
        &self,
        tape: &Tape,
        ids: &DirectionParams,
        reverse: bool,
        initial: bool,
    ) -> Result<(Direction, Option<Var>)> {
        let (params, h) = (tape.params(), self.hidden_size);
        let size = self.direction_size();
        let mut weight_hr = None;
        let mut with_state = None;
        let of = (ids.weight_hh, initial);
        let at = (params.generation(), params.version(), params.precision());
        let reused = ids.weight_hr.is_some() && !tape.records();
        let found = match reused {
            true => {
                let computed = lock(&self.computed);
                computed.iter().find(|c| c.of == of && c.at == at).cloned()
            }
            false => None,
        };
        let (weight_hh, weight_hh_shape) = if let Some(found) = &found {
            weight_hr = found.weight_hr.clone();
            (Operand::constant(found.weights.1.clone()), vec![h, 4 * h])
        } else if (self.weight_drop == 0.0 || !tape.trains()) && ids.weight_hr.is_none() {
            let shape = [h, h, 4];
            (Operand::parameter(tape.weight(ids.weight_hh, &shape)?), shape.to_vec())
        } else {
            let weight_hh = tape.parameter(ids.weight_hh, &[size, 4 * h])?;
            let mut weight = dropout(tape, &parameter(tape, weight_hh), self.weight_drop, false)?;
            if initial {
                // Joined as single rows: `weight_hh` below `weight_ih`.
                let flat = |var: &Var, len: usize| reshape(tape, var, &[1, len]);
                let own = parameter(tape, tape.parameter(ids.weight_ih, &[ids.input_size, 4 * h])?);
                let rows = [flat(&own, ids.input_size * 4 * h)?, flat(&weight, size * 4 * h)?];
                with_state = Some(concat(tape, &rows)?);
            }
            if let Some(id) = ids.weight_hr {
                let projection = parameter(tape, tape.parameter(id, &[h, size])?);
                weight = matmul(tape, &projection, &weight)?;
                weight_hr = Some(projection);
            }
            (Operand::weight(tape, &weight, &[h, h, 4])?, vec![h, 4 * h])
        };
        let optional = |id: Option<ParamId>| -> Result<Option<Operand>> {
            id.map(|id| Ok(Operand::parameter(tape.parameter(id, &[h, 4])?))).transpose()
        };
        let noisy = self.cell.recurrent_dropout > 0.0 || self.cell.zoneout != [0.0; 2];
        let mut noise = Noise { training: tape.trains(), ..Noise::default() };
        if noisy && noise.training {
            noise.key = params.next_key();
        }
        let of_found = found.as_ref().and_then(|found| found.weights.0.clone());
        let (weight_ih, weight_ih_shape) = match (of_found, with_state) {
            (Some(weight), _) => {
                let shape = weight.shape().to_vec();
                (Operand::constant(weight), shape)
            }
            (None, Some(all)) => {
                let shape = [ids.input_size + size, h, 4];
                (Operand::weight(tape, &all, &shape)?, all.shape().to_vec())
            }
            (None, None) => {
                let shape = [ids.input_size, h, 4];
                (Operand::parameter(tape.weight(ids.weight_ih, &shape)?), shape.to_vec())
            }
        };
        if reused && found.is_none() {
            let with_state = initial.then(|| weight_ih.tensor().clone());
            let weights = (with_state, weight_hh.tensor().clone());
            let new = Computed { of, at, weights, weight_hr: weight_hr.clone() };
            let mut computed = lock(&self.computed);
            computed.retain(|c| c.of != of);
            computed.push(new);
        }
        let direction = Direction {
            weight_ih,
            weight_ih_shape,
            weight_hh,
            weight_hh_shape,
            bias: optional(ids.bias)?,
            peepholes: optional(ids.peepholes)?,
            config: self.config(reverse, noise),
        };
        Ok((direction, weight_hr))
    }

    pub(super) fn config(&self, reverse: bool, noise: Noise) -> CellConfig {
        CellConfig {
            cell: self.cell,
            reverse,
            strategy: self.strategy,
            recompute: self.recompute,
            noise,
        }
    }
}
