//! The plain recurrent layer, to compare the LSTM with.

mod build;

use super::functions::{map, parameter, reshape};
use super::lstm::direction::{Direction, Operand, Outputs, run_directions};
use super::lstm::masked::{self, LeftOut};
use super::lstm::{Directions, Merge};
use super::own::Stackable;
use super::unrolled::{Recurrent, Step, StepState};
use super::{Init, Layer, LayerState, LstmState, Own, Params, Precision, is_built, to_config};
use crate::autograd::{ParamId, Tape, Var};
use crate::ops::frames::copy_columns::copy_columns;
use crate::ops::lstm::cell::{Cell, Noise};
use crate::ops::lstm::{Asked, CellConfig, Sizes, StackLayer, explain};
use crate::{Error, GateActivation, Result, Strategy, Tensor};
use serde::{Deserialize, Serialize};

/// A plain recurrent layer (Elman 1990): `h' = tanh(W x + R h + b)`, `[B,T,I]` to `[B,H]` or,
/// with [`Rnn::return_sequences`], `[B,T,H]`. PyTorch's `RNN`, Keras' `SimpleRNN`.
///
/// It is there to compare the LSTM with, and runs on the LSTM's kernels: the gates i and o are held
/// open, f is held shut, and g is `W x + R h + b`. So it costs what an LSTM costs, and all that
/// holds for the LSTM's lengths, masks and strategies holds here.
///
/// ```
/// use wgpu_lstm::nn::{Dense, GateActivation, Merge, Rnn};
/// use wgpu_lstm::Sequential;
/// use wgpu_lstm::Device;
/// let model = Sequential::new(&Device::auto()?).add(Rnn::new(16)).add(Dense::new(3));
/// // PyTorch's RNN(.., num_layers=2, nonlinearity="relu", bidirectional=True).
/// let other = Rnn::new(16)
///     .num_layers(2)
///     .activation(GateActivation::Relu)
///     .bidirectional(Merge::Concat)
///     .return_sequences();
/// # let _ = (model, other);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default = "blank", deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Rnn {
    hidden_size: usize,
    num_layers: usize,
    directions: Directions,
    #[serde(rename = "return_sequences")]
    sequences: bool,
    zero_output_for_mask: bool,
    bias: bool,
    activation: GateActivation,
    kernel_init: Init,
    recurrent_init: Init,
    bias_init: Init,
    frozen: bool,
    #[serde(skip)]
    built: Option<Built>,
}

/// What a file that lacks an option gets.
fn blank() -> Rnn {
    Rnn::new(0)
}

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
}

impl Rnn {
    /// A layer of this many units.
    pub fn new(hidden_size: usize) -> Self {
        Self {
            hidden_size,
            num_layers: 1,
            directions: Directions::Forward,
            sequences: false,
            zero_output_for_mask: false,
            bias: true,
            activation: GateActivation::Tanh,
            kernel_init: Init::GlorotUniform,
            recurrent_init: Init::Orthogonal { gain: 1.0 },
            bias_init: Init::Zeros,
            frozen: false,
            built: None,
        }
    }

    /// Returns the output of every timestep instead of the last.
    pub fn return_sequences(mut self) -> Self {
        self.sequences = true;
        self
    }

    /// Sets the number of stacked layers: each takes the outputs of the one below.
    pub fn num_layers(mut self, layers: usize) -> Self {
        self.num_layers = layers;
        self
    }

    /// Runs each layer in two directions, the second from each row's last timestep to its first.
    pub fn bidirectional(mut self, merge: Merge) -> Self {
        self.directions = Directions::Both(merge);
        self
    }

    /// Runs from each row's last timestep to its first: Keras' `go_backwards`, but each output stays
    /// at the timestep of its input.
    pub fn go_backwards(mut self) -> Self {
        self.directions = Directions::Reverse;
        self
    }

    /// Leaves out the biases: Keras' `use_bias=False`, PyTorch's `bias=False`.
    pub fn no_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Gives 0 at a step that a mask leaves out, as [`Lstm::zero_output_for_mask`] does.
    ///
    /// [`Lstm::zero_output_for_mask`]: super::Lstm::zero_output_for_mask
    pub fn zero_output_for_mask(mut self) -> Self {
        self.zero_output_for_mask = true;
        self
    }

    /// Sets the activation: tanh by default; [`GateActivation::Relu`] is PyTorch's other `nonlinearity`.
    pub fn activation(mut self, activation: GateActivation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets how the first input weights are drawn: Glorot uniform by default, Keras' `kernel_initializer`.
    pub fn kernel_init(mut self, init: Init) -> Self {
        self.kernel_init = init;
        self
    }

    /// Sets how the first recurrent weights are drawn: orthogonal by default, Keras' `recurrent_initializer`.
    pub fn recurrent_init(mut self, init: Init) -> Self {
        self.recurrent_init = init;
        self
    }

    /// Sets how the first biases are drawn: 0 by default, Keras' `bias_initializer`.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias_init = init;
        self
    }

    /// Excludes the layer's parameters from training, an optimizer's weight decay included, as
    /// [`super::Embedding::frozen`] does: Keras' `trainable=False`. [`crate::Sequential::unfreeze`] ends it.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// The layer with its parameters in `params`: `rnn.weight_ih_l0` `[H,I]` (Glorot uniform),
    /// `rnn.weight_hh_l0` `[H,H]` (orthogonal) and `rnn.bias_l0` `[H]` (0; the sum of PyTorch's two), unless
    /// [`Rnn::kernel_init`] and its like say otherwise. The names of a reverse direction end with `_reverse`,
    /// and those of further layers count on: `_l1`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0 and an activation that makes no sense; [`Error::Unsupported`] for the
    /// first values of a bias that is left out; [`Error::Features`] if the layer was built with these `params`
    /// for another `input_size`; [`Error::TooLarge`], [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// Runs the layer from a state of zeros: the output of [`Rnn::run`] alone.
    ///
    /// # Errors
    /// As [`Rnn::run`].
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Ok(self.run(tape, x, None)?.0)
    }

    /// Runs the layer from a state h `[B,H]` for each direction of each layer, in PyTorch's order: those of the
    /// first layer, of the second … (`None`: zeros). Returns the output, and the last states in the same order.
    ///
    /// ```
    /// use wgpu_lstm::nn::{Merge, Params, Rnn};
    /// use wgpu_lstm::{Device, Tape, Tensor, Var};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let rnn = Rnn::new(4).bidirectional(Merge::Sum).build(&params, 3)?;
    /// let x = Var::from(Tensor::zeros([2, 5, 3], &device)?);
    /// let tape = Tape::inference(&params);
    /// let (y, states) = rnn.run(&tape, &x, None)?;
    /// assert_eq!((y.shape(), states.len()), (&[2, 4][..], 2));
    /// let (y, _) = rnn.run(&tape, &x, Some(&states))?;
    /// # let _ = y;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`super::Lstm::run`].
    pub fn run(&self, tape: &Tape, x: &Var, h: Option<&[Var]>) -> Result<(Var, Vec<Var>)> {
        let Some(built) = &self.built else {
            return Err(Error::NotBuilt { what: "this Rnn", call: "build" });
        };
        let (size, all) = (self.hidden_size, &built.directions[..]);
        if let Some(h) = h.filter(|h| h.len() != all.len()) {
            return Err(Error::State {
                op: "rnn",
                what: "states",
                expected: all.len(),
                found: h.len(),
                help: "one for each direction of each layer",
            });
        }
        let state = |h: &Var| -> Result<LstmState> {
            let c = Tensor::zeros(h.shape(), &h.tensor().device())?;
            Ok(LstmState { h: h.clone(), c: c.into() })
        };
        let first = h.map(|h| h.iter().map(state).collect::<Result<Vec<_>>>()).transpose()?;
        let packed = masked::pack(tape, x, all[0].input_size)?;
        let count = self.directions.reversed().len();
        let (mut output, mut ends) = (packed, Vec::with_capacity(all.len()));
        if masked::is_idle(&output) {
            let states = (0..all.len()).map(|number| first.as_ref()?.get(number));
            (output, ends) = masked::idle(tape, &output, states, [size; 2], self.width())?;
        } else {
            for (number, ids) in all.chunks(count).enumerate() {
                let state = first.as_ref().map(|states| &states[number * count..][..count]);
                let wanted = match (self.sequences || number + 1 < self.num_layers, x.mask()) {
                    (false, _) => Outputs::None,
                    (true, Some(_)) => Outputs::Packed,
                    (true, None) => Outputs::Padded,
                };
                let lanes = ids.iter().zip(self.directions.reversed());
                let lanes = lanes.map(|(ids, &reverse)| self.direction(tape, ids, reverse));
                let lanes = lanes.collect::<Result<_>>()?;
                let (y, last) = run_directions(tape, &output, size, lanes, state, wanted)?;
                if let Some(y) = y {
                    output = self.directions.join(tape, vec![y])?;
                }
                ends.extend(last);
            }
        }
        let ends: Vec<_> = ends.into_iter().map(|end| end.h).collect();
        let y = match self.sequences {
            true => {
                let left_out = LeftOut::of(self.directions, self.zero_output_for_mask);
                masked::unpack(tape, output, x, left_out)?
            }
            false => self.directions.join(tape, ends[ends.len() - count..].to_vec())?,
        };
        Ok((y, ends))
    }

    /// A direction as the LSTM's kernels run it.
    fn direction(&self, tape: &Tape, ids: &DirectionParams, reverse: bool) -> Result<Direction> {
        let h = self.hidden_size;
        let weight = |id: ParamId, rows: usize| -> Result<(Operand, Vec<usize>)> {
            let plain = parameter(tape, tape.parameter(id, &[rows * h, 1])?);
            // The kernels take four gates a unit; this one is g.
            let all = as_g(tape, &plain, [0.0; 4])?;
            Ok((Operand::weight(tape, &all, &[rows, h, 4])?, all.shape().to_vec()))
        };
        let (weight_ih, weight_ih_shape) = weight(ids.weight_ih, ids.input_size)?;
        let (weight_hh, weight_hh_shape) = weight(ids.weight_hh, h)?;
        let bias = match ids.bias {
            Some(id) => parameter(tape, tape.parameter(id, &[h, 1])?),
            None => Tensor::zeros([h, 1], &tape.params().device())?.into(),
        };
        let bias = as_g(tape, &bias, [OPEN, -OPEN, 0.0, OPEN])?;
        Ok(Direction {
            weight_ih,
            weight_ih_shape,
            weight_hh,
            weight_hh_shape,
            bias: Some(Operand::value(tape, &bias, &[h, 4])?),
            peepholes: None,
            config: CellConfig {
                cell: self.cell(),
                reverse,
                noise: Noise { training: tape.trains(), ..Noise::default() },
                ..CellConfig::default()
            },
        })
    }

    /// The cell whose gates but g are held.
    fn cell(&self) -> Cell {
        let input = GateActivation::Affine { alpha: 1.0, beta: 0.0 };
        Cell { input, output: self.activation, ..Cell::default() }
    }

    fn width(&self) -> usize {
        self.directions.width(self.hidden_size)
    }
}

/// A bias that opens a gate: its sigmoid is exactly 1, and that of its negative exactly 0.
const OPEN: f32 = 100.0;

/// Values `[n,1]` as the third of four columns, the others constant.
fn as_g(tape: &Tape, x: &Var, others: [f32; 4]) -> Result<Var> {
    let n = x.tensor().len();
    let y = Tensor::from_slice(&others.repeat(n), [n, 4], &x.tensor().device())?;
    copy_columns((x.tensor(), 0), (&y, 2), 1)?;
    Ok(map(tape, x, y, move |d_y| {
        let d_x = Tensor::empty([n, 1], &d_y.device())?;
        copy_columns((d_y, 2), (&d_x, 0), 1)?;
        Ok(d_x)
    }))
}

impl Recurrent for Rnn {
    fn steps(&self) -> Result<Vec<Step>> {
        let Some(built) = &self.built else {
            return Err(Error::NotBuilt { what: "this Rnn", call: "build" });
        };
        let names = ["Rnn::go_backwards", "Rnn::bidirectional"];
        self.directions.check_forward("Sequential::gradient_flow", names)?;
        let layer = |&ids| -> Step {
            let built = Some(Built { directions: vec![ids], count: built.count });
            let layer = Self { num_layers: 1, sequences: false, built, ..self.clone() };
            Box::new(move |tape: &Tape, x: &Var, before: Option<&StepState>| {
                let before = before.map(|state| [state.h.clone()]);
                let (h, _) = layer.run(tape, x, before.as_ref().map(|state| &state[..]))?;
                Ok(StepState { h, c: None })
            })
        };
        Ok(built.directions.iter().map(layer).collect())
    }
}

impl Layer for Rnn {
    fn kind(&self) -> &'static str {
        "rnn"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn stack(&self, _: Own, params: &Params) -> Result<Option<Stackable>> {
        let Some(built) = self.built.as_ref().filter(|_| self.directions == Directions::Forward)
        else {
            return Ok(None);
        };
        let tape = Tape::inference(params);
        let all = built.directions.iter().map(|ids| self.direction(&tape, ids, false));
        let all = all.collect::<Result<Vec<_>>>()?;
        let Some(config) = all.first().map(|direction| direction.config) else { return Ok(None) };
        let layer =
            |direction: &Direction| StackLayer { weights: direction.weights(), projection: None };
        let layers = all.iter().map(layer).collect();
        let repeats = !self.zero_output_for_mask;
        Ok(Some(Stackable { layers, config, sequences: self.sequences, repeats }))
    }

    fn recurrent(&self, _: Own) -> Option<&dyn Recurrent> {
        Some(self)
    }

    fn explain(
        &self,
        _: Own,
        params: &Params,
        [batch, timesteps, input_size]: [usize; 3],
    ) -> Result<Option<[String; 2]>> {
        let hidden_size = self.hidden_size;
        let asked = Asked {
            strategy: Strategy::Auto,
            cell: self.cell(),
            layer_norm: false,
            half: params.precision() == Precision::Mixed,
            directions: self.directions.reversed().len(),
            stacked: 1,
            sizes: Sizes { batch, timesteps, input_size, hidden_size },
        };
        explain(&params.device(), asked).map(Some)
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.built.as_ref()?.directions.first().map(|ids| ids.weight_ih)
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let first = self.built.as_ref().and_then(|b| b.directions.first());
        if is_built(params, first.map(|ids| (ids.weight_ih, ids.input_size)), input_size)? {
            return Ok(());
        }
        self.check(input_size)?;
        let mark = params.mark();
        // On an error no parameter of the layer stays behind.
        let built = self.add_parameters(params, input_size);
        self.built = Some(built.inspect_err(|_| params.drop_since(mark))?);
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
        Rnn::forward(self, tape, x)
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        let names = ["Rnn::go_backwards", "Rnn::bidirectional"];
        self.directions.check_forward("Sequential::stepper", names)?;
        let before =
            state.0.map(|states| states.into_iter().map(|state| state.h).collect::<Vec<_>>());
        let (mut y, states) = self.run(tape, x, before.as_deref())?;
        // As of an LSTM.
        let repeats = self.sequences && x.mask().is_some() && !self.zero_output_for_mask;
        if let (true, Some(h)) = (repeats, states.last()) {
            y = reshape(tape, h, y.shape())?.with_steps_of(x);
        }
        // It has no c: the state's is another h.
        let states = states.into_iter().map(|h| LstmState { c: h.clone(), h });
        Ok((y, LayerState(Some(states.collect()))))
    }

    fn parameter_count(&self) -> usize {
        self.built.as_ref().map_or(0, |b| b.count)
    }
}
