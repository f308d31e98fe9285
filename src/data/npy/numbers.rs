//! The kinds of numbers that numpy writes, and what they are as floats.

use half::f16;

/// A kind of number, by numpy's letters and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    I1,
    I2,
    I4,
    I8,
    U1,
    U2,
    U4,
    U8,
    F2,
    F4,
    F8,
}

impl Kind {
    /// The kind of a type without its first character, such as `f4`.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "b1" => Self::Bool,
            "i1" => Self::I1,
            "i2" => Self::I2,
            "i4" => Self::I4,
            "i8" => Self::I8,
            "u1" => Self::U1,
            "u2" => Self::U2,
            "u4" => Self::U4,
            "u8" => Self::U8,
            "f2" => Self::F2,
            "f4" => Self::F4,
            "f8" => Self::F8,
            _ => return None,
        })
    }

    /// Numpy's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I1 => "int8",
            Self::I2 => "int16",
            Self::I4 => "int32",
            Self::I8 => "int64",
            Self::U1 => "uint8",
            Self::U2 => "uint16",
            Self::U4 => "uint32",
            Self::U8 => "uint64",
            Self::F2 => "float16",
            Self::F4 => "float32",
            Self::F8 => "float64",
        }
    }

    /// The bytes of a number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool | Self::I1 | Self::U1 => 1,
            Self::I2 | Self::U2 | Self::F2 => 2,
            Self::I4 | Self::U4 | Self::F4 => 4,
            Self::I8 | Self::U8 | Self::F8 => 8,
        }
    }

    /// Hands on each number of some bytes.
    pub(super) fn decode<N: Number>(
        self,
        big_endian: bool,
        bytes: &[u8],
        give: &mut impl FnMut(N),
    ) {
        match self {
            Self::Bool => each(bytes, big_endian, |[b]| give(N::of_i64(i64::from(b != 0)))),
            Self::I1 => each(bytes, big_endian, |b| give(N::of_i64(i8::from_le_bytes(b).into()))),
            Self::I2 => each(bytes, big_endian, |b| give(N::of_i64(i16::from_le_bytes(b).into()))),
            Self::I4 => each(bytes, big_endian, |b| give(N::of_i64(i32::from_le_bytes(b).into()))),
            Self::I8 => each(bytes, big_endian, |b| give(N::of_i64(i64::from_le_bytes(b)))),
            Self::U1 => each(bytes, big_endian, |b| give(N::of_u64(u8::from_le_bytes(b).into()))),
            Self::U2 => each(bytes, big_endian, |b| give(N::of_u64(u16::from_le_bytes(b).into()))),
            Self::U4 => each(bytes, big_endian, |b| give(N::of_u64(u32::from_le_bytes(b).into()))),
            Self::U8 => each(bytes, big_endian, |b| give(N::of_u64(u64::from_le_bytes(b)))),
            Self::F2 => each(bytes, big_endian, |b| give(N::of_f64(f16::from_le_bytes(b).into()))),
            Self::F4 => each(bytes, big_endian, |b| give(N::of_f64(f32::from_le_bytes(b).into()))),
            Self::F8 => each(bytes, big_endian, |b| give(N::of_f64(f64::from_le_bytes(b)))),
        }
    }
}

/// Hands on words of `S` bytes, the least byte first.
fn each<const S: usize>(bytes: &[u8], big_endian: bool, mut give: impl FnMut([u8; S])) {
    for &(mut word) in bytes.as_chunks::<S>().0 {
        if big_endian {
            word.reverse();
        }
        give(word);
    }
}

/// What numbers are read as, each rounded once.
pub(super) trait Number: Copy + Default {
    fn of_i64(value: i64) -> Self;
    fn of_u64(value: u64) -> Self;
    /// Of a float of any size: the smaller ones are exact in this.
    fn of_f64(value: f64) -> Self;
}

impl Number for f32 {
    fn of_i64(value: i64) -> Self {
        value as Self
    }

    fn of_u64(value: u64) -> Self {
        value as Self
    }

    fn of_f64(value: f64) -> Self {
        value as Self
    }
}

impl Number for f64 {
    fn of_i64(value: i64) -> Self {
        value as Self
    }

    fn of_u64(value: u64) -> Self {
        value as Self
    }

    fn of_f64(value: f64) -> Self {
        value
    }
}

/// A whole number of 64 bits, or what else was found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whole {
    Is(i64),
    Large(u64),
    Float(f64),
}

impl Default for Whole {
    fn default() -> Self {
        Self::Is(0)
    }
}

impl Number for Whole {
    fn of_i64(value: i64) -> Self {
        Self::Is(value)
    }

    fn of_u64(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Large(value), Self::Is)
    }

    fn of_f64(value: f64) -> Self {
        // The end of the range is a power of 2, which the floats have; its begin, too, is one.
        let end = -(i64::MIN as f64);
        match value.fract() == 0.0 && (-end..end).contains(&value) {
            true => Self::Is(value as i64),
            false => Self::Float(value),
        }
    }
}
