//! The first values of an LSTM layer's parameters.

use super::Lstm;
use crate::nn::init::{self, Init};
use crate::nn::{Params, check_size};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Inits {
    pub(super) kernel: Init,
    pub(super) recurrent: Init,
    /// Of all gates; 0 by default, and then 1 for f.
    bias: Option<Init>,
    /// Of the gate f.
    forget_bias: Option<f32>,
    /// The timesteps over which the gates i and f are spread.
    chrono: Option<usize>,
}

impl Default for Inits {
    fn default() -> Self {
        Self {
            kernel: Init::GlorotUniform,
            recurrent: Init::Orthogonal { gain: 1.0 },
            bias: None,
            forget_bias: None,
            chrono: None,
        }
    }
}

impl Inits {
    /// Checks the options of a layer that has biases or not.
    pub(super) fn check(&self, has_bias: bool) -> Result<()> {
        self.kernel.check("Lstm::kernel_init")?;
        self.recurrent.check("Lstm::recurrent_init")?;
        self.bias.unwrap_or(Init::Zeros).check_bias("Lstm::bias_init")?;
        if let Some(value) = self.forget_bias.filter(|value| !value.is_finite()) {
            let (found, expected) = (value.to_string(), "a finite number".into());
            return Err(Error::Option { option: "Lstm::forget_bias", found, expected });
        }
        if let Some(timesteps) = self.chrono {
            check_size("Lstm::chrono_init", timesteps)?;
            if timesteps < 3 {
                let (found, expected) = (timesteps.to_string(), "at least 3 timesteps".into());
                return Err(Error::Option { option: "Lstm::chrono_init", found, expected });
            }
        }
        let refuse = |what, with, help| Err(Error::Unsupported { what, with, help });
        if self.chrono.is_some() && self.forget_bias.is_some() {
            let help = "both set the bias of the forget gate: leave one out";
            return refuse("Lstm::chrono_init", "Lstm::forget_bias", help);
        }
        let help = "there is no bias that it could set";
        match (has_bias, self.bias, self.chrono) {
            // PyTorch's layer without biases begins so, too.
            (false, Some(init), _) if init != Init::PyTorch => {
                refuse("Lstm::bias_init", "Lstm::no_bias", help)
            }
            (false, _, Some(_)) => refuse("Lstm::chrono_init", "Lstm::no_bias", help),
            _ => Ok(()),
        }
    }

    /// These, or what PyTorch's LSTM begins with in place of defaults, if these parameters are to begin so.
    pub(super) fn or_pytorch(self, params: &Params) -> Self {
        let default = Self::default();
        Self {
            kernel: self.kernel.or_pytorch(default.kernel, params),
            recurrent: self.recurrent.or_pytorch(default.recurrent, params),
            bias: self.bias.or(params.begins_as_pytorch().then_some(Init::PyTorch)),
            ..self
        }
    }

    /// The biases of the next direction, `[H,4]`.
    pub(super) fn biases(&self, params: &Params, hidden_size: usize) -> Result<Vec<f32>> {
        let init = self.bias.unwrap_or(Init::Zeros);
        let mut values = init.bias(params, 4 * hidden_size, hidden_size, 2)?;
        let default = self.bias.is_none().then_some(1.0);
        if let Some(forget_bias) = self.forget_bias.or(default) {
            values.chunks_exact_mut(4).for_each(|gates| gates[1] = forget_bias);
        }
        if let Some(timesteps) = self.chrono {
            init::chrono(params, timesteps, &mut values);
        }
        Ok(values)
    }
}

impl Lstm {
    /// Sets how all first weights and biases are drawn: uniform in ±1/sqrt(hidden size), as PyTorch's LSTM begins. The
    /// same as [`Init::PyTorch`] in `kernel_init`, `recurrent_init` and `bias_init`.
    ///
    /// ```
    /// use wgpu_lstm::{Device, nn::{Lstm, Params}};
    /// let params = Params::new(&Device::auto()?);
    /// let lstm = Lstm::new(16).pytorch_init().build(&params, 3)?;
    /// assert!(params.get("lstm.weight_ih_l0")?.iter().all(|w| w.abs() <= 0.25));
    /// // PyTorch has two biases, of which this is the sum.
    /// assert!(params.get("lstm.bias_l0")?.iter().all(|b| b.abs() <= 0.5));
    /// # let _ = lstm;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn pytorch_init(self) -> Self {
        self.kernel_init(Init::PyTorch).recurrent_init(Init::PyTorch).bias_init(Init::PyTorch)
    }

    /// Sets how the first input weights are drawn: Glorot uniform by default, Keras' `kernel_initializer`. A
    /// projection's weights are drawn in the same way.
    pub fn kernel_init(mut self, init: Init) -> Self {
        self.first.kernel = init;
        self
    }

    /// Sets how the first recurrent weights are drawn: orthogonal by default, Keras' `recurrent_initializer`.
    pub fn recurrent_init(mut self, init: Init) -> Self {
        self.first.recurrent = init;
        self
    }

    /// Sets how the first biases of all gates are drawn: Keras' `bias_initializer` without
    /// `unit_forget_bias`. By default they are 0, but 1 for the forget gate, which
    /// [`Lstm::forget_bias`] sets by itself.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.first.bias = Some(init);
        self
    }

    /// Sets the first value of the forget gate's bias: 1 by default (Jozefowicz et al. 2015), or what
    /// [`Lstm::bias_init`] draws.
    pub fn forget_bias(mut self, value: f32) -> Self {
        self.first.forget_bias = Some(value);
        self
    }

    /// Sets the first biases of the gates f and i so that the units remember for different times, up to
    /// `timesteps`, the longest dependence in the data, of at least 3: b_f = log(u), u uniform from 1 to
    /// `timesteps - 1` for each unit, and b_i = -b_f (Tallec & Ollivier 2018, arXiv 1804.11188: chrono
    /// initialization). The other gates' are 0, or what [`Lstm::bias_init`] draws.
    ///
    /// ```
    /// use wgpu_lstm::{Device, nn::{Lstm, Params}};
    /// let params = Params::new(&Device::auto()?);
    /// let lstm = Lstm::new(8).chrono_init(100).build(&params, 3)?;
    /// let bias = params.get("lstm.bias_l0")?; // the gates i, f, g, o
    /// assert!((0..8).all(|unit| bias[unit] == -bias[8 + unit] && bias[8 + unit] <= 99_f32.ln()));
    /// # let _ = lstm;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn chrono_init(mut self, timesteps: usize) -> Self {
        self.first.chrono = Some(timesteps);
        self
    }
}
