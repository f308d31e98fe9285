//! The LSTM layer.

mod build;
pub(in crate::nn) mod direction;
mod explain;
mod first_values;
mod inspect;
pub(in crate::nn) mod masked;
mod norm;
mod options;
mod quantized;
mod run;
mod state;
mod stepper;
mod steps;
mod timesteps;
mod weights;

use super::functions::{self, concat};
use super::own::Stackable;
use super::regularizer::Constraints;
use super::unrolled::Recurrent;
use super::{Layer, LayerState, Own, Params, Regularizer, is_built, to_config};
use crate::autograd::{ParamId, Tape, Var};
use crate::device::lock;
use crate::ops::elementwise::merge;
use crate::ops::lstm::cell::Cell;
use crate::{Error, Result, Strategy};
use first_values::Inits;
pub use inspect::LstmTrace;
use serde::{Deserialize, Serialize};
pub use state::{LstmOutput, LstmState};
use std::sync::{Arc, Mutex};
pub use stepper::LstmStepper;
pub(crate) use steps::Steps;
pub use steps::StreamId;
use weights::Computed;

/// How a bidirectional layer merges the outputs of its two directions: Keras' `merge_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Merge {
    /// Concatenation, the forward direction first: `[..,2H]`, as in PyTorch and ONNX.
    #[default]
    Concat,
    /// The sum: `[..,H]`.
    Sum,
    /// The mean: `[..,H]`.
    Mean,
    /// The elementwise product: `[..,H]`.
    Product,
}

impl Merge {
    fn kind(self) -> Option<merge::Kind> {
        match self {
            Self::Concat => None,
            Self::Sum => Some(merge::Kind::Sum),
            Self::Mean => Some(merge::Kind::Mean),
            Self::Product => Some(merge::Kind::Product),
        }
    }
}

/// The directions in which a layer runs over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::nn) enum Directions {
    Forward,
    Reverse,
    Both(Merge),
}

impl Directions {
    /// Checks that no step looks at frames to come, for `what` of a layer whose options have these names.
    pub(in crate::nn) fn check_forward(
        self,
        what: &'static str,
        [backwards, both]: [&'static str; 2],
    ) -> Result<()> {
        let with = match self {
            Self::Forward => return Ok(()),
            Self::Reverse => backwards,
            Self::Both(_) => both,
        };
        let help = "frames to come are not there yet: step a layer that goes forward";
        Err(Error::Unsupported { what, with, help })
    }

    /// For each direction, whether it goes from the last timestep to the first.
    pub(in crate::nn) fn reversed(self) -> &'static [bool] {
        match self {
            Self::Forward => &[false],
            Self::Reverse => &[true],
            Self::Both(_) => &[false, true],
        }
    }

    /// What the names of a direction's parameters end with.
    pub(in crate::nn) fn suffix(self, layer: usize, reverse: bool) -> String {
        match reverse && matches!(self, Self::Both(_)) {
            true => format!("_l{layer}_reverse"),
            false => format!("_l{layer}"),
        }
    }

    /// The features that a layer makes of those of each direction.
    pub(in crate::nn) fn width(self, size: usize) -> usize {
        match self {
            // Saturating: a layer's checks call this with sizes that they then refuse.
            Self::Both(Merge::Concat) => size.saturating_mul(2),
            _ => size,
        }
    }

    /// What a layer makes of the outputs of its directions, together or of each.
    pub(in crate::nn) fn join(self, tape: &Tape, mut outputs: Vec<Var>) -> Result<Var> {
        let output = match outputs.len() {
            1 => outputs.remove(0),
            _ => concat(tape, &outputs)?,
        };
        match self {
            Self::Both(mode) => match mode.kind() {
                Some(kind) => functions::merge(tape, &output, kind),
                None => Ok(output),
            },
            _ => Ok(output),
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
/// the output repeats; of a bidirectional layer it is 0; both as in Keras. Either way a layer takes the time of
/// the steps that count.
///
/// # Memory
/// As [`crate::Device::memory`] counts, a training step with Adam holds at its peak 16 bytes for each
/// parameter; for each frame (a timestep of a row) and layer of H units about 28 H bytes, 12 H with
/// [`Lstm::recompute`]; and 8 H bytes a frame for gradients. `docs/memory.md` in the repository has all
/// terms.
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default = "options::blank", deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Lstm {
    hidden_size: usize,
    num_layers: usize,
    directions: Directions,
    #[serde(rename = "return_sequences")]
    sequences: bool,
    zero_output_for_mask: bool,
    bias: bool,
    #[serde(rename = "init")]
    first: Inits,
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
    frozen: bool,
    /// The state of a stateful layer, shared by clones.
    #[serde(rename = "stateful", with = "options::stateful")]
    memory: Option<Memory>,
    #[serde(skip)]
    built: Option<Built>,
    #[serde(skip)]
    computed: Arc<Mutex<Vec<Computed>>>,
}

type Memory = Arc<Mutex<Option<Vec<LstmState>>>>;

#[derive(Debug, Clone)]
struct Built {
    /// All directions in PyTorch's order: those of the first layer, of the second …
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

impl Lstm {
    /// The output features of each direction.
    fn direction_size(&self) -> usize {
        self.projection.unwrap_or(self.hidden_size)
    }

    fn width(&self) -> usize {
        self.directions.width(self.direction_size())
    }
}

impl Layer for Lstm {
    fn swap_state(&self, state: LayerState) -> LayerState {
        match &self.memory {
            Some(memory) => {
                let mut memory = lock(memory);
                LayerState(std::mem::replace(&mut *memory, state.0))
            }
            None => state,
        }
    }

    fn state_rows(&self) -> Option<usize> {
        let memory = lock(self.memory.as_ref()?);
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

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        self.next_frame(tape, x, state)
    }

    fn stack(&self, _: Own, params: &Params) -> Result<Option<Stackable>> {
        self.stackable(params)
    }

    fn kind(&self) -> &'static str {
        "lstm"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn recurrent(&self, _: Own) -> Option<&dyn Recurrent> {
        Some(self)
    }

    fn quantizable(&self, _: Own) -> Vec<ParamId> {
        self.quantizable_weights()
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.built.as_ref()?.directions.first().map(|ids| ids.weight_ih)
    }

    fn explain(&self, _: Own, params: &Params, shape: [usize; 3]) -> Result<Option<[String; 2]>> {
        self.explained(params, shape).map(Some)
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let first = self.built.as_ref().and_then(|b| b.directions.first());
        let before = first.map(|ids| (ids.weight_ih, ids.input_size));
        if is_built(params, before, input_size)? {
            return Ok(());
        }
        self.check(input_size)?;
        let mark = params.mark();
        // On an error no parameter of the layer stays behind.
        self.add_parameters(params, input_size).inspect_err(|_| params.drop_since(mark))?;
        if self.frozen {
            params.freeze_since(mark);
        }
        Ok(())
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
