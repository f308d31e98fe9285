//! A text as numbers of words, and in pieces.

use super::common;
use wgpu_lstm::Result;
use wgpu_lstm::data::{TextSplit, read_lines};
use wgpu_lstm::prelude::*;

/// The streams that are read side by side, and the words of a piece.
pub const ROWS: usize = 16;
const STEPS: usize = 35;

/// The word behind each verse.
pub const END: &str = "¶";

/// The words of the chapters to train on, to validate and to test. Of ten chapters, one is for each of the latter.
pub fn read(short: bool) -> anyhow::Result<(Vocabulary, [Vec<u32>; 3])> {
    let mut parts = [const { String::new() }; 3];
    let mut chapter = 0;
    for line in read_lines(common::data("chapters/words.txt"))? {
        let part = &mut parts[match chapter % 10 {
            4 => 1,
            9 => 2,
            _ => 0,
        }];
        match line.is_empty() {
            true => chapter += 1,
            false => *part += &format!("{line} {END} "),
        }
        if short && chapter == 40 {
            break;
        }
    }
    let most = if short { 1000 } else { 2500 };
    let vocabulary = Vocabulary::new(TextSplit::Whitespace).max_tokens(most).fit([&parts[0]])?;
    let parts = parts.map(|part| vocabulary.encode(&part));
    Ok((vocabulary, parts))
}

/// The places of the words to predict, in the order in which they come: each row goes on in the next batch.
pub fn order(words: usize) -> Vec<usize> {
    let each = (words - 1) / ROWS / STEPS * STEPS;
    let piece = move |row, start| (1..=STEPS).map(move |t| row * each + start + t);
    let batch = move |start| (0..ROWS).flat_map(move |row| piece(row, start));
    (0..each).step_by(STEPS).flat_map(batch).collect()
}

/// The words before those, in pieces; and those.
pub fn pieces(words: &[u32]) -> Result<(Sequences, Targets)> {
    let order = order(words.len());
    let before = order.chunks(STEPS).map(|piece| piece.iter().map(|&i| words[i - 1]).collect());
    let x = Sequences::from_tokens(before.collect::<Vec<Vec<u32>>>())?;
    Ok((x, Targets::classes(order.iter().map(|&i| words[i]))))
}
