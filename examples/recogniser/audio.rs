//! Sound of one channel, 16,000 samples a second, from a file or from standard input.

use super::features::RATE;
use anyhow::{Context, Result};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::f64::consts::PI;
use std::io::Read;
use std::path::Path;

/// The samples of a WAV file, the channels' mean.
pub fn read(path: &Path) -> Result<Vec<f32>> {
    let mut reader = WavReader::open(path).with_context(|| format!("{}", path.display()))?;
    let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
    let samples: Vec<f32> = match sample_format {
        SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>()?,
        SampleFormat::Int => {
            let scale = 1.0 / (1_u64 << (bits_per_sample - 1)) as f32;
            let values = reader.samples::<i32>().map(|s| Ok(s? as f32 * scale));
            values.collect::<Result<_, hound::Error>>()?
        }
    };
    let channels = usize::from(channels);
    let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
    let samples: Vec<f32> = samples.chunks_exact(channels).map(mean).collect();
    Ok(resample(&samples, sample_rate as usize))
}

/// Writes samples as a WAV file.
pub fn write(path: &Path, samples: &[f32]) -> Result<()> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: RATE as u32,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(path, spec)?;
    for sample in samples {
        writer.write_sample((sample * 32767.0) as i16)?;
    }
    Ok(writer.finalize()?)
}

/// Hands over 16-bit samples in pieces as they come.
pub fn listen(mut input: impl Read, mut hear: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
    let (mut bytes, mut have) = ([0; 1024], 0);
    loop {
        match input.read(&mut bytes[have..])? {
            0 => return Ok(()),
            more => have += more,
        }
        let (whole, rest) = bytes[..have].as_chunks::<2>();
        let samples: Vec<f32> =
            whole.iter().map(|&b| f32::from(i16::from_le_bytes(b)) / 32768.0).collect();
        hear(&samples)?;
        have = rest.len();
        bytes[0] = rest.first().copied().unwrap_or(0);
    }
}

/// As many samples a second as are wanted: the sum of those near by, under a sine that lets no more frequencies
/// through than both rates have.
pub fn resample(samples: &[f32], rate: usize) -> Vec<f32> {
    if rate == RATE {
        return samples.to_vec();
    }
    let narrow = (RATE as f64 / rate as f64).min(1.0);
    let reach = 16.0 / narrow;
    let at = |i: usize| {
        let centre = i as f64 * rate as f64 / RATE as f64;
        let near = (centre - reach).ceil().max(0.0) as usize;
        let far = ((centre + reach) as usize + 1).min(samples.len());
        let weigh = |(n, sample): (usize, &f32)| {
            let away = centre - n as f64;
            let x = PI * narrow * away;
            let sine = if x == 0.0 { 1.0 } else { x.sin() / x };
            narrow * sine * (0.5 + 0.5 * (PI * away / reach).cos()) * f64::from(*sample)
        };
        samples.iter().enumerate().take(far).skip(near).map(weigh).sum::<f64>() as f32
    };
    (0..samples.len() * RATE / rate).map(at).collect()
}
