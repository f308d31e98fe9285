//! silero-vad: the probability that a frame of 32 ms has speech.

use std::path::Path;
use wgpu_lstm::io::pytorch::StateDict;
use wgpu_lstm::nn::{Conv1d, Flatten, Padding, Spectrogram, TimeDistributed};
use wgpu_lstm::prelude::*;

/// Samples a second.
pub const RATE: usize = 16_000;
/// Samples of a frame.
pub const FRAME: usize = 512;
/// Samples of the frame before that the model hears again.
pub const CONTEXT: usize = 64;

/// The model of a safetensors file: frames `[B,T,CONTEXT + FRAME]` to probabilities `[B,T,1]`.
pub fn load(weights: &Path, device: &Device) -> wgpu_lstm::Result<Sequential> {
    let dict = StateDict::open(weights)?;
    let conv = |name, stride| -> wgpu_lstm::Result<Conv1d> {
        let conv = dict.conv1d(name)?.stride(stride).padding(Padding::Explicit(1, 1));
        Ok(conv.activation(Activation::Relu))
    };
    let hear = TimeDistributed::new()
        .add(Spectrogram::new(256, 128).reflect(0, 64))
        .add(conv("conv1", 1)?)
        .add(conv("conv2", 2)?)
        .add(conv("conv3", 2)?)
        .add(conv("conv4", 1)?)
        .add(Flatten::new());
    let mut model = Sequential::new(device)
        .add(hear)
        .add(dict.lstm("lstm_cell")?.return_sequences())
        .add(Activation::Relu)
        .add(dict.conv1d("final_conv")?.activation(Activation::Sigmoid));
    model.build(CONTEXT + FRAME)?;
    let names = ["stft_conv", "conv1", "conv2", "conv3", "conv4", "lstm_cell", "final_conv"];
    dict.load_into(&mut model, &names)?;
    Ok(model)
}

/// Cuts samples, as they come, into frames with what lies before each.
pub struct Frames {
    /// The last frame's end, then what has come since.
    samples: Vec<f32>,
}

impl Frames {
    pub fn new() -> Self {
        Self { samples: vec![0.0; CONTEXT] }
    }

    /// Takes samples, and says how many.
    pub fn push(&mut self, samples: impl IntoIterator<Item = f32>) -> usize {
        let before = self.samples.len();
        self.samples.extend(samples);
        self.samples.len() - before
    }

    /// The next frame, once all of it is there.
    pub fn next(&mut self) -> Option<Vec<f32>> {
        let frame = self.samples.get(..CONTEXT + FRAME)?.to_vec();
        self.samples.drain(..FRAME);
        Some(frame)
    }

    /// The last frame, with silence for what is missing, unless nothing is left.
    pub fn last(mut self) -> Option<Vec<f32>> {
        let left = self.samples.len() > CONTEXT;
        self.samples.resize(CONTEXT + FRAME, 0.0);
        left.then_some(self.samples)
    }
}
