//! Magnitudes of frequencies.

use super::functions::{map, without_padding};
use super::padding::{Padding, Windows};
use super::{Layer, Own, Params, check_size, is_built, to_config};
use crate::autograd::{Layout, ParamId, Tape, Var};
use crate::check::Check;
use crate::ops::conv::conv1d::Conv;
use crate::ops::conv::{magnitude, reflect};
use crate::tensor::room_for;
use crate::{DType, Error, Result};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// The magnitudes of a short-time Fourier transform: samples `[B,T,1]` to `[B,T',frame_length/2 + 1]`, `hop` samples
/// from one frame to the next.
///
/// It is a convolution with cosines and sines under a periodic Hann window, `spectrogram.weight`
/// `[2 (frame_length/2 + 1), 1, frame_length]`, the cosines first; a model that has another basis replaces it by
/// [`Params::set`]. It is frozen, and can be trained after [`crate::Sequential::unfreeze`].
///
/// PyTorch's `torch.stft(..., center=False, window=hann_window(n)).abs()`.
///
/// ```
/// use wgpu_lstm::nn::{Params, Spectrogram};
/// use wgpu_lstm::{Device, Tape, Tensor};
/// let device = Device::auto()?;
/// let params = Params::new(&device);
/// let layer = Spectrogram::new(8, 4).build(&params)?;
/// // Two periods in eight samples: what there is, is at the second frequency and, by the window, beside it.
/// let samples: Vec<f32> = (0..16).map(|n| (n as f32 * std::f32::consts::FRAC_PI_2).cos()).collect();
/// let x = Tensor::from_slice(&samples, [1, 16, 1], &device)?;
/// let y = layer.forward(&Tape::inference(&params), &x.into())?;
/// assert_eq!(y.shape(), [1, 3, 5]);
/// let expected = [0.0, 1.0, 2.0, 1.0, 0.0];
/// assert!(y.tensor().to_vec()?.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-5));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Spectrogram {
    frame_length: usize,
    hop: usize,
    #[serde(default)]
    reflect: [usize; 2],
    #[serde(skip)]
    built: Option<ParamId>,
}

impl Spectrogram {
    /// A layer with frames of this many samples, `hop` from one to the next.
    pub fn new(frame_length: usize, hop: usize) -> Self {
        Self { frame_length, hop, reflect: [0; 2], built: None }
    }

    /// Puts so many samples before and after a sequence, which are its mirror images: PyTorch's
    /// `ReflectionPad1d`. Of `torch.stft` with `center=True` they are `frame_length / 2` each.
    pub fn reflect(mut self, before: usize, after: usize) -> Self {
        self.reflect = [before, after];
        self
    }

    /// The layer with its parameter in `params`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0; [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params) -> Result<Self> {
        self.build_on(params, 1)?;
        Ok(self)
    }

    fn channels(&self) -> usize {
        2 * self.output_size()
    }

    fn windows(&self) -> Windows {
        let (size, stride) = (self.frame_length, self.hop);
        Windows { size, stride, dilation: 1, padding: Padding::Valid }
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`]; [`Error::Empty`] for fewer samples than a frame takes; [`Error::Unsupported`] for rows of
    /// different lengths that are reflected.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let Some(weight) = self.built else {
            return Err(Error::NotBuilt { what: "this Spectrogram", call: "build" });
        };
        let channels = self.channels();
        let (weight, d_weight) = tape.weight(weight, &[1, self.frame_length, channels])?;
        let check = Check::new("spectrogram", "a sample in each timestep");
        check.dtype("x", x.tensor(), DType::F32)?;
        let [b, t, _] = check.dims("x", x.tensor(), "[B,T,1]")?;
        check.shape("x", x.tensor(), "[B,T,1]", &[b, t, 1])?;
        x.counted("spectrogram", b, t)?;
        let mut x = without_padding(tape, "spectrogram", &x.without_mask())?;
        if self.reflect != [0; 2] {
            x = self.reflected(tape, &x, [b, t, 1])?;
        }
        let (window, lengths) = self.windows().of_rows("Spectrogram", &x, x.shape()[1])?;
        let conv = Conv::new(x.tensor(), &weight, None, window)?;
        let parts = conv.forward(x.tensor(), &weight, None)?;
        let y = magnitude::magnitude(&parts)?;
        let (id, saved, out) = (tape.id(&x), x.tensor().clone(), y.clone());
        let y = tape.push_one(y, true, move |d_y, gradients| {
            let d_parts = magnitude::backward(&parts, &out, d_y)?;
            match conv.backward(&saved, &weight, &d_parts, &d_weight, id.is_some())? {
                Some(d_x) => gradients.add(id, d_x),
                None => Ok(()),
            }
        });
        Ok(y.with_lengths(lengths))
    }

    fn reflected(&self, tape: &Tape, x: &Var, dims: [usize; 3]) -> Result<Var> {
        if x.lengths().is_some() {
            return Err(Error::Unsupported {
                what: "rows of different lengths",
                with: "Spectrogram::reflect",
                help: "each row's end would be another: take rows of one length",
            });
        }
        let edges = self.reflect;
        if edges.iter().any(|&edge| edge >= dims[1]) {
            let found = x.shape().to_vec();
            let axes = "the samples past the mirror images";
            return Err(Error::Empty { op: "spectrogram", arg: "x", axes, found });
        }
        let y = reflect::reflect(x.tensor(), dims, edges)?;
        Ok(map(tape, x, y, move |d_y| reflect::backward(d_y, dims, edges)))
    }

    /// Cosines and then sines under a Hann window, `[channels, frame_length]`.
    fn basis(&self) -> Result<Vec<f32>> {
        let (n, count) = (self.frame_length, self.output_size());
        let mut values = room_for("the basis of a spectrogram", n * 2 * count)?;
        for row in 0..2 * count {
            for at in 0..n {
                // Reduced first, so that the angle is exact.
                let angle = |k: usize| TAU * (k * at % n) as f64 / n as f64;
                let window = 0.5 - 0.5 * libm::cos(angle(1));
                let wave = match row < count {
                    true => libm::cos(angle(row)),
                    false => -libm::sin(angle(row - count)),
                };
                values.push((window * wave) as f32);
            }
        }
        Ok(values)
    }
}

impl Layer for Spectrogram {
    fn kind(&self) -> &'static str {
        "spectrogram"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.built
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        if is_built(params, self.built.map(|id| (id, 1)), input_size)? {
            return Ok(());
        }
        if input_size != 1 {
            return Err(Error::Features {
                op: "Spectrogram::build_on",
                expected: 1,
                found: input_size,
                help: "a sample in each timestep; frames of samples go through TimeDistributed",
            });
        }
        check_size("Spectrogram::frame_length", self.frame_length)?;
        check_size("Spectrogram::hop", self.hop)?;
        let most = self.reflect[0].max(self.reflect[1]);
        check_size("Spectrogram::reflect", most.max(1))?;
        super::check_weights(self.frame_length, self.channels())?;
        let outside = self.basis()?;
        let (size, outputs) = (self.frame_length, self.channels());
        let mut values = room_for("the basis of a spectrogram", outside.len())?;
        values.resize(outside.len(), 0.0);
        let sizes = [1, size, 1, outputs];
        crate::ops::conv::conv1d::to_memory(&outside, &mut values, sizes);
        let layout = Layout::Conv { groups: 1, size, inputs: 1, outputs };
        let prefix = params.free_prefix("spectrogram");
        let mark = params.mark();
        let shape = vec![outputs, 1, size];
        let weight = params.add(format!("{prefix}.weight"), shape, layout, &values)?;
        params.freeze_since(mark);
        self.built = Some(weight);
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.frame_length / 2 + 1
    }

    fn output_timesteps(&self, timesteps: usize) -> usize {
        self.windows().outputs(timesteps + self.reflect[0] + self.reflect[1])
    }

    fn gives_sequence(&self, _: bool) -> bool {
        true
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Spectrogram::forward(self, tape, x)
    }

    fn parameter_count(&self) -> usize {
        self.built.map_or(0, |_| self.channels() * self.frame_length)
    }
}
