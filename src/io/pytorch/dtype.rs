//! The types of numbers that PyTorch has, by its names.

use crate::io::Number;

/// A type of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DType {
    /// As PyTorch calls it.
    pub(super) name: &'static str,
    /// The bytes of one.
    pub(super) size: usize,
    /// How it is read; `None` if it is not.
    pub(super) number: Option<Number>,
}

const fn read(name: &'static str, size: usize, number: Number) -> DType {
    DType { name, size, number: Some(number) }
}

const fn other(name: &'static str, size: usize) -> DType {
    DType { name, size, number: None }
}

/// Each with the name of its storage in a pickle, and of its type in a safetensors file.
const ALL: [(DType, &str, &str); 28] = [
    (read("float32", 4, Number::F32), "FloatStorage", "F32"),
    (read("float64", 8, Number::F64), "DoubleStorage", "F64"),
    (read("float16", 2, Number::F16), "HalfStorage", "F16"),
    (read("bfloat16", 2, Number::Bf16), "BFloat16Storage", "BF16"),
    (read("int64", 8, Number::I64), "LongStorage", "I64"),
    (read("int32", 4, Number::I32), "IntStorage", "I32"),
    (read("int16", 2, Number::I16), "ShortStorage", "I16"),
    (read("int8", 1, Number::I8), "CharStorage", "I8"),
    (read("uint8", 1, Number::U8), "ByteStorage", "U8"),
    (read("bool", 1, Number::Bool), "BoolStorage", "BOOL"),
    // Bytes of a type that the tensor itself names.
    (read("uint8", 1, Number::U8), "UntypedStorage", ""),
    (other("uint16", 2), "", "U16"),
    (other("uint32", 4), "", "U32"),
    (other("uint64", 8), "", "U64"),
    (other("complex32", 4), "ComplexHalfStorage", ""),
    (other("complex64", 8), "ComplexFloatStorage", "C64"),
    (other("complex128", 16), "ComplexDoubleStorage", ""),
    (other("float8_e4m3fn", 1), "", "F8_E4M3"),
    (other("float8_e5m2", 1), "", "F8_E5M2"),
    (other("float8_e4m3fnuz", 1), "", ""),
    (other("float8_e5m2fnuz", 1), "", ""),
    (other("float8_e8m0fnu", 1), "", "F8_E8M0"),
    (other("float4_e2m1fn_x2", 1), "", "F4"),
    (other("quint8", 1), "QUInt8Storage", ""),
    (other("qint8", 1), "QInt8Storage", ""),
    (other("qint32", 4), "QInt32Storage", ""),
    (other("quint4x2", 1), "QUInt4x2Storage", ""),
    (other("quint2x4", 1), "QUInt2x4Storage", ""),
];

/// A type that no table has.
pub(super) const UNKNOWN: DType = other("a type that is not known", 1);

impl DType {
    /// By PyTorch's name, such as `float16`.
    pub(super) fn called(name: &str) -> Option<Self> {
        Self::find(|(dtype, _, _)| dtype.name == name)
    }

    /// By the name of its storage, such as `HalfStorage`.
    pub(super) fn of_storage(name: &str) -> Option<Self> {
        Self::find(|(_, storage, _)| !name.is_empty() && *storage == name)
    }

    /// By the name that safetensors files have, such as `F16`.
    pub(super) fn of_safetensors(name: &str) -> Option<Self> {
        Self::find(|(_, _, other)| !name.is_empty() && *other == name)
    }

    fn find(is: impl Fn(&(Self, &str, &str)) -> bool) -> Option<Self> {
        ALL.iter().find(|entry| is(entry)).map(|(dtype, _, _)| *dtype)
    }
}
