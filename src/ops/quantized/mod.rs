//! Products of 8-bit integers, for inference: weights quantised by row, once; activations at run time; sums in 32 bits.
//!
//! w ≈ s_w q_w            q_w: i8, s_w of each output
//! x ≈ s_x (q_x - z_x)    q_x: u8, s_x and z_x of each row (or of a tensor, as ONNX has it)
//! w x ≈ s_x s_w (Σ q_x q_w - z_x Σ q_w)
//!
//! With one row a product is bound by reading the weights, which are a quarter of those in 32 bits.

pub(crate) mod call;
pub(crate) mod dense;
pub(crate) mod dot;
#[cfg_attr(not(feature = "onnx"), allow(dead_code, reason = "of graphs of ONNX"))]
pub(crate) mod dynamic_lstm;
pub(crate) mod gpu;
pub(crate) mod layer;
pub(crate) mod lines;
pub(crate) mod matrix;
#[cfg_attr(not(feature = "onnx"), allow(dead_code, reason = "of graphs of ONNX"))]
pub(crate) mod onnx;
pub(crate) mod product;
pub(crate) mod recurrence;
pub(crate) mod rows;
mod team;

#[cfg(test)]
mod tests;
