//! Models of other libraries, read and written: a format a file, each behind a feature.
//!
//! | feature and module | read | written |
//! |---|---|---|
//! | `pytorch` | state dicts and checkpoints: `.safetensors`, `.pt`, `.pth`, TorchScript's tensors | `.safetensors` |
//! | `keras` | models and weights: `.keras`, `.weights.h5`, `.h5`, `.hdf5` | `.keras`, `.weights.h5` |
//! | `onnx` | graphs around LSTMs, run as they are, or as layers if they are a chain of such | every `Sequential` |
//!
//! Foreign names, gate orders and layouts are mapped here and nowhere else.
//!
//! What a file says is believed only as far as its bytes go: nothing asks for more memory than a small multiple of
//! them, and what is damaged is an [`crate::Error::File`] that names the entry.

#[cfg(feature = "keras")]
pub mod keras;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "pytorch")]
pub mod pytorch;
#[cfg(any(feature = "keras", feature = "onnx", feature = "pytorch"))]
#[cfg_attr(
    not(all(feature = "keras", feature = "onnx", feature = "pytorch")),
    allow(dead_code, unused_imports, reason = "each format takes a part")
)]
mod source;

#[cfg(any(feature = "keras", feature = "onnx", feature = "pytorch"))]
#[cfg_attr(
    not(all(feature = "keras", feature = "onnx", feature = "pytorch")),
    allow(dead_code, unused_imports, reason = "each format takes a part")
)]
pub(crate) use source::{Number, Source};
