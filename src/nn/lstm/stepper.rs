//! An LSTM layer frame by frame, for streams whose frames arrive at any time.

use super::steps::{Steps, StreamId};
use super::{Directions, Lstm};
use crate::autograd::{Params, Tape, Var};
use crate::nn::functions::reshape;
use crate::nn::own::Stackable;
use crate::nn::{LayerState, check_floats, check_size};
use crate::ops::lstm::StackLayer;
use crate::ops::lstm::cell::Noise;
use crate::{Error, Result, Tensor};
use std::sync::Arc;

/// Runs a layer frame by frame: one frame of each stream in, one output out. The states stay on
/// the device, and once every kind of call has been made none makes a new buffer there. A whole model goes
/// frame by frame by [`crate::Sequential::stepper`].
///
/// Streams join and leave at any time; a stream without a frame in a call keeps its state. A change of the
/// parameters counts from the next step on. On the CPU the outputs have the bits of [`Lstm::forward`] on whole
/// sequences. On a GPU they differ by up to 1e-6: there one product with `weight_ih` serves all frames, and its
/// kernel for many rows adds in another order than that for few.
///
/// ```
/// use wgpu_lstm::{Device, nn::{Lstm, Params}};
/// let params = Params::new(&Device::auto()?);
/// let lstm = Lstm::new(8).build(&params, 3)?;
/// let mut stepper = lstm.stepper(&params, 2)?;
/// let (a, b) = (stepper.join()?, stepper.join()?);
/// let outputs = stepper.step(&[(a, &[0.1, 0.2, 0.3]), (b, &[0.4, 0.5, 0.6])])?;
/// assert_eq!((outputs.len(), outputs[0].len()), (2, 8));
/// let outputs = stepper.step(&[(b, &[0.7, 0.8, 0.9])])?;
/// assert_eq!(outputs.len(), 1);
/// stepper.leave(a)?;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
pub struct LstmStepper(Steps);

impl Lstm {
    /// A stepper for up to `streams` streams at a time. Its first step is made here, with zeros, so that the
    /// kernels are compiled.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] of a layer that was not built with these `params`; [`Error::Option`] for no
    /// streams; [`Error::Unsupported`] for a layer that looks at frames to come: one that is
    /// bidirectional or goes backwards; [`Error::TooLarge`] and [`Error::OutOfMemory`] for more streams
    /// than there is memory for.
    pub fn stepper(&self, params: &Params, streams: usize) -> Result<LstmStepper> {
        let Some(built) = &self.built else {
            return Err(Error::NotBuilt { what: "this Lstm", call: "build" });
        };
        self.check_forward("Lstm::stepper")?;
        let option = ("LstmStepper::streams", streams);
        check_size(option.0, streams)?;
        check_floats("the states of all streams", streams, self.hidden_size)?;
        if !built.directions.iter().all(|ids| params.owns(ids.weight_ih)) {
            return Err(Error::NotBuilt { what: "this Lstm", call: "build with these Params" });
        }
        let input_size = built.directions.first().map_or(0, |ids| ids.input_size);
        let mut layer = self.clone();
        (layer.sequences, layer.memory, layer.time_major) = (false, None, false);
        Ok(LstmStepper(Steps::new(params, vec![Arc::new(layer)], input_size, option)?))
    }

    /// Checks that no step looks at frames to come.
    fn check_forward(&self, what: &'static str) -> Result<()> {
        self.directions.check_forward(what, ["Lstm::go_backwards", "Lstm::bidirectional"])
    }

    /// The next frame of each row: see [`crate::nn::Layer::step`].
    pub(super) fn next_frame(
        &self,
        tape: &Tape,
        x: &Var,
        state: LayerState,
    ) -> Result<(Var, LayerState)> {
        self.check_forward("Sequential::stepper")?;
        let out = match &self.memory {
            // What the layer remembers of batches is not of these rows.
            Some(_) => Self { memory: None, ..self.clone() }.run(tape, x, state.0.as_deref())?,
            None => self.run(tape, x, state.0.as_deref())?,
        };
        let mut output = out.output;
        // The layer itself, which does not know the frames before, gives 0 where this one is left out.
        if let (true, Some(state)) = (self.repeats_output(x), out.state.last()) {
            output = reshape(tape, &state.h, output.shape())?.with_steps_of(x);
        }
        Ok((output, LayerState(Some(out.state))))
    }

    /// Whether the output at a step that the mask of `x` leaves out is that of the step before.
    fn repeats_output(&self, x: &Var) -> bool {
        self.sequences && x.mask().is_some() && !self.zero_output_for_mask
    }

    /// The layer as one that can run without tensors on the CPU.
    pub(super) fn stackable(&self, params: &Params) -> Result<Option<Stackable>> {
        let Some(built) = &self.built else { return Ok(None) };
        if self.directions != Directions::Forward || self.layer_norm || self.is_quantized(params) {
            return Ok(None);
        }
        let tape = Tape::inference(params);
        let layer = |ids| {
            let (direction, projection) = self.direction(&tape, ids, false, false)?;
            let projection = projection.map(|weight| weight.tensor().clone());
            Ok(StackLayer { weights: direction.weights(), projection })
        };
        let layers = built.directions.iter().map(layer).collect::<Result<_>>()?;
        let config = self.config(false, Noise::default());
        Ok(Some(Stackable {
            layers,
            config,
            sequences: self.sequences,
            repeats: !self.zero_output_for_mask,
        }))
    }
}

impl LstmStepper {
    /// Lets frames through that are not finite: they give NaN, in their own stream alone, until it is reset.
    /// Without this [`LstmStepper::step`] refuses them.
    #[must_use]
    pub fn allow_nan(mut self) -> Self {
        self.0.allow_nan();
        self
    }

    /// The stream of each row of [`LstmStepper::step_all`]; `None` for a place that is free.
    pub fn streams(&self) -> &[Option<StreamId>] {
        self.0.streams()
    }

    /// Adds a stream, in a state of zeros.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] if as many streams are there as the stepper was made for.
    pub fn join(&mut self) -> Result<StreamId> {
        self.0.join()
    }

    /// Removes a stream, whose place is then free.
    ///
    /// # Errors
    /// [`Error::Stream`] if there is no such stream.
    pub fn leave(&mut self, stream: StreamId) -> Result<()> {
        self.0.leave("LstmStepper::leave", stream)
    }

    /// Resets the state of a stream to zeros.
    ///
    /// # Errors
    /// [`Error::Stream`] if there is no such stream.
    pub fn reset(&mut self, stream: StreamId) -> Result<()> {
        self.0.reset("LstmStepper::reset", stream)
    }

    /// The state of a stream, as numbers to be kept: h and c of each layer. Waits for the device. Of a layer
    /// with a projection the CPU also keeps h before it.
    ///
    /// # Errors
    /// [`Error::Stream`] if there is no such stream, and those of the device.
    pub fn state(&self, stream: StreamId) -> Result<Vec<f32>> {
        self.0.state("LstmStepper::state", stream)
    }

    /// Replaces the state of a stream by one that [`LstmStepper::state`] gave, of this stepper or of one of a
    /// layer with the same options on the same kind of device.
    ///
    /// # Errors
    /// [`Error::Stream`] if there is no such stream, [`Error::Count`] for more or fewer numbers than a state
    /// has, and those of the device. None changes a state.
    pub fn set_state(&mut self, stream: StreamId, state: &[f32]) -> Result<()> {
        self.0.set_state("LstmStepper::set_state", stream, state)
    }

    /// Takes a frame `[I]` of some of the streams, and returns the output of each in the same order. Waits
    /// for the device.
    ///
    /// # Errors
    /// [`Error::Stream`] for a stream that is not there or comes twice, [`Error::At`] the stream for a
    /// frame of another size, [`Error::NotFinite`] for one that is not finite (but see
    /// [`LstmStepper::allow_nan`]), and those of the device. None changes a state.
    pub fn step(&mut self, frames: &[(StreamId, &[f32])]) -> Result<Vec<Vec<f32>>> {
        self.0.step("LstmStepper::step", frames)?;
        let size = self.0.output_size();
        Ok(self.0.outputs().chunks_exact(size).map(<[f32]>::to_vec).collect())
    }

    /// Takes a frame of every joined stream, `[streams,I]` on the device, and returns the outputs
    /// `[streams,H]` without waiting. [`LstmStepper::streams`] says which row is whose; rows of places without
    /// a stream are undefined. Frames are not looked at: NaN gives NaN, in its own row alone.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`], [`Error::OtherDevice`], and those of the device.
    pub fn step_all(&mut self, frames: &Tensor) -> Result<Tensor> {
        self.0.step_all("LstmStepper::step_all", frames)
    }
}
