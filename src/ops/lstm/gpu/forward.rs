//! The forward pass of a layer on a GPU: for each chunk a product over all of its timesteps, and the
//! recurrence.

use super::chunks::Chunk;
use super::fused::Input;
use super::lanes::{States, Strided, frames_apart};
use super::pass::{Pass, Segment, input_product};
use super::schedule::Schedule;
use super::schedule::persistent::Exchange;
use super::task::Task;
use crate::device::gpu::Gpu;
use crate::ops::frames::pack::pack;
use crate::ops::lstm::{Forward, Output, Saved, SavedSteps, Sizes};
use crate::{Lengths, Result, Tensor};
use std::sync::Arc;

/// The values of a chunk's timesteps, of one direction.
pub(crate) struct SavedChunk {
    pub(super) chunk: Chunk,
    /// `[frames,H,4]`, activated, unless they are computed anew; the backward pass turns them into
    /// d_a.
    pub(super) gates: Option<Tensor>,
    /// `[frames,H]`, of the state before each step.
    pub(super) h_before: Tensor,
    pub(super) c_before: Tensor,
}

impl SavedChunk {
    /// What a lane keeps of a chunk, which is this block of what lies side by side.
    pub(super) fn of(
        (lane, number, chunk): (usize, usize, Chunk),
        hidden_size: usize,
        gates: Option<&Strided>,
        before: &[Option<Strided>; 2],
    ) -> Option<Self> {
        let of = |all: &Strided, width| {
            all.diagonal(&(lane..lane + 1), number, chunk.frames * width).tensor
        };
        let [h_before, c_before] =
            before.each_ref().map(|all| Some(of(all.as_ref()?, hidden_size)));
        let gates = gates.map(|gates| of(gates, 4 * hidden_size));
        Some(Self { chunk, gates, h_before: h_before?, c_before: c_before? })
    }
}

impl Forward<'_> {
    /// What the call gives, with the values that it kept in so many parts of the timesteps.
    pub(super) fn output(
        &self,
        sizes: Sizes,
        x: &Tensor,
        [h_n, c_n]: [Tensor; 2],
        (chunks, parts): (Vec<SavedChunk>, usize),
    ) -> Output {
        let saved = self.save.then(|| Saved {
            sizes,
            x: x.clone(),
            packed: self.is_packed(),
            weights: self.weights.clone(),
            lengths: self.lengths.cloned(),
            config: self.config,
            steps: SavedSteps::Gpu { chunks, parts },
        });
        Output { h_n, c_n, saved }
    }
}

/// Runs the directions over chunks that hold all of them, by a schedule that is settled.
pub(crate) fn forward_with(
    gpu: &Arc<Gpu>,
    calls: &[Forward<'_>],
    sizes: &[Sizes],
    mut chunks: Vec<Chunk>,
    schedule: Schedule,
) -> Result<Vec<Output>> {
    let (Some(call), Some(&all)) = (calls.first(), sizes.first()) else { return Ok(vec![]) };
    // Only a device that was seen to do it right makes the input's part in the same dispatch.
    let fused = matches!(schedule, Schedule::Persistent(team) if team.fused);
    let task = Task { fused, ..Task::forward(calls, all) };
    let Task { lanes: count, hidden_size, half, .. } = task;
    if call.config.reverse {
        chunks.reverse();
    }
    let settle = |chunk| (chunk, schedule.of_chunk(gpu, task, chunk));
    let chunks: Vec<_> = chunks.into_iter().map(settle).collect();

    let x = match call.lengths {
        Some(lengths) if !call.is_packed() => pack(call.x, lengths)?,
        _ => call.x.clone(),
    };
    let states = States::new(count, 2, all, &call.x.device())?;
    let pass = Pass::forward(gpu, task, calls, states)?;
    // The chunks of one long row follow each other. A chunk reads one pair of states and writes
    // the other, since its units run at different times; a row's last one writes the second pair.
    // No chunk writes a row without a step, which ends as it begins.
    let empty = call.lengths.is_some_and(Lengths::has_empty);
    let both = empty || chunks.iter().any(|(c, _)| c.first_step > 0);
    let pairs = if both { 0..2 } else { 0..1 };
    if empty && call.state.is_none() {
        pass.states.tensor.fill(0.0)?;
    }
    for (lane, call) in calls.iter().enumerate() {
        for (pair, state) in pairs.clone().flat_map(|pair| call.state.map(|s| (pair, s))) {
            pass.states.set(lane, pair, state)?;
        }
    }
    let input = if fused { Some(Input::of(gpu, calls, all)?) } else { None };
    let mut saved: Vec<Vec<SavedChunk>> = calls.iter().map(|_| Vec::new()).collect();
    for (number, &(chunk, schedule)) in chunks.iter().enumerate() {
        let of_row = |(other, _): &&(Chunk, _)| other.first_row == chunk.first_row;
        let continues = chunks[..number].last().is_some_and(|other| of_row(&other));
        let left = chunks[number + 1..].iter().take_while(of_row).count();
        let frames = frames_apart(count, chunk.frames, hidden_size);
        let of_workgroups = |_: &&Input| matches!(schedule, Schedule::Persistent(_));
        let input = input.as_ref().filter(of_workgroups);
        let stride = frames * 4 * hidden_size;
        let gates = match input {
            Some(_) => Strided { tensor: x.clone(), stride, len: stride },
            None => Strided::empty(gpu, half, count, stride)?,
        };
        for (lane, call) in calls.iter().enumerate().filter(|_| input.is_none()) {
            let at = (&gates, lane * gates.stride);
            input_product((&x, chunk.first_frame), chunk.frames, call.weights, at)?;
        }
        let exchange = Exchange::of(schedule, gpu, task, chunk)?;
        let history = || Strided::empty(gpu, false, count, frames * hidden_size);
        let keeps = call.save || schedule.is_of_steps();
        let h = match &exchange {
            Some(exchange) if keeps => Some(exchange.frames(count)),
            _ => keeps.then(history).transpose()?,
        };
        let before = [h, keeps.then(history).transpose()?];
        let segment = Segment {
            pass: &pass,
            chunk,
            gates: &gates,
            before: &before,
            y: call.y,
            state_before: call.state.is_some() || continues,
            input,
            pairs: if left % 2 == 0 { [0, 1] } else { [1, 0] },
        };
        schedule.run(&segment, exchange.as_ref())?;
        let gates = (!call.config.recompute).then_some(&gates);
        for (lane, saved) in saved.iter_mut().enumerate().filter(|_| call.save) {
            saved.extend(SavedChunk::of((lane, 0, chunk), hidden_size, gates, &before));
        }
    }
    let outputs = calls.iter().zip(sizes).zip(saved).enumerate();
    let outputs = outputs.map(|(lane, ((call, &sizes), saved))| {
        call.output(sizes, &x, pass.states.pair(lane, 1), (saved, 1))
    });
    Ok(outputs.collect())
}
