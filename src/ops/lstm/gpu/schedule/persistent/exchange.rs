//! What the workgroups of a chunk hand each other: see `shaders/lstm/parts/exchange.wgsl`.

use super::{CONTROL, Phase, Task, Team, cleared};
use crate::device::gpu::Gpu;
use crate::ops::lstm::gpu::chunks::Chunk;
use crate::ops::lstm::gpu::lanes::{Strided, frames_apart};
use crate::ops::lstm::gpu::schedule::Schedule;
use crate::{Result, Tensor};
use std::sync::Arc;

/// Words for each frame, then what the workgroups share besides.
pub(crate) struct Exchange {
    pub(super) all: Tensor,
    /// Words of the frames among them.
    pub(super) words: usize,
}

impl Exchange {
    /// The exchange that a schedule needs for a chunk.
    pub(crate) fn of(
        schedule: Schedule,
        gpu: &Arc<Gpu>,
        task: Task,
        chunk: Chunk,
    ) -> Result<Option<Self>> {
        let Schedule::Persistent(team) = schedule else { return Ok(None) };
        let all = cleared(gpu, Self::len(task, chunk, team))?;
        Ok(Some(Self { all, words: frame_words(task, chunk) }))
    }

    /// How many words it takes.
    pub(crate) fn len(task: Task, chunk: Chunk, team: Team) -> usize {
        let teams = task.lanes * team.teams(chunk.rows);
        frame_words(task, chunk) + CONTROL + team.workgroups * teams
    }

    /// The frames of each lane: h before each step, or d_a.
    pub(crate) fn frames(&self, lanes: usize) -> Strided {
        let len = self.words / lanes;
        Strided { tensor: self.all.view(0, [self.words]), stride: len, len }
    }
}

fn frame_words(task: Task, chunk: Chunk) -> usize {
    let values = if task.phase == Phase::Forward { 1 } else { 4 };
    let frames = frames_apart(task.lanes, chunk.frames, task.hidden_size);
    values * task.lanes * frames * task.hidden_size
}
