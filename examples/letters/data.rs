//! Words with their letters and phones as numbers.

use super::common;
use wgpu_lstm::data::{TextSplit, read_lines};
use wgpu_lstm::prelude::*;

/// Words, spelt and said.
pub struct Words {
    pub letters: Vec<Vec<u32>>,
    pub phones: Vec<Vec<u32>>,
}

/// So many words to train on and to test, and what the numbers of letters and phones mean.
pub fn read([train, test]: [usize; 2]) -> anyhow::Result<(Words, Words, [Vocabulary; 2])> {
    let lines = read_lines(common::data("cmudict/words.txt"))?;
    let pairs: Vec<_> = lines.iter().filter_map(|line| line.split_once(' ')).collect();
    let letters = Vocabulary::characters().fit(pairs[..train].iter().map(|pair| pair.0))?;
    let phones = Vocabulary::new(TextSplit::Whitespace).lowercase(false);
    let phones = phones.fit(pairs[..train].iter().map(|pair| pair.1))?;
    let words = |pairs: &[(&str, &str)]| Words {
        letters: pairs.iter().map(|pair| letters.encode(pair.0)).collect(),
        phones: pairs.iter().map(|pair| phones.encode(pair.1)).collect(),
    };
    let (train, test) = (words(&pairs[..train]), words(&pairs[pairs.len() - test..]));
    Ok((train, test, [letters, phones]))
}

/// Some of the rows.
pub fn of(all: &[Vec<u32>], rows: &[usize]) -> Vec<Vec<u32>> {
    rows.iter().map(|&row| all[row].clone()).collect()
}

/// Each token twice, and told apart: as many frames as CTC may need.
pub fn twice(rows: &[Vec<u32>]) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row.iter().flat_map(|&t| [2 * t, 2 * t + 1]).collect()).collect()
}

/// What the tokens are.
pub fn names(of: &Vocabulary, tokens: &[u32]) -> Vec<String> {
    tokens.iter().map(|&t| of.token(t).unwrap_or_default().to_owned()).collect()
}
