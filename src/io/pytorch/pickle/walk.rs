//! From a pickle's root to its tensors.

use super::DEPTH;
use super::value::{Pickle, Value};
use crate::io::Source;
use crate::{Error, Result};

/// The way to a place in a pickle, and what was found before.
pub(super) struct Walk<'a> {
    pickle: &'a Pickle,
    source: &'a Source,
    entry: &'a str,
    path: String,
    /// The nodes on the way.
    inside: Vec<u32>,
    /// The values that may still be looked at, and the bytes of names that may still be kept: a pickle of a few
    /// bytes can hold one list in another a thousand times over.
    visits: usize,
    bytes: usize,
    found: Vec<(String, usize)>,
}

impl<'a> Walk<'a> {
    pub(super) fn run(
        pickle: &'a Pickle,
        source: &'a Source,
        entry: &'a str,
    ) -> Result<Vec<(String, usize)>> {
        let values: usize = pickle.nodes.iter().map(Vec::len).sum();
        let mut walk = Self {
            pickle,
            source,
            entry,
            path: String::new(),
            inside: Vec::new(),
            visits: 8 * (values + pickle.nodes.len()) + 64,
            bytes: usize::try_from(source.len()).unwrap_or(usize::MAX).saturating_mul(4),
            found: Vec::new(),
        };
        walk.go(&pickle.root)?;
        Ok(walk.found)
    }

    fn go(&mut self, value: &Value) -> Result<()> {
        match *value {
            Value::Tensor(number) => {
                self.spend(self.path.len())?;
                self.found.push((self.path.clone(), number as usize));
                Ok(())
            }
            Value::Tuple(node) | Value::List(node) => self.into(node, |walk, items| {
                items.iter().enumerate().try_for_each(|(i, item)| walk.step(&i.to_string(), item))
            }),
            Value::Dictionary(node) => self.into(node, |walk, items| {
                items.as_chunks().0.iter().try_for_each(|[key, item]| match key {
                    // Aliases of an LSTM's weights in TorchScript.
                    Value::Text(key) if **key == *"_flat_weights" => Ok(()),
                    Value::Text(key) => walk.step(key, item),
                    Value::Int(key) => walk.step(&key.to_string(), item),
                    _ => Ok(()),
                })
            }),
            Value::Object(node) => {
                self.into(node, |walk, items| items.last().map_or(Ok(()), |state| walk.go(state)))
            }
            _ => Ok(()),
        }
    }

    /// Goes on at an item of a node, by its name there.
    fn step(&mut self, name: &str, item: &Value) -> Result<()> {
        use Value::{Dictionary, List, Object, Tensor, Tuple};
        if !matches!(item, Dictionary(_) | List(_) | Object(_) | Tensor(_) | Tuple(_)) {
            return Ok(());
        }
        self.spend(name.len())?;
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        self.go(item)?;
        self.path.truncate(before);
        Ok(())
    }

    fn into(
        &mut self,
        node: u32,
        f: impl FnOnce(&mut Self, &'a [Value]) -> Result<()>,
    ) -> Result<()> {
        if self.inside.contains(&node) {
            return Err(self.bad("values that do not hold themselves", "one that does"));
        }
        if self.inside.len() >= DEPTH {
            return Err(self.bad("values at most 100 deep in each other", "deeper ones"));
        }
        let items = &self.pickle.nodes[node as usize];
        let Some(visits) = self.visits.checked_sub(1 + items.len()) else {
            return Err(self.bad("each value in a few places", "values in very many places"));
        };
        self.visits = visits;
        self.inside.push(node);
        f(self, items)?;
        self.inside.pop();
        Ok(())
    }

    /// Counts bytes of names.
    fn spend(&mut self, bytes: usize) -> Result<()> {
        let left = self.bytes.checked_sub(bytes);
        let bad = || self.bad("names in proportion to the file", "names far longer");
        self.bytes = left.ok_or_else(bad)?;
        Ok(())
    }

    fn bad(&self, expected: &str, found: &str) -> Error {
        self.source.bad(self.entry, expected, found)
    }
}
