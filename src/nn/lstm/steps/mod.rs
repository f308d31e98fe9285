//! Layers frame by frame, for streams that come and go: what a stepper of one layer and one of a whole model
//! have in common.

mod stages;
mod streams;

use crate::autograd::Params;
use crate::check::Check;
use crate::nn::{Layer, Own, check_floats, check_size};
use crate::{DType, Error, Mask, Result, Tensor};
use stages::Stages;
use std::sync::Arc;
use streams::Places;
pub use streams::StreamId;

pub(crate) struct Steps {
    stages: Stages,
    places: Places,
    /// On a GPU, the places whose states have yet to be set to zero.
    fresh: Vec<bool>,
    /// The places that have a frame in this call, in its order; and whether each place has one.
    rows: Vec<usize>,
    active: Vec<bool>,
    /// The frames of this call, on a GPU those of all places; then its outputs.
    values: Vec<f32>,
    /// What the last activation took to make the outputs, if it is known.
    logits: Option<Tensor>,
    /// The mask of the last call, which the next may reuse.
    mask: Option<Mask>,
    allow_nan: bool,
}

impl Steps {
    /// Steps of layers that are built with these `params`, for so many streams, as `option` says. Runs a frame of
    /// zeros: a layer that needs the whole sequence says so here, and the kernels are compiled.
    pub(crate) fn new(
        params: &Params,
        layers: Vec<Arc<dyn Layer>>,
        input_size: usize,
        (option, streams): (&'static str, usize),
    ) -> Result<Self> {
        check_size(option, streams)?;
        let widest = layers.iter().map(|layer| layer.output_size()).fold(input_size, usize::max);
        check_floats("the frames or states of all streams", streams, widest)?;
        let mut steps = Self {
            stages: Stages::new(params, layers, input_size, streams)?,
            places: Places::new(streams),
            fresh: vec![true; streams],
            rows: Vec::with_capacity(streams),
            active: vec![true; streams],
            values: Vec::new(),
            logits: None,
            mask: None,
            allow_nan: false,
        };
        steps.rows.push(0);
        steps.values.resize(input_size * if steps.is_gpu() { streams } else { 1 }, 0.0);
        steps.run(None)?;
        (0..streams).for_each(|place| steps.zero(place));
        Ok(steps)
    }

    fn is_gpu(&self) -> bool {
        self.stages.device.is_gpu()
    }

    /// Lets frames through that are not finite.
    pub(crate) fn allow_nan(&mut self) {
        self.allow_nan = true;
    }

    pub(crate) fn streams(&self) -> &[Option<StreamId>] {
        self.places.streams()
    }

    pub(crate) fn join(&mut self) -> Result<StreamId> {
        let (stream, place) = self.places.join()?;
        self.zero(place);
        Ok(stream)
    }

    pub(crate) fn leave(&mut self, op: &'static str, stream: StreamId) -> Result<()> {
        self.places.leave(op, stream)
    }

    pub(crate) fn reset(&mut self, op: &'static str, stream: StreamId) -> Result<()> {
        let place = self.places.find(op, None, stream)?;
        self.zero(place);
        Ok(())
    }

    /// Sets the states of a place to zero: on a GPU with the next step.
    fn zero(&mut self, place: usize) {
        match self.is_gpu() {
            true => self.fresh[place] = true,
            false => self.stages.zero(place),
        }
    }

    /// The state of a stream: that of each layer, one after the other.
    pub(crate) fn state(&self, op: &'static str, stream: StreamId) -> Result<Vec<f32>> {
        let place = self.places.find(op, None, stream)?;
        match self.is_gpu() && self.fresh[place] {
            true => Ok(vec![0.0; self.stages.state_len()]),
            false => self.stages.state(place),
        }
    }

    pub(crate) fn set_state(
        &mut self,
        op: &'static str,
        stream: StreamId,
        numbers: &[f32],
    ) -> Result<()> {
        let place = self.places.find(op, None, stream)?;
        let (expected, found) = (self.stages.state_len(), numbers.len());
        if found != expected {
            return Err(Error::Count { op, shape: vec![expected], expected, found });
        }
        self.stages.set_state(place, numbers)?;
        self.fresh[place] = false;
        Ok(())
    }

    /// Takes a frame of some of the streams: [`Self::outputs`] then has theirs.
    pub(crate) fn step(&mut self, op: &'static str, frames: &[(StreamId, &[f32])]) -> Result<()> {
        let (size, gpu) = (self.stages.input_size, self.is_gpu());
        self.clear();
        if gpu {
            self.values.resize(self.active.len() * size, 0.0);
        }
        for (at, &(stream, frame)) in frames.iter().enumerate() {
            let place = self.places.find(op, Some(at), stream)?;
            if std::mem::replace(&mut self.active[place], true) {
                return Err(Places::twice(op, at, stream));
            }
            self.check(op, at, stream, frame)?;
            self.rows.push(place);
            match gpu {
                true => self.values[place * size..][..size].copy_from_slice(frame),
                false => self.values.extend_from_slice(frame),
            }
        }
        if frames.is_empty() {
            self.values.clear();
        } else if let Some(y) = self.run(None)? {
            self.values = self.picked(&y)?;
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.active.fill(false);
        self.rows.clear();
        self.values.clear();
        self.logits = None;
    }

    fn check(&self, op: &'static str, at: usize, stream: StreamId, frame: &[f32]) -> Result<()> {
        let (expected, found) = (self.stages.input_size, frame.len());
        if found != expected {
            let error = Error::Count { op, shape: vec![expected], expected, found };
            return Err(error.at(format!("the frame of {stream}")));
        }
        if let Some(first) = self.stages.first() {
            if masks_tokens(first) && frame == [0.0] {
                return Err(Error::Unsupported {
                    what: "a token of 0",
                    with: "Embedding::mask_zero",
                    help: "such a step does not count: leave the stream out of the call, and it keeps its state",
                });
            }
            first.check_input(frame).map_err(|mut error| {
                if let Error::Token { sequence, .. } = &mut error {
                    *sequence = at;
                }
                error
            })?;
        }
        match frame.iter().position(|value| !value.is_finite()).filter(|_| !self.allow_nan) {
            Some(number) => Err(Error::NotFinite {
                what: "a frame",
                place: format!("{stream}, whose value {number} is {}", frame[number]),
                help: "the stream's state would not be finite from then on: leave the frame out or fill it in, \
                       or let such frames through by `allow_nan`",
            }),
            None => Ok(()),
        }
    }

    /// The features of an output.
    pub(crate) fn output_size(&self) -> usize {
        self.stages.output_size()
    }

    /// The outputs of the last step, in the order of its frames.
    pub(crate) fn outputs(&self) -> &[f32] {
        &self.values
    }

    /// What the last activation made the outputs of, if it is known.
    pub(crate) fn logits(&self) -> Result<Option<Vec<f32>>> {
        self.logits.as_ref().map(|logits| self.picked(logits)).transpose()
    }

    /// The rows of a value that have a frame, in their order.
    fn picked(&self, y: &Tensor) -> Result<Vec<f32>> {
        let all = y.to_vec()?;
        if !self.is_gpu() {
            return Ok(all);
        }
        let size = all.len() / self.active.len();
        Ok(self.rows.iter().flat_map(|place| &all[place * size..][..size]).copied().collect())
    }

    /// Takes a frame of every joined stream, `[streams,I]`, and gives the outputs `[streams,..]`.
    pub(crate) fn step_all(&mut self, op: &'static str, frames: &Tensor) -> Result<Tensor> {
        let check = Check::new(op, "a frame for each place");
        let tokens = self.stages.takes_tokens() && frames.dtype() == DType::U32;
        if !tokens {
            check.dtype("frames", frames, DType::F32)?;
        }
        let (streams, size) = (self.active.len(), self.stages.input_size);
        check.shape("frames", frames, "[streams,I]", &[streams, size])?;
        check.lies_on(&self.stages.device, "frames", frames)?;
        if self.stages.first().is_some_and(masks_tokens) {
            return Err(Error::Unsupported {
                what: op,
                with: "Embedding::mask_zero",
                help: "which tokens are 0 is not looked at there: step the streams whose tokens count",
            });
        }
        self.clear();
        for (place, _) in self.places.streams().iter().enumerate().filter(|(_, s)| s.is_some()) {
            self.rows.push(place);
            self.active[place] = true;
        }
        if self.is_gpu() {
            let shape = [streams, 1, size];
            let x = frames.reshape(&shape[..if tokens { 2 } else { 3 }])?;
            return Ok(self.run(Some(x))?.unwrap_or_else(|| frames.clone()));
        }
        let words = frames.cpu();
        for &place in &self.rows {
            match tokens {
                true => self.values.push(words.as_u32()[place] as f32),
                false => self.values.extend_from_slice(&words[place * size..][..size]),
            }
        }
        drop(words);
        let size = self.stages.output_size();
        let y = Tensor::zeros([streams, size], &self.stages.device)?;
        if !self.rows.is_empty() {
            if let Some(found) = self.run(None)? {
                self.values.clear();
                self.values.extend_from_slice(&found.cpu());
            }
            y.cpu_mut(|y| {
                for (from, place) in self.values.chunks_exact(size).zip(&self.rows) {
                    y[place * size..][..size].copy_from_slice(from);
                }
            });
        }
        Ok(y)
    }

    /// Runs all layers on the values or, on a GPU, on `x`. Gives the outputs, unless they are the values then.
    /// After an error the states are those before.
    fn run(&mut self, x: Option<Tensor>) -> Result<Option<Tensor>> {
        if !self.is_gpu() {
            let found = self.stages.run_rows(&mut self.values, &self.rows)?;
            let Some((y, logits)) = found else { return Ok(None) };
            self.logits = logits;
            return Ok(Some(y));
        }
        let x = match x {
            Some(x) => x,
            None => self.stages.input(&self.values, self.active.len(), true)?,
        };
        let (streams, device) = (self.active.len(), &self.stages.device);
        let keep: Vec<_> = self.fresh.iter().map(|fresh| !fresh).collect();
        let some = keep.contains(&false);
        let keep = some.then(|| Mask::new(&keep, [streams, 1], device)).transpose()?;
        let idle = self.active.contains(&false);
        if idle && self.mask.as_ref().is_none_or(|mask| mask.values() != self.active) {
            self.mask = Some(Mask::new(&self.active, [streams, 1], device)?);
        }
        let mask = self.mask.as_ref().filter(|_| idle);
        let (y, logits) = self.stages.run_all(x, mask, keep.as_ref())?;
        self.fresh.fill(false);
        self.logits = logits;
        Ok(Some(y))
    }
}

/// Whether a layer leaves out the token 0.
fn masks_tokens(layer: &dyn Layer) -> bool {
    layer.takes_tokens() && layer.masked_value(Own).is_some()
}
