//! Layers within each frame.

use super::functions::{reshape, without_padding};
use super::inner::{self, Flow, Part};
use super::{Activation, IntoLayer, Layer, LayerState, Layers, Own, Params, check_size, to_config};
use crate::autograd::{ParamId, Tape, Var};
use crate::check::Check;
use crate::{DType, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Takes each frame as a sequence of its own, `[F]` as `[F/channels, channels]`, through layers that make one frame of
/// it: `[B,T,F]` to `[B,T,O]`. So a model can hear a frame of samples by convolutions before an LSTM goes over the
/// frames; and a stream of such frames goes through step by step, whatever the layers inside do. Keras'
/// `TimeDistributed`.
///
/// Past a row's length it reads nothing. A mask does not change what it computes, as in [`super::Dense`].
///
/// ```
/// use wgpu_lstm::nn::{Activation, Conv1d, Dense, Flatten, Lstm, TimeDistributed};
/// use wgpu_lstm::{Device, Sequential};
/// // Frames of 16 samples: each becomes 7 frames of 4 channels, and these 28 features.
/// let hear = TimeDistributed::new()
///     .add(Conv1d::new(4, 4).stride(2).activation(Activation::Relu))
///     .add(Flatten::new());
/// let mut model =
///     Sequential::new(&Device::auto()?).add(hear).add(Lstm::new(8)).add(Dense::new(1));
/// model.build(16)?;
/// assert_eq!(model.params().shape("lstm.weight_ih_l0")?, [32, 28]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct TimeDistributed {
    channels: usize,
    layers: Vec<Box<dyn Layer>>,
    built: Option<usize>,
}

/// What a file says of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    channels: usize,
    layers: Vec<Part>,
}

impl Default for TimeDistributed {
    fn default() -> Self {
        Self::new()
    }
}

impl TimeDistributed {
    /// A layer without layers, for frames of one channel.
    pub fn new() -> Self {
        Self { channels: 1, layers: Vec::new(), built: None }
    }

    /// Sets the channels of the sequence that a frame is, 1 by default: F is `[F/channels, channels]`.
    pub fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Adds a layer. The last one gives a frame: [`super::Flatten`], a [`super::Pool`], a recurrent layer.
    #[expect(clippy::should_implement_trait, reason = "as in Sequential")]
    pub fn add(mut self, layer: impl IntoLayer) -> Self {
        self.layers.push(layer.into_layer());
        self
    }

    pub(super) fn from_config(config: &str, layers: &Layers) -> Result<Self> {
        let Config { channels, layers: parts } =
            serde_json::from_str(config).map_err(Error::custom)?;
        let layers = parts.iter().map(|part| part.make(layers)).collect::<Result<_>>()?;
        Ok(Self { channels, layers, built: None })
    }

    /// The layer with the parameters of its layers in `params`, named as they are.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] without layers; [`Error::Option`] for channels that do not part a frame evenly, and for
    /// frames too short; [`Error::Unsupported`] for a stateful layer, and for a last one that gives a sequence; those
    /// of the layers.
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`], and those of the layers inside.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Ok(self.run(tape, x, false)?.0)
    }

    /// Runs all layers, the last one up to its activation if the logits are wanted.
    fn run(&self, tape: &Tape, x: &Var, logits: bool) -> Result<(Var, Activation)> {
        let (Some(size), Some((last, layers))) = (self.built, self.layers.split_last()) else {
            return Err(Error::NotBuilt { what: "this TimeDistributed", call: "build" });
        };
        let check = Check::new("time_distributed", "the layer was built for that input_size");
        check.dtype("x", x.tensor(), DType::F32)?;
        check.features("x", x.tensor(), "[B,T,F]", size)?;
        let x = without_padding(tape, "time_distributed", x)?;
        let (rows, outer) = (x.tensor().len() / size, &x.shape()[..x.shape().len() - 1]);
        let mut y = reshape(tape, &x, &[rows, size / self.channels, self.channels])?;
        for layer in layers {
            y = inner::forward(layer.as_ref(), tape, &y)?;
        }
        let (y, activation) = match logits {
            true => last.forward_logits(tape, &super::unpacked(tape, &y)?)?,
            false => (inner::forward(last.as_ref(), tape, &y)?, Activation::Linear),
        };
        let shape = [outer, &[last.output_size()]].concat();
        Ok((reshape(tape, &y, &shape)?.with_steps_of(&x), activation))
    }
}

impl fmt::Debug for TimeDistributed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.layers.iter().map(|layer| layer.kind()).collect();
        let mut all = f.debug_struct("TimeDistributed");
        all.field("channels", &self.channels).field("layers", &kinds).finish()
    }
}

impl Layer for TimeDistributed {
    fn kind(&self) -> &'static str {
        "time_distributed"
    }

    fn config(&self) -> Result<String> {
        let layers = self.layers.iter().map(|layer| Part::of(layer.as_ref()));
        to_config(&Config { channels: self.channels, layers: layers.collect::<Result<_>>()? })
    }

    fn activation(&self) -> Option<Activation> {
        self.layers.iter().rev().find_map(|layer| layer.activation())
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.layers.iter().find_map(|layer| layer.parameter(Own))
    }

    fn inner(&self, _: Own) -> Vec<&dyn Layer> {
        self.layers.iter().map(|layer| layer.as_ref()).collect()
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        if self.layers.is_empty() {
            return Err(Error::NotBuilt { what: "a TimeDistributed without layers", call: "add" });
        }
        check_size("TimeDistributed::input_size", input_size)?;
        check_size("TimeDistributed::channels", self.channels)?;
        if !input_size.is_multiple_of(self.channels) {
            return Err(Error::Option {
                option: "TimeDistributed::channels",
                found: self.channels.to_string(),
                expected: format!("a divisor of the {input_size} features of a frame"),
            });
        }
        let timesteps = Some(input_size / self.channels);
        let mut flow = Flow { size: self.channels, sequence: true, timesteps };
        let mark = params.mark();
        let built = self.layers.iter_mut().try_for_each(|layer| {
            inner::check("TimeDistributed", layer.as_ref())?;
            flow.build(layer.as_mut(), params)
        });
        let built = built.and_then(|()| match flow.sequence {
            false => Ok(()),
            true => Err(Error::Unsupported {
                what: "a last layer that gives a sequence",
                with: "TimeDistributed",
                help: "the layers make one frame of each: add a Flatten or a Pool behind them",
            }),
        });
        built.inspect_err(|_| params.drop_since(mark))?;
        self.built = Some(input_size);
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.output_size())
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        TimeDistributed::forward(self, tape, x)
    }

    fn forward_logits(&self, tape: &Tape, x: &Var) -> Result<(Var, Activation)> {
        self.run(tape, x, true)
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.forward(tape, x)?, state))
    }

    fn parameter_count(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameter_count()).sum()
    }
}
