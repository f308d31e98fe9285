//! The backward pass of a layer on a GPU: the recurrence of each chunk, then products over all of its
//! timesteps.

use super::gpu::{BackwardChunk, ForwardChunk, Part, SavedChunk, States, input_product, recurrent};
use super::select::{self, Pass, Schedule};
use super::transpose_gates::transpose_gates_into;
use super::wave::swapped;
use super::ways::{Beside, PLACE, Ways};
use super::{Backward, How, Leaving, Saved, SavedSteps, Sizes, Wanted, Weights};
use super::{persistent, recompute, sequence, stepwise};
use crate::device::gpu::Gpu;
use crate::lengths::Counted;
use crate::ops::column_sum::column_sum;
use crate::ops::copy::copy;
use crate::ops::fill::fill;
use crate::ops::gemm::{Gemm, Matrix};
use crate::ops::mask_steps::{mask_frames, mask_steps};
use crate::ops::pack::unpack;
use crate::{Device, Result, Tensor};
use std::sync::Arc;

/// The chunks of each way, if they lie side by side.
pub(super) fn saved_together(passes: &[Backward<'_>]) -> bool {
    let chunks = |way: usize| match &passes[way].saved.steps {
        SavedSteps::Gpu { chunks, .. } => &chunks[..],
        SavedSteps::Cpu(_) => &[],
    };
    let same = (0..passes.len()).all(|way| chunks(way).len() == chunks(0).len());
    let beside =
        |number: usize| Beside::view(passes.len(), |way| &chunks(way)[number].c_before).is_some();
    same && (0..chunks(0).len()).all(beside)
}

/// What a direction brings to the pass.
pub(super) struct Own<'a> {
    pub(super) x: Tensor,
    pub(super) chunks: Vec<SavedChunk>,
    pub(super) weights: Weights,
    /// Of these.
    pub(super) gradients: &'a Weights,
    pub(super) how: How,
}

impl<'a> Own<'a> {
    /// Of each pass, and in how many parts the timesteps lie.
    pub(super) fn all(passes: Vec<Backward<'a>>) -> (Vec<Self>, usize) {
        let mut parts = 1;
        let mut own = Vec::with_capacity(passes.len());
        for Backward { saved: Saved { x, weights, how, steps, .. }, gradients, .. } in passes {
            let SavedSteps::Gpu { chunks, parts: cut } = steps else { continue };
            own.push(Self { x, chunks, weights, gradients, how });
            parts = cut;
        }
        (own, parts)
    }

    /// Adds what frames give to the gradients of the weights: those of `d_a` `[frames,4H]` and of the h
    /// before them, which are the ones of x from `first` on.
    pub(super) fn add_weights(&self, first: usize, h_before: &Tensor, d_a: &Tensor) -> Result<()> {
        let [input_size, hidden_size, _] = *self.weights.weight_ih.shape() else { return Ok(()) };
        let (rows, columns) = (d_a.len() / (4 * hidden_size), 4 * hidden_size);
        for (values, size, skip, gradient) in [
            (&self.x, input_size, first * input_size, &self.gradients.weight_ih),
            (h_before, hidden_size, 0, &self.gradients.weight_hh),
        ] {
            Gemm { m: size, n: columns, k: rows, bias: None, accumulate: true }.run(
                Matrix::new(values, size).skip(skip).t(),
                Matrix::new(d_a, columns),
                Matrix::new(gradient, columns),
            )?;
        }
        match &self.gradients.bias {
            Some(bias) => column_sum(d_a, bias),
            None => Ok(()),
        }
    }

    /// `d_x` (+)= d_a W^T, of the frames of `d_a` from element `skip` on, as many as `d_x` has.
    pub(super) fn input_gradient(
        &self,
        (d_a, skip): (&Tensor, usize),
        d_x: Matrix<'_>,
        rows: usize,
        accumulate: bool,
    ) -> Result<()> {
        let [input_size, hidden_size, _] = *self.weights.weight_ih.shape() else { return Ok(()) };
        let columns = 4 * hidden_size;
        Gemm { m: rows, n: input_size, k: columns, bias: None, accumulate }.run(
            Matrix::new(d_a, columns).skip(skip),
            Matrix::new(&self.weights.weight_ih, columns).t(),
            d_x,
        )
    }
}

/// The gradients of the states after the last step; zeros where none arrive.
pub(super) fn arriving(passes: &[Backward<'_>], sizes: Sizes, device: &Device) -> Result<States> {
    let states = States::new(passes.len(), 1, sizes, device)?;
    if passes.iter().all(|pass| pass.arriving.d_h_n.or(pass.arriving.d_c_n).is_none()) {
        fill(&states.tensor, 0.0)?;
        return Ok(states);
    }
    for (way, Backward { arriving, .. }) in passes.iter().enumerate() {
        for (arriving, slot) in
            [(arriving.d_h_n, states.h(way, 0)), (arriving.d_c_n, states.c(way, 0))]
        {
            match arriving {
                Some(gradient) => copy(gradient, &slot)?,
                None => fill(&slot, 0.0)?,
            }
        }
    }
    Ok(states)
}

/// R of each way, transposed.
pub(super) fn transposed(gpu: &Arc<Gpu>, own: &[Own<'_>]) -> Result<Beside> {
    let Some(Own { weights, .. }) = own.first() else { return Beside::empty(gpu, false, 1, 0) };
    let square = weights.weight_hh.len().next_multiple_of(2 * PLACE);
    let rt = Beside::empty(gpu, weights.is_half(), own.len(), square)?;
    for (way, Own { weights, .. }) in own.iter().enumerate() {
        transpose_gates_into(&weights.weight_hh, &rt.way(way, weights.weight_hh.shape()))?;
    }
    Ok(rt)
}

/// Where the gradients of the peepholes are summed up for each row, zeros at first.
pub(super) fn row_peepholes(gpu: &Arc<Gpu>, ways: usize, c_offset: usize) -> Result<Beside> {
    let rows = Beside::empty(gpu, false, ways, 4 * c_offset)?;
    fill(&rows.tensor, 0.0)?;
    Ok(rows)
}

/// Adds those up.
pub(super) fn add_peepholes(own: &[Own<'_>], rows: &Beside, shape: [usize; 2]) -> Result<()> {
    for (way, own) in own.iter().enumerate() {
        if let Some(sum) = &own.gradients.peepholes {
            column_sum(&rows.way(way, shape), sum)?;
        }
    }
    Ok(())
}

/// Differentiates directions that were saved together, by a schedule that is settled.
pub(super) fn backward_with(
    gpu: &Arc<Gpu>,
    passes: Vec<Backward<'_>>,
    wanted: Wanted,
    schedule: Schedule,
) -> Result<Vec<Leaving>> {
    let count = passes.len();
    let Some(first) = passes.first() else { return Ok(vec![]) };
    let (sizes, x, mask) = (first.saved.sizes, first.saved.x.clone(), first.saved.mask.clone());
    let (how, d_y, is_packed) = (first.saved.how, first.arriving.d_y, first.saved.packed);
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let device = x.device();
    let half = first.saved.weights.is_half();
    let ragged = mask.lengths().is_some();
    let variant = select::is_variant(&how.cell, &mask);
    let deal = select::deal(gpu, ragged, count);
    let columns = 4 * hidden_size;

    let d_state = arriving(&passes, sizes, &device)?;
    let (mut own, parts) = Own::all(passes);
    let (r, peepholes) = recurrent(gpu, count, |way| &own[way].weights)?;
    let rt = transposed(gpu, &own)?;
    let d_peepholes =
        peepholes.as_ref().map(|_| row_peepholes(gpu, count, d_state.c_offset)).transpose()?;
    let d_x = match wanted.d_x {
        true => Some(Tensor::empty(x.shape(), &device)?),
        false => None,
    };
    loop {
        // The last chunk of each way.
        let saved: Vec<_> = own.iter_mut().filter_map(|own| own.chunks.pop()).collect();
        let Some(&SavedChunk { chunk, .. }) = saved.first() else { break };
        let next = own.first().and_then(|own| own.chunks.last());
        let goes_on = next.is_some_and(|next| next.chunk.first_row == chunk.first_row);
        let c_before = Beside::of(gpu, count, |way| &saved[way].c_before)?;
        let frames = c_before.stride / hidden_size;
        let hows = || own.iter().map(|own| own.how);
        let part = |y, r| Part {
            chunk,
            hidden_size,
            half,
            variant,
            timesteps,
            c_offset: d_state.c_offset,
            steps: &mask,
            ways: Ways::new(hows(), frames, r, peepholes.as_ref(), hidden_size),
            how,
            y,
            deal,
        };
        let kept = saved[0].gates.as_ref();
        let gates = match kept {
            Some(first) => {
                Beside::of(gpu, count, |way| saved[way].gates.as_ref().unwrap_or(first))?
            }
            None => {
                let gates = Beside::empty(gpu, half, count, frames * columns)?;
                for (way, (Own { weights, .. }, saved)) in own.iter().zip(&saved).enumerate() {
                    input_product(&x, weights, chunk, &gates.tensor, way * gates.stride)?;
                    let (m, n, k) = (chunk.frames, columns, hidden_size);
                    Gemm { m, n, k, bias: None, accumulate: true }.run(
                        Matrix::new(&saved.h_before, hidden_size),
                        Matrix::new(&weights.weight_hh, columns),
                        Matrix::new(&gates.tensor, columns).skip(way * gates.stride),
                    )?;
                }
                let h_before = Beside::of(gpu, count, |way| &saved[way].h_before)?;
                let c_before = Beside { tensor: c_before.tensor.clone(), stride: c_before.stride };
                let pass = ForwardChunk {
                    part: part(None, &r),
                    save: true,
                    initial: false,
                    gates: &gates,
                    r: &r,
                    peepholes: peepholes.as_ref(),
                    before: Some(&[h_before, c_before]),
                    states: &d_state.tensor,
                    pairs: [0, 0],
                };
                recompute::activate(gpu, &pass, &gates.tensor)?;
                gates
            }
        };
        let pass = BackwardChunk {
            part: part(d_y, &rt),
            before: wanted.d_state || goes_on,
            gates: &gates,
            rt: &rt,
            c_before: &c_before,
            d_state: &d_state.tensor,
            peepholes: peepholes.as_ref().zip(d_peepholes.as_ref()),
        };
        let exchanged = match schedule {
            Schedule::Persistent(team) => {
                4 * persistent::exchange_len(Pass::Backward, chunk, pass.part.ways, team)
            }
            _ => 0,
        };
        let persistent = matches!(schedule, Schedule::Persistent(_));
        let in_place = kept.is_some() && !persistent;
        let d_a = match schedule {
            Schedule::Sequence(rows) => {
                sequence::backward(gpu, &pass, rows)?;
                gates
            }
            Schedule::Persistent(team) if exchanged as u64 <= gpu.max_binding() => {
                persistent::backward(gpu, &pass, team)?
            }
            _ => {
                stepwise::backward(gpu, &pass)?;
                gates
            }
        };
        // The parts of a wavefront follow each other, so that one product takes all of them.
        let whole = parts > 1 && in_place;
        if whole && chunk.first_step > 0 {
            continue;
        }
        let (rows, first) = match whole {
            true => (parts * chunk.frames, 0),
            false => (chunk.frames, chunk.first_frame),
        };
        for (way, (own, saved)) in own.iter().zip(saved).enumerate() {
            let d_a = d_a.way(way, [rows, columns]);
            let h_before = match whole {
                true => saved.h_before.view(0, [rows, hidden_size]),
                false => saved.h_before,
            };
            // R does not meet h at a step that is left out, where it may be NaN.
            let h_before = match mask.mask() {
                Some(mask) => mask_frames(&h_before, hidden_size, mask, first)?,
                None => h_before,
            };
            if let Some(d_x) = &d_x {
                let d_x = Matrix::new(d_x, input_size).skip(first * input_size);
                own.input_gradient((&d_a, 0), d_x, rows, way > 0)?;
            }
            own.add_weights(first, &h_before, &d_a)?;
        }
    }
    if let Some(rows) = &d_peepholes {
        add_peepholes(&own, rows, [batch, columns])?;
    }
    let mut d_x = match (d_x, &mask) {
        (Some(packed), Counted::Lengths(lengths)) if !is_packed => {
            Some(unpack(&packed, lengths, timesteps)?)
        }
        (Some(d_x), Counted::All) if parts > 1 => {
            let d_x = swapped(&d_x, [parts, batch, timesteps / parts * input_size])?;
            Some(d_x.reshape([batch, timesteps, input_size])?)
        }
        (Some(d_x), Counted::Mask(mask)) => Some(mask_steps(&d_x, mask)?),
        (d_x, _) => d_x,
    };
    let leaving = (0..count).map(|way| Leaving {
        d_x: d_x.take(),
        d_state: wanted.d_state.then(|| (d_state.h(way, 0), d_state.c(way, 0))),
    });
    Ok(leaving.collect())
}
