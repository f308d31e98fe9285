//! ONNX.

mod export;

pub use export::Export;
