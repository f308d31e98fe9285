//! The backward pass of a wavefront: while a layer takes a part of the timesteps, the layer below takes the
//! part behind it, whose gradients it was just given, in the same dispatch.

use super::gpu::{BackwardChunk, Part, SavedChunk, peepholes};
use super::gpu_bwd::{Own, add_peepholes, arriving, row_peepholes, transposed};
use super::select::{self, Pass, Rows, Schedule, Task};
use super::wave::{idle, part, swapped};
use super::ways::{Beside, Ways};
use super::{Backward, Columns, Leaving, Saved, SavedSteps, Sizes, Wanted, sequence};
use crate::device::gpu::Gpu;
use crate::lengths::Counted;
use crate::ops::fill::fill;
use crate::ops::gemm::Matrix;
use crate::ops::swap_axes::swap_axes_into;
use crate::{Result, Tensor};
use std::sync::Arc;

/// What all layers saved, side by side.
pub(super) struct Together {
    parts: usize,
    /// That a workgroup takes.
    rows: Rows,
    gates: Beside,
    c_before: Beside,
}

/// How layers that went forward as a wavefront can go back as one; none where each does better alone.
pub(super) fn together(gpu: &Arc<Gpu>, passes: &[Backward<'_>]) -> Result<Option<Together>> {
    let Some(Backward { saved: Saved { sizes, how, weights, .. }, .. }) = passes.first() else {
        return Ok(None);
    };
    let chunks = |layer: usize| match &passes[layer].saved.steps {
        SavedSteps::Gpu { chunks, parts } if *parts > 1 => chunks.first().map(|c| (c, *parts)),
        _ => None,
    };
    let layers = passes.len();
    let saved: Option<Vec<(&SavedChunk, usize)>> = (0..layers).map(chunks).collect();
    let Some(saved) = saved.filter(|_| layers > 1) else { return Ok(None) };
    let (first, parts) = saved[0];
    let Some(kept) = &first.gates else { return Ok(None) };
    let gates = Beside::view(layers, |layer| saved[layer].0.gates.as_ref().unwrap_or(kept));
    let c_before = Beside::view(layers, |layer| &saved[layer].0.c_before);
    // One way, as in the forward pass.
    let task = Task::new(Pass::Backward, 1, weights.is_half(), &how.cell, &Counted::All, *sizes);
    let Schedule::Sequence(rows) = select::schedule(gpu, how.strategy, task)? else {
        return Ok(None);
    };
    let beside = gates.zip(c_before).filter(|_| idle(gpu, sizes.batch, rows));
    Ok(beside.map(|(gates, c_before)| Together { parts, rows, gates, c_before }))
}

/// Differentiates the layers, the first of which has x.
pub(super) fn backward(
    gpu: &Arc<Gpu>,
    passes: Vec<Backward<'_>>,
    wanted: Wanted,
    together: Together,
) -> Result<Vec<Leaving>> {
    let Together { parts, rows, gates, c_before } = together;
    let layers = passes.len();
    let (Some(first), Some(last)) = (passes.first(), passes.last()) else { return Ok(vec![]) };
    let (sizes, how, half) = (first.saved.sizes, first.saved.how, first.saved.weights.is_half());
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let (device, columns) = (first.saved.x.device(), 4 * hidden_size);
    let (steps, frames) = (timesteps / parts, batch * timesteps / parts);

    let d_state = arriving(&passes, sizes, &device)?;
    // Of each layer's outputs, in the order of the parts.
    let d_ys = Beside::empty(gpu, false, layers, parts * frames * hidden_size)?;
    let of_last = d_ys.way(layers - 1, [parts, batch, steps * hidden_size]);
    match last.arriving.d_y {
        Some(d_y) => {
            swap_axes_into(&d_y.tensor.reshape([batch, parts, steps * hidden_size])?, &of_last)?;
        }
        None => fill(&of_last, 0.0)?,
    }
    let (own, _) = Own::all(passes);
    let peepholes = peepholes(gpu, layers, |layer| &own[layer].weights)?;
    let rt = transposed(gpu, &own)?;
    let d_peepholes =
        peepholes.as_ref().map(|_| row_peepholes(gpu, layers, d_state.c_offset)).transpose()?;
    let d_a = |layer: usize| gates.way(layer, [parts * frames, columns]);

    for left in (0..parts + layers - 1).rev() {
        // The layers that have a part in this wave, and which: the first one's is the last one.
        let (from, to) = (left.saturating_sub(parts - 1), left.min(layers - 1));
        let number = |layer: usize| left - layer;
        for (layer, above) in own.iter().enumerate().take(to + 2).skip(from + 1) {
            let below = d_ys.way(layer - 1, [parts * frames, hidden_size]);
            let at = number(layer - 1) * frames;
            let d_x = Matrix::new(&below, hidden_size).skip(at * hidden_size);
            above.input_gradient((&d_a(layer), at * columns), d_x, frames, false)?;
        }
        let count = to - from + 1;
        let begin = (from * parts + number(from)) * frames;
        let apart = (parts - 1) * frames;
        let of =
            |all: &Beside, width| all.span(begin * width, count, apart * width, frames * width);
        let d_y = of(&d_ys, hidden_size).tensor;
        let d_y = &d_y.reshape([d_y.len() / hidden_size, hidden_size])?;
        let of_layers = |all: &Beside, len| all.span(from * all.stride, count, all.stride, len);
        let rt = of_layers(&rt, columns * hidden_size);
        let peepholes = peepholes.as_ref().map(|p| of_layers(p, columns));
        let d_peepholes = d_peepholes.as_ref().map(|d| of_layers(d, d.stride));
        let pass = BackwardChunk {
            part: Part {
                chunk: part(batch, steps, frames),
                hidden_size,
                half,
                variant: how.cell.is_variant(),
                timesteps: steps,
                c_offset: d_state.c_offset,
                steps: &Counted::All,
                ways: Ways::new(
                    std::iter::repeat_n(how, count),
                    apart,
                    &rt,
                    peepholes.as_ref(),
                    apart * hidden_size,
                ),
                how,
                y: Some(Columns { tensor: d_y, first: 0 }),
                deal: 1,
            },
            before: wanted.d_state || number(from) > 0,
            gates: &of(&gates, columns),
            rt: &rt,
            c_before: &of(&c_before, hidden_size),
            d_state: &d_state.after(from),
            peepholes: peepholes.as_ref().zip(d_peepholes.as_ref()),
        };
        sequence::backward(gpu, &pass, rows)?;
    }
    for (layer, own) in own.iter().enumerate() {
        let Some(first) = own.chunks.first() else { continue };
        let h_before = first.h_before.view(0, [parts * frames, hidden_size]);
        own.add_weights(0, &h_before, &d_a(layer))?;
    }
    if let Some(rows) = &d_peepholes {
        add_peepholes(&own, rows, [batch, columns])?;
    }
    let mut d_x = None;
    if let (true, Some(first)) = (wanted.d_x, own.first()) {
        let all = Tensor::empty([parts, batch, steps * input_size], &device)?;
        let to = Matrix::new(&all, input_size);
        first.input_gradient((&d_a(0), 0), to, parts * frames, false)?;
        let all = swapped(&all, [parts, batch, steps * input_size])?;
        d_x = Some(all.reshape([batch, timesteps, input_size])?);
    }
    let leaving = (0..layers).map(|layer| Leaving {
        d_x: d_x.take(),
        d_state: wanted.d_state.then(|| (d_state.h(layer, 0), d_state.c(layer, 0))),
    });
    Ok(leaving.collect())
}
