//! A pass over the directions of a layer, or over the layers of a stack, described once: for both phases and
//! every schedule.

use super::chunks::Chunk;
use super::dims::Dims;
use super::fused::Input;
use super::lanes::{States, Strided};
use super::task::{Phase, Task, threads};
use super::transpose_gates::transpose_gates_into;
use crate::device::gpu::Gpu;
use crate::device::kernel::{Constant, Constants, Kernel};
use crate::device::profile::Cost;
use crate::ops::common::Launch;
use crate::ops::gemm::{Gemm, Matrix};
use crate::ops::lstm::cell::held_values;
use crate::ops::lstm::{Backward, CellConfig, Columns, Forward, Weights};
use crate::tensor::Tensor;
use crate::{Lengths, Result};
use std::ops::Range;
use std::sync::Arc;

/// What all recurrences of a pass share.
#[derive(Clone)]
pub(super) struct Pass<'a> {
    pub(super) gpu: &'a Arc<Gpu>,
    pub(super) task: Task,
    /// What the uniform says of the pass.
    pub(super) told: Dims,
    pub(super) lengths: Option<&'a Lengths>,
    /// Whether the lanes are layers of a stack, whose outputs lie one layer's after the other's; those of
    /// directions lie side by side in a frame.
    pub(super) stack: bool,
    /// Whether a forward pass keeps what a backward pass needs.
    pub(super) save: bool,
    /// R; in the backward pass transposed.
    pub(super) r: Strided,
    pub(super) peepholes: Option<Strided>,
    /// Where the gradients of the peepholes are summed up for each row.
    pub(super) d_peepholes: Option<Strided>,
    /// The states, or their gradients.
    pub(super) states: States,
}

impl<'a> Pass<'a> {
    fn new(
        gpu: &'a Arc<Gpu>,
        task: Task,
        lanes: &[CellConfig],
        lengths: Option<&'a Lengths>,
        r: Strided,
        peepholes: Option<Strided>,
        states: States,
    ) -> Self {
        // The lanes differ in direction and in random numbers alone.
        let CellConfig { cell, noise, .. } = lanes[0];
        let [recurrent, input, output] =
            [cell.recurrent, cell.input, cell.output].map(|a| a.parts());
        let [clip, cell_clip] = [cell.clip, cell.cell_clip].map(|c| c.unwrap_or(f32::MAX));
        let held = |a| cell.clip.map_or([0.0; 2], |clip| held_values(a, clip));
        let [held_low, held_high] = held(cell.recurrent);
        let [held_g_low, held_g_high] = held(cell.input);
        let reverse = lanes.iter().enumerate().filter(|(_, config)| config.reverse);
        // A software adapter gives each thread a run of workgroups, first of the one lane, then of the
        // other; a GPU takes one workgroup after the other.
        let dealt = gpu.info.software && task.ragged;
        let deal = if dealt { (threads(gpu) / task.lanes).max(1) } else { 1 };
        let [key2, key3] = lanes.get(1).map_or([0; 2], |config| config.noise.key.0);
        let told = Dims {
            h: task.hidden_size as u32,
            timesteps: task.timesteps as u32,
            c_offset: states.c_offset as u32,
            reverse: reverse.map(|(lane, _)| 1u32 << lane).sum(),
            deal: deal as u32,
            p_way: peepholes.as_ref().map_or(0, |p| p.stride / 4) as u32,
            key2,
            key3,
            key0: noise.key.0[0],
            key1: noise.key.0[1],
            dropout: cell.recurrent_dropout,
            zoneout_h: cell.zoneout[0],
            zoneout_c: cell.zoneout[1],
            training: noise.training.into(),
            recurrent: recurrent.0,
            recurrent_alpha: recurrent.1,
            recurrent_beta: recurrent.2,
            input: input.0,
            input_alpha: input.1,
            input_beta: input.2,
            output: output.0,
            output_alpha: output.1,
            output_beta: output.2,
            coupled: cell.coupling as u32,
            clip,
            cell_clip,
            held_low,
            held_high,
            held_g_low,
            held_g_high,
            peepholes: cell.peepholes.into(),
            ..Dims::default()
        };
        let (stack, save, d_peepholes) = (false, false, None);
        Self { gpu, task, told, lengths, stack, save, r, peepholes, d_peepholes, states }
    }

    /// The forward pass of these calls, before anything is in the states.
    pub(super) fn forward(
        gpu: &'a Arc<Gpu>,
        task: Task,
        calls: &'a [Forward<'_>],
        states: States,
    ) -> Result<Self> {
        let weights = |lane: usize| calls[lane].weights;
        let r = Strided::of(gpu, task.lanes, |lane| &weights(lane).weight_hh)?;
        let peepholes = peepholes(gpu, task.lanes, weights)?;
        let hows: Vec<_> = calls.iter().map(|call| call.config).collect();
        let Forward { lengths, save, .. } = calls[0];
        Ok(Self { save, ..Self::new(gpu, task, &hows, lengths, r, peepholes, states) })
    }

    /// The backward pass behind these, from the gradients of the last states.
    pub(super) fn backward(
        gpu: &'a Arc<Gpu>,
        task: Task,
        passes: &'a [Backward<'_>],
        states: States,
    ) -> Result<Self> {
        let weights = |lane: usize| &passes[lane].saved.weights;
        let peepholes = peepholes(gpu, task.lanes, weights)?;
        let rt = Strided::aligned(gpu, task.half, task.lanes, weights(0).weight_hh.len())?;
        for lane in 0..task.lanes {
            let r = &weights(lane).weight_hh;
            transpose_gates_into(r, &rt.lane(lane, r.shape()))?;
        }
        let mut d_peepholes = None;
        if peepholes.is_some() {
            let rows = Strided::empty(gpu, false, task.lanes, 4 * states.c_offset)?;
            rows.tensor.fill(0.0)?;
            d_peepholes = Some(rows);
        }
        let hows: Vec<_> = passes.iter().map(|pass| pass.saved.config).collect();
        let lengths = passes[0].saved.lengths.as_ref();
        Ok(Self { d_peepholes, ..Self::new(gpu, task, &hows, lengths, rt, peepholes, states) })
    }

    /// The pass over some of the lanes.
    pub(super) fn lanes(&self, lanes: &Range<usize>) -> Self {
        Self {
            task: Task { lanes: lanes.len(), ..self.task },
            r: self.r.lanes(lanes),
            peepholes: self.peepholes.as_ref().map(|p| p.lanes(lanes)),
            d_peepholes: self.d_peepholes.as_ref().map(|d| d.lanes(lanes)),
            states: self.states.after(lanes.start),
            ..*self
        }
    }
}

/// The peepholes of each lane, if there are any.
fn peepholes<'a>(
    gpu: &Arc<Gpu>,
    lanes: usize,
    at: impl Fn(usize) -> &'a Weights + Copy,
) -> Result<Option<Strided>> {
    let Some(first) = &at(0).peepholes else { return Ok(None) };
    Strided::of(gpu, lanes, |lane| at(lane).peepholes.as_ref().unwrap_or(first)).map(Some)
}

/// The frames that a schedule takes at a time: as many of each lane.
pub(super) struct Segment<'a> {
    pub(super) pass: &'a Pass<'a>,
    pub(super) chunk: Chunk,
    /// `[frames,H,4]` of each lane: sums, which become gates, which become gradients of the sums. Where a
    /// schedule makes the sums itself x, of all lanes and chunks, in their place.
    pub(super) gates: &'a Strided,
    /// h and c before each step, `[frames,H]` of each lane. The backward pass needs c alone.
    pub(super) before: &'a [Option<Strided>; 2],
    /// The outputs, or their gradients: the first lane's; the others follow.
    pub(super) y: Option<Columns<'a>>,
    /// Whether there is a state before the first step; backwards whether its gradient is wanted.
    pub(super) state_before: bool,
    /// What a schedule makes the sums of, if it does.
    pub(super) input: Option<&'a Input>,
    /// The pair of states that is read, and the one that is written.
    pub(super) pairs: [usize; 2],
}

impl Segment<'_> {
    /// The rows that are as long as this step.
    pub(super) fn running(&self, step: usize) -> usize {
        let Chunk { first_row, rows, first_step, .. } = self.chunk;
        let Some(lengths) = self.pass.lengths else { return rows };
        let rows = &lengths.rows()[first_row..][..rows];
        rows.partition_point(|row| row.length > first_step + step)
    }

    /// What so many frames of each lane cost in one dispatch: `h Rᵀ` or its gradient, and R read once.
    pub(super) fn cost(&self, frames: usize) -> Cost {
        let Task { phase, lanes, hidden_size, .. } = self.pass.task;
        let words_a_frame = match phase {
            // Gates in and, if they are kept, out; h and c before; the output.
            Phase::Forward => {
                let kept = if self.pass.save { 4 } else { 0 };
                4 + kept + if self.before[1].is_some() { 2 } else { 0 }
            }
            // Gates in, their gradients out; c before; the output's gradient.
            Phase::Backward => 9,
        } + usize::from(self.y.is_some());
        let square = (hidden_size * hidden_size) as f64;
        let frames = lanes * frames;
        let of_input = self.input.map_or(0, |input| input.size * hidden_size * frames);
        let words = lanes as f64 * 4.0 * square + (frames * words_a_frame * hidden_size) as f64;
        Cost { flop: 8.0 * (square * frames as f64 + of_input as f64), bytes: 4.0 * words }
    }

    /// The constants that all schedules share, with room for those of one.
    pub(super) fn constants(&self) -> Constants {
        let mut constants = Constants::with_capacity(16);
        constants.push(("LENGTHS", self.pass.task.ragged.into()));
        if self.pass.task.phase == Phase::Forward {
            constants.push(("SAVE", self.pass.save.into()));
        }
        constants
    }

    /// The uniform of a launch over the whole segment.
    pub(super) fn dims(&self) -> Dims {
        let Self { pass, chunk, y, state_before, pairs: [from, to], .. } = *self;
        let Task { phase, hidden_size, .. } = pass.task;
        let frames = self.gates.stride / (4 * hidden_size);
        debug_assert_eq!(self.gates.stride % (4 * hidden_size), 0, "a stride of whole frames");
        let n = |n: usize| n as u32;
        Dims {
            b: n(chunk.rows),
            t: n(chunk.steps),
            first_row: n(chunk.first_row),
            // The table counts from a row's first step.
            first_frame: n(chunk.first_frame - chunk.first_step),
            first_step: n(chunk.first_step),
            state_in: n(2 * from * pass.states.c_offset),
            state_out: n(2 * to * pass.states.c_offset),
            y_stride: n(y.map_or(0, Columns::stride)),
            y_offset: n(y.map_or(0, |y| y.first)),
            sequences: y.is_some().into(),
            initial: (phase == Phase::Forward && state_before).into(),
            packed: (pass.lengths.is_some() && y.is_some_and(Columns::is_packed)).into(),
            before: (phase == Phase::Backward && state_before).into(),
            frames: n(frames),
            r_way: n(pass.r.stride / 4),
            y_way: n(if pass.stack { frames * hidden_size } else { hidden_size }),
            ..pass.told
        }
    }

    /// What the kernels bind.
    pub(super) fn tensors(&self) -> [Option<&Tensor>; 8] {
        fn of(all: Option<&Strided>) -> Option<&Tensor> {
            all.map(|all| &all.tensor)
        }
        let Pass { task, lengths, r, peepholes, d_peepholes, states, .. } = self.pass;
        let [h, c] = self.before.each_ref().map(|all| of(all.as_ref()));
        let (gates, r) = (Some(&self.gates.tensor), Some(&r.tensor));
        let (y, state, peepholes) =
            (self.y.map(|y| y.tensor), Some(&states.tensor), of(peepholes.as_ref()));
        let rows = lengths.map(|lengths| &lengths.table);
        match task.phase {
            Phase::Forward => [gates, r, h, c, y, rows, state, peepholes],
            Phase::Backward => [gates, r, c, y, rows, state, peepholes, of(d_peepholes.as_ref())],
        }
    }

    /// Records a launch over so many frames of each lane.
    pub(super) fn launch(
        &self,
        kernel: &'static Kernel,
        grid: [u32; 3],
        constants: &[Constant],
        dims: &Dims,
        frames: usize,
    ) -> Result<()> {
        let (uniform, tensors) = (&dims.words(), &self.tensors());
        let launch = Launch { kernel, grid, constants, uniform, tensors };
        self.pass.gpu.run_costing(&launch, self.cost(frames))
    }
}

/// `gates = x W + b`, of so many frames of x from one on, into the gates from element `at` on.
pub(super) fn input_product(
    (x, first_frame): (&Tensor, usize),
    frames: usize,
    weights: &Weights,
    (gates, at): (&Strided, usize),
) -> Result<()> {
    let [input_size, hidden_size, _] = *weights.weight_ih.shape() else { return Ok(()) };
    let (columns, bias) = (4 * hidden_size, weights.bias.as_ref());
    Gemm { m: frames, n: columns, k: input_size, bias, accumulate: false }.run(
        Matrix::new(x, input_size).skip(first_frame * input_size),
        Matrix::new(&weights.weight_ih, columns),
        Matrix::new(&gates.tensor, columns).skip(at),
    )
}
