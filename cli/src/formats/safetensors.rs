//! The header of a safetensors file: what its tensors are, without their values.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The most bytes of a header, as the format has it.
const LARGEST: u64 = 100_000_000;

pub struct Header(Map<String, Value>);

impl Header {
    pub fn read(path: &Path) -> Result<Self> {
        let named = || path.display().to_string();
        let mut file = File::open(path).with_context(named)?;
        let mut length = [0; 8];
        file.read_exact(&mut length).with_context(named)?;
        let (length, mut bytes) = (u64::from_le_bytes(length), Vec::new());
        file.take(length.min(LARGEST)).read_to_end(&mut bytes).with_context(named)?;
        if bytes.len() as u64 != length {
            bail!("{}: its header should have {length} bytes: it is damaged", path.display());
        }
        let damaged = || format!("{}: its header is damaged", path.display());
        Ok(Self(serde_json::from_slice(&bytes).with_context(damaged)?))
    }

    /// A text that was written beside the tensors.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get("__metadata__")?.get(name)?.as_str()
    }

    /// The types of the tensors' numbers, such as `F32`.
    pub fn types(&self) -> Vec<&str> {
        let tensors = self.0.iter().filter(|(name, _)| *name != "__metadata__");
        let types = tensors.filter_map(|(_, tensor)| tensor.get("dtype")?.as_str());
        types.collect::<BTreeSet<_>>().into_iter().collect()
    }
}
