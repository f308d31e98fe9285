//! Sentences with the roles of a verb: from files of PropBank and CoNLL, and in a notation of our own, whose lines are
//! sentences such as `[A0 She] [V opened] [A1 the door] .`

use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::path::Path;
use wgpu_lstm::data::{Sequences, TextSplit, Vocabulary};

/// A sentence and one of its verbs, of which the tags tell.
#[derive(Clone)]
pub struct Example {
    pub words: Vec<String>,
    pub verb: usize,
    pub tags: Vec<String>,
}

impl Example {
    /// Of words and the roles of stretches of them; nothing without a verb.
    fn new(words: &[&str], roles: &[(usize, usize, String)]) -> Option<Self> {
        let mut tags = vec!["O".to_owned(); words.len()];
        for (begin, end, role) in roles {
            let role = role.replace("ARGM", "AM").replace("ARG", "A");
            for (at, tag) in tags.iter_mut().enumerate().take(*end).skip(*begin) {
                *tag = format!("{}-{role}", if at == *begin { "B" } else { "I" });
            }
        }
        let verb = tags.iter().position(|tag| tag == "B-V")?;
        Some(Self { words: words.iter().map(|&word| word.to_owned()).collect(), verb, tags })
    }
}

/// What a file has, or all files of a folder: PropBank's frames (XML), columns as of CoNLL-2005 and CoNLL-2012, or our
/// own notation.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<Example>> {
    let path = path.as_ref();
    if path.is_dir() {
        let entries = path.read_dir()?.map(|entry| Ok(entry?.path()));
        let mut files = entries.collect::<Result<Vec<_>>>()?;
        files.sort_unstable();
        return Ok(files.iter().map(read).collect::<Result<Vec<_>>>()?.concat());
    }
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(examples(&text))
}

/// What the text of a file has.
pub fn examples(text: &str) -> Vec<Example> {
    if text.trim_start().starts_with('<') {
        return text.split("<example").skip(1).filter_map(frame).collect();
    }
    if text.contains("[V ") {
        return text.lines().filter_map(brackets).collect();
    }
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).flat_map(columns).collect()
}

/// A sentence of our notation.
pub fn brackets(line: &str) -> Option<Example> {
    let (mut words, mut roles) = (Vec::new(), Vec::new());
    for token in line.split_whitespace() {
        if let Some(role) = token.strip_prefix('[') {
            roles.push((words.len(), words.len(), role.to_owned()));
            continue;
        }
        words.push(token.trim_end_matches(']'));
        if let (Some(last), true) = (roles.last_mut(), token.ends_with(']')) {
            last.1 = words.len();
        }
    }
    Example::new(&words, &roles)
}

/// The verbs of a sentence in columns: the word in the first, or in the fourth behind a document, a part and numbers as
/// in CoNLL-2012; and for each verb a column such as `(A0*`, `*`, `*)`, `(V*)`. Other columns say nothing here.
fn columns(lines: &[&str]) -> Vec<Example> {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
    let numbered = |(at, row): (usize, &Vec<&str>)| row.get(2) == Some(&at.to_string().as_str());
    let word = if rows.iter().enumerate().all(numbered) { 3 } else { 0 };
    let words: Option<Vec<&str>> = rows.iter().map(|row| row.get(word).copied()).collect();
    let width = rows.iter().map(Vec::len).min().unwrap_or(0);
    let of_verb = |column: usize| {
        let mut roles: Vec<(usize, usize, String)> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            if let Some((role, _)) = row[column].strip_prefix('(').and_then(|c| c.split_once('*')) {
                roles.push((at, at, role.to_owned()));
            }
            if let (Some(last), true) = (roles.last_mut(), row[column].ends_with(')')) {
                last.1 = at + 1;
            }
        }
        Example::new(words.as_ref()?, &roles)
    };
    (word + 1..width).filter_map(of_verb).collect()
}

/// An example of PropBank's frames (version 3.4 and later): a text whose words are parted by spaces, and where the verb
/// and its roles are in it.
fn frame(xml: &str) -> Option<Example> {
    let xml = xml.split("</example").next()?;
    let field = |of: &str, name: &str| {
        of.split_once(&format!("{name}=\""))?.1.split('"').next()?.parse::<usize>().ok()
    };
    let text = xml.split_once("<text>")?.1.split("</text>").next()?;
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    let text = entities.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let words: Vec<&str> = text.split_whitespace().collect();
    // Verbs of several words are left out.
    let verb = field(xml, "relloc")?;
    let mut roles = vec![(verb, verb + 1, "V".to_owned())];
    for arg in xml.split("<arg ").skip(1) {
        let kind = arg.split_once("type=\"")?.1.split('"').next()?;
        let (begin, end) = (field(arg, "start")?, field(arg, "end")? + 1);
        let free = |(from, to, _): &(usize, usize, String)| end <= *from || *to <= begin;
        if roles.iter().all(free) {
            roles.push((begin, end, kind.to_owned()));
        }
    }
    Example::new(&words, &roles)
}

/// Words and tags by their numbers.
pub struct Numbers {
    words: Vocabulary,
    pub tags: Vec<String>,
}

impl Numbers {
    /// The words of the sentences to train on that are there twice or more, and all tags.
    pub fn new(train: &[Example], tests: &[&[Example]]) -> Result<Self> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for word in train.iter().flat_map(|example| &example.words) {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
        let mut words: Vec<String> =
            counts.into_iter().filter(|(_, count)| *count > 1).map(|(word, _)| word).collect();
        words.sort_unstable();
        let all = train.iter().chain(tests.iter().copied().flatten());
        let mut tags: Vec<String> = all.flat_map(|example| example.tags.clone()).collect();
        tags.sort_unstable();
        tags.dedup();
        ensure!(!words.is_empty(), "no verb with its roles to train on");
        Ok(Self { words: Vocabulary::new(TextSplit::Whitespace).with_tokens(words)?, tags })
    }

    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// In each frame the number of a word, and whether it is the verb that is asked for. `hidden` says of which words
    /// the model is not told what they are, so that it learns what to make of those it does not know.
    pub fn sequences(&self, of: &[Example], mut hidden: impl FnMut() -> bool) -> Result<Sequences> {
        let rows: Vec<Vec<f32>> = of
            .iter()
            .map(|example| {
                let mut row = Vec::new();
                for (at, word) in example.words.iter().enumerate() {
                    let number = self.words.number(&word.to_lowercase()).filter(|_| !hidden());
                    row.push(number.unwrap_or(Vocabulary::UNKNOWN) as f32);
                    row.push(if at == example.verb { 1.0 } else { 0.0 });
                }
                row
            })
            .collect();
        Ok(Sequences::new(2, rows)?)
    }

    /// The numbers of tags. One that no sentence has is behind the last.
    pub fn tags(&self, of: &[Vec<String>]) -> Vec<Vec<u32>> {
        let number = |tag| self.tags.binary_search(tag).unwrap_or(self.tags.len()) as u32;
        of.iter().map(|tags| tags.iter().map(number).collect()).collect()
    }
}
