//! Sentences with the roles that were found.

#[path = "../common/spans.rs"]
mod spans;

use super::{common, data::Example};

/// Draws some of the sentences.
pub fn draw(examples: &[Example], found: &[Vec<u32>], tags: &[String]) -> anyhow::Result<()> {
    let some = examples.iter().zip(found).step_by(examples.len().div_ceil(14));
    let rows = some.map(|(example, found)| spans::Row {
        words: example.words.iter().map(String::as_str).collect(),
        found: found.iter().map(|&tag| role(&tags[tag as usize])).collect(),
        truth: example.tags.iter().map(|tag| role(tag)).collect(),
        marked: Some(example.verb),
    });
    spans::draw(&rows.collect::<Vec<_>>(), "semantic_roles.svg")
}

/// A tag, but for that of the verb itself, which is given.
pub fn role(tag: &str) -> &str {
    if tag.ends_with("-V") { "O" } else { tag }
}
