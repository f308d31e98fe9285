//! The plain recurrent layer, to compare the LSTM with.

use super::functions::{map, parameter};
use super::lstm::direction::{Direction, Operand, Outputs, run_directions};
use super::lstm::masked::{self, LeftOut};
use super::{Init, Layer, LstmState, Own, Params, check_size, check_weights, is_built, to_config};
use crate::autograd::{Layout, ParamId};
use crate::autograd::{Tape, Var};
use crate::ops::frames::copy_columns::copy_columns;
use crate::ops::lstm::CellConfig;
use crate::ops::lstm::cell::{Cell, Noise};
use crate::{Error, GateActivation, Result, Tensor};
use serde::{Deserialize, Serialize};

/// A plain recurrent layer (Elman 1990): `h' = tanh(W x + R h + b)`, `[B,T,I]` to `[B,H]` or,
/// with [`Rnn::return_sequences`], `[B,T,H]`. PyTorch's `RNN`, Keras' `SimpleRNN`.
///
/// It is there to compare the LSTM with, and runs on the LSTM's kernels: the gates i and o are held
/// open, f is held shut, and g is `W x + R h + b`. So it costs what an LSTM costs, and all that
/// holds for the LSTM's lengths, masks and strategies holds here.
///
/// ```
/// use wgpu_lstm::nn::{Dense, Rnn};
/// use wgpu_lstm::Sequential;
/// use wgpu_lstm::Device;
/// let model = Sequential::new(&Device::auto()?).add(Rnn::new(16)).add(Dense::new(3));
/// # let _ = model;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default = "blank", deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Rnn {
    hidden_size: usize,
    #[serde(rename = "return_sequences")]
    sequences: bool,
    activation: GateActivation,
    kernel_init: Init,
    recurrent_init: Init,
    bias_init: Init,
    #[serde(skip)]
    built: Option<Built>,
}

/// What a file that lacks an option gets.
fn blank() -> Rnn {
    Rnn::new(0)
}

#[derive(Debug, Clone, Copy)]
struct Built {
    input_size: usize,
    weight_ih: ParamId,
    weight_hh: ParamId,
    bias: ParamId,
}

impl Rnn {
    /// A layer of this many units.
    pub fn new(hidden_size: usize) -> Self {
        Self {
            hidden_size,
            sequences: false,
            activation: GateActivation::Tanh,
            kernel_init: Init::GlorotUniform,
            recurrent_init: Init::Orthogonal { gain: 1.0 },
            bias_init: Init::Zeros,
            built: None,
        }
    }

    /// Returns the output of every timestep instead of the last.
    pub fn return_sequences(mut self) -> Self {
        self.sequences = true;
        self
    }

    /// Sets the activation: tanh by default.
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

    /// The layer with its parameters in `params`: `rnn.weight_ih_l0` `[H,I]` (Glorot uniform),
    /// `rnn.weight_hh_l0` `[H,H]` (orthogonal) and `rnn.bias_l0` `[H]` (0), unless [`Rnn::kernel_init`] and
    /// its like say otherwise.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0 and an activation that makes no sense; [`Error::Features`] if
    /// the layer was built with these `params` for another `input_size`; [`Error::TooLarge`],
    /// [`Error::OutOfMemory`].
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

    fn cell(&self) -> Cell {
        Cell {
            input: GateActivation::Affine { alpha: 1.0, beta: 0.0 },
            output: self.activation,
            ..Cell::default()
        }
    }

    /// Runs the layer from a state `h` `[B,H]` (`None`: zeros). Returns the output and the last state.
    ///
    /// # Errors
    /// As [`super::Lstm::run`].
    pub fn run(&self, tape: &Tape, x: &Var, h: Option<&Var>) -> Result<(Var, Var)> {
        let Some(built) = self.built else {
            return Err(Error::NotBuilt { what: "this Rnn", call: "build" });
        };
        let h_size = self.hidden_size;
        let weight = |id: ParamId, rows: usize| -> Result<(Operand, Vec<usize>)> {
            let plain = parameter(tape, tape.parameter(id, &[rows * h_size, 1])?);
            // The kernels take four gates a unit; this one is g.
            let all = as_g(tape, &plain, [0.0; 4])?;
            Ok((Operand::weight(tape, &all, &[rows, h_size, 4])?, all.shape().to_vec()))
        };
        let (weight_ih, weight_ih_shape) = weight(built.weight_ih, built.input_size)?;
        let (weight_hh, weight_hh_shape) = weight(built.weight_hh, h_size)?;
        let bias = parameter(tape, tape.parameter(built.bias, &[h_size, 1])?);
        let bias = as_g(tape, &bias, [OPEN, -OPEN, 0.0, OPEN])?;
        let direction = Direction {
            weight_ih,
            weight_ih_shape,
            weight_hh,
            weight_hh_shape,
            bias: Some(Operand::value(tape, &bias, &[h_size, 4])?),
            peepholes: None,
            config: CellConfig {
                cell: self.cell(),
                noise: Noise { training: tape.records(), ..Noise::default() },
                ..CellConfig::default()
            },
        };
        let first = match h {
            Some(h) => {
                let c = Tensor::zeros(h.shape(), &h.tensor().device())?;
                Some([LstmState { h: h.clone(), c: c.into() }])
            }
            None => None,
        };
        let first = first.as_ref().map(|f| &f[..]);
        let wanted = match (self.sequences, x.mask()) {
            (false, _) => Outputs::None,
            (true, Some(_)) => Outputs::Packed,
            (true, None) => Outputs::Padded,
        };
        let packed = masked::pack(tape, x, built.input_size)?;
        let (y, mut ends) = match masked::is_idle(&packed) {
            true => {
                let states = [first.and_then(<[_]>::first)].into_iter();
                let (nothing, ends) = masked::idle(tape, &packed, states, [h_size; 2], h_size)?;
                (self.sequences.then_some(nothing), ends)
            }
            false => run_directions(tape, &packed, h_size, vec![direction], first, wanted)?,
        };
        let h_n = ends.remove(0).h;
        let left_out = LeftOut::Repeats { reverse: false, first: h };
        let y = y.map(|y| masked::unpack(tape, y, x, left_out)).transpose()?;
        Ok((y.unwrap_or_else(|| h_n.clone()), h_n))
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

impl Layer for Rnn {
    fn kind(&self) -> &'static str {
        "rnn"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.built.map(|b| b.weight_ih)
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let h = self.hidden_size;
        let before = self.built.map(|b| (b.weight_ih, b.input_size));
        if is_built(params, before, input_size)? {
            return Ok(());
        }
        check_size("Rnn::hidden_size", h)?;
        check_size("Rnn::input_size", input_size)?;
        check_weights(4 * h, input_size.max(h))?;
        self.activation.check("Rnn::activation")?;
        self.kernel_init.check("Rnn::kernel_init")?;
        self.recurrent_init.check("Rnn::recurrent_init")?;
        self.bias_init.check_bias("Rnn::bias_init")?;
        let prefix = params.free_prefix("rnn");
        let add = |name: &str, rows: usize, values: &[f32]| {
            let layout = Layout::Transposed { rows, columns: h };
            params.add(format!("{prefix}.{name}"), vec![h, rows], layout, values)
        };
        let mark = params.mark();
        let built = || -> Result<Built> {
            let values = self.kernel_init.weight(params, [input_size, h], h)?;
            let weight_ih = add("weight_ih_l0", input_size, &values)?;
            let values = self.recurrent_init.weight(params, [h, h], h)?;
            let weight_hh = add("weight_hh_l0", h, &values)?;
            let values = self.bias_init.bias(params, h, h, 2)?;
            let bias = params.add(format!("{prefix}.bias_l0"), vec![h], Layout::Plain, &values)?;
            Ok(Built { input_size, weight_ih, weight_hh, bias })
        };
        // On an error no parameter of the layer stays behind.
        self.built = Some(built().inspect_err(|_| params.drop_since(mark))?);
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.hidden_size
    }

    fn gives_sequence(&self, _: bool) -> bool {
        self.sequences
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Rnn::forward(self, tape, x)
    }

    fn parameter_count(&self) -> usize {
        self.built.map_or(0, |b| (b.input_size + self.hidden_size + 1) * self.hidden_size)
    }
}
