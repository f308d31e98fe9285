//! Hears a file or standard input by the model that was trained last.

use super::features::RATE;
use super::listener::{Listener, Utterance};
use super::{audio, common, data, model, run};
use std::path::{Path, PathBuf};
use wgpu_lstm::prelude::*;

/// Where the trained model is kept.
pub fn kept(short: bool) -> PathBuf {
    std::env::temp_dir().join(if short { "short.safetensors" } else { "recogniser.safetensors" })
}

/// The two models on the CPU: one stream is too little work for a GPU.
pub fn listener(kept: &Path, scaler: &Standardizer) -> anyhow::Result<Listener> {
    let device = Device::cpu()?;
    let voice = model::load(&common::data("silero/weights.safetensors"), &device)?;
    let digits = Sequential::load(kept, &device)?;
    Ok(Listener::new(&voice, &digits, &device, scaler.clone())?)
}

/// Hears a file or standard input.
pub fn hear(input: &str) -> anyhow::Result<()> {
    let kept = kept(false);
    if !kept.exists() {
        run(&Device::auto()?, 0, false)?;
    }
    let x = data::read()?.0;
    let train: Vec<_> = (0..x.len()).filter(|i| i % 5 != 4).collect();
    let mut listener = listener(&kept, &Standardizer::fit(&x.select(&train)?)?)?;
    let mut samples = 0;
    let mut piece = |piece: &[f32]| {
        samples += piece.len();
        listener.hear(piece, |said| show(said, "…"))?.iter().for_each(|said| show(said, ""));
        anyhow::Ok(())
    };
    match input {
        "-" => audio::listen(std::io::stdin().lock(), piece)?,
        file => audio::read(Path::new(file))?.chunks(RATE / 100).try_for_each(&mut piece)?,
    }
    listener.end()?.iter().for_each(|said| show(said, ""));
    let share = listener.spent.as_secs_f64() * RATE as f64 / samples as f64;
    println!(
        "{:.1} s heard, {:.0} µs of computing for 25 ms",
        samples as f64 / RATE as f64,
        25e3 * share
    );
    Ok(())
}

fn show(said: &Utterance, more: &str) {
    let digits: Vec<_> = said.digits.iter().map(|(digit, _)| digit.to_string()).collect();
    println!("from {:6.2} s: {}{more}", said.begin as f64 / RATE as f64, digits.join(" "));
}
