//! Models of other libraries.

#[path = "../common/mod.rs"]
mod common;
mod fuzz;
mod keras;
mod onnx;
#[path = "onnx/export/mod.rs"]
mod onnx_export;
mod pytorch;
mod uses;
