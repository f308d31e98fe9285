//! Normalisation by the statistics of a training that is over.

use super::{Layer, LayerState, Own, Params, check_size, functions, init, is_built, to_config};
use crate::autograd::{Layout, ParamId, Tape, Var};
use crate::check::{Check, check_positive};
use crate::ops::conv::batch_norm as op;
use crate::ops::sums::column_sum::column_sum;
use crate::{DType, Error, Result};
use serde::{Deserialize, Serialize};

/// Scales and shifts each feature by a mean and a variance that are known: `(x - running_mean) / sqrt(running_var +
/// eps) * weight + bias` (Ioffe & Szegedy 2015), `[..,F]` to `[..,F]`. PyTorch's `BatchNorm1d` in `eval()`, Keras'
/// `BatchNormalization` with `training=False`.
///
/// It is for models that were trained elsewhere: the statistics are those that were loaded, in training as well, where
/// `weight` and `bias` learn and the statistics do not ([`crate::Sequential::unfreeze`] leaves them). Batches have no
/// statistics here, since those of sequences of different lengths would say more of the lengths than of the features:
/// for a model of your own take [`super::LayerNorm`].
///
/// Past a row's length it reads nothing. A mask does not change what it computes, as in [`super::Dense`].
///
/// ```
/// use wgpu_lstm::nn::{BatchNorm, Params};
/// use wgpu_lstm::{Device, Tape, Tensor};
/// let device = Device::auto()?;
/// let params = Params::new(&device);
/// let norm = BatchNorm::new().eps(0.0625).build(&params, 1)?;
/// params.set("batch_norm.running_mean", &[3.0])?;
/// params.set("batch_norm.running_var", &[0.1875])?;
/// let x = Tensor::from_slice(&[3.0, 4.0], [2, 1], &device)?;
/// let y = norm.forward(&Tape::inference(&params), &x.into())?;
/// assert_eq!(y.tensor().to_vec()?, [0.0, 2.0]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct BatchNorm {
    eps: f32,
    frozen: bool,
    #[serde(skip)]
    built: Option<Built>,
}

#[derive(Debug, Clone, Copy)]
struct Built {
    size: usize,
    weight: ParamId,
    bias: ParamId,
    mean: ParamId,
    variance: ParamId,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchNorm {
    /// A layer with an epsilon of 1e-5, as in PyTorch (Keras has 1e-3).
    pub fn new() -> Self {
        Self { eps: 1e-5, frozen: false, built: None }
    }

    /// Sets the number that is added to the variance.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// Excludes the layer's weight and bias from training, too: Keras' `trainable=False`.
    /// [`crate::Sequential::unfreeze`] ends it.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// The layer with its parameters in `params`, `[F]` each: `batch_norm.weight` (1), `batch_norm.bias` (0),
    /// `batch_norm.running_mean` (0) and `batch_norm.running_var` (1).
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0 or an epsilon that is not above 0; [`Error::Features`] if the layer was built
    /// with these `params` for another `input_size`; [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let Some(built) = self.built else {
            return Err(Error::NotBuilt { what: "this BatchNorm", call: "build" });
        };
        let size = built.size;
        let (gain, d_gain) = tape.parameter(built.weight, &[size])?;
        let (bias, d_bias) = tape.parameter(built.bias, &[size])?;
        let (mean, _) = tape.parameter(built.mean, &[size])?;
        let (variance, _) = tape.parameter(built.variance, &[size])?;
        let check = Check::new("batch_norm", "the layer was built for that input_size");
        check.dtype("x", x.tensor(), DType::F32)?;
        check.features("x", x.tensor(), "[..,F]", size)?;
        check.device(x.tensor(), &[("weight", &gain)])?;
        let x = functions::without_padding(tape, "batch_norm", x)?;
        let norm = op::BatchNorm { mean, variance, gain, bias, epsilon: self.eps };
        let y = norm.forward(x.tensor())?;
        let (id, saved) = (tape.id(&x), x.tensor().clone());
        let y = tape.push_one(y, true, move |d_y, gradients| {
            column_sum(d_y, &d_bias)?;
            column_sum(&norm.gain_terms(&saved, d_y)?, &d_gain)?;
            match id {
                Some(_) => gradients.add(id, norm.backward(d_y)?),
                None => Ok(()),
            }
        });
        Ok(y.with_steps_of(&x))
    }
}

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
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
        check_size("BatchNorm::input_size", input_size)?;
        check_positive("BatchNorm::eps", self.eps)?;
        let prefix = params.free_prefix("batch_norm");
        let add = |name: &str, value: f32| {
            let values = init::repeated(&[value], input_size)?;
            params.add(format!("{prefix}.{name}"), vec![input_size], Layout::Plain, &values)
        };
        let mark = params.mark();
        let added = || -> Result<Built> {
            let (weight, bias) = (add("weight", 1.0)?, add("bias", 0.0)?);
            if self.frozen {
                params.freeze_since(mark);
            }
            let learned = params.mark();
            let (mean, variance) = (add("running_mean", 0.0)?, add("running_var", 1.0)?);
            params.fix_since(learned);
            Ok(Built { size: input_size, weight, bias, mean, variance })
        };
        // On an error no parameter of the layer stays behind.
        self.built = Some(added().inspect_err(|_| params.drop_since(mark))?);
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.built.map_or(0, |b| b.size)
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        BatchNorm::forward(self, tape, x)
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.forward(tape, x)?, state))
    }

    fn parameter_count(&self) -> usize {
        4 * self.output_size()
    }
}
