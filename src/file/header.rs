//! The header of a safetensors file: JSON that has the tensors' types, shapes and places, and texts.

use crate::{Error, Result};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

/// The bytes before the header, which have its length.
const LENGTH: usize = 8;

/// The most bytes of a header, as the format has it.
const LARGEST: usize = 100_000_000;

/// The entry of the header that has the texts.
const TEXTS: &str = "__metadata__";

/// What a header says.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
}

/// Reads the header of a file of so many bytes, by a function that fills a slice from a place on, and checks it
/// against the file's length. Returns it, and the place at which the tensors begin.
pub(crate) fn read(
    bytes: u64,
    read: impl Fn(u64, &mut [u8]) -> Result<()>,
    bad: impl Fn(&str, String, String) -> Error,
) -> Result<(Header, u64)> {
    let mut length = [0; LENGTH];
    if bytes < LENGTH as u64 {
        let expected = format!("at least {LENGTH}: a safetensors file");
        return Err(bad("the file's length", expected, format!("{bytes} bytes")));
    }
    read(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    let most = (bytes - LENGTH as u64).min(LARGEST as u64);
    if length > most {
        let expected = format!(
            "at most {most} bytes, in a file of {bytes}: it is damaged, or no safetensors file"
        );
        return Err(bad("the header's length", expected, format!("{length} bytes")));
    }
    let mut header = vec![0; length as usize];
    read(LENGTH as u64, &mut header)?;
    let (header, len) = Header::parse(&header).map_err(|error| {
        let expected = "that of a safetensors file".into();
        bad("the header", expected, format!("unreadable ({error})"))
    })?;
    let start = LENGTH as u64 + length;
    if start.checked_add(len as u64) != Some(bytes) {
        let expected = format!("{} bytes, as the header says", start.saturating_add(len as u64));
        return Err(bad("the file's length", expected, format!("{bytes} bytes")));
    }
    Ok((header, start))
}

impl Header {
    /// Reads a header, and returns the number of bytes behind it, which its tensors fill without a gap.
    fn parse(bytes: &[u8]) -> Result<(Self, usize), SafeTensorError> {
        let header: Self =
            serde_json::from_slice(bytes).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
        let named = |(name, info): (&String, &TensorInfo)| (name.clone(), info.clone());
        let mut tensors: Vec<_> = header.tensors.iter().map(named).collect();
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        let len = Metadata::new(None, tensors)?.data_len();
        Ok((header, len))
    }

    /// The bytes of a file before its tensors, which lie side by side in this order: the header's length
    /// and the header, whose end is aligned by spaces.
    pub(super) fn bytes<'a>(
        texts: &BTreeMap<String, String>,
        tensors: impl Iterator<Item = (&'a str, &'a [usize])>,
    ) -> Result<Vec<u8>, SafeTensorError> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Part<'a> {
            Texts(&'a BTreeMap<String, String>),
            Tensor(TensorInfo),
        }
        // Sorted by name: the same model gives the same bytes.
        let mut parts = BTreeMap::from([(TEXTS, Part::Texts(texts))]);
        let mut end = 0;
        for (name, shape) in tensors {
            let start = end;
            end += shape.iter().product::<usize>() * size_of::<f32>();
            let (dtype, shape, data_offsets) = (Dtype::F32, shape.to_vec(), (start, end));
            parts.insert(name, Part::Tensor(TensorInfo { dtype, shape, data_offsets }));
        }
        let mut json = serde_json::to_vec(&parts)?;
        json.resize(json.len().next_multiple_of(LENGTH), b' ');
        if json.len() > LARGEST {
            return Err(SafeTensorError::HeaderTooLarge);
        }
        Ok([&(json.len() as u64).to_le_bytes()[..], &json].concat())
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Header, M::Error> {
                let (mut header, mut texts) = (Header::default(), None);
                while let Some(name) = map.next_key::<String>()? {
                    if name != TEXTS {
                        insert(&mut header.tensors, name, map.next_value()?)?;
                    } else if texts.replace(map.next_value::<Option<Texts>>()?).is_some() {
                        return Err(M::Error::duplicate_field(TEXTS));
                    }
                }
                header.texts = texts.flatten().unwrap_or_default().0;
                Ok(header)
            }
        }
        deserializer.deserialize_map(Parts)
    }
}

/// The texts of a header.
#[derive(Default)]
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Texts, M::Error> {
                let mut texts = BTreeMap::new();
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    insert(&mut texts, name, text)?;
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Inserts what no entry before it is called; maps of the standard library would keep the last.
fn insert<V, E: serde::de::Error>(
    map: &mut BTreeMap<String, V>,
    name: String,
    value: V,
) -> Result<(), E> {
    match map.entry(name) {
        Entry::Vacant(free) => {
            free.insert(value);
            Ok(())
        }
        Entry::Occupied(taken) => {
            Err(E::custom(format!("two entries are called {:?}", taken.key())))
        }
    }
}
