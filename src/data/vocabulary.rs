//! Texts as numbers of tokens: words or characters.

use super::Sequences;
use crate::check::check_not_zero;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use unicode_segmentation::UnicodeSegmentation;

/// How a text is cut into tokens: see [`Vocabulary`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TextSplit {
    /// The words of Unicode's rules (UAX #29) in any script; what is between them, such as points, commas
    /// and quotation marks, is left out. `don't`, `3.14` and `snake_case` are one word each, `well-known`
    /// is two; Chinese and Japanese characters are one each.
    Words,
    /// Each character (a Unicode scalar value), spaces and punctuation, too.
    Characters,
    /// What is between spaces of any kind, as it is: for texts that are cut into tokens already.
    Whitespace,
    /// As Keras' `TextVectorization` does by default: without the 32 ASCII characters of punctuation
    /// (`don't` is `dont`), then what is between spaces; in lower case only ASCII letters are. For models
    /// that come from there.
    Keras,
}

/// Which end of a text is cut off where it is too long: Keras' `truncating` of `pad_sequences`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Truncating {
    /// The beginning: the last tokens stay.
    Pre,
    /// The end: the first tokens stay.
    Post,
}

/// The tokens of texts and their numbers, for an [`crate::nn::Embedding`] of [`Vocabulary::len`] tokens:
/// Keras' `TextVectorization`.
///
/// 0 is [`Vocabulary::PADDING`], 1 is [`Vocabulary::UNKNOWN`] for all that is not in the vocabulary, and
/// from 2 on come the tokens, the most frequent first, those of the same frequency sorted by their
/// characters' numbers. The same texts give the same numbers. (Keras sorts the last from the end of the
/// alphabet; [`Vocabulary::with_tokens`] takes its numbers over.)
///
/// ```
/// use wgpu_lstm::data::{Sequences, Vocabulary};
/// let texts = ["The cat saw the dog.", "A dog!"];
/// let vocabulary = Vocabulary::words().max_tokens(5).fit(texts)?;
/// assert_eq!(vocabulary.tokens(), ["", "[UNK]", "dog", "the", "a"]);
/// assert_eq!(vocabulary.encode("the dog saw a bird"), [3, 2, 1, 4, 1]);
/// assert_eq!(vocabulary.decode(&[3, 2, 0])?, "the dog");
/// let x = vocabulary.sequences(texts)?; // one frame a token, for Embedding::new(vocabulary.len(), 32)
/// assert_eq!((x.len(), x.frames(0), vocabulary.len()), (2, 5, 5));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// It goes through serde, so that it can be kept beside a model:
///
/// ```
/// # use wgpu_lstm::data::Vocabulary;
/// let vocabulary = Vocabulary::characters().fit(["abba"])?;
/// let kept = serde_json::to_string(&vocabulary).unwrap();
/// let back: Vocabulary = serde_json::from_str(&kept).unwrap();
/// assert_eq!(back, vocabulary);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Kept", into = "Kept")]
pub struct Vocabulary {
    kept: Kept,
    numbers: HashMap<String, u32>,
}

/// What there is to keep of a vocabulary: the rest follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    split: TextSplit,
    lowercase: bool,
    max_tokens: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_count: Option<u64>,
    max_length: Option<(usize, Truncating)>,
    /// All, from number 0 on.
    tokens: Vec<String>,
}

impl Vocabulary {
    /// The number that fills a batch behind a short text. No text has it.
    pub const PADDING: u32 = 0;

    /// The number of what is not in the vocabulary.
    pub const UNKNOWN: u32 = 1;

    /// The tokens of both numbers, as Keras writes them.
    const SPECIAL: [&str; 2] = ["", "[UNK]"];

    /// An empty vocabulary for texts that are cut in this way, in lower case. [`Vocabulary::fit`] or
    /// [`Vocabulary::with_tokens`] gives it tokens.
    pub fn new(split: TextSplit) -> Self {
        let tokens = Self::SPECIAL.map(str::to_owned).into();
        let (max_tokens, min_count, max_length) = (None, None, None);
        let kept = Kept { split, lowercase: true, max_tokens, min_count, max_length, tokens };
        Self { kept, numbers: HashMap::new() }
    }

    /// An empty vocabulary of words: [`TextSplit::Words`], in lower case.
    pub fn words() -> Self {
        Self::new(TextSplit::Words)
    }

    /// An empty vocabulary of characters: [`TextSplit::Characters`], as they are.
    pub fn characters() -> Self {
        Self::new(TextSplit::Characters).lowercase(false)
    }

    /// Sets whether texts are put into lower case before they are cut (Unicode's, without a language's own
    /// rules).
    #[must_use]
    pub fn lowercase(mut self, lowercase: bool) -> Self {
        self.kept.lowercase = lowercase;
        self
    }

    /// Sets how many tokens there are at most, padding and unknown counted: Keras' `max_tokens`. The default
    /// is all.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: usize) -> Self {
        self.kept.max_tokens = Some(max_tokens);
        self
    }

    /// Sets how often a token comes in the texts of [`Vocabulary::fit`] at least; those that come less often are unknown.
    /// The default is once. A model then learns what to make of unknown tokens, too. gensim's `min_count`, torchtext's
    /// `min_freq`.
    ///
    /// ```
    /// use wgpu_lstm::data::Vocabulary;
    /// let vocabulary = Vocabulary::words().min_count(2).fit(["the cat saw the dog", "a dog"])?;
    /// assert_eq!(vocabulary.tokens(), ["", "[UNK]", "dog", "the"]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    #[must_use]
    pub fn min_count(mut self, count: u64) -> Self {
        self.kept.min_count = Some(count);
        self
    }

    /// Sets how many tokens of a text count at most, and which end is cut off. The default is all.
    #[must_use]
    pub fn max_length(mut self, length: usize, truncating: Truncating) -> Self {
        self.kept.max_length = Some((length, truncating));
        self
    }

    /// Takes the most frequent tokens of these texts: Keras' `adapt`. Fit it to the texts that a model is
    /// trained with, and to no others. Tokens that were there before are gone.
    ///
    /// # Errors
    /// [`Error::Option`] if [`Vocabulary::max_tokens`] has no room for a token, if
    /// [`Vocabulary::max_length`] is 0, or if the texts have no tokens at all, or none as often as
    /// [`Vocabulary::min_count`] says.
    pub fn fit<S: AsRef<str>>(self, texts: impl IntoIterator<Item = S>) -> Result<Self> {
        let special = Self::SPECIAL.len();
        let room = self.kept.max_tokens.map(|max| max.saturating_sub(special));
        if room == Some(0) {
            return Err(Error::Option {
                option: "Vocabulary::max_tokens",
                found: self.kept.max_tokens.unwrap_or_default().to_string(),
                expected: "at least 3: padding, unknown and one token".into(),
            });
        }
        let mut counts = HashMap::<String, u64>::new();
        for text in texts {
            self.split(text.as_ref(), |token| match counts.get_mut(token) {
                Some(count) => *count += 1,
                None => _ = counts.insert(token.to_owned(), 1),
            });
        }
        if counts.is_empty() {
            return Err(Error::Option {
                option: "Vocabulary::fit, texts",
                found: "without a token".into(),
                expected: "at least one token".into(),
            });
        }
        let least = self.kept.min_count.unwrap_or(1);
        let most = counts.values().copied().max().unwrap_or(0);
        if most < least {
            return Err(Error::Option {
                option: "Vocabulary::min_count",
                found: least.to_string(),
                expected: format!("at most {most}, as often as the most frequent token comes"),
            });
        }
        let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count >= least).collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.truncate(room.unwrap_or(usize::MAX));
        self.with_tokens(counts.into_iter().map(|(token, _)| token))
    }

    /// Takes these tokens instead, with the numbers 2, 3 …: those of a vocabulary from elsewhere, such as
    /// `get_vocabulary()[2:]` of Keras. Each is a token as it is cut from a text.
    ///
    /// # Errors
    /// [`Error::Option`] for an empty token, one that comes twice, and more than
    /// [`Vocabulary::max_tokens`]; and if [`Vocabulary::max_length`] is 0.
    pub fn with_tokens<S: Into<String>>(
        mut self,
        tokens: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        self.kept.tokens.truncate(Self::SPECIAL.len());
        self.kept.tokens.extend(tokens.into_iter().map(Into::into));
        Self::try_from(self.kept)
    }

    /// The numbers of a text's tokens, cut to [`Vocabulary::max_length`]. A text without any has none.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut numbers = Vec::new();
        self.split(text, |token| {
            numbers.push(self.number(token).unwrap_or(Self::UNKNOWN));
        });
        if let Some((length, truncating)) = self.kept.max_length {
            let surplus = numbers.len().saturating_sub(length);
            match truncating {
                Truncating::Pre => _ = numbers.drain(..surplus),
                Truncating::Post => numbers.truncate(length),
            }
        }
        numbers
    }

    /// A sequence of tokens for each text. A text without any is one unknown token, since a sequence has at
    /// least one frame.
    ///
    /// # Errors
    /// [`Error::Token`] with more tokens than a float counts, 16,777,216.
    pub fn sequences<S: AsRef<str>>(
        &self,
        texts: impl IntoIterator<Item = S>,
    ) -> Result<Sequences> {
        Sequences::from_tokens(texts.into_iter().map(|text| {
            let numbers = self.encode(text.as_ref());
            if numbers.is_empty() { vec![Self::UNKNOWN] } else { numbers }
        }))
    }

    /// The text of some numbers: words with a space between them, characters without. Padding is left out,
    /// and what was unknown is `[UNK]`. What the cutting left out is lost.
    ///
    /// # Errors
    /// [`Error::Token`] for a number that no token has.
    pub fn decode(&self, numbers: &[u32]) -> Result<String> {
        let mut tokens = Vec::with_capacity(numbers.len());
        for (place, &number) in numbers.iter().enumerate() {
            match self.token(number) {
                Some(_) if number == Self::PADDING => {}
                Some(token) => tokens.push(token),
                None => {
                    let (found, tokens) = (number as f32, self.len());
                    return Err(Error::Token { sequence: 0, place, found, tokens });
                }
            }
        }
        Ok(tokens.join(if self.kept.split == TextSplit::Characters { "" } else { " " }))
    }

    /// The number of tokens, padding and unknown counted: that of an [`crate::nn::Embedding`].
    #[allow(clippy::len_without_is_empty, reason = "padding and unknown are always there")]
    pub fn len(&self) -> usize {
        self.kept.tokens.len()
    }

    /// All tokens in the order of their numbers: `""` for padding, `"[UNK]"` for unknown, then the others.
    pub fn tokens(&self) -> &[String] {
        &self.kept.tokens
    }

    /// The token of a number; `None` if there is none.
    pub fn token(&self, number: u32) -> Option<&str> {
        self.kept.tokens.get(number as usize).map(String::as_str)
    }

    /// The number of a token, as it is cut from a text; `None` if it is not in the vocabulary.
    pub fn number(&self, token: &str) -> Option<u32> {
        self.numbers.get(token).copied()
    }

    /// Cuts a text into its tokens.
    fn split(&self, text: &str, mut token: impl FnMut(&str)) {
        let lower = self.kept.lowercase.then(|| match self.kept.split {
            TextSplit::Keras => text.to_ascii_lowercase(),
            _ => text.to_lowercase(),
        });
        let text = lower.as_deref().unwrap_or(text);
        match self.kept.split {
            TextSplit::Words => text.unicode_words().for_each(token),
            TextSplit::Characters => {
                text.chars().for_each(|char| token(char.encode_utf8(&mut [0; 4])));
            }
            TextSplit::Whitespace => text.split_whitespace().for_each(token),
            TextSplit::Keras => {
                let plain: String = text.chars().filter(|c| !c.is_ascii_punctuation()).collect();
                plain.split_whitespace().for_each(token);
            }
        }
    }
}

/// Fails for what no vocabulary keeps, such as a damaged file.
impl TryFrom<Kept> for Vocabulary {
    type Error = Error;

    fn try_from(kept: Kept) -> Result<Self> {
        if let Some((length, _)) = kept.max_length {
            check_not_zero("Vocabulary::max_length", length)?;
        }
        let wrong = |found: String, expected: &str| Error::Option {
            option: "Vocabulary::with_tokens",
            found,
            expected: expected.into(),
        };
        let found = || format!("{} tokens", kept.tokens.len());
        if !kept.tokens.iter().zip(Self::SPECIAL).map(|(a, b)| a == b).eq([true, true]) {
            return Err(wrong(found(), "padding and unknown as the first two"));
        }
        if u32::try_from(kept.tokens.len()).is_err()
            || kept.max_tokens.is_some_and(|max| kept.tokens.len() > max)
        {
            return Err(wrong(found(), "at most Vocabulary::max_tokens"));
        }
        let mut numbers = HashMap::new();
        for (token, number) in kept.tokens.iter().zip(0..).skip(Self::SPECIAL.len()) {
            if token.is_empty() {
                return Err(wrong(format!("the empty token {number}"), "a token"));
            }
            if numbers.insert(token.clone(), number).is_some() {
                return Err(wrong(format!("{token:?} twice"), "each token once"));
            }
        }
        Ok(Self { kept, numbers })
    }
}

impl From<Vocabulary> for Kept {
    fn from(vocabulary: Vocabulary) -> Self {
        vocabulary.kept
    }
}
