//! The LSTM layer.

pub(in crate::nn) mod direction;
mod norm;
mod options;
mod stepper;

use super::functions::{
    at_first_step, concat, dropout, matmul, merge, parameter, reshape, swap_axes, without_padding,
    zero_padding,
};
use super::regularizer::{Constraints, penalize_activity};
use super::{
    Layer, LayerState, Own, Params, Precision, Regularizer, check_size, check_weights, init,
    is_built, other_rows,
};
use crate::autograd::{ALIGN, Layout, ParamId};
use crate::autograd::{Tape, Var};
use crate::check::{Check, check_share};
use crate::ops::add;
use crate::ops::halves;
use crate::ops::lstm::cell::{Cell, Noise};
use crate::ops::lstm::{CellConfig, cut_stack};
use crate::ops::mask_steps::mask_steps;
use crate::{DType, Error, Mask, Result, Strategy, Tensor};
use direction::{Direction, Operand, run_directions, run_wavefront};
use std::sync::{Arc, Mutex, PoisonError};
pub use stepper::{LstmStepper, StreamId};

/// What a bidirectional layer makes of the outputs of its two directions: Keras' `merge_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Merge {
    /// Side by side, the forward direction first: `[..,2H]`, as PyTorch and ONNX do.
    #[default]
    Concat,
    /// Their sum: `[..,H]`.
    Sum,
    /// Their mean: `[..,H]`.
    Mean,
    /// Their product: `[..,H]`.
    Product,
}

impl Merge {
    fn kind(self) -> Option<halves::Kind> {
        match self {
            Self::Concat => None,
            Self::Sum => Some(halves::Kind::Sum),
            Self::Mean => Some(halves::Kind::Mean),
            Self::Product => Some(halves::Kind::Product),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directions {
    Forward,
    Reverse,
    Both(Merge),
}

impl Directions {
    /// Whether each direction goes in reverse.
    fn reversed(self) -> &'static [bool] {
        match self {
            Self::Forward => &[false],
            Self::Reverse => &[true],
            Self::Both(_) => &[false, true],
        }
    }
}

/// A layer of long short-term memory over a sequence: `[B,T,I]` to `[B,H]`, the output after
/// each row's last timestep, or, with [`Lstm::return_sequences`], `[B,T,H]`.
///
/// At each timestep, with the gates i, f, g, o from `a = W x + R h + b`:
/// `c' = sigmoid(f) c + sigmoid(i) tanh(g)`, `h' = sigmoid(o) tanh(c')`
/// (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000). The methods change that, as
/// ONNX, Keras, PyTorch and cuDNN let one change it.
///
/// Rows of different lengths go in one batch: see [`Var::with_lengths`]. Past a row's end its
/// state stays and its output is 0, as in PyTorch's packed sequences; the reverse direction
/// starts at each row's own end. Steps that [`Var::with_mask`] leaves out keep the state, and
/// the output repeats; of a bidirectional layer it is 0; both as in Keras.
///
/// # Memory
/// A training step with Adam holds so many floats of 4 bytes at its peak, as [`crate::Device::memory`]
/// counts them, within 15 %; F = B T frames, L layers of H units, I input features, P = 4H (I + H + 1)
/// parameters of a layer, H standing for I in the layers above the first:
///
/// | floats | of what |
/// |---|---|
/// | 4 ΣP | parameters, their gradients, Adam's two moments |
/// | 6 F H L | saved for the backward pass: the gates, h and c before each step |
/// | F (I + H L) | the input, and each layer's output: the next one's input, or the result |
/// | F (H + max(H, I)) | gradients of the last output, and of one layer's input; of all layers' where few rows of a stack leave a GPU idle, whose layers then go at the same time |
/// | 6 B H L | states and their gradients |
/// | 4 H² on a GPU | workspace: `weight_hh` transposed |
/// | up to 1 Mi on a hardware GPU | workspace: sums of slices of a long product |
/// | 4 F H where [`Strategy::Persistent`] runs | workspace: the gates' gradients, apart from the gates |
/// | 2 ΣP + max P on the CPU | workspace: weights in the order in which products read them, for each pass; a layer's gradient |
///
/// Gates, saved states and parameters count H up to a multiple of the SIMD lanes on the CPU, of at
/// most 16. Each direction of a bidirectional layer counts as a layer. With [`Lstm::recompute`] the
/// saved values of all layers but one are 2 F H; mixed precision halves the gates, and adds 16-bit
/// copies of the parameters.
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, Var, nn::{Lstm, Merge, Params}};
/// let device = Device::auto()?;
/// let params = Params::new(&device);
/// let lstm = Lstm::new(8)
///     .num_layers(2)
///     .bidirectional(Merge::Concat)
///     .dropout(0.2)
///     .return_sequences()
///     .build(&params, 3)?;
/// let x = Var::from(Tensor::zeros([2, 5, 3], &device)?);
/// let y = lstm.forward(&Tape::inference(&params), &x)?;
/// assert_eq!(y.shape(), [2, 5, 16]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Lstm {
    hidden_size: usize,
    num_layers: usize,
    directions: Directions,
    sequences: bool,
    bias: bool,
    forget_bias: f32,
    projection: Option<usize>,
    layer_norm: bool,
    cell: Cell,
    dropout: f32,
    input_dropout: f32,
    weight_drop: f32,
    strategy: Strategy,
    time_major: bool,
    recompute: bool,
    kernel: Constraints,
    recurrent: Constraints,
    bias_constraints: Constraints,
    activity: Regularizer,
    /// What a stateful layer remembers.
    memory: Option<Arc<Mutex<Option<Vec<LstmState>>>>>,
    built: Option<Built>,
    computed: Arc<Mutex<Vec<Computed>>>,
}

/// What a projection makes of a direction's weights for inference, which a stepper needs at each frame:
/// computed once for each change of the parameters.
#[derive(Debug, Clone)]
struct Computed {
    of: (ParamId, bool),
    /// The parameters' generation, version and precision.
    at: (u64, u64, Precision),
    /// `weight_ih`, where a first state comes as input, and `weight_hh`, as the op takes them.
    weights: (Option<Tensor>, Tensor),
    weight_hr: Option<Var>,
}

#[derive(Debug, Clone)]
struct Built {
    /// In PyTorch's order: the directions of the first layer, of the second …
    directions: Vec<DirectionParams>,
    count: usize,
}

/// The parameters of a direction of a layer.
#[derive(Debug, Clone, Copy)]
struct DirectionParams {
    input_size: usize,
    weight_ih: ParamId,
    weight_hh: ParamId,
    bias: Option<ParamId>,
    peepholes: Option<ParamId>,
    weight_hr: Option<ParamId>,
    norms: Option<norm::Norms>,
}

/// The state of a direction of a layer between timesteps. Handed to a layer on a later tape it is
/// a constant: gradients end there, as in truncated back-propagation through time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LstmState {
    /// The output of the timestep before: `[B,H]`, with a projection `[B,P]`.
    pub h: Var,
    /// The cell: `[B,H]`.
    pub c: Var,
}

impl LstmState {
    /// A state to begin with: `h` `[B,H]`, with a projection `[B,P]`, and `c` `[B,H]`.
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

/// What an LSTM layer gives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LstmOutput {
    /// `[B,T,D H]` with [`Lstm::return_sequences`], else `[B,D H]`; D is 2 if the layer is
    /// bidirectional and concatenates, else 1. With a projection P stands for H, and a time-major
    /// layer gives `[T,B,D H]`.
    pub output: Var,
    /// The states after each row's last timestep, in PyTorch's order: the directions of the first
    /// layer, of the second …
    pub state: Vec<LstmState>,
}

impl Lstm {
    /// The layer with its parameters in `params`: `lstm.weight_ih_l0` `[4H,I]` (Glorot uniform),
    /// `lstm.weight_hh_l0` `[4H,H]` (orthogonal) and `lstm.bias_l0` `[4H]` (1 for the forget gate,
    /// else 0), as Keras initialises its `LSTM`; `lstm.weight_hr_l0` `[P,H]` (Glorot uniform) of a
    /// projection, `lstm.peephole_l0` `[3H]` (i, f, o: 0). The names of a reverse direction end
    /// with `_reverse`, and those of further layers count on: `_l1`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0 and other options that make no sense; [`Error::Unsupported`]
    /// for two that do not go together; [`Error::Features`] if the layer was built with these `params`
    /// for another `input_size`; [`Error::TooLarge`], [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// The features that each direction puts out.
    fn direction_size(&self) -> usize {
        self.projection.unwrap_or(self.hidden_size)
    }

    fn width(&self) -> usize {
        match self.directions {
            // Also of sizes that `check` refuses.
            Directions::Both(Merge::Concat) => self.direction_size().saturating_mul(2),
            _ => self.direction_size(),
        }
    }

    fn check(&self, input_size: usize) -> Result<()> {
        check_size("Lstm::hidden_size", self.hidden_size)?;
        check_size("Lstm::input_size", input_size)?;
        check_size("Lstm::num_layers", self.num_layers)?;
        self.cell.check()?;
        for (option, rate) in [
            ("Lstm::dropout", self.dropout),
            ("Lstm::input_dropout", self.input_dropout),
            ("Lstm::weight_drop", self.weight_drop),
        ] {
            check_share(option, rate)?;
        }
        let refuse = |option, found: String, expected: &str| {
            Err(Error::Option { option, found, expected: expected.into() })
        };
        self.kernel.check("Lstm::kernel_regularizer", "Lstm::kernel_max_norm")?;
        self.recurrent.check("Lstm::recurrent_regularizer", "Lstm::recurrent_max_norm")?;
        self.bias_constraints.regularizer.check("Lstm::bias_regularizer")?;
        self.activity.check("Lstm::activity_regularizer")?;
        if !self.forget_bias.is_finite() {
            return refuse("Lstm::forget_bias", self.forget_bias.to_string(), "a finite number");
        }
        if self.dropout > 0.0 && self.num_layers == 1 {
            let found = format!("{} with one layer", self.dropout);
            let expected = "0, or num_layers of at least 2: it acts between layers";
            return refuse("Lstm::dropout", found, expected);
        }
        if let Some(size) = self.projection
            && (size == 0 || size >= self.hidden_size)
        {
            let expected = format!("from 1 to below the hidden size of {}", self.hidden_size);
            return refuse("Lstm::projection", size.to_string(), &expected);
        }
        let unsupported = |what, with: Option<&'static str>, help| match with {
            Some(with) => Err(Error::Unsupported { what, with, help }),
            None => Ok(()),
        };
        if self.layer_norm {
            let help = "it takes the plain cell, Strategy::Auto and no projection; dropout, \
                        input_dropout and weight_drop go with it";
            unsupported("Lstm::layer_norm", self.beyond_layer_norm(), help)?;
        }
        if self.projection.is_some() {
            let help = "weight_drop goes with it";
            unsupported("Lstm::projection", self.noise_in_cell(), help)?;
        }
        let columns = 4 * self.hidden_size;
        check_weights(columns, input_size.max(self.hidden_size).max(self.width()))?;
        // Those of the layers above the first, in the parameters' one buffer.
        let rows = [self.width(), self.direction_size(), 1];
        let layer = rows.map(|rows| (columns * rows).next_multiple_of(ALIGN)).iter().sum();
        check_weights((self.num_layers - 1) * self.directions.reversed().len(), layer)
    }

    /// The method that asked for noise in the cell, if one did.
    fn noise_in_cell(&self) -> Option<&'static str> {
        let cell = &self.cell;
        let noise = [
            (cell.recurrent_dropout > 0.0, "Lstm::recurrent_dropout"),
            (cell.zoneout != [0.0; 2], "Lstm::zoneout"),
        ];
        noise.into_iter().find_map(|(on, method)| on.then_some(method))
    }

    /// The method that asked for what does not go with layer normalisation, if one did.
    fn beyond_layer_norm(&self) -> Option<&'static str> {
        let (cell, plain) = (&self.cell, Cell::default());
        let asked = [
            (cell.peepholes, "Lstm::peepholes"),
            (cell.coupling != plain.coupling, "Lstm::coupled"),
            (cell.recurrent != plain.recurrent, "Lstm::recurrent_activation"),
            (cell.input != plain.input, "Lstm::activation"),
            (cell.output != plain.output, "Lstm::output_activation"),
            (cell.clip.is_some(), "Lstm::clip"),
            (cell.cell_clip.is_some(), "Lstm::cell_clip"),
            (self.projection.is_some(), "Lstm::projection"),
            (self.strategy != Strategy::Auto, "Lstm::strategy"),
            (self.recompute, "Lstm::recompute"),
        ];
        let asked = asked.into_iter().find_map(|(on, method)| on.then_some(method));
        asked.or_else(|| self.noise_in_cell())
    }

    /// Runs the layer from a state of zeros or, if it is stateful, from where the last batch
    /// ended.
    ///
    /// # Errors
    /// As [`Lstm::run`].
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Ok(self.run(tape, x, None)?.output)
    }

    /// Runs the layer from a state for each direction of each layer, and gives the last ones too.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::Shape`], [`Error::Empty`] if `x` is not `[B,T,I]` or a state
    /// not `[B,H]` (h of a projection: `[B,P]`); [`Error::State`] if there are more or fewer states
    /// than directions and layers, and if a stateful layer gets another number of rows than before;
    /// [`Error::Unsupported`] for both lengths and a mask, and for a mask with `layer_norm` or with
    /// the state of a projection; [`Error::Length`] for a row that is longer than T; [`Error::OtherDevice`];
    /// [`Error::Strategy`] if a strategy was forced that cannot run here; [`Error::NotBuilt`].
    pub fn run(&self, tape: &Tape, x: &Var, state: Option<&[LstmState]>) -> Result<LstmOutput> {
        let Some(built) = &self.built else {
            return Err(Error::NotBuilt { what: "this Lstm", call: "build" });
        };
        let mut remembered = None;
        if let (Some(memory), None) = (&self.memory, state) {
            remembered = memory.lock().unwrap_or_else(PoisonError::into_inner).clone();
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
        let count = self.directions.reversed().len();
        let swapped = self.time_major.then(|| swap_axes(tape, x)).transpose()?;
        let mut output = dropout(tape, swapped.as_ref().unwrap_or(x), self.input_dropout, true)?;
        let mut states = Vec::with_capacity(built.directions.len());
        let wavefront = self.wavefront(tape, &output, &built.directions, state)?;
        let alone = if wavefront.is_some() { &[] } else { &built.directions[..] };
        if let Some((outputs, ends)) = wavefront {
            output = outputs;
            states = ends;
        }
        for (number, directions) in alone.chunks(count).enumerate() {
            if number > 0 {
                output = dropout(tape, &output, self.dropout, false)?;
            }
            let state = state.map(|s| &s[number * count..][..count]);
            let sequences = self.sequences || number + 1 < self.num_layers;
            let (outputs, ends) = self.layer(tape, &output, directions, state, sequences)?;
            output = outputs;
            states.extend(ends);
        }
        if let Some(memory) = &self.memory {
            let constant = |var: &Var| Var::constant(var.tensor().clone());
            let detached = states
                .iter()
                .map(|s: &LstmState| LstmState { h: constant(&s.h), c: constant(&s.c) });
            *memory.lock().unwrap_or_else(PoisonError::into_inner) = Some(detached.collect());
        }
        penalize_activity(tape, self.activity, &output)?;
        if self.time_major && self.sequences {
            // Which take the first axis for the rows.
            output = swap_axes(tape, &output)?.with_lengths(None).with_mask(None);
        }
        Ok(LstmOutput { output, state: states })
    }

    /// All layers of the stack as a wavefront, where that is possible and faster than each alone.
    fn wavefront(
        &self,
        tape: &Tape,
        x: &Var,
        directions: &[DirectionParams],
        state: Option<&[LstmState]>,
    ) -> Result<Option<(Var, Vec<LstmState>)>> {
        let noisy = self.cell.recurrent_dropout > 0.0 || self.cell.zoneout != [0.0; 2];
        let between = tape.records() && (self.dropout > 0.0 || noisy);
        let plain =
            self.directions == Directions::Forward && !self.layer_norm && self.projection.is_none();
        let all_steps = x.lengths().is_none() && x.mask().is_none();
        if directions.len() == 1 || between || !plain || !all_steps || self.weight_drop > 0.0 {
            return Ok(None);
        }
        let half = tape.params().precision() == Precision::Mixed;
        let how = (self.strategy, self.cell);
        let cut = cut_stack(x.tensor(), directions.len(), self.hidden_size, half, how);
        let Some(cut) = cut else { return Ok(None) };
        let layers = directions.iter().map(|ids| Ok(self.direction(tape, ids, false, false)?.0));
        let how = (cut, self.sequences);
        run_wavefront(tape, x, self.hidden_size, layers.collect::<Result<_>>()?, state, how)
    }

    /// One layer of the stack.
    fn layer(
        &self,
        tape: &Tape,
        x: &Var,
        directions: &[DirectionParams],
        state: Option<&[LstmState]>,
        sequences: bool,
    ) -> Result<(Var, Vec<LstmState>)> {
        let mut outputs = Vec::new();
        let mut states = Vec::new();
        if self.layer_norm {
            for (number, (ids, &reverse)) in
                directions.iter().zip(self.directions.reversed()).enumerate()
            {
                let state = state.and_then(|states| states.get(number));
                let direction = self.normalised(tape, ids, reverse)?;
                let (y, mut end) = norm::direction(tape, x, direction, state, sequences)?;
                if let (Some(state), Some(mask)) = (state, x.mask()) {
                    // A single step, of a stepper: what is left out stays.
                    end.h = where_masked(&end.h, &state.h, mask)?;
                    end.c = where_masked(&end.c, &state.c, mask)?;
                }
                outputs.push(match (y, x.mask()) {
                    (Some(_), Some(_)) => one_step(tape, &end.h, x)?,
                    (Some(y), None) => y,
                    (None, _) => end.h.clone(),
                });
                states.push(end);
            }
        } else if self.projection.is_none() {
            let directions: Result<_> = directions
                .iter()
                .zip(self.directions.reversed())
                .map(|(ids, &reverse)| Ok(self.direction(tape, ids, reverse, false)?.0))
                .collect();
            let (y, ends) =
                run_directions(tape, x, self.hidden_size, directions?, state, sequences)?;
            match y {
                Some(y) => outputs.push(y),
                None => outputs.extend(ends.iter().map(|s| s.h.clone())),
            }
            states = ends;
        } else {
            for (number, (ids, &reverse)) in
                directions.iter().zip(self.directions.reversed()).enumerate()
            {
                let state = state.and_then(|states| states.get(number));
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
                let (y, ends) = run_directions(
                    tape,
                    &input,
                    self.hidden_size,
                    vec![direction],
                    first,
                    sequences,
                )?;
                for end in ends {
                    let mut h = project(&end.h)?;
                    if let (Some(state), Some(mask)) = (state, x.mask()) {
                        // A single step, of a stepper: what is left out stays.
                        h = where_masked(&h, &state.h, mask)?;
                    }
                    states.push(LstmState { h, c: end.c });
                }
                let h = || states.last().map(|s| s.h.clone());
                match (y, x.mask()) {
                    (Some(_), Some(_)) if state.is_some() => {
                        outputs.extend(h().map(|h| one_step(tape, &h, x)).transpose()?);
                    }
                    // Padding stays zero, whatever the weight holds.
                    (Some(y), _) => outputs.push(self.padded(tape, &project(&y)?)?),
                    (None, _) => outputs.extend(h()),
                }
            }
        }
        let output = match outputs.len() {
            1 => outputs.remove(0),
            _ => concat(tape, &outputs)?,
        };
        let output = match self.directions {
            Directions::Both(mode) => match mode.kind() {
                Some(kind) => merge(tape, &output, kind)?,
                None => output,
            },
            _ => output,
        };
        Ok((output, states))
    }

    /// A projected sequence with zeros where the layer's outputs are padding, or are left out and do
    /// not repeat.
    fn padded(&self, tape: &Tape, y: &Var) -> Result<Var> {
        match self.directions.reversed().len() {
            1 => without_padding(tape, "lstm", y),
            _ => zero_padding(tape, "lstm", y),
        }
    }

    /// A direction's parameters, if the layer is normalised.
    fn normalised(
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

    /// An input with the h of the first state, which is projected, as features of each row's first
    /// step.
    fn with_state(&self, tape: &Tape, x: &Var, h: &Var, reverse: bool) -> Result<Var> {
        let check = Check::new("lstm", "one state for each row of the batch");
        let [batch, timesteps, _] = check.dims("x", x.tensor(), "[B,T,I]")?;
        check.dtype("h_0", h.tensor(), DType::F32)?;
        let dims = [batch, timesteps, self.direction_size()];
        check.shape("h_0", h.tensor(), "[B,P]", &[batch, dims[2]])?;
        check.device(x.tensor(), &[("h_0", h.tensor())])?;
        if x.mask().is_some() && (timesteps > 1 || tape.records()) {
            return Err(Error::Unsupported {
                what: "Lstm::projection with a first state",
                with: "Var::with_mask",
                help: "say by Var::with_lengths which steps count, or begin without a state",
            });
        }
        concat(tape, &[x.clone(), at_first_step(tape, h, x, dims, reverse)?])
    }

    /// A direction's weights, and the weight of its projection `[H,P]`. With `initial` the state's h
    /// comes as input.
    fn direction(
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
                let computed = self.computed.lock().unwrap_or_else(PoisonError::into_inner);
                computed.iter().find(|c| c.of == of && c.at == at).cloned()
            }
            false => None,
        };
        let (weight_hh, weight_hh_shape) = if let Some(found) = &found {
            weight_hr = found.weight_hr.clone();
            (Operand::constant(found.weights.1.clone()), vec![h, 4 * h])
        } else if (self.weight_drop == 0.0 || !tape.records()) && ids.weight_hr.is_none() {
            let shape = [h, h, 4];
            (Operand::parameter(tape.weight(ids.weight_hh, &shape)?), shape.to_vec())
        } else {
            let weight_hh = tape.parameter(ids.weight_hh, &[size, 4 * h])?;
            let mut weight = dropout(tape, &parameter(tape, weight_hh), self.weight_drop, false)?;
            if initial {
                // Side by side in one row: one below the other.
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
        let mut noise = Noise { training: tape.records(), ..Noise::default() };
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
            let mut computed = self.computed.lock().unwrap_or_else(PoisonError::into_inner);
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

    fn config(&self, reverse: bool, noise: Noise) -> CellConfig {
        CellConfig {
            cell: self.cell,
            reverse,
            // As Keras' `Bidirectional` has it, whose directions repeat other steps.
            zero_left_out: matches!(self.directions, Directions::Both(_)),
            strategy: self.strategy,
            recompute: self.recompute,
            noise,
        }
    }
}

/// `h` `[B,H]` as the only step of a sequence.
fn one_step(tape: &Tape, h: &Var, x: &Var) -> Result<Var> {
    let &[rows, size] = h.shape() else { return Ok(h.clone()) };
    Ok(reshape(tape, h, &[rows, 1, size])?.with_steps_of(x))
}

/// `new` `[B,H]` where a mask `[B,1]` is true, else `old`. A constant.
fn where_masked(new: &Var, old: &Var, mask: &Mask) -> Result<Var> {
    let device = new.tensor().device();
    let off: Vec<_> = mask.values().iter().map(|on| !on).collect();
    let off = Mask::new(&off, [off.len(), 1], &device)?;
    Ok(Var::constant(add::add(&keep_rows(new, mask)?, &keep_rows(old, &off)?)?))
}

/// A state `[B,H]` with zeros in the rows that a mask `[B,1]` leaves out.
fn keep_rows(state: &Var, mask: &Mask) -> Result<Tensor> {
    let &[rows, size] = state.shape() else { return Ok(state.tensor().clone()) };
    mask_steps(&state.tensor().reshape([rows, 1, size])?, mask)?.reshape([rows, size])
}

impl Layer for Lstm {
    fn swap_state(&self, state: LayerState) -> LayerState {
        match &self.memory {
            Some(memory) => {
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                LayerState(std::mem::replace(&mut *memory, state.0))
            }
            None => state,
        }
    }

    fn state_rows(&self) -> Option<usize> {
        let memory = self.memory.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        memory.as_ref()?.first().map(|state| state.h.shape()[0])
    }

    fn is_stateful(&self) -> bool {
        self.memory.is_some()
    }

    fn takes_packed(&self, _: Own) -> bool {
        !self.time_major
            && !self.layer_norm
            && self.projection.is_none()
            && self.input_dropout == 0.0
    }

    fn kind(&self) -> &'static str {
        "lstm"
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let first = self.built.as_ref().and_then(|b| b.directions.first());
        let before = first.map(|ids| (ids.weight_ih, ids.input_size));
        if is_built(params, before, input_size)? {
            return Ok(());
        }
        self.check(input_size)?;
        let mark = params.mark();
        // One that finds no memory for its values leaves no half of a layer.
        self.add_parameters(params, input_size).inspect_err(|_| params.drop_since(mark))
    }

    fn output_size(&self) -> usize {
        self.width()
    }

    fn gives_sequence(&self, _: bool) -> bool {
        self.sequences
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Lstm::forward(self, tape, x)
    }

    fn is_batch_first(&self) -> bool {
        !self.time_major
    }

    fn parameter_count(&self) -> usize {
        self.built.as_ref().map_or(0, |b| b.count)
    }
}

impl Lstm {
    /// Puts the parameters in, with their first values.
    fn add_parameters(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let (h, size) = (self.hidden_size, self.direction_size());
        let prefix = params.free_prefix("lstm");
        let gates = |rows| Layout::Gates { rows, hidden_size: h };
        let mut directions = Vec::new();
        let before = params.parameter_count();
        for layer in 0..self.num_layers {
            let inputs = if layer == 0 { input_size } else { self.width() };
            for &reverse in self.directions.reversed() {
                let suffix = match reverse && matches!(self.directions, Directions::Both(_)) {
                    true => format!("_l{layer}_reverse"),
                    false => format!("_l{layer}"),
                };
                let add = |name: &str, shape, layout, values: &[f32]| {
                    params.add(format!("{prefix}.{name}{suffix}"), shape, layout, values)
                };
                let values = init::glorot_uniform(&mut params.rng(), inputs, 4 * h)?;
                let weight_ih = add("weight_ih", vec![4 * h, inputs], gates(inputs), &values)?;
                let values = init::orthogonal(&mut params.rng(), size, 4 * h)?;
                let weight_hh = add("weight_hh", vec![4 * h, size], gates(size), &values)?;
                let bias = match self.bias {
                    true => {
                        let values = init::repeated(&[0.0, self.forget_bias, 0.0, 0.0], h)?;
                        Some(add("bias", vec![4 * h], gates(1), &values)?)
                    }
                    false => None,
                };
                self.kernel.apply(params, weight_ih, 4 * h);
                self.recurrent.apply(params, weight_hh, 4 * h);
                if let Some(bias) = bias {
                    self.bias_constraints.apply(params, bias, 4 * h);
                }
                let zeros = init::repeated(&[0.0], 4 * h)?;
                let peepholes = match self.cell.peepholes {
                    true => {
                        let layout = Layout::Peepholes { hidden_size: h };
                        Some(add("peephole", vec![3 * h], layout, &zeros)?)
                    }
                    false => None,
                };
                let weight_hr = match self.projection {
                    Some(p) => {
                        let values = init::glorot_uniform(&mut params.rng(), h, p)?;
                        let layout = Layout::Transposed { rows: h, columns: p };
                        Some(add("weight_hr", vec![p, h], layout, &values)?)
                    }
                    None => None,
                };
                let ones = init::repeated(&[1.0], 4 * h)?;
                let norms = match self.layer_norm {
                    true => Some(norm::Norms {
                        ih: add("norm_ih", vec![4 * h], gates(1), &ones)?,
                        hh: add("norm_hh", vec![4 * h], gates(1), &ones)?,
                        c: add("norm_c", vec![h], Layout::Plain, &ones[..h])?,
                        c_bias: add("norm_c_bias", vec![h], Layout::Plain, &zeros[..h])?,
                    }),
                    false => None,
                };
                directions.push(DirectionParams {
                    input_size: inputs,
                    weight_ih,
                    weight_hh,
                    bias,
                    peepholes,
                    weight_hr,
                    norms,
                });
            }
        }
        let count = params.parameter_count() - before;
        self.built = Some(Built { directions, count });
        // Clones of a layer that is built share these; those of one that was not yet have their own.
        self.computed = Arc::default();
        if self.memory.is_some() {
            self.memory = Some(Arc::default());
        }
        Ok(())
    }
}
