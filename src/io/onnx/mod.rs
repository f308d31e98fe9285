//! ONNX.

mod export;
mod import;

pub use export::Export;
pub use import::{Axis, Element, Ints, Model, TensorInfo, Value};
