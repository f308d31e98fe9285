//! Saves a trained model, and loads it in another process, which predicts the same bits.
//!
//!     cargo run --release --example save_load
//!
//! The program starts itself again: with a path as its argument it only loads and predicts.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use wgpu_lstm::prelude::*;

fn main() -> Result<()> {
    let device = Device::auto()?;
    if let Some(path) = std::env::args_os().nth(1) {
        return load(Path::new(&path), &device);
    }
    println!("device: {device}");

    // Is the mean of a sequence above 0?
    let x = sequences()?;
    let means = (0..x.len()).map(|i| x.get(i).iter().sum::<f32>() / x.get(i).len() as f32);
    let y = Targets::values(means.map(|mean| f32::from(mean > 0.0)).collect::<Vec<_>>(), 1);

    let mut model = Sequential::new(&device)
        .add(Lstm::new(16).num_layers(2).dropout(0.1))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    model.compile(Adam::new(1e-2), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    model.fit(&x, &y, Fit::new().epochs(5))?;

    let path = std::env::temp_dir().join(format!("save_load-{}.safetensors", std::process::id()));
    model.save(&path)?;
    println!("{} holds {} bytes", path.display(), std::fs::metadata(&path)?.len());

    let other = Command::new(std::env::current_exe()?).arg(&path).output();
    std::fs::remove_file(&path)?;
    let other = other?;
    ensure!(other.status.success(), "{}", String::from_utf8_lossy(&other.stderr));
    let found = String::from_utf8(other.stdout)?;
    let own = bits(&model, &x)?;
    ensure!(found.trim() == own, "the other process predicts\n{found}\nand this one\n{own}");
    println!("another process predicts the same bits for {} sequences", x.len());
    Ok(())
}

/// What the other process does.
fn load(path: &Path, device: &Device) -> Result<()> {
    let model = Sequential::load(path, device).context("the model of the first process")?;
    println!("{}", bits(&model, &sequences()?)?);
    Ok(())
}

/// 200 sequences of 4 to 11 frames with two features.
fn sequences() -> Result<Sequences> {
    let values = |i: usize| -> Vec<f32> {
        let frames = 4 + i % 8;
        (0..2 * frames).map(|t| ((i * 31 + t) as f32 * 0.37).sin() + (i as f32).sin()).collect()
    };
    Ok(Sequences::new(2, (0..200).map(values))?)
}

/// The bits of a model's predictions.
fn bits(model: &Sequential, x: &Sequences) -> Result<String> {
    let prediction = model.predict(x)?;
    Ok(prediction
        .values()
        .iter()
        .map(|value| format!("{:08x} ", value.to_bits()))
        .collect::<String>()
        .trim()
        .to_owned())
}
