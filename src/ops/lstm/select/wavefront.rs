//! Whether the layers of a stack go as a wavefront, and in how many parts of the timesteps.

use super::schedule;
use crate::device::gpu::Gpu;
use crate::ops::lstm::cell::Cell;
use crate::ops::lstm::gpu::chunks::most_words;
use crate::ops::lstm::gpu::lanes::aligned_frames;
use crate::ops::lstm::gpu::schedule::{Phase, Rows, Schedule, Task, threads};
use crate::ops::lstm::{Saved, Strategy};
use crate::{Result, Tensor};
use std::sync::Arc;

/// Timesteps of a part, at least: each costs a product and a dispatch of its own.
const STEPS: usize = 16;
/// Parts, at most.
const PARTS: usize = 8;
/// Workgroups that every hardware GPU runs at once.
const AT_ONCE: usize = 16;

/// How a stack goes as a wavefront.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    /// Parts of the timesteps.
    pub(crate) parts: usize,
    /// Rows that a workgroup takes.
    pub(crate) rows: Rows,
}

/// How `layers` of `hidden_size` go over `x`; none where each does better alone: one that fills the
/// device leaves no room for another.
pub(crate) fn cut(
    x: &Tensor,
    layers: usize,
    hidden_size: usize,
    half: bool,
    (strategy, cell): (Strategy, Cell),
) -> Option<Cut> {
    let &[batch, timesteps, _] = x.shape() else { return None };
    let gpu = x.gpu()?;
    let forced = gpu.resident.forced().parts;
    let can = |parts: usize| {
        timesteps.is_multiple_of(parts)
            && (batch * timesteps / parts).is_multiple_of(aligned_frames(hidden_size))
            && layers * (batch * timesteps).max(hidden_size + 1) * 4 * hidden_size
                <= most_words(gpu)
    };
    let longest = || (2..=PARTS).rev().find(|&parts| can(parts) && timesteps / parts >= STEPS);
    let parts = forced.map_or_else(longest, Some).filter(|&parts| parts > 1 && can(parts))?;
    let (variant, ragged) = (cell.is_variant(), false);
    let (phase, lanes) = (Phase::Forward, 1);
    let task = Task { phase, variant, ragged, half, lanes, batch, timesteps, hidden_size };
    let rows = rows(gpu, strategy, task).ok()??;
    Some(Cut { parts, rows })
}

/// The rows that a workgroup takes in the backward pass of layers that went forward as a wavefront; none
/// where each layer does better alone.
pub(crate) fn rows_back(
    gpu: &Arc<Gpu>,
    Saved { weights, how, mask, sizes, .. }: &Saved,
) -> Result<Option<Rows>> {
    let task = Task::new(Phase::Backward, 1, weights.is_half(), how, mask, *sizes);
    rows(gpu, how.strategy, task)
}

/// As many rows as a layer alone would take, for the same bits, if that leaves at least half of the device
/// idle.
fn rows(gpu: &Arc<Gpu>, strategy: Strategy, task: Task) -> Result<Option<Rows>> {
    // The one strategy that a wavefront has; where another is faster, it is so by more than layers at once.
    let Schedule::Sequence(rows) = schedule(gpu, strategy, task)? else { return Ok(None) };
    let at_once = if gpu.info.software { threads(gpu) } else { AT_ONCE };
    let forced = gpu.resident.forced().parts.is_some();
    Ok((forced || 2 * task.batch.div_ceil(rows.count) <= at_once).then_some(rows))
}
