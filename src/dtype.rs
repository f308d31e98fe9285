//! The type of a tensor's numbers.

use std::fmt;

/// The type of a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit floats: values, parameters, gradients.
    F32,
    /// 16-bit floats, two to a word: copies for products in mixed precision, on GPUs alone.
    F16,
    /// 32-bit unsigned integers: labels, lengths.
    U32,
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U32 => "u32",
        })
    }
}
