//! Naive Bayes over words and pairs of neighbours.

use std::collections::{HashMap, HashSet};

/// A text's words and pairs, each once.
fn features(text: &[u32]) -> HashSet<&[u32]> {
    text.windows(1).chain(text.windows(2)).collect()
}

/// The likelier of two classes for each text to test, with one added to each count.
pub fn answers(train: &[Vec<u32>], labels: &[usize], test: &[Vec<u32>]) -> Vec<usize> {
    let mut counts: HashMap<&[u32], [f64; 2]> = HashMap::new();
    for (text, &label) in train.iter().zip(labels) {
        for feature in features(text) {
            counts.entry(feature).or_insert([1.0; 2])[label] += 1.0;
        }
    }
    let total = |label: usize| counts.values().map(|count| count[label]).sum::<f64>();
    let totals = [0, 1].map(total);
    let prior = [0, 1].map(|label| labels.iter().filter(|&&l| l == label).count() as f64);
    let odds = |text: &Vec<u32>| {
        let found = features(text).into_iter().filter_map(|feature| counts.get(feature));
        // Sorted, since the order of a set is drawn anew in each run.
        let mut logs: Vec<f64> =
            found.map(|[blame, praise]| (praise / totals[1] * totals[0] / blame).ln()).collect();
        logs.sort_by(f64::total_cmp);
        logs.iter().sum::<f64>() + (prior[1] / prior[0]).ln()
    };
    test.iter().map(|text| usize::from(odds(text) > 0.0)).collect()
}
