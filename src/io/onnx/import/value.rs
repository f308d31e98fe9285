//! What flows between the nodes: floats on the device, integers on the host.

use crate::ops::nd::host::Array;
use crate::tensor::count;
use crate::{Device, Error, Result, Tensor};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The type of a value's numbers in a file.
///
/// Floats of every size are computed as 32-bit ones, and integers exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub enum Element {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    Text,
}

impl Element {
    /// The type of a number of `TensorProto.DataType`.
    pub(super) fn from_onnx(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            4 => Self::U16,
            5 => Self::I16,
            6 => Self::I32,
            7 => Self::I64,
            8 => Self::Text,
            9 => Self::Bool,
            10 => Self::F16,
            11 => Self::F64,
            12 => Self::U32,
            13 => Self::U64,
            16 => Self::Bf16,
            _ => return None,
        })
    }

    /// Whether these are floats.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// The integer that is left of one when it is stored in this type.
    pub(super) fn wrap(self, value: i64) -> i64 {
        match self {
            Self::I32 => (value as i32).into(),
            Self::I16 => (value as i16).into(),
            Self::I8 => (value as i8).into(),
            Self::U32 => (value as u32).into(),
            Self::U16 => (value as u16).into(),
            Self::U8 => (value as u8).into(),
            Self::Bool => (value != 0).into(),
            _ => value,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
            Self::Text => "text",
        })
    }
}

/// An input or an output of a [`Model`](super::Model): 32-bit floats on a device, or integers or booleans on the
/// host. Cheap to clone: clones share the numbers.
///
/// ```
/// use wgpu_lstm::io::onnx::Value;
/// use wgpu_lstm::{Device, Tensor};
/// let tokens = Value::i64(&[3, 1, 4], [1, 3])?;
/// assert_eq!(tokens.shape(), [1, 3]);
/// assert_eq!(tokens.to_i64()?, [3, 1, 4]);
/// let x: Value = Tensor::from_slice(&[0.5, 2.0], [2], &Device::cpu()?)?.into();
/// assert_eq!(x.to_f32()?, [0.5, 2.0]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Value {
    /// Floats.
    Floats(Tensor),
    /// Integers or booleans.
    Ints(Ints),
}

/// Integers or booleans on the host.
#[derive(Clone)]
pub struct Ints {
    pub(super) kind: Element,
    pub(super) data: Data,
}

/// Those of 8 bits lie as bytes, all others as 64 bits.
#[derive(Clone)]
pub(super) enum Data {
    Wide(Arc<Array<i64>>),
    Bytes(Arc<Array<u8>>),
}

impl Ints {
    /// Integers that fit the type.
    pub(super) fn new(kind: Element, shape: Vec<usize>, values: Vec<i64>) -> Result<Self> {
        Self::from_array(kind, Array::new(shape, values)?)
    }

    pub(super) fn from_array(kind: Element, array: Array<i64>) -> Result<Self> {
        let data = match kind {
            Element::I8 | Element::U8 | Element::Bool => {
                Data::Bytes(Arc::new(array.map(|value| value as u8)))
            }
            _ => Data::Wide(Arc::new(array)),
        };
        Ok(Self { kind, data })
    }

    pub(super) fn from_bools(array: Array<bool>) -> Self {
        Self { kind: Element::Bool, data: Data::Bytes(Arc::new(array.map(u8::from))) }
    }

    /// Integers as they lie in a file.
    pub(super) fn from_bytes(kind: Element, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self> {
        fn wide<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> i64) -> Vec<i64> {
            bytes.as_chunks::<N>().0.iter().map(|&word| f(word)).collect()
        }
        let values = match kind {
            Element::I64 | Element::U64 => wide(&bytes, i64::from_le_bytes),
            Element::I32 => wide(&bytes, |w| i32::from_le_bytes(w).into()),
            Element::U32 => wide(&bytes, |w| u32::from_le_bytes(w).into()),
            Element::I16 => wide(&bytes, |w| i16::from_le_bytes(w).into()),
            Element::U16 => wide(&bytes, |w| u16::from_le_bytes(w).into()),
            Element::Bool => {
                let bytes = bytes.into_iter().map(|byte| u8::from(byte != 0)).collect();
                return Ok(Self { kind, data: Data::Bytes(Arc::new(Array::new(shape, bytes)?)) });
            }
            _ => return Ok(Self { kind, data: Data::Bytes(Arc::new(Array::new(shape, bytes)?)) }),
        };
        Self::new(kind, shape, values)
    }

    /// The type of the integers.
    pub fn element(&self) -> Element {
        self.kind
    }

    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        match &self.data {
            Data::Wide(array) => &array.shape,
            Data::Bytes(array) => &array.shape,
        }
    }

    /// The number of integers.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Wide(array) => array.data.len(),
            Data::Bytes(array) => array.data.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The integers, row-major; a boolean is 0 or 1.
    pub fn values(&self) -> Cow<'_, [i64]> {
        match &self.data {
            Data::Wide(array) => Cow::Borrowed(&array.data),
            Data::Bytes(array) if self.kind == Element::I8 => {
                array.data.iter().map(|&byte| i64::from(byte as i8)).collect()
            }
            Data::Bytes(array) => array.data.iter().map(|&byte| i64::from(byte)).collect(),
        }
    }

    /// The same as 64-bit integers.
    pub(super) fn wide(&self) -> Cow<'_, Array<i64>> {
        match &self.data {
            Data::Wide(array) => Cow::Borrowed(array),
            Data::Bytes(array) if self.kind == Element::I8 => {
                Cow::Owned(array.map(|byte| i64::from(byte as i8)))
            }
            Data::Bytes(array) => Cow::Owned(array.map(i64::from)),
        }
    }

    /// Of which each becomes another one, of a type.
    pub(super) fn map(&self, kind: Element, f: impl Fn(i64) -> i64) -> Result<Self> {
        Self::from_array(kind, self.wide().map(|value| kind.wrap(f(value))))
    }

    /// The same numbers in another order, or some of them.
    pub(super) fn moved(
        &self,
        wide: impl FnOnce(&Array<i64>) -> Result<Array<i64>>,
        bytes: impl FnOnce(&Array<u8>) -> Result<Array<u8>>,
    ) -> Result<Self> {
        let data = match &self.data {
            Data::Wide(array) => Data::Wide(Arc::new(wide(array)?)),
            Data::Bytes(array) => Data::Bytes(Arc::new(bytes(array)?)),
        };
        Ok(Self { kind: self.kind, data })
    }

    pub(super) fn reshape(&self, shape: Vec<usize>) -> Result<Self> {
        self.moved(
            |array| Array::new(shape.clone(), array.data.clone()),
            |array| Array::new(shape.clone(), array.data.clone()),
        )
    }
}

impl Value {
    /// Floats on a device, row-major.
    ///
    /// # Errors
    /// As [`Tensor::from_slice`].
    pub fn f32(values: &[f32], shape: impl Into<Vec<usize>>, device: &Device) -> Result<Self> {
        Ok(Self::Floats(Tensor::from_slice(values, shape, device)?))
    }

    /// 64-bit integers, row-major: they become those of a model's input, if all of them fit that.
    ///
    /// # Errors
    /// [`Error::Count`].
    pub fn i64(values: &[i64], shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = checked("Value::i64", shape.into(), values.len())?;
        Ok(Self::Ints(Ints::new(Element::I64, shape, values.to_vec())?))
    }

    /// Booleans, row-major.
    ///
    /// # Errors
    /// [`Error::Count`].
    pub fn bool(values: &[bool], shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = checked("Value::bool", shape.into(), values.len())?;
        Ok(Self::Ints(Ints::from_bools(Array::new(shape, values.to_vec())?)))
    }

    /// The size of each axis; without axes it is one number.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Floats(tensor) => tensor.shape(),
            Self::Ints(ints) => ints.shape(),
        }
    }

    /// No numbers.
    pub(super) fn nothing() -> Self {
        let data = Data::Wide(Arc::new(Array { shape: vec![0], data: vec![] }));
        Self::Ints(Ints { kind: Element::I64, data })
    }

    /// The number of numbers.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Floats(tensor) => tensor.len(),
            Self::Ints(ints) => ints.len(),
        }
    }

    /// The type of the numbers.
    pub fn element(&self) -> Element {
        match self {
            Self::Floats(_) => Element::F32,
            Self::Ints(ints) => ints.kind,
        }
    }

    /// The floats, row-major. Waits for the device; native only.
    ///
    /// # Errors
    /// [`Error::Option`] if these are integers; as [`Tensor::to_vec`].
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        match self {
            Self::Floats(tensor) => tensor.to_vec(),
            Self::Ints(ints) => Err(is_not("floats", ints.kind)),
        }
    }

    /// The booleans, row-major.
    ///
    /// # Errors
    /// [`Error::Option`] if these are other numbers.
    pub fn to_bool(&self) -> Result<Vec<bool>> {
        match self {
            Self::Ints(ints) if ints.kind == Element::Bool => {
                Ok(ints.values().iter().map(|&value| value != 0).collect())
            }
            _ => Err(is_not("booleans", self.element())),
        }
    }

    /// The integers, row-major; of booleans 0 and 1.
    ///
    /// # Errors
    /// [`Error::Option`] if these are floats, or one is 2^63 or more, as [`Element::U64`] may be.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        match self {
            Self::Floats(_) => Err(is_not("integers", Element::F32)),
            Self::Ints(ints) => {
                let values = ints.values().into_owned();
                // They lie as integers with a sign do.
                match values.iter().find(|&&value| ints.kind == Element::U64 && value < 0) {
                    None => Ok(values),
                    Some(&value) => Err(Error::Option {
                        option: "Value",
                        found: format!("a u64 of {}", value as u64),
                        expected: "integers below 2^63, which an i64 holds".into(),
                    }),
                }
            }
        }
    }
}

fn is_not(expected: &str, found: Element) -> Error {
    Error::Option { option: "Value", found: format!("of {found}"), expected: expected.into() }
}

fn checked(op: &'static str, shape: Vec<usize>, found: usize) -> Result<Vec<usize>> {
    let expected = count(&shape);
    match expected == found {
        true => Ok(shape),
        false => Err(Error::Count { op, shape, expected, found }),
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Floats(tensor)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Floats(tensor) => tensor.fmt(f),
            Self::Ints(ints) => ints.fmt(f),
        }
    }
}

impl fmt::Debug for Ints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ints({} {:?})", self.kind, self.shape())
    }
}
