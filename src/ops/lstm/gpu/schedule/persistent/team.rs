//! How a layer is spread over workgroups that run at once.

use super::{CONTROL, POLLS, PROBE, Phase, Task, bind, cleared, kernel, timeout_flag};
use crate::Result;
use crate::device::class::Class;
use crate::device::gpu::{Gpu, Limits};
use crate::device::kernel::{Constants, Dispatch};
use crate::ops::common::Launch;
use crate::ops::lstm::gpu::dims::Dims;
use crate::ops::lstm::gpu::task::threads;
use std::sync::Arc;

/// Invocations of a workgroup, which WebGPU has everywhere; a large GPU gives each of so few all the
/// registers that it can name.
const INVOCATIONS: usize = 256;
/// The most values of R, each of four gates, that an invocation keeps in registers, `REGISTERS` in
/// the shader, and in shared memory: as many as fit.
const CACHED_WEIGHTS: Cached = Cached { registers: 32, shared: usize::MAX, written: 32 };
/// As [`CACHED_WEIGHTS`] on a software adapter: all of it is the same memory there, and loops are quicker
/// to compile.
const CACHED_WEIGHTS_SOFTWARE: Cached = Cached { registers: 0, shared: 0, written: 4 };
/// Rows of a tile, the most first.
const TILES: [usize; 3] = [4, 2, 1];
/// Words of a tile that an invocation has on their way, `SLOTS` in the shader.
const SLOTS: usize = 36;
/// Workgroups that the probe tries to run at once.
const PROBED: u32 = 1024;

/// The most of R that an invocation keeps, and how.
#[derive(Debug, Clone, Copy)]
struct Cached {
    registers: usize,
    shared: usize,
    /// Up to how many of those in registers are gone through by a loop that is written out.
    written: usize,
}

impl Cached {
    fn of(gpu: &Gpu) -> Self {
        let usual = if gpu.info.software { CACHED_WEIGHTS_SOFTWARE } else { CACHED_WEIGHTS };
        let [registers, shared] = gpu.forced().keep.unwrap_or([usual.registers, usual.shared]);
        // A software adapter that is taken for hardware has its own compiler still.
        let software = gpu.info.software || gpu.options.overrides.as_hardware;
        let compiled = if software { CACHED_WEIGHTS_SOFTWARE } else { usual };
        Self { registers, shared, written: compiled.written }
    }
}

/// How a layer is spread over workgroups: see `shaders/lstm/parts/team.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Team {
    hidden_size: usize,
    pub(crate) workgroups: usize,
    units: usize,
    split: usize,
    tile: usize,
    /// Words that a unit hands on at a step: h, or d_a.
    words: usize,
    /// Whether it makes the input's part of the gates, too: see [`crate::ops::lstm::gpu::fused`].
    pub(crate) fused: bool,
    /// Values of R that an invocation keeps in registers and in shared memory.
    kept: [usize; 2],
    /// Whether those in registers are gone through by a loop.
    rolled: bool,
    /// Rows of the batch.
    pub(super) rows: usize,
    /// How many teams run at once. What waits for room on the device while others run out of
    /// patience is never launched.
    pub(super) at_once: usize,
    /// Whether one workgroup does a team's work, since several were seen to wait in vain.
    pub(crate) alone: bool,
}

impl Team {
    /// The team of `workgroups` or fewer for up to `rows` rows, if such workgroups fit.
    fn new(task: Task, limits: &Limits, cached: Cached, workgroups: usize) -> Option<Self> {
        let Task { hidden_size, batch: rows, .. } = task;
        let units = hidden_size.div_ceil(workgroups.max(1));
        let invocations = INVOCATIONS
            .min(limits.max_compute_invocations_per_workgroup as usize)
            .min(limits.max_compute_workgroup_size_x as usize);
        let split = (invocations / units).min(hidden_size.max(4));
        let share = hidden_size.div_ceil(split.max(1));
        let room = limits.max_compute_workgroup_storage_size as usize;
        TILES.into_iter().filter(|&tile| tile <= split && tile < 2 * rows).find_map(|tile| {
            // A staged word is of h, or of d_a of four gates; a part of four gates, or of d_h.
            let [staged, part] = if task.phase == Phase::Forward { [4, 16] } else { [16, 4] };
            // Four of the input's sums an invocation.
            let ahead = if task.fused { 64 } else { 0 };
            let bytes = (staged * share * split * tile).next_multiple_of(16)
                + ((part * tile + ahead) * units * split).next_multiple_of(16);
            // The rows; the words of the exchange; and a slice that is empty has a value.
            let left = room.checked_sub(bytes + 16 * split + 48)?;
            let registers = share.min(cached.registers);
            // Two of 16 bits take the room of one.
            let packed = if task.half { 2 } else { 1 };
            let shared =
                (packed * left / (16 * units * split)).min(share - registers).min(cached.shared);
            Some(Self {
                hidden_size,
                workgroups: hidden_size.div_ceil(units),
                units,
                split,
                tile,
                words: if task.phase == Phase::Forward { 1 } else { 4 },
                fused: task.fused,
                kept: [registers, shared],
                rolled: registers > cached.written,
                rows: rows.next_multiple_of(tile).min(split / tile * tile),
                at_once: 1,
                alone: false,
            })
        })
    }

    /// Values of R that each invocation uses.
    fn share(self) -> usize {
        self.hidden_size.div_ceil(self.split)
    }

    /// Values of R that each invocation has from the cache at each step.
    fn streamed(self) -> usize {
        self.share() - self.kept[0] - self.kept[1]
    }

    fn on_chip(self) -> bool {
        self.streamed() == 0
    }

    /// Whether it is worth it to have some of R from the cache at each step, for each tile of these rows anew,
    /// where `Stepwise` has all of R for all rows.
    ///
    /// By the bytes alone that would be up to as many; a half more is paid for by what they leave out: a step
    /// of `Stepwise` costs a dispatch and goes through R value by value, 8 + 0.07 H us on an H200 with up to 16
    /// rows, that is 150 at H 2048, where the cache gives all of R, 67 MB, in 13 (5 TB/s) and memory in 28. An
    /// exchange is 1.3. On a card whose memory is the bound, at most a half is lost.
    fn pays_off_chip(self, rows: usize) -> bool {
        2 * rows.div_ceil(self.tile) * self.streamed() <= 3 * self.share()
    }

    pub(super) fn teams(self, rows: usize) -> usize {
        rows.div_ceil(self.rows)
    }

    pub(super) fn constants(self) -> Constants {
        let invocations = self.units * self.split;
        // A row's words, padded as they are staged, over the invocations.
        let words = self.words * self.share() * self.split;
        let each = words.div_ceil(invocations);
        let ahead = [("AHEAD", 4 * self.split / self.tile), ("SUMS", 4 * invocations)];
        let constants = [
            ("WG", invocations),
            ("H", self.hidden_size),
            ("TEAM", self.workgroups),
            ("UNITS", self.units),
            ("SPLIT", self.split),
            ("TILE", self.tile),
            ("K", self.share()),
            ("KR", self.kept[0]),
            ("KS", self.kept[1]),
            ("ROLLED", self.rolled.into()),
            ("STAGED", (words * self.tile).div_ceil(4)),
            ("WORDS", self.words * self.hidden_size),
            ("EACH", each.min(SLOTS / self.tile)),
            ("PARTS", invocations * self.tile),
            ("SHARED", (self.kept[1] * invocations).max(1)),
        ];
        let more = if self.fused { &ahead[..] } else { &[] };
        constants.iter().chain(more).map(|&(name, value)| (name, value as u32)).collect()
    }

    /// Timesteps of a launch, such that even one that recovers ends within a second or two: its
    /// workgroups read all of R, at some 100 GB/s, for each tile of each step.
    pub(super) fn steps_per_launch(self, gpu: &Gpu) -> usize {
        let tiles = (self.rows / self.tile) as u64;
        let bytes = 16 * (self.hidden_size as u64).pow(2) * tiles;
        let steps = (100_000_000_000 / bytes.max(1)).clamp(16, 8192) as usize;
        gpu.forced().window.unwrap_or(steps).max(1)
    }
}

/// Some teams for the translation test; the text does not depend on them. The last are those of a GPU with
/// plenty of shared memory.
pub(super) fn shapes(phase: Phase, fused: bool) -> Vec<Constants> {
    let task = |batch, hidden_size| {
        let (variant, ragged, half, save, lanes, timesteps) = (false, false, false, true, 1, 1);
        Task { phase, variant, ragged, half, save, fused, lanes, batch, timesteps, hidden_size }
    };
    let small = [(1, 1, 1), (7, 2, 2), (200, 1, 3), (512, 40, 4)];
    let small = small.map(|(hidden_size, workgroups, batch)| {
        let task = task(batch, hidden_size);
        Team::new(task, &Limits::defaults(), CACHED_WEIGHTS, workgroups).map(Team::constants)
    });
    let large = [(1, 128), (4, 128), (1, 1024), (4, 1024)];
    let large = large.map(|(batch, hidden_size)| on_hardware(task(batch, hidden_size), 64 << 10));
    small.into_iter().chain(large).flatten().collect()
}

/// The constants of the team that a GPU with so many bytes of shared memory takes, if it runs enough at once.
pub(crate) fn on_hardware(task: Task, room: u32) -> Option<Constants> {
    let limits = Limits { max_compute_workgroup_storage_size: room, ..Limits::defaults() };
    fewest(task, &limits, CACHED_WEIGHTS).map(Team::constants)
}

/// The team for a layer, or why there is none. `auto` says whether it has to pay.
///
/// The fewest workgroups that hold R on chip, as far as so many run at once; then the rows are
/// spread over as many teams as run at once. Where fewer run, what they cannot hold comes from the cache, which
/// pays on a card for few rows: [`Team::pays_off_chip`].
///
/// A software adapter has no such memory: it takes as many workgroups as it has threads, asks
/// nothing, and, once they have waited in vain, one for a team's work. A machine that is busy
/// with something else then gets the same bits as one that is not.
pub(crate) fn team(gpu: &Arc<Gpu>, task: Task, auto: bool) -> Result<Result<Team, String>> {
    let all = task.lanes * task.batch;
    let few = gpu.info.software || gpu.forced().workgroups.is_some();
    // Tiles as small as the rows of a team, which depend on how many teams of such tiles run at once.
    let mut rows = if few { task.batch } else { 1 };
    loop {
        let off_chip = |team: Team| {
            // Its tiles, once it is settled how many rows it takes.
            let whole = Team::new(task, &gpu.limits, Cached::of(gpu), team.workgroups);
            !auto
                || gpu.class == Class::Discrete
                    && whole.is_some_and(|team| team.pays_off_chip(task.batch))
        };
        let team = match team_of(gpu, Task { batch: rows, ..task }, off_chip)? {
            Ok(team) => team,
            Err(reason) => return Ok(Err(reason)),
        };
        let each = all.div_ceil(team.at_once);
        if rows < each.min(task.batch) && (team.tile < TILES[0] || team.rows < each) {
            rows = each.max(rows + 1);
            continue;
        }
        let team = Team { rows: each.next_multiple_of(team.tile).min(team.rows), ..team };
        if team.fused && team.rows > team.tile {
            return self::team(gpu, Task { fused: false, ..task }, auto);
        }
        let most = gpu.limits.max_compute_workgroups_per_dimension as usize;
        let grid = (task.lanes * team.teams(task.batch)).max(team.workgroups * team.at_once);
        if grid > most {
            return Ok(Err(format!("it needs {grid} workgroups, a dispatch has at most {most}")));
        }
        return Ok(Ok(team));
    }
}

/// The team of the fewest workgroups that hold R on chip.
fn fewest(task: Task, limits: &Limits, cached: Cached) -> Option<Team> {
    let workgroups = task.hidden_size.div_ceil(INVOCATIONS)..=task.hidden_size;
    let mut teams = workgroups.filter_map(|n| Team::new(task, limits, cached, n));
    teams.find(|team| team.on_chip())
}

/// The team for a layer of so many rows a team; not all of R on chip if `off_chip` says so.
fn team_of(
    gpu: &Arc<Gpu>,
    task: Task,
    off_chip: impl Fn(Team) -> bool,
) -> Result<Result<Team, String>> {
    let (limits, software) = (&gpu.limits, gpu.info.software);
    let hidden_size = task.hidden_size;
    let threads = threads(gpu);
    let (forced, cached) = (gpu.forced(), Cached::of(gpu));
    let make = |workgroups| Team::new(task, limits, cached, workgroups);
    let found = match forced.workgroups {
        Some(workgroups) => make(workgroups),
        None if software => make(threads.max(hidden_size.div_ceil(INVOCATIONS))),
        None => fewest(task, limits, cached),
    };
    let Some(mut team) = found else {
        return Ok(Err(format!(
            "no number of workgroups of {INVOCATIONS} invocations and {} bytes of shared memory \
             holds it",
            limits.max_compute_workgroup_storage_size
        )));
    };
    // A forced team is for tests, which see two launches where there are more than two.
    let mut at_once = 2 * team.workgroups;
    if software {
        team.alone = gpu.coresident.timed_out();
        at_once = if forced.workgroups.is_none() { threads } else { at_once };
    }
    while forced.workgroups.is_none() && team.workgroups > 1 && !software {
        at_once = count(gpu, task, team)?;
        if at_once >= team.workgroups {
            break;
        }
        let fewer = make(at_once.max(1)).filter(|team| team.workgroups <= at_once);
        let Some(fewer) = fewer.filter(|team| off_chip(*team)) else {
            return Ok(Err(format!(
                "it needs {} workgroups that run at once, of which {at_once} were seen",
                team.workgroups
            )));
        };
        team = fewer;
    }
    if team.workgroups == 1 && forced.workgroups.is_none() && !software {
        // A workgroup that waits for nobody may come when there is room: these keep a large GPU busy.
        at_once = 256;
    }
    team.at_once = (at_once / team.workgroups).max(1);
    Ok(Ok(team))
}

/// All constants of a pass by a team.
fn constants(task: Task, team: Team) -> Constants {
    let mut constants = vec![("LENGTHS", task.ragged.into())];
    if task.phase == Phase::Forward {
        constants.push(("SAVE", task.save.into()));
    }
    constants.extend(team.constants());
    constants
}

/// Has the kernel of a pass compiled beside what is compiled next. Those of a layer's two passes take a driver the
/// longest of all, and each is waited for to count its workgroups.
fn foresee(gpu: &Gpu, task: Task) {
    if let Some(team) = fewest(task, &gpu.limits, Cached::of(gpu)) {
        gpu.foresee(&Dispatch {
            kernel: kernel(task, team),
            grid: [1; 3],
            constants: &constants(task, team),
            uniform: &Dims::default().words(),
            bound: &[],
        });
    }
}

/// How many workgroups of a team's kernel run at once. The first time it asks the device, and waits
/// for the answer; a browser, where nobody can wait, is taken to run one team.
pub(crate) fn count(gpu: &Arc<Gpu>, task: Task, team: Team) -> Result<usize> {
    if cfg!(target_arch = "wasm32") {
        return Ok(team.workgroups);
    }
    let (kernel, constants) = (kernel(task, team), constants(task, team));
    gpu.workgroups_at_once((kernel.name, constants.clone()), || {
        if task.save && task.phase == Phase::Forward {
            foresee(gpu, Task { phase: Phase::Backward, ..task });
        }
        let exchange = cleared(gpu, CONTROL)?;
        let polls = gpu.forced().polls.unwrap_or(POLLS);
        let mut tensors = [None; 8];
        let timeout_flag = timeout_flag(gpu);
        bind(kernel, &mut tensors, &exchange, &timeout_flag);
        let most = PROBED.max(team.workgroups as u32);
        gpu.run(&Launch {
            kernel,
            grid: [most.min(gpu.limits.max_compute_workgroups_per_dimension), 1, 1],
            constants: &constants,
            uniform: &Dims { mode: PROBE, polls, ..Dims::default() }.words(),
            tensors: &tensors,
        })?;
        let arrived = exchange.to_vec()?[0].to_bits() as usize;
        log::debug!("{}: {arrived} workgroups of {team:?} run at once", kernel.name);
        Ok(arrived)
    })
}
