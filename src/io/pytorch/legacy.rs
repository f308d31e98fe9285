//! The format before PyTorch 1.6: pickles of a number that marks it, of its version, of the system that wrote it, of
//! the object and of the storages' keys, and then the storages, each behind its count of numbers.

use super::pickle::Pickle;
use super::stored::{Named, Place};
use crate::Result;
use crate::io::Source;
use std::collections::HashMap;

/// The version of this format.
const VERSION: i64 = 1001;

pub(super) fn open(source: &Source) -> Result<Named> {
    let read = |at: u64, entry: &str| Pickle::read(source, at..source.len(), entry);
    let (magic, at) = read(0, "the first pickle")?;
    if !magic.is_magic() {
        let expected = "the number that files of torch.save begin with";
        return Err(source.bad("the first pickle", expected, "another value"));
    }
    let (version, at) = read(at, "the version")?;
    if version.int() != Some(VERSION) {
        return Err(source.bad("the version", VERSION.to_string(), format!("{:?}", version.int())));
    }
    let (system, at) = read(at, "the system")?;
    if system.flag("little_endian") == Some(false) {
        return Err(source.bad("the order of bytes", "the lowest first", "the highest first"));
    }
    let (pickle, at) = read(at, "the pickle")?;
    let (keys, mut at) = read(at, "the storages' keys")?;
    let Some(keys) = keys.texts() else {
        return Err(source.bad("the storages' keys", "a list of texts", "another value"));
    };
    let sizes: HashMap<_, _> =
        pickle.storages.iter().map(|storage| (&storage.key, storage.dtype.size)).collect();
    let mut places = HashMap::new();
    for key in &keys {
        let entry = || format!("the storage {key:?}");
        let mut count = [0; 8];
        source.read_into(at, &mut count, &entry())?;
        let Some(&size) = sizes.get(key) else {
            return Err(source.bad(entry(), "one that the pickle names", "of no tensor"));
        };
        let (count, start) = (u64::from_le_bytes(count), at + 8);
        let end = count.checked_mul(size as u64).and_then(|bytes| start.checked_add(bytes));
        let Some(end) = end.filter(|&end| end <= source.len()) else {
            let expected = format!("within the file's {} bytes", source.len());
            return Err(source.bad(
                entry(),
                expected,
                format!("{count} numbers from byte {start}"),
            ));
        };
        places.insert(key.clone(), start..end);
        at = end;
    }
    let of_storages: Vec<_> = pickle
        .storages
        .iter()
        .map(|storage| {
            let Some(range) = places.get(&storage.key) else {
                return Err(format!("in the storage {:?}, which is missing", storage.key));
            };
            let first = storage.first.saturating_mul(storage.dtype.size as u64);
            Ok(Place::Bytes(range.start.saturating_add(first)..range.end))
        })
        .collect();
    let found = pickle.names(source, "the pickle")?;
    Ok(super::join(&pickle, &of_storages, found))
}
