//! A wavefront over stacked layers: while a layer takes one part of the timesteps, the layer above
//! takes the part before, in the same dispatch, so L layers take K + L - 1 parts' time instead of K L. In
//! the backward pass the layer below takes the part behind, whose gradients it was just given.
//!
//! The frames of a part follow each other: `[K,B,T/K,..]`. The gates of all layers, their outputs and
//! their states lie in one buffer each, so a turn is a launch of [`super::lanes`] whose lanes are
//! layers, from one's part to the part before of the next.

use super::backward::last_states;
use super::chunks::Chunk;
use super::forward::SavedChunk;
use super::lanes::{States, Strided};
use super::pass::{Pass, Segment, input_product};
use super::schedule::{Rows, sequence};
use super::task::Task;
use crate::device::gpu::Gpu;
use crate::ops::frames::swap_axes::{swap_axes_into, swapped};
use crate::ops::gemm::Matrix;
use crate::ops::lstm::{Backward, Columns, Forward, GradRequest, InputGrads, Output, Sizes};
use crate::{Result, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// How a stack goes as a wavefront.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    /// Parts of the timesteps.
    pub(crate) parts: usize,
    /// Rows that a workgroup takes.
    pub(crate) rows: Rows,
}

/// The turns of a wavefront: the layers that take a part, and the part that the first of them takes; each
/// layer above takes the one before.
fn turns(
    layers: usize,
    parts: usize,
) -> impl DoubleEndedIterator<Item = (Range<usize>, usize)> + use<> {
    (0..parts + layers - 1).map(move |turn| {
        let first = turn.saturating_sub(parts - 1);
        (first..layers.min(turn + 1), turn - first)
    })
}

/// What the layers of a stack have side by side, for all timesteps.
struct Stack {
    gates: Strided,
    /// h and c before each step, as a [`Segment`] has them.
    before: [Option<Strided>; 2],
    /// The outputs, or their gradients.
    ys: Strided,
    /// The first part.
    chunk: Chunk,
    /// Rows that a workgroup takes.
    rows: Rows,
}

impl Stack {
    /// Runs the recurrence of a turn.
    fn run(&self, pass: &Pass<'_>, layers: &Range<usize>, part: usize, state: bool) -> Result<()> {
        let hidden_size = pass.task.hidden_size;
        let of = |all: &Strided, width| all.diagonal(layers, part, self.chunk.frames * width);
        let y = of(&self.ys, hidden_size).tensor;
        let segment = Segment {
            pass: &pass.lanes(layers),
            chunk: self.chunk,
            gates: &of(&self.gates, 4 * hidden_size),
            before: &self.before.each_ref().map(|all| Some(of(all.as_ref()?, hidden_size))),
            y: Some(Columns {
                tensor: &y.reshape([y.len() / hidden_size, hidden_size])?,
                first: 0,
            }),
            state_before: state,
            input: None,
            // A unit reads its state before it writes it, and nobody else does.
            pairs: [0, 0],
        };
        sequence::run(&segment, self.rows)
    }
}

/// The parts of the timesteps, whose frames follow each other.
fn part(sizes: Sizes, parts: usize, number: usize) -> Chunk {
    let Sizes { batch, timesteps, .. } = sizes;
    let (steps, frames) = (timesteps / parts, batch * timesteps / parts);
    let (first_step, first_frame) = (number * steps, number * frames);
    Chunk { first_row: 0, rows: batch, first_step, steps, first_frame, frames }
}

/// Runs the layers, each of which is the input of the next; `sizes` are the first one's. Gives the last
/// one's outputs, too.
pub(crate) fn forward(
    gpu: &Arc<Gpu>,
    calls: &[Forward<'_>],
    sizes: Sizes,
    Cut { parts, rows }: Cut,
) -> Result<(Vec<Output>, Tensor)> {
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let (first, layers, columns) = (&calls[0], calls.len(), 4 * hidden_size);
    let chunk @ Chunk { steps, frames, .. } = part(sizes, parts, 0);
    let task = Task { timesteps: steps, ..Task::forward(calls, sizes) };
    let x = swapped(first.x, [batch, parts, steps * input_size])?;
    let states = States::new(layers, 2, sizes, &x.device())?;
    let pass = Pass { stack: true, ..Pass::forward(gpu, task, calls, states)? };
    if first.state.is_none() {
        pass.states.tensor.fill(0.0)?;
    }
    for (layer, call) in calls.iter().enumerate() {
        if let Some(state) = call.state {
            pass.states.set(layer, 0, state)?;
        }
    }
    let gates = Strided::empty(gpu, task.half, layers, parts * frames * columns)?;
    let values = || Strided::empty(gpu, false, layers, parts * frames * hidden_size);
    let (ys, kept) = (values()?, || first.save.then(values).transpose());
    let stack = Stack { gates, before: [kept()?, kept()?], ys, chunk, rows };
    let Stack { gates, ys, .. } = &stack;
    input_product((&x, 0), parts * frames, first.weights, (gates, 0))?;
    for (running, part) in turns(layers, parts) {
        for layer in running.clone().filter(|&layer| layer > 0) {
            let below = ys.lane(layer - 1, [parts * frames, hidden_size]);
            let first_frame = (part + running.start - layer) * frames;
            let at = layer * gates.stride + first_frame * columns;
            input_product((&below, first_frame), frames, calls[layer].weights, (gates, at))?;
        }
        stack.run(&pass, &running, part, true)?;
    }
    let output = |(layer, call): (usize, &Forward<'_>)| {
        let gates = (!call.config.recompute).then_some(gates);
        let kept = |number| {
            let at = (layer, number, part(sizes, parts, number));
            SavedChunk::of(at, hidden_size, gates, &stack.before)
        };
        let (x, input_size) = match layer {
            0 => (x.clone(), input_size),
            _ => (ys.lane(layer - 1, [batch, timesteps, hidden_size]), hidden_size),
        };
        let sizes = Sizes { input_size, ..sizes };
        call.output(
            sizes,
            &x,
            pass.states.pair(layer, 0),
            ((0..parts).filter_map(kept).collect(), parts),
        )
    };
    let outputs = calls.iter().enumerate().map(output).collect();
    let last = ys.lane(layers - 1, [batch, timesteps, hidden_size]);
    let y = swapped(&last, [parts, batch, steps * hidden_size])?;
    Ok((outputs, y.reshape([batch, timesteps, hidden_size])?))
}

/// In how many parts layers lie that went forward as a wavefront and kept their gates; the gates and c before
/// each step, side by side.
pub(crate) fn saved(passes: &[Backward<'_>]) -> Option<(usize, [Strided; 2])> {
    let layers = passes.len();
    let chunks = |layer: usize| match passes[layer].saved.chunks() {
        ([first, ..], parts) if parts > 1 => Some((first, parts)),
        _ => None,
    };
    let saved: Vec<(&SavedChunk, usize)> = (0..layers).map(chunks).collect::<Option<_>>()?;
    let &[(SavedChunk { gates: Some(kept), .. }, parts), _, ..] = &saved[..] else { return None };
    let gates = Strided::view(layers, |layer| saved[layer].0.gates.as_ref().unwrap_or(kept))?;
    Some((parts, [gates, Strided::view(layers, |layer| &saved[layer].0.c_before)?]))
}

/// Differentiates the layers, the first of which has x.
pub(crate) fn backward(
    gpu: &Arc<Gpu>,
    passes: &[Backward<'_>],
    wanted: GradRequest,
    (parts, [gates, c_before]): (usize, [Strided; 2]),
    rows: Rows,
) -> Result<Vec<InputGrads>> {
    let (first, layers) = (&passes[0], passes.len());
    let Sizes { batch, timesteps, input_size, hidden_size } = first.saved.sizes;
    let (columns, device) = (4 * hidden_size, first.saved.x.device());
    let chunk @ Chunk { steps, frames, .. } = part(first.saved.sizes, parts, 0);
    let task = Task { timesteps: steps, ..Task::backward(layers, &first.saved) };

    let d_states = last_states(passes, first.saved.sizes)?;
    // The gradients of each layer's outputs, in the order of the parts.
    let d_ys = Strided::empty(gpu, false, layers, parts * frames * hidden_size)?;
    let of_last = d_ys.lane(layers - 1, [parts, batch, steps * hidden_size]);
    match passes[layers - 1].arriving.d_y {
        Some(d_y) => {
            swap_axes_into(&d_y.tensor.reshape([batch, parts, steps * hidden_size])?, &of_last)?;
        }
        None => of_last.fill(0.0)?,
    }
    let pass = Pass { stack: true, ..Pass::backward(gpu, task, passes, d_states)? };
    let stack = Stack { gates, before: [None, Some(c_before)], ys: d_ys, chunk, rows };
    let d_a = |layer: usize| stack.gates.lane(layer, [parts * frames, columns]);
    for (running, part) in turns(layers, parts).rev() {
        for layer in running.clone().filter(|layer| layer + 1 < layers) {
            // From the layer above, which took this part in the turn before.
            let above = layer + 1;
            let first_frame = (part + running.start - layer) * frames;
            let d_y = stack.ys.lane(layer, [parts * frames, hidden_size]);
            let d_y = Matrix::new(&d_y, hidden_size).skip(first_frame * hidden_size);
            let d_a = (&d_a(above), first_frame * columns);
            passes[above].input_gradient(d_a, d_y, frames, false)?.add_up()?;
        }
        stack.run(&pass, &running, part, wanted.d_state || part > 0)?;
    }
    for (layer, own) in passes.iter().enumerate() {
        let Some(first) = own.saved.chunks().0.first() else { continue };
        let h_before = first.h_before.view(0, [parts * frames, hidden_size]);
        own.add_weights(0, &h_before, &d_a(layer), None)?;
    }
    pass.add_peepholes(passes)?;
    let mut d_x = None;
    if wanted.d_x {
        let all = Tensor::empty([parts, batch, steps * input_size], &device)?;
        let to = Matrix::new(&all, input_size);
        first.input_gradient((&d_a(0), 0), to, parts * frames, false)?.add_up()?;
        let all = swapped(&all, [parts, batch, steps * input_size])?;
        d_x = Some(all.reshape([batch, timesteps, input_size])?);
    }
    Ok(pass.leaving(d_x, wanted))
}
