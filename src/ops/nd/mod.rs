//! Ops on tensors of any number of axes, as graphs are made of that other programs wrote: no tape, and of the layers
//! of this crate few call them. [`host`] has the same of arrays of any type on the host, for shapes and constants.
//!
//! Tensors are of f32; a boolean is 1 or 0, and anything but 0 is true. An axis may be empty, and a tensor may have
//! no axes, which is one number. Once axes that lie together are joined, eight are left at most; more are
//! [`Error::Rank`](crate::Error::Rank). Whatever places, sizes and axes a graph gives are checked here, so that no
//! kernel gets any that lead out of a tensor.
//!
//! A tensor is always dense. What only renames axes is [`Tensor::reshape`], and all else that moves numbers by
//! strides is [`strided`], which shares them where nothing moves.
#![cfg_attr(
    not(feature = "onnx"),
    allow(dead_code, unused_imports, reason = "graphs of ONNX call it, by that feature")
)]

pub(crate) mod binary;
mod copy;
mod few_rows;
mod functions;
mod gather;
pub(crate) mod host;

mod norms;
mod products;
pub(crate) mod reduce;
pub(crate) mod scan;
mod scatter;
mod search;
pub(crate) mod strided;
pub(crate) mod take;
pub(crate) mod ternary;
pub(crate) mod unary;
mod walk;

pub(crate) use binary::{Binary, binary};
pub(crate) use copy::{PadMode, concat, pad, reverse_sequence, split, trilu};
pub(crate) use gather::{gather, gather_elements, gather_nd, one_hot};
pub(crate) use norms::{batch_norm, instance_norm, layer_norm, log_softmax, softmax};
pub(crate) use products::{gemm, matmul};
pub(crate) use reduce::{Reduce, reduce};
pub(crate) use scan::cum_sum;
pub(crate) use scatter::{Scatter, scatter_elements, scatter_nd};
pub(crate) use search::{arg_max, arg_min, top_k};
pub(crate) use strided::{SliceAxis, expand, flip, slice, strided, transpose};
pub(crate) use ternary::{multiply_add, select};
pub(crate) use unary::{Unary, unary};
pub(crate) use walk::broadcast;

use crate::device::gpu::Gpu;
use crate::device::kernel::{Constant, Kernel, Wgsl, folded, shared, wgsl};
use crate::ops::common::Launch;
use crate::{Result, Tensor};

/// What kernels have in common that go by a [`walk::Walk`].
const WALK: Wgsl = wgsl!("nd/parts/walk.wgsl");

/// Launches a kernel on each place of a walk, which has at least one.
fn launch(
    gpu: &Gpu,
    kernel: &'static Kernel,
    constants: &[Constant],
    uniform: &[u32; walk::WORDS],
    tensors: &[Option<&Tensor>],
) -> Result<()> {
    let grid = folded(shared(gpu, (uniform[0] as usize).div_ceil(64)));
    gpu.run(&Launch { kernel, grid, constants, uniform, tensors })
}
