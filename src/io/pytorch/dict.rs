//! A state dict: tensors by name.

use super::archive::Archive;
use super::stored::{self, Stored};
use super::{legacy, safetensors};
use crate::io::Source;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The tensors of a file of PyTorch, by their names. Cheap to clone.
///
/// It reads
/// - what `torch.save` writes of a state dict, now or before PyTorch 1.6, or of dictionaries, lists and tuples that
///   have state dicts somewhere in them; all that is no tensor is passed over. A tensor's name is the path to it:
///   `{"model": model.state_dict(), "epoch": 3}` has `model.lstm.weight_ih_l0`;
/// - TorchScript archives: their parameters and buffers, and `constants.0` … of a traced or frozen model;
/// - safetensors files.
///
/// `module`, `_orig_mod`, `_fsdp_wrapped_module` and `_checkpoint_wrapped_module` in a name, which
/// `DataParallel`, `torch.compile` and others put there, are left out, unless two tensors then had one name; and a
/// name may be asked for with or without them.
///
/// Opening reads names and shapes alone, and [`StateDict::values`] one tensor: the file is never in memory as a
/// whole. Of a packed archive, which PyTorch does not write, one entry is.
///
/// ```
/// use wgpu_lstm::io::pytorch::StateDict;
/// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/pytorch/small.pt");
/// let dict = StateDict::open(path)?; // torch.save(nn.Linear(2, 1).state_dict(), path)
/// assert_eq!(dict.names().collect::<Vec<_>>(), ["weight", "bias"]);
/// assert_eq!((dict.shape("weight")?, dict.dtype("weight")?), (&[1, 2][..], "float32"));
/// assert_eq!(dict.values("bias")?.len(), 1);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Clone)]
pub struct StateDict {
    file: Arc<Contents>,
    prefix: String,
}

struct Contents {
    source: Source,
    archive: Option<Archive>,
    tensors: Vec<(String, Stored)>,
    index: BTreeMap<String, usize>,
}

impl StateDict {
    /// Opens a file, and reads which tensors it has. Native only.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::File`] if it is damaged, or none of these formats, has the
    /// bytes of numbers in the other order, or a pickle in it has opcodes or names that a state dict does not
    /// need, such as those of a whole model (`torch.save(model, path)`).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::of(Source::open(path.as_ref())?)
    }

    /// Reads which tensors there are.
    pub(crate) fn of(source: Source) -> Result<Self> {
        let mut first = [0; 9];
        let len = source.len().min(9) as usize;
        source.read_into(0, &mut first[..len], "the file")?;
        let (archive, mut named) = match first {
            _ if safetensors::begins(&first, source.len()) => (None, safetensors::open(&source)?),
            [b'P', b'K', 3, 4, ..] => {
                let (archive, named) = Archive::open(&source)?;
                (Some(archive), named)
            }
            [0x80, ..] => (None, legacy::open(&source)?),
            _ => {
                let expected = "that of torch.save, of TorchScript or of safetensors";
                return Err(source.bad("the format", expected, "another"));
            }
        };
        stored::bound(&mut named, source.len());
        let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
        for name in named.iter().map(|(name, _)| plain(name)) {
            if once.contains(&name) {
                twice.insert(name);
            } else {
                once.insert(name);
            }
        }
        let (mut tensors, mut index) = (Vec::with_capacity(named.len()), BTreeMap::new());
        for (name, stored) in named {
            let short = plain(&name);
            let name = if twice.contains(&short) { name } else { short };
            if index.insert(name.clone(), tensors.len()).is_some() {
                let entry = format!("tensor {name}");
                return Err(source.bad(entry, "one of this name", "a second one"));
            }
            tensors.push((name, stored));
        }
        Ok(Self {
            file: Arc::new(Contents { source, archive, tensors, index }),
            prefix: String::new(),
        })
    }

    /// The part whose names begin with this and a dot, without that: of `encoder.rnn.weight_ih_l0` under `encoder`
    /// it is `rnn.weight_ih_l0`.
    ///
    /// # Errors
    /// [`Error::File`] if no name does.
    pub fn prefix(&self, prefix: &str) -> Result<Self> {
        let asked = prefix.strip_suffix('.').unwrap_or(prefix);
        let ways = [format!("{asked}."), format!("{}.", plain(asked))];
        if plain(asked).is_empty() {
            return Ok(self.clone());
        }
        match ways.into_iter().find(|way| self.begins(way)) {
            Some(way) => {
                Ok(Self { file: self.file.clone(), prefix: format!("{}{way}", self.prefix) })
            }
            None => Err(self.missing(&format!("{asked}.…"))),
        }
    }

    /// The names of all tensors: in the order of the state dict, or of their bytes in a safetensors file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.file.tensors.iter().filter_map(|(name, _)| name.strip_prefix(&self.prefix))
    }

    /// A tensor's shape.
    ///
    /// # Errors
    /// [`Error::File`] if there is no such tensor, or it is none of numbers side by side (sparse, quantized), or one
    /// of far more values than the file has bytes, as `expand` makes them.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        let (_, view) = self.stored(name)?;
        Ok(&view.shape)
    }

    /// The name of a tensor's type of numbers, as PyTorch has it: `float32`, `bfloat16`, `int64`.
    ///
    /// # Errors
    /// As [`StateDict::shape`].
    pub fn dtype(&self, name: &str) -> Result<&'static str> {
        let (_, view) = self.stored(name)?;
        Ok(view.dtype.name)
    }

    /// A tensor's values, as 32-bit floats, in the order of its axes: whatever its strides in the file are.
    ///
    /// # Errors
    /// As [`StateDict::shape`]; [`Error::File`], too, if the tensor is not within its storage, or has complex or
    /// other numbers that are no 32-bit floats; [`Error::Io`]; [`Error::OutOfMemory`].
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let file = &self.file;
        let entry = self.entry(name);
        let unpacked = |index| match &file.archive {
            Some(archive) => archive.unpacked(index),
            None => Err(file.source.bad(&entry, "in an archive", "in none")),
        };
        stored::values(&file.source, unpacked, self.stored(name)?, &entry)
    }

    fn stored(&self, name: &str) -> Result<&(stored::Place, super::pickle::View)> {
        let number = self.find(name).ok_or_else(|| self.missing(name))?;
        let (_, stored) = &self.file.tensors[number];
        stored.as_ref().map_err(|why| self.bad(name, "of numbers side by side", why.clone()))
    }

    /// A tensor's shape, if it can be read, or why it cannot; `None` if there is no such tensor.
    pub(super) fn look(&self, name: &str) -> Option<Result<&[usize], &str>> {
        let (_, stored) = &self.file.tensors[self.find(name)?];
        Some(stored.as_ref().map(|(_, view)| &view.shape[..]).map_err(String::as_str))
    }

    /// A tensor's shape, if its numbers become floats.
    ///
    /// # Errors
    /// As [`StateDict::values`].
    pub(super) fn shape_of_floats(&self, name: &str) -> Result<&[usize]> {
        let (_, view) = self.stored(name)?;
        stored::number(&self.file.source, view, &self.entry(name))?;
        Ok(&view.shape)
    }

    /// The names of a module's own tensors, without its own, in the order of [`StateDict::names`].
    pub(super) fn tails(&self, module: &str) -> Vec<&str> {
        let module = plain(module);
        let start = match module.is_empty() {
            true => self.prefix.clone(),
            false => format!("{}{module}.", self.prefix),
        };
        let names = self.file.index.range(start.clone()..);
        let tails = names.map_while(|(name, &number)| Some((number, name.strip_prefix(&start)?)));
        let mut tails: Vec<_> = tails.filter(|(_, tail)| !tail.contains('.')).collect();
        tails.sort_unstable();
        tails.into_iter().map(|(_, tail)| tail).collect()
    }

    fn find(&self, name: &str) -> Option<usize> {
        let find = |name: &str| self.file.index.get(&format!("{}{name}", self.prefix)).copied();
        find(name).or_else(|| find(&plain(name)))
    }

    /// Whether a name begins so.
    pub(super) fn begins(&self, start: &str) -> bool {
        let start = format!("{}{start}", self.prefix);
        let next = self.file.index.range(start.clone()..).next();
        next.is_some_and(|(name, _)| name.starts_with(&start))
    }

    /// Whether there is such a tensor.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn entry(&self, name: &str) -> String {
        format!("tensor {}{name}", self.prefix)
    }

    /// The error of a tensor.
    pub(super) fn bad(
        &self,
        name: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        self.file.source.bad(self.entry(name), expected, found)
    }

    /// The error of a tensor that is not there, with some that are.
    pub(super) fn missing(&self, name: &str) -> Error {
        let names: Vec<_> = self.names().collect();
        let expected = match names.len() {
            0 => "one that there is: none".to_owned(),
            count if count <= MOST => format!("one of {}", names.join(", ")),
            count => format!("one of {} and {} more", names[..MOST].join(", "), count - MOST),
        };
        self.bad(name, expected, "missing")
    }
}

/// The most names that an error lists.
const MOST: usize = 12;

/// A name without what wrappers of models put into it.
pub(super) fn plain(name: &str) -> String {
    let wraps = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];
    let parts: Vec<_> = name.split('.').filter(|part| !wraps.contains(part)).collect();
    parts.join(".")
}

impl fmt::Debug for StateDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, name) = (self.names().count(), self.file.source.name());
        write!(f, "StateDict({count} tensors of {name:?}, under {:?})", self.prefix)
    }
}
