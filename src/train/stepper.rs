//! A whole model frame by frame, for streams whose frames arrive at any time.

use super::prediction::{Meaning, Prediction};
use super::sequential::Sequential;
use crate::nn::{Layer, Own, Steps, StreamId};
use crate::{Error, Result, Tensor};

/// Runs a model frame by frame: one frame of each stream in, one row of a prediction out. It predicts what
/// [`Sequential::predict`] predicts for all frames of the stream so far: the row of the last frame or, where the
/// model gives one row a sequence, that row. Each frame costs the same, however many there were.
///
/// Streams join and leave at any time; a stream without a frame in a call keeps its state. A change of the
/// parameters, by `fit` for example, counts from the next step on. The stepper shares layers and parameters with
/// the model, but borrows nothing of it: it may go to a thread of its own, and several threads may each have one
/// of the same model. Once every kind of call has been made, none makes a new buffer on the device.
///
/// On the CPU the values are those of `predict` bit for bit (for layers of up to 8,191 features); on a GPU they
/// differ by some 1e-6 of the size of a sum, since there a product of many rows and one of few add in different
/// orders.
///
/// ```
/// use wgpu_lstm::prelude::*;
/// # fn main() -> wgpu_lstm::Result<()> {
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(16).return_sequences())
///     .add(Lstm::new(16))
///     .add(Dense::new(3).activation(Activation::Softmax));
/// model.build(2)?;
///
/// let mut stepper = model.stepper(8)?; // up to 8 streams at a time
/// let (a, b) = (stepper.join()?, stepper.join()?);
/// stepper.step(&[(a, &[0.1, 0.2])])?; // a frame of stream a; b has none yet
/// let found = stepper.step(&[(b, &[0.5, 0.6]), (a, &[0.3, 0.4])])?;
/// assert_eq!((found.rows(), found.classes().len()), (2, 2)); // a row of b, a row of a
///
/// let x = Sequences::from_array(&[0.1, 0.2, 0.3, 0.4], [1, 2, 2])?;
/// let whole = model.predict(&x)?;
/// assert!(whole.row(0).iter().zip(found.row(1)).all(|(a, b)| (a - b).abs() < 1e-5));
/// stepper.leave(b)?;
/// # Ok(()) }
/// ```
pub struct Stepper {
    steps: Steps,
    meaning: Meaning,
}

impl Sequential {
    /// A stepper for up to `streams` streams at a time: see [`Stepper`]. Its first step is made here, with
    /// zeros, so that the kernels are compiled. A stateful layer steps as any other; what it remembers of
    /// batches is not used, and stays.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `build` or `fit`; [`Error::Option`] for no streams; [`Error::Unsupported`] for
    /// a layer that needs the whole sequence, such as a bidirectional [`crate::nn::Lstm`], a [`crate::nn::Pool`]
    /// of all frames, [`crate::nn::Repeat`], a [`crate::nn::Conv1d`] of several frames behind a mask, or one of your own that has no [`crate::nn::Layer::step`];
    /// [`Error::TooLarge`] and [`Error::OutOfMemory`] for more streams than there is memory for; and those of
    /// the device.
    pub fn stepper(&self, streams: usize) -> Result<Stepper> {
        let input_size = self.features()?;
        self.check_masks()?;
        let option = ("Stepper::streams", streams);
        let steps = Steps::new(&self.params, self.layers.clone(), input_size, option)?;
        Ok(Stepper { steps, meaning: self.meaning() })
    }

    /// Checks that no layer computes over frames that a mask before it leaves out.
    pub(crate) fn check_masks(&self) -> Result<()> {
        let mut masked = false;
        for layer in self.layers.iter().flat_map(|layer| all(layer.as_ref())) {
            if masked && layer.sees_masked_frames(Own) {
                return Err(Error::Unsupported {
                    what: "Sequential::stepper",
                    with: "a Conv1d of several frames behind a mask",
                    help: "it computes over the frames that are left out, which a stream skips: put it before the mask",
                });
            }
            masked |= layer.masked_value(Own).is_some();
        }
        Ok(())
    }
}

/// A layer, and the layers inside of it that go over the same frames.
fn all(layer: &dyn Layer) -> Vec<&dyn Layer> {
    if layer.kind() == "time_distributed" {
        return vec![layer];
    }
    let inner = layer.inner(Own).into_iter().flat_map(all);
    std::iter::once(layer).chain(inner).collect()
}

impl Stepper {
    /// Lets frames through that are not finite: they give NaN, in their own stream alone, until it is reset.
    /// Without this [`Stepper::step`] refuses them.
    #[must_use]
    pub fn allow_nan(mut self) -> Self {
        self.steps.allow_nan();
        self
    }

    /// The stream of each row of [`Stepper::step_all`]; `None` for a place that is free.
    pub fn streams(&self) -> &[Option<StreamId>] {
        self.steps.streams()
    }

    /// Adds a stream, as at the begin of a sequence.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] if as many streams are there as the stepper was made for.
    pub fn join(&mut self) -> Result<StreamId> {
        self.steps.join()
    }

    /// Removes a stream, whose place is then free.
    ///
    /// # Errors
    /// [`Error::Stream`] if there is no such stream.
    pub fn leave(&mut self, stream: StreamId) -> Result<()> {
        self.steps.leave("Stepper::leave", stream)
    }

    /// Resets a stream: its next frame is the first of a sequence.
    ///
    /// # Errors
    /// [`Error::Stream`] if there is no such stream.
    pub fn reset(&mut self, stream: StreamId) -> Result<()> {
        self.steps.reset("Stepper::reset", stream)
    }

    /// The state of a stream, as numbers to be kept: those of each recurrent layer, in the order of the layers.
    /// Waits for the device.
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    /// # fn main() -> wgpu_lstm::Result<()> {
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(Dense::new(1));
    /// model.build(1)?;
    /// let mut before = model.stepper(1)?;
    /// let stream = before.join()?;
    /// before.step(&[(stream, &[0.5])])?;
    /// let kept = before.state(stream)?; // to a file, for example
    ///
    /// let mut after = model.stepper(1)?; // the server begins anew
    /// let again = after.join()?;
    /// after.set_state(again, &kept)?;
    /// assert_eq!(after.step(&[(again, &[0.25])])?, before.step(&[(stream, &[0.25])])?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Stream`] if there is no such stream, and those of the device.
    pub fn state(&self, stream: StreamId) -> Result<Vec<f32>> {
        self.steps.state("Stepper::state", stream)
    }

    /// Replaces the state of a stream by one that [`Stepper::state`] gave, of a stepper of the same model. Where
    /// an LSTM has a projection it must have been on the same kind of device: a GPU keeps less of it.
    ///
    /// # Errors
    /// [`Error::Stream`] if there is no such stream, [`Error::Count`] for more or fewer numbers than a state
    /// has, and those of the device. None changes a state.
    pub fn set_state(&mut self, stream: StreamId, state: &[f32]) -> Result<()> {
        self.steps.set_state("Stepper::set_state", stream, state)
    }

    /// Takes a frame of some of the streams, as many values as the model has features (a token as one number),
    /// and predicts: row `i` is that of `frames[i]`. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Stream`] for a stream that is not there or comes twice, [`Error::At`] the stream for a frame of another
    /// size, [`Error::Token`], whose sequence is the index in `frames`, [`Error::NotFinite`] for a frame that is
    /// not finite (but see [`Stepper::allow_nan`]), and those of the device and of layers of your own. None
    /// changes a state.
    pub fn step(&mut self, frames: &[(StreamId, &[f32])]) -> Result<Prediction> {
        self.steps.step("Stepper::step", frames)?;
        let mut prediction = Prediction::new(self.steps.output_size(), self.meaning);
        prediction.push(self.steps.outputs(), || self.steps.logits())?;
        Ok(prediction.each_alone())
    }

    /// Takes a frame of every joined stream, `[streams,F]` on the device (tokens also as whole numbers
    /// `[streams,1]`), and returns the outputs `[streams,..]` without waiting. [`Stepper::streams`] says which row
    /// is whose; rows of places without a stream are undefined. Frames are not looked at: NaN gives NaN, in its
    /// own row alone, and so does on a GPU what is no token.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`], [`Error::OtherDevice`], and those of the device and of layers of your
    /// own. None changes a state.
    pub fn step_all(&mut self, frames: &Tensor) -> Result<Tensor> {
        self.steps.step_all("Stepper::step_all", frames)
    }
}
