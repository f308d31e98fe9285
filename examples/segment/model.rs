//! The word breaker of ICU4X: for each letter whether a word begins, goes on or ends there, or is that letter alone.

use std::collections::HashMap;
use std::path::Path;
use wgpu_lstm::io::pytorch::StateDict;
use wgpu_lstm::nn::Merge;
use wgpu_lstm::prelude::*;

pub struct Words {
    pub model: Sequential,
    tokens: HashMap<char, u32>,
}

impl Words {
    /// The model in a folder that `convert.py` there made.
    pub fn load(folder: &Path, device: &Device) -> anyhow::Result<Self> {
        let dict = StateDict::open(folder.join("weights.safetensors"))?;
        let mut model = Sequential::new(device)
            .add(dict.embedding("embedding")?)
            .add(dict.lstm("lstm")?.bidirectional(Merge::Concat).return_sequences())
            .add(dict.dense("head")?.activation(Activation::Softmax));
        dict.load_into(&mut model, &["embedding", "lstm", "head"])?;
        let letters = std::fs::read_to_string(folder.join("tokens.txt"))?;
        Ok(Self { model, tokens: letters.chars().zip(0..).collect() })
    }

    /// For each letter `b`, `i`, `e` or, where a word is one letter, `s`.
    pub fn places(&self, text: &str) -> anyhow::Result<String> {
        // The last row is for all letters that are none of the language.
        let unknown = self.tokens.len() as u32;
        let tokens = text.chars().map(|c| self.tokens.get(&c).copied().unwrap_or(unknown));
        let tokens: Vec<_> = tokens.collect();
        if tokens.is_empty() {
            return Ok(String::new());
        }
        let found = self.model.predict(&Sequences::from_tokens([tokens])?)?;
        let likeliest = |scores: &[f32]| (0..4).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        Ok(found.values().chunks(4).filter_map(likeliest).map(|n| char::from(b"bies"[n])).collect())
    }

    pub fn split<'a>(&self, text: &'a str) -> anyhow::Result<Vec<&'a str>> {
        let places = self.places(text)?;
        let ends =
            text.char_indices().zip(places.chars()).filter(|(_, place)| "es".contains(*place));
        let mut begin = 0;
        let mut words = Vec::new();
        for ((at, letter), _) in ends {
            let end = at + letter.len_utf8();
            words.push(&text[begin..end]);
            begin = end;
        }
        words.extend((begin < text.len()).then(|| &text[begin..]));
        Ok(words)
    }
}
