//! A wavefront over stacked layers: while a layer takes one part of the timesteps, the layer above
//! takes the part before, in the same dispatch, so L layers take K + L - 1 parts' time instead of K L.
//!
//! The frames of a part follow each other: `[K,B,T/K,..]`. The gates of all layers, their outputs and
//! their states lie in one buffer each, so a wave is a launch of [`super::ways`] whose ways are
//! layers, from one's part to the part before of the next.

use super::cell::Cell;
use super::chunks::Chunk;
use super::gpu::{ForwardChunk, Part, SavedChunk, States, input_product, recurrent};
use super::select::{self, Pass, Schedule, Task};
use super::ways::{Beside, Ways, frames_place};
use super::{Columns, Forward, How, Output, Saved, SavedSteps, Sizes, Strategy, Weights};
use super::{check, sequence};
use crate::device::gpu::Gpu;
use crate::lengths::Counted;
use crate::ops::copy::copy;
use crate::ops::fill::fill;
use crate::ops::swap_axes::swap_axes;
use crate::{DType, Result, Tensor};

/// Layers of one size, each the input of the next, with nothing between them.
pub(crate) struct Stack<'a> {
    /// `[B,T,I]`.
    pub(crate) x: &'a Tensor,
    pub(crate) layers: &'a [Weights],
    /// h and c of each layer before the first timestep, each `[B,H]`.
    pub(crate) states: Option<Vec<(&'a Tensor, &'a Tensor)>>,
    pub(crate) save: bool,
    /// Of all layers; forwards, without dice.
    pub(crate) how: How,
}

/// What each layer gives, and the last one's outputs `[B,T,H]`.
pub(crate) struct Stacked {
    pub(crate) outputs: Vec<Output>,
    pub(crate) y: Tensor,
}

/// Timesteps of a part, at least: each costs a product and a dispatch of its own.
const STEPS: usize = 16;
/// Parts, at most.
const PARTS: usize = 8;
/// Workgroups that every hardware GPU runs at once.
const AT_ONCE: usize = 16;

/// How a stack goes.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    /// Of the timesteps.
    parts: usize,
    /// That a workgroup takes.
    rows: select::Rows,
}

/// How `layers` of `hidden_size` go over `x`; none where each does better alone: one that fills the
/// device leaves no room for another.
pub(crate) fn cut(
    x: &Tensor,
    layers: usize,
    hidden_size: usize,
    half: bool,
    how: (Strategy, Cell),
) -> Option<Cut> {
    let &[batch, timesteps, input_size] = x.shape() else { return None };
    let gpu = x.gpu()?;
    let (strategy, cell) = how;
    let forced = gpu.resident.forced().parts;
    let words = gpu.options.chunk_words.unwrap_or((gpu.max_binding() / 4) as usize);
    let can = |parts: usize| {
        timesteps.is_multiple_of(parts)
            && (batch * timesteps / parts).is_multiple_of(frames_place(hidden_size))
            && layers * (batch * timesteps).max(hidden_size + 1) * 4 * hidden_size <= words
    };
    let longest = || (2..=PARTS).rev().find(|&parts| can(parts) && timesteps / parts >= STEPS);
    let parts = forced.map_or_else(longest, Some).filter(|&parts| parts > 1 && can(parts))?;
    let sizes = Sizes { batch, timesteps, input_size, hidden_size };
    // As many rows as a layer alone would take, for the same bits.
    let task = Task::new(Pass::Forward, 1, half, &cell, &Counted::All, sizes);
    // The one strategy that a wavefront has; where another is faster, it is so by more than layers at once.
    let Ok(Schedule::Sequence(rows)) = select::schedule(gpu, strategy, task) else {
        return None;
    };
    idle(gpu, batch, rows).then_some(Cut { parts, rows })
}

/// Whether a layer leaves at least half of the device idle.
pub(super) fn idle(gpu: &Gpu, batch: usize, rows: select::Rows) -> bool {
    let at_once = if gpu.info.software { select::threads(gpu) } else { AT_ONCE };
    gpu.resident.forced().parts.is_some() || 2 * batch.div_ceil(rows.count) <= at_once
}

/// The first part of the timesteps.
pub(super) fn part(rows: usize, steps: usize, frames: usize) -> Chunk {
    Chunk { first_row: 0, rows, first_step: 0, steps, first_frame: 0, frames }
}

/// Runs the layers; none of them if an argument is wrong, which whoever runs them alone explains.
pub(crate) fn forward(stack: &Stack<'_>, cut: Cut) -> Result<Option<Stacked>> {
    let (Some(gpu), [first, ..]) = (stack.x.gpu(), stack.layers) else { return Ok(None) };
    let (x, save, how) = (stack.x, stack.save, stack.how);
    let call = Forward { x, weights: first, steps: &Counted::All, state: None, y: None, save, how };
    let Ok(sizes) = check(&call) else { return Ok(None) };
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let fits = |state: &Tensor| {
        let numbers = state.dtype() == DType::F32 && state.device().same(&x.device());
        numbers && state.shape() == [batch, hidden_size]
    };
    if stack.states.iter().flatten().any(|(h, c)| !fits(h) || !fits(c)) {
        return Ok(None);
    }
    let Cut { parts, rows } = cut;
    let (layers, half) = (stack.layers.len(), first.is_half());
    let (steps, frames) = (timesteps / parts, batch * timesteps / parts);
    let columns = 4 * hidden_size;

    let x = swapped(x, [batch, parts, steps * input_size])?;
    let (r, peepholes) = recurrent(gpu, layers, |layer| &stack.layers[layer])?;
    let states = States::new(layers, 2, sizes, &x.device())?;
    match &stack.states {
        None => fill(&states.tensor, 0.0)?,
        Some(all) => {
            for (layer, (h_0, c_0)) in all.iter().enumerate() {
                copy(h_0, &states.h(layer, 0))?;
                copy(c_0, &states.c(layer, 0))?;
            }
        }
    }
    let gates = Beside::empty(gpu, half, layers, parts * frames * columns)?;
    let values = || Beside::empty(gpu, false, layers, parts * frames * hidden_size);
    let ys = values()?;
    let before = if save { Some([values()?, values()?]) } else { None };
    let part = |number: usize, frames: usize| Chunk {
        first_step: number * steps,
        first_frame: number * frames,
        ..part(batch, steps, frames)
    };
    input_product(&x, first, part(0, parts * frames), &gates.tensor, 0)?;
    for wave in 0..parts + layers - 1 {
        // The layers that have a part in this wave.
        let (from, to) = (wave.saturating_sub(parts - 1), wave.min(layers - 1));
        for (layer, weights) in stack.layers.iter().enumerate().take(to + 1).skip(from.max(1)) {
            let below = ys.way(layer - 1, [parts * frames, hidden_size]);
            let number = wave - layer;
            let at = layer * gates.stride + number * frames * columns;
            input_product(&below, weights, part(number, frames), &gates.tensor, at)?;
        }
        let count = to - from + 1;
        let begin = (from * parts + wave - from) * frames;
        let apart = (parts - 1) * frames;
        let of =
            |all: &Beside, width| all.span(begin * width, count, apart * width, frames * width);
        let y = of(&ys, hidden_size);
        let tensor = &y.tensor.reshape([y.tensor.len() / hidden_size, hidden_size])?;
        let square = columns * hidden_size;
        let r = r.span(from * r.stride, count, r.stride, square);
        let peepholes =
            peepholes.as_ref().map(|p| p.span(from * p.stride, count, p.stride, columns));
        let before = before.as_ref().map(|[h, c]| [of(h, hidden_size), of(c, hidden_size)]);
        let pass = ForwardChunk {
            part: Part {
                chunk: part(0, frames),
                hidden_size,
                half,
                variant: how.cell.is_variant(),
                timesteps: steps,
                c_offset: states.c_offset,
                steps: &Counted::All,
                ways: Ways::new(
                    std::iter::repeat_n(how, count),
                    apart,
                    &r,
                    peepholes.as_ref(),
                    apart * hidden_size,
                ),
                how,
                y: Some(Columns { tensor, first: 0 }),
                deal: 1,
            },
            save,
            initial: true,
            gates: &of(&gates, columns),
            r: &r,
            peepholes: peepholes.as_ref(),
            before: before.as_ref(),
            states: &states.after(from),
            // A unit reads its state before it writes it, and nobody else does.
            pairs: [0, 0],
        };
        sequence::forward(gpu, &pass, rows)?;
    }
    let mut outputs = Vec::new();
    for (layer, weights) in stack.layers.iter().enumerate() {
        let kept = |number: usize, [h, c]: &[Beside; 2]| {
            let of = |all: &Beside, width| {
                all.span(layer * all.stride + number * frames * width, 1, 0, frames * width).tensor
            };
            SavedChunk {
                chunk: part(number, frames),
                gates: (!how.recompute).then(|| of(&gates, columns)),
                h_before: of(h, hidden_size),
                c_before: of(c, hidden_size),
            }
        };
        let (x, input_size) = match layer {
            0 => (x.clone(), input_size),
            _ => (ys.way(layer - 1, [batch, timesteps, hidden_size]), hidden_size),
        };
        outputs.push(Output {
            h_n: states.h(layer, 0),
            c_n: states.c(layer, 0),
            saved: before.as_ref().map(|before| Saved {
                sizes: Sizes { input_size, ..sizes },
                x,
                packed: false,
                weights: weights.clone(),
                mask: Counted::All,
                how,
                steps: SavedSteps::Gpu {
                    chunks: (0..parts).map(|number| kept(number, before)).collect(),
                    parts,
                },
            }),
        });
    }
    let last = ys.way(layers - 1, [batch, timesteps, hidden_size]);
    let y = swapped(&last, [parts, batch, steps * hidden_size])?;
    Ok(Some(Stacked { outputs, y: y.reshape([batch, timesteps, hidden_size])? }))
}

/// The same numbers with their first two axes swapped.
pub(super) fn swapped(x: &Tensor, [a, b, c]: [usize; 3]) -> Result<Tensor> {
    match a.min(b) {
        // Nothing moves.
        1 => Ok(x.clone()),
        _ => swap_axes(&x.reshape([a, b, c])?),
    }
}
