//! silero-vad in each of its ONNX files, against what its package gives.

use std::path::PathBuf;
use wgpu_lstm::io::onnx::{Model, Value};
use wgpu_lstm::{Device, Result};

/// The probabilities of some frames, and the sum of those of all: from the package itself, see the test's file name
/// for which model. The signal is in [`samples`].
const EXPECTED: [(usize, f32); 6] = [
    (0, 0.07348397),
    (1, 0.25414473),
    (2, 0.08805171),
    (10, 0.14091018),
    (100, 0.00529653),
    (511, 0.00048605),
];
const SUM: f32 = 3.5308013;
const FRAMES: usize = 512;

fn folder() -> PathBuf {
    let set = std::env::var_os("WGPU_LSTM_MODELS").map(PathBuf::from);
    set.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/models"))
}

/// A model, or nothing, with a word, if it was not fetched.
fn model(name: &str, device: &Device) -> Option<Model> {
    let path = folder().join(name);
    if !path.exists() {
        println!("left out: {} is not there; scripts/fetch_models.sh fetches it", path.display());
        return None;
    }
    Some(Model::load(&path, device).unwrap())
}

/// Frames of 512 samples, each behind the last 64 of the one before.
fn samples() -> Vec<f32> {
    let tau = std::f64::consts::TAU;
    let sample = |n: usize| {
        let t = n as f64 / 16000.0;
        let voice = 0.3 * (tau * 180.0 * t).sin() * (0.5 + 0.5 * (tau * 3.0 * t).sin());
        (voice + 0.05 * (tau * 2500.0 * t).sin()) as f32
    };
    let mut all = vec![0.0; 64];
    all.extend((0..FRAMES * 512).map(sample));
    (0..FRAMES).flat_map(|frame| all[frame * 512..frame * 512 + 576].to_vec()).collect()
}

fn check(probabilities: &[f32]) {
    for (frame, expected) in EXPECTED {
        let found = probabilities[frame];
        assert!((found - expected).abs() < 1e-4, "frame {frame}: {found}, expected {expected}");
    }
    let sum: f32 = probabilities.iter().sum();
    assert!((sum - SUM).abs() < 1e-2, "{sum}");
}

fn streamed(name: &str, with_rate: bool) -> Result<()> {
    let device = Device::cpu()?;
    let Some(model) = model(name, &device) else { return Ok(()) };
    println!("{}", model.describe());
    let samples = samples();
    let mut state = Value::f32(&[0.0; 256], [2, 1, 128], &device)?;
    let mut probabilities = Vec::new();
    let begin = std::time::Instant::now();
    for frame in samples.chunks_exact(576) {
        let mut inputs = vec![("input", Value::f32(frame, [1, 576], &device)?), ("state", state)];
        if with_rate {
            inputs.push(("sr", Value::i64(&[16000], [])?));
        }
        let outputs = model.run(&inputs)?;
        let [(_, output), (_, next)] = &outputs[..] else { panic!("{outputs:?}") };
        probabilities.extend(output.to_f32()?);
        state = next.clone();
    }
    println!("{name}: {:.1} us a frame", begin.elapsed().as_secs_f64() * 1e6 / FRAMES as f64);
    check(&probabilities);
    Ok(())
}

#[test]
fn streamed_with_both_rates() -> Result<()> {
    streamed("silero_vad.onnx", true)
}

#[test]
fn streamed_of_opset_15() -> Result<()> {
    streamed("silero_vad_16k_op15.onnx", true)
}

#[test]
fn streamed_in_16_bits() -> Result<()> {
    streamed("silero_vad_half.onnx", false)
}

#[test]
fn streamed_with_the_lstm_written_out() -> Result<()> {
    streamed("silero_vad_op18_ifless.onnx", true)
}

#[test]
fn as_a_sequence() -> Result<()> {
    let device = Device::cpu()?;
    let Some(model) = model("silero_vad_16k_sequence.onnx", &device) else { return Ok(()) };
    println!("{}", model.describe());
    let zeros = || Value::f32(&[0.0; 128], [1, 1, 128], &device);
    let inputs = [
        ("input", Value::f32(&samples(), [FRAMES, 576], &device)?),
        ("h", zeros()?),
        ("c", zeros()?),
    ];
    let begin = std::time::Instant::now();
    let outputs = model.run(&inputs)?;
    println!("{:.1} us a frame", begin.elapsed().as_secs_f64() * 1e6 / FRAMES as f64);
    let [(_, probabilities), (_, h), (_, c)] = &outputs[..] else { panic!("{outputs:?}") };
    check(&probabilities.to_f32()?);
    let sum: f32 = h.to_f32()?.iter().sum();
    assert!((sum - 1.4615701).abs() < 1e-3, "{sum}");
    let c = c.to_f32()?;
    for (found, expected) in c.iter().zip([0.0596922, -0.9319012, 4.242685]) {
        assert!((found - expected).abs() < 1e-3, "{found}, expected {expected}");
    }
    Ok(())
}
