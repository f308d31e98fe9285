//! The names of tags that mark spans.

use crate::{Error, Result};

/// A tag: the number of its kind, and whether it begins a span; `None` outside of spans.
pub(crate) type Tag = Option<(usize, bool)>;

/// Reads the names of tags: `O` outside of spans, `B-X` at the begin of one of kind X, `I-X` within.
pub(crate) fn bio_tags<S: AsRef<str>>(
    option: &'static str,
    names: impl IntoIterator<Item = S>,
) -> Result<Vec<Tag>> {
    let mut kinds: Vec<String> = Vec::new();
    let mut read = |name: S| {
        let name = name.as_ref();
        if name == "O" {
            return Ok(None);
        }
        let parts = [("B-", true), ("I-", false)];
        let mut parts =
            parts.iter().filter_map(|(p, begins)| Some((name.strip_prefix(p)?, *begins)));
        let Some((kind, begins)) = parts.next().filter(|(kind, _)| !kind.is_empty()) else {
            return Err(Error::Option {
                option,
                found: name.to_owned(),
                expected: "O, or B- or I- with a kind behind it, such as B-PER".into(),
            });
        };
        let known = kinds.iter().position(|known| known == kind);
        let number = known.unwrap_or_else(|| {
            kinds.push(kind.to_owned());
            kinds.len() - 1
        });
        Ok(Some((number, begins)))
    };
    names.into_iter().map(&mut read).collect()
}
