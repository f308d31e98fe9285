//! dksplit: three LSTMs of 8-bit weights in both directions, whose emissions say where a word begins.

use crate::onnx::models::model;
use wgpu_lstm::io::onnx::Value;
use wgpu_lstm::{Device, Result};

/// The numbers of letters, in the order of the package's vocabulary: a to z begin at 2.
fn letters(text: &str) -> Vec<i64> {
    text.bytes().map(|byte| i64::from(byte - b'a') + 2).collect()
}

#[test]
fn words_are_split_as_the_package_does() -> Result<()> {
    let device = Device::cpu()?;
    let Some(model) = model("dksplit-int8.onnx", &device) else { return Ok(()) };
    let text = letters("kubernetescluster");
    let chars = Value::i64(&text, [1, text.len()])?;
    let outputs = model.run(&[("chars", chars)])?;
    let emissions = outputs[0].1.to_f32()?;
    assert_eq!(emissions.len(), 2 * text.len());
    // Another order of sums rounds some activations to the next of 255 steps.
    for (found, expected) in
        emissions.iter().zip([-7.7463684, 7.013751, 3.229333, -8.515026, 3.7332256, -8.758851])
    {
        assert!((found - expected).abs() < 0.1, "{found}, expected {expected}");
    }
    let sum: f32 = emissions.iter().sum();
    assert!((sum + 64.28992).abs() < 1.0, "{sum}");
    let begins: Vec<_> =
        (0..text.len()).filter(|&at| emissions[2 * at + 1] > emissions[2 * at]).collect();
    assert_eq!(begins, [0, 10]);
    Ok(())
}
