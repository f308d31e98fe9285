//! Pairs of phones, frame by frame.

use super::common;
use wgpu_lstm::data::{NpzFile, Sequences, Targets, read_lines};

/// A logarithm of the power and twelve cepstrum coefficients.
const FEATURES: usize = 13;

pub struct Pairs {
    /// The name of each phone.
    pub names: Vec<String>,
    /// Frames of about 10 ms: a sequence from the middle of a phone to that of the next.
    pub x: Sequences,
    /// The phone of each frame.
    pub y: Targets,
    /// For each pair, the first frame of the second phone.
    pub bounds: Vec<usize>,
}

pub fn read() -> anyhow::Result<Pairs> {
    let file = NpzFile::open(common::data("phones/phones.npz"))?;
    let [lengths, bounds, phones] =
        ["lengths", "middles", "pairs"].map(|name| file.array(name)?.read_classes());
    let (lengths, bounds, phones) = (lengths?, bounds?, phones?);
    let values: Vec<f32> = file.array("x")?.read()?.iter().map(|v| v / 1000.0).collect();
    let (mut begin, mut pairs, mut labels) = (0, Vec::new(), Vec::new());
    for ((&frames, &bound), phones) in lengths.iter().zip(&bounds).zip(phones.chunks(2)) {
        let end = begin + frames as usize * FEATURES;
        pairs.push(&values[begin..end]);
        labels.extend((0..frames).map(|frame| phones[usize::from(frame >= bound)]));
        begin = end;
    }
    Ok(Pairs {
        names: read_lines(common::data("phones/phones.txt"))?,
        x: Sequences::new(FEATURES, pairs)?,
        y: Targets::classes(labels),
        bounds: bounds.iter().map(|&frame| frame as usize).collect(),
    })
}
