//! Sentences drawn from a small grammar: see `examples/data/roles/grammar.txt`.

use super::common;
use super::data::{Example, brackets};
use anyhow::{Context, Result};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{HashMap, HashSet};
use wgpu_lstm::data::read_lines;

/// For each symbol what may stand in its place.
pub struct Grammar(HashMap<String, Vec<String>>);

impl Grammar {
    pub fn read() -> Result<Self> {
        let mut rules: HashMap<String, Vec<String>> = HashMap::new();
        for line in read_lines(common::data("roles/grammar.txt"))? {
            if let Some((symbol, choices)) = line.split_once(" = ") {
                let choices = choices.split(" | ").map(str::to_owned);
                rules.entry(symbol.to_owned()).or_default().extend(choices);
            }
        }
        Ok(Self(rules))
    }

    /// So many sentences, no two of which are the same.
    pub fn draw(&self, count: usize, rng: &mut ChaCha8Rng) -> Result<Vec<Example>> {
        let (mut seen, mut examples) = (HashSet::new(), Vec::new());
        while examples.len() < count {
            let mut line = Vec::new();
            self.expand("SENTENCE", false, rng, &mut line)?;
            let example = brackets(&line.join(" ")).context("a sentence without a verb")?;
            if seen.insert(example.words.clone()) {
                examples.push(example);
            }
        }
        Ok(examples)
    }

    /// Adds what a symbol becomes, with or without its brackets, token by token.
    fn expand(
        &self,
        symbol: &str,
        plain: bool,
        rng: &mut ChaCha8Rng,
        line: &mut Vec<String>,
    ) -> Result<()> {
        let choice = self.0.get(symbol).and_then(|choices| choices.choose(rng));
        for token in choice.with_context(|| format!("no {symbol}"))?.split(' ') {
            if token.starts_with('[') && !plain {
                line.push(token.to_owned());
            }
            if token.starts_with('[') || token == "-" {
                continue;
            }
            let word = token.trim_end_matches(']');
            match word.trim_start_matches('~') {
                symbol if self.0.contains_key(symbol) => {
                    self.expand(symbol, plain || word.starts_with('~'), rng, line)?;
                }
                word => line.push(word.to_owned()),
            }
            if let (Some(last), true, false) = (line.last_mut(), token.ends_with(']'), plain) {
                last.push(']');
            }
        }
        Ok(())
    }
}
