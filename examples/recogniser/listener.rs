//! Listens to samples as they come: the voice activity model finds where somebody speaks, and from there on, until a
//! pause, the other model says which digits it hears.

use super::data::FEATURES;
use super::decoder::Decoder;
use super::features::{Features, HOP, RATE, WINDOW};
use super::model::{FRAME, Frames};
use std::time::{Duration, Instant};
use wgpu_lstm::Result;
use wgpu_lstm::nn::StreamId;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::Stepper;

/// From which probability on a frame has speech, and below which it has none.
const SPEECH: f32 = 0.5;
const SILENCE: f32 = 0.35;
/// Samples: the pause that ends an utterance, and what is heard of those before it.
const PAUSE: usize = RATE * 3 / 10;
const MARGIN: usize = RATE / 10;
/// Frames that are kept to be shown.
const TRACED: usize = 5 * RATE / FRAME;

pub struct Listener {
    frames: Frames,
    voice: (Stepper, StreamId),
    digits: (Stepper, StreamId),
    features: Features,
    scaler: Standardizer,
    /// What has come and may yet be heard; the first of them, and how many have been looked at for a voice.
    samples: Vec<f32>,
    first: usize,
    looked: usize,
    speech: Option<Utterance>,
    /// For each of silero-vad's first frames, how likely there is a voice, and each digit.
    pub trace: Vec<[f32; 11]>,
    pub spent: Duration,
}

/// What somebody says until there is a pause.
#[derive(Default)]
pub struct Utterance {
    /// The samples before it, and before its end.
    pub begin: usize,
    pub end: usize,
    /// The frames, for others to judge.
    pub frames: Vec<f32>,
    /// The digits, each with the samples after which it was known.
    pub digits: Vec<(u32, usize)>,
    /// The samples before the next window.
    next: usize,
    decoder: Decoder,
}

impl Listener {
    pub fn new(
        voice: &Sequential,
        digits: &Sequential,
        device: &Device,
        scaler: Standardizer,
    ) -> Result<Self> {
        let stream = |model: &Sequential| -> Result<_> {
            let mut stepper = model.stepper(1)?;
            let stream = stepper.join()?;
            Ok((stepper, stream))
        };
        Ok(Self {
            frames: Frames::new(),
            voice: stream(voice)?,
            digits: stream(digits)?,
            features: Features::new(device)?,
            scaler,
            samples: Vec::new(),
            first: 0,
            looked: 0,
            speech: None,
            trace: Vec::new(),
            spent: Duration::ZERO,
        })
    }

    /// Takes samples; the utterances that have ended. `partial` gets each that goes on when another digit is known.
    pub fn hear(
        &mut self,
        samples: &[f32],
        mut partial: impl FnMut(&Utterance),
    ) -> Result<Vec<Utterance>> {
        let start = Instant::now();
        self.samples.extend(samples);
        self.frames.push(samples.iter().copied());
        let mut ended = Vec::new();
        while let Some(frame) = self.frames.next() {
            let (stepper, stream) = &mut self.voice;
            let probability = stepper.step(&[(*stream, &frame)])?.row(0)[0];
            let at = self.looked;
            if self.trace.len() < TRACED {
                self.trace
                    .push(std::array::from_fn(|row| if row == 0 { probability } else { 0.0 }));
            }
            self.looked += FRAME;
            if probability >= SPEECH && self.speech.is_none() {
                let begin = at.saturating_sub(MARGIN).max(self.first);
                self.speech = Some(Utterance { begin, next: begin, ..Default::default() });
                self.digits.0.reset(self.digits.1)?;
                self.features.reset();
            }
            let Some(mut speech) = self.speech.take() else {
                self.forget(self.looked.saturating_sub(MARGIN));
                continue;
            };
            if probability >= SILENCE || speech.end == 0 {
                speech.end = self.looked;
            }
            self.recognise(&mut speech, &mut partial)?;
            self.forget(speech.next);
            if self.looked - speech.end < PAUSE {
                self.speech = Some(speech);
            } else {
                ended.push(self.ended(speech));
            }
        }
        self.spent += start.elapsed();
        Ok(ended)
    }

    /// The digits of the windows that are there.
    fn recognise(
        &mut self,
        speech: &mut Utterance,
        partial: &mut impl FnMut(&Utterance),
    ) -> Result<()> {
        while speech.next + WINDOW <= self.looked {
            let at = speech.next - self.first;
            let frame = self.features.of(&self.samples[at..at + WINDOW])?;
            let frame = self.scaler.transform(&Sequences::new(FEATURES, [frame])?)?;
            let (stepper, stream) = &mut self.digits;
            let heard = stepper.step(&[(*stream, frame.get(0))])?;
            if let Some(trace) = self.trace.get_mut(self.looked / FRAME - 1) {
                let seen = trace[1..].iter_mut().zip(heard.row(0));
                seen.for_each(|(seen, probability)| *seen = seen.max(*probability));
            }
            speech.frames.extend(frame.get(0));
            speech.next += HOP;
            if let Some(digit) = speech.decoder.push(heard.row(0)) {
                speech.digits.push((digit, self.looked));
                partial(speech);
            }
        }
        Ok(())
    }

    /// Samples before this one are no longer of use.
    fn forget(&mut self, before: usize) {
        let before = before.max(self.first);
        self.samples.drain(..before - self.first);
        self.first = before;
    }

    /// What ends when no more samples come.
    pub fn end(&mut self) -> Result<Vec<Utterance>> {
        let mut ended = self.hear(&[0.0; FRAME], |_| {})?;
        ended.extend(self.speech.take().map(|speech| self.ended(speech)));
        Ok(ended)
    }

    fn ended(&self, mut speech: Utterance) -> Utterance {
        speech.digits.extend(speech.decoder.end().map(|digit| (digit, self.looked)));
        speech
    }

    /// All of the sound, 10 ms at a time; the utterances.
    pub fn hear_all(&mut self, samples: &[f32]) -> Result<Vec<Utterance>> {
        let mut said = Vec::new();
        for piece in samples.chunks(RATE / 100) {
            said.extend(self.hear(piece, |_| {})?);
        }
        said.extend(self.end()?);
        Ok(said)
    }
}
