//! What can be told without a model.

use super::data::{Sentence, kind};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

type Answers = Vec<(&'static str, Vec<Vec<u32>>)>;

/// Words by the letters' kinds, and the longest words that are known.
pub fn of_letters(train: &[Sentence], texts: &[String]) -> Answers {
    let known: HashSet<&str> = train.iter().flatten().map(|[word, ..]| word.as_str()).collect();
    let all = |cut: &dyn Fn(&str) -> usize| texts.iter().map(|text| tags(text, cut)).collect();
    vec![
        ("words, F1, longest known word", all(&|rest| longest(rest, &known))),
        ("words, F1, where the kind of letter changes", all(&alike)),
    ]
}

/// Begins and insides of words, each of which is cut from the rest of the text by its length in bytes.
fn tags(mut text: &str, cut: &dyn Fn(&str) -> usize) -> Vec<u32> {
    let mut tags = Vec::new();
    while !text.is_empty() {
        let (word, rest) = text.split_at(cut(text));
        tags.extend((0..word.chars().count()).map(|at| u32::from(at > 0)));
        text = rest;
    }
    tags
}

/// The longest known word, or letters of the kind of the first one.
fn longest(text: &str, known: &HashSet<&str>) -> usize {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.rev().find(|&end| known.contains(&text[..end])).unwrap_or_else(|| alike(text))
}

/// How far the letters are of the kind of the first one.
fn alike(text: &str) -> usize {
    let first = text.chars().next().map(kind);
    text.find(|c| Some(kind(c)) != first).unwrap_or(text.len())
}

/// The tag that each word most often has, the most frequent one for words that are not known; if the tags mark spans,
/// the longest known ones, too.
pub fn of_words(parts: [&[Sentence]; 2], y: &[Vec<u32>], spans: Option<&Vec<String>>) -> Answers {
    let of = |s: &Sentence| s.iter().map(|[word, ..]| word.clone()).collect::<Vec<_>>();
    let [train, test] = parts.map(|part| part.iter().map(of).collect::<Vec<_>>());
    let pairs = || train.iter().flatten().zip(y.iter().flatten().copied());
    let (of_word, of_all) = (most(pairs()), most(pairs().map(|(_, tag)| ((), tag))));
    let tag = |word| of_word.get(word).unwrap_or(&of_all[&()]);
    let frequent = test.iter().map(|s| s.iter().map(tag).copied().collect()).collect();
    let Some(names) = spans else {
        return vec![("parts of speech, accuracy, most frequent of the word", frequent)];
    };
    let mut known = Vec::new();
    for (words, tags) in train.iter().zip(y) {
        let begins = |&at: &usize| names[tags[at] as usize].starts_with('B');
        for at in (0..words.len()).filter(begins) {
            let inside =
                tags[at + 1..].iter().take_while(|&&tag| names[tag as usize].starts_with('I'));
            let end = at + 1 + inside.count();
            known.push((&words[at..end], &tags[at..end]));
        }
    }
    let known = most(known.into_iter());
    let outside = names.iter().position(|name| name == "O").unwrap_or_default() as u32;
    let cut = |words: &Vec<String>| {
        let mut tags: Vec<u32> = Vec::new();
        while tags.len() < words.len() {
            let rest = &words[tags.len()..];
            let name = (1..=rest.len()).rev().find_map(|end| known.get(&rest[..end]));
            tags.extend_from_slice(name.copied().unwrap_or(&[outside]));
        }
        tags
    };
    vec![
        ("names, F1, longest known name", test.iter().map(cut).collect()),
        ("names, F1, most frequent tag of the word", frequent),
    ]
}

/// What each thing is most often.
fn most<K: Hash + Eq + Ord + Copy, V: Ord + Copy>(
    pairs: impl Iterator<Item = (K, V)>,
) -> HashMap<K, V> {
    let mut all: Vec<_> = pairs.collect();
    all.sort_unstable();
    let mut best: HashMap<K, (usize, V)> = HashMap::new();
    for same in all.chunk_by(|a, b| a == b) {
        let (key, value) = same[0];
        let entry = best.entry(key).or_insert((0, value));
        if same.len() > entry.0 {
            *entry = (same.len(), value);
        }
    }
    best.into_iter().map(|(key, (_, value))| (key, value)).collect()
}
