//! Graphs of ONNX.

mod build;
mod chain;
mod dksplit;
mod exporters;
mod graphs;
mod hostile;
mod models;
mod nodes;
mod records;
mod silero;
mod work;
