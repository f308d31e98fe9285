//! Layer normalisation.

use super::functions;
use super::init;
use super::{Layer, LayerState, Own, Params, check_size, is_built, to_config};
use crate::autograd::{Layout, ParamId};
use crate::autograd::{Tape, Var};
use crate::check::{Check, check_positive};
use crate::{DType, Error, Result};
use serde::{Deserialize, Serialize};

/// The number added to a variance, as in PyTorch.
pub(crate) const EPSILON: f32 = 1e-5;

/// Normalises the features of each frame to the mean 0 and the variance 1, then scales by a gain and adds
/// a bias (Ba et al. 2016, arXiv 1607.06450): `[..,F]` to `[..,F]`.
///
/// Past a row's length it reads nothing, and gives the bias. A mask does not change what it computes,
/// as in Keras: see [`super::Dense`].
///
/// ```
/// use wgpu_lstm::nn::{Lstm, LayerNorm};
/// use wgpu_lstm::Sequential;
/// use wgpu_lstm::Device;
/// let model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(16).return_sequences())
///     .add(LayerNorm::new())
///     .add(Lstm::new(16));
/// # let _ = model;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct LayerNorm {
    epsilon: f32,
    frozen: bool,
    #[serde(skip)]
    built: Option<Built>,
}

#[derive(Debug, Clone, Copy)]
struct Built {
    size: usize,
    weight: ParamId,
    bias: ParamId,
}

impl Default for LayerNorm {
    fn default() -> Self {
        Self::new()
    }
}

impl LayerNorm {
    /// A layer with an epsilon of 1e-5, as in PyTorch (Keras has 1e-3).
    pub fn new() -> Self {
        Self { epsilon: EPSILON, frozen: false, built: None }
    }

    /// Sets the number that is added to the variance.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Excludes the layer's parameters from training, an optimizer's weight decay included, as
    /// [`super::Embedding::frozen`] does: Keras' `trainable=False`. [`crate::Sequential::unfreeze`] ends it.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// The layer with its parameters, `layer_norm.weight` `[F]` (1) and `layer_norm.bias` `[F]`
    /// (0), in `params`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0 or an epsilon that is not above 0; [`Error::Features`] if the
    /// layer was built with these `params` for another `input_size`; [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let Some(Built { size, weight, bias }) = self.built else {
            return Err(Error::NotBuilt { what: "this LayerNorm", call: "build" });
        };
        let gain = tape.parameter(weight, &[size])?;
        let bias = tape.parameter(bias, &[size])?;
        let check = Check::new("layer_norm", "the layer was built for that input_size");
        check.dtype("x", x.tensor(), DType::F32)?;
        check.features("x", x.tensor(), "[..,F]", size)?;
        check.device(x.tensor(), &[("weight", &gain.0)])?;
        let x = functions::without_padding(tape, "layer_norm", x)?;
        functions::layer_norm(tape, &x, gain, Some(bias), self.epsilon)
    }
}

impl Layer for LayerNorm {
    fn kind(&self) -> &'static str {
        "layer_norm"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.built.map(|b| b.weight)
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let before = self.built.map(|b| (b.weight, b.size));
        if is_built(params, before, input_size)? {
            return Ok(());
        }
        check_size("LayerNorm::input_size", input_size)?;
        check_positive("LayerNorm::epsilon", self.epsilon)?;
        let prefix = params.free_prefix("layer_norm");
        let add = |name: &str, value: f32| {
            let values = init::repeated(&[value], input_size)?;
            params.add(format!("{prefix}.{name}"), vec![input_size], Layout::Plain, &values)
        };
        let mark = params.mark();
        let added = add("weight", 1.0).and_then(|weight| Ok((weight, add("bias", 0.0)?)));
        // On an error no parameter of the layer stays behind.
        let (weight, bias) = added.inspect_err(|_| params.drop_since(mark))?;
        self.built = Some(Built { size: input_size, weight, bias });
        if self.frozen {
            params.freeze_since(mark);
        }
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.built.map_or(0, |b| b.size)
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        LayerNorm::forward(self, tape, x)
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.forward(tape, x)?, state))
    }

    fn parameter_count(&self) -> usize {
        2 * self.output_size()
    }
}
