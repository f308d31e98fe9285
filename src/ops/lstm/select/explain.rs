//! What is chosen for a layer, in words.

use super::{Strategy, cut, settle};
use crate::Result;
use crate::device::gpu::Gpu;
use crate::device::{Backend, Device};
use crate::ops::lstm::cell::Cell;
use crate::ops::lstm::gpu::schedule::Schedule;
use crate::ops::lstm::gpu::task::{Phase, Task};
use crate::ops::lstm::{Sizes, cpu, norm};
use std::sync::Arc;

/// A layer, or a stack of layers, whose way through a batch is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) strategy: Strategy,
    pub(crate) cell: Cell,
    pub(crate) layer_norm: bool,
    /// Whether products are made from numbers of 16 bits.
    pub(crate) half: bool,
    pub(crate) directions: usize,
    /// Layers that can go as a wavefront: 1 where something lies between them.
    pub(crate) stacked: usize,
    pub(crate) sizes: Sizes,
}

/// How the device runs it where nothing is saved for a backward pass, and why.
pub(crate) fn explain(device: &Device, asked: Asked) -> Result<[String; 2]> {
    match &device.0 {
        Backend::Gpu(gpu) => on_gpu(gpu, asked),
        Backend::Cpu(cpu) => Ok(on_cpu(cpu.threads.count(), asked)),
    }
}

fn on_cpu(threads: usize, asked: Asked) -> [String; 2] {
    let Sizes { batch, .. } = asked.sizes;
    if !asked.layer_norm && cpu::pair_pays(asked.sizes, threads) {
        let why = "one row, and units enough that two caches read its weights faster";
        return ["CPU: one row on two threads".into(), why.into()];
    }
    let shares = cpu::shares(asked.sizes, threads);
    let why = match shares {
        1 if threads == 1 => "the device has one thread".into(),
        1 if batch == 1 => "one row, and few units or steps".into(),
        1 => "too little work to wake another thread".into(),
        _ if shares < threads => format!("each takes whole rows, and there are {batch}"),
        _ => "each takes whole rows through all timesteps, so none waits for another".into(),
    };
    let path = match shares {
        1 => "CPU: all rows on one thread".into(),
        _ => format!("CPU: rows over {shares} threads"),
    };
    [path, why]
}

fn on_gpu(gpu: &Arc<Gpu>, asked: Asked) -> Result<[String; 2]> {
    let Sizes { batch, timesteps, hidden_size, .. } = asked.sizes;
    let (strategy, cell, half) = (asked.strategy, asked.cell, asked.half);
    if asked.layer_norm {
        let why = "a layer with layer normalisation has kernels of its own";
        return Ok([norm::gpu::path(gpu, batch, hidden_size).into(), why.into()]);
    }
    let shape = [batch, timesteps];
    if asked.stacked > 1
        && let Some(cut) =
            cut(gpu, shape, asked.stacked, hidden_size, [half, false], (strategy, cell))
    {
        let path = format!(
            "wavefront of Sequence: {} layers at once, {} timesteps apart",
            asked.stacked,
            timesteps / cut.parts
        );
        return Ok([path, "one layer alone would leave most of the device idle".into()]);
    }
    let (variant, ragged, lanes) = (cell.is_variant(), false, asked.directions);
    let phase = Phase::Forward;
    let (save, fused) = (false, false);
    let task =
        Task { phase, variant, ragged, half, save, fused, lanes, batch, timesteps, hidden_size };
    let mut refused = Vec::new();
    let schedule = settle(gpu, strategy, task, |strategy, reason| {
        refused.push(format!("; {} cannot: {reason}", strategy.name()));
    })?;
    let path = match schedule {
        Schedule::Sequence(rows) => {
            format!("Sequence: all timesteps in one dispatch, a workgroup for {} rows", rows.count)
        }
        Schedule::Persistent(team) => format!(
            "Persistent: all timesteps in one dispatch, {} workgroups share the units",
            team.workgroups
        ),
        Schedule::Stepwise => "Stepwise: a dispatch for each timestep".into(),
        Schedule::Matrices(_) => "Stepwise by matrix units: a dispatch for each timestep".into(),
    };
    let why = match strategy {
        Strategy::Auto => format!(
            "the fastest in the table of {} near {} rows of {hidden_size} units{}",
            gpu.class.plural(),
            lanes * batch,
            refused.concat()
        ),
        forced => format!("the layer asks for {}{}", forced.name(), refused.concat()),
    };
    Ok([path, why])
}
