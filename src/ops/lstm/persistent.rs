//! All timesteps of a chunk in one dispatch, with R spread over workgroups that run at once and keep
//! their slices on chip: Diamos et al. 2016, without a barrier over the grid.
//!
//! A *team* of workgroups takes some rows of the batch through the sequence. Each of its members owns
//! some units, keeps their slice of R in registers and shared memory, and their state in registers;
//! what the others need, h or d_a, it writes into an array in which a word is its own flag
//! (`shaders/common/exchange.wgsl`).
//!
//! # When workgroups do not run at once
//! No API promises that they do, so every wait is bounded, and what happens then costs a pass that
//! goes well nothing but an empty dispatch: behind the launches that run a pass come as many that
//! recover it. They return at once if nobody gave up. Else each team's work is finished by one
//! workgroup that needs nobody, from where each member left its state, by the same pipeline in the
//! same order of sums: the result has the same bits, whatever happened. Nothing has to be read back
//! for that, and no wrong value can leave a pass. The recovery also sets an alarm, a word of the
//! device that comes along with every read-back of anything ([`crate::device::resident`]); from then
//! on the plan takes other strategies on that device.
//!
//! # What it costs
//! Forward a product, a clearing, the pass, its recovery: 4 dispatches a chunk. More only where the
//! batch has rows for more teams than run at once, and for each further window of timesteps, which
//! keep a dispatch, even one that recovers, under a driver's watchdog.
//! Without a backward pass `[B,T,H]` words of memory, in the backward pass `[B,T,H,4]`.

use super::chunks::Chunk;
use super::dims::Dims;
use super::gpu::{BackwardChunk, ForwardChunk};
use super::select::{Pass, Task};
use super::ways::{Beside, Ways};
use super::{PLAIN, REAL, lstm_variants};
use crate::device::Backend;
use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constant, Constants, Kernel, Launch};
use crate::device::profile::Cost;
use crate::ops::fill::fill;
use crate::ops::{ACTIVATIONS, product};
use crate::tensor::Storage;
use crate::{Device, Result, Tensor};
use std::sync::Arc;

const TEAM: &str = include_str!("../../../shaders/common/lstm_team.wgsl");
const TEXT: &str = include_str!("../../../shaders/lstm_persistent.wgsl");
const TEXT_BWD: &str = include_str!("../../../shaders/lstm_persistent_bwd.wgsl");
const EXCHANGE: &str = include_str!("../../../shaders/common/exchange.wgsl");

/// With gates of 32 bits and of 16.
pub(crate) static FORWARD: [Kernel; 2] = [
    forward_kernel("lstm_persistent", &parts(REAL[0], super::FORWARD[1], TEXT)),
    forward_kernel("lstm_persistent_f16", &parts(REAL[1], super::FORWARD[1], TEXT)),
];

pub(crate) static BACKWARD: [Kernel; 2] = [
    backward_kernel("lstm_persistent_bwd", &parts(REAL[0], super::BACKWARD[1], TEXT_BWD)),
    backward_kernel("lstm_persistent_bwd_f16", &parts(REAL[1], super::BACKWARD[1], TEXT_BWD)),
];

const fn parts(
    real: &'static str,
    pass: &'static str,
    schedule: &'static str,
) -> [&'static str; 8] {
    [real, ACTIVATIONS, super::ROWS, PLAIN, pass, TEAM, EXCHANGE, schedule]
}

const fn forward_kernel(name: &'static str, parts: &'static [&'static str]) -> Kernel {
    Kernel {
        name,
        parts,
        bindings: &[
            ("gates", Write),
            ("r", Read),
            ("exchange", Write),
            ("c_before", Write),
            ("y", Write),
            ("rows", Read),
            ("state", Write),
            ("alarm", Write),
        ],
        variants: || product(lstm_variants(true), &shapes(Pass::Forward)),
    }
}

const fn backward_kernel(name: &'static str, parts: &'static [&'static str]) -> Kernel {
    Kernel {
        name,
        parts,
        bindings: &[
            ("gates", Write),
            ("rt", Read),
            ("c_before", Read),
            ("d_y", Read),
            ("rows", Read),
            ("d_state", Write),
            ("exchange", Write),
            ("alarm", Write),
        ],
        variants: || product(lstm_variants(false), &shapes(Pass::Backward)),
    }
}

/// Invocations of a workgroup, which WebGPU has everywhere; a large GPU gives each of so few all the
/// registers that it can name.
const INVOCATIONS: usize = 256;
/// The most values of R, each of four gates, that an invocation keeps in registers, `REGISTERS` in
/// the shader, if they have 32 bits, and in shared memory: as many as fit.
const KEEP: [usize; 2] = [32, usize::MAX];
/// On a software adapter all of it is the same memory, and loops are quicker to compile.
const KEEP_SOFTWARE: [usize; 2] = [0, 0];
/// How often an invocation looks for a word: far longer than any step takes, and some milliseconds.
const POLLS: u32 = 1 << 16;
/// Workgroups that the probe tries to run at once.
const PROBED: u32 = 1024;

/// Words before the progress in what the workgroups share besides the exchange.
const CONTROL: usize = 2;
const RUN: u32 = 0;
const RECOVER: u32 = 1;
const PROBE: u32 = 2;
const ALONE: u32 = 3;

/// How a layer is spread over workgroups: see `shaders/common/lstm_team.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Team {
    hidden_size: usize,
    pub(crate) workgroups: usize,
    units: usize,
    split: usize,
    tile: usize,
    /// Values of R that an invocation keeps in registers and in shared memory.
    kept: [usize; 2],
    /// Of the batch.
    rows: usize,
    /// How many teams run at once. What waits for room on the device while others run out of
    /// patience is never launched.
    at_once: usize,
    /// Whether one workgroup does a team's work, since several were seen to wait in vain.
    pub(crate) alone: bool,
}

impl Team {
    /// The team of `workgroups` or fewer for up to `rows` rows, if such workgroups fit.
    fn new(task: Task, limits: &wgpu::Limits, keep: [usize; 2], workgroups: usize) -> Option<Self> {
        let Task { hidden_size, batch: rows, .. } = task;
        let units = hidden_size.div_ceil(workgroups.max(1));
        let invocations = INVOCATIONS
            .min(limits.max_compute_invocations_per_workgroup as usize)
            .min(limits.max_compute_workgroup_size_x as usize);
        let split = (invocations / units).min(hidden_size.max(4));
        let share = hidden_size.div_ceil(split.max(1));
        let room = limits.max_compute_workgroup_storage_size as usize;
        [4, 2, 1].into_iter().filter(|&tile| tile <= split && tile < 2 * rows).find_map(|tile| {
            // A staged word is of h, or of d_a of four gates; a part of four gates, or of d_h.
            let [staged, part] = if task.pass == Pass::Forward { [4, 16] } else { [16, 4] };
            let bytes = staged * share * split * tile + part * units * split * tile;
            // The rows; the words of the exchange; and a slice that is empty has a value.
            let left = room.checked_sub(bytes + 16 * split + 48)?;
            // Two of 16 bits take the room of one.
            let packed = if task.half { 2 } else { 1 };
            let registers = share.min(keep[0].saturating_mul(packed));
            let shared = (packed * left / (16 * units * split)).min(share - registers).min(keep[1]);
            Some(Self {
                hidden_size,
                workgroups: hidden_size.div_ceil(units),
                units,
                split,
                tile,
                kept: [registers, shared],
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

    fn on_chip(self) -> bool {
        self.kept[0] + self.kept[1] >= self.share()
    }

    fn teams(self, rows: usize) -> usize {
        rows.div_ceil(self.rows)
    }

    fn constants(self) -> Constants {
        let invocations = self.units * self.split;
        [
            ("WG", invocations),
            ("H", self.hidden_size),
            ("TEAM", self.workgroups),
            ("UNITS", self.units),
            ("SPLIT", self.split),
            ("TILE", self.tile),
            ("K", self.share()),
            ("KR", self.kept[0]),
            ("KS", self.kept[1]),
            ("STAGED", self.share() * self.split * self.tile),
            ("PARTS", invocations * self.tile),
            ("SHARED", (self.kept[1] * invocations).max(1)),
        ]
        .map(|(name, value)| (name, value as u32))
        .to_vec()
    }

    /// Timesteps of a launch, so that even one that recovers ends within a second or two: its
    /// workgroups read all of R, at some 100 GB/s, for each tile of each step.
    fn window(self, gpu: &Gpu) -> usize {
        let tiles = (self.rows / self.tile) as u64;
        let bytes = 16 * (self.hidden_size as u64).pow(2) * tiles;
        let window = (100_000_000_000 / bytes.max(1)).clamp(16, 8192) as usize;
        gpu.resident.forced().window.unwrap_or(window).max(1)
    }
}

/// Some teams for the translation test; the text does not depend on them.
fn shapes(pass: Pass) -> Vec<Constants> {
    let limits = wgpu::Limits::defaults();
    let teams = [(1, 1, 1), (7, 2, 2), (200, 1, 3), (512, 40, 4)];
    let team = |(hidden_size, workgroups, batch)| {
        let (variant, ragged, half) = (false, false, false);
        let task = Task { pass, variant, ragged, half, ways: 1, batch, timesteps: 1, hidden_size };
        Team::new(task, &limits, KEEP, workgroups)
    };
    teams.into_iter().filter_map(team).map(Team::constants).collect()
}

/// The team for a layer, or why there is none. `on_chip` says whether all of R has to fit there.
///
/// The fewest workgroups that hold R on chip, as far as so many run at once; then the rows are
/// spread over as many teams as run at once.
///
/// A software adapter has no such memory: it takes as many workgroups as it has threads, asks
/// nothing, and, once they have waited in vain, one for a team's work. A machine that is busy
/// with something else then gets the same bits as one that is not.
pub(crate) fn team(
    gpu: &Arc<Gpu>,
    task: Task,
    threads: usize,
    on_chip: bool,
) -> Result<Result<Team, String>> {
    let limits = &gpu.limits;
    let Task { ways, batch, hidden_size, .. } = task;
    let usual = if gpu.info.software { KEEP_SOFTWARE } else { KEEP };
    let forced = gpu.resident.forced();
    let keep = forced.keep.unwrap_or(usual);
    let make = |workgroups| Team::new(task, limits, keep, workgroups);
    let fewest = hidden_size.div_ceil(INVOCATIONS);
    let fitting = || (fewest..=hidden_size).filter_map(make).find(|team| team.on_chip());
    let found = match forced.workgroups {
        Some(workgroups) => make(workgroups),
        None if gpu.info.software => make(threads.max(fewest)),
        None => fitting(),
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
    if gpu.info.software {
        team.alone = gpu.resident.tripped();
        at_once = if forced.workgroups.is_none() { threads } else { at_once };
    }
    while forced.workgroups.is_none() && team.workgroups > 1 && !gpu.info.software {
        at_once = count(gpu, task, team)?;
        if at_once >= team.workgroups {
            break;
        }
        let fewer = make(at_once.max(1)).filter(|fewer| !on_chip && fewer.workgroups <= at_once);
        let Some(fewer) = fewer else {
            return Ok(Err(format!(
                "it needs {} workgroups that run at once, of which {at_once} were seen",
                team.workgroups
            )));
        };
        team = fewer;
    }
    team.at_once = (at_once / team.workgroups).max(1);
    team.rows = (ways * batch).div_ceil(team.at_once).next_multiple_of(team.tile).min(team.rows);
    let most = limits.max_compute_workgroups_per_dimension as usize;
    let grid = (ways * team.teams(batch)).max(team.workgroups * team.at_once);
    if grid > most {
        return Ok(Err(format!("it needs {grid} workgroups, a dispatch has at most {most}")));
    }
    Ok(Ok(team))
}

/// How many workgroups of a team's kernel run at once. The first time it asks the device, and waits
/// for the answer; a browser, where nobody can wait, is taken to run one team.
pub(crate) fn count(gpu: &Arc<Gpu>, task: Task, team: Team) -> Result<usize> {
    if cfg!(target_arch = "wasm32") {
        return Ok(team.workgroups);
    }
    let mut constants = vec![("LENGTHS", task.ragged.into())];
    let half = usize::from(task.half);
    let kernel = match task.pass {
        Pass::Forward => {
            constants.push(("SAVE", 1));
            &FORWARD[half]
        }
        Pass::Backward => &BACKWARD[half],
    };
    constants.extend(team.constants());
    gpu.workgroups_at_once((kernel.name, constants.clone()), || {
        let exchange = cleared(CONTROL, &device(gpu))?;
        let polls = gpu.resident.forced().polls.unwrap_or(POLLS);
        let dims = Dims { mode: PROBE, polls, ..Dims::default() };
        let mut tensors = [None; 8];
        let alarm = alarm(gpu);
        bind(kernel, &mut tensors, &exchange, &alarm);
        let most = PROBED.max(team.workgroups as u32);
        let grid = [most.min(gpu.limits.max_compute_workgroups_per_dimension), 1, 1];
        gpu.run(&Launch {
            kernel,
            grid,
            constants: &constants,
            uniform: &dims.words(),
            tensors: &tensors,
        })?;
        let arrived = exchange.to_vec()?[0].to_bits() as usize;
        log::debug!("{}: {arrived} workgroups of {team:?} run at once", kernel.name);
        Ok(arrived)
    })
}

fn device(gpu: &Arc<Gpu>) -> Device {
    Device(Backend::Gpu(gpu.clone()))
}

fn alarm(gpu: &Arc<Gpu>) -> Tensor {
    Tensor::whole(Storage::Gpu(gpu.alarm()), 2)
}

/// Words that nobody has written.
fn cleared(words: usize, device: &Device) -> Result<Tensor> {
    let tensor = Tensor::empty([words], device)?;
    fill(&tensor, 0.0)?;
    Ok(tensor)
}

fn bind<'a>(
    kernel: &Kernel,
    tensors: &mut [Option<&'a Tensor>],
    exchange: &'a Tensor,
    alarm: &'a Tensor,
) {
    for (slot, (name, _)) in tensors.iter_mut().zip(kernel.bindings) {
        match *name {
            "exchange" => *slot = Some(exchange),
            "alarm" => *slot = Some(alarm),
            _ => {}
        }
    }
}

/// What the workgroups of a chunk exchange: words for each frame, then what they share besides.
pub(super) struct Exchange {
    all: Tensor,
    words: usize,
}

/// Words of the frames among them.
fn frame_words(pass: Pass, ways: Ways, team: Team) -> usize {
    let values = if pass == Pass::Forward { 1 } else { 4 };
    values * ways.count * ways.frames * team.hidden_size
}

/// How many words that takes.
pub(super) fn exchange_len(pass: Pass, chunk: Chunk, ways: Ways, team: Team) -> usize {
    let teams = ways.count * team.teams(chunk.rows);
    frame_words(pass, ways, team) + CONTROL + team.workgroups * teams
}

impl Exchange {
    pub(super) fn new(
        pass: Pass,
        chunk: Chunk,
        ways: Ways,
        team: Team,
        device: &Device,
    ) -> Result<Self> {
        let words = frame_words(pass, ways, team);
        Ok(Self { all: cleared(exchange_len(pass, chunk, ways, team), device)?, words })
    }

    /// The frames of each way: h before each step, or d_a.
    pub(super) fn frames(&self, ways: Ways) -> Beside {
        Beside { tensor: self.all.view(0, [self.words]), stride: self.words / ways.count }
    }
}

/// One pass over a chunk.
struct Windows<'a> {
    kernel: &'static Kernel,
    team: Team,
    teams: usize,
    /// Timesteps, and one more if d_h of the state before is wanted.
    turns: usize,
    constants: &'a [Constant],
    tensors: [Option<&'a Tensor>; 8],
    exchange: &'a Exchange,
    cost: Cost,
}

impl Windows<'_> {
    fn launch(&self, gpu: &Arc<Gpu>, dims: Dims) -> Result<()> {
        let (kernel, team) = (self.kernel, self.team);
        let alarm = alarm(gpu);
        let mut tensors: [Option<&Tensor>; 8] = self.tensors;
        bind(kernel, &mut tensors, &self.exchange.all, &alarm);
        let (forced, window) = (gpu.resident.forced(), team.window(gpu));
        let constants = [self.constants, &team.constants()].concat();
        let launch = |mode, workgroups: usize, begin: usize, offset| {
            let dims = Dims {
                step: begin as u32,
                until: (begin + window).min(self.turns) as u32,
                control: self.exchange.words as u32,
                mode,
                polls: forced.polls.unwrap_or(POLLS),
                fault: forced.fault,
                team_rows: team.rows as u32,
                offset,
                ..dims
            };
            let launch = Launch {
                kernel,
                grid: [workgroups as u32, 1, 1],
                constants: &constants,
                uniform: &dims.words(),
                tensors: &tensors,
            };
            // All of the work is the first launch's, for who reads a profile.
            if mode != RECOVER && begin == 0 && offset == 0 {
                return gpu.run_costing(&launch, self.cost);
            }
            gpu.run(&launch)
        };
        let teams = self.teams;
        let windows = || (0..self.turns).step_by(window);
        if team.alone {
            return windows().try_for_each(|begin| launch(ALONE, teams, begin, 0));
        }
        let mut tickets = 0;
        for first in (0..teams).step_by(team.at_once) {
            let workgroups = team.workgroups * team.at_once.min(teams - first);
            for begin in windows() {
                // From a ticket of this launch to the number of a workgroup.
                let offset = ((first * team.workgroups) as u32).wrapping_sub(tickets);
                launch(RUN, workgroups, begin, offset)?;
                tickets = tickets.wrapping_add(workgroups as u32);
            }
        }
        windows().try_for_each(|begin| launch(RECOVER, teams, begin, 0))
    }
}

pub(super) fn forward(
    gpu: &Arc<Gpu>,
    pass: &ForwardChunk<'_>,
    team: Team,
    exchange: &Exchange,
) -> Result<()> {
    let chunk = pass.part.chunk;
    let windows = Windows {
        kernel: &FORWARD[usize::from(pass.part.half)],
        team,
        teams: pass.part.ways.count * team.teams(chunk.rows),
        turns: chunk.steps,
        constants: &pass.constants(),
        tensors: pass.tensors(),
        exchange,
        cost: pass.cost(chunk.frames),
    };
    windows.launch(gpu, pass.dims())
}

/// Returns d_a: the gates stay as they are, so that nobody reads what another wrote too early.
pub(super) fn backward(gpu: &Arc<Gpu>, pass: &BackwardChunk<'_>, team: Team) -> Result<Beside> {
    let (chunk, ways) = (pass.part.chunk, pass.part.ways);
    let exchange = Exchange::new(Pass::Backward, chunk, ways, team, &device(gpu))?;
    let windows = Windows {
        kernel: &BACKWARD[usize::from(pass.part.half)],
        team,
        teams: ways.count * team.teams(chunk.rows),
        turns: chunk.steps + usize::from(pass.before),
        constants: &pass.constants(),
        tensors: pass.tensors(),
        exchange: &exchange,
        cost: pass.cost(chunk.frames),
    };
    windows.launch(gpu, pass.dims())?;
    Ok(exchange.frames(ways))
}
