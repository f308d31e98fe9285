//! An LSTM layer over a whole sequence: the op, its arguments, its results.
//!
//! Inside, the four gates of a unit lie side by side in the order i, f, g, o: `weight_ih` is
//! `[I,H,4]`, `weight_hh` `[H,H,4]` (from, to), `bias` `[H,4]`.

mod cpu;
mod gpu;
pub(crate) mod plan;
pub(crate) mod sequence;
pub(crate) mod stepwise;
pub(crate) mod transpose_gates;

use super::{ACTIVATIONS, Check, product, switches};
use crate::device::kernel::{Access, Constants};
use crate::{DType, Lengths, Result, Tensor};
pub use plan::Strategy;

const CELL: &str = include_str!("../../../shaders/cell/lstm.wgsl");
const FORWARD_PARTS: [&str; 3] =
    [ACTIVATIONS, CELL, include_str!("../../../shaders/common/lstm_forward.wgsl")];
const BACKWARD_PARTS: [&str; 3] =
    [ACTIVATIONS, CELL, include_str!("../../../shaders/common/lstm_backward.wgsl")];

const FORWARD_BINDINGS: &[(&str, Access)] = &[
    ("gates", Access::Write),
    ("r", Access::Read),
    ("h_before", Access::Write),
    ("c_before", Access::Write),
    ("y", Access::Write),
    ("lengths", Access::Read),
    ("state_in", Access::Read),
    ("state_out", Access::Write),
];
const BACKWARD_BINDINGS: &[(&str, Access)] = &[
    ("gates", Access::Write),
    ("rt", Access::Read),
    ("c_before", Access::Read),
    ("d_y", Access::Read),
    ("lengths", Access::Read),
    ("d_state", Access::Write),
];

/// The constants that both schedules share.
fn lstm_variants(forward: bool) -> Vec<Constants> {
    let both = switches(["SEQUENCES", "LENGTHS"]);
    if forward { product(switches(["SAVE", "INITIAL"]), &both) } else { both }
}

/// The parameters of a layer, or their gradients.
#[derive(Clone)]
pub(crate) struct Weights {
    pub(crate) weight_ih: Tensor,
    pub(crate) weight_hh: Tensor,
    pub(crate) bias: Tensor,
}

/// The sizes of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) batch: usize,
    pub(crate) timesteps: usize,
    pub(crate) input_size: usize,
    pub(crate) hidden_size: usize,
}

/// The arguments of a forward pass.
pub(crate) struct Forward<'a> {
    /// `[B,T,I]`.
    pub(crate) x: &'a Tensor,
    pub(crate) weights: &'a Weights,
    pub(crate) lengths: Option<&'a Lengths>,
    /// h and c before the first timestep, each `[B,H]`; zeros without.
    pub(crate) state: Option<(&'a Tensor, &'a Tensor)>,
    /// Whether `y` is wanted.
    pub(crate) sequences: bool,
    /// Whether a backward pass will follow.
    pub(crate) save: bool,
    pub(crate) strategy: Strategy,
}

/// What a forward pass gives.
pub(crate) struct Output {
    /// `[B,T,H]`, zero past a row's length.
    pub(crate) y: Option<Tensor>,
    /// `[B,H]`, after each row's last timestep.
    pub(crate) h_n: Tensor,
    pub(crate) c_n: Tensor,
    pub(crate) saved: Option<Saved>,
}

/// What the backward pass needs.
pub(crate) struct Saved {
    sizes: Sizes,
    x: Tensor,
    weights: Weights,
    lengths: Option<Lengths>,
    strategy: Strategy,
    steps: SavedSteps,
}

/// The values of every timestep, as each device has them.
enum SavedSteps {
    Gpu(Vec<gpu::SavedChunk>),
    Cpu(cpu::SavedBatch),
}

/// The gradients that reach a layer, each as large as its value.
#[derive(Clone, Copy, Default)]
pub(crate) struct Arriving<'a> {
    pub(crate) d_y: Option<&'a Tensor>,
    pub(crate) d_h_n: Option<&'a Tensor>,
    pub(crate) d_c_n: Option<&'a Tensor>,
}

/// The gradients that leave it.
pub(crate) struct Leaving {
    pub(crate) d_x: Option<Tensor>,
    pub(crate) d_state: Option<(Tensor, Tensor)>,
}

/// Which of those are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) d_x: bool,
    pub(crate) d_state: bool,
}

/// Runs a layer.
pub(crate) fn forward(call: &Forward<'_>) -> Result<Output> {
    let sizes = check(call)?;
    if call.x.gpu().is_some() { gpu::forward(call, sizes) } else { cpu::forward(call, sizes) }
}

/// Differentiates it: adds to the gradients of the weights, returns the others.
pub(crate) fn backward(
    saved: Saved,
    arriving: Arriving<'_>,
    gradients: &Weights,
    wanted: Wanted,
) -> Result<Leaving> {
    if saved.x.gpu().is_some() {
        gpu::backward(saved, arriving, gradients, wanted)
    } else {
        cpu::backward(saved, arriving, gradients, wanted)
    }
}

fn check(call: &Forward<'_>) -> Result<Sizes> {
    let check = Check::new("lstm", "the layer was built for that input_size");
    check.dtype("x", call.x, DType::F32)?;
    let [batch, timesteps, input_size] = check.dims("x", call.x, "[B,T,I]")?;
    let [built_for, hidden_size, _] =
        check.dims("weight_ih", &call.weights.weight_ih, "[I,H,4]")?;
    check.shape("x", call.x, "[B,T,I]", &[batch, timesteps, built_for])?;
    let mut others = vec![("weight_ih", &call.weights.weight_ih)];
    if let Some(lengths) = call.lengths {
        others.push(("lengths", &lengths.tensor));
        lengths.check("lstm", batch, timesteps)?;
    }
    if let Some((h_0, c_0)) = call.state {
        let check = Check::new("lstm", "one state for each row of the batch");
        for (arg, state) in [("h_0", h_0), ("c_0", c_0)] {
            check.dtype(arg, state, DType::F32)?;
            check.shape(arg, state, "[B,H]", &[batch, hidden_size])?;
            others.push((arg, state));
        }
    }
    check.device(call.x, &others)?;
    Ok(Sizes { batch, timesteps, input_size, hidden_size })
}
