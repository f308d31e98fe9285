//! The passes of a layer on a GPU: products over whole chunks, and the recurrence between them.

use super::plan::{self, Chunk, Pass, RowLengths, Schedule, Task};
use super::transpose_gates::transpose_gates;
use super::{Arriving, Columns, Forward, How, Leaving, Output, Saved, SavedSteps, Sizes, Steps};
use super::{Wanted, Weights, persistent, recompute, sequence, stepwise};
use crate::device::Backend;
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

/// Words of the kernels' uniform: 19 of the chunk, 19 of the cell, and those of one schedule alone.
pub(super) const UNIFORM: usize = 38 + persistent::UNIFORM;

/// The values of a chunk's timesteps.
pub(super) struct SavedChunk {
    chunk: Chunk,
    /// `[frames,H,4]`, activated, unless they are computed anew; the backward pass turns them into
    /// d_a.
    gates: Option<Tensor>,
    /// `[frames,H]`, of the state before each step.
    h_before: Tensor,
    c_before: Tensor,
}

/// Pairs of `[B,H]` in one buffer: h, then c.
struct States {
    tensor: Tensor,
    c_offset: usize,
    shape: [usize; 2],
}

impl States {
    fn new(pairs: usize, sizes: Sizes, device: &Device) -> Result<Self> {
        // 64 words are 256 bytes: a place where every GPU can bind.
        let c_offset = (sizes.batch * sizes.hidden_size).next_multiple_of(64);
        Ok(Self {
            tensor: Tensor::empty([2 * pairs, c_offset], device)?,
            c_offset,
            shape: [sizes.batch, sizes.hidden_size],
        })
    }

    fn h(&self, pair: usize) -> Tensor {
        self.tensor.view(2 * pair * self.c_offset, self.shape)
    }

    fn c(&self, pair: usize) -> Tensor {
        self.tensor.view((2 * pair + 1) * self.c_offset, self.shape)
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
    pub(super) how: How,
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

    /// Of so many frames in one dispatch: `h Rᵀ` or its gradient, and R read once.
    fn cost(&self, frames: usize, words_a_frame: usize) -> Cost {
        let square = (self.hidden_size * self.hidden_size) as f64;
        let words = 4.0 * square + (frames * words_a_frame * self.hidden_size) as f64;
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
            self.how.reverse.into(),
            self.steps.mask().map_or(0, |_| 1 + usize::from(self.how.zero_left_out)),
            self.deal,
            before.into(),
        ]
        .map(|w| w as u32);
        let mut all = [0; UNIFORM];
        let cell = self.how.cell.uniform(self.how.noise);
        for (to, word) in all.iter_mut().zip(words.into_iter().chain(cell)) {
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
    gates: &'a Tensor,
    weights: &'a Weights,
    before: Option<&'a [Tensor; 2]>,
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
            Some(self.gates),
            Some(&self.weights.weight_hh),
            self.before.map(|b| &b[0]),
            self.before.map(|b| &b[1]),
            self.part.y.map(|y| y.tensor),
            self.part.rows(),
            Some(self.states),
            self.weights.peepholes.as_ref(),
        ]
    }
}

fn is_variant(how: How, steps: Steps<'_>) -> bool {
    how.cell.is_variant() || steps.mask().is_some()
}

/// Sums, gates or their gradients, before anything is in them.
fn empty_gates(gpu: &Arc<Gpu>, half: bool, shape: [usize; 2]) -> Result<Tensor> {
    match half {
        true => Tensor::empty_f16(shape, gpu),
        false => Tensor::empty(shape, &Device(Backend::Gpu(gpu.clone()))),
    }
}

fn row_lengths(steps: Steps<'_>, sizes: Sizes) -> RowLengths<'_> {
    match steps.lengths() {
        Some(lengths) => RowLengths::Table(lengths.rows()),
        None => RowLengths::Same { rows: sizes.batch, timesteps: sizes.timesteps },
    }
}

pub(super) fn forward(call: &Forward<'_>, sizes: Sizes) -> Result<Output> {
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let device = call.x.device();
    let Some(gpu) = call.x.gpu() else {
        return super::cpu::forward(call, sizes);
    };
    let variant = is_variant(call.how, call.steps);
    let half = call.weights.is_half();
    let strategy = call.how.strategy;
    let ragged = call.steps.lengths().is_some();
    let schedule = match call.how.compared {
        Some(_) => Schedule::Sequence { rows: 16 },
        None => {
            let pass = Pass::Forward;
            let task = Task { pass, variant, ragged, half, batch, hidden_size };
            plan::schedule(gpu, strategy, task)?
        }
    };
    let deal = plan::deal(gpu, ragged);
    let words = gpu.options.chunk_words.unwrap_or((gpu.max_binding() / 4) as usize);
    let columns = 4 * hidden_size;

    // What is left out may be NaN, and NaN times a gradient of zero is NaN.
    let x = match call.steps {
        Steps::All => call.x.clone(),
        Steps::Lengths(lengths) => pack(call.x, lengths)?,
        Steps::Mask(mask) => mask_steps(call.x, mask)?,
    };
    let states = States::new(2, sizes, &device)?;
    if let Some((h_0, c_0)) = call.state {
        copy(h_0, &states.h(0))?;
        copy(c_0, &states.c(0))?;
    }
    let mut saved = Vec::new();
    let mut chunks = plan::chunks(row_lengths(call.steps, sizes), hidden_size, words)?;
    if call.how.reverse {
        chunks.reverse();
    }
    // The chunks of one long row follow each other. A chunk reads one pair of states and writes
    // the other, since its units run at different times; a row's last one writes the second pair.
    if let (Some((h_0, c_0)), true) = (call.state, chunks.iter().any(|c| c.first_step > 0)) {
        copy(h_0, &states.h(1))?;
        copy(c_0, &states.c(1))?;
    }
    let rows: Vec<_> = chunks.iter().map(|c| c.first_row).collect();
    for (number, chunk) in chunks.into_iter().enumerate() {
        let continues = number > 0 && rows[number - 1] == chunk.first_row;
        let left = rows[number + 1..].iter().take_while(|&&row| row == chunk.first_row).count();
        let pairs = if left % 2 == 0 { [0, 1] } else { [1, 0] };
        let gates = empty_gates(gpu, half, [chunk.frames, columns])?;
        Gemm {
            m: chunk.frames,
            n: columns,
            k: input_size,
            bias: call.weights.bias.as_ref(),
            accumulate: false,
        }
        .run(
            Matrix::new(&x, input_size).skip(chunk.first_frame * input_size),
            Matrix::new(&call.weights.weight_ih, columns),
            Matrix::new(&gates, columns),
        )?;
        let exchange = match schedule {
            Schedule::Persistent(team) => {
                Some(persistent::Exchange::new(Pass::Forward, chunk, team, &device)?)
            }
            _ => None,
        };
        let history = || Tensor::empty([chunk.frames, hidden_size], &device);
        // `Stepwise` hands the state from dispatch to dispatch in these, saved or not.
        let before = match call.save || schedule == Schedule::Stepwise {
            true => {
                let h = exchange.as_ref().map(|exchange| exchange.frames(hidden_size));
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
                how: call.how,
                y: call.y,
                deal,
            },
            save: call.save,
            initial: call.state.is_some() || continues,
            gates: &gates,
            weights: call.weights,
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
        if let Some([h_before, c_before]) = before.filter(|_| call.save) {
            let gates = (!call.how.recompute).then_some(gates);
            saved.push(SavedChunk { chunk, gates, h_before, c_before });
        }
    }
    Ok(Output {
        h_n: states.h(1),
        c_n: states.c(1),
        saved: call.save.then(|| Saved {
            sizes,
            x,
            weights: call.weights.clone(),
            mask: call.steps.save(),
            how: call.how,
            steps: SavedSteps::Gpu(saved),
        }),
    })
}

/// One chunk of a backward pass, for any schedule.
pub(super) struct BackwardChunk<'a> {
    pub(super) part: Part<'a>,
    /// Whether d_h of the state before the chunk is wanted.
    pub(super) before: bool,
    gates: &'a Tensor,
    rt: &'a Tensor,
    c_before: &'a Tensor,
    d_state: &'a Tensor,
    peepholes: Option<(&'a Tensor, &'a Tensor)>,
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
            Some(self.gates),
            Some(self.rt),
            Some(self.c_before),
            self.part.y.map(|y| y.tensor),
            self.part.rows(),
            Some(self.d_state),
            self.peepholes.map(|p| p.0),
            self.peepholes.map(|p| p.1),
        ]
    }
}

pub(super) fn backward(
    saved: Saved,
    arriving: Arriving<'_>,
    gradients: &Weights,
    wanted: Wanted,
) -> Result<Leaving> {
    let Saved { sizes, x, weights, mask, how, steps } = saved;
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let (SavedSteps::Gpu(chunks), Some(gpu)) = (steps, x.gpu()) else {
        return Ok(Leaving { d_x: None, d_state: None });
    };
    let device = x.device();
    let variant = is_variant(how, mask.steps());
    let half = weights.is_half();
    let ragged = mask.steps().lengths().is_some();
    let schedule = match how.compared {
        Some(_) => Schedule::Sequence { rows: 8 },
        None => {
            let pass = Pass::Backward;
            let task = Task { pass, variant, ragged, half, batch, hidden_size };
            plan::schedule(gpu, how.strategy, task)?
        }
    };
    let deal = plan::deal(gpu, ragged);
    let columns = 4 * hidden_size;

    let rt = transpose_gates(&weights.weight_hh)?;
    let d_state = States::new(1, sizes, &device)?;
    for (arriving, slot) in [(arriving.d_h_n, d_state.h(0)), (arriving.d_c_n, d_state.c(0))] {
        match arriving {
            Some(gradient) => copy(gradient, &slot)?,
            None => fill(&slot, 0.0)?,
        }
    }
    let d_peepholes = match &weights.peepholes {
        Some(_) => Some(Tensor::zeros([batch, columns], &device)?),
        None => None,
    };
    let d_x = match wanted.d_x {
        true => Some(Tensor::empty(x.shape(), &device)?),
        false => None,
    };
    let mut chunks = chunks.into_iter().rev().peekable();
    while let Some(SavedChunk { chunk, gates, h_before, c_before }) = chunks.next() {
        let part = |y| Part {
            chunk,
            hidden_size,
            half,
            timesteps,
            c_offset: d_state.c_offset,
            steps: mask.steps(),
            how,
            y,
            deal,
        };
        let gates = match gates {
            Some(gates) => gates,
            None => {
                let gates = empty_gates(gpu, half, [chunk.frames, columns])?;
                let sums = Matrix::new(&gates, columns);
                let bias = weights.bias.as_ref();
                let (m, n, k) = (chunk.frames, columns, input_size);
                Gemm { m, n, k, bias, accumulate: false }.run(
                    Matrix::new(&x, input_size).skip(chunk.first_frame * input_size),
                    Matrix::new(&weights.weight_ih, columns),
                    sums,
                )?;
                Gemm { m, n, k: hidden_size, bias: None, accumulate: true }.run(
                    Matrix::new(&h_before, hidden_size),
                    Matrix::new(&weights.weight_hh, columns),
                    sums,
                )?;
                let before = [h_before.clone(), c_before.clone()];
                let pass = ForwardChunk {
                    part: part(None),
                    save: true,
                    initial: false,
                    gates: &gates,
                    weights: &weights,
                    before: Some(&before),
                    states: &d_state.tensor,
                    pairs: [0, 0],
                };
                recompute::activate(gpu, &pass, &gates)?;
                gates
            }
        };
        let goes_on = chunks.peek().is_some_and(|next| next.chunk.first_row == chunk.first_row);
        let pass = BackwardChunk {
            part: part(arriving.d_y),
            before: wanted.d_state || goes_on,
            gates: &gates,
            rt: &rt,
            c_before: &c_before,
            d_state: &d_state.tensor,
            peepholes: weights.peepholes.as_ref().zip(d_peepholes.as_ref()),
        };
        let exchanged = match schedule {
            Schedule::Persistent(team) => 4 * persistent::exchange_len(Pass::Backward, chunk, team),
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
        let sums = &d_a;
        let d_a = Matrix::new(sums, columns);
        if let Some(d_x) = &d_x {
            Gemm { m: rows, n: input_size, k: columns, bias: None, accumulate: false }.run(
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
            Matrix::new(&h_before, hidden_size).t(),
            d_a,
            Matrix::new(&gradients.weight_hh, columns),
        )?;
        if let Some(bias) = &gradients.bias {
            column_sum(sums, bias)?;
        }
    }
    if let (Some(rows), Some(sum)) = (&d_peepholes, &gradients.peepholes) {
        column_sum(rows, sum)?;
    }
    let d_x = match (d_x, mask.steps()) {
        (Some(packed), Steps::Lengths(lengths)) => Some(unpack(&packed, lengths, timesteps)?),
        (d_x, _) => d_x,
    };
    Ok(Leaving { d_x, d_state: wanted.d_state.then(|| (d_state.h(0), d_state.c(0))) })
}
