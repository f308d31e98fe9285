//! Recordings of spoken digits, and strings of them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::ops::RangeInclusive;
use wgpu_lstm::data::{NpzFile, Sequences};

/// Mel cepstrum coefficients of a frame.
pub const FEATURES: usize = 13;

/// The recordings, and the digit of each.
pub fn read() -> anyhow::Result<(Sequences, Vec<u32>)> {
    let file = NpzFile::open(super::common::data("spoken_digits/digits.npz"))?;
    let lengths = file.array("lengths")?.read_classes()?;
    let values = file.array("x")?.read()?;
    let mut rest = values.as_slice();
    let mut next = |frames: &u32| {
        let (recording, after) = rest.split_at(*frames as usize * FEATURES);
        rest = after;
        recording
    };
    let recordings: Vec<&[f32]> = lengths.iter().map(&mut next).collect();
    Ok((Sequences::new(FEATURES, recordings)?, file.array("y")?.read_classes()?))
}

/// Digits in a row, with nothing between them.
pub struct Spoken {
    pub frames: Vec<f32>,
    pub digits: Vec<u32>,
    /// The frames up to the end of each digit.
    pub ends: Vec<usize>,
}

impl Spoken {
    /// Joins so many recordings, drawn from these.
    pub fn draw(
        x: &Sequences,
        digits: &[u32],
        many: RangeInclusive<u64>,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let mut spoken = Self { frames: Vec::new(), digits: Vec::new(), ends: Vec::new() };
        for _ in 0..rng.random_range(many) {
            let recording = rng.random_range(0..x.len());
            spoken.frames.extend(x.get(recording));
            spoken.digits.push(digits[recording]);
            spoken.ends.push(spoken.frames.len() / FEATURES);
        }
        spoken
    }
}
