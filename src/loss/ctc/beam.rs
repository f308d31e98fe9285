//! What a beam search is asked for, and what it finds.

#[cfg(doc)]
use super::Ctc;
use super::align::Alignment;
use crate::check::{check_not_negative, check_not_zero};
use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// Labels that [`Ctc::beam_search`] found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Decoded {
    /// The labels.
    pub labels: Vec<u32>,
    /// The log-probability of the labels: of all paths that spell them and stayed in the beam.
    pub log_probability: f64,
    /// What the results are sorted by: the log-probability, plus the language model's part and the bonus for
    /// each label.
    pub score: f64,
    /// The likeliest of the paths that spell the labels, with the frames of each label.
    pub alignment: Alignment,
}

/// The log-probability of a label behind others, or of the end.
type Model = dyn Fn(&[u32], Option<u32>) -> f32 + Send + Sync;

/// The options of [`Ctc::beam_search`].
#[derive(Clone)]
#[must_use = "options do nothing until they are given to Ctc::beam_search"]
pub struct BeamSearch {
    pub(super) width: usize,
    pub(super) best: usize,
    pub(super) top_classes: usize,
    pub(super) least: f32,
    /// With its weight.
    pub(super) model: Option<(f32, Arc<Model>)>,
    pub(super) bonus: f32,
}

impl fmt::Debug for BeamSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BeamSearch")
            .field("width", &self.width)
            .field("best", &self.best)
            .field("top_classes", &self.top_classes)
            .field("min_log_probability", &self.least)
            .field("language_model", &self.model.as_ref().map(|(weight, _)| weight))
            .field("length_bonus", &self.bonus)
            .finish()
    }
}

impl BeamSearch {
    /// A search that keeps the `width` best prefixes at each frame, and gives the best. 100 in TensorFlow; 10
    /// to 50 nearly always find the same.
    pub fn new(width: usize) -> Self {
        let (top_classes, least) = (usize::MAX, f32::NEG_INFINITY);
        Self { width, best: 1, top_classes, least, model: None, bonus: 0.0 }
    }

    /// Sets how many results there are for each row, at most as many as the beam is wide: TensorFlow's
    /// `top_paths`, torchaudio's `nbest`.
    pub fn best(mut self, results: usize) -> Self {
        self.best = results;
        self
    }

    /// Lets only the `k` likeliest labels of a frame extend the prefixes: torchaudio's `beam_size_token`. It
    /// saves time, most of all with a language model.
    pub fn top_classes(mut self, k: usize) -> Self {
        self.top_classes = k;
        self
    }

    /// Lets only labels with at least this log-probability at a frame extend the prefixes, and the likeliest
    /// class in any case: pyctcdecode's `token_min_logp`, -5 there.
    pub fn min_log_probability(mut self, least: f32) -> Self {
        self.least = least;
        self
    }

    /// Adds to a prefix's score `weight` times the logarithm of what a language model says of each of its
    /// labels (α of Hannun et al. 2014, often from 0.5 to 2).
    ///
    /// `log_probability` is given the labels so far and the next, or `None` for the end of the row. A model
    /// of words says 0 within a word and, at the space or the end behind it, the word's log-probability. -∞
    /// forbids the label: a row in which all is forbidden has no result. It is called once
    /// for each label that could follow a prefix while that is in the beam, from several threads.
    ///
    /// ```
    /// use wgpu_lstm::loss::{BeamSearch, Ctc, Emissions};
    /// // 1 and then, as likely, 2 or 3.
    /// let p = [0.1, 0.9, 0., 0., 0.2, 0., 0.4, 0.4];
    /// let emissions = Emissions::from_probabilities(&p, 4, &[2])?;
    /// let bigrams = |before: &[u32], next: Option<u32>| match (before.last(), next) {
    ///     (Some(1), Some(3)) => -0.1,
    ///     (_, Some(_)) => -2.0,
    ///     (_, None) => 0.0,
    /// };
    /// let search = BeamSearch::new(8).language_model(1.0, bigrams).length_bonus(1.0);
    /// let found = &Ctc::new().beam_search(&emissions, &search)?[0][0];
    /// assert_eq!(found.labels, [1, 3]);
    /// let (frames, model, bonus) = (f64::ln(0.9 * 0.4), -2.0 - 0.1, 2.0);
    /// assert!((found.log_probability - frames).abs() < 1e-6);
    /// assert!((found.score - (frames + model + bonus)).abs() < 1e-6);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn language_model<F>(mut self, weight: f32, log_probability: F) -> Self
    where
        F: Fn(&[u32], Option<u32>) -> f32 + Send + Sync + 'static,
    {
        self.model = Some((weight, Arc::new(log_probability)));
        self
    }

    /// Adds this for each label to a prefix's score: without it a language model favours few labels (β of
    /// Hannun et al. 2014; torchaudio's `word_score`). A bonus for words is a part of what the language
    /// model says.
    pub fn length_bonus(mut self, bonus: f32) -> Self {
        self.bonus = bonus;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        check_not_zero("BeamSearch::width", self.width)?;
        check_not_zero("BeamSearch::best", self.best)?;
        check_not_zero("BeamSearch::top_classes", self.top_classes)?;
        let number = |option, value: f32, right: bool, expected: &str| match right {
            true => Ok(()),
            false => {
                Err(Error::Option { option, found: value.to_string(), expected: expected.into() })
            }
        };
        let (least, bonus) = (self.least, self.bonus);
        let option = "BeamSearch::min_log_probability";
        number(option, least, !least.is_nan(), "a log-probability")?;
        number("BeamSearch::length_bonus", bonus, bonus.is_finite(), "a finite number")?;
        let weight = self.model.as_ref().map_or(0.0, |(weight, _)| *weight);
        check_not_negative("BeamSearch::language_model", weight)
    }
}
