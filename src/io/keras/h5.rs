//! HDF5 files as Keras writes them: groups, texts as attributes, arrays of floats.

use crate::io::{Number, Source};
use crate::{Error, Result};
use hdf5_pure::{AttrValue, Datatype, DatatypeByteOrder, FloatingPointLayout, FormatError, Layout};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A group of a file.
#[derive(Clone)]
pub(super) struct Group {
    source: Source,
    /// Where the file begins in the source.
    base: u64,
    path: String,
    group: hdf5_pure::Group,
    meter: Arc<Meter>,
}

/// An array of a file, which is not read yet.
pub(super) struct Array {
    source: Source,
    pub(super) path: String,
    pub(super) shape: Vec<usize>,
    place: Place,
}

enum Place {
    At(Range<u64>, Number),
    /// One that lies in its own description, which is small.
    Held(Vec<f32>),
}

/// How much of a file its descriptions may make the reader read, each time that something is asked of it and in all:
/// descriptions may name the same bytes again and again.
struct Meter {
    once: u64,
    all: u64,
    asked: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    fn new(len: u64) -> Self {
        let (once, all) = (len.saturating_mul(2), len.saturating_mul(64));
        Self {
            once: once.saturating_add(1 << 20),
            all: all.saturating_add(64 << 20),
            asked: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    fn takes(&self, bytes: u64) -> bool {
        let asked = self.asked.fetch_add(bytes, Ordering::Relaxed);
        let total = self.total.fetch_add(bytes, Ordering::Relaxed);
        asked <= self.once && total <= self.all
    }
}

/// The bytes of the file, for the library that knows the format.
struct Bytes {
    source: Source,
    range: Range<u64>,
    meter: Arc<Meter>,
}

impl hdf5_pure::Source for Bytes {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> std::result::Result<(), FormatError> {
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= self.len());
        // 16 for a read of nothing, of which there may be many, too.
        if end.is_none() || !self.meter.takes(bytes.len() as u64 + 16) {
            let (expected, available) = (usize::MAX, self.len() as usize);
            return Err(FormatError::UnexpectedEof { expected, available });
        }
        self.source
            .read_into(self.range.start + offset, bytes, "HDF5")
            .map_err(|error| FormatError::Source(error.to_string()))
    }
}

/// The root group of the file that lies at a range of a source.
///
/// # Errors
/// [`Error::File`] if it is no HDF5.
pub(super) fn open(source: &Source, range: Range<u64>) -> Result<Group> {
    let base = range.start;
    let meter = Arc::new(Meter::new(range.end - range.start));
    let bytes = Bytes { source: source.clone(), range, meter: meter.clone() };
    let file = hdf5_pure::File::from_source(bytes).map_err(|error| bad(source, "/", &error))?;
    let group = file.root();
    Ok(Group { source: source.clone(), base, path: String::new(), group, meter })
}

/// Whether a file begins as HDF5 does.
pub(super) fn is_h5(source: &Source) -> bool {
    let mut signature = [0; 8];
    source.read_into(0, &mut signature, "the file").is_ok() && signature == *b"\x89HDF\r\n\x1a\n"
}

fn bad(source: &Source, path: &str, error: &hdf5_pure::Error) -> Error {
    let found = format!("unreadable ({error})");
    source.bad(format!("the group {path:?}"), "of an HDF5 file as Keras writes it", found)
}

impl Group {
    /// The group's path, for errors.
    pub(super) fn path(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.path }
    }

    /// That something in the group is not what it should be.
    pub(super) fn bad(&self, what: &str, expected: &str, found: impl Into<String>) -> Error {
        self.source.bad(format!("{what} of the group {:?}", self.path()), expected, found)
    }

    fn ask<T>(&self, ask: impl FnOnce() -> std::result::Result<T, hdf5_pure::Error>) -> Result<T> {
        self.meter.asked.store(0, Ordering::Relaxed);
        ask().map_err(|error| bad(&self.source, self.path(), &error))
    }

    /// The groups in it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(super) fn groups(&self) -> Result<BTreeMap<String, Self>> {
        let groups = self.ask(|| Ok(self.group.iter_groups()?.collect::<Vec<_>>()))?;
        let inner = groups.into_iter().map(|(name, group)| {
            let (source, base, meter) = (self.source.clone(), self.base, self.meter.clone());
            let path = format!("{}/{name}", self.path);
            (name, Self { source, base, path, group, meter })
        });
        Ok(inner.collect())
    }

    /// One of the groups in it, or one deeper.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(super) fn group(&self, path: &str) -> Result<Option<Self>> {
        let mut found = None;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let inner = found.as_ref().unwrap_or(self).groups()?.remove(name);
            let Some(inner) = inner else { return Ok(None) };
            found = Some(inner);
        }
        Ok(found)
    }

    /// The arrays in it, those with numbers for names in the order of these.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(super) fn arrays(&self) -> Result<Vec<(String, Array)>> {
        let mut names = self.ask(|| self.group.datasets())?;
        names.sort_by_cached_key(|name| (name.parse::<u64>().unwrap_or(u64::MAX), name.clone()));
        names.into_iter().map(|name| Ok((name.clone(), self.array(&name)?))).collect()
    }

    /// An array in it, or deeper.
    ///
    /// # Errors
    /// [`Error::File`] if there is none, or if it does not hold floats as Keras writes them.
    pub(super) fn array(&self, name: &str) -> Result<Array> {
        let path = format!("{}/{name}", self.path);
        let entry = format!("the array {path:?}");
        let refuse = |expected: &str, found: String| self.source.bad(&*entry, expected, found);
        self.meter.asked.store(0, Ordering::Relaxed);
        let found = self.group.dataset(name);
        let array = found.map_err(|error| refuse("there", format!("none ({error})")))?;
        let damaged = |error| refuse("as Keras writes it", format!("unreadable ({error})"));
        let shape = array.shape().map_err(damaged)?;
        let number = match array.datatype().map_err(damaged)? {
            Datatype::FloatingPoint {
                size,
                byte_order: DatatypeByteOrder::LittleEndian,
                layout,
            } => float(size, layout),
            Datatype::FixedPoint {
                size: 2, byte_order: DatatypeByteOrder::LittleEndian, ..
            } => {
                // Keras has no other way to keep this type.
                let attrs = array.attrs().map_err(damaged)?;
                let bf16 = attrs.get("dtype").and_then(AttrValue::as_str) == Some("bfloat16");
                bf16.then_some(Number::Bf16)
            }
            _ => None,
        };
        let Some(number) = number else {
            let dtype = array.dtype().map_or_else(|_| "others".into(), |dtype| dtype.to_string());
            return Err(refuse("floats of 16, 32 or 64 bits, the lowest byte first", dtype));
        };
        let sizes = shape.iter().map(|&size| usize::try_from(size).ok());
        let sizes: Option<Vec<usize>> = sizes.collect();
        let count = sizes.as_ref().and_then(|sizes| {
            sizes.iter().try_fold(1_u64, |count, &size| count.checked_mul(size as u64))
        });
        let bytes = count.and_then(|count| count.checked_mul(number.size() as u64));
        let (Some(sizes), Some(bytes)) = (sizes, bytes) else {
            return Err(refuse("of a shape that memory has", format!("{shape:?}")));
        };
        let place = match array.layout().map_err(damaged)? {
            Layout::Contiguous { address: Some(at), size } if size >= bytes => {
                let at = at.checked_add(self.base).filter(|at| at.checked_add(bytes).is_some());
                let at = at.ok_or_else(|| refuse("within the file", "past its end".into()))?;
                Place::At(at..at + bytes, number)
            }
            Layout::Compact { size } if size >= bytes => {
                Place::Held(array.read_f32().map_err(damaged)?)
            }
            layout => {
                let found = format!("{layout:?} of {bytes} bytes");
                return Err(refuse("values in one piece, without compression", found));
            }
        };
        Ok(Array { source: self.source.clone(), path, shape: sizes, place })
    }

    /// An attribute that is a text.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        let mut attrs = self.ask(|| self.group.attrs())?;
        match attrs.remove(name) {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text.into())),
                None => {
                    Err(self.bad(&format!("the attribute {name:?}"), "a text", value.type_name()))
                }
            },
        }
    }

    /// An attribute that is a list of texts; where it is too long for one attribute, those that it is cut into.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let attrs = self.ask(|| self.group.attrs())?;
        let list = |value: &AttrValue| match value.as_strings() {
            Some(texts) => Ok(texts.to_vec()),
            // What h5py makes of an empty list.
            None if value.to_f64s().is_some_and(|values| values.is_empty()) => Ok(Vec::new()),
            None => Err(self.bad(&format!("the attribute {name:?}"), "texts", value.type_name())),
        };
        if let Some(value) = attrs.get(name) {
            return list(value).map(Some);
        }
        let mut parts = (0..).map_while(|part| attrs.get(&format!("{name}{part}"))).peekable();
        if parts.peek().is_none() {
            return Ok(None);
        }
        parts.try_fold(Vec::new(), |all, part| Ok([all, list(part)?].concat())).map(Some)
    }
}

fn float(size: u32, layout: FloatingPointLayout) -> Option<Number> {
    let half = (layout.exponent_size, layout.mantissa_size, layout.exponent_bias) == (5, 10, 15);
    match size {
        8 if layout == FloatingPointLayout::IEEE754_BINARY64 => Some(Number::F64),
        4 if layout == FloatingPointLayout::IEEE754_BINARY32 => Some(Number::F32),
        2 if half => Some(Number::F16),
        _ => None,
    }
}

impl Array {
    /// The numbers of values.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().fold(1, |count, &size| count.saturating_mul(size))
    }

    /// That it is of another shape, or otherwise not what it should be.
    pub(super) fn bad(&self, expected: impl Into<String>) -> Error {
        let found = format!("of the shape {:?}", self.shape);
        self.source.bad(format!("the array {:?}", self.path), expected, found)
    }

    /// The values.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::OutOfMemory`].
    pub(super) fn values(&self) -> Result<Vec<f32>> {
        match &self.place {
            Place::At(range, number) => self.source.floats(range.clone(), *number, &self.path),
            Place::Held(values) => Ok(values.clone()),
        }
    }
}
