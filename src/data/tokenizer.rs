//! Tokens of a `tokenizer.json`.

use super::Sequences;
use crate::file::open;
use crate::{Error, Result};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::Value;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The tokens of a `tokenizer.json`, such as byte pairs or word pieces: one that Hugging Face's tokenizers
/// trained, or that a model there has. For words and characters of your own texts see
/// [`crate::data::Vocabulary`], which needs no such file.
///
/// ```
/// use wgpu_lstm::data::Tokenizer;
/// // Byte pairs that know one pair; Tokenizer::from_file reads a file.
/// let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
///     "pre_tokenizer":null,"post_processor":null,"decoder":null,"model":{"type":"BPE","dropout":null,
///     "unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,
///     "byte_fallback":false,"vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}}"#;
/// let tokenizer = Tokenizer::from_json(json)?;
/// assert_eq!(tokenizer.encode("abba")?, [2, 1, 0]);
/// assert_eq!(tokenizer.decode(&[1, 0])?, "b a");
/// let x = tokenizer.sequences(["ab", "ba"])?; // for Embedding::new(tokenizer.len(), 32)
/// assert_eq!((x.len(), x.get(1), tokenizer.len()), (2, &[1.0, 0.0][..], 3));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// Truncation and padding are what the file says. It goes through serde, so that it can be kept beside a
/// model. It needs the feature `tokenizers`.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(transparent)]
pub struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::File`] if it is none.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, length) = open(path)?;
        let mut json = Vec::new();
        let read = file.take(length).read_to_end(&mut json);
        read.map_err(|error| crate::file::io("read", path, error))?;
        Self::parse(&json, &path.display().to_string())
    }

    /// Takes the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::File`], with the path `the text`, if it is none.
    pub fn from_json(json: &str) -> Result<Self> {
        Self::parse(json.as_bytes(), "the text")
    }

    fn parse(json: &[u8], path: &str) -> Result<Self> {
        serde_json::from_slice(json).map_err(|error| Error::File {
            path: path.into(),
            entry: "the tokenizer".into(),
            expected: "that of a tokenizer.json".into(),
            found: format!("unreadable ({error})"),
        })
    }

    /// The numbers of a text's tokens, with those that the file adds to every text, such as a first one.
    ///
    /// # Errors
    /// [`Error::Custom`] with that of the tokenizer, such as for a character that it does not know where
    /// it has no token for the unknown, and if the parts of its file do not fit each other.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = caught(|| self.0.encode_fast(text, true))?.map_err(Error::custom)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// A sequence of tokens for each text.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode`]; [`Error::Length`] for a text without tokens.
    pub fn sequences<S: AsRef<str>>(
        &self,
        texts: impl IntoIterator<Item = S>,
    ) -> Result<Sequences> {
        let encode = |text: S| self.encode(text.as_ref());
        Sequences::from_tokens(texts.into_iter().map(encode).collect::<Result<Vec<_>>>()?)
    }

    /// The text of some numbers, without the tokens that the file adds to every text. Numbers that no token
    /// has are left out.
    ///
    /// # Errors
    /// [`Error::Custom`] with that of the tokenizer.
    pub fn decode(&self, numbers: &[u32]) -> Result<String> {
        caught(|| self.0.decode(numbers, true))?.map_err(Error::custom)
    }

    /// The number of tokens, those that were added counted: that of an [`crate::nn::Embedding`]. It is one
    /// more than the largest number, even if some numbers have no token.
    #[allow(clippy::len_without_is_empty, reason = "no tokenizer is without tokens")]
    pub fn len(&self) -> usize {
        let vocabulary = self.0.get_vocab(true);
        vocabulary.values().max().map_or(0, |&largest| largest as usize + 1)
    }

    /// The number of a token; `None` if there is no such token.
    pub fn number(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }

    /// The token of a number; `None` if there is none.
    pub fn token(&self, number: u32) -> Option<String> {
        self.0.id_to_token(number)
    }
}

impl<'de> Deserialize<'de> for Tokenizer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // On its way over a value: the crate panics where JSON itself is damaged.
        let value = Value::deserialize(deserializer)?;
        let read = caught(|| serde_json::from_value(value)).map_err(D::Error::custom)?;
        read.map(Self).map_err(D::Error::custom)
    }
}

/// What the crate computes. It panics where parts of a file do not fit each other, such as a token that is
/// put before every text and that is not there; a panic changes nothing of a tokenizer.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        Error::custom(format!("the tokenizer's parts do not fit each other: {text}"))
    })
}
