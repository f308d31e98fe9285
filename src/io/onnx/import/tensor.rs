//! The tensors of a file: where their numbers lie, and those numbers.

use super::value::{Element, Ints, Value};
use super::wire::{Message, Wire};
use crate::io::{Number, Source};
use crate::tensor::{count, room_for};
use crate::{Device, Error, Result, Tensor};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// The most axes that are read.
const MOST_AXES: usize = 32;

/// A tensor as a file describes it. Its numbers are read when they are asked for.
#[derive(Debug, Default, Clone)]
pub(super) struct TensorProto {
    pub(super) name: String,
    pub(super) dims: Vec<i64>,
    pub(super) element: i64,
    place: Place,
    /// The field that its numbers are in; 0 if there is none.
    field: u64,
    /// Whether there are several such fields.
    mixed: bool,
}

#[derive(Debug, Default, Clone)]
enum Place {
    #[default]
    None,
    /// Numbers as they are in memory, in the file or in one beside it.
    Raw(Vec<Range<u64>>),
    /// Integers of variable length.
    Varints(Vec<Range<u64>>),
    /// Single integers, of a field that is not packed.
    Ints(Vec<i64>),
    External {
        file: String,
        offset: u64,
        len: Option<u64>,
    },
    Texts,
}

/// Where the files beside a model lie; nowhere for one in memory.
pub(super) type Folder<'a> = Option<&'a Beside>;

/// A model's folder, and how much was read of each file in it.
pub(super) struct Beside {
    path: PathBuf,
    read: RefCell<HashMap<PathBuf, u64>>,
}

/// How often the bytes of a file may be read: tensors of the same numbers may share them, but no few bytes are to
/// become any number of tensors.
const MOST_READS: u64 = 4;

impl Beside {
    pub(super) fn of(model: &Path) -> Self {
        let path = match model.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.into(),
            _ => ".".into(),
        };
        Self { path, read: RefCell::default() }
    }

    /// Counts bytes of a file, and says whether it has that many.
    fn count(&self, path: &Path, bytes: u64, all: u64) -> bool {
        let mut read = self.read.borrow_mut();
        let sum = read.entry(path.into()).or_default();
        *sum = sum.saturating_add(bytes);
        *sum <= all.saturating_mul(MOST_READS)
    }
}

impl TensorProto {
    pub(super) fn read(wire: &mut Wire, mut message: Message) -> Result<Self> {
        let mut tensor = Self::default();
        let mut external = Vec::new();
        let mut is_external = false;
        while let Some((field, content)) = wire.next(&mut message)? {
            if matches!(field, 4..=7 | 9..=11) {
                tensor.mixed |= tensor.field != 0 && tensor.field != field;
                tensor.field = field;
            }
            match field {
                1 => {
                    wire.ints(&content, "a tensor's dims", &mut tensor.dims)?;
                    if tensor.dims.len() > MOST_AXES {
                        let expected = format!("at most {MOST_AXES} axes");
                        return Err(wire.source.bad("a tensor", expected, "more"));
                    }
                }
                2 => tensor.element = wire.int(&content, "a tensor's data_type")?,
                // float_data and double_data lie as raw data do.
                4 | 9 | 10 => {
                    let range = match &content {
                        super::wire::Content::Fixed(range) => range.clone(),
                        content => wire.range(content, "a tensor's data")?,
                    };
                    match &mut tensor.place {
                        Place::Raw(ranges) => match ranges.last_mut() {
                            Some(last) if last.end == range.start => last.end = range.end,
                            _ => ranges.push(range),
                        },
                        place => *place = Place::Raw(vec![range]),
                    }
                }
                5 | 7 | 11 => match &content {
                    super::wire::Content::Varint(value) => match &mut tensor.place {
                        Place::Ints(values) => values.push(*value as i64),
                        place => *place = Place::Ints(vec![*value as i64]),
                    },
                    content => {
                        let range = wire.range(content, "a tensor's data")?;
                        match &mut tensor.place {
                            Place::Varints(ranges) => ranges.push(range),
                            place => *place = Place::Varints(vec![range]),
                        }
                    }
                },
                6 => tensor.place = Place::Texts,
                8 => tensor.name = wire.text(&content, "a tensor's name")?,
                13 => {
                    let mut entry = wire.inner(&content, "external_data")?;
                    let (mut key, mut value) = (String::new(), String::new());
                    while let Some((field, content)) = wire.next(&mut entry)? {
                        match field {
                            1 => key = wire.text(&content, "a key of external_data")?,
                            2 => value = wire.text(&content, "a value of external_data")?,
                            _ => {}
                        }
                    }
                    if external.len() < 16 {
                        external.push((key, value));
                    }
                }
                14 => is_external = wire.int(&content, "a tensor's data_location")? == 1,
                _ => {}
            }
        }
        if is_external {
            tensor.place = tensor.external(&wire.source, &external)?;
        }
        Ok(tensor)
    }

    fn external(&self, source: &Source, entries: &[(String, String)]) -> Result<Place> {
        let entry = |key| entries.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        let number = |key| -> Result<Option<u64>> {
            let Some(text) = entry(key) else { return Ok(None) };
            let bad =
                |_| source.bad(self.what(), format!("a number as its {key}"), format!("{text:?}"));
            text.parse().map(Some).map_err(bad)
        };
        let file = entry("location").ok_or_else(|| {
            source.bad(self.what(), "external data with a location", "without one")
        })?;
        Ok(Place::External {
            file: file.into(),
            offset: number("offset")?.unwrap_or(0),
            len: number("length")?,
        })
    }

    fn what(&self) -> String {
        format!("tensor {:?}", self.name)
    }

    /// The shape, whose product does not overflow.
    fn shape(&self, source: &Source) -> Result<Vec<usize>> {
        let sizes = self.dims.iter().map(|&d| usize::try_from(d));
        let shape: Option<Vec<usize>> = sizes.collect::<Result<_, _>>().ok();
        shape
            .filter(|shape| shape.contains(&0) || count(shape) < isize::MAX as usize / 16)
            .ok_or_else(|| {
                source.bad(self.what(), "of sizes that a memory holds", format!("{:?}", self.dims))
            })
    }

    /// The numbers, on the device if they are floats.
    pub(super) fn value(
        &self,
        source: &Source,
        folder: Folder<'_>,
        device: &Device,
    ) -> Result<Value> {
        let shape = self.shape(source)?;
        let bad = |expected: &str, found: String| source.bad(self.what(), expected, found);
        let kind = Element::from_onnx(self.element);
        let Some(kind) = kind.filter(|&kind| kind != Element::Text) else {
            let found = format!("of data_type {}", self.element);
            return Err(bad("numbers of 64 bits and fewer", found));
        };
        if let Some(found) = self.wrong_field(kind) {
            return Err(bad(&format!("{kind} numbers in the field that ONNX has for them"), found));
        }
        let expected = if shape.contains(&0) { 0 } else { count(&shape) };
        let wrong = |found: String| bad(&format!("{expected} numbers, as {shape:?} holds"), found);
        let what = self.what();
        let (other, ranges);
        let source_of = match &self.place {
            Place::Raw(all) => {
                ranges = all.clone();
                source
            }
            Place::External { file, offset, len } => {
                let bytes = (expected as u64).saturating_mul(kind.number().size() as u64);
                let len = len.unwrap_or(bytes);
                let path = self.beside(source, folder, file)?;
                other = Source::open(&path)?;
                let end = offset.checked_add(len).ok_or_else(|| {
                    bad("external data in its file", format!("{len} bytes from byte {offset}"))
                })?;
                let range = *offset..end;
                other.check_no_pointer(&what)?;
                other.check(&range, &what)?;
                if !folder.is_some_and(|folder| folder.count(&path, len, other.len())) {
                    let expected = format!("external data that is read {MOST_READS} times at most");
                    return Err(bad(&expected, format!("{len} bytes more of {file:?}")));
                }
                ranges = vec![range];
                &other
            }
            Place::Varints(_) | Place::Ints(_) => {
                let ints = self.varints(source, expected, kind)?;
                let Some(ints) = ints else { return Err(wrong("other".into())) };
                if !kind.is_float() {
                    return Ok(Value::Ints(Ints::new(kind, shape, ints)?));
                }
                // Floats of 16 bits lie so, each as an integer.
                let floats: Vec<f32> = ints
                    .iter()
                    .map(|&bits| match kind {
                        Element::F16 => half::f16::from_bits(bits as u16).to_f32(),
                        _ => half::bf16::from_bits(bits as u16).to_f32(),
                    })
                    .collect();
                return Ok(Value::Floats(Tensor::from_slice(&floats, shape, device)?));
            }
            Place::None if expected == 0 => {
                ranges = vec![];
                source
            }
            Place::None => return Err(wrong("none".into())),
            Place::Texts => return Err(bad("numbers", "texts".into())),
        };
        let size = kind.number().size() as u64;
        let bytes = ranges.iter().fold(0u64, |sum, r| sum.saturating_add(r.end - r.start));
        if bytes != (expected as u64).saturating_mul(size) {
            return Err(wrong(format!("{bytes} bytes, of which each has {size}")));
        }
        if kind.is_float() {
            let floats = match ranges.as_slice() {
                [range] => source_of.floats(range.clone(), kind.number(), &what)?,
                ranges => {
                    let mut all = Vec::new();
                    for range in ranges {
                        all.extend(source_of.floats(range.clone(), kind.number(), &what)?);
                    }
                    all
                }
            };
            return Ok(Value::Floats(Tensor::from_slice(&floats, shape, device)?));
        }
        let mut bytes = Vec::new();
        for range in ranges {
            match bytes.is_empty() {
                true => bytes = source_of.read(range, &what)?,
                false => bytes.extend(source_of.read(range, &what)?),
            }
        }
        Ok(Value::Ints(Ints::from_bytes(kind, shape, bytes)?))
    }

    /// Whether its numbers lie in a file of their own.
    pub(super) fn is_external(&self) -> bool {
        matches!(self.place, Place::External { .. })
    }

    /// The field that its numbers are in, if those of their type do not lie there.
    fn wrong_field(&self, kind: Element) -> Option<String> {
        use Element::{Bf16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        if self.is_external() {
            return None;
        }
        let (name, fits) = match self.field {
            4 => ("float_data", kind == F32),
            5 => ("int32_data", matches!(kind, I32 | I16 | I8 | U16 | U8 | Bool | F16 | Bf16)),
            7 => ("int64_data", kind == I64),
            10 => ("double_data", kind == F64),
            11 => ("uint64_data", matches!(kind, U32 | U64)),
            _ => ("raw_data", true),
        };
        match self.mixed {
            true => Some(format!("in {name} and another one")),
            false => (!fits).then(|| format!("in {name}")),
        }
    }

    /// Integers of variable length, if there are as many as expected.
    fn varints(&self, source: &Source, expected: usize, kind: Element) -> Result<Option<Vec<i64>>> {
        let mut ints = match &self.place {
            Place::Ints(ints) => ints.clone(),
            Place::Varints(ranges) => {
                // Each of them is at least a byte.
                let bytes: u64 = ranges.iter().map(|r| r.end - r.start).sum();
                if bytes < expected as u64 {
                    return Ok(None);
                }
                let mut ints = room_for("a tensor of a file", expected)?;
                let mut wire = Wire::new(source.clone());
                for range in ranges {
                    let content = super::wire::Content::Bytes(range.clone());
                    wire.ints(&content, "a tensor's data", &mut ints)?;
                }
                ints
            }
            _ => return Ok(None),
        };
        ints.iter_mut().for_each(|int| *int = kind.wrap(*int));
        Ok((ints.len() == expected).then_some(ints))
    }

    /// The path of a file beside the model: in its folder, or in one within that. The file may be a link to elsewhere,
    /// as in caches that keep what it holds by its hash; the folders on the way may not.
    fn beside(&self, source: &Source, folder: Folder<'_>, file: &str) -> Result<PathBuf> {
        let bad = |expected: &str| source.bad(self.what(), expected, format!("{file:?}"));
        let Some(folder) = folder else {
            return Err(bad("with its data in the model, since that is read from memory"));
        };
        let path = Path::new(file);
        let inside =
            path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || path.file_name().is_none() {
            return Err(bad("external data in the model's folder"));
        }
        let folder = folder.path.as_path();
        let whole = folder.join(path);
        let io = |error: std::io::Error| Error::Io {
            action: "read",
            path: whole.display().to_string(),
            error: error.to_string(),
        };
        let parent = whole.parent().unwrap_or(folder).canonicalize().map_err(io)?;
        if !parent.starts_with(folder.canonicalize().map_err(io)?) {
            return Err(bad("external data in the model's folder"));
        }
        match std::fs::metadata(&whole).map_err(io)?.is_file() {
            true => Ok(whole),
            false => Err(bad("a file")),
        }
    }
}

impl Element {
    /// How numbers of a type lie in a file.
    pub(super) fn number(self) -> Number {
        match self {
            Self::F64 => Number::F64,
            Self::F32 => Number::F32,
            Self::F16 => Number::F16,
            Self::Bf16 => Number::Bf16,
            Self::I64 | Self::U64 => Number::I64,
            Self::I32 | Self::U32 => Number::I32,
            Self::I16 | Self::U16 => Number::I16,
            Self::I8 => Number::I8,
            Self::U8 | Self::Text => Number::U8,
            Self::Bool => Number::Bool,
        }
    }
}
