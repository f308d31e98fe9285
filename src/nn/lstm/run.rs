//! A pass of a layer, or of a stack of layers, over a batch.

use super::direction::{Outputs, run_directions, run_wavefront};
use super::masked::{self, LeftOut};
use super::{DirectionParams, Directions, Lstm, LstmOutput, LstmState, norm};
use crate::autograd::{Tape, Var};
use crate::device::lock;
use crate::nn::functions::{dropout, matmul, packed, swap_axes, unpacked, without_padding};
use crate::nn::regularizer::penalize_activity;
use crate::nn::{Precision, other_rows};
use crate::ops::lstm::cut_stack;
use crate::{Error, Result, Tensor};

impl Lstm {
    /// Runs the layer from a state of zeros or, if it is stateful, from the last state of the batch before.
    ///
    /// # Errors
    /// As [`Lstm::run`].
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Ok(self.run(tape, x, None)?.output)
    }

    /// Runs the layer from a state for each direction of each layer, and gives the last states too.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::Shape`], [`Error::Empty`] if `x` is not `[B,T,I]` or a state
    /// not `[B,H]` (h of a projection: `[B,P]`); [`Error::State`] if there are more or fewer states
    /// than directions and layers, and if a stateful layer gets another number of rows than before;
    /// [`Error::Unsupported`] for both lengths and a mask; [`Error::Length`] for a row that is longer than T;
    /// [`Error::OtherDevice`]; [`Error::Strategy`] if a strategy was forced that cannot run here;
    /// [`Error::NotBuilt`].
    pub fn run(&self, tape: &Tape, x: &Var, state: Option<&[LstmState]>) -> Result<LstmOutput> {
        let Some(built) = &self.built else {
            return Err(Error::NotBuilt { what: "this Lstm", call: "build" });
        };
        let mut remembered = None;
        if let (Some(memory), None) = (&self.memory, state) {
            remembered = lock(memory).clone();
        }
        let rows = match x.packed_dims() {
            Some([rows, _]) => Some(rows),
            None => x.shape().get(usize::from(self.time_major)).copied(),
        };
        if let Some(before) = remembered.iter().flatten().next().map(|s| s.h.shape()[0])
            && Some(before) != rows
        {
            return Err(other_rows("lstm", before, rows.unwrap_or_default()));
        }
        let state = state.or(remembered.as_deref());
        if let Some(state) = state.filter(|s| s.len() != built.directions.len()) {
            return Err(Error::State {
                op: "lstm",
                what: "states",
                expected: built.directions.len(),
                found: state.len(),
                help: "one for each direction of each layer",
            });
        }
        let swapped = self.time_major.then(|| swap_axes(tape, x)).transpose()?;
        let all = dropout(tape, swapped.as_ref().unwrap_or(x), self.input_dropout, true)?;
        let input_size = built.directions.first().map_or(0, |ids| ids.input_size);
        let input = masked::pack(tape, &all, input_size)?;
        let (mut output, states) = match masked::is_idle(&input) {
            true => self.idle(tape, &input, &built.directions, state)?,
            false => self.stack(tape, input, &built.directions, state, all.mask().is_some())?,
        };
        if self.sequences {
            let left_out = LeftOut::of(self.directions, self.zero_output_for_mask);
            output = masked::unpack(tape, output, &all, left_out)?;
        }
        if let Some(memory) = &self.memory {
            let constant = |var: &Var| Var::constant(var.tensor().clone());
            let detached = states
                .iter()
                .map(|s: &LstmState| LstmState { h: constant(&s.h), c: constant(&s.c) });
            *lock(memory) = Some(detached.collect());
        }
        penalize_activity(tape, self.activity, &output)?;
        if self.time_major && self.sequences {
            // Lengths and mask take the first axis for the rows.
            output = swap_axes(tape, &output)?.with_lengths(None).with_mask(None);
        }
        Ok(LstmOutput { output, state: states })
    }

    /// Runs all layers: the last one's output, and the states of all. The outputs of all steps are packed if
    /// a mask made the input so.
    fn stack(
        &self,
        tape: &Tape,
        input: Var,
        directions: &[DirectionParams],
        state: Option<&[LstmState]>,
        by_mask: bool,
    ) -> Result<(Var, Vec<LstmState>)> {
        if let Some(found) = self.wavefront(tape, &input, directions, state)? {
            return Ok(found);
        }
        let count = self.directions.reversed().len();
        let (mut output, mut states) = (input, Vec::with_capacity(directions.len()));
        for (number, directions) in directions.chunks(count).enumerate() {
            if number > 0 {
                output = dropout(tape, &output, self.dropout, false)?;
            }
            let state = state.map(|s| &s[number * count..][..count]);
            let wanted = match self.sequences || number + 1 < self.num_layers {
                false => Outputs::None,
                true if by_mask => Outputs::Packed,
                true => Outputs::Padded,
            };
            let (outputs, ends) = self.layer(tape, &output, directions, state, wanted)?;
            output = outputs;
            states.extend(ends);
        }
        Ok((output, states))
    }

    /// What [`Self::stack`] gives of a batch without a step that counts: its states stay.
    fn idle(
        &self,
        tape: &Tape,
        input: &Var,
        directions: &[DirectionParams],
        state: Option<&[LstmState]>,
    ) -> Result<(Var, Vec<LstmState>)> {
        let states = (0..directions.len()).map(|number| state?.get(number));
        let sizes = [self.direction_size(), self.hidden_size];
        let (nothing, ends) = masked::idle(tape, input, states, sizes, self.width())?;
        let last = &ends[ends.len() - self.directions.reversed().len()..];
        let output = match self.sequences {
            true => nothing,
            false => {
                self.directions.join(tape, last.iter().map(|state| state.h.clone()).collect())?
            }
        };
        Ok((output, ends))
    }

    /// Runs all layers of the stack as a wavefront, where that is possible and faster than one by one.
    fn wavefront(
        &self,
        tape: &Tape,
        x: &Var,
        directions: &[DirectionParams],
        state: Option<&[LstmState]>,
    ) -> Result<Option<(Var, Vec<LstmState>)>> {
        let noisy = self.cell.recurrent_dropout > 0.0 || self.cell.zoneout != [0.0; 2];
        let between = tape.trains() && (self.dropout > 0.0 || noisy);
        let plain =
            self.directions == Directions::Forward && !self.layer_norm && self.projection.is_none();
        let all_steps = x.lengths().is_none();
        let plain = plain && !self.is_quantized(tape.params());
        if directions.len() == 1 || between || !plain || !all_steps || self.weight_drop > 0.0 {
            return Ok(None);
        }
        let half = tape.params().precision() == Precision::Mixed;
        let (modes, how) = ([half, tape.records()], (self.strategy, self.cell));
        let cut = cut_stack(x.tensor(), directions.len(), self.hidden_size, modes, how);
        let Some(cut) = cut else { return Ok(None) };
        let layers = directions.iter().map(|ids| Ok(self.direction(tape, ids, false, false)?.0));
        let how = (cut, self.sequences);
        run_wavefront(tape, x, self.hidden_size, layers.collect::<Result<_>>()?, state, how)
    }

    /// Runs one layer of the stack: its outputs and last states.
    fn layer(
        &self,
        tape: &Tape,
        x: &Var,
        directions: &[DirectionParams],
        state: Option<&[LstmState]>,
        wanted: Outputs,
    ) -> Result<(Var, Vec<LstmState>)> {
        let run = match (self.layer_norm, self.projection) {
            (false, None) if self.is_quantized(tape.params()) => Self::quantized_layer,
            (true, _) => Self::normalised_layer,
            (false, None) => Self::plain_layer,
            (false, Some(_)) => Self::projected_layer,
        };
        let (outputs, states) = run(self, tape, x, directions, state, wanted)?;
        Ok((self.directions.join(tape, outputs)?, states))
    }

    /// The directions of a layer, whether each is in reverse, and its first state.
    pub(super) fn each<'a>(
        &self,
        directions: &'a [DirectionParams],
        state: Option<&'a [LstmState]>,
    ) -> impl Iterator<Item = (&'a DirectionParams, bool, Option<&'a LstmState>)> {
        let lanes = directions.iter().zip(self.directions.reversed()).enumerate();
        lanes.map(move |(number, (ids, &reverse))| {
            (ids, reverse, state.and_then(|states| states.get(number)))
        })
    }

    /// Runs a layer of the plain kind: its outputs, of all directions together or of each, and last
    /// states.
    fn plain_layer(
        &self,
        tape: &Tape,
        x: &Var,
        directions: &[DirectionParams],
        state: Option<&[LstmState]>,
        wanted: Outputs,
    ) -> Result<(Vec<Var>, Vec<LstmState>)> {
        let directions: Result<_> = self
            .each(directions, state)
            .map(|(ids, reverse, _)| Ok(self.direction(tape, ids, reverse, false)?.0))
            .collect();
        let (y, ends) = run_directions(tape, x, self.hidden_size, directions?, state, wanted)?;
        let outputs = match y {
            Some(y) => vec![y],
            None => ends.iter().map(|s| s.h.clone()).collect(),
        };
        Ok((outputs, ends))
    }

    /// Runs a layer with layer normalisation: outputs and last state of each direction.
    fn normalised_layer(
        &self,
        tape: &Tape,
        x: &Var,
        directions: &[DirectionParams],
        state: Option<&[LstmState]>,
        wanted: Outputs,
    ) -> Result<(Vec<Var>, Vec<LstmState>)> {
        let (mut outputs, mut states) = (Vec::new(), Vec::new());
        let x = unpacked(tape, x)?;
        for (ids, reverse, state) in self.each(directions, state) {
            let direction = self.normalised(tape, ids, reverse)?;
            let sequences = wanted != Outputs::None;
            let (y, end) = norm::direction(tape, &x, direction, state, sequences)?;
            outputs.push(match y {
                Some(y) if wanted == Outputs::Packed => packed(tape, &y)?,
                Some(y) => y,
                None => end.h.clone(),
            });
            states.push(end);
        }
        Ok((outputs, states))
    }

    /// Runs a layer with a projection: outputs and last state of each direction.
    fn projected_layer(
        &self,
        tape: &Tape,
        x: &Var,
        directions: &[DirectionParams],
        state: Option<&[LstmState]>,
        wanted: Outputs,
    ) -> Result<(Vec<Var>, Vec<LstmState>)> {
        let (mut outputs, mut states) = (Vec::new(), Vec::<LstmState>::new());
        for (ids, reverse, state) in self.each(directions, state) {
            let (direction, weight_hr) = self.direction(tape, ids, reverse, state.is_some())?;
            let project = |value: &Var| match &weight_hr {
                Some(weight) => matmul(tape, value, weight),
                None => Ok(value.clone()),
            };
            let mut input = x.clone();
            let mut first = None;
            if let Some(state) = state {
                input = self.with_state(tape, x, &state.h, reverse)?;
                let h = Tensor::zeros(state.c.shape(), &x.tensor().device())?;
                first = Some([LstmState { h: h.into(), c: state.c.clone() }]);
            }
            let first = first.as_ref().map(|f| &f[..]);
            let (y, ends) =
                run_directions(tape, &input, self.hidden_size, vec![direction], first, wanted)?;
            for end in ends {
                let mut h = project(&end.h)?;
                if let Some(state) = state {
                    h = masked::keep_empty(tape, &h, &state.h, x)?;
                }
                states.push(LstmState { h, c: end.c });
            }
            match y {
                // Padding stays zero, even if the weight holds NaN.
                Some(y) => outputs.push(without_padding(tape, "lstm", &project(&y)?)?),
                None => outputs.extend(states.last().map(|s| s.h.clone())),
            }
        }
        Ok((outputs, states))
    }
}
