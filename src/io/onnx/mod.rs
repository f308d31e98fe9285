//! ONNX.

mod import;

pub use import::{Axis, Element, Ints, Model, TensorInfo, Value};
