//! Models of other libraries.

mod onnx;
