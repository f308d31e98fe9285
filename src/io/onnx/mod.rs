//! ONNX: models of other libraries, run as they are, or taken over as a [`Sequential`](crate::Sequential).
//!
//! [`Model`] runs a graph with the operators that exporters write around LSTMs, on either device. A graph that is a
//! chain of layers becomes a model that can be trained further by [`Model::to_sequential`].

mod export;
mod import;

pub use export::Export;
pub use import::{Axis, Element, Ints, Model, TensorInfo, Value};
