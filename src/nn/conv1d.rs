//! Convolution over timesteps.

use super::functions::{concat, without_padding};
use super::padding::{Padding, Windows};
use super::{
    Activation, Init, Layer, LayerState, LstmState, Own, Params, check_size, check_weights,
    is_built, to_config,
};
use crate::autograd::{Layout, ParamId, Tape, Var};
use crate::check::Check;
use crate::ops::conv::conv1d::Conv;
use crate::ops::frames::copy_columns::copy_columns;
use crate::ops::sums::column_sum::column_sum;
use crate::{DType, Error, Result, Tensor};
use serde::{Deserialize, Serialize};

/// A convolution over timesteps: `[B,T,C]` to `[B,T',channels]`, each output a weighted sum of the `kernel_size`
/// frames under a window (a cross-correlation, as everywhere). PyTorch's `Conv1d`, but for its axes, which are
/// `[B,C,T]`; Keras' `Conv1D`.
///
/// Of a row of length L there are as many outputs as it gives by itself, `(before + L + after - reach) / stride + 1`
/// ([`Padding`]), and what comes behind it is padding as at the end of a sequence: zeros. A mask does not change
/// what it computes, and ends here, as in Keras; the lengths of rows go on.
///
/// In a [`crate::Sequential::stepper`] goes what sees no later frame: [`Padding::Causal`] with a stride of 1, or a
/// kernel of one frame.
///
/// ```
/// use wgpu_lstm::nn::{Activation, Conv1d, Dense, Lstm, Padding, Pool1d};
/// use wgpu_lstm::{Device, Sequential, Tape, Tensor};
/// let device = Device::auto()?;
/// let mut model = Sequential::new(&device)
///     .add(Conv1d::new(8, 3).padding(Padding::Same).activation(Activation::Relu))
///     .add(Pool1d::max(2))
///     .add(Lstm::new(16))
///     .add(Dense::new(3));
/// model.build(4)?;
/// assert_eq!(model.params().shape("conv1d.weight")?, [8, 4, 3]);
/// let x = Tensor::zeros([2, 10, 4], &device)?;
/// let y = model.forward(&Tape::inference(model.params()), &x.into())?;
/// assert_eq!(y.shape(), [2, 3]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default = "blank", deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Conv1d {
    channels: usize,
    kernel_size: usize,
    stride: usize,
    dilation: usize,
    groups: usize,
    padding: Padding,
    activation: Activation,
    use_bias: bool,
    frozen: bool,
    kernel_init: Init,
    bias_init: Init,
    #[serde(skip)]
    built: Option<Built>,
}

#[derive(Debug, Clone, Copy)]
struct Built {
    input_size: usize,
    weight: ParamId,
    bias: Option<ParamId>,
}

/// What a file that lacks an option gets.
fn blank() -> Conv1d {
    Conv1d::new(0, 0)
}

impl Conv1d {
    /// A layer of this many output channels, with windows of this many frames, a stride and dilation of 1, and no
    /// padding.
    pub fn new(channels: usize, kernel_size: usize) -> Self {
        Self {
            channels,
            kernel_size,
            stride: 1,
            dilation: 1,
            groups: 1,
            padding: Padding::Valid,
            activation: Activation::Linear,
            use_bias: true,
            frozen: false,
            kernel_init: Init::GlorotUniform,
            bias_init: Init::Zeros,
            built: None,
        }
    }

    /// Sets the frames from one window to the next.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the frames from one tap of a window to the next.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = dilation;
        self
    }

    /// Parts the channels, of input and output alike, into so many groups that do not see each other: with as many as
    /// the input has channels, a depthwise convolution.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets what stands around a sequence: nothing by default.
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Sets the activation: linear by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Leaves out the bias: Keras' `use_bias=False`, PyTorch's `bias=False`.
    pub fn no_bias(mut self) -> Self {
        self.use_bias = false;
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

    /// Excludes the layer's parameters from training, an optimizer's weight decay included, as
    /// [`super::Embedding::frozen`] does: Keras' `trainable=False`. [`crate::Sequential::unfreeze`] ends it.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// The layer with its parameters, `conv1d.weight` `[channels, C/groups, kernel_size]` (Glorot uniform) and
    /// `conv1d.bias` `[channels]` (zero) unless [`Conv1d::kernel_init`] and [`Conv1d::bias_init`] say otherwise, in
    /// `params`. `input_size` is C.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0, and for groups that do not part the channels evenly; [`Error::Unsupported`]
    /// for the first values of a bias that is left out; [`Error::Features`] if the layer was built with these
    /// `params` for another `input_size`; [`Error::TooLarge`], [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`]; [`Error::Empty`] for fewer timesteps than a window takes; [`Error::Unsupported`] for rows
    /// of different lengths with [`Padding::Same`] and a stride, whose padding begins differently.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        self.activation.forward(tape, &self.linear(tape, x, self.windows())?)
    }

    fn windows(&self) -> Windows {
        let Self { kernel_size: size, stride, dilation, padding, .. } = *self;
        Windows { size, stride, dilation, padding }
    }

    /// The sums, before the activation.
    fn linear(&self, tape: &Tape, x: &Var, windows: Windows) -> Result<Var> {
        let Some(Built { input_size, weight, bias }) = self.built else {
            return Err(Error::NotBuilt { what: "this Conv1d", call: "build" });
        };
        let each = self.channels / self.groups;
        let shape = [self.groups, self.kernel_size * (input_size / self.groups), each];
        let (weight, d_weight) = tape.weight(weight, &shape)?;
        let bias = bias.map(|bias| tape.parameter(bias, &[self.channels])).transpose()?;
        let (bias, d_bias) = bias.unzip();
        let check = Check::new("conv1d", "the layer was built for that input_size");
        check.dtype("x", x.tensor(), DType::F32)?;
        let axes = "[B,T,C], as a layer with return_sequences gives it";
        let [b, t, _] = check.dims("x", x.tensor(), axes)?;
        check.shape("x", x.tensor(), "[B,T,C]", &[b, t, input_size])?;
        x.counted("conv1d", b, t)?;
        let x = without_padding(tape, "conv1d", &x.without_mask())?;
        let (window, lengths) = windows.of_rows("Conv1d", &x, t)?;
        let conv = Conv::new(x.tensor(), &weight, bias.as_ref(), window)?;
        let y = conv.forward(x.tensor(), &weight, bias.as_ref())?;
        let (id, saved) = (tape.id(&x), x.tensor().clone());
        let y = tape.push_one(y, true, move |d_y, gradients| {
            if let Some(d_bias) = &d_bias {
                column_sum(d_y, d_bias)?;
            }
            match conv.backward(&saved, &weight, d_y, &d_weight, id.is_some())? {
                Some(d_x) => gradients.add(id, d_x),
                None => Ok(()),
            }
        });
        Ok(y.with_lengths(lengths))
    }
}

impl Layer for Conv1d {
    fn activation(&self) -> Option<Activation> {
        Some(self.activation)
    }

    fn kind(&self) -> &'static str {
        "conv1d"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.built.map(|b| b.weight)
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let before = self.built.map(|b| (b.weight, b.input_size));
        if is_built(params, before, input_size)? {
            return Ok(());
        }
        let (groups, channels, size) = (self.groups, self.channels, self.kernel_size);
        check_size("Conv1d::channels", channels)?;
        check_size("Conv1d::input_size", input_size)?;
        check_size("Conv1d::groups", groups)?;
        self.windows().check([
            "Conv1d::kernel_size",
            "Conv1d::stride",
            "Conv1d::dilation",
            "Conv1d::padding",
        ])?;
        if !channels.is_multiple_of(groups) || !input_size.is_multiple_of(groups) {
            return Err(Error::Option {
                option: "Conv1d::groups",
                found: groups.to_string(),
                expected: format!("a divisor of {channels} channels and of {input_size} features"),
            });
        }
        let terms = size * (input_size / groups);
        check_weights(terms, channels)?;
        self.activation.check("Conv1d::activation")?;
        self.kernel_init.check("Conv1d::kernel_init")?;
        self.bias_init.check_bias("Conv1d::bias_init")?;
        if !self.use_bias && self.bias_init != Init::Zeros {
            return Err(Error::Unsupported {
                what: "Conv1d::bias_init",
                with: "Conv1d::no_bias",
                help: "there is no bias that it could set",
            });
        }
        let prefix = params.free_prefix("conv1d");
        let init = self.kernel_init.or_pytorch(Init::GlorotUniform, params);
        let values = init.kernel(params, [terms, channels], size)?;
        let (inputs, outputs) = (input_size / groups, channels / groups);
        let layout = Layout::Conv { groups, size, inputs, outputs };
        let shape = vec![channels, inputs, size];
        let mark = params.mark();
        let weight = params.add(format!("{prefix}.weight"), shape, layout, &values)?;
        let bias = || -> Result<ParamId> {
            let init = self.bias_init.or_pytorch(Init::Zeros, params);
            let values = init.bias(params, channels, terms, 1)?;
            params.add(format!("{prefix}.bias"), vec![channels], Layout::Plain, &values)
        };
        let bias = self.use_bias.then(bias).transpose();
        let bias = bias.inspect_err(|_| params.drop_since(mark))?;
        if self.frozen {
            params.freeze_since(mark);
        }
        self.built = Some(Built { input_size, weight, bias });
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.channels
    }

    fn output_timesteps(&self, timesteps: usize) -> usize {
        self.windows().outputs(timesteps)
    }

    fn gives_sequence(&self, _: bool) -> bool {
        true
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Conv1d::forward(self, tape, x)
    }

    fn forward_logits(&self, tape: &Tape, x: &Var) -> Result<(Var, Activation)> {
        Ok((self.linear(tape, x, self.windows())?, self.activation))
    }

    fn sees_masked_frames(&self, _: Own) -> bool {
        self.kernel_size > 1
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        if !self.windows().is_causal() {
            return Err(Error::Unsupported {
                what: "Sequential::stepper",
                with: "Conv1d",
                help: "an output must be made of its own frame and those before it: Padding::Causal, and a stride \
                       of 1",
            });
        }
        if self.kernel_size == 1 {
            return Ok((Conv1d::forward(self, tape, x)?, state));
        }
        // The state is the frames before, side by side, the oldest first.
        let (rows, size) = (x.shape()[0], x.shape().last().copied().unwrap_or(0));
        let kept = (self.kernel_size - 1) * self.dilation;
        let (device, width) = (x.tensor().device(), kept * size);
        let before = match state.0.as_deref() {
            Some([state]) => state.clone(),
            _ => LstmState::new(
                Tensor::zeros([rows, width], &device)?.into(),
                Tensor::zeros([rows, 0], &device)?.into(),
            ),
        };
        let now = Var::from(x.tensor().reshape([rows, size])?);
        let all = concat(tape, &[before.h.clone(), now])?;
        let after = Tensor::empty([rows, width], &device)?;
        copy_columns((all.tensor(), size), (&after, 0), width)?;
        let after = super::functions::kept_at(x.mask(), &before.h, after)?;
        let seen = Var::from(all.tensor().reshape([rows, kept + 1, size])?);
        let windows = Windows { padding: Padding::Valid, ..self.windows() };
        let y = self.activation.forward(tape, &self.linear(tape, &seen, windows)?)?;
        let state = LstmState::new(after.into(), before.c);
        Ok((y.with_mask(x.mask().cloned()), LayerState(Some(vec![state]))))
    }

    fn parameter_count(&self) -> usize {
        self.built.map_or(0, |b| {
            let terms = self.kernel_size * (b.input_size / self.groups);
            (terms + usize::from(b.bias.is_some())) * self.channels
        })
    }
}
