//! Models of other libraries.

#[path = "../common/mod.rs"]
mod common;
mod onnx;
