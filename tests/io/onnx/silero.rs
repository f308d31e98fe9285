//! silero-vad in each of its ONNX files, against what its package gives.

use crate::onnx::models::model;
use wgpu_lstm::io::onnx::Value;
use wgpu_lstm::{Device, Result};

/// The probabilities of some frames of [`samples`], from the package itself, and the sum of those of all.
const EXPECTED: [(usize, f32); 6] = [
    (0, 0.07348397),
    (1, 0.25414473),
    (2, 0.08805171),
    (10, 0.14091018),
    (100, 0.00529653),
    (511, 0.00048605),
];
const SUM: f32 = 3.5308013;

/// Those of `silero_vad_half.onnx`, which has other weights: from ONNX Runtime 1.32.
const HALF: [(usize, f32); 6] = [
    (0, 0.324506),
    (1, 0.4251048),
    (2, 0.12343404),
    (10, 0.40755063),
    (100, 0.6317992),
    (511, 0.75414777),
];
const HALF_SUM: f32 = 356.7238;
const FRAMES: usize = 512;

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

fn check(probabilities: &[f32], all: [(usize, f32); 6], all_sum: f32) {
    for (frame, expected) in all {
        let found = probabilities[frame];
        assert!((found - expected).abs() < 1e-4, "frame {frame}: {found}, expected {expected}");
    }
    let sum: f32 = probabilities.iter().sum();
    assert!((sum - all_sum).abs() < 1e-2, "{sum}");
}

fn streamed(name: &str, with_rate: bool) -> Result<()> {
    let device = Device::cpu_with_threads(1)?;
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
    match name {
        "silero_vad_half.onnx" => check(&probabilities, HALF, HALF_SUM),
        _ => check(&probabilities, EXPECTED, SUM),
    }
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
    let device = Device::cpu_with_threads(1)?;
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
    check(&probabilities.to_f32()?, EXPECTED, SUM);
    let sum: f32 = h.to_f32()?.iter().sum();
    assert!((sum - 1.4615701).abs() < 1e-3, "{sum}");
    let c = c.to_f32()?;
    for (found, expected) in c.iter().zip([0.0596922, -0.9319012, 4.242685]) {
        assert!((found - expected).abs() < 1e-3, "{found}, expected {expected}");
    }
    Ok(())
}
