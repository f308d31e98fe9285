//! A way around a layer, with a gate that learns how much goes there.

use super::functions::{mix, without_padding};
use super::inner::{self, Flow, Make, Part};
use super::{
    Activation, Dense, Init, IntoLayer, Layer, LayerState, Own, Params, check_size, to_config,
    unpacked,
};
use crate::autograd::{ParamId, Tape, Var};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A layer with a way around it: y = t ∘ layer(x) + (1 - t) ∘ x, where the gate t = σ(W x + b) says for each feature how
/// much goes through the layer. So gradients reach the layers below undamped, and stacks of many LSTMs learn
/// (Srivastava et al. 2015, arXiv 1505.00387; between LSTMs Zhang et al. 2016). If the layer gives another number of
/// features than it takes, a product without bias takes the place of x.
///
/// The gate sees the input alone. He et al. (2017) let it see the output of the step before, too, and feed the result
/// back into the LSTM: that is another cell.
///
/// The bias b begins at -1, so that at first most goes around; [`Highway::gate_bias`] sets it. W and b are a
/// [`Dense`], and named as such, behind the parameters of the layer.
///
/// ```
/// use wgpu_lstm::nn::{Dense, Highway, Lstm};
/// use wgpu_lstm::{Device, Sequential};
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(8).return_sequences())
///     .add(Highway::new(Lstm::new(8).go_backwards().return_sequences()))
///     .add(Highway::new(Lstm::new(8).return_sequences()))
///     .add(Dense::new(2));
/// model.build(3)?;
/// assert_eq!(model.params().shape("dense.weight")?, [8, 8]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Highway {
    layer: Box<dyn Layer>,
    gate_bias: f32,
    gate: Option<Dense>,
    /// What makes as many features of the input as the layer does, where these are others.
    around: Option<Dense>,
}

/// What a file says of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    gate_bias: f32,
    layer: Part,
}

impl Highway {
    /// A way around a layer, which takes and gives a sequence, or a row.
    pub fn new(layer: impl IntoLayer) -> Self {
        Self { layer: layer.into_layer(), gate_bias: -1.0, gate: None, around: None }
    }

    /// Sets the first values of the gate's bias, -1 by default: the lower, the more goes around the layer at first.
    pub fn gate_bias(mut self, bias: f32) -> Self {
        self.gate_bias = bias;
        self
    }

    pub(super) fn from_config(config: &str, make: Make<'_>) -> Result<Self> {
        let Config { gate_bias, layer } = serde_json::from_str(config).map_err(Error::custom)?;
        Ok(Self { layer: layer.make(make)?, gate_bias, gate: None, around: None })
    }

    /// The layer with the parameters of its own layer and of its gate in `params`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0 and a bias that is not finite; [`Error::Unsupported`] for a stateful layer,
    /// and for one that makes a row of a sequence, or takes other timesteps than it gives; those of the layer.
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`], and those of the layer inside.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let x = without_padding(tape, "highway", x)?;
        let y = inner::forward(self.layer.as_ref(), tape, &x)?;
        self.join(tape, &unpacked(tape, &y)?, &x)
    }

    /// What the gate makes of the layer's output and its input.
    fn join(&self, tape: &Tape, y: &Var, x: &Var) -> Result<Var> {
        let Some(gate) = &self.gate else {
            return Err(Error::NotBuilt { what: "this Highway", call: "build" });
        };
        let t = gate.forward(tape, x)?;
        let x = match &self.around {
            Some(around) => around.forward(tape, x)?,
            None => x.clone(),
        };
        mix(tape, y, &x, &t)
    }

    /// The layer, its gate, and what goes around.
    fn parts(&self) -> impl Iterator<Item = &dyn Layer> {
        let own = [&self.gate, &self.around].into_iter().flatten();
        std::iter::once(self.layer.as_ref()).chain(own.map(|dense| dense as &dyn Layer))
    }
}

impl fmt::Debug for Highway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Highway");
        all.field("layer", &self.layer.kind()).field("gate_bias", &self.gate_bias).finish()
    }
}

impl Layer for Highway {
    fn kind(&self) -> &'static str {
        "highway"
    }

    fn config(&self) -> Result<String> {
        let layer = Part::of(self.layer.as_ref())?;
        to_config(&Config { gate_bias: self.gate_bias, layer })
    }

    fn activation(&self) -> Option<Activation> {
        Some(Activation::Linear)
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.parts().find_map(|layer| layer.parameter(Own))
    }

    fn inner(&self, _: Own) -> Vec<&dyn Layer> {
        self.parts().collect()
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        check_size("Highway::input_size", input_size)?;
        inner::check("Highway", self.layer.as_ref())?;
        let changed = |frames| self.layer.output_timesteps(frames) != frames;
        // Numbers that no stride divides, and beside which no window is wide.
        if !self.layer.gives_sequence(true) || [100_000_007, 100_000_037].into_iter().any(changed) {
            return Err(Error::Unsupported {
                what: "a layer that gives other timesteps than it takes",
                with: "Highway",
                help: "each step goes around it: take return_sequences, or put it behind",
            });
        }
        let mark = params.mark();
        let mut build = || {
            let mut flow = Flow { size: input_size, sequence: true, timesteps: None };
            flow.build(self.layer.as_mut(), params)?;
            let gate = match self.gate.take() {
                Some(gate) => gate,
                None => Dense::new(flow.size)
                    .activation(Activation::Sigmoid)
                    .bias_init(Init::Constant(self.gate_bias)),
            };
            self.gate = Some(gate.build(params, input_size)?);
            if flow.size != input_size {
                let around = self.around.take();
                let around = around.unwrap_or_else(|| Dense::new(flow.size).no_bias());
                self.around = Some(around.build(params, input_size)?);
            }
            Ok(())
        };
        build().inspect_err(|_| params.drop_since(mark))
    }

    fn output_size(&self) -> usize {
        self.layer.output_size()
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        self.layer.gives_sequence(takes_sequence)
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Highway::forward(self, tape, x)
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        let (y, state) = self.layer.step(tape, x, state)?;
        Ok((self.join(tape, &y, x)?, state))
    }

    fn parameter_count(&self) -> usize {
        self.parts().map(|layer| layer.parameter_count()).sum()
    }
}
