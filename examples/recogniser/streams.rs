//! Sound to test on: the ten digits by voices that are not in the training, one after the other with pauses.

use super::features::RATE;
use super::{audio, common};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::data::NpzFile;
use wgpu_lstm::plot::HeatMap;

/// A person, then synthetic voices.
pub const VOICES: [&str; 5] = ["Allison", "rms", "slt", "awb", "kal"];

/// The digits of each voice, in their order.
pub fn read() -> anyhow::Result<Vec<Vec<f32>>> {
    let file = NpzFile::open(common::data("recogniser/voices.npz"))?;
    let sounds = file.array("sounds")?.read()?;
    let mut rest = sounds.as_slice();
    let mut next = |&samples: &u32| {
        let (sound, after) = rest.split_at(samples as usize);
        rest = after;
        let sound: Vec<f32> = sound.iter().map(|sample| sample / 32768.0).collect();
        audio::resample(&sound, RATE / 2)
    };
    Ok(file.array("lengths")?.read_classes()?.iter().map(&mut next).collect())
}

pub struct Stream {
    pub samples: Vec<f32>,
    pub digits: Vec<u32>,
    /// The samples up to the end of each digit.
    pub ends: Vec<usize>,
}

impl Stream {
    /// One voice's digits in an order that is drawn, as loud as is drawn, over faint noise.
    pub fn draw(sounds: &[Vec<f32>], rng: &mut ChaCha8Rng) -> Self {
        let mut digits: Vec<u32> = (0..10).collect();
        digits.shuffle(rng);
        let (mut samples, mut ends) = (vec![0.0; RATE / 2], Vec::new());
        let loud = rng.random_range(0.25..1.0_f32);
        for &digit in &digits {
            samples.extend(sounds[digit as usize].iter().map(|sample| loud * sample));
            ends.push(samples.len());
            let pause = rng.random_range(RATE * 2 / 5..RATE);
            samples.resize(samples.len() + pause, 0.0);
        }
        let noise = 10_f32.powf(rng.random_range(-4.0..-2.7));
        samples.iter_mut().for_each(|sample| *sample += noise * rng.random_range(-1.0..1.0_f32));
        Self { samples, digits, ends }
    }

    /// How many milliseconds behind their ends the digits were known that were found where they are.
    pub fn delays(&self, found: &[(u32, usize)]) -> Vec<f64> {
        let mut begin = 0;
        let mut delays = Vec::new();
        for (&digit, &end) in self.digits.iter().zip(&self.ends) {
            let near = begin..end + RATE * 2 / 5;
            let known = found.iter().find(|(found, at)| *found == digit && near.contains(at));
            delays.extend(known.map(|(_, at)| 1e3 * (*at as f64 - end as f64) / RATE as f64));
            begin = near.end;
        }
        delays
    }
}

/// Draws what was heard in the first seconds, and keeps the sound.
pub fn draw(trace: &[[f32; 11]], stream: &Stream) -> anyhow::Result<()> {
    let columns = trace.len();
    let values: Vec<f32> = (0..11).flat_map(|row| trace.iter().map(move |of| of[row])).collect();
    let names: Vec<_> =
        ["voice".into()].into_iter().chain((0..10).map(|d| d.to_string())).collect();
    let spoken = stream.digits.iter().zip(&stream.ends);
    let spoken: Vec<_> = spoken
        .map(|(digit, end)| format!("{digit} until {:.1}", *end as f64 / RATE as f64))
        .take(4)
        .collect();
    HeatMap::new(&values, [11, columns])
        .rows(&names)
        .axes("what is heard", "frame of 32 ms")
        .plot()?
        .title(format!("spoken: {} s, …", spoken.join(", ")))
        .save(common::picture("recogniser.svg"))?;
    let sound = std::env::temp_dir().join("recogniser.wav");
    println!("its sound: {}", sound.display());
    audio::write(&sound, &stream.samples)
}
