//! Activations: what a layer does to its sums, and by themselves.

use super::{Layer, LayerState, Params, check_size, to_config};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::ops::elementwise::activation::{self, Kind};
use crate::ops::norm::softmax;
use crate::{DType, Error, GateActivation, Result};
use serde::{Deserialize, Serialize};

/// What a [`super::Dense`] or [`super::Conv1d`] does to its sums, last; by itself, [`Activation::forward`], or as a
/// layer of a model, to which it is added as layers are.
///
/// Inside of an LSTM's cell each value of a gate goes by itself, at each timestep: [`GateActivation`], into which
/// those convert by `try_into` that it has.
///
/// ```
/// use wgpu_lstm::nn::{Activation, Dense};
/// use wgpu_lstm::{Device, Sequential};
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Dense::new(8))
///     .add(Activation::LeakyRelu { alpha: 0.01 })
///     .add(Dense::new(2));
/// model.build(3)?;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the parameters are those of the formula")]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    #[default]
    Linear,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// tanh x.
    Tanh,
    /// max(x, 0).
    Relu,
    /// eˣ over the sum of eˣ of the row.
    Softmax,
    /// x if x > 0, else `alpha` (eˣ - 1): Clevert et al. 2016. `alpha` is 1 by default in PyTorch and Keras.
    Elu { alpha: f32 },
    /// An [`Activation::Elu`] of 1.6733, times 1.0507: Klambauer et al. 2017.
    Selu,
    /// x Φ(x), with the normal distribution Φ: Hendrycks & Gimpel 2016. PyTorch's and Keras' default.
    Gelu,
    /// [`Activation::Gelu`] by a tanh: PyTorch's `approximate="tanh"`, Keras' `approximate=True`.
    GeluTanh,
    /// x / (1 + e⁻ˣ): swish.
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// x / (1 + |x|).
    Softsign,
    /// `alpha` x + `beta`, from 0 to 1: [`Activation::HARD_SIGMOID`] of PyTorch and Keras 3, 0.2 and 0.5 of
    /// Keras 2 and ONNX.
    HardSigmoid { alpha: f32, beta: f32 },
    /// x if x > 0, else `alpha` x. `alpha` is 0.01 by default in PyTorch and ONNX, in Keras 0.3 in the layer and 0.2
    /// in the function.
    LeakyRelu { alpha: f32 },
    /// eˣ.
    Exp,
    /// x, from 0 to 6.
    Relu6,
    /// x times [`Activation::HARD_SIGMOID`]: Howard et al. 2019; Keras' `hard_silu`, PyTorch's `Hardswish`.
    HardSilu,
    /// x tanh(ln(1 + eˣ)): Misra 2019.
    Mish,
    /// x if x > `alpha`, else 0.
    ThresholdedRelu { alpha: f32 },
}

impl Activation {
    /// x / 6 + 0.5, from 0 to 1: the hard sigmoid of PyTorch and Keras 3.
    pub const HARD_SIGMOID: Self = Self::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 };

    fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::Linear | Self::Softmax => return None,
            Self::Sigmoid => Kind::Sigmoid,
            Self::Tanh => Kind::Tanh,
            Self::Relu => Kind::Relu,
            Self::Elu { alpha } => Kind::Elu { alpha },
            Self::Selu => Kind::Selu,
            Self::Gelu => Kind::Gelu,
            Self::GeluTanh => Kind::GeluTanh,
            Self::Silu => Kind::Silu,
            Self::Softplus => Kind::Softplus,
            Self::Softsign => Kind::Softsign,
            Self::HardSigmoid { alpha, beta } => Kind::HardSigmoid { alpha, beta },
            Self::LeakyRelu { alpha } => Kind::LeakyRelu { alpha },
            Self::Exp => Kind::Exp,
            Self::Relu6 => Kind::Relu6,
            Self::HardSilu => Kind::HardSilu,
            Self::Mish => Kind::Mish,
            Self::ThresholdedRelu { alpha } => Kind::ThresholdedRelu { alpha },
        })
    }

    /// Checks the parameters; the argument is the path of the method that sets the activation.
    pub(super) fn check(self, option: &'static str) -> Result<()> {
        let finite = match self {
            Self::Elu { alpha } | Self::LeakyRelu { alpha } | Self::ThresholdedRelu { alpha } => {
                alpha.is_finite()
            }
            Self::HardSigmoid { alpha, beta } => alpha.is_finite() && beta.is_finite(),
            _ => true,
        };
        if finite {
            return Ok(());
        }
        let expected = "finite parameters".into();
        Err(Error::Option { option, found: format!("{self:?}"), expected })
    }

    /// Applies it, over the last axis where it goes by rows. A NaN stays one.
    ///
    /// # Errors
    /// [`Error::Option`] for parameters that are not finite; [`Error::DType`], [`Error::Empty`]; those of the
    /// device.
    pub fn forward(self, tape: &Tape, x: &Var) -> Result<Var> {
        if self == Self::Linear {
            return Ok(x.clone());
        }
        self.check("Activation")?;
        Check::new("Activation::forward", "").dtype("x", x.tensor(), DType::F32)?;
        if x.tensor().is_empty() {
            let (op, found) = ("Activation::forward", x.shape().to_vec());
            return Err(Error::Empty { op, arg: "x", axes: "[..]", found });
        }
        let kind = self.kind();
        let y = match kind {
            Some(kind) => activation::activation(kind, x.tensor())?,
            None => softmax::softmax(x.tensor())?,
        };
        let of_x = kind.is_some_and(Kind::slope_is_of_x);
        let (id, saved) = (tape.id(x), if of_x { x.tensor().clone() } else { y.clone() });
        let y = tape.push_one(y, id.is_some(), move |d_y, gradients| {
            let d_x = match kind {
                Some(kind) => activation::backward(kind, &saved, d_y)?,
                None => softmax::backward(&saved, d_y)?,
            };
            gradients.add(id, d_x)
        });
        Ok(y.with_steps_of(x))
    }
}

/// The activation of a gate that computes the same function.
///
/// ```
/// use wgpu_lstm::{Error, nn::{Activation, GateActivation}};
/// assert_eq!(GateActivation::try_from(Activation::Relu), Ok(GateActivation::Relu));
/// let softmax = GateActivation::try_from(Activation::Softmax);
/// assert!(matches!(softmax, Err(Error::Unsupported { .. })));
/// ```
impl TryFrom<Activation> for GateActivation {
    type Error = Error;

    /// [`Error::Unsupported`] for a softmax, and for functions whose slope their value does not tell.
    fn try_from(activation: Activation) -> Result<Self> {
        let unsupported = |what, help| {
            let with = "GateActivation";
            Err(Error::Unsupported { what, with, help })
        };
        Ok(match activation {
            Activation::Linear => Self::Affine { alpha: 1.0, beta: 0.0 },
            Activation::Sigmoid => Self::Sigmoid,
            Activation::Tanh => Self::Tanh,
            Activation::Relu => Self::Relu,
            Activation::Elu { alpha } => Self::Elu { alpha },
            Activation::Softplus => Self::Softplus,
            Activation::Softsign => Self::Softsign,
            Activation::HardSigmoid { alpha, beta } => Self::HardSigmoid { alpha, beta },
            Activation::LeakyRelu { alpha } => Self::LeakyRelu { alpha },
            Activation::ThresholdedRelu { alpha } => Self::ThresholdedRelu { alpha },
            Activation::Softmax => {
                let help = "a gate's values go each by itself: take the sigmoid";
                return unsupported("Activation::Softmax", help);
            }
            _ => {
                let help =
                    "a gate has the activations of ONNX's LSTM: those that GateActivation names";
                return unsupported("such an Activation", help);
            }
        })
    }
}

/// What a model takes as a layer: every [`Layer`], a box of one, and an [`Activation`].
///
/// ```
/// use wgpu_lstm::nn::{Activation, Dense, IntoLayer, Layer};
/// let layers: Vec<Box<dyn Layer>> = vec![Dense::new(3).into_layer(), Activation::Relu.into_layer()];
/// assert_eq!((layers[0].kind(), layers[1].kind()), ("dense", "activation"));
/// ```
pub trait IntoLayer {
    /// The layer.
    fn into_layer(self) -> Box<dyn Layer>;
}

impl<L: Layer + 'static> IntoLayer for L {
    fn into_layer(self) -> Box<dyn Layer> {
        Box::new(self)
    }
}

impl IntoLayer for Box<dyn Layer> {
    fn into_layer(self) -> Box<dyn Layer> {
        self
    }
}

impl IntoLayer for Activation {
    fn into_layer(self) -> Box<dyn Layer> {
        Box::new(Activate { activation: self, size: 0 })
    }
}

/// An activation as a layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Activate {
    activation: Activation,
    #[serde(skip)]
    size: usize,
}

impl Layer for Activate {
    fn kind(&self) -> &'static str {
        "activation"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn activation(&self) -> Option<Activation> {
        Some(self.activation)
    }

    fn build_on(&mut self, _: &Params, input_size: usize) -> Result<()> {
        check_size("Activation::input_size", input_size)?;
        self.activation.check("Activation")?;
        self.size = input_size;
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.size
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let x = super::functions::without_padding(tape, "activation", x)?;
        self.activation.forward(tape, &x)
    }

    fn forward_logits(&self, tape: &Tape, x: &Var) -> Result<(Var, Activation)> {
        Ok((super::functions::without_padding(tape, "activation", x)?, self.activation))
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.activation.forward(tape, x)?, state))
    }

    fn parameter_count(&self) -> usize {
        0
    }
}
