//! Dropout as a layer.

use super::functions::dropout;
use super::{Layer, LayerState, Params, to_config};
use crate::Result;
use crate::autograd::{Tape, Var};
use crate::check::check_share;
use serde::{Deserialize, Serialize};

/// Sets values to zero at random in training (on tapes that record), and scales the others to keep the
/// mean (Srivastava et al. 2014). The random mask comes from the parameters' seed, and is the same on
/// every device.
///
/// ```
/// use wgpu_lstm::nn::{Dense, Dropout, Lstm};
/// use wgpu_lstm::Sequential;
/// use wgpu_lstm::Device;
/// let model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(16))
///     .add(Dropout::new(0.5))
///     .add(Dense::new(3));
/// # let _ = model;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default = "blank", deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Dropout {
    rate: f32,
    same_steps: bool,
    #[serde(skip)]
    size: usize,
}

/// What a file that lacks an option gets.
fn blank() -> Dropout {
    Dropout::new(0.0)
}

impl Dropout {
    /// A layer that drops each value with the probability `rate`.
    pub fn new(rate: f32) -> Self {
        Self { rate, same_steps: false, size: 0 }
    }

    /// Drops whole features of a sequence `[B,T,F]`: one mask for all timesteps of a row
    /// (Gal & Ghahramani 2016; Keras' `SpatialDropout1D`).
    pub fn features(mut self) -> Self {
        self.same_steps = true;
        self
    }

    /// Runs the layer, which has no parameters to build. On a tape that does not train ([`Tape::trains`]), the
    /// values stay as they are.
    ///
    /// # Errors
    /// [`crate::Error::Option`] for a rate that is none; [`crate::Error::DType`], and those of the device.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        check_share("Dropout::rate", self.rate)?;
        dropout(tape, x, self.rate, self.same_steps)
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn build_on(&mut self, _: &Params, input_size: usize) -> Result<()> {
        check_share("Dropout::rate", self.rate)?;
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
        Dropout::forward(self, tape, x)
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.forward(tape, x)?, state))
    }

    fn parameter_count(&self) -> usize {
        0
    }
}
