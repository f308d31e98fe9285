//! The backward pass of a layer on a GPU: the recurrence of each chunk, then products over all of its
//! timesteps.

use super::forward::SavedChunk;
use super::lanes::{States, Strided};
use super::pass::{Pass, Segment, input_product};
use super::recompute;
use super::schedule::Schedule;
use super::schedule::persistent::Exchange;
use super::task::{Phase, Task};
use crate::device::gpu::Gpu;
use crate::ops::elementwise::copy::copy;
use crate::ops::frames::pack::unpack;
use crate::ops::frames::swap_axes::swapped;
use crate::ops::gemm::{Begun, Gemm, Matrix};
use crate::ops::lstm::{Backward, GradRequest, InputGrads, Saved, SavedSteps, Sizes};
use crate::ops::sums::column_sum::column_sum;
use crate::{Result, Tensor};
use std::sync::Arc;

impl Saved {
    /// What a GPU kept, and in how many parts the timesteps lie.
    pub(super) fn chunks(&self) -> (&[SavedChunk], usize) {
        match &self.steps {
            SavedSteps::Gpu { chunks, parts } => (chunks, *parts),
            SavedSteps::Cpu(_) => (&[], 1),
        }
    }
}

/// Whether the chunks of each direction lie side by side.
pub(crate) fn saved_together(passes: &[Backward<'_>]) -> bool {
    let chunks = |lane: usize| passes[lane].saved.chunks().0;
    let same = (0..passes.len()).all(|lane| chunks(lane).len() == chunks(0).len());
    let beside = |number: usize| {
        Strided::view(passes.len(), |lane| &chunks(lane)[number].c_before).is_some()
    };
    same && (0..chunks(0).len()).all(beside)
}

impl Backward<'_> {
    /// Adds what frames give to the gradients of the weights: those of `d_a` `[frames,4H]` and of the h
    /// before them, which are the ones of x from `first` on; and makes that of x, if it is wanted, or adds to it.
    ///
    /// The products run side by side, if the one that reads h comes first: whoever reads first what the forward pass
    /// wrote, waits for all that is recorded so far.
    pub(super) fn add_weights(
        &self,
        first: usize,
        h_before: &Tensor,
        d_a: &Tensor,
        d_x: Option<(Matrix<'_>, bool)>,
    ) -> Result<()> {
        let Saved { sizes: Sizes { input_size, hidden_size, .. }, x, weights, .. } = &self.saved;
        let mixed = weights.weight_ih.is_half();
        let (rows, columns) = (d_a.len() / (4 * hidden_size), 4 * hidden_size);
        let gradients = self.gradients;
        let [by_h, by_x] = [
            (h_before, *hidden_size, 0, &gradients.weight_hh),
            (x, *input_size, first * input_size, &gradients.weight_ih),
        ]
        .map(|(values, size, skip, gradient)| {
            Gemm { m: size, n: columns, k: rows, bias: None, accumulate: true }.begin(
                Matrix::new(values, size).skip(skip).t().rounded(mixed),
                Matrix::new(d_a, columns).rounded(mixed),
                Matrix::new(gradient, columns),
            )
        });
        let d_x = d_x.map(|(d_x, accumulate)| self.input_gradient((d_a, 0), d_x, rows, accumulate));
        if let Some(bias) = &gradients.bias {
            column_sum(d_a, bias)?;
        }
        [Some(by_h), Some(by_x), d_x].into_iter().flatten().try_for_each(|begun| begun?.add_up())
    }

    /// `d_x` (+)= d_a W^T, of the frames of `d_a` from element `skip` on, as many as `d_x` has.
    pub(super) fn input_gradient<'d>(
        &self,
        (d_a, skip): (&Tensor, usize),
        d_x: Matrix<'d>,
        rows: usize,
        accumulate: bool,
    ) -> Result<Begun<'d>> {
        let Sizes { input_size, hidden_size, .. } = self.saved.sizes;
        let columns = 4 * hidden_size;
        Gemm { m: rows, n: input_size, k: columns, bias: None, accumulate }.begin(
            Matrix::new(d_a, columns).skip(skip),
            Matrix::new(&self.saved.weights.weight_ih, columns).t(),
            d_x,
        )
    }
}

/// The gradients of the states after the last step; zeros where none arrive.
pub(super) fn last_states(passes: &[Backward<'_>], sizes: Sizes) -> Result<States> {
    let states = States::new(passes.len(), 1, sizes, &passes[0].saved.x.device())?;
    if passes.iter().all(|pass| pass.arriving.d_h_n.or(pass.arriving.d_c_n).is_none()) {
        states.tensor.fill(0.0)?;
        return Ok(states);
    }
    for (lane, Backward { arriving, .. }) in passes.iter().enumerate() {
        let slots = states.pair(lane, 0);
        for (arriving, slot) in [arriving.d_h_n, arriving.d_c_n].into_iter().zip(&slots) {
            match arriving {
                Some(gradient) => copy(gradient, slot)?,
                None => slot.fill(0.0)?,
            }
        }
    }
    Ok(states)
}

impl Pass<'_> {
    /// Adds up the gradients of the peepholes of all rows.
    pub(super) fn add_peepholes(&self, passes: &[Backward<'_>]) -> Result<()> {
        let Task { batch, hidden_size, .. } = self.task;
        let Some(rows) = &self.d_peepholes else { return Ok(()) };
        for (lane, Backward { gradients, .. }) in passes.iter().enumerate() {
            if let Some(sum) = &gradients.peepholes {
                column_sum(&rows.lane(lane, [batch, 4 * hidden_size]), sum)?;
            }
        }
        Ok(())
    }

    /// What leaves each lane: the first has `d_x`.
    pub(super) fn leaving(&self, mut d_x: Option<Tensor>, wanted: GradRequest) -> Vec<InputGrads> {
        let d_state = |lane| wanted.d_state.then(|| self.states.pair(lane, 0).into());
        let leaving = |lane| InputGrads { d_x: d_x.take(), d_state: d_state(lane) };
        (0..self.task.lanes).map(leaving).collect()
    }
}

/// Differentiates directions that were saved together, by a schedule that is settled.
pub(crate) fn backward_with(
    gpu: &Arc<Gpu>,
    mut passes: Vec<Backward<'_>>,
    wanted: GradRequest,
    schedule: Schedule,
) -> Result<Vec<InputGrads>> {
    let (count, mut parts, mut chunks) = (passes.len(), 1, Vec::new());
    for pass in &mut passes {
        if let SavedSteps::Gpu { chunks: own, parts: cut } = &mut pass.saved.steps {
            chunks.push(std::mem::take(own));
            parts = *cut;
        }
    }
    let Some(Backward { saved: first, arriving, .. }) = passes.first() else { return Ok(vec![]) };
    let Saved { sizes, x, packed: is_packed, lengths, .. } = first;
    let Sizes { batch, timesteps, input_size, hidden_size } = *sizes;
    let (task, columns) = (Task::backward(count, first), 4 * hidden_size);
    let settle = |saved: &SavedChunk| schedule.of_chunk(gpu, task, saved.chunk);
    let mut schedules: Vec<_> = chunks.iter().take(1).flatten().map(settle).collect();

    let states = last_states(&passes, *sizes)?;
    let pass = Pass::backward(gpu, task, &passes, states)?;
    let d_x = match wanted.d_x {
        true => Some(Tensor::empty(x.shape(), &x.device())?),
        false => None,
    };
    // From the last chunk to the first.
    while let Some(schedule) = schedules.pop() {
        let saved: Vec<_> = chunks.iter_mut().filter_map(Vec::pop).collect();
        let chunk = saved[0].chunk;
        let next = chunks[0].last();
        let goes_on = next.is_some_and(|next| next.chunk.first_row == chunk.first_row);
        let c_before = Strided::of(gpu, count, |lane| &saved[lane].c_before)?;
        let gates = match &saved[0].gates {
            Some(first) => {
                Strided::of(gpu, count, |lane| saved[lane].gates.as_ref().unwrap_or(first))?
            }
            None => {
                let gates = Strided::empty(gpu, task.half, count, 4 * c_before.stride)?;
                for (lane, (Backward { saved: of, .. }, saved)) in
                    passes.iter().zip(&saved).enumerate()
                {
                    let at = lane * gates.stride;
                    let frames = chunk.frames;
                    input_product((x, chunk.first_frame), frames, &of.weights, (&gates, at))?;
                    let (n, k) = (columns, hidden_size);
                    Gemm { m: frames, n, k, bias: None, accumulate: true }.run(
                        Matrix::new(&saved.h_before, hidden_size),
                        Matrix::new(&of.weights.weight_hh, columns),
                        Matrix::new(&gates.tensor, columns).skip(at),
                    )?;
                }
                let h_before = Strided::of(gpu, count, |lane| &saved[lane].h_before)?;
                let r = Strided::of(gpu, count, |lane| &passes[lane].saved.weights.weight_hh)?;
                let task = Task { phase: Phase::Forward, ..task };
                recompute::activate(&Segment {
                    pass: &Pass { task, save: true, r, ..pass.clone() },
                    chunk,
                    gates: &gates,
                    before: &[Some(h_before), Some(c_before.clone())],
                    y: None,
                    state_before: false,
                    input: None,
                    pairs: [0, 0],
                })?;
                gates
            }
        };
        let segment = Segment {
            pass: &pass,
            chunk,
            gates: &gates,
            before: &[None, Some(c_before)],
            y: arriving.d_y,
            state_before: wanted.d_state || goes_on,
            input: None,
            pairs: [0, 0],
        };
        let exchange = Exchange::of(schedule, gpu, task, chunk)?;
        schedule.run(&segment, exchange.as_ref())?;
        let exchanged = exchange.map(|exchange| exchange.frames(count));
        // The parts of a wavefront follow each other, so that one product takes all of them.
        let whole = parts > 1 && saved[0].gates.is_some() && exchanged.is_none();
        if whole && chunk.first_step > 0 {
            continue;
        }
        let d_a = exchanged.as_ref().unwrap_or(&gates);
        let (rows, first) = match whole {
            true => (parts * chunk.frames, 0),
            false => (chunk.frames, chunk.first_frame),
        };
        for (lane, (own, saved)) in passes.iter().zip(saved).enumerate() {
            let d_a = d_a.lane(lane, [rows, columns]);
            let h_before = match whole {
                true => saved.h_before.view(0, [rows, hidden_size]),
                false => saved.h_before,
            };
            let d_x = d_x
                .as_ref()
                .map(|d_x| (Matrix::new(d_x, input_size).skip(first * input_size), lane > 0));
            own.add_weights(first, &h_before, &d_a, d_x)?;
        }
    }
    pass.add_peepholes(&passes)?;
    let d_x = match (d_x, lengths) {
        (Some(packed), Some(lengths)) if !is_packed => Some(unpack(&packed, lengths, timesteps)?),
        (Some(d_x), None) if parts > 1 => {
            let d_x = swapped(&d_x, [parts, batch, timesteps / parts * input_size])?;
            Some(d_x.reshape([batch, timesteps, input_size])?)
        }
        (d_x, _) => d_x,
    };
    Ok(pass.leaving(d_x, wanted))
}
