//! What the recogniser learns from: recordings of six men, said again as others might say them.

use super::data::FEATURES;
use super::decoder::BLANK;
use super::features::{Features, HOP, MELS, WINDOW};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::ops::{Range, RangeInclusive};
use wgpu_lstm::Result;
use wgpu_lstm::prelude::*;

/// Digits with pauses.
#[derive(Default)]
pub struct Spoken {
    /// `[T,FEATURES]`, scaled.
    pub frames: Vec<f32>,
    pub digits: Vec<u32>,
    /// Of each frame: a digit in its last third and a little behind it, when it can be known; else a blank.
    pub labels: Vec<u32>,
}

/// Frames of a pause, and those behind a digit that are still labelled with it.
const BEHIND: usize = 2;
const PAUSE: RangeInclusive<usize> = 2..=10;

pub struct Voices {
    x: Sequences,
    digits: Vec<u32>,
    scaler: Standardizer,
    /// Frames of faint noise, one row of them for each loudness.
    pauses: Vec<Vec<Vec<f32>>>,
    /// `[FEATURES,FEATURES]` of each throat.
    throats: Vec<Vec<Vec<f32>>>,
    speeds: Range<f32>,
}

impl Voices {
    /// Recordings, by throats that make all frequencies higher by so many percent of what they are, and how long a digit
    /// may take by what it takes in the recording.
    pub fn new(
        (x, digits): (Sequences, Vec<u32>),
        scaler: &Standardizer,
        throats: impl Iterator<Item = u32>,
        speeds: Range<f32>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Self> {
        let mut features = Features::new(&Device::cpu()?)?;
        let mut pause = |decibels: i32| -> Result<Vec<Vec<f32>>> {
            features.reset();
            let loud = 10_f32.powf(decibels as f32 / 20.0);
            let noise: Vec<f32> =
                (0..WINDOW + 20 * HOP).map(|_| loud * rng.random_range(-1.0..1.0_f32)).collect();
            (0..20).map(|i| features.of(&noise[i * HOP..i * HOP + WINDOW])).collect()
        };
        let pauses = (-80..=-40).step_by(4).map(&mut pause).collect::<Result<_>>()?;
        let throats = throats.map(|percent| features.throat(f64::from(percent) / 100.0)).collect();
        Ok(Self { x, digits, scaler: scaler.clone(), pauses, throats, speeds })
    }

    /// So many strings of up to three digits, and what to say of each frame.
    pub fn strings(&self, many: usize, rng: &mut ChaCha8Rng) -> Result<(Sequences, Targets)> {
        let strings: Vec<_> = (0..many).map(|_| self.draw(3, rng)).collect();
        let x = Sequences::new(FEATURES, strings.iter().map(|string| &string.frames))?;
        Ok((x, Targets::classes(strings.into_iter().flat_map(|string| string.labels))))
    }

    /// Up to so many digits in a row by one voice, with pauses.
    pub fn draw(&self, most: u64, rng: &mut ChaCha8Rng) -> Spoken {
        let mut spoken = Spoken::default();
        let throat = &self.throats[rng.random_range(0..self.throats.len())];
        let speed = rng.random_range(self.speeds.clone());
        // Decibels that are added to all are a multiple of them in the first cepstrum, in tenths.
        let louder = 10.0 * (MELS as f32).sqrt() * rng.random_range(-12.0..6.0_f32);
        let noise = &self.pauses[rng.random_range(0..self.pauses.len())];
        let mut frames: Vec<Vec<f32>> = noise[..rng.random_range(PAUSE)].to_vec();
        for _ in 0..rng.random_range(1..=most) {
            let recording = rng.random_range(0..self.x.len());
            let mut said = said(self.x.get(recording), throat, speed);
            said.iter_mut().for_each(|frame| frame[0] += louder);
            spoken.labels.resize(frames.len() + said.len() * 2 / 3, BLANK);
            frames.extend(said);
            spoken.digits.push(self.digits[recording]);
            spoken.labels.resize(frames.len() + BEHIND, self.digits[recording]);
            frames.extend_from_slice(&noise[..rng.random_range(PAUSE)]);
        }
        spoken.labels.resize(frames.len(), BLANK);
        let (means, scales) = (self.scaler.means(), self.scaler.scales());
        let scaled = |(i, value): (usize, f32)| {
            let feature = i % FEATURES;
            ((f64::from(value) - means[feature]) / scales[feature]) as f32
        };
        spoken.frames = frames.into_iter().flatten().enumerate().map(scaled).collect();
        spoken
    }
}

/// The frames of a recording by another throat, with another number of frames, each between two of the recording.
fn said(recording: &[f32], throat: &[Vec<f32>], speed: f32) -> Vec<Vec<f32>> {
    let frames: Vec<&[f32]> = recording.chunks(FEATURES).collect();
    let many = (frames.len() as f32 * speed) as usize;
    let at = |i: usize| {
        let place = i as f32 / many as f32 * (frames.len() - 1) as f32;
        let (a, b) = (frames[place as usize], frames[place as usize + 1]);
        let between: Vec<f32> = a.iter().zip(b).map(|(a, b)| a + place.fract() * (b - a)).collect();
        throat.iter().map(|row| row.iter().zip(&between).map(|(w, x)| w * x).sum()).collect()
    };
    (0..many).map(at).collect()
}
