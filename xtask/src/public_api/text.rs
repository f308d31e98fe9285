//! Tokens as rustfmt would write them on one line.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

/// The text of a part of a signature.
pub fn text(of: &impl ToTokens) -> String {
    let mut words = Vec::new();
    flatten(of.to_token_stream(), &mut words);
    let mut line = String::new();
    let mut before = "";
    for word in &words {
        if !line.is_empty() && is_apart(before, word) {
            line.push(' ');
        }
        line += word;
        before = word;
    }
    line
}

fn flatten(tokens: TokenStream, words: &mut Vec<String>) {
    let mut glued = false;
    let begin = words.len();
    for token in tokens {
        let glue = std::mem::take(&mut glued);
        let word = match token {
            TokenTree::Group(group) => {
                let [open, close] = match group.delimiter() {
                    Delimiter::Parenthesis => ["(", ")"],
                    Delimiter::Brace => ["{", "}"],
                    Delimiter::Bracket => ["[", "]"],
                    Delimiter::None => ["", ""],
                };
                words.push(open.into());
                flatten(group.stream(), words);
                words.push(close.into());
                words.retain(|word| !word.is_empty());
                continue;
            }
            TokenTree::Punct(mark) => {
                glued = mark.spacing() == Spacing::Joint;
                mark.as_char().to_string()
            }
            other => other.to_string(),
        };
        match words.last_mut() {
            Some(last) if glue => *last += &word,
            _ => words.push(word),
        }
    }
    // The comma behind the last of several lines; not that of a tuple of one.
    let commas = words[begin..].iter().filter(|word| *word == ",").count();
    if commas > 1 && words.last().is_some_and(|last| last == ",") {
        words.pop();
    }
    let mut place = begin + 1;
    while place < words.len() {
        if words[place] == ">" && words[place - 1] == "," {
            words.remove(place - 1);
        } else {
            place += 1;
        }
    }
}

fn is_apart(before: &str, word: &str) -> bool {
    let is_name = before.ends_with(|end: char| end.is_alphanumeric() || end == '_');
    match (before, word) {
        ("(" | "[" | "<" | "&" | "::" | "!" | "?" | "." | "*" | "-" | "#", _) => false,
        (_, "," | ";" | ":" | "::" | ">" | ")" | "]" | "?" | "." | "!") => before == "+",
        ("dyn" | "mut" | "const" | "impl" | "where", "(" | "<") => true,
        (_, "(" | "<") => !(is_name || before == ">"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept<T: syn::parse::Parse + ToTokens>(line: &str) {
        assert_eq!(text(&syn::parse_str::<T>(line).unwrap()), line);
    }

    #[test]
    fn types_are_written_as_rustfmt_does() {
        is_kept::<syn::Type>("&'a mut [f32]");
        is_kept::<syn::Type>("Vec<Vec<(usize, &str)>>");
        is_kept::<syn::Type>(
            "Box<dyn Fn(&[f32; 3], (usize, bool)) -> Result<(), Error> + Send + Sync>",
        );
        is_kept::<syn::Type>("impl IntoIterator<Item = &'a T> + ?Sized");
        is_kept::<syn::Type>("&(dyn std::error::Error + 'static)");
        is_kept::<syn::Type>("<T as Iterator>::Item");
        is_kept::<syn::Type>("for<'a> fn(&'a str) -> *const u8");
        is_kept::<syn::Type>("(f32,)");
        is_kept::<syn::Expr>("-1");
        is_kept::<syn::Expr>("\"a  b\"");
    }

    #[test]
    fn commas_of_several_lines_are_none() {
        let of = |line| text(&syn::parse_str::<syn::Type>(line).unwrap());
        assert_eq!(of("Map<\nString,\n(f32, f32,\n),\n>"), "Map<String, (f32, f32)>");
    }
}
