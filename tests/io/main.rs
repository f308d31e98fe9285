//! Models of other libraries.

#[path = "../common/mod.rs"]
mod common;
mod keras;
mod pytorch;
mod uses;
mod onnx;
