//! What can be told without a model.

use super::data::Example;
use std::collections::HashMap;

/// What is before the verb did it, and what is behind was done to.
pub fn rule(examples: &[Example]) -> Vec<Vec<String>> {
    let tags = |example: &Example| {
        let last = example.words.len() - 1;
        let tag = |at: usize| match at.cmp(&example.verb) {
            _ if at == last && example.words[at].len() == 1 => "O",
            std::cmp::Ordering::Less if at == 0 => "B-A0",
            std::cmp::Ordering::Less => "I-A0",
            std::cmp::Ordering::Equal => "B-V",
            std::cmp::Ordering::Greater if at == example.verb + 1 => "B-A1",
            std::cmp::Ordering::Greater => "I-A1",
        };
        (0..=last).map(|at| tag(at).to_owned()).collect()
    };
    examples.iter().map(tags).collect()
}

/// The tag that a word most often has before a verb, as one, or behind one.
pub fn most_frequent(train: &[Example], examples: &[Example]) -> Vec<Vec<String>> {
    let place =
        |example: &Example, at: usize| (example.words[at].to_lowercase(), at.cmp(&example.verb));
    let mut counts: HashMap<_, HashMap<&str, usize>> = HashMap::new();
    for example in train {
        for (at, tag) in example.tags.iter().enumerate() {
            *counts.entry(place(example, at)).or_default().entry(tag).or_default() += 1;
        }
    }
    let most = |tags: &HashMap<&str, usize>| {
        let best = tags.iter().max_by_key(|(tag, count)| (**count, **tag));
        best.map_or_else(String::new, |(tag, _)| (*tag).to_owned())
    };
    let best: HashMap<_, String> = counts.iter().map(|(place, tags)| (place, most(tags))).collect();
    let tag = |example: &Example, at| best.get(&place(example, at)).cloned();
    let tags = |example: &Example| {
        (0..example.words.len()).map(|at| tag(example, at).unwrap_or_else(|| "O".into())).collect()
    };
    examples.iter().map(tags).collect()
}
