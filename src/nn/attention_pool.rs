//! A mean of frames that are weighted by what they hold.

use super::functions::{parameter, repeat, zero_padding};
use super::{Init, Layer, Own, Params, check_size, is_built, to_config};
use crate::autograd::{Layout, ParamId, Tape, Var};
use crate::check::Check;
use crate::ops::attention::Attention;
use crate::{DType, Error, Result};
use serde::{Deserialize, Serialize};

/// The mean of a sequence's frames, weighted by the softmax over time of `w . x`: `[B,T,F]` to `[B,F]`. DeepMoji's and
/// textgenrnn's `AttentionWeightedAverage` (Felbo et al. 2017, arXiv 1708.00524).
///
/// Frames past a row's length, or that its mask leaves out, have the weight 0. [`crate::Sequential::attention_maps`]
/// tells the weights.
///
/// ```
/// use wgpu_lstm::nn::{AttentionPool, Params};
/// use wgpu_lstm::{Device, Tape, Tensor};
/// let device = Device::auto()?;
/// let params = Params::new(&device);
/// let pool = AttentionPool::new().build(&params, 1)?;
/// params.set("attention_pool.weight", &[std::f32::consts::LN_2])?;
/// let x = Tensor::from_slice(&[0.0, 1.0], [1, 2, 1], &device)?;
/// let y = pool.forward(&Tape::inference(&params), &x.into())?;
/// assert!((y.tensor().to_vec()?[0] - 2.0 / 3.0).abs() < 1e-6);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct AttentionPool {
    frozen: bool,
    #[serde(skip)]
    built: Option<(ParamId, usize)>,
}

impl AttentionPool {
    /// A layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Excludes the layer's parameter from training, as [`super::Embedding::frozen`] does: Keras' `trainable=False`.
    /// [`crate::Sequential::unfreeze`] ends it.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// The layer with its parameter, `attention_pool.weight` `[F]` (Glorot uniform), in `params`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0; [`Error::Features`] if the layer was built with these `params` for another
    /// `input_size`; [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let Some((weight, size)) = self.built else {
            return Err(Error::NotBuilt { what: "this AttentionPool", call: "build" });
        };
        let weight = tape.parameter(weight, &[size])?;
        let check = Check::new("attention_pool", "the layer was built for that input_size");
        check.dtype("x", x.tensor(), DType::F32)?;
        let axes = "[B,T,F], as a layer with return_sequences gives it";
        let [b, t, _] = check.dims("x", x.tensor(), axes)?;
        check.shape("x", x.tensor(), "[B,T,F]", &[b, t, size])?;
        check.device(x.tensor(), &[("weight", &weight.0)])?;
        let steps = x.counted("attention_pool", b, t)?;
        let x = zero_padding(tape, "attention_pool", x)?;
        let query = repeat(tape, &parameter(tape, weight), &[b, 1, size])?;
        let (q, k, values) = (query.tensor().clone(), x.tensor().clone(), x.tensor().clone());
        let call = Attention { q, k, values, score: None };
        let (weights, y) = call.forward(&steps)?;
        tape.look(&weights);
        let ids = [tape.id(&query), tape.id(&x)];
        Ok(tape.push_one(y.reshape([b, size])?, true, move |d_y, gradients| {
            let d = call.backward(&steps, &weights, d_y)?;
            gradients.add(ids[0], d.q)?;
            gradients.add(ids[1], d.k)?;
            gradients.add(ids[1], d.values)
        }))
    }
}

impl Layer for AttentionPool {
    fn kind(&self) -> &'static str {
        "attention_pool"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.built.map(|(weight, _)| weight)
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        if is_built(params, self.built, input_size)? {
            return Ok(());
        }
        check_size("AttentionPool::input_size", input_size)?;
        let prefix = params.free_prefix("attention_pool");
        let values = Init::GlorotUniform.weight(params, [input_size, 1], input_size)?;
        let mark = params.mark();
        let name = format!("{prefix}.weight");
        let weight = params.add(name, vec![input_size], Layout::Plain, &values)?;
        if self.frozen {
            params.freeze_since(mark);
        }
        self.built = Some((weight, input_size));
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.built.map_or(0, |(_, size)| size)
    }

    fn gives_sequence(&self, _: bool) -> bool {
        false
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        AttentionPool::forward(self, tape, x)
    }

    fn parameter_count(&self) -> usize {
        self.output_size()
    }
}
