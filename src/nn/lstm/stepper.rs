//! An LSTM layer frame by frame, for streams whose frames arrive at any time.

use super::state::keep_rows;
use super::{Built, Directions, Lstm, LstmState};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::nn::{Params, check_floats};
use crate::ops::lstm::cell::Noise;
use crate::ops::lstm::{Stack, Weights};
use crate::{DType, Error, Mask, Result, Tensor};
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs a layer frame by frame: one frame of each stream in, one output out. The states stay on
/// the device, and once every kind of call has been made none makes a new buffer there.
///
/// Streams join and leave at any time; a stream without a frame in a call keeps its state. The outputs
/// are those of [`Lstm::forward`] on whole sequences, up to 1e-6: there one product with `weight_ih`
/// serves all frames, whose sums a device may add in another order.
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
pub struct LstmStepper {
    layer: Lstm,
    params: Params,
    input_size: usize,
    streams: Vec<Stream>,
    states: States,
    /// For each stream, whether it has a frame in this call.
    active: Vec<bool>,
    /// The frames of this call, `[streams,I]`.
    frames: Vec<f32>,
}

/// The streams' states, by the way in which a step is computed.
enum States {
    /// The layer runs on tensors.
    Layer {
        states: Vec<LstmState>,
        /// The mask of the last call, which the next may reuse.
        mask: Option<Mask>,
    },
    /// A stack on the CPU runs in its own memory, without tensors.
    Stack {
        stack: Box<Stack>,
        /// The generation of the parameters that the stack has packed.
        generation: u64,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    /// The number of the stream in this place; `None` if it is free.
    number: Option<u64>,
    /// Whether its state has yet to be set to zero.
    fresh: bool,
}

/// A stream of an [`LstmStepper`]. No other stream ever has the same, of this stepper or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId {
    place: usize,
    number: u64,
}

impl Lstm {
    /// A stepper for up to `streams` streams at a time.
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
        let backwards = match self.directions {
            Directions::Forward => None,
            Directions::Reverse => Some("Lstm::go_backwards"),
            Directions::Both(_) => Some("Lstm::bidirectional"),
        };
        if let Some(with) = backwards {
            let help = "frames to come are not there yet: step a layer that goes forward";
            return Err(Error::Unsupported { what: "Lstm::stepper", with, help });
        }
        crate::nn::check_size("LstmStepper::streams", streams)?;
        let input_size = built.directions.first().map_or(0, |ids| ids.input_size);
        let floats = input_size.max(self.hidden_size);
        check_floats("the frames or states of all streams", streams, floats)?;
        if !built.directions.iter().all(|ids| params.owns(ids.weight_ih)) {
            return Err(Error::NotBuilt { what: "this Lstm", call: "build with these Params" });
        }
        let mut layer = self.clone();
        (layer.sequences, layer.memory, layer.time_major) = (false, None, false);
        let device = params.device();
        let states = if device.is_gpu() || self.projection.is_some() || self.layer_norm {
            let zeros = |size: usize| Ok(Var::from(Tensor::zeros([streams, size], &device)?));
            let state =
                || Ok(LstmState { h: zeros(self.direction_size())?, c: zeros(self.hidden_size)? });
            let states = built.directions.iter().map(|_| state()).collect::<Result<_>>()?;
            States::Layer { states, mask: None }
        } else {
            let weights = self.weights(params, built)?;
            let stack = Stack::new(streams, weights, self.config(false, Noise::default()))?;
            States::Stack { stack: Box::new(stack), generation: params.generation() }
        };
        Ok(LstmStepper {
            layer,
            params: params.clone(),
            input_size,
            streams: vec![Stream::default(); streams],
            states,
            active: vec![false; streams],
            frames: vec![0.0; streams * input_size],
        })
    }

    /// The weights of each layer, for a stack on the CPU.
    fn weights(&self, params: &Params, built: &Built) -> Result<Vec<Weights>> {
        let (tape, h) = (Tape::inference(params), self.hidden_size);
        let value = |id, shape: &[usize]| Ok(tape.weight(id, shape)?.0);
        let layer = |ids: &super::DirectionParams| {
            let row = |id: Option<_>| id.map(|id| value(id, &[h, 4])).transpose();
            Ok(Weights {
                weight_ih: value(ids.weight_ih, &[ids.input_size, h, 4])?,
                weight_hh: value(ids.weight_hh, &[h, h, 4])?,
                bias: row(ids.bias)?,
                peepholes: row(ids.peepholes)?,
            })
        };
        built.directions.iter().map(layer).collect()
    }
}

impl LstmStepper {
    /// Adds a stream, in a state of zeros.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] if as many streams are there as the stepper was made for.
    pub fn join(&mut self) -> Result<StreamId> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some(place) = self.streams.iter().position(|s| s.number.is_none()) else {
            return Err(Error::TooManyStreams { places: self.streams.len() });
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.streams[place] = Stream { number: Some(number), fresh: true };
        Ok(StreamId { place, number })
    }

    /// Removes a stream, whose place is then free.
    ///
    /// # Errors
    /// [`Error::Stream`] if there is no such stream.
    pub fn leave(&mut self, stream: StreamId) -> Result<()> {
        self.check("LstmStepper::leave", None, stream)?;
        self.streams[stream.place] = Stream::default();
        Ok(())
    }

    /// Resets the state of a stream to zeros.
    ///
    /// # Errors
    /// [`Error::Stream`] if there is no such stream.
    pub fn reset(&mut self, stream: StreamId) -> Result<()> {
        self.check("LstmStepper::reset", None, stream)?;
        self.streams[stream.place].fresh = true;
        Ok(())
    }

    fn check(&self, op: &'static str, at: Option<usize>, stream: StreamId) -> Result<()> {
        match self.streams.get(stream.place) {
            Some(s) if s.number == Some(stream.number) => Ok(()),
            _ => Err(Error::Stream { op, at, twice: false }),
        }
    }

    /// Takes a frame `[I]` of some of the streams, and returns the output of each in the same order. Waits
    /// for the device.
    ///
    /// # Errors
    /// [`Error::Stream`] for a stream that is not there or comes twice, [`Error::Count`] for a
    /// frame of another size, and those of the device. None changes a state.
    pub fn step(&mut self, frames: &[(StreamId, &[f32])]) -> Result<Vec<Vec<f32>>> {
        self.active.fill(false);
        self.frames.fill(0.0);
        const OP: &str = "LstmStepper::step";
        for (at, &(stream, frame)) in frames.iter().enumerate() {
            self.check(OP, Some(at), stream)?;
            if std::mem::replace(&mut self.active[stream.place], true) {
                return Err(Error::Stream { op: OP, at: Some(at), twice: true });
            }
            if frame.len() != self.input_size {
                return Err(Error::Count {
                    op: OP,
                    shape: vec![self.input_size],
                    expected: self.input_size,
                    found: frame.len(),
                });
            }
            let place = stream.place * self.input_size;
            self.frames[place..place + self.input_size].copy_from_slice(frame);
        }
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        self.prepare()?;
        if let States::Stack { stack, .. } = &mut self.states {
            stack.step(&self.frames, &self.active);
            return Ok(frames.iter().map(|(s, _)| stack.output(s.place).to_vec()).collect());
        }
        let shape = [self.streams.len(), 1, self.input_size];
        let x = Tensor::from_slice(&self.frames, shape, &self.params.device())?;
        let words = self.run(x)?.to_vec()?;
        let size = words.len() / self.streams.len();
        Ok(frames.iter().map(|(s, _)| words[s.place * size..][..size].to_vec()).collect())
    }

    /// Takes a frame of every joined stream, `[streams,I]` on the device, and returns the outputs
    /// `[streams,H]` without waiting. Rows of places without a stream are undefined.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::Shape`], [`Error::DType`], [`Error::OtherDevice`], and those of the
    /// device.
    pub fn step_all(&mut self, frames: &Tensor) -> Result<Tensor> {
        let check = Check::new("LstmStepper::step_all", "a frame for each stream");
        check.dtype("frames", frames, DType::F32)?;
        let shape = [self.streams.len(), self.input_size];
        check.shape("frames", frames, "[streams,I]", &shape)?;
        let own = match &self.states {
            States::Layer { states, .. } => states.first().map(|state| state.h.tensor()),
            States::Stack { stack, .. } => stack.weight(),
        };
        if let Some(own) = own {
            check.device(own, &[("frames", frames)])?;
        }
        for (active, stream) in self.active.iter_mut().zip(&self.streams) {
            *active = stream.number.is_some();
        }
        let rows = self.streams.len();
        self.prepare()?;
        if let States::Stack { stack, .. } = &mut self.states {
            let y = Tensor::empty([rows, self.layer.hidden_size], &frames.device())?;
            stack.step(&frames.cpu(), &self.active);
            stack.outputs(&y);
            return Ok(y);
        }
        self.run(frames.reshape([rows, 1, self.input_size])?)
    }

    /// Prepares the stack for a step, if there is one.
    fn prepare(&mut self) -> Result<()> {
        let States::Stack { stack, generation } = &mut self.states else { return Ok(()) };
        let now = self.params.generation();
        if let (Some(built), true) = (&self.layer.built, *generation != now) {
            stack.set_weights(self.layer.weights(&self.params, built)?);
            *generation = now;
        }
        stack.prepare()?;
        // Nothing fails from here on.
        for (place, stream) in self.streams.iter_mut().enumerate() {
            if std::mem::take(&mut stream.fresh) {
                stack.reset(place);
            }
        }
        Ok(())
    }

    /// Runs the layer on the frames `[streams,1,I]` of the active streams.
    fn run(&mut self, x: Tensor) -> Result<Tensor> {
        let Self { layer, params, streams, active, states, .. } = self;
        let States::Layer { states: before, mask } = states else { return Ok(x) };
        let device = x.device();
        let rows = streams.len();
        let mut states = before.clone();
        if streams.iter().any(|s| s.fresh) {
            let keep: Vec<_> = streams.iter().map(|s| !s.fresh).collect();
            let keep = Mask::new(&keep, [rows, 1], &device)?;
            for state in &mut states {
                for var in [&mut state.h, &mut state.c] {
                    *var = Var::from(keep_rows(var, &keep)?);
                }
            }
        }
        let mut x = Var::from(x);
        if active.iter().any(|on| !on) {
            if mask.as_ref().is_none_or(|mask| mask.values() != active) {
                *mask = Some(Mask::new(active, [rows, 1], &device)?);
            }
            x = x.with_mask(mask.clone());
        }
        let out = layer.run(&Tape::inference(params), &x, Some(&states))?;
        // Nothing failed: from here on the streams have moved.
        *before = out.state;
        streams.iter_mut().for_each(|s| s.fresh = false);
        Ok(out.output.tensor().clone())
    }
}
