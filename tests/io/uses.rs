//! The examples that run published models, against what their packages say.

#[path = "../../examples/segment/model.rs"]
mod words;

#[path = "../../examples/voice_activity"]
mod voice {
    pub mod model;
    pub mod segments;
}

use std::f64::consts::TAU;
use std::ops::Range;
use std::path::PathBuf;
use voice::model::{self, CONTEXT, FRAME, Frames};
use voice::segments::Segments;
use wgpu_lstm::Device;
use wgpu_lstm::prelude::*;

fn data(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(folder)
}

/// A tone whose loudness goes up and down three times a second, and a higher one.
fn tone(samples: usize) -> impl Iterator<Item = f32> {
    (0..samples).map(|n| {
        let t = n as f64 / 16000.0;
        let loudness = 0.5 + 0.5 * (TAU * 3.0 * t).sin();
        (0.3 * (TAU * 180.0 * t).sin() * loudness + 0.05 * (TAU * 2500.0 * t).sin()) as f32
    })
}

fn frames(samples: impl IntoIterator<Item = f32>) -> Vec<Vec<f32>> {
    let mut frames = Frames::new();
    frames.push(samples);
    let mut all: Vec<_> = std::iter::from_fn(|| frames.next()).collect();
    all.extend(frames.last());
    all
}

/// What ONNX Runtime 1.32 computes with the package's own files, 6.2.3.
#[test]
fn the_probabilities_of_speech_are_the_packages_own() -> wgpu_lstm::Result<()> {
    let device = Device::cpu()?;
    let model = model::load(&data("silero").join("weights.safetensors"), &device)?;
    let frames = frames(tone(512 * FRAME));
    assert_eq!(frames.len(), 512);
    let x = Sequences::from_array(&frames.concat(), [1, 512, CONTEXT + FRAME])?;
    let found = model.predict(&x)?;
    let whole = found.values();
    let expected = [
        (0, 0.073_483_97),
        (1, 0.254_144_73),
        (2, 0.088_051_71),
        (10, 0.140_910_18),
        (100, 0.005_296_53),
        (511, 0.000_486_05),
    ];
    for (n, p) in expected {
        assert!((whole[n] - p).abs() < 1e-5, "frame {n}: {} for {p}", whole[n]);
    }
    let sum: f64 = whole.iter().map(|&p| f64::from(p)).sum();
    assert!((sum - 3.530_801_3).abs() < 1e-4, "{sum}");

    let mut stepper = model.stepper(1)?;
    let stream = stepper.join()?;
    for (n, frame) in frames.iter().enumerate() {
        let p = stepper.step(&[(stream, frame)])?.row(0)[0];
        assert!((p - whole[n]).abs() < 1e-6, "frame {n}: {p} in a stream, {} at once", whole[n]);
    }
    Ok(())
}

fn speech(samples: &[f32]) -> wgpu_lstm::Result<Vec<Range<usize>>> {
    let model = model::load(&data("silero").join("weights.safetensors"), &Device::cpu()?)?;
    let frames = frames(samples.iter().copied());
    let x = Sequences::from_array(&frames.concat(), [1, frames.len(), CONTEXT + FRAME])?;
    let mut segments = Segments::default();
    let found = model.predict(&x)?;
    let mut all: Vec<_> = found.values().iter().filter_map(|&p| segments.push(p)).collect();
    all.extend(segments.finish(samples.len()));
    Ok(all)
}

/// As `get_speech_timestamps` of the package finds it.
#[test]
fn speech_is_found_where_the_package_finds_it() -> anyhow::Result<()> {
    let mut reader = hound::WavReader::open(data("silero").join("speech.wav"))?;
    let samples = reader.samples::<i16>().map(|s| Ok(f32::from(s?) / 32768.0));
    let x: Vec<f32> = samples.collect::<anyhow::Result<_>>()?;
    assert_eq!(speech(&x)?, vec![5152..110_560]);
    let silence = |n| vec![0.0; n];
    let parts = [silence(16000), x.clone(), silence(8000), x[..40000].into(), silence(20000)];
    let long = [&parts.concat()[..], &x[60000..]].concat();
    assert_eq!(speech(&long)?, [19_488..126_432, 140_832..178_144, 202_272..248_288]);
    Ok(())
}

/// ICU4X's own cases.
#[test]
fn thai_is_split_as_its_own_tests_say() -> anyhow::Result<()> {
    let words = words::Words::load(&data("thai"), &Device::cpu()?)?;
    let cases = std::fs::read_to_string(data("thai").join("cases.json"))?;
    let cases: Vec<[String; 2]> = serde_json::from_str(&cases)?;
    assert_eq!(cases.len(), 30);
    for [text, places] in &cases {
        assert_eq!(words.places(text)?, *places, "{text}");
        assert_eq!(words.split(text)?.concat(), *text);
    }
    assert!(words.split("")?.is_empty());
    Ok(())
}
