//! Graphs of ONNX.

mod chain;
mod dksplit;
mod exporters;
mod hostile;
mod models;
mod nodes;
mod records;
mod silero;
