//! An LSTM layer over a whole sequence: the op, its arguments, its results.
//!
//! Inside, the four gates of a unit lie side by side in the order i, f, g, o: `weight_ih` is
//! `[I,H,4]`, `weight_hh` `[H,H,4]` (from, to), `bias` and `peepholes` `[H,4]`.

pub(crate) mod cell;
mod cpu;
pub(crate) mod gpu;
pub(crate) mod norm;
pub(crate) mod select;

use crate::check::Check;
use crate::device::gpu::Gpu;
use crate::ops::gemm;
use crate::{DType, Error, Lengths, Result, Tensor};
use cell::{Cell, Noise};
pub(crate) use cpu::{Stack, StackLayer};
use gpu::chunks;
use gpu::task::Task;
pub(crate) use gpu::wavefront::Cut;
pub use select::Strategy;
pub(crate) use select::{Asked, cut_stack, explain};
use std::sync::Arc;

/// The parameters of a layer, or their gradients.
#[derive(Clone)]
pub(crate) struct Weights {
    pub(crate) weight_ih: Tensor,
    pub(crate) weight_hh: Tensor,
    pub(crate) bias: Option<Tensor>,
    /// `[H,4]`: i, f and o of each unit; g has none, and is 0.
    pub(crate) peepholes: Option<Tensor>,
}

impl Weights {
    /// Whether the products are to be made from numbers of 16 bits: those of the weights, not of
    /// the bias and the peepholes.
    fn is_half(&self) -> bool {
        self.weight_hh.dtype() == DType::F16
    }
}

/// The sizes of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) batch: usize,
    pub(crate) timesteps: usize,
    pub(crate) input_size: usize,
    pub(crate) hidden_size: usize,
}

/// Some columns of `[B,T,..]`, or of what is packed, `[frames,..]`: one direction's of a layer that has two.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) tensor: &'a Tensor,
    pub(crate) first: usize,
}

impl Columns<'_> {
    /// Words from one frame to the next.
    pub(super) fn stride(self) -> usize {
        self.tensor.shape().last().copied().unwrap_or_default()
    }

    /// Whether these are packed, if rows have lengths.
    pub(super) fn is_packed(self) -> bool {
        self.tensor.shape().len() == 2
    }
}

/// What a layer computes, beside its sizes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CellConfig {
    pub(crate) cell: Cell,
    /// Whether it goes from each row's last step to its first.
    pub(crate) reverse: bool,
    pub(crate) strategy: Strategy,
    /// Whether a backward pass computes the gates anew, instead of finding them saved.
    pub(crate) recompute: bool,
    pub(crate) noise: Noise,
}

/// The arguments of a forward pass of one direction.
pub(crate) struct Forward<'a> {
    /// `[B,T,I]`; with lengths also packed, `[frames,I]` in the order of their table.
    pub(crate) x: &'a Tensor,
    pub(crate) weights: &'a Weights,
    /// The steps of each row that are run, if not all; of some rows there may be none.
    pub(crate) lengths: Option<&'a Lengths>,
    /// h and c before the first timestep, each `[B,H]`; zeros without.
    pub(crate) state: Option<(&'a Tensor, &'a Tensor)>,
    /// Where the outputs go, if they are wanted: `[B,T,..]`, where nothing is written past a row's length, or,
    /// with lengths, packed.
    pub(crate) y: Option<Columns<'a>>,
    /// Whether a backward pass will follow.
    pub(crate) save: bool,
    pub(crate) config: CellConfig,
}

impl Forward<'_> {
    /// Whether the input comes without padding.
    fn is_packed(&self) -> bool {
        self.lengths.is_some() && self.x.shape().len() == 2
    }
}

/// What a forward pass of one direction gives.
pub(crate) struct Output {
    /// `[B,H]`, after each row's last timestep.
    pub(crate) h_n: Tensor,
    pub(crate) c_n: Tensor,
    pub(crate) saved: Option<Saved>,
}

/// What the backward pass of one direction needs.
pub(crate) struct Saved {
    sizes: Sizes,
    /// Without padding: `[frames,I]`.
    x: Tensor,
    /// Whether x came without padding, and its gradient goes so.
    packed: bool,
    weights: Weights,
    lengths: Option<Lengths>,
    config: CellConfig,
    steps: SavedSteps,
}

/// The values of every timestep, as each device has them.
enum SavedSteps {
    Gpu {
        chunks: Vec<gpu::forward::SavedChunk>,
        /// In how many parts the timesteps lie: see [`gpu::wavefront`].
        parts: usize,
    },
    Cpu(Box<cpu::SavedBatch>),
}

/// The gradients that reach a layer, each as large as its value.
#[derive(Clone, Copy, Default)]
pub(crate) struct OutputGrads<'a> {
    pub(crate) d_y: Option<Columns<'a>>,
    pub(crate) d_h_n: Option<&'a Tensor>,
    pub(crate) d_c_n: Option<&'a Tensor>,
}

/// A backward pass of one direction: what was saved, and where the gradients of its weights are added.
pub(crate) struct Backward<'a> {
    pub(crate) saved: Saved,
    pub(crate) arriving: OutputGrads<'a>,
    pub(crate) gradients: &'a Weights,
}

/// The gradients that leave a direction.
pub(crate) struct InputGrads {
    /// A part of the input's gradient, which is the sum of what all directions give.
    pub(crate) d_x: Option<Tensor>,
    pub(crate) d_state: Option<(Tensor, Tensor)>,
}

/// The gradients that are wanted: of the input, of the first states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GradRequest {
    pub(crate) d_x: bool,
    pub(crate) d_state: bool,
}

/// Whether a layer with weights of 16 bits, and their products, were seen right on this device.
pub(crate) fn has_half(gpu: &Arc<Gpu>) -> bool {
    gemm::has_half(gpu) && gpu.is_trusted(&select::self_check::HALF)
}

/// Runs the directions of a layer: a GPU in the same dispatches, where it can. They differ only in
/// weights, in states, in columns of `y`, which follow each other, in the order of the steps and in random
/// numbers.
pub(crate) fn forward(calls: &[Forward<'_>]) -> Result<Vec<Output>> {
    let sizes = calls.iter().map(check).collect::<Result<Vec<_>>>()?;
    let (Some(call), Some(&first)) = (calls.first(), sizes.first()) else { return Ok(vec![]) };
    let Some(gpu) = call.x.gpu() else {
        let each = calls.iter().zip(sizes);
        return each.map(|(call, size)| call.x.on_threads(|| cpu::forward(call, size))).collect();
    };
    let Some(chunks) = chunks::together(gpu, calls, &sizes)? else {
        let alone = calls.chunks(1).map(forward).collect::<Result<Vec<_>>>()?;
        return Ok(alone.into_iter().flatten().collect());
    };
    let task = select::trusted(gpu, Task::forward(calls, first));
    let schedule = select::schedule(gpu, call.config.strategy, task)?;
    gpu::forward::forward_with(gpu, calls, &sizes, chunks, schedule)
}

/// Differentiates the directions of a layer: adds to the gradients of the weights, returns the others.
pub(crate) fn backward(passes: Vec<Backward<'_>>, wanted: GradRequest) -> Result<Vec<InputGrads>> {
    let Some(Backward { saved, .. }) = passes.first() else { return Ok(vec![]) };
    let Some(gpu) = saved.x.gpu().cloned() else {
        let alone = |pass: Backward<'_>| {
            let x = pass.saved.x.clone();
            x.on_threads(|| cpu::backward(pass.saved, pass.arriving, pass.gradients, wanted))
        };
        return passes.into_iter().map(alone).collect();
    };
    if passes.len() > 1 && !gpu::backward::saved_together(&passes) {
        let alone = passes.into_iter().map(|pass| backward(vec![pass], wanted));
        return Ok(alone.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect());
    }
    let task = Task::backward(passes.len(), saved);
    let schedule = select::schedule(&gpu, saved.config.strategy, task)?;
    gpu::backward::backward_with(&gpu, passes, wanted, schedule)
}

/// Runs layers, each of which is the input of the next, as a wavefront, and gives the last one's outputs,
/// too; none of them if an argument is wrong, which whoever runs them alone explains.
pub(crate) fn forward_stack(
    calls: &[Forward<'_>],
    cut: Cut,
) -> Result<Option<(Vec<Output>, Tensor)>> {
    let [first, above @ ..] = calls else { return Ok(None) };
    let (Some(gpu), Ok(sizes)) = (first.x.gpu(), check(first)) else { return Ok(None) };
    let fits = |state: &Tensor| {
        let numbers = state.dtype() == DType::F32 && state.device().same(&first.x.device());
        numbers && state.shape() == [sizes.batch, sizes.hidden_size]
    };
    if above.iter().filter_map(|call| call.state).any(|(h, c)| !fits(h) || !fits(c)) {
        return Ok(None);
    }
    gpu::wavefront::forward(gpu, calls, sizes, cut).map(Some)
}

/// Differentiates layers that went forward as a wavefront, of which the last one's outputs alone have
/// gradients: as a wavefront, or from the last to the first. The first one's alone leaves d_x.
pub(crate) fn backward_stack(
    passes: Vec<Backward<'_>>,
    wanted: GradRequest,
) -> Result<Vec<InputGrads>> {
    if let (Some(saved), [first, ..]) = (gpu::wavefront::saved(&passes), &passes[..])
        && let Some(gpu) = first.saved.x.gpu()
        && let Some(rows) = select::stack_rows_back(gpu, &first.saved)?
    {
        return gpu::wavefront::backward(gpu, &passes, wanted, saved, rows);
    }
    let mut d_y: Option<Tensor> = None;
    let mut leaving = Vec::new();
    for (layer, mut pass) in passes.into_iter().enumerate().rev() {
        if let Some(tensor) = &d_y {
            pass.arriving.d_y = Some(Columns { tensor, first: 0 });
        }
        let wanted = GradRequest { d_x: wanted.d_x || layer > 0, ..wanted };
        for mut one in backward(vec![pass], wanted)? {
            d_y = if layer > 0 { one.d_x.take() } else { None };
            leaving.push(one);
        }
    }
    leaving.reverse();
    Ok(leaving)
}

fn check(call: &Forward<'_>) -> Result<Sizes> {
    let check = Check::new("lstm", "the layer was built for that input_size");
    check.dtype("x", call.x, DType::F32)?;
    let [built_for, hidden_size, _] =
        check.dims("weight_ih", &call.weights.weight_ih, "[I,H,4]")?;
    let [batch, timesteps, input_size] = match call.lengths {
        Some(lengths) if call.is_packed() => {
            check.dims::<2>("x", call.x, "[frames,I]")?;
            check.shape("x", call.x, "[frames,I]", &[lengths.frames(), built_for])?;
            [lengths.values().len(), lengths.longest(), built_for]
        }
        _ => check.dims("x", call.x, "[B,T,I]")?,
    };
    if !call.is_packed() {
        check.shape("x", call.x, "[B,T,I]", &[batch, timesteps, built_for])?;
    }
    // What a caller can move are these, not the weights.
    let mut others = vec![("x", call.x)];
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
    check.device(&call.weights.weight_ih, &others)?;
    // The shaders count in 32 bits.
    let words = batch.saturating_mul(timesteps).saturating_mul(hidden_size.max(input_size));
    if words > u32::MAX as usize {
        let (bytes, limit) = (4 * words as u64, 4 * u64::from(u32::MAX));
        return Err(Error::TooLarge { what: "a batch", bytes, limit });
    }
    Ok(Sizes { batch, timesteps, input_size, hidden_size })
}
