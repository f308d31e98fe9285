//! BLEU: how many n-grams of translations are in their references.

use crate::Result;
use crate::check::check_not_zero;
use std::collections::HashMap;
use std::hash::Hash;

/// BLEU of a corpus, from 0 to 1: the geometric mean of the shares of n-grams that are in a reference, for n
/// up to the order, times exp(1 - r / c) if the c tokens of all translations are fewer than the r of
/// their references (Papineni et al. 2002, doi:10.3115/1073083.1073135). Without smoothing: 0 if
/// no n-gram of some n is right.
///
/// ```
/// use wgpu_lstm::train::metrics::Bleu;
/// let mut bleu = Bleu::new(2)?;
/// let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
/// bleu.add(&words("the cat sat"), &[&words("the cat sat down")]);
/// assert!((bleu.value() - (1.0f64 - 4.0 / 3.0).exp()).abs() < 1e-12);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Bleu {
    /// For each n, the n-grams that are right, and all of the translations.
    shares: Vec<[f64; 2]>,
    found: f64,
    expected: f64,
}

impl Bleu {
    /// All its numbers, for a checkpoint.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let shares = self.shares.iter().flatten().copied();
        [self.found, self.expected].into_iter().chain(shares).collect()
    }

    pub(crate) fn set_numbers(&mut self, numbers: &[f64]) {
        if let [found, expected, shares @ ..] = numbers {
            (self.found, self.expected) = (*found, *expected);
            self.shares = shares.chunks_exact(2).map(|share| [share[0], share[1]]).collect();
        }
    }

    /// No translations; n-grams of up to `order` tokens, 4 in most papers.
    ///
    /// # Errors
    /// [`crate::Error::Option`] for an order of 0.
    pub fn new(order: usize) -> Result<Self> {
        check_not_zero("Bleu::order", order)?;
        Ok(Self::of_order(order))
    }

    pub(crate) fn of_order(order: usize) -> Self {
        Self { shares: vec![[0.0; 2]; order], found: 0.0, expected: 0.0 }
    }

    /// Adds a translation, and its references, of tokens of any kind. Of references of several lengths the
    /// one counts that is nearest to the translation's, and the shorter of two as near.
    pub fn add<T: Eq + Hash>(&mut self, found: &[T], references: &[&[T]]) {
        self.add_weighted(found, references, 1.0);
    }

    pub(crate) fn add_weighted<T: Eq + Hash>(
        &mut self,
        found: &[T],
        references: &[&[T]],
        weight: f64,
    ) {
        let lengths = references.iter().map(|reference| reference.len());
        let nearest = lengths.min_by_key(|&l| (l.abs_diff(found.len()), l)).unwrap_or(0);
        self.found += weight * found.len() as f64;
        self.expected += weight * nearest as f64;
        for (n, [right, all]) in self.shares.iter_mut().enumerate() {
            let counts = grams(found, n + 1);
            let references: Vec<_> = references.iter().map(|r| grams(r, n + 1)).collect();
            // A gram is right as often as it is in one reference.
            let hits = counts.iter().map(|(gram, &count)| {
                let most = references.iter().filter_map(|r| r.get(gram)).max();
                count.min(most.copied().unwrap_or(0))
            });
            *right += weight * hits.sum::<usize>() as f64;
            *all += weight * counts.values().sum::<usize>() as f64;
        }
    }

    /// The BLEU of all translations so far; 0 of none.
    pub fn value(&self) -> f64 {
        if self.shares.iter().any(|&[right, _]| right == 0.0) {
            return 0.0;
        }
        let logs = self.shares.iter().map(|[right, all]| (right / all).ln()).sum::<f64>();
        let brevity = (1.0 - self.expected / self.found).min(0.0);
        (brevity + logs / self.shares.len() as f64).exp()
    }
}

/// How often each run of n tokens is there.
fn grams<T: Eq + Hash>(tokens: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    for gram in tokens.windows(n) {
        *counts.entry(gram).or_insert(0) += 1;
    }
    counts
}
