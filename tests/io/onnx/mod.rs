//! Graphs of ONNX.

mod nodes;
mod records;
mod silero;
