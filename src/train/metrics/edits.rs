//! Edit distances, and rates of errors made of them.

/// The fewest insertions, deletions and substitutions that make one sequence of the other (Levenshtein
/// 1966).
///
/// ```
/// use wgpu_lstm::train::metrics::edit_distance;
/// assert_eq!(edit_distance(b"kitten", b"sitting"), 3);
/// ```
///
/// # Cost
/// The product of the lengths in time, the length of `b` in memory.
pub fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    // distances[j]: from what there is of a so far to b[..j].
    let mut distances: Vec<_> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = i;
        distances[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = distances[j + 1];
            distances[j + 1] = substituted.min(diagonal + 1).min(distances[j] + 1);
        }
    }
    distances[b.len()]
}

/// The edits between sequences and what they should be: the errors of all, over the length of all.
///
/// ```
/// use wgpu_lstm::train::metrics::ErrorRate;
/// let mut words = ErrorRate::new();
/// words.add_words("the cat sat", "the cat sat down");
/// assert_eq!(words.rate(), 0.25);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ErrorRate {
    edits: f64,
    length: f64,
    sequences: f64,
}

impl ErrorRate {
    /// All its numbers, for a checkpoint.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        vec![self.edits, self.length, self.sequences]
    }

    pub(crate) fn set_numbers(&mut self, numbers: &[f64]) {
        if let &[edits, length, sequences] = numbers {
            (self.edits, self.length, self.sequences) = (edits, length, sequences);
        }
    }

    /// No sequences.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sequence and what it should be, of tokens of any kind.
    pub fn add<T: PartialEq>(&mut self, found: &[T], expected: &[T]) {
        self.add_weighted(found, expected, 1.0);
    }

    /// Adds two texts, word by word as white space parts them: for a word error rate (WER).
    pub fn add_words(&mut self, found: &str, expected: &str) {
        let words = |text: &'_ str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        self.add(&words(found), &words(expected));
    }

    /// Adds two texts, character by character: for a character error rate (CER).
    pub fn add_characters(&mut self, found: &str, expected: &str) {
        let characters = |text: &str| text.chars().collect::<Vec<_>>();
        self.add(&characters(found), &characters(expected));
    }

    pub(crate) fn add_weighted<T: PartialEq>(&mut self, found: &[T], expected: &[T], weight: f64) {
        self.edits += weight * edit_distance(found, expected) as f64;
        self.length += weight * expected.len() as f64;
        self.sequences += weight;
    }

    /// The edits of all sequences over the length of all that they should be: 0 is perfect, and more than 1
    /// is possible. 0 without any edits; infinite if all should have been empty, and are not.
    pub fn rate(&self) -> f64 {
        if self.edits == 0.0 { 0.0 } else { self.edits / self.length }
    }

    /// The mean number of edits of a sequence; 0 of none.
    pub fn mean_distance(&self) -> f64 {
        if self.sequences == 0.0 { 0.0 } else { self.edits / self.sequences }
    }
}
