//! Paths: the likeliest of all, and the likeliest that spells given labels.

use super::emissions::{Emissions, Frames};
use super::{Ctc, check_count, least_frames};
use crate::tensor::{count, room_for};
use crate::{Error, Result};

/// A path through the frames of a sequence, and the labels that it spells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Alignment {
    /// The class of each frame: a label, or the blank.
    pub path: Vec<u32>,
    /// The labels in their order, and the frames of each.
    pub spans: Vec<Span>,
    /// The log-probability of this path.
    pub log_probability: f64,
}

/// A label of an [`Alignment`] and its frames: torchaudio's `TokenSpan`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// The label.
    pub label: u32,
    /// Its first frame.
    pub start: usize,
    /// The frame behind its last.
    pub end: usize,
    /// The mean of its log-probabilities at these frames.
    pub score: f32,
}

impl Alignment {
    /// The labels that the path spells: repeats are merged, blanks removed.
    pub fn labels(&self) -> Vec<u32> {
        self.spans.iter().map(|span| span.label).collect()
    }

    /// torchaudio's `merge_tokens`.
    fn new(path: Vec<u32>, frames: Frames<'_>, blank: u32) -> Self {
        let scores: Vec<_> =
            frames.iter().zip(&path).map(|(frame, &class)| frame[class as usize]).collect();
        let sum = |scores: &[f32]| scores.iter().map(|&score| f64::from(score)).sum::<f64>();
        let mut end = 0;
        let runs = path.chunk_by(|a, b| a == b).map(|run| {
            let start = end;
            end += run.len();
            let score = (sum(&scores[start..end]) / run.len() as f64) as f32;
            Span { label: run[0], start, end, score }
        });
        let spans = runs.filter(|span| span.label != blank).collect();
        Self { path, spans, log_probability: sum(&scores) }
    }
}

impl Ctc {
    /// The likeliest path of each row, which is the likeliest class of each frame, of equals the first:
    /// TensorFlow's `ctc_greedy_decoder`. [`Alignment::labels`] has what it spells.
    ///
    /// ```
    /// use wgpu_lstm::loss::{Ctc, Emissions};
    /// // Five frames of three classes, of which 0 is the blank: 1, 1, blank, 1, 2.
    /// let logits = [0., 9., 0., 0., 9., 0., 9., 0., 0., 0., 9., 0., 0., 0., 9.];
    /// let found = &Ctc::new().greedy(&Emissions::from_logits(&logits, 3, &[5])?)?[0];
    /// assert_eq!(found.labels(), [1, 1, 2]);
    /// let starts: Vec<_> = found.spans.iter().map(|span| span.start).collect();
    /// assert_eq!(starts, [0, 3, 4]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if the blank is no class.
    pub fn greedy(&self, emissions: &Emissions) -> Result<Vec<Alignment>> {
        self.check_blank(emissions.classes())?;
        emissions.each(|frames| {
            let path = frames.iter().map(likeliest).collect();
            Ok(Alignment::new(path, frames, self.blank))
        })
    }

    /// The likeliest path that spells the labels of each row: torchaudio's `forced_align` and
    /// `merge_tokens`. Says when known labels, such as the letters of a transcript, are said.
    ///
    /// ```
    /// use wgpu_lstm::loss::{Ctc, Emissions};
    /// // Four frames of three classes: either label is likeliest nowhere, but 1 is likelier early.
    /// let p = [0.7, 0.2, 0.1, 0.6, 0.3, 0.1, 0.8, 0.1, 0.1, 0.6, 0.1, 0.3];
    /// let emissions = Emissions::from_probabilities(&p, 3, &[4])?;
    /// let found = &Ctc::new().align(&emissions, &[[1, 2]])?[0];
    /// assert_eq!(found.path, [0, 1, 0, 2]);
    /// assert_eq!((found.spans[1].label, found.spans[1].start, found.spans[1].end), (2, 3, 4));
    /// assert!((found.log_probability - (0.7f64 * 0.3 * 0.8 * 0.3).ln()).abs() < 1e-6);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Count`] if there are not labels for each row, [`Error::Label`] for one that is no class,
    /// [`Error::Option`] if the blank is among them or no class, [`Error::TooFewFrames`] if a row has fewer
    /// than its labels need, [`Error::NotFinite`] if it rules out every path, [`Error::OutOfMemory`].
    ///
    /// # Cost
    /// The product of the frames and twice the labels, in time and, for the time that a row takes, in bytes.
    pub fn align<L>(&self, emissions: &Emissions, labels: &[L]) -> Result<Vec<Alignment>>
    where
        L: AsRef<[u32]> + Sync,
    {
        let classes = emissions.classes();
        check_count("Ctc::align", emissions.rows(), labels.len())?;
        self.check_blank(classes)?;
        for (row, labels) in labels.iter().enumerate() {
            self.check_labels(row, labels.as_ref(), classes)?;
        }
        emissions.each(|frames| self.align_row(frames, labels[frames.row].as_ref()))
    }

    /// The path through the labels and a blank before, between and behind them.
    pub(super) fn align_row(&self, frames: Frames<'_>, labels: &[u32]) -> Result<Alignment> {
        let row = frames.row;
        let (expected, found) = (least_frames(labels), frames.count());
        if expected > found {
            return Err(Error::TooFewFrames { row, expected, found });
        }
        let blank = self.blank;
        let states = 2 * labels.len() + 1;
        let says = |s: usize| if s.is_multiple_of(2) { blank } else { labels[s / 2] };
        let skips = |s: usize| s % 2 == 1 && (s == 1 || says(s) != says(s - 2));
        let states_of: Vec<_> = (0..states).map(|s| (says(s) as usize, skips(s))).collect();
        // From two states before the first on: paths begin one before it.
        let mut now = vec![f64::NEG_INFINITY; states + 2];
        let mut before = now.clone();
        before[1] = 0.0;
        // By how many states the best path to each came forward.
        let mut steps: Vec<u8> = room_for("an alignment", count(&[found, states]))?;
        for frame in frames.iter() {
            for (s, &(class, skips)) in states_of.iter().enumerate() {
                let (mut best, mut step) = (before[s + 2], 0);
                if before[s + 1] > best {
                    (best, step) = (before[s + 1], 1);
                }
                if skips && before[s] > best {
                    (best, step) = (before[s], 2);
                }
                now[s + 2] = best + f64::from(frame[class]);
                steps.push(step);
            }
            std::mem::swap(&mut before, &mut now);
            before[1] = f64::NEG_INFINITY;
        }
        let ends = &before[2..];
        let mut state = states - 1;
        if state > 0 && ends[state - 1] >= ends[state] {
            state -= 1;
        }
        if found > 0 && ends[state] == f64::NEG_INFINITY {
            return Err(Error::NotFinite {
                what: "the log-probability of every path",
                place: format!("row {row}"),
                help: "a label's class is ruled out, by -inf, wherever the label could be",
            });
        }
        let mut path = vec![blank; found];
        for (t, class) in path.iter_mut().enumerate().rev() {
            *class = says(state);
            state = state.saturating_sub(steps[t * states + state].into());
        }
        Ok(Alignment::new(path, frames, blank))
    }
}

fn likeliest(frame: &[f32]) -> u32 {
    (0..frame.len()).fold(0, |best, j| if frame[j] > frame[best] { j } else { best }) as u32
}
