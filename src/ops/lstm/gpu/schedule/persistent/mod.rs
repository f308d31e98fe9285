//! All timesteps of a chunk in one dispatch, with R spread over workgroups that run at once and keep
//! their slices on chip: Diamos et al. 2016, without a barrier over the grid.
//!
//! A *team* of workgroups takes some rows of the batch through the sequence. Each of its members owns
//! some units, keeps their slice of R in registers and shared memory, and their state in registers;
//! what the others need, h or d_a, it writes into an array in which a word is its own flag
//! (`shaders/lstm/parts/exchange.wgsl`).
//!
//! # When workgroups do not run at once
//! No API promises that they do, so every wait is bounded, and what happens then costs a pass that
//! goes well nothing but an empty dispatch: behind the launches that run a pass come as many that
//! recover it. They return at once if nobody gave up. Else each team's work is finished by one
//! workgroup that needs nobody, from where each member left its state, by the same pipeline in the
//! same order of sums: the result has the same bits, whatever happened. Nothing has to be read back
//! for that, and no wrong value can leave a pass. The recovery also sets `timeout_flag`, a word of the
//! device that comes along with every read-back of anything ([`crate::device::coresident`]); from then
//! on other strategies are selected on that device.
//!
//! # What it costs
//! Forward a product, a clearing, the pass, its recovery: 4 dispatches a chunk. More only where the
//! batch has rows for more teams than run at once, and for each further launch: each has so many
//! timesteps that even one that recovers ends before a driver's watchdog sees it. Where nothing is kept, and
//! the input and the sequence are short, the pass makes the product itself ([`crate::ops::lstm::gpu::fused`]): a dispatch less.
//!
//! The clearing needs nothing that comes before it, and wgpu puts no barrier between dispatches that share
//! nothing, so it runs beside the product.
//!
//! Without a backward pass `[B,T,H]` words of memory, in the backward pass `[B,T,H,4]`.

mod exchange;
pub(crate) mod team;

use crate::device::Backend;
use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, Wgsl, Workgroup, wgsl};
use crate::ops::common::{Launch, product};
use crate::ops::lstm::gpu::dims::Dims;
use crate::ops::lstm::gpu::kernels::{self as all, all_switches, exchange_parts, family, member};
use crate::ops::lstm::gpu::pass::{Pass, Segment};
use crate::ops::lstm::gpu::task::{Phase, Task};
use crate::tensor::Storage;
use crate::{Device, Result, Tensor};
pub(crate) use exchange::Exchange;
use std::sync::Arc;
pub(crate) use team::{Team, team};

const TEXT: Wgsl = wgsl!("lstm/lstm_persistent.wgsl");
const TEXT_BWD: Wgsl = wgsl!("lstm/lstm_persistent_bwd.wgsl");
const WG: Workgroup = Workgroup::Constant("WG");

pub(crate) static FORWARD: [Kernel; 2] = family!(
    "lstm_persistent",
    exchange_parts,
    (Phase::Forward, TEXT),
    &[
        ("gates", Write),
        ("r", Read),
        ("exchange", Write),
        ("c_before", Write),
        ("y", Write),
        ("rows", Read),
        ("state", Write),
        ("timeout_flag", Write),
    ],
    (WG, || variants(Phase::Forward))
);
pub(crate) static BACKWARD: [Kernel; 2] = family!(
    "lstm_persistent_bwd",
    exchange_parts,
    (Phase::Backward, TEXT_BWD),
    &[
        ("gates", Write),
        ("rt", Read),
        ("c_before", Read),
        ("d_y", Read),
        ("rows", Read),
        ("d_state", Write),
        ("exchange", Write),
        ("timeout_flag", Write),
    ],
    (WG, || variants(Phase::Backward))
);

/// The forward pass of a layer that makes the input's part of the gates, too, and keeps nothing.
pub(crate) static FUSED: Kernel = all::kernel(
    "lstm_persistent_fused",
    &all::fused_parts(TEXT),
    &[
        ("x", Read),
        ("r", Read),
        ("exchange", Write),
        ("w", Read),
        ("y", Write),
        ("rows", Read),
        ("state", Write),
        ("timeout_flag", Write),
    ],
    (WG, || {
        let kept = |constants: &Constants| constants.contains(&("SAVE", 1));
        let switches = all_switches(Phase::Forward).into_iter().filter(|c| !kept(c)).collect();
        product(switches, &team::shapes(Phase::Forward, true))
    }),
);

fn variants(phase: Phase) -> Vec<Constants> {
    product(all_switches(phase), &team::shapes(phase, false))
}

fn kernel(task: Task, team: Team) -> &'static Kernel {
    if team.fused {
        return &FUSED;
    }
    member(if task.phase == Phase::Forward { &FORWARD } else { &BACKWARD }, task)
}

/// How often an invocation looks for a word: far longer than any step takes, and some milliseconds.
const POLLS: u32 = 1 << 16;

/// Where the kernel that makes the input's part has the weights for that.
const W: usize = 3;

/// The modes of `shaders/lstm/parts/exchange.wgsl`.
const RUN: u32 = 0;
const RECOVER: u32 = 1;
const PROBE: u32 = 2;
const ALONE: u32 = 3;

/// Words before the progress in what the workgroups share besides the frames.
const CONTROL: usize = 2;

/// Words that nobody has written.
fn cleared(gpu: &Arc<Gpu>, words: usize) -> Result<Tensor> {
    let tensor = Tensor::empty([words], &Device(Backend::Gpu(gpu.clone())))?;
    tensor.fill(0.0)?;
    Ok(tensor)
}

fn timeout_flag(gpu: &Arc<Gpu>) -> Tensor {
    Tensor::whole(Storage::Gpu(gpu.timeout_flag()), 2)
}

/// Puts these where the kernel has them.
fn bind<'a>(
    kernel: &Kernel,
    tensors: &mut [Option<&'a Tensor>],
    exchange: &'a Tensor,
    timeout_flag: &'a Tensor,
) {
    for (slot, (name, _)) in tensors.iter_mut().zip(kernel.bindings) {
        match *name {
            "exchange" => *slot = Some(exchange),
            "timeout_flag" => *slot = Some(timeout_flag),
            _ => {}
        }
    }
}

/// Runs a segment. Backwards d_a is in the exchange: the gates stay as they are, so that nobody reads what
/// another wrote too early.
pub(super) fn run(segment: &Segment<'_>, team: Team, exchange: &Exchange) -> Result<()> {
    let Pass { gpu, task, .. } = *segment.pass;
    let kernel = kernel(task, team);
    let teams = task.lanes * team.teams(segment.chunk.rows);
    // Backwards one turn more, if d_h of the state before is wanted.
    let more = task.phase == Phase::Backward && segment.state_before;
    let turns = segment.chunk.steps + usize::from(more);
    let timeout_flag = timeout_flag(gpu);
    let mut tensors = segment.tensors();
    bind(kernel, &mut tensors, &exchange.all, &timeout_flag);
    if let Some(input) = segment.input {
        tensors[W] = Some(&input.w);
    }
    let (forced, steps) = (gpu.forced(), team.steps_per_launch(gpu));
    let constants = [segment.constants(), team.constants()].concat();
    let dims = segment.input.map_or(segment.dims(), |input| input.told(segment.dims()));
    let launch = |mode, workgroups: usize, begin: usize, offset| {
        let dims = Dims {
            step: begin as u32,
            until: (begin + steps).min(turns) as u32,
            control: exchange.words as u32,
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
        // In a profile all of the work is the first launch's.
        if mode != RECOVER && begin == 0 && offset == 0 {
            return gpu.run_costing(&launch, segment.cost(segment.chunk.frames));
        }
        gpu.run(&launch)
    };
    let launches = || (0..turns).step_by(steps);
    if team.alone {
        return launches().try_for_each(|begin| launch(ALONE, teams, begin, 0));
    }
    let mut tickets = 0;
    for first in (0..teams).step_by(team.at_once) {
        let workgroups = team.workgroups * team.at_once.min(teams - first);
        for begin in launches() {
            // From a ticket of this launch to the number of a workgroup.
            let offset = ((first * team.workgroups) as u32).wrapping_sub(tickets);
            launch(RUN, workgroups, begin, offset)?;
            tickets = tickets.wrapping_add(workgroups as u32);
        }
    }
    launches().try_for_each(|begin| launch(RECOVER, teams, begin, 0))
}
