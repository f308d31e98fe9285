//! Japanese sentences, and what is asked of each of their words or letters.

use super::{baselines, common};
use wgpu_lstm::data::{Sequences, TextSplit, Vocabulary, read_lines};
use wgpu_lstm::train::metrics::SpanF1;

/// The first letters of a word, which its vector is made of.
pub const LETTERS: usize = 8;

/// The kinds of letters, with one for all other signs.
pub const KINDS: usize = 6;

/// A sentence: of each word its letters, part of speech, and how it is part of a name.
pub type Sentence = Vec<[String; 3]>;

pub fn read() -> anyhow::Result<Vec<Sentence>> {
    let lines = read_lines(common::data("japanese/sentences.txt"))?;
    let row = |line: &String| {
        let mut fields = line.split('\t').map(str::to_owned);
        [(); 3].map(|()| fields.next().unwrap_or_default())
    };
    Ok(lines.split(String::is_empty).map(|rows| rows.iter().map(row).collect()).collect())
}

/// What is to be told, with sentences to train on and to test.
pub struct Task {
    /// What its scores are called, without and with a CRF.
    pub scores: [&'static str; 2],
    /// The names of the tags, and whether they mark spans.
    pub tags: Vec<String>,
    pub spans: bool,
    /// How many words, if they are read as such, and letters there are numbers for.
    pub words: Option<usize>,
    pub letters: usize,
    pub x: [Sequences; 2],
    pub y: [Vec<Vec<u32>>; 2],
    /// What simpler ways make of the sentences to test, by the names of their scores.
    pub baselines: Vec<(&'static str, Vec<Vec<u32>>)>,
}

impl Task {
    /// F1 of spans, or the share of tags that are right, of the sentences to test.
    pub fn score(&self, found: &[Vec<u32>]) -> anyhow::Result<f64> {
        let pairs = || found.iter().zip(&self.y[1]);
        if self.spans {
            let mut spans = SpanF1::new(&self.tags)?;
            pairs().for_each(|(found, truth)| spans.add(found, truth));
            return Ok(spans.f1());
        }
        let tags: Vec<_> = pairs().flat_map(|(found, truth)| found.iter().zip(truth)).collect();
        Ok(tags.iter().filter(|(found, truth)| found == truth).count() as f64 / tags.len() as f64)
    }
}

/// Where words begin, letter by letter: Japanese is written without spaces.
pub fn words(parts: [&[Sentence]; 2]) -> anyhow::Result<Task> {
    let letters = |s: &Sentence| s.iter().map(|[word, ..]| word.as_str()).collect::<String>();
    let of_word = |[word, ..]: &[String; 3]| (0..word.chars().count()).map(|at| u32::from(at > 0));
    let inside = |s: &Sentence| s.iter().flat_map(of_word).collect::<Vec<_>>();
    let texts = parts.map(|part| part.iter().map(letters).collect::<Vec<_>>());
    let known = vocabulary(texts[0].iter().flat_map(|text| text.chars()).map(String::from))?;
    let number = |c: char| known.number(&c.to_string()).unwrap_or(Vocabulary::UNKNOWN);
    let frame = |c| [number(c) as f32, kind(c).min(KINDS as u32 - 1) as f32];
    let frames = |text: &String| text.chars().flat_map(frame).collect::<Vec<_>>();
    let [x, test_x] = texts.each_ref().map(|t| Sequences::new(2, t.iter().map(frames)));
    Ok(Task {
        scores: ["words, F1", "words, F1 with CRF"],
        tags: ["B-W", "I-W"].map(str::to_owned).to_vec(),
        spans: true,
        words: None,
        letters: known.len(),
        x: [x?, test_x?],
        y: parts.map(|part| part.iter().map(inside).collect()),
        baselines: baselines::of_letters(parts[0], &texts[1]),
    })
}

/// A tag for each word.
pub fn tags(parts: [&[Sentence]; 2], spans: bool) -> anyhow::Result<Task> {
    let column = if spans { 2 } else { 1 };
    let all = || parts[0].iter().flatten();
    let mut tags: Vec<String> = all().map(|word| word[column].clone()).collect();
    tags.sort_unstable();
    tags.dedup();
    let words = vocabulary(all().map(|[word, ..]| word.clone()))?;
    let letters = vocabulary(all().flat_map(|[word, ..]| word.chars()).map(String::from))?;
    let number = |of: &Vocabulary, token: &str| of.number(token).unwrap_or(Vocabulary::UNKNOWN);
    let frame = |[word, ..]: &[String; 3]| {
        let letters = word.chars().map(|c| number(&letters, &c.to_string()));
        let padded = letters.chain(std::iter::repeat(Vocabulary::PADDING)).take(LETTERS);
        std::iter::once(number(&words, word)).chain(padded).map(|n| n as f32).collect::<Vec<_>>()
    };
    let frames = |s: &Sentence| s.iter().flat_map(frame).collect::<Vec<_>>();
    let [x, test_x] = parts.map(|part| Sequences::new(1 + LETTERS, part.iter().map(frames)));
    // A tag that is not in the training has a number that is never told.
    let tag = |word: &[String; 3]| {
        tags.iter().position(|tag| *tag == word[column]).unwrap_or(tags.len()) as u32
    };
    let y: [Vec<Vec<u32>>; 2] =
        parts.map(|part| part.iter().map(|s| s.iter().map(tag).collect()).collect());
    Ok(Task {
        scores: match spans {
            true => ["names, F1", "names, F1 with CRF"],
            false => ["parts of speech, accuracy", "parts of speech, accuracy with CRF"],
        },
        spans,
        words: Some(words.len()),
        letters: letters.len(),
        x: [x?, test_x?],
        baselines: baselines::of_words(parts, &y[0], spans.then_some(&tags)),
        y,
        tags,
    })
}

/// Hiragana, katakana, Chinese signs, digits and letters; anything else is of its own kind.
pub fn kind(c: char) -> u32 {
    match c {
        'ぁ'..='ゟ' => 0,
        '゠'..='ヿ' => 1,
        '一'..='鿿' | '々' => 2,
        c if c.is_numeric() => 3,
        c if c.is_alphabetic() => 4,
        c => c.into(),
    }
}

/// Numbers for what is there twice or more. What is there once shares one with all that is not known, which so has
/// something to learn from.
fn vocabulary(tokens: impl Iterator<Item = String>) -> anyhow::Result<Vocabulary> {
    let mut all: Vec<String> = tokens.collect();
    all.sort_unstable();
    let twice = all.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).map(|same| &same[0]);
    Ok(Vocabulary::new(TextSplit::Whitespace).with_tokens(twice.cloned())?)
}
