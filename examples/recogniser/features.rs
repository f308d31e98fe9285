//! Mel cepstra of a window of samples: what torchaudio's `MFCC(sample_rate=8000, n_mfcc=13)` finds in as many
//! milliseconds of 8,000 samples a second, as the training data were made.

use super::data::FEATURES;
use std::f64::consts::PI;
use wgpu_lstm::nn::Spectrogram;
use wgpu_lstm::prelude::*;
use wgpu_lstm::{Result, Tape, Tensor};

/// Samples a second.
pub const RATE: usize = 16_000;
/// Samples of a window, and from one to the next: 50 and 25 ms.
pub const WINDOW: usize = RATE / 20;
pub const HOP: usize = WINDOW / 2;
/// Frequencies 20 Hz apart up to 4,000 Hz: the training data have no higher ones.
const BINS: usize = 201;
pub const MELS: usize = 128;
/// The last of the mel scale's frequencies, by the 700 Hz up to which it is about linear.
const TOP: f64 = 4000.0 / 700.0;

pub struct Features {
    spectrogram: Sequential,
    device: Device,
    /// `[MELS, BINS]`, triangles, and `[FEATURES, MELS]`, cosines.
    mels: Vec<[f32; BINS]>,
    cosines: Vec<[f32; MELS]>,
    /// Decibels of the loudest so far: what is 80 below is silence.
    loudest: f32,
}

impl Features {
    pub fn new(device: &Device) -> Result<Self> {
        let mut spectrogram = Sequential::new(device).add(Spectrogram::new(WINDOW, HOP));
        spectrogram.build(1)?;
        let triangle = |mel: usize| {
            let [low, middle, high] = [mel, mel + 1, mel + 2].map(|edge| hertz_of(edge as f64));
            std::array::from_fn(|bin| {
                let hertz = 20.0 * bin as f64;
                ((hertz - low) / (middle - low)).min((high - hertz) / (high - middle)).max(0.0)
                    as f32
            })
        };
        let cosine = |n: usize| {
            let share = if n == 0 { 1.0 } else { 2.0 };
            let scale = (share / MELS as f64).sqrt();
            std::array::from_fn(|mel| {
                (scale * (PI / MELS as f64 * (mel as f64 + 0.5) * n as f64).cos()) as f32
            })
        };
        Ok(Self {
            spectrogram,
            device: device.clone(),
            mels: (0..MELS).map(triangle).collect(),
            cosines: (0..FEATURES).map(cosine).collect(),
            loudest: f32::MIN,
        })
    }

    /// What cepstra become when a throat is shorter by this ratio, and all frequencies higher: `[FEATURES,FEATURES]`, back
    /// to decibels, along the frequencies, and again to cepstra.
    pub fn throat(&self, ratio: f64) -> Vec<Vec<f32>> {
        let from = |mel: usize| {
            let at = mel_of(hertz_of(mel as f64 + 1.0) / ratio) - 1.0;
            at.clamp(0.0, (MELS - 1) as f64) as f32
        };
        let moved = |cosine: &[f32; MELS], mel: usize| {
            let (at, share) = (from(mel) as usize, from(mel).fract());
            cosine[at] + share * (cosine[(at + 1).min(MELS - 1)] - cosine[at])
        };
        let cell = |to: &[f32; MELS], of: &[f32; MELS]| {
            (0..MELS).map(|mel| to[mel] * moved(of, mel)).sum()
        };
        let row = |to| self.cosines.iter().map(|of| cell(to, of)).collect();
        self.cosines.iter().map(row).collect()
    }

    /// Forgets how loud it was.
    pub fn reset(&mut self) {
        self.loudest = f32::MIN;
    }

    /// The cepstra of a window, in tenths, as the training data are.
    pub fn of(&mut self, window: &[f32]) -> Result<Vec<f32>> {
        let x = Tensor::from_slice(window, [1, WINDOW, 1], &self.device)?;
        let tape = Tape::inference(self.spectrogram.params());
        let magnitudes = self.spectrogram.forward(&tape, &x.into())?.tensor().to_vec()?;
        // Half the samples have half the magnitudes.
        let power: Vec<f32> = magnitudes[..BINS].iter().map(|m| (m / 2.0).powi(2)).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let mut decibels: Vec<f32> =
            self.mels.iter().map(|mel| 10.0 * dot(mel, &power).max(1e-10).log10()).collect();
        self.loudest = decibels.iter().copied().fold(self.loudest, f32::max);
        decibels.iter_mut().for_each(|d| *d = d.max(self.loudest - 80.0));
        Ok(self.cosines.iter().map(|cosine| 10.0 * dot(cosine, &decibels)).collect())
    }
}

/// The frequency of an edge between triangles, and the other way round: they are evenly spread on the mel scale.
fn hertz_of(edge: f64) -> f64 {
    700.0 * ((edge / (MELS + 1) as f64 * TOP.ln_1p()).exp() - 1.0)
}

fn mel_of(hertz: f64) -> f64 {
    (hertz / 700.0).ln_1p() / TOP.ln_1p() * (MELS + 1) as f64
}
