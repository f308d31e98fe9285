//! Models of other libraries.

#[path = "onnx/export/mod.rs"]
mod onnx_export;
