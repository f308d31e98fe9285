//! Spans of tags, such as the names in a text.

use super::average::share;
use crate::Result;
use crate::nn::{Tag, bio_tags};

/// Precision, recall and F1 of spans, as CoNLL counts them: a span is right if a span of the same kind begins
/// and ends where it does (Tjong Kim Sang & De Meulder 2003, arXiv cs/0306050; `conlleval`).
///
/// A tag is `O` outside of spans, `B-X` at the begin of one of kind X, `I-X` within. An `I-X` that follows
/// no X begins a span, too.
///
/// ```
/// use wgpu_lstm::train::metrics::SpanF1;
/// let mut spans = SpanF1::new(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])?;
/// // One of two people, a place; found, expected.
/// spans.add(&[1, 2, 0, 3, 0, 0], &[1, 2, 0, 3, 0, 1]);
/// assert_eq!([spans.precision(), spans.recall(), spans.f1()], [1.0, 2.0 / 3.0, 0.8]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SpanF1 {
    tags: Vec<Tag>,
    /// The spans that were found, that there are, and that are both.
    counts: [f64; 3],
}

impl SpanF1 {
    /// All its numbers, for a checkpoint.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        self.counts.to_vec()
    }

    pub(crate) fn set_numbers(&mut self, numbers: &[f64]) {
        if let &[found, expected, both] = numbers {
            self.counts = [found, expected, both];
        }
    }

    /// No sequences, and the names of the tags by their number.
    ///
    /// # Errors
    /// [`crate::Error::Option`] for a name that is neither `O` nor `B-` or `I-` with a kind behind it.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self> {
        Ok(Self { tags: bio_tags("SpanF1::tags", names)?, counts: [0.0; 3] })
    }

    /// Adds the tags of a sequence, as they were found and as they should be. A number that is no tag is
    /// outside of spans.
    pub fn add(&mut self, found: &[u32], expected: &[u32]) {
        self.add_weighted(found, expected, 1.0);
    }

    pub(crate) fn add_weighted(&mut self, found: &[u32], expected: &[u32], weight: f64) {
        let (found, expected) = (self.spans(found), self.spans(expected));
        // Both are in order of their begin, and no two of one list begin at one place.
        let both = found.iter().filter(|span| {
            expected.binary_search_by_key(&span.1, |s| s.1).is_ok_and(|at| expected[at] == **span)
        });
        let counts = [found.len(), expected.len(), both.count()];
        for (sum, count) in self.counts.iter_mut().zip(counts) {
            *sum += weight * count as f64;
        }
    }

    /// The spans of a sequence: kind, begin, end.
    fn spans(&self, tags: &[u32]) -> Vec<(usize, usize, usize)> {
        let mut spans: Vec<(usize, usize, usize)> = Vec::new();
        let mut before = None;
        for (at, &tag) in tags.iter().enumerate() {
            let tag = self.tags.get(tag as usize).copied().flatten();
            if let Some((kind, begins)) = tag {
                match spans.last_mut() {
                    Some(span) if !begins && before == Some(kind) => span.2 = at + 1,
                    _ => spans.push((kind, at, at + 1)),
                }
            }
            before = tag.map(|(kind, _)| kind);
        }
        spans
    }

    /// The share of the spans found that are right; 0 of none.
    pub fn precision(&self) -> f64 {
        share(self.counts[2], self.counts[0])
    }

    /// The share of the spans that were found; 0 of none.
    pub fn recall(&self) -> f64 {
        share(self.counts[2], self.counts[1])
    }

    /// The harmonic mean of both; 0 of none.
    pub fn f1(&self) -> f64 {
        share(2.0 * self.counts[2], self.counts[0] + self.counts[1])
    }

    pub(crate) fn tags(&self) -> usize {
        self.tags.len()
    }
}
