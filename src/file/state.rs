//! What must outlive a process, by name.

use super::{Entry, Reader, Values};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The text of a file that has a state's numbers and texts.
const TEXT: &str = "__state__";

/// What the names of a state's lists begin with in a file.
const VALUES: &str = "__state__/";

/// The numbers, as the hexadecimal digits of their bits, and the texts of a state in a file.
#[derive(Serialize, Deserialize)]
struct Kept {
    numbers: BTreeMap<String, String>,
    texts: BTreeMap<String, String>,
}

/// What an optimizer, a callback or another part of a training keeps from step to step, by name: a
/// checkpoint stores it, and a resumed training goes on from it bit for bit.
///
/// ```
/// use wgpu_lstm::train::State;
/// let mut state = State::new();
/// state.set_number("steps", 3.0);
/// state.set_values("mean", vec![0.5, 0.25]);
/// let mut all = State::new();
/// all.nest("adam", state.clone());
/// assert_eq!(all.nested("adam"), state);
/// assert_eq!(all.nested("adam").number("steps")?, 3.0);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub(crate) numbers: BTreeMap<String, f64>,
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) values: BTreeMap<String, Vec<f32>>,
}

impl State {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.texts.is_empty() && self.values.is_empty()
    }

    /// Sets a number: a whole one is exact up to 2⁵³.
    pub fn set_number(&mut self, name: &str, number: f64) {
        self.numbers.insert(name.into(), number);
    }

    /// Sets a text.
    pub fn set_text(&mut self, name: &str, text: impl Into<String>) {
        self.texts.insert(name.into(), text.into());
    }

    /// Sets a list of values.
    pub fn set_values(&mut self, name: &str, values: Vec<f32>) {
        self.values.insert(name.into(), values);
    }

    /// A number.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn number(&self, name: &str) -> Result<f64> {
        self.numbers.get(name).copied().ok_or_else(|| missing(name))
    }

    /// A text.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn text(&self, name: &str) -> Result<&str> {
        self.texts.get(name).map(String::as_str).ok_or_else(|| missing(name))
    }

    /// A list of values.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn values(&self, name: &str) -> Result<&[f32]> {
        self.values.get(name).map(Vec::as_slice).ok_or_else(|| missing(name))
    }

    /// The state as a text and tensors of a file, bit for bit.
    pub(crate) fn parts(&self) -> Result<Parts<'_>> {
        let bits =
            |(name, number): (&String, &f64)| (name.clone(), format!("{:016x}", number.to_bits()));
        let kept =
            Kept { numbers: self.numbers.iter().map(bits).collect(), texts: self.texts.clone() };
        let text = serde_json::to_string(&kept).map_err(Error::custom)?;
        let entries = self.values.iter().map(|(name, values)| Entry {
            name: format!("{VALUES}{name}"),
            shape: vec![values.len()],
            values: Values::F32(Box::new(|sink| sink(values))),
        });
        Ok(([(TEXT.into(), text)], entries.collect()))
    }

    /// The state that a file has.
    pub(crate) fn read(file: &mut Reader) -> Result<Self> {
        let entry = "the state of a training";
        let Some(text) = file.text(TEXT) else {
            return Err(file.bad(entry, "there: a checkpoint's file", "missing"));
        };
        let kept: Kept = serde_json::from_str(text)
            .map_err(|error| file.bad(entry, "numbers and texts", error.to_string()))?;
        let mut state = Self { texts: kept.texts, ..Self::default() };
        for (name, bits) in kept.numbers {
            let number = match (u64::from_str_radix(&bits, 16), bits.len()) {
                (Ok(bits), 16) => f64::from_bits(bits),
                _ => {
                    return Err(file.bad(
                        format!("{entry}, {name},"),
                        "16 hexadecimal digits",
                        bits,
                    ));
                }
            };
            state.numbers.insert(name, number);
        }
        let names = file.names().filter_map(|name| name.strip_prefix(VALUES).map(str::to_owned));
        for name in names.collect::<Vec<_>>() {
            let values = file.values(&format!("{VALUES}{name}"))?;
            state.values.insert(name, values);
        }
        Ok(state)
    }

    /// Sets a list of 64-bit numbers, which is kept bit for bit.
    pub(crate) fn set_doubles(&mut self, name: &str, numbers: &[f64]) {
        let halves = |number: &f64| {
            let bits = number.to_bits();
            [bits as u32, (bits >> 32) as u32].map(f32::from_bits)
        };
        self.set_values(name, numbers.iter().flat_map(halves).collect());
    }

    /// A list of 64-bit numbers.
    pub(crate) fn doubles(&self, name: &str) -> Result<Vec<f64>> {
        let number = |halves: &[f32]| {
            let [low, high] = [halves[0], halves[1]].map(|half| u64::from(half.to_bits()));
            f64::from_bits(low | high << 32)
        };
        Ok(self.values(name)?.chunks_exact(2).map(number).collect())
    }

    /// Puts another state in under a name.
    pub fn nest(&mut self, name: &str, state: Self) {
        let at = |key: String| format!("{name}/{key}");
        self.numbers.extend(state.numbers.into_iter().map(|(key, v)| (at(key), v)));
        self.texts.extend(state.texts.into_iter().map(|(key, v)| (at(key), v)));
        self.values.extend(state.values.into_iter().map(|(key, v)| (at(key), v)));
    }

    /// The state that was put in under a name; an empty one if there is none.
    #[must_use]
    pub fn nested(&self, name: &str) -> Self {
        fn of<T: Clone>(all: &BTreeMap<String, T>, name: &str) -> BTreeMap<String, T> {
            let inside =
                |key: &String| key.strip_prefix(name)?.strip_prefix('/').map(str::to_owned);
            all.iter().filter_map(|(key, value)| Some((inside(key)?, value.clone()))).collect()
        }
        Self {
            numbers: of(&self.numbers, name),
            texts: of(&self.texts, name),
            values: of(&self.values, name),
        }
    }
}

fn missing(name: &str) -> Error {
    Error::Missing { name: name.to_owned() }
}

/// A text and tensors of a file.
type Parts<'a> = ([(String, String); 1], Vec<Entry<'a>>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::write;

    #[test]
    fn a_state_comes_back_from_a_file_bit_for_bit() {
        let mut inner = State::new();
        let numbers =
            [0.1, -0.0, f64::NAN, f64::from_bits(0x7ff0_0000_0000_0abc), f64::INFINITY, 5e-324];
        for (i, number) in numbers.into_iter().enumerate() {
            inner.set_number(&format!("n{i}"), number);
        }
        inner.set_text("why \"so\"", "a line\nand ünother");
        inner.set_values("none", vec![]);
        inner.set_values(
            "bits",
            [1u32, 0x7fc0_1234, 0x8000_0000, 0x7f80_0000].map(f32::from_bits).to_vec(),
        );
        let mut state = State::new();
        state.nest("adam/ä", inner);
        let path = std::env::temp_dir().join(format!("wgpu-lstm-state-{}", std::process::id()));
        let (texts, entries) = state.parts().unwrap();
        write(&path, &texts.into(), entries).unwrap();
        let found = State::read(&mut Reader::open(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found.texts, state.texts);
        let bits =
            |s: &State| s.numbers.iter().map(|(k, v)| (k.clone(), v.to_bits())).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&state));
        let bits = |s: &State| {
            let of = |v: &Vec<f32>| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            s.values.iter().map(|(k, v)| (k.clone(), of(v))).collect::<Vec<_>>()
        };
        assert_eq!(bits(&found), bits(&state));
    }
}
