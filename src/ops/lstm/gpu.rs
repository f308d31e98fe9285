//! The passes of a layer on a GPU: products over whole chunks, and the recurrence between them.

use super::chunks::{self, Chunk, RowLengths};
use super::dims::Dims;
use super::select::{self, Pass, Schedule};
use super::ways::{Beside, PLACE, Ways, frames_apart, frames_place};
use super::{Columns, Forward, How, Output, Saved, SavedSteps, Sizes};
use super::{Weights, persistent, sequence, stepwise};
use crate::device::gpu::Gpu;
use crate::device::kernel::Constant;
use crate::device::profile::Cost;
use crate::lengths::Counted;
use crate::ops::copy::copy;
use crate::ops::gemm::{Gemm, Matrix};
use crate::ops::mask_steps::mask_steps;
use crate::ops::pack::pack;
use crate::{Device, Result, Tensor};
use std::sync::Arc;

/// The values of a chunk's timesteps, of one direction.
pub(super) struct SavedChunk {
    pub(super) chunk: Chunk,
    /// `[frames,H,4]`, activated, unless they are computed anew; the backward pass turns them into
    /// d_a.
    pub(super) gates: Option<Tensor>,
    /// `[frames,H]`, of the state before each step.
    pub(super) h_before: Tensor,
    pub(super) c_before: Tensor,
}

/// For each way pairs of `[B,H]` in one buffer: h, then c.
pub(super) struct States {
    pub(super) tensor: Tensor,
    pairs: usize,
    pub(super) c_offset: usize,
    shape: [usize; 2],
}

impl States {
    pub(super) fn new(ways: usize, pairs: usize, sizes: Sizes, device: &Device) -> Result<Self> {
        let c_offset = (sizes.batch * sizes.hidden_size).next_multiple_of(PLACE);
        Ok(Self {
            tensor: Tensor::empty([ways * 2 * pairs, c_offset], device)?,
            pairs,
            c_offset,
            shape: [sizes.batch, sizes.hidden_size],
        })
    }

    /// All from this way on.
    pub(super) fn after(&self, way: usize) -> Tensor {
        let first = 2 * way * self.pairs * self.c_offset;
        self.tensor.view(first, [self.tensor.len() - first])
    }

    pub(super) fn h(&self, way: usize, pair: usize) -> Tensor {
        self.tensor.view(2 * (way * self.pairs + pair) * self.c_offset, self.shape)
    }

    pub(super) fn c(&self, way: usize, pair: usize) -> Tensor {
        self.tensor.view((2 * (way * self.pairs + pair) + 1) * self.c_offset, self.shape)
    }
}

/// What both passes tell their kernels of a chunk.
pub(super) struct Part<'a> {
    pub(super) chunk: Chunk,
    pub(super) hidden_size: usize,
    /// Whether gates and R are in 16 bits.
    pub(super) half: bool,
    /// Whether the plain cell is not enough.
    pub(super) variant: bool,
    pub(super) timesteps: usize,
    pub(super) c_offset: usize,
    pub(super) steps: &'a Counted,
    pub(super) ways: Ways,
    /// Of all ways, but for what `ways` says.
    pub(super) how: How,
    /// The first way's; the second's follow.
    pub(super) y: Option<Columns<'a>>,
    /// How many shares of a grid's workgroups are run at a time, if they cost different times.
    pub(super) deal: usize,
}

impl Part<'_> {
    /// The rows of the chunk that are as long as this step.
    pub(super) fn running(&self, step: usize) -> usize {
        let Some(lengths) = self.steps.lengths() else { return self.chunk.rows };
        let rows = &lengths.rows()[self.chunk.first_row..][..self.chunk.rows];
        rows.partition_point(|row| row.length > self.chunk.first_step + step)
    }

    /// Of so many frames of each way in one dispatch: `h Rᵀ` or its gradient, and R read once.
    fn cost(&self, frames: usize, words_a_frame: usize) -> Cost {
        let (ways, frames) = (self.ways.count as f64, self.ways.count * frames);
        let square = (self.hidden_size * self.hidden_size) as f64;
        let words = ways * 4.0 * square + (frames * words_a_frame * self.hidden_size) as f64;
        Cost { flop: 8.0 * square * frames as f64, bytes: 4.0 * words }
    }

    fn lengths_constant(&self) -> Constant {
        ("LENGTHS", self.steps.lengths().is_some().into())
    }

    /// What a launch of the whole chunk is told, from its first step on.
    fn dims(&self, [from, to]: [usize; 2], initial: bool, before: bool) -> Dims {
        let Self { chunk, ways, y, .. } = *self;
        let How { cell, noise, zero_left_out, .. } = self.how;
        let [recurrent, input, output] =
            [cell.recurrent, cell.input, cell.output].map(|a| a.parts());
        let [clip, cell_clip] = [cell.clip, cell.cell_clip].map(|c| c.unwrap_or(f32::MAX));
        let n = |n: usize| n as u32;
        Dims {
            b: n(chunk.rows),
            t: n(chunk.steps),
            h: n(self.hidden_size),
            first_row: n(chunk.first_row),
            // The table counts from a row's first step.
            first_frame: n(chunk.first_frame - chunk.first_step),
            first_step: n(chunk.first_step),
            timesteps: n(self.timesteps),
            c_offset: n(self.c_offset),
            state_in: n(2 * from * self.c_offset),
            state_out: n(2 * to * self.c_offset),
            y_stride: n(y.map_or(0, Columns::stride)),
            y_offset: n(y.map_or(0, |y| y.first)),
            sequences: y.is_some().into(),
            initial: initial.into(),
            reverse: n(ways.reverse),
            mask: self.steps.mask().map_or(0, |_| 1 + u32::from(zero_left_out)),
            deal: n(self.deal),
            before: before.into(),
            frames: n(ways.frames),
            r_way: n(ways.r),
            p_way: n(ways.peepholes),
            y_way: n(ways.y),
            key2: ways.key[0],
            key3: ways.key[1],
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
            peepholes: cell.peepholes.into(),
            ..Dims::default()
        }
    }

    fn rows(&self) -> Option<&Tensor> {
        match self.steps {
            Counted::All => None,
            Counted::Lengths(lengths) => Some(&lengths.table),
            Counted::Mask(mask) => Some(&mask.tensor),
        }
    }
}

/// One chunk of a forward pass, for any schedule.
pub(super) struct ForwardChunk<'a> {
    pub(super) part: Part<'a>,
    pub(super) save: bool,
    pub(super) initial: bool,
    pub(super) gates: &'a Beside,
    pub(super) r: &'a Beside,
    pub(super) peepholes: Option<&'a Beside>,
    pub(super) before: Option<&'a [Beside; 2]>,
    pub(super) states: &'a Tensor,
    /// The pair of states that is read, and the one that is written.
    pub(super) pairs: [usize; 2],
}

impl ForwardChunk<'_> {
    pub(super) fn constants(&self) -> [Constant; 2] {
        [self.part.lengths_constant(), ("SAVE", self.save.into())]
    }

    pub(super) fn cost(&self, frames: usize) -> Cost {
        // Gates in and, if they are kept, out; h and c before; the output.
        let kept = if self.save { 4 } else { 0 };
        let states = if self.before.is_some() { 2 } else { 0 };
        self.part.cost(frames, 4 + kept + states + usize::from(self.part.y.is_some()))
    }

    pub(super) fn dims(&self) -> Dims {
        self.part.dims(self.pairs, self.initial, false)
    }

    pub(super) fn tensors(&self) -> [Option<&Tensor>; 8] {
        [
            Some(&self.gates.tensor),
            Some(&self.r.tensor),
            self.before.map(|b| &b[0].tensor),
            self.before.map(|b| &b[1].tensor),
            self.part.y.map(|y| y.tensor),
            self.part.rows(),
            Some(self.states),
            self.peepholes.map(|p| &p.tensor),
        ]
    }
}

fn row_lengths(steps: &Counted, sizes: Sizes) -> RowLengths<'_> {
    match steps.lengths() {
        Some(lengths) => RowLengths::Table(lengths.rows()),
        None => RowLengths::Same { rows: sizes.batch, timesteps: sizes.timesteps },
    }
}

/// Where a forward pass is cut so that all ways go in the same dispatches; else none.
pub(super) fn cut_together(
    gpu: &Gpu,
    calls: &[Forward<'_>],
    sizes: &[Sizes],
) -> Result<Option<Vec<Chunk>>> {
    let words = gpu.options.chunk_words.unwrap_or((gpu.max_binding() / 4) as usize);
    let (Some(call), Some(&first)) = (calls.first(), sizes.first()) else { return Ok(None) };
    let rows = row_lengths(call.steps, first);
    let hidden_size = first.hidden_size;
    if calls.len() == 1 {
        return Ok(Some(chunks::chunks(rows, hidden_size, words)?));
    }
    let r = 4 * (4 * hidden_size * hidden_size).next_multiple_of(PLACE);
    let fits = (calls.len() * r) as u64 <= gpu.max_binding();
    if !fits || sizes.iter().any(|sizes| sizes.hidden_size != hidden_size) {
        return Ok(None);
    }
    let place = 4 * hidden_size * frames_place(hidden_size);
    let chunks = chunks::chunks(rows, hidden_size, words / calls.len() / place * place);
    // The chunks of one long row follow each other, and those of another direction go the other way.
    Ok(chunks.ok().filter(|chunks| chunks.iter().all(|chunk| chunk.first_step == 0)))
}

/// Runs the directions over chunks that hold all of them, by a schedule that is settled.
pub(super) fn forward_with(
    gpu: &Arc<Gpu>,
    calls: &[Forward<'_>],
    sizes: &[Sizes],
    mut chunks: Vec<Chunk>,
    schedule: Schedule,
) -> Result<Vec<Output>> {
    let (Some(call), Some(&all)) = (calls.first(), sizes.first()) else { return Ok(vec![]) };
    let Sizes { timesteps, hidden_size, .. } = all;
    let device = call.x.device();
    let count = calls.len();
    let half = call.weights.is_half();
    let variant = select::is_variant(&call.how.cell, call.steps);
    let ragged = call.steps.lengths().is_some();
    let deal = select::deal(gpu, ragged, count);
    let columns = 4 * hidden_size;

    // What is left out may be NaN, and NaN times a gradient of zero is NaN.
    let x = match call.steps {
        Counted::All => call.x.clone(),
        Counted::Lengths(_) if call.is_packed() => call.x.clone(),
        Counted::Lengths(lengths) => pack(call.x, lengths)?,
        Counted::Mask(mask) => mask_steps(call.x, mask)?,
    };
    let (r, peepholes) = recurrent(gpu, count, |way| calls[way].weights)?;
    let states = States::new(count, 2, all, &device)?;
    if call.how.reverse {
        chunks.reverse();
    }
    // The chunks of one long row follow each other. A chunk reads one pair of states and writes
    // the other, since its units run at different times; a row's last one writes the second pair.
    let pairs = if chunks.iter().any(|c| c.first_step > 0) { 0..2 } else { 0..1 };
    for (way, call) in calls.iter().enumerate() {
        for (pair, (h_0, c_0)) in pairs.clone().flat_map(|pair| call.state.map(|s| (pair, s))) {
            copy(h_0, &states.h(way, pair))?;
            copy(c_0, &states.c(way, pair))?;
        }
    }
    let mut saved: Vec<Vec<SavedChunk>> = calls.iter().map(|_| Vec::new()).collect();
    let rows: Vec<_> = chunks.iter().map(|c| c.first_row).collect();
    for (number, chunk) in chunks.into_iter().enumerate() {
        let continues = number > 0 && rows[number - 1] == chunk.first_row;
        let left = rows[number + 1..].iter().take_while(|&&row| row == chunk.first_row).count();
        let pairs = if left % 2 == 0 { [0, 1] } else { [1, 0] };
        let frames = frames_apart(count, chunk.frames, hidden_size);
        let hows = calls.iter().map(|call| call.how);
        let ways = Ways::new(hows, frames, &r, peepholes.as_ref(), hidden_size);
        let gates = Beside::empty(gpu, half, count, frames * columns)?;
        for (way, call) in calls.iter().enumerate() {
            input_product(&x, call.weights, chunk, &gates.tensor, way * gates.stride)?;
        }
        let exchange = match schedule {
            Schedule::Persistent(team) => {
                Some(persistent::Exchange::new(Pass::Forward, chunk, ways, team, &device)?)
            }
            _ => None,
        };
        let history = || Beside::empty(gpu, false, count, frames * hidden_size);
        // `Stepwise` hands the state from dispatch to dispatch in these, saved or not.
        let before = match call.save || schedule == Schedule::Stepwise {
            true => {
                let h = exchange.as_ref().map(|exchange| exchange.frames(ways));
                Some([h.map_or_else(history, Ok)?, history()?])
            }
            false => None,
        };
        let pass = ForwardChunk {
            part: Part {
                chunk,
                hidden_size,
                half,
                variant,
                timesteps,
                c_offset: states.c_offset,
                steps: call.steps,
                ways,
                how: call.how,
                y: call.y,
                deal,
            },
            save: call.save,
            initial: call.state.is_some() || continues,
            gates: &gates,
            r: &r,
            peepholes: peepholes.as_ref(),
            before: before.as_ref(),
            states: &states.tensor,
            pairs,
        };
        match (schedule, &exchange) {
            (Schedule::Sequence(rows), _) => sequence::forward(gpu, &pass, rows)?,
            (Schedule::Persistent(team), Some(words)) => {
                persistent::forward(gpu, &pass, team, words)?;
            }
            _ => stepwise::forward(gpu, &pass)?,
        }
        if let Some([h, c]) = before.filter(|_| call.save) {
            let len = chunk.frames * hidden_size;
            let mut gates = (!call.how.recompute).then(|| gates.into_ways(count, 4 * len));
            let before = h.into_ways(count, len).zip(c.into_ways(count, len));
            for (saved, (h_before, c_before)) in saved.iter_mut().zip(before) {
                let gates = gates.as_mut().and_then(Iterator::next);
                saved.push(SavedChunk { chunk, gates, h_before, c_before });
            }
        }
    }
    let outputs = calls.iter().zip(sizes).zip(saved).enumerate();
    let outputs = outputs.map(|(way, ((call, &sizes), saved))| Output {
        h_n: states.h(way, 1),
        c_n: states.c(way, 1),
        saved: call.save.then(|| Saved {
            sizes,
            x: x.clone(),
            packed: call.is_packed(),
            weights: call.weights.clone(),
            mask: call.steps.clone(),
            how: call.how,
            steps: SavedSteps::Gpu { chunks: saved, parts: 1 },
        }),
    });
    Ok(outputs.collect())
}

/// R of each way, and the peepholes.
pub(super) fn recurrent<'a>(
    gpu: &Arc<Gpu>,
    ways: usize,
    at: impl Fn(usize) -> &'a Weights + Copy,
) -> Result<(Beside, Option<Beside>)> {
    Ok((Beside::of(gpu, ways, |way| &at(way).weight_hh)?, peepholes(gpu, ways, at)?))
}

/// The peepholes of each way, if there are any.
pub(super) fn peepholes<'a>(
    gpu: &Arc<Gpu>,
    ways: usize,
    at: impl Fn(usize) -> &'a Weights + Copy,
) -> Result<Option<Beside>> {
    let Some(first) = &at(0).peepholes else { return Ok(None) };
    Beside::of(gpu, ways, |way| at(way).peepholes.as_ref().unwrap_or(first)).map(Some)
}

/// `gates = x W + b`, from element `at` on.
pub(super) fn input_product(
    x: &Tensor,
    weights: &Weights,
    chunk: Chunk,
    gates: &Tensor,
    at: usize,
) -> Result<()> {
    let [input_size, hidden_size, _] = *weights.weight_ih.shape() else { return Ok(()) };
    let columns = 4 * hidden_size;
    let bias = weights.bias.as_ref();
    Gemm { m: chunk.frames, n: columns, k: input_size, bias, accumulate: false }.run(
        Matrix::new(x, input_size).skip(chunk.first_frame * input_size),
        Matrix::new(&weights.weight_ih, columns),
        Matrix::new(gates, columns).skip(at),
    )
}

/// One chunk of a backward pass, for any schedule.
pub(super) struct BackwardChunk<'a> {
    pub(super) part: Part<'a>,
    /// Whether d_h of the state before the chunk is wanted.
    pub(super) before: bool,
    pub(super) gates: &'a Beside,
    pub(super) rt: &'a Beside,
    pub(super) c_before: &'a Beside,
    pub(super) d_state: &'a Tensor,
    pub(super) peepholes: Option<(&'a Beside, &'a Beside)>,
}

impl BackwardChunk<'_> {
    pub(super) fn cost(&self, frames: usize) -> Cost {
        // Gates in, their gradients out; c before; the output's gradient.
        self.part.cost(frames, 9 + usize::from(self.part.y.is_some()))
    }

    pub(super) fn constants(&self) -> [Constant; 1] {
        [self.part.lengths_constant()]
    }

    pub(super) fn dims(&self) -> Dims {
        self.part.dims([0, 0], false, self.before)
    }

    pub(super) fn tensors(&self) -> [Option<&Tensor>; 8] {
        [
            Some(&self.gates.tensor),
            Some(&self.rt.tensor),
            Some(&self.c_before.tensor),
            self.part.y.map(|y| y.tensor),
            self.part.rows(),
            Some(self.d_state),
            self.peepholes.map(|p| &p.0.tensor),
            self.peepholes.map(|p| &p.1.tensor),
        ]
    }
}
