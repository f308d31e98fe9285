//! The LSTM layer.

use super::params::{Layout, ParamId};
use super::{Layer, Params, check_size, check_weights, init};
use crate::ops::lstm::{self, Arriving, Forward, Wanted, Weights};
use crate::tape::{Tape, Var};
use crate::{Error, Result, Strategy};

/// A layer of long short-term memory over a sequence: `[B,T,I]` to `[B,H]`, the output after
/// each row's last timestep, or, with [`Lstm::return_sequences`], `[B,T,H]`.
///
/// At each timestep, with the gates i, f, g, o from `a = W x + R h + b`:
/// `c' = sigmoid(f) c + sigmoid(i) tanh(g)`, `h' = sigmoid(o) tanh(c')`
/// (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000). Rows of different lengths go
/// in one batch: see [`Var::with_lengths`]. Past a row's end its state stays and its output
/// is 0, as in PyTorch's packed sequences.
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, Var, nn::{Lstm, Params}};
/// let device = Device::auto()?;
/// let params = Params::new(&device);
/// let lstm = Lstm::new(8).return_sequences().build(&params, 3)?;
/// let x = Var::from(Tensor::zeros([2, 5, 3], &device)?);
/// let y = lstm.forward(&Tape::inference(&params), &x)?;
/// assert_eq!(y.shape(), [2, 5, 8]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lstm {
    hidden_size: usize,
    sequences: bool,
    strategy: Strategy,
    built: Option<Built>,
}

#[derive(Debug, Clone, Copy)]
struct Built {
    input_size: usize,
    weight_ih: ParamId,
    weight_hh: ParamId,
    bias: ParamId,
}

/// The state of an LSTM layer between timesteps: h and c, each `[B,H]`. Handed to a layer on a
/// later tape it is a constant: gradients end there, as in truncated back-propagation through time.
#[derive(Debug, Clone)]
pub struct LstmState {
    /// The output of the timestep before.
    pub h: Var,
    /// The cell.
    pub c: Var,
}

/// What an LSTM layer gives.
#[derive(Debug, Clone)]
pub struct LstmOutput {
    /// `[B,T,H]` with [`Lstm::return_sequences`], else `[B,H]`.
    pub output: Var,
    /// The state after each row's last timestep.
    pub state: LstmState,
}

impl Lstm {
    /// A layer of this many units.
    pub fn new(hidden_size: usize) -> Self {
        Self { hidden_size, sequences: false, strategy: Strategy::Auto, built: None }
    }

    /// Gives the output of every timestep instead of the last.
    pub fn return_sequences(mut self) -> Self {
        self.sequences = true;
        self
    }

    /// Forces how a GPU goes through the timesteps.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// The layer with its parameters in `params`: `lstm.weight_ih` `[4H,I]` (Glorot uniform),
    /// `lstm.weight_hh` `[4H,H]` (orthogonal) and `lstm.bias` `[4H]` (1 for the forget gate
    /// after Jozefowicz et al. 2015, else 0), as Keras initialises its `LSTM`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0.
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// Runs the layer from a state of zeros.
    ///
    /// # Errors
    /// As [`Lstm::run`].
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Ok(self.run(tape, x, None)?.output)
    }

    /// Runs the layer from a state, and gives the last one too.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::Shape`], [`Error::Empty`] if `x` is not `[B,T,I]` or the state
    /// not `[B,H]`; [`Error::Length`] for a row that is longer than T; [`Error::OtherDevice`];
    /// [`Error::Strategy`] if a strategy was forced that cannot run here; [`Error::NotBuilt`].
    pub fn run(&self, tape: &Tape, x: &Var, state: Option<&LstmState>) -> Result<LstmOutput> {
        let Some(Built { input_size, weight_ih, weight_hh, bias }) = self.built else {
            return Err(Error::NotBuilt { what: "this Lstm", call: "build" });
        };
        let (params, h) = (tape.params(), self.hidden_size);
        let (weight_ih, d_weight_ih) = params.tensors(weight_ih, &[input_size, h, 4])?;
        let (weight_hh, d_weight_hh) = params.tensors(weight_hh, &[h, h, 4])?;
        let (bias, d_bias) = params.tensors(bias, &[h, 4])?;
        let output = lstm::forward(&Forward {
            x: x.tensor(),
            weights: &Weights { weight_ih, weight_hh, bias },
            lengths: x.lengths(),
            state: state.map(|s| (s.h.tensor(), s.c.tensor())),
            sequences: self.sequences,
            save: tape.records(),
            strategy: self.strategy,
        })?;

        let gradients_of = Weights { weight_ih: d_weight_ih, weight_hh: d_weight_hh, bias: d_bias };
        let x_id = tape.id(x);
        let (h_id, c_id) = state.map_or((None, None), |s| (tape.id(&s.h), tape.id(&s.c)));
        let wanted = Wanted { d_x: x_id.is_some(), d_state: h_id.is_some() || c_id.is_some() };
        let mut outputs = vec![output.h_n.clone(), output.c_n.clone()];
        outputs.extend(output.y.clone());
        let saved = output.saved;
        let vars = tape.push(outputs, saved.is_some(), move |d, gradients| {
            let Some(saved) = saved else { return Ok(()) };
            let at = |i: usize| d.get(i).and_then(Option::as_ref);
            let arriving = Arriving { d_h_n: at(0), d_c_n: at(1), d_y: at(2) };
            let leaving = lstm::backward(saved, arriving, &gradients_of, wanted)?;
            if let Some(d_x) = leaving.d_x {
                gradients.add(x_id, d_x)?;
            }
            if let Some((d_h, d_c)) = leaving.d_state {
                gradients.add(h_id, d_h)?;
                gradients.add(c_id, d_c)?;
            }
            Ok(())
        });
        let mut vars = vars.into_iter();
        let h = vars.next().unwrap_or_else(|| Var::constant(output.h_n));
        let c = vars.next().unwrap_or_else(|| Var::constant(output.c_n));
        let output = match vars.next() {
            Some(y) => y.with_lengths(x.lengths().cloned()),
            None => h.clone(),
        };
        Ok(LstmOutput { output, state: LstmState { h, c } })
    }
}

impl Layer for Lstm {
    fn kind(&self) -> &'static str {
        "lstm"
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let h = self.hidden_size;
        check_size("Lstm::hidden_size", h)?;
        check_size("Lstm input_size", input_size)?;
        check_weights(4 * h, input_size.max(h))?;
        let prefix = params.free_prefix("lstm");
        let add = |name: &str, shape, layout, values: &[f32]| {
            params.add(format!("{prefix}.{name}"), shape, layout, values)
        };
        let values = init::glorot_uniform(&mut params.rng(), input_size, 4 * h);
        let gates = |rows| Layout::Gates { rows, hidden_size: h };
        let weight_ih = add("weight_ih", vec![4 * h, input_size], gates(input_size), &values);
        let values = init::orthogonal(&mut params.rng(), h, 4 * h);
        let weight_hh = add("weight_hh", vec![4 * h, h], gates(h), &values);
        let values = [0.0, 1.0, 0.0, 0.0].repeat(h);
        let bias = add("bias", vec![4 * h], gates(1), &values);
        self.built = Some(Built { input_size, weight_ih, weight_hh, bias });
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.hidden_size
    }

    fn gives_sequence(&self, _: bool) -> bool {
        self.sequences
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Lstm::forward(self, tape, x)
    }

    fn parameter_count(&self) -> usize {
        self.built.map_or(0, |b| 4 * self.hidden_size * (b.input_size + self.hidden_size + 1))
    }
}
