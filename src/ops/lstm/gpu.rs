//! The passes of a layer on a GPU: products over whole chunks, and the recurrence between them.

use super::plan::{self, Chunk, Pass, RowLengths, Schedule, Task};
use super::transpose_gates::transpose_gates_into;
use super::ways::{Beside, PLACE, Ways, frames_apart, frames_place};
use super::{Backward, Columns, Forward, How, Leaving, Output, Saved, SavedSteps, Sizes, Steps};
use super::{Wanted, Weights, persistent, recompute, sequence, stepwise};
use crate::device::gpu::Gpu;
use crate::device::kernel::Constant;
use crate::device::profile::Cost;
use crate::ops::column_sum::column_sum;
use crate::ops::copy::copy;
use crate::ops::fill::fill;
use crate::ops::gemm::{Gemm, Matrix};
use crate::ops::mask_steps::mask_steps;
use crate::ops::pack::{pack, unpack};
use crate::{Device, Result, Tensor};
use std::sync::Arc;

/// Words of the kernels' uniform: 24 of the chunk, 19 of the cell, and those of one schedule alone.
pub(super) const UNIFORM: usize = 43 + persistent::UNIFORM;

/// The values of a chunk's timesteps, of one direction.
pub(super) struct SavedChunk {
    chunk: Chunk,
    /// `[frames,H,4]`, activated, unless they are computed anew; the backward pass turns them into
    /// d_a.
    gates: Option<Tensor>,
    /// `[frames,H]`, of the state before each step.
    h_before: Tensor,
    c_before: Tensor,
}

/// For each way pairs of `[B,H]` in one buffer: h, then c.
struct States {
    tensor: Tensor,
    pairs: usize,
    c_offset: usize,
    shape: [usize; 2],
}

impl States {
    fn new(ways: usize, pairs: usize, sizes: Sizes, device: &Device) -> Result<Self> {
        let c_offset = (sizes.batch * sizes.hidden_size).next_multiple_of(PLACE);
        Ok(Self {
            tensor: Tensor::empty([ways * 2 * pairs, c_offset], device)?,
            pairs,
            c_offset,
            shape: [sizes.batch, sizes.hidden_size],
        })
    }

    fn h(&self, way: usize, pair: usize) -> Tensor {
        self.tensor.view(2 * (way * self.pairs + pair) * self.c_offset, self.shape)
    }

    fn c(&self, way: usize, pair: usize) -> Tensor {
        self.tensor.view((2 * (way * self.pairs + pair) + 1) * self.c_offset, self.shape)
    }
}

/// What both passes tell their kernels of a chunk.
pub(super) struct Part<'a> {
    pub(super) chunk: Chunk,
    pub(super) hidden_size: usize,
    /// Whether gates and R are in 16 bits.
    pub(super) half: bool,
    timesteps: usize,
    c_offset: usize,
    steps: Steps<'a>,
    pub(super) ways: Ways,
    /// Of all ways, but for what `ways` says.
    pub(super) how: How,
    /// The first way's; the second's follow.
    y: Option<Columns<'a>>,
    /// How many shares of a grid's workgroups are run at a time, if they cost different times.
    deal: usize,
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

    /// Whether the plain cell is not enough.
    pub(super) fn is_variant(&self) -> bool {
        is_variant(self.how, self.steps)
    }

    fn uniform(
        &self,
        step: usize,
        [from, to]: [usize; 2],
        initial: bool,
        before: bool,
    ) -> [u32; UNIFORM] {
        let chunk = self.chunk;
        let words = [
            chunk.rows,
            chunk.steps,
            self.hidden_size,
            chunk.first_row,
            // The table counts from a row's first step.
            chunk.first_frame - chunk.first_step,
            chunk.first_step,
            self.timesteps,
            step,
            self.c_offset,
            2 * from * self.c_offset,
            2 * to * self.c_offset,
            self.y.map_or(0, Columns::stride),
            self.y.map_or(0, |y| y.first),
            self.y.is_some().into(),
            initial.into(),
            self.ways.reverse,
            self.steps.mask().map_or(0, |_| 1 + usize::from(self.how.zero_left_out)),
            self.deal,
            before.into(),
        ]
        .into_iter()
        .chain(self.ways.uniform())
        .map(|w| w as u32);
        let mut all = [0; UNIFORM];
        let cell = self.how.cell.uniform(self.how.noise);
        for (to, word) in all.iter_mut().zip(words.chain(cell)) {
            *to = word;
        }
        all
    }

    fn rows(&self) -> Option<&Tensor> {
        match self.steps {
            Steps::All => None,
            Steps::Lengths(lengths) => Some(&lengths.table),
            Steps::Mask(mask) => Some(&mask.tensor),
        }
    }
}

/// One chunk of a forward pass, for any schedule.
pub(super) struct ForwardChunk<'a> {
    pub(super) part: Part<'a>,
    save: bool,
    initial: bool,
    gates: &'a Beside,
    r: &'a Beside,
    peepholes: Option<&'a Beside>,
    before: Option<&'a [Beside; 2]>,
    states: &'a Tensor,
    /// The pair of states that is read, and the one that is written.
    pairs: [usize; 2],
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

    pub(super) fn uniform(&self, step: usize) -> [u32; UNIFORM] {
        self.part.uniform(step, self.pairs, self.initial, false)
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

fn is_variant(how: How, steps: Steps<'_>) -> bool {
    how.cell.is_variant() || steps.mask().is_some()
}

fn row_lengths(steps: Steps<'_>, sizes: Sizes) -> RowLengths<'_> {
    match steps.lengths() {
        Some(lengths) => RowLengths::Table(lengths.rows()),
        None => RowLengths::Same { rows: sizes.batch, timesteps: sizes.timesteps },
    }
}

/// Where a forward pass is cut so that all ways go in the same dispatches; else none.
fn cut_together(
    gpu: &Gpu,
    calls: &[Forward<'_>],
    sizes: &[Sizes],
    words: usize,
) -> Result<Option<Vec<Chunk>>> {
    let (Some(call), Some(&first)) = (calls.first(), sizes.first()) else { return Ok(None) };
    let rows = row_lengths(call.steps, first);
    let hidden_size = first.hidden_size;
    if calls.len() == 1 {
        return Ok(Some(plan::chunks(rows, hidden_size, words)?));
    }
    let r = 4 * (4 * hidden_size * hidden_size).next_multiple_of(PLACE);
    let fits = (calls.len() * r) as u64 <= gpu.max_binding();
    if !fits || sizes.iter().any(|sizes| sizes.hidden_size != hidden_size) {
        return Ok(None);
    }
    let place = 4 * hidden_size * frames_place(hidden_size);
    let chunks = plan::chunks(rows, hidden_size, words / calls.len() / place * place);
    // The chunks of one long row follow each other, and those of another direction go the other way.
    Ok(chunks.ok().filter(|chunks| chunks.iter().all(|chunk| chunk.first_step == 0)))
}

pub(super) fn forward(
    gpu: &Arc<Gpu>,
    calls: &[Forward<'_>],
    sizes: &[Sizes],
) -> Result<Vec<Output>> {
    let words = gpu.options.chunk_words.unwrap_or((gpu.max_binding() / 4) as usize);
    let (Some(call), Some(&all)) = (calls.first(), sizes.first()) else { return Ok(vec![]) };
    let Some(mut chunks) = cut_together(gpu, calls, sizes, words)? else {
        let alone = calls.iter().zip(sizes).map(|(call, sizes)| {
            forward(gpu, std::slice::from_ref(call), std::slice::from_ref(sizes))
        });
        return Ok(alone.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect());
    };
    let Sizes { batch, timesteps, hidden_size, .. } = all;
    let device = call.x.device();
    let count = calls.len();
    let half = call.weights.is_half();
    let ragged = call.steps.lengths().is_some();
    let schedule = match call.how.compared {
        Some(_) => Schedule::Sequence { rows: 16 },
        None => {
            let task = Task {
                pass: Pass::Forward,
                variant: is_variant(call.how, call.steps),
                ragged,
                half,
                ways: count,
                batch,
                hidden_size,
            };
            plan::schedule(gpu, call.how.strategy, task)?
        }
    };
    let deal = plan::deal(gpu, ragged, count);
    let columns = 4 * hidden_size;

    // What is left out may be NaN, and NaN times a gradient of zero is NaN.
    let x = match call.steps {
        Steps::All => call.x.clone(),
        Steps::Lengths(lengths) => pack(call.x, lengths)?,
        Steps::Mask(mask) => mask_steps(call.x, mask)?,
    };
    let weights: Vec<_> = calls.iter().map(|call| call.weights).collect();
    let (r, peepholes) = recurrent(gpu, &weights)?;
    let hows: Vec<_> = calls.iter().map(|call| call.how).collect();
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
        let ways = Ways::new(&hows, frames, &r, peepholes.as_ref());
        let gates = Beside::empty(gpu, half, count, frames * columns)?;
        for (way, weights) in weights.iter().enumerate() {
            input_product(&x, weights, chunk, &gates, way)?;
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
            (Schedule::Sequence { rows }, _) => sequence::forward(gpu, &pass, rows)?,
            (Schedule::Persistent(team), Some(words)) => {
                persistent::forward(gpu, &pass, team, words)?;
            }
            _ => stepwise::forward(gpu, &pass)?,
        }
        if let Some([h, c]) = before.filter(|_| call.save) {
            for (way, saved) in saved.iter_mut().enumerate() {
                let kept = (!call.how.recompute).then_some(&gates);
                saved.push(SavedChunk {
                    chunk,
                    gates: kept.map(|gates| gates.way(way, [chunk.frames, columns])),
                    h_before: h.way(way, [chunk.frames, hidden_size]),
                    c_before: c.way(way, [chunk.frames, hidden_size]),
                });
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
            weights: call.weights.clone(),
            mask: call.steps.save(),
            how: call.how,
            steps: SavedSteps::Gpu(saved),
        }),
    });
    Ok(outputs.collect())
}

/// R of each way, and the peepholes.
fn recurrent(gpu: &Arc<Gpu>, weights: &[&Weights]) -> Result<(Beside, Option<Beside>)> {
    let r: Vec<_> = weights.iter().map(|w| &w.weight_hh).collect();
    let peepholes: Vec<_> = weights.iter().filter_map(|w| w.peepholes.as_ref()).collect();
    Ok((
        Beside::of(gpu, &r)?,
        if peepholes.is_empty() { None } else { Some(Beside::of(gpu, &peepholes)?) },
    ))
}

/// `gates = x W + b`, of a way.
fn input_product(
    x: &Tensor,
    weights: &Weights,
    chunk: Chunk,
    gates: &Beside,
    way: usize,
) -> Result<()> {
    let [input_size, hidden_size, _] = *weights.weight_ih.shape() else { return Ok(()) };
    let columns = 4 * hidden_size;
    let bias = weights.bias.as_ref();
    Gemm { m: chunk.frames, n: columns, k: input_size, bias, accumulate: false }.run(
        Matrix::new(x, input_size).skip(chunk.first_frame * input_size),
        Matrix::new(&weights.weight_ih, columns),
        Matrix::new(&gates.tensor, columns).skip(way * gates.stride),
    )
}

/// One chunk of a backward pass, for any schedule.
pub(super) struct BackwardChunk<'a> {
    pub(super) part: Part<'a>,
    /// Whether d_h of the state before the chunk is wanted.
    pub(super) before: bool,
    gates: &'a Beside,
    rt: &'a Beside,
    c_before: &'a Beside,
    d_state: &'a Tensor,
    peepholes: Option<(&'a Beside, &'a Beside)>,
}

impl BackwardChunk<'_> {
    pub(super) fn cost(&self, frames: usize) -> Cost {
        // Gates in, their gradients out; c before; the output's gradient.
        self.part.cost(frames, 9 + usize::from(self.part.y.is_some()))
    }

    pub(super) fn constants(&self) -> [Constant; 1] {
        [self.part.lengths_constant()]
    }

    pub(super) fn uniform(&self, step: usize, before: bool) -> [u32; UNIFORM] {
        self.part.uniform(step, [0, 0], false, before)
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

/// The chunks of each way, if they lie side by side.
fn saved_together(passes: &[Backward<'_>]) -> bool {
    let chunks = |pass: &Backward<'_>| match &pass.saved.steps {
        SavedSteps::Gpu(chunks) => chunks.iter().map(|c| c.c_before.clone()).collect(),
        SavedSteps::Cpu(_) => vec![],
    };
    let ways: Vec<Vec<Tensor>> = passes.iter().map(chunks).collect();
    let same = ways.iter().all(|way| way.len() == ways[0].len());
    let beside = |number: usize| {
        let all: Vec<_> = ways.iter().map(|way| &way[number]).collect();
        Beside::view(&all).is_some()
    };
    same && (0..ways[0].len()).all(beside)
}

pub(super) fn backward(
    gpu: &Arc<Gpu>,
    passes: Vec<Backward<'_>>,
    wanted: Wanted,
) -> Result<Vec<Leaving>> {
    let count = passes.len();
    if count > 1 && !saved_together(&passes) {
        let alone = passes.into_iter().map(|pass| backward(gpu, vec![pass], wanted));
        return Ok(alone.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect());
    }
    let Some(first) = passes.first() else { return Ok(vec![]) };
    let (sizes, x, mask) = (first.saved.sizes, first.saved.x.clone(), first.saved.mask.clone());
    let (how, d_y) = (first.saved.how, first.arriving.d_y);
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let device = x.device();
    let half = first.saved.weights.is_half();
    let ragged = mask.steps().lengths().is_some();
    let schedule = match how.compared {
        Some(_) => Schedule::Sequence { rows: 8 },
        None => {
            let task = Task {
                pass: Pass::Backward,
                variant: is_variant(how, mask.steps()),
                ragged,
                half,
                ways: count,
                batch,
                hidden_size,
            };
            plan::schedule(gpu, how.strategy, task)?
        }
    };
    let deal = plan::deal(gpu, ragged, count);
    let columns = 4 * hidden_size;

    let d_state = States::new(count, 1, sizes, &device)?;
    let arrives = |pass: &Backward<'_>| pass.arriving.d_h_n.or(pass.arriving.d_c_n).is_some();
    if passes.iter().any(arrives) {
        for (way, Backward { arriving, .. }) in passes.iter().enumerate() {
            for (arriving, slot) in
                [(arriving.d_h_n, d_state.h(way, 0)), (arriving.d_c_n, d_state.c(way, 0))]
            {
                match arriving {
                    Some(gradient) => copy(gradient, &slot)?,
                    None => fill(&slot, 0.0)?,
                }
            }
        }
    } else {
        fill(&d_state.tensor, 0.0)?;
    }
    let mut chunks = Vec::new();
    let mut all_weights = Vec::new();
    let mut gradients = Vec::new();
    let mut hows = Vec::new();
    for Backward { saved, gradients: sums, .. } in passes {
        let SavedSteps::Gpu(saved_chunks) = saved.steps else { continue };
        chunks.push(saved_chunks);
        all_weights.push(saved.weights);
        gradients.push(sums);
        hows.push(saved.how);
    }
    let weights: Vec<_> = all_weights.iter().collect();
    let (r, peepholes) = recurrent(gpu, &weights)?;
    let square = (columns * hidden_size).next_multiple_of(2 * PLACE);
    let rt = Beside::empty(gpu, half, count, square)?;
    for (way, weights) in weights.iter().enumerate() {
        transpose_gates_into(&weights.weight_hh, &rt.way(way, weights.weight_hh.shape()))?;
    }
    let d_peepholes = match &peepholes {
        Some(_) => {
            let d = Beside::empty(gpu, false, count, 4 * d_state.c_offset)?;
            fill(&d.tensor, 0.0)?;
            Some(d)
        }
        None => None,
    };
    let d_x = match wanted.d_x {
        true => Some(Tensor::empty(x.shape(), &device)?),
        false => None,
    };
    loop {
        // The last chunk of each way.
        let saved: Vec<_> = chunks.iter_mut().filter_map(Vec::pop).collect();
        let Some(&SavedChunk { chunk, .. }) = saved.first() else { break };
        let next = chunks.first().and_then(|chunks| chunks.last());
        let goes_on = next.is_some_and(|next| next.chunk.first_row == chunk.first_row);
        let c_before = Beside::of(gpu, &saved.iter().map(|s| &s.c_before).collect::<Vec<_>>())?;
        let frames = c_before.stride / hidden_size;
        let part = |y, r| Part {
            chunk,
            hidden_size,
            half,
            timesteps,
            c_offset: d_state.c_offset,
            steps: mask.steps(),
            ways: Ways::new(&hows, frames, r, peepholes.as_ref()),
            how,
            y,
            deal,
        };
        let kept: Vec<_> = saved.iter().filter_map(|saved| saved.gates.as_ref()).collect();
        let gates = match kept.is_empty() {
            false => Beside::of(gpu, &kept)?,
            true => {
                let gates = Beside::empty(gpu, half, count, frames * columns)?;
                for (way, (weights, saved)) in weights.iter().zip(&saved).enumerate() {
                    input_product(&x, weights, chunk, &gates, way)?;
                    let (m, n, k) = (chunk.frames, columns, hidden_size);
                    Gemm { m, n, k, bias: None, accumulate: true }.run(
                        Matrix::new(&saved.h_before, hidden_size),
                        Matrix::new(&weights.weight_hh, columns),
                        Matrix::new(&gates.tensor, columns).skip(way * gates.stride),
                    )?;
                }
                let h_before =
                    Beside::of(gpu, &saved.iter().map(|s| &s.h_before).collect::<Vec<_>>())?;
                let c_before = Beside { tensor: c_before.tensor.clone(), stride: c_before.stride };
                let pass = ForwardChunk {
                    part: part(None, &r),
                    save: true,
                    initial: false,
                    gates: &gates,
                    r: &r,
                    peepholes: peepholes.as_ref(),
                    before: Some(&[h_before, c_before]),
                    states: &d_state.tensor,
                    pairs: [0, 0],
                };
                recompute::activate(gpu, &pass, &gates.tensor)?;
                gates
            }
        };
        let pass = BackwardChunk {
            part: part(d_y, &rt),
            before: wanted.d_state || goes_on,
            gates: &gates,
            rt: &rt,
            c_before: &c_before,
            d_state: &d_state.tensor,
            peepholes: peepholes.as_ref().zip(d_peepholes.as_ref()),
        };
        let exchanged = match schedule {
            Schedule::Persistent(team) => {
                4 * persistent::exchange_len(Pass::Backward, chunk, pass.part.ways, team)
            }
            _ => 0,
        };
        let d_a = match schedule {
            Schedule::Sequence { rows } => {
                sequence::backward(gpu, &pass, rows)?;
                gates
            }
            Schedule::Persistent(team) if exchanged as u64 <= gpu.max_binding() => {
                persistent::backward(gpu, &pass, team)?
            }
            _ => {
                stepwise::backward(gpu, &pass)?;
                gates
            }
        };
        let (rows, first) = (chunk.frames, chunk.first_frame);
        for (way, ((weights, gradients), saved)) in
            weights.iter().zip(&gradients).zip(&saved).enumerate()
        {
            let sums = d_a.way(way, [rows, columns]);
            let d_a = Matrix::new(&sums, columns);
            if let Some(d_x) = &d_x {
                let accumulate = way > 0;
                Gemm { m: rows, n: input_size, k: columns, bias: None, accumulate }.run(
                    d_a,
                    Matrix::new(&weights.weight_ih, columns).t(),
                    Matrix::new(d_x, input_size).skip(first * input_size),
                )?;
            }
            Gemm { m: input_size, n: columns, k: rows, bias: None, accumulate: true }.run(
                Matrix::new(&x, input_size).skip(first * input_size).t(),
                d_a,
                Matrix::new(&gradients.weight_ih, columns),
            )?;
            Gemm { m: hidden_size, n: columns, k: rows, bias: None, accumulate: true }.run(
                Matrix::new(&saved.h_before, hidden_size).t(),
                d_a,
                Matrix::new(&gradients.weight_hh, columns),
            )?;
            if let Some(bias) = &gradients.bias {
                column_sum(&sums, bias)?;
            }
        }
    }
    if let Some(rows) = &d_peepholes {
        for (way, gradients) in gradients.iter().enumerate() {
            if let Some(sum) = &gradients.peepholes {
                column_sum(&rows.way(way, [batch, columns]), sum)?;
            }
        }
    }
    let mut d_x = match (d_x, mask.steps()) {
        (Some(packed), Steps::Lengths(lengths)) => Some(unpack(&packed, lengths, timesteps)?),
        (d_x, _) => d_x,
    };
    let leaving = (0..count).map(|way| Leaving {
        d_x: d_x.take(),
        d_state: wanted.d_state.then(|| (d_state.h(way, 0), d_state.c(way, 0))),
    });
    Ok(leaving.collect())
}
