//! The passes of a layer on a GPU: products over whole chunks, and the recurrence between them.

use super::plan::{self, Chunk, Pass, Schedule};
use super::transpose_gates::transpose_gates;
use super::{Arriving, Forward, Leaving, Output, Saved, SavedSteps, Sizes, Wanted, Weights};
use super::{sequence, stepwise};
use crate::device::gpu::Gpu;
use crate::device::kernel::Constants;
use crate::ops::column_sum::column_sum;
use crate::ops::copy::copy;
use crate::ops::fill::fill;
use crate::ops::gemm::{Gemm, Matrix};
use crate::ops::mask_steps::mask_steps;
use crate::{Device, Lengths, Result, Tensor};
use std::sync::Arc;

/// The values of a chunk's timesteps.
pub(super) struct SavedChunk {
    chunk: Chunk,
    /// `[b,t,H,4]`, activated; the backward pass turns them into d_a.
    gates: Tensor,
    /// `[b,t,H]`, of the state before each step.
    h_before: Tensor,
    c_before: Tensor,
}

/// A pair of `[B,H]` in one buffer.
struct State {
    tensor: Tensor,
    c_offset: usize,
    shape: [usize; 2],
}

impl State {
    fn new(sizes: Sizes, device: &Device) -> Result<Self> {
        // 64 words are 256 bytes: a place where every GPU can bind.
        let c_offset = (sizes.batch * sizes.hidden_size).next_multiple_of(64);
        Ok(Self {
            tensor: Tensor::empty([2, c_offset], device)?,
            c_offset,
            shape: [sizes.batch, sizes.hidden_size],
        })
    }

    fn h(&self) -> Tensor {
        self.tensor.view(0, self.shape)
    }

    fn c(&self) -> Tensor {
        self.tensor.view(self.c_offset, self.shape)
    }
}

/// One chunk of a forward pass, for either schedule.
pub(super) struct ForwardStep<'a> {
    pub(super) chunk: Chunk,
    pub(super) hidden_size: usize,
    timesteps: usize,
    c_offset: usize,
    save: bool,
    gates: &'a Tensor,
    r: &'a Tensor,
    before: Option<(&'a Tensor, &'a Tensor)>,
    y: Option<&'a Tensor>,
    lengths: Option<&'a Tensor>,
    state_in: Option<&'a Tensor>,
    state_out: &'a Tensor,
}

impl ForwardStep<'_> {
    pub(super) fn constants(&self) -> Constants {
        vec![
            ("SAVE", self.save.into()),
            ("INITIAL", self.state_in.is_some().into()),
            ("SEQUENCES", self.y.is_some().into()),
            ("LENGTHS", self.lengths.is_some().into()),
        ]
    }

    pub(super) fn uniform(&self, step: usize) -> Vec<u32> {
        uniform(self.chunk, self.hidden_size, self.timesteps, self.c_offset, step)
    }

    pub(super) fn tensors(&self) -> Vec<Option<&Tensor>> {
        vec![
            Some(self.gates),
            Some(self.r),
            self.before.map(|b| b.0),
            self.before.map(|b| b.1),
            self.y,
            self.lengths,
            self.state_in,
            Some(self.state_out),
        ]
    }
}

fn uniform(chunk: Chunk, h: usize, timesteps: usize, c_offset: usize, step: usize) -> Vec<u32> {
    [chunk.rows, chunk.steps, h, chunk.first_row, chunk.first_step, timesteps, c_offset, step]
        .map(|w| w as u32)
        .to_vec()
}

pub(super) fn forward(call: &Forward<'_>, sizes: Sizes) -> Result<Output> {
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let device = call.x.device();
    let Some(gpu) = call.x.gpu() else {
        return super::cpu::forward(call, sizes);
    };
    let schedule = plan::schedule(gpu, call.strategy, Pass::Forward, batch, hidden_size)?;
    let words = gpu.options.chunk_words.unwrap_or((gpu.max_binding() / 4) as usize);
    let columns = 4 * hidden_size;

    let y = match call.sequences {
        true => Some(Tensor::empty([batch, timesteps, hidden_size], &device)?),
        false => None,
    };
    let mut state_in = None;
    if let Some((h_0, c_0)) = call.state {
        let state = State::new(sizes, &device)?;
        copy(h_0, &state.h())?;
        copy(c_0, &state.c())?;
        state_in = Some(state);
    }
    let mut state_out = State::new(sizes, &device)?;
    let mut saved = Vec::new();
    for chunk in plan::chunks(batch, timesteps, hidden_size, words)? {
        let rows = chunk.rows * chunk.steps;
        let gates = Tensor::empty([rows, columns], &device)?;
        let first = (chunk.first_row * timesteps + chunk.first_step) * input_size;
        Gemm {
            m: rows,
            n: columns,
            k: input_size,
            bias: Some(&call.weights.bias),
            accumulate: false,
        }
        .run(
            Matrix::new(call.x, input_size).skip(first),
            Matrix::new(&call.weights.weight_ih, columns),
            Matrix::new(&gates, columns),
        )?;
        // `Stepwise` hands the state from dispatch to dispatch in these, saved or not.
        let before = match call.save || schedule == Schedule::Stepwise {
            true => Some((
                Tensor::empty([rows, hidden_size], &device)?,
                Tensor::empty([rows, hidden_size], &device)?,
            )),
            false => None,
        };
        // The chunks of one long row follow each other: the next begins where this one ends.
        // It reads one state and writes another, since its units run at different times.
        let continues = chunk.first_step > 0;
        let next = match continues {
            true => Some(State::new(sizes, &device)?),
            false => None,
        };
        if let Some(next) = next {
            if chunk.rows < batch {
                copy(&state_out.tensor, &next.tensor)?;
            }
            let from = std::mem::replace(&mut state_out, next);
            run_forward(
                gpu,
                schedule,
                &ForwardStep {
                    state_in: Some(&from.tensor),
                    ..step(call, sizes, chunk, &gates, before.as_ref(), y.as_ref(), &state_out)
                },
            )?;
        } else {
            run_forward(
                gpu,
                schedule,
                &ForwardStep {
                    state_in: state_in.as_ref().map(|s| &s.tensor),
                    ..step(call, sizes, chunk, &gates, before.as_ref(), y.as_ref(), &state_out)
                },
            )?;
        }
        if let Some((h_before, c_before)) = before.filter(|_| call.save) {
            saved.push(SavedChunk { chunk, gates, h_before, c_before });
        }
    }
    Ok(Output {
        y,
        h_n: state_out.h(),
        c_n: state_out.c(),
        saved: call.save.then(|| Saved {
            sizes,
            x: call.x.clone(),
            weights: call.weights.clone(),
            lengths: call.lengths.cloned(),
            strategy: call.strategy,
            steps: SavedSteps::Gpu(saved),
        }),
    })
}

fn step<'a>(
    call: &'a Forward<'_>,
    sizes: Sizes,
    chunk: Chunk,
    gates: &'a Tensor,
    before: Option<&'a (Tensor, Tensor)>,
    y: Option<&'a Tensor>,
    state_out: &'a State,
) -> ForwardStep<'a> {
    ForwardStep {
        chunk,
        hidden_size: sizes.hidden_size,
        timesteps: sizes.timesteps,
        c_offset: state_out.c_offset,
        save: call.save,
        gates,
        r: &call.weights.weight_hh,
        before: before.map(|(h, c)| (h, c)),
        y,
        lengths: call.lengths.map(|l| &l.tensor),
        state_in: None,
        state_out: &state_out.tensor,
    }
}

fn run_forward(gpu: &Arc<Gpu>, schedule: Schedule, step: &ForwardStep<'_>) -> Result<()> {
    match schedule {
        Schedule::Sequence { rows } => sequence::forward(gpu, step, rows),
        Schedule::Stepwise => stepwise::forward(gpu, step),
    }
}

/// One chunk of a backward pass, for either schedule.
pub(super) struct BackwardStep<'a> {
    pub(super) chunk: Chunk,
    pub(super) hidden_size: usize,
    timesteps: usize,
    c_offset: usize,
    gates: &'a Tensor,
    rt: &'a Tensor,
    c_before: &'a Tensor,
    d_y: Option<&'a Tensor>,
    lengths: Option<&'a Lengths>,
    d_state: &'a Tensor,
}

impl BackwardStep<'_> {
    pub(super) fn constants(&self) -> Constants {
        vec![("SEQUENCES", self.d_y.is_some().into()), ("LENGTHS", self.lengths.is_some().into())]
    }

    pub(super) fn uniform(&self, step: usize) -> Vec<u32> {
        uniform(self.chunk, self.hidden_size, self.timesteps, self.c_offset, step)
    }

    pub(super) fn tensors(&self) -> Vec<Option<&Tensor>> {
        vec![
            Some(self.gates),
            Some(self.rt),
            Some(self.c_before),
            self.d_y,
            self.lengths.map(|l| &l.tensor),
            Some(self.d_state),
        ]
    }
}

pub(super) fn backward(
    saved: Saved,
    arriving: Arriving<'_>,
    gradients: &Weights,
    wanted: Wanted,
) -> Result<Leaving> {
    let Saved { sizes, x, weights, lengths, strategy, steps } = saved;
    let Sizes { batch, timesteps, input_size, hidden_size } = sizes;
    let (SavedSteps::Gpu(chunks), Some(gpu)) = (steps, x.gpu()) else {
        return Ok(Leaving { d_x: None, d_state: None });
    };
    let device = x.device();
    let schedule = plan::schedule(gpu, strategy, Pass::Backward, batch, hidden_size)?;
    let columns = 4 * hidden_size;

    let rt = transpose_gates(&weights.weight_hh)?;
    let d_state = State::new(sizes, &device)?;
    for (arriving, slot) in [(arriving.d_h_n, d_state.h()), (arriving.d_c_n, d_state.c())] {
        match arriving {
            Some(gradient) => copy(gradient, &slot)?,
            None => fill(&slot, 0.0)?,
        }
    }
    // Padding may hold NaN, and NaN times a gradient of zero is NaN.
    let inputs = match &lengths {
        Some(lengths) => mask_steps(&x, lengths)?,
        None => x.clone(),
    };
    let d_x = match wanted.d_x {
        true => Some(Tensor::empty(x.shape(), &device)?),
        false => None,
    };
    for SavedChunk { chunk, gates, h_before, c_before } in chunks.into_iter().rev() {
        let step = BackwardStep {
            chunk,
            hidden_size,
            timesteps,
            c_offset: d_state.c_offset,
            gates: &gates,
            rt: &rt,
            c_before: &c_before,
            d_y: arriving.d_y,
            lengths: lengths.as_ref(),
            d_state: &d_state.tensor,
        };
        match schedule {
            Schedule::Sequence { rows } => sequence::backward(gpu, &step, rows)?,
            Schedule::Stepwise => stepwise::backward(gpu, &step)?,
        }
        let rows = chunk.rows * chunk.steps;
        let first = chunk.first_row * timesteps + chunk.first_step;
        let d_a = Matrix::new(&gates, columns);
        // What flows through R to the state before the chunk.
        if wanted.d_state || chunk.first_step > 0 {
            Gemm { m: chunk.rows, n: hidden_size, k: columns, bias: None, accumulate: true }.run(
                d_a.stride(chunk.steps * columns),
                Matrix::new(&weights.weight_hh, columns).t(),
                Matrix::new(&d_state.tensor, hidden_size).skip(chunk.first_row * hidden_size),
            )?;
        }
        if let Some(d_x) = &d_x {
            Gemm { m: rows, n: input_size, k: columns, bias: None, accumulate: false }.run(
                d_a,
                Matrix::new(&weights.weight_ih, columns).t(),
                Matrix::new(d_x, input_size).skip(first * input_size),
            )?;
        }
        Gemm { m: input_size, n: columns, k: rows, bias: None, accumulate: true }.run(
            Matrix::new(&inputs, input_size).skip(first * input_size).t(),
            d_a,
            Matrix::new(&gradients.weight_ih, columns),
        )?;
        Gemm { m: hidden_size, n: columns, k: rows, bias: None, accumulate: true }.run(
            Matrix::new(&h_before, hidden_size).t(),
            d_a,
            Matrix::new(&gradients.weight_hh, columns),
        )?;
        column_sum(&gates, &gradients.bias)?;
    }
    Ok(Leaving { d_x, d_state: wanted.d_state.then(|| (d_state.h(), d_state.c())) })
}
