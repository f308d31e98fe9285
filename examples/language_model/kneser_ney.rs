//! Interpolated Kneser-Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1999).

use std::collections::{HashMap, HashSet};

/// What follows what, in a text.
pub struct KneserNey<'t> {
    words: usize,
    /// How often the longest runs of words are there, and how many different words stand before each shorter one.
    counts: HashMap<&'t [u32], f64>,
    /// Of what follows these words: the sum of the counts, and how many there are.
    after: HashMap<&'t [u32], [f64; 2]>,
    /// What is taken off each count of runs of so many words, for others.
    discounts: Vec<f64>,
}

impl<'t> KneserNey<'t> {
    /// Counts runs of up to `order` of so many different words.
    pub fn new(text: &'t [u32], order: usize, words: usize) -> Self {
        let (mut counts, mut after) = (HashMap::new(), HashMap::new());
        for run in text.windows(order) {
            *counts.entry(run).or_insert(0.0) += 1.0;
        }
        for longer in 2..=order {
            for run in text.windows(longer).collect::<HashSet<_>>() {
                *counts.entry(&run[1..]).or_insert(0.0) += 1.0;
            }
        }
        let mut few = vec![[0.0; 2]; order + 1];
        for (run, &count) in &counts {
            let [sum, kinds] = after.entry(&run[..run.len() - 1]).or_insert([0.0; 2]);
            (*sum, *kinds) = (*sum + count, *kinds + 1.0);
            if count < 3.0 {
                few[run.len()][count as usize - 1] += 1.0;
            }
        }
        let discounts = few.iter().map(|[one, two]| one / (one + 2.0 * two)).collect();
        Self { words, counts, after, discounts }
    }

    /// The probability of the last word of a run behind the others.
    pub fn p(&self, run: &[u32]) -> f64 {
        let Some((_, before)) = run.split_last() else { return 1.0 / self.words as f64 };
        let shorter = self.p(&run[1..]);
        let Some([sum, kinds]) = self.after.get(before) else { return shorter };
        let (count, off) = (self.counts.get(run).unwrap_or(&0.0), self.discounts[run.len()]);
        ((count - off).max(0.0) + off * kinds * shorter) / sum
    }
}
