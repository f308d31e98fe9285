//! Models of other libraries.

#[path = "../common/mod.rs"]
mod common;
mod keras;
mod pytorch;
mod uses;
mod onnx;
#[path = "onnx/export/mod.rs"]
mod onnx_export;
