//! What decides about the schedule of a pass, and about its kernels.

use super::fused;
use crate::Lengths;
use crate::device::gpu::Gpu;
use crate::ops::lstm::{CellConfig, Forward, Saved, Sizes, Weights};
use std::sync::OnceLock;

/// One of the two passes of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Forward,
    Backward,
}

/// What of a pass decides about its schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) phase: Phase,
    /// Whether the plain cell is not enough.
    pub(crate) variant: bool,
    /// Whether rows have lengths.
    pub(crate) ragged: bool,
    /// Whether gates and R have 16 bits.
    pub(crate) half: bool,
    /// Whether a forward pass keeps what a backward pass needs.
    pub(crate) save: bool,
    /// Whether workgroups that share R make the input's part of the gates, too, if there are some: see
    /// [`fused`].
    pub(crate) fused: bool,
    /// Directions, or layers of a stack, in one dispatch.
    pub(crate) lanes: usize,
    pub(crate) batch: usize,
    pub(crate) timesteps: usize,
    pub(crate) hidden_size: usize,
}

impl Task {
    /// The task of a forward pass, whose calls go in the same dispatches.
    pub(crate) fn forward(calls: &[Forward<'_>], sizes: Sizes) -> Self {
        let Forward { weights, lengths, config, save, .. } = calls[0];
        let new = Self::new(Phase::Forward, calls.len(), weights, &config, lengths, sizes);
        let fused = !save && !new.variant && !new.half && fused::pays(calls, sizes);
        Self { save, fused, ..new }
    }

    /// The task of a backward pass over so many lanes that saved alike.
    pub(crate) fn backward(lanes: usize, saved: &Saved) -> Self {
        let Saved { weights, lengths, config, sizes, .. } = saved;
        Self::new(Phase::Backward, lanes, weights, config, lengths.as_ref(), *sizes)
    }

    fn new(
        phase: Phase,
        lanes: usize,
        weights: &Weights,
        config: &CellConfig,
        lengths: Option<&Lengths>,
        Sizes { batch, timesteps, hidden_size, .. }: Sizes,
    ) -> Self {
        let variant = config.cell.is_variant();
        let (ragged, half) = (lengths.is_some(), weights.is_half());
        let (save, fused) = (true, false);
        Self { phase, variant, ragged, half, save, fused, lanes, batch, timesteps, hidden_size }
    }
}

/// The threads of a software adapter.
pub(crate) fn threads(gpu: &Gpu) -> usize {
    // Asked once: Linux opens half a dozen files for the answer, a third of what the host did for a pass.
    static CORES: OnceLock<usize> = OnceLock::new();
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    gpu.options.overrides.threads.unwrap_or_else(|| *CORES.get_or_init(cores)).max(1)
}
