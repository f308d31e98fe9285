//! The baseline: which recording is most alike, when time may be stretched (dynamic time warping).

use super::data::FEATURES;
use wgpu_lstm::prelude::*;

/// Frames that are this much less loud than the loudest, in deviations of the first cepstrum, are silence: 33 dB.
const SILENT: f32 = 2.6;

/// The digit of the recording that is most alike to what was heard, less the silence before and behind it.
pub fn nearest((x, digits): &(Sequences, Vec<u32>), heard: &[f32]) -> u32 {
    let loud = heard.chunks(FEATURES).map(|frame| frame[0]);
    let least = loud.clone().fold(f32::MIN, f32::max) - SILENT;
    let begin = loud.clone().position(|loud| loud > least).unwrap_or(0);
    let end = loud.clone().count() - loud.rev().position(|loud| loud > least).unwrap_or(0);
    let heard = &heard[begin * FEATURES..end * FEATURES];
    let costs = digits.iter().enumerate().map(|(i, digit)| (cost(x.get(i), heard), *digit));
    costs.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |best| best.1)
}

/// The mean distance of frames along the best path from the first to the last of both.
fn cost(recording: &[f32], heard: &[f32]) -> f32 {
    let mut costs = vec![f32::INFINITY; heard.len() / FEATURES];
    let mut corner = 0.0;
    for frame in recording.chunks(FEATURES) {
        let (mut before, mut left) = (corner, f32::INFINITY);
        for (cost, other) in costs.iter_mut().zip(heard.chunks(FEATURES)) {
            let away: f32 = frame.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum();
            let above = *cost;
            left = away.sqrt() + left.min(above).min(before);
            (before, *cost) = (above, left);
        }
        corner = f32::INFINITY;
    }
    let frames = (recording.len() + heard.len()) / FEATURES;
    costs.last().copied().unwrap_or(f32::INFINITY) / frames as f32
}
