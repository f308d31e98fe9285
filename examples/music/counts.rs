//! What counting makes of music.

use super::files::{Frame, Notes};
use std::collections::HashMap;

/// How often each note was sung by a voice after what: nothing, the note before in this voice, and also the note of
/// the voice above. What was seen more seldom is told from the next shorter one.
pub struct Counts<'a> {
    counts: HashMap<(usize, Vec<u8>), HashMap<u8, f64>>,
    notes: &'a Notes,
    contexts: usize,
}

/// What may be known of a note, from nothing on.
fn contexts(tune: &[Frame], frame: usize, voice: usize) -> [Vec<u8>; 3] {
    // No note has the number 0.
    let before = if frame == 0 { 0 } else { tune[frame - 1][voice] };
    let above = if voice == 0 { 0 } else { tune[frame][voice - 1] };
    [vec![], vec![before], vec![before, above]]
}

impl<'a> Counts<'a> {
    /// Of the first so many contexts.
    pub fn new(tunes: &[Vec<Frame>], notes: &'a Notes, kinds: usize) -> Self {
        let mut counts: HashMap<_, HashMap<_, _>> = HashMap::new();
        for tune in tunes {
            for (frame, voices) in tune.iter().enumerate() {
                for (voice, &note) in voices.iter().enumerate() {
                    for context in contexts(tune, frame, voice) {
                        *counts.entry((voice, context)).or_default().entry(note).or_default() +=
                            1.0;
                    }
                }
            }
        }
        Self { counts, notes, contexts: kinds }
    }

    /// How surprising these tunes are: Witten and Bell's smoothing, in which a context counts for the less the more
    /// different notes came after it.
    pub fn nats_per_frame(&self, tunes: &[Vec<Frame>]) -> f64 {
        let (mut nats, mut frames) = (0.0, 0);
        for tune in tunes {
            for (frame, voices) in tune.iter().enumerate() {
                for (voice, note) in voices.iter().enumerate() {
                    let mut p = 1.0 / self.notes.len() as f64;
                    for context in contexts(tune, frame, voice).into_iter().take(self.contexts) {
                        if let Some(counts) = self.counts.get(&(voice, context)) {
                            let (all, kinds) = (counts.values().sum::<f64>(), counts.len() as f64);
                            p = (counts.get(note).unwrap_or(&0.0) + kinds * p) / (all + kinds);
                        }
                    }
                    nats -= p.ln();
                }
            }
            frames += tune.len();
        }
        nats / frames as f64
    }
}
