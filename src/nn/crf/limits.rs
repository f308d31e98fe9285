//! The paths that a CRF's constraints leave.

use super::tags::{Tag, bio_tags};
use crate::ops::loss::crf::NEVER;
use crate::tensor::room_for;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What no path does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    /// The tags that there are to be, if that is known.
    pub(super) tags: Option<usize>,
    /// From a tag to another.
    pub(super) steps: Vec<[u32; 2]>,
    pub(super) starts: Vec<u32>,
    pub(super) ends: Vec<u32>,
}

impl Limits {
    /// Those of the BIO scheme: `I-X` follows `B-X` or `I-X` alone.
    pub(super) fn bio<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self> {
        let tags = bio_tags("Crf::bio", names)?;
        let inside = |tag: &Tag| tag.filter(|(_, begins)| !begins).map(|(kind, _)| kind);
        let mut limits = Self { tags: Some(tags.len()), ..Self::default() };
        for (to, kind) in tags.iter().enumerate().filter_map(|(to, tag)| Some((to, inside(tag)?))) {
            limits.starts.push(to as u32);
            let others =
                tags.iter().enumerate().filter(|(_, from)| from.map(|f| f.0) != Some(kind));
            limits.steps.extend(others.map(|(from, _)| [from as u32, to as u32]));
        }
        Ok(limits)
    }

    /// Checks that the tags are those of a model with so many.
    pub(super) fn check(&self, tags: usize) -> Result<()> {
        let option = |option, found, expected| Err(Error::Option { option, found, expected });
        if let Some(named) = self.tags.filter(|&named| named != tags) {
            let expected = format!("{tags}, the emissions of a frame");
            return option("Crf::bio", format!("{named} tags"), expected);
        }
        let all = self.steps.as_flattened().iter().chain(&self.starts).chain(&self.ends);
        match all.copied().find(|&tag| tag as usize >= tags) {
            Some(tag) => {
                let expected = format!("below {tags}, the emissions of a frame");
                option("Crf::forbid", format!("the tag {tag}"), expected)
            }
            None => Ok(()),
        }
    }

    /// What is added to the scores `[K+2,K]`; `None` if all paths are left.
    pub(super) fn scores(&self, tags: usize) -> Result<Option<Vec<f32>>> {
        if self.steps.is_empty() && self.starts.is_empty() && self.ends.is_empty() {
            return Ok(None);
        }
        let len = (tags + 2) * tags;
        let mut scores = room_for("the constraints of a Crf", len)?;
        scores.resize(len, 0.0);
        let steps = self.steps.iter().map(|&[from, to]| (from as usize, to));
        let starts = self.starts.iter().map(|&to| (tags, to));
        let ends = self.ends.iter().map(|&to| (tags + 1, to));
        for (from, to) in steps.chain(starts).chain(ends) {
            scores[from * tags + to as usize] = NEVER;
        }
        Ok(Some(scores))
    }

    /// What a path of labels does that no path is to do.
    pub(super) fn broken(&self, path: &[u32]) -> Option<String> {
        if let Some(first) = path.first().filter(|first| self.starts.contains(first)) {
            return Some(format!("labels that begin with tag {first}"));
        }
        if let Some(last) = path.last().filter(|last| self.ends.contains(last)) {
            return Some(format!("labels that end with tag {last}"));
        }
        if self.steps.is_empty() {
            return None;
        }
        let at = path.windows(2).position(|step| self.steps.iter().any(|s| s[..] == *step))?;
        let (from, to) = (path[at], path[at + 1]);
        Some(format!("labels that go from tag {from} to tag {to}, behind frame {at}"))
    }
}
