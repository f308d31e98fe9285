//! y = act(W x + b).

mod quantized;
mod tied;

use super::functions::without_padding;
use super::regularizer::{Constraints, penalize_activity};
use super::{
    Activation, Init, Layer, LayerState, Own, Params, Regularizer, check_size, check_weights,
    is_built, to_config,
};
use crate::autograd::{Layout, ParamId};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::ops::gemm::{Gemm, Matrix, add_slopes};
use crate::ops::sums::column_sum::column_sum;
use crate::{DType, Error, Result, Tensor};
use serde::{Deserialize, Serialize};

/// A fully connected layer: `[..,I]` to `[..,units]`, with the same weights at each timestep.
///
/// Past a row's length ([`Var::with_lengths`]) it reads nothing, so padding may hold anything, even NaN:
/// the output there is the activated bias, and no gradient flows back. A mask ([`Var::with_mask`]) does
/// not change what it computes, as in Keras: at a step that is left out it takes the value that is there,
/// which after an LSTM is the repeated output. NaN at such a step of the layer's own input gives NaN in
/// the output there and in the gradient of the weights, as in Keras; an LSTM before it removes them.
/// [`crate::loss::RowWeights`] say which outputs a loss counts.
///
/// ```
/// use wgpu_lstm::nn::{Activation, Dense};
/// let head = Dense::new(1).activation(Activation::Sigmoid);
/// # let _ = head;
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default = "blank", deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Dense {
    pub(super) units: usize,
    pub(super) activation: Activation,
    use_bias: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tied: bool,
    frozen: bool,
    kernel_init: Init,
    bias_init: Init,
    kernel: Constraints,
    bias: Constraints,
    pub(super) activity: Regularizer,
    #[serde(skip)]
    built: Option<Built>,
}

/// What a file that lacks an option gets.
fn blank() -> Dense {
    Dense::new(0)
}

#[derive(Debug, Clone, Copy)]
struct Built {
    input_size: usize,
    weight: ParamId,
    bias: Option<ParamId>,
}

/// What a forward pass takes.
pub(super) struct Taken {
    pub(super) x: Var,
    pub(super) weight: Tensor,
    pub(super) d_weight: Tensor,
    /// With the sum for its gradient.
    pub(super) bias: Option<(Tensor, Tensor)>,
    /// Whether the weight has a row for each unit, as an embedding's.
    pub(super) tied: bool,
}

impl Dense {
    /// A layer of this many units, without activation.
    pub fn new(units: usize) -> Self {
        Self {
            units,
            activation: Activation::Linear,
            use_bias: true,
            tied: false,
            frozen: false,
            kernel_init: Init::GlorotUniform,
            bias_init: Init::Zeros,
            kernel: Constraints::default(),
            bias: Constraints::default(),
            activity: Regularizer::default(),
            built: None,
        }
    }

    /// Sets the activation: linear by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Leaves out the bias: y = act(W x). Keras' `use_bias=False`, PyTorch's `bias=False`.
    ///
    /// ```
    /// use wgpu_lstm::{Device, nn::{Dense, Params}};
    /// let params = Params::new(&Device::auto()?);
    /// let _ = Dense::new(4).no_bias().build(&params, 3)?;
    /// assert_eq!(params.names(), ["dense.weight"]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn no_bias(mut self) -> Self {
        self.use_bias = false;
        self
    }

    /// Takes the vectors of an [`super::Embedding`] for the weights: that of the last one that was built before with
    /// these [`Params`] and has as many tokens as this layer units, and vectors as long as its input. They are one
    /// parameter, with one gradient of both uses, and belong to the embedding, by whose name they are saved: the output
    /// of a language model that needs no weights of its own (Press & Wolf 2017, arXiv 1608.05859; Inan et al. 2017).
    ///
    /// The last layer before it has to give vectors of the embedding's size: [`super::Lstm::projection`] or an LSTM of
    /// as many units. A bias is the layer's own.
    ///
    /// ```
    /// use wgpu_lstm::nn::{Dense, Embedding, Lstm};
    /// use wgpu_lstm::{Device, Sequential};
    /// let mut model = Sequential::new(&Device::auto()?)
    ///     .add(Embedding::new(50, 8))
    ///     .add(Lstm::new(8).return_sequences())
    ///     .add(Dense::new(50).tied());
    /// model.build(1)?;
    /// assert!(!model.params().names().contains(&"dense.weight".into()));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn tied(mut self) -> Self {
        self.tied = true;
        self
    }

    /// Sets how the first weights are drawn: Glorot uniform by default, Keras' `kernel_initializer`.
    pub fn kernel_init(mut self, init: Init) -> Self {
        self.kernel_init = init;
        self
    }

    /// Sets how the first biases are drawn: 0 by default, Keras' `bias_initializer`.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias_init = init;
        self
    }

    /// Penalizes the weights.
    pub fn kernel_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.kernel.regularizer = regularizer;
        self
    }

    /// Penalizes the biases.
    pub fn bias_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.bias.regularizer = regularizer;
        self
    }

    /// Penalizes the outputs, as a mean over the rows of the batch.
    pub fn activity_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.activity = regularizer;
        self
    }

    /// Limits the norm of each unit's weights, after each step of training (Srivastava et al. 2014,
    /// section 5.1): Keras' `MaxNorm`.
    pub fn kernel_max_norm(mut self, limit: f32) -> Self {
        self.kernel.max_norm = Some(limit);
        self
    }

    /// Excludes the layer's parameters from training, an optimizer's weight decay included, as
    /// [`super::Embedding::frozen`] does: Keras' `trainable=False`. [`crate::Sequential::unfreeze`] ends it.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// The layer with its parameters, `dense.weight` `[units,I]` (Glorot uniform) and
    /// `dense.bias` `[units]` (zero) unless [`Dense::kernel_init`] and [`Dense::bias_init`] say otherwise, in
    /// `params`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0, for a softmax over one unit and for factors or limits that
    /// make no sense; [`Error::Unsupported`] for the first values of a bias that is left out, and for options of weights
    /// that are [`Dense::tied`]; [`Error::NotBuilt`] if there is no embedding for these;
    /// [`Error::Features`] if the layer was built with these `params` for another `input_size`;
    /// [`Error::TooLarge`], [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let y = self.activation.forward(tape, &self.linear(tape, x)?)?;
        penalize_activity(tape, self.activity, &y)?;
        Ok(y)
    }

    /// The layer's parameters, and an input that was checked.
    pub(super) fn take(&self, tape: &Tape, x: &Var) -> Result<Taken> {
        let Some(Built { input_size, weight, bias }) = self.built else {
            return Err(Error::NotBuilt { what: "this Dense", call: "build" });
        };
        let units = self.units;
        let tied = self.tied;
        let shape = if tied { [units, input_size] } else { [input_size, units] };
        let (weight, d_weight) = tape.weight(weight, &shape)?;
        let bias = bias.map(|bias| tape.parameter(bias, &[units])).transpose()?;
        let tensor = x.tensor();
        let check = Check::new("dense", "the layer was built for that input_size");
        check.dtype("x", tensor, DType::F32)?;
        check.features("x", tensor, "[..,I]", input_size)?;
        check.device(tensor, &[("weight", &weight)])?;
        let x = without_padding(tape, "dense", x)?;
        Ok(Taken { x, weight, d_weight, bias, tied })
    }

    fn linear(&self, tape: &Tape, x: &Var) -> Result<Var> {
        if let Some(y) = self.quantized(tape, x)? {
            return Ok(y);
        }
        let Taken { x, weight, d_weight, bias, tied } = self.take(tape, x)?;
        let (tensor, units) = (x.tensor(), self.units);
        let last = weight.len() / units;
        let rows = &tensor.shape()[..tensor.shape().len() - 1];

        let (m, shape) = (tensor.len() / last, [rows, &[units]].concat());
        let y = Tensor::empty(shape, &tensor.device())?;
        let (bias, d_bias) = bias.unzip();
        Gemm { m, n: units, k: last, bias: bias.as_ref(), accumulate: false }.run(
            Matrix::new(tensor, last),
            Matrix::of_units(&weight, [last, units], tied),
            Matrix::new(&y, units),
        )?;
        let (id, x_saved) = (tape.id(&x), tensor.clone());
        let y = tape.push_one(y, true, move |d_y, gradients| {
            let mixed = weight.is_half();
            let d_y_rows = Matrix::new(d_y, units).rounded(mixed);
            let x_rows = Matrix::new(&x_saved, last).rounded(mixed);
            add_slopes(x_rows, d_y_rows, m, [last, units], &d_weight, tied)?;
            if let Some(d_bias) = &d_bias {
                column_sum(d_y, d_bias)?;
            }
            if id.is_some() {
                let d_x = Tensor::empty(x_saved.shape(), &x_saved.device())?;
                Gemm { m, n: last, k: units, bias: None, accumulate: false }.run(
                    d_y_rows,
                    Matrix::of_units(&weight, [last, units], tied).t(),
                    Matrix::new(&d_x, last),
                )?;
                gradients.add(id, d_x)?;
            }
            Ok(())
        });
        Ok(y.with_steps_of(&x))
    }
}

impl Layer for Dense {
    fn activation(&self) -> Option<Activation> {
        Some(self.activation)
    }

    fn kind(&self) -> &'static str {
        "dense"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn quantizable(&self, _: Own) -> Vec<ParamId> {
        self.built.iter().filter(|_| !self.tied).map(|built| built.weight).collect()
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        // What is tied belongs to another layer.
        self.built.and_then(|b| if self.tied { b.bias } else { Some(b.weight) })
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let before = self.built.map(|b| (b.weight, b.input_size));
        if is_built(params, before, input_size)? {
            return Ok(());
        }
        check_size("Dense::units", self.units)?;
        check_size("Dense::input_size", input_size)?;
        check_weights(self.units, input_size)?;
        if self.activation == Activation::Softmax && self.units == 1 {
            return Err(Error::Option {
                option: "Dense::units",
                found: "1 with Activation::Softmax".into(),
                expected: "at least 2: a softmax of one unit is 1 always; Activation::Sigmoid \
                           tells two classes apart"
                    .into(),
            });
        }
        self.activation.check("Dense::activation")?;
        self.kernel.check("Dense::kernel_regularizer", "Dense::kernel_max_norm")?;
        self.bias.regularizer.check("Dense::bias_regularizer")?;
        self.activity.check("Dense::activity_regularizer")?;
        self.kernel_init.check("Dense::kernel_init")?;
        self.bias_init.check_bias("Dense::bias_init")?;
        if !self.use_bias && self.bias_init != Init::Zeros {
            return Err(Error::Unsupported {
                what: "Dense::bias_init",
                with: "Dense::no_bias",
                help: "there is no bias that it could set",
            });
        }
        let prefix = params.free_prefix("dense");
        let mark = params.mark();
        let weight = if self.tied {
            self.vectors_of_embedding(params, input_size)?
        } else {
            let init = self.kernel_init.or_pytorch(Init::GlorotUniform, params);
            let values = init.weight(params, [input_size, self.units], input_size)?;
            let layout = Layout::Transposed { rows: input_size, columns: self.units };
            params.add(format!("{prefix}.weight"), vec![self.units, input_size], layout, &values)?
        };
        let bias = || -> Result<ParamId> {
            let init = self.bias_init.or_pytorch(Init::Zeros, params);
            let values = init.bias(params, self.units, input_size, 1)?;
            params.add(format!("{prefix}.bias"), vec![self.units], Layout::Plain, &values)
        };
        let bias = self.use_bias.then(bias).transpose();
        let bias = bias.inspect_err(|_| params.drop_since(mark))?;
        if !self.tied {
            self.kernel.apply(params, weight, self.units);
        }
        if let Some(bias) = bias {
            self.bias.apply(params, bias, self.units);
        }
        if self.frozen {
            params.freeze_since(mark);
        }
        self.built = Some(Built { input_size, weight, bias });
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.units
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Dense::forward(self, tape, x)
    }

    fn head(&self, _: Own) -> Option<&Dense> {
        Some(self)
    }

    fn forward_logits(&self, tape: &Tape, x: &Var) -> Result<(Var, Activation)> {
        let logits = self.linear(tape, x)?;
        if self.activity != Regularizer::default() {
            penalize_activity(tape, self.activity, &self.activation.forward(tape, &logits)?)?;
        }
        Ok((logits, self.activation))
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.forward(tape, x)?, state))
    }

    fn parameter_count(&self) -> usize {
        let own = |b: Built| if self.tied { 0 } else { b.input_size };
        self.built.map_or(0, |b| (own(b) + usize::from(b.bias.is_some())) * self.units)
    }
}
