//! The options of a cell: activations, coupling, clips, peepholes, dropout and zoneout.

use crate::check::check_share;
use crate::ops::common::threefry::Key;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// An activation inside a cell: those of ONNX's operator `LSTM`, with their parameters. Each value goes
/// by itself; what layers do to their results is [`crate::nn::Activation`], which converts into this one.
///
/// Keras' `hard_sigmoid` is `HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }`, ONNX's default
/// `HardSigmoid { alpha: 0.2, beta: 0.5 }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the parameters are those of the formula")]
#[non_exhaustive]
pub enum GateActivation {
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `tanh(x)`
    Tanh,
    /// `max(0, x)`
    Relu,
    /// `alpha x + beta`
    Affine { alpha: f32, beta: f32 },
    /// `alpha x + beta`, from 0 to 1. `alpha` is above 0.
    HardSigmoid { alpha: f32, beta: f32 },
    /// `x` if `x >= 0`, else `alpha x`. `alpha` is at least 0.
    LeakyRelu { alpha: f32 },
    /// `alpha tanh(beta x)`. `alpha` is not 0.
    ScaledTanh { alpha: f32, beta: f32 },
    /// `x` if `x >= 0`, else `alpha (exp(x) - 1)`. `alpha` is at least 0.
    Elu { alpha: f32 },
    /// `x / (1 + |x|)`
    Softsign,
    /// `log(1 + exp(x))`
    Softplus,
    /// `x` if `x > alpha`, else 0. `alpha` is at least 0.
    ThresholdedRelu { alpha: f32 },
}

impl GateActivation {
    /// The number that the shaders know it by, alpha and beta.
    pub(crate) fn parts(self) -> (u32, f32, f32) {
        match self {
            Self::Sigmoid => (0, 0.0, 0.0),
            Self::Tanh => (1, 0.0, 0.0),
            Self::Relu => (2, 0.0, 0.0),
            Self::Affine { alpha, beta } => (3, alpha, beta),
            Self::HardSigmoid { alpha, beta } => (4, alpha, beta),
            Self::LeakyRelu { alpha } => (5, alpha, 0.0),
            Self::ScaledTanh { alpha, beta } => (6, alpha, beta),
            Self::Elu { alpha } => (7, alpha, 0.0),
            Self::Softsign => (8, 0.0, 0.0),
            Self::Softplus => (9, 0.0, 0.0),
            Self::ThresholdedRelu { alpha } => (10, alpha, 0.0),
        }
    }

    /// Checks that the slope can be told from the value.
    pub(crate) fn check(self, option: &'static str) -> Result<()> {
        let (_, alpha, beta) = self.parts();
        let fits = alpha.is_finite()
            && beta.is_finite()
            && match self {
                Self::HardSigmoid { .. } => alpha > 0.0,
                Self::ScaledTanh { .. } => alpha != 0.0,
                Self::LeakyRelu { .. } | Self::Elu { .. } | Self::ThresholdedRelu { .. } => {
                    alpha >= 0.0
                }
                _ => true,
            };
        if fits {
            return Ok(());
        }
        Err(Error::Option {
            option,
            found: format!("{self:?}"),
            expected: "finite parameters; alpha at least 0, of HardSigmoid above 0, of ScaledTanh \
                       not 0"
                .into(),
        })
    }
}

/// Gates of which one follows the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Coupling {
    /// Each gate has its own weights.
    #[default]
    None,
    /// `i = 1 - f` (CIFG: Greff et al. 2017). The weights of i are not used.
    InputFollowsForget,
    /// `f = 1 - i`: ONNX's `input_forget`. The weights of f are not used.
    ForgetFollowsInput,
}

/// What a cell does otherwise than the plain one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cell {
    pub(crate) recurrent: GateActivation,
    pub(crate) input: GateActivation,
    pub(crate) output: GateActivation,
    pub(crate) coupling: Coupling,
    pub(crate) clip: Option<f32>,
    pub(crate) cell_clip: Option<f32>,
    pub(crate) peepholes: bool,
    /// Rate of the dropout of h on its way to the next step, the same at every step: Gal & Ghahramani
    /// 2016.
    pub(crate) recurrent_dropout: f32,
    /// Rates of the zoneout of h and c: Krueger et al. 2017.
    pub(crate) zoneout: [f32; 2],
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            recurrent: GateActivation::Sigmoid,
            input: GateActivation::Tanh,
            output: GateActivation::Tanh,
            coupling: Coupling::None,
            clip: None,
            cell_clip: None,
            peepholes: false,
            recurrent_dropout: 0.0,
            zoneout: [0.0; 2],
        }
    }
}

/// Whether random numbers are drawn, and which.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Noise {
    pub(crate) training: bool,
    pub(crate) key: Key,
}

impl Cell {
    /// Whether it differs from the plain cell.
    pub(crate) fn is_variant(&self) -> bool {
        *self != Self::default()
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.recurrent.check("Lstm::recurrent_activation")?;
        self.input.check("Lstm::activation")?;
        self.output.check("Lstm::output_activation")?;
        for (option, clip) in [("Lstm::clip", self.clip), ("Lstm::cell_clip", self.cell_clip)] {
            if let Some(clip) = clip.filter(|&c| !(c > 0.0 && c.is_finite())) {
                let expected = "above 0, and finite".into();
                return Err(Error::Option { option, found: clip.to_string(), expected });
            }
        }
        let [h, c] = self.zoneout;
        check_share("Lstm::recurrent_dropout", self.recurrent_dropout)?;
        check_share("Lstm::zoneout", h)?;
        check_share("Lstm::zoneout", c)
    }
}
