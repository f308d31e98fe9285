//! Where speech begins and ends, by the probabilities of frames as they come: what the Python package's
//! `get_speech_timestamps` finds with its default options, each segment as soon as it is sure.

use super::model::{FRAME, RATE};
use std::ops::Range;

/// From which probability on a frame has speech, and below which it has none.
const SPEECH: f64 = 0.5;
const SILENCE: f64 = 0.5 - 0.15;
/// Samples: the shortest speech, the shortest pause between segments, what is added on both sides.
const SHORTEST: usize = RATE / 4;
const PAUSE: usize = RATE / 10;
const MARGIN: usize = RATE * 30 / 1000;

#[derive(Default)]
pub struct Segments {
    /// The samples before the next frame.
    at: usize,
    /// Where the speech began that goes on, and where it may have ended.
    begin: Option<usize>,
    end: Option<usize>,
}

impl Segments {
    /// Takes the next frame's probability; a segment, in samples, if a pause behind it is now long enough.
    pub fn push(&mut self, probability: f32) -> Option<Range<usize>> {
        let (probability, at) = (f64::from(probability), self.at);
        self.at += FRAME;
        if probability >= SPEECH {
            self.end = None;
            self.begin.get_or_insert(at);
            return None;
        }
        let begin = self.begin?;
        if probability >= SILENCE {
            return None;
        }
        let end = *self.end.get_or_insert(at);
        if at - end < PAUSE {
            return None;
        }
        (self.begin, self.end) = (None, None);
        (end - begin > SHORTEST).then(|| begin.saturating_sub(MARGIN)..end + MARGIN)
    }

    /// The segment that lasts until the end, after so many samples in all.
    pub fn finish(self, samples: usize) -> Option<Range<usize>> {
        let begin = self.begin.filter(|begin| samples - begin > SHORTEST)?;
        Some(begin.saturating_sub(MARGIN)..samples)
    }
}
