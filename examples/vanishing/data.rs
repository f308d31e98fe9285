//! What is drawn and what is read.

use super::{TIMESTEPS, common};
use anyhow::Result;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::data::read_lines;
use wgpu_lstm::prelude::*;

/// Is the first value 1 or -1? All others are noise of variance 0.2.
pub fn first_of_many(rows: usize, rng: &mut ChaCha8Rng) -> Result<(Sequences, Targets)> {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let class = f32::from(rng.random_bool(0.5));
        y.push(class);
        x.push(2.0 * class - 1.0);
        x.extend((1..TIMESTEPS).map(|_| rng.random_range(-0.775f32..0.775)));
    }
    Ok((Sequences::from_array(&x, [rows, TIMESTEPS, 1])?, Targets::values(y, 1)))
}

/// Sentences, and for each 1 for praise or 0 for blame.
type Labelled = (Vec<String>, Vec<u32>);

/// Those to train on, and of each file each fifth to test.
pub fn reviews() -> Result<[Labelled; 2]> {
    let mut parts = [Labelled::default(), Labelled::default()];
    for name in ["amazon", "imdb", "yelp"] {
        let lines = read_lines(common::data(&format!("sentiment/{name}.txt")))?;
        for (i, line) in lines.iter().enumerate() {
            let (texts, labels) = &mut parts[usize::from(i % 5 == 4)];
            labels.push(u32::from(line.starts_with('1')));
            texts.push(line[2..].to_owned());
        }
    }
    Ok(parts)
}
