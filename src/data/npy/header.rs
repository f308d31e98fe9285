//! The header of a `.npy` file: a Python dictionary of three entries, as numpy's
//! `numpy.lib.format` describes it.
//!
//! The crate npyz takes the memory that a header says it has, multiplies a shape unchecked and reads number by
//! number; ndarray-npy gives arrays of its own crate. Here a file from anywhere costs no more than its bytes.

use super::numbers::Kind;
use crate::Error;

/// The most bytes before the values: those of a header that numpy itself reads without being told to trust
/// it (`max_header_size`), and those in front.
pub(super) const LARGEST: usize = 10_000 + 12;

const MAGIC: &[u8] = b"\x93NUMPY";

/// What a header says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) big_endian: bool,
    pub(super) fortran: bool,
    pub(super) shape: Vec<usize>,
}

/// What is wrong with a header: the entry, what it is and what was expected.
#[derive(Debug)]
pub(super) struct Bad(&'static str, String, &'static str);

impl Bad {
    pub(super) fn of(self, path: &str) -> Error {
        let Self(entry, found, expected) = self;
        Error::File { path: path.into(), entry: entry.into(), expected: expected.into(), found }
    }
}

impl Header {
    /// Reads the header at the beginning of a file's first [`LARGEST`] bytes, and says how many it takes.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), Bad> {
        let none = || Bad("the file", "of another kind".into(), "a .npy file of numpy");
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(none)?;
        let (length, before) = match *rest {
            [1, 0, a, b, ..] => (u16::from_le_bytes([a, b]).into(), 10),
            [2 | 3, 0, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
            [major, minor, _, _, ..] => {
                let expected = "1.0, 2.0 or 3.0";
                return Err(Bad("the format's version", format!("{major}.{minor}"), expected));
            }
            _ => return Err(Bad("the header", "cut off".into(), "whole")),
        };
        if length > LARGEST - 12 {
            let expected = "at most 10000 bytes, as numpy has it for files that it does not trust";
            return Err(Bad("the header's length", length.to_string(), expected));
        }
        let text = bytes.get(before..before + length);
        let text = text.ok_or_else(|| Bad("the header", "cut off".into(), "whole"))?;
        let text = std::str::from_utf8(text)
            .map_err(|_| Bad("the header", "not in UTF-8".into(), "a dictionary of Python's"))?;
        Ok((Self::of(text)?, before + length))
    }

    fn of(text: &str) -> Result<Self, Bad> {
        let wrong = |rest: &str| {
            let found = format!("{:?}", rest.chars().take(40).collect::<String>());
            let expected = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)}, say";
            Bad("the header", found, expected)
        };
        let mut cursor = Cursor(text);
        let (mut kind, mut fortran, mut shape) = (None, None, None);
        if !cursor.eat('{') {
            return Err(wrong(text));
        }
        while !cursor.eat('}') {
            let at = cursor.0;
            let key = cursor.quoted().filter(|_| cursor.eat(':')).ok_or_else(|| wrong(at))?;
            let again = match key {
                "descr" => kind.replace(descr(&mut cursor)?).is_some(),
                "fortran_order" => {
                    let value = match cursor.word() {
                        "True" => true,
                        "False" => false,
                        other => return Err(wrong(other)),
                    };
                    fortran.replace(value).is_some()
                }
                "shape" => {
                    let found = cursor.shape().ok_or_else(|| {
                        Bad("the shape", at.chars().take(60).collect(), "a tuple of whole numbers")
                    })?;
                    shape.replace(found).is_some()
                }
                _ => return Err(wrong(at)),
            };
            if again || !(cursor.eat(',') || cursor.0.starts_with('}')) {
                return Err(wrong(at));
            }
        }
        let end = cursor.0.trim_end_matches(['\n', ' ', '\0']);
        let (Some((kind, big_endian)), Some(fortran), Some(shape), true) =
            (kind, fortran, shape, end.is_empty())
        else {
            return Err(wrong(text));
        };
        // All that is computed from a shape then fits: its bytes, and its values as floats of 8 bytes.
        // An axis of 0 does not hide the others.
        let all = |bytes: usize, &size: &usize| bytes.checked_mul(size.max(1));
        let bytes = shape.iter().try_fold(8, all);
        if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
            return Err(Bad("the shape", format!("{shape:?}"), "one that memory can count"));
        }
        Ok(Self { kind, big_endian, fortran, shape })
    }

    /// The bytes before the values of an array of some type, such as `<f4`.
    pub(super) fn bytes(descr: &str, shape: &[usize]) -> Vec<u8> {
        let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
        let sizes = match shape.len() {
            1 => sizes.trim_end(),
            _ => sizes.trim_end_matches(", "),
        };
        let mut text =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
        // The values begin at a multiple of 64 bytes, which is what maps of the file like.
        let end = (12 + text.len() + 1).next_multiple_of(64);
        text.extend(std::iter::repeat_n(' ', end - 12 - text.len() - 1));
        text.push('\n');
        let length = (text.len() as u32).to_le_bytes();
        [MAGIC, &[2, 0], &length, text.as_bytes()].concat()
    }

    pub(super) fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The values of a row.
    pub(super) fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The bytes of all values.
    pub(super) fn data(&self) -> usize {
        self.kind.size() * self.shape.iter().product::<usize>()
    }

    /// The place in a row in C order of what is the value `place` of a row in Fortran order.
    pub(super) fn in_row(&self, mut place: usize) -> usize {
        let (mut at, mut stride) = (0, self.width());
        for &size in self.shape.iter().skip(1) {
            stride /= size;
            at += place % size * stride;
            place /= size;
        }
        at
    }
}

/// The kind of the numbers, and whether their first byte is the largest.
fn descr(cursor: &mut Cursor<'_>) -> Result<(Kind, bool), Bad> {
    const NUMBERS: &str = "numbers: float16 to float64, int8 to uint64 or bool; see numpy's astype";
    let bad = |found: &str| Bad("the type", found.into(), NUMBERS);
    let record = || bad("a record of several");
    let name = cursor.quoted().ok_or_else(record)?;
    let (order, letters) = name.split_at_checked(1).ok_or_else(|| bad(name))?;
    match (Kind::of(letters), order) {
        (Some(kind), "<") => Ok((kind, false)),
        (Some(kind), ">") => Ok((kind, true)),
        (Some(kind), "|") if kind.size() == 1 => Ok((kind, false)),
        _ => Err(match letters.chars().next() {
            Some('O') => bad("Python's objects, which are pickled and never read"),
            Some('S' | 'U' | 'a') => bad("text"),
            Some('M' | 'm') => bad("dates or times"),
            Some('c') => bad("complex numbers"),
            _ => bad(name),
        }),
    }
}

/// What is left of a header's text.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\n', '\t']);
    }

    /// Goes past this character and the spaces around it, if it comes next.
    fn eat(&mut self, char: char) -> bool {
        self.spaces();
        let rest = self.0.strip_prefix(char);
        self.0 = rest.unwrap_or(self.0);
        self.spaces();
        rest.is_some()
    }

    /// Goes past a text in quotes of either kind.
    fn quoted(&mut self) -> Option<&'a str> {
        self.spaces();
        let quote = self.0.chars().next().filter(|char| matches!(char, '\'' | '"'))?;
        let (text, rest) = self.0[1..].split_once(quote)?;
        self.0 = rest;
        (!text.contains('\\')).then_some(text)
    }

    /// Goes past letters and digits.
    fn word(&mut self) -> &'a str {
        self.spaces();
        let end = self.0.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        self.spaces();
        word
    }

    /// Goes past a tuple of whole numbers, of which there are at most 64 in numpy.
    fn shape(&mut self) -> Option<Vec<usize>> {
        let mut sizes = Vec::new();
        if !self.eat('(') {
            return None;
        }
        while !self.eat(')') {
            let word = self.word();
            // Python 2 wrote long numbers with an L.
            let digits = word.strip_suffix('L').unwrap_or(word);
            sizes.push(digits.parse().ok().filter(|_| sizes.len() < 64)?);
            if !(self.eat(',') || self.0.starts_with(')')) {
                return None;
            }
        }
        Some(sizes)
    }
}
