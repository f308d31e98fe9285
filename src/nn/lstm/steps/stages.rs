//! Layers one after the other, and the states of all streams.
//!
//! On the CPU only the rows that have a frame go through them, in the order of the call: LSTMs in memory of
//! their own, the others on tensors. On a GPU all rows do, so that shapes and buffers stay the same, and a mask
//! leaves out those without a frame.

use crate::autograd::{Params, Tape, Var};
use crate::nn::lstm::state::{gather, keep_rows, of_each, parts, put, width};
use crate::nn::{Activation, Layer, LayerState, Own};
use crate::ops::lstm::Stack;
use crate::{Device, Error, Mask, Result, Tensor};
use std::sync::Arc;

pub(super) struct Stages {
    params: Params,
    pub(super) device: Device,
    pub(super) input_size: usize,
    /// The places of streams.
    streams: usize,
    all: Vec<Stage>,
    /// Whether a frame went through, so that it is known which layers have a state.
    tried: bool,
}

/// A layer, and the states of its rows.
struct Stage {
    layer: Arc<dyn Layer>,
    kind: Kind,
}

enum Kind {
    Stack(Box<Stacked>),
    /// On tensors, and what the state will be if no later layer fails.
    Tensors {
        state: LayerState,
        next: LayerState,
    },
}

/// What runs without tensors.
struct Stacked {
    stack: Stack,
    /// The generation and the version of the parameters that the stack has packed.
    at: (u64, u64),
    sequences: bool,
    repeats: bool,
    /// The states before this call, if a later layer may fail.
    before: Vec<f32>,
}

/// The outputs of a last layer on tensors and, if they are known, the values before its activation.
type Given = (Tensor, Option<Tensor>);

impl Stages {
    pub(super) fn new(
        params: &Params,
        layers: Vec<Arc<dyn Layer>>,
        input_size: usize,
        streams: usize,
    ) -> Result<Self> {
        let device = params.device();
        let at = (params.generation(), params.version());
        let stage = |layer: Arc<dyn Layer>| {
            let of = if device.is_gpu() { None } else { layer.stack(Own, params)? };
            let kind = match of {
                Some(of) => {
                    let stack = Stack::new(streams, of.layers, of.config)?;
                    let (sequences, repeats, before) = (of.sequences, of.repeats, Vec::new());
                    Kind::Stack(Box::new(Stacked { stack, at, sequences, repeats, before }))
                }
                None => Kind::Tensors { state: LayerState(None), next: LayerState(None) },
            };
            Ok(Stage { layer, kind })
        };
        let all = layers.into_iter().map(stage).collect::<Result<_>>()?;
        Ok(Self { params: params.clone(), device, input_size, streams, all, tried: false })
    }

    pub(super) fn first(&self) -> Option<&dyn Layer> {
        self.all.first().map(|stage| &*stage.layer)
    }

    pub(super) fn takes_tokens(&self) -> bool {
        self.input_size == 1 && self.first().is_some_and(|first| first.takes_tokens())
    }

    /// The features of an output.
    pub(super) fn output_size(&self) -> usize {
        self.all.last().map_or(self.input_size, |last| last.layer.output_size())
    }

    /// Sets a row's states on the CPU to zero.
    pub(super) fn zero(&mut self, row: usize) {
        for stage in &mut self.all {
            match &mut stage.kind {
                Kind::Stack(stacked) => stacked.stack.reset(row),
                Kind::Tensors { state, .. } => parts(state).for_each(|part| {
                    let size = width(part);
                    part.tensor().cpu_mut(|all| all[row * size..][..size].fill(0.0));
                }),
            }
        }
    }

    /// The numbers of a row's states.
    pub(super) fn state_len(&self) -> usize {
        let len = |stage: &Stage| match &stage.kind {
            Kind::Stack(stacked) => stacked.stack.state_len(),
            Kind::Tensors { state, .. } => parts(state).map(width).sum(),
        };
        self.all.iter().map(len).sum()
    }

    pub(super) fn state(&self, row: usize) -> Result<Vec<f32>> {
        let mut numbers = Vec::new();
        for stage in &self.all {
            match &stage.kind {
                Kind::Stack(stacked) => stacked.stack.state(row, &mut numbers),
                Kind::Tensors { state, .. } => parts(state).try_for_each(|part| {
                    let (size, all) = (width(part), part.tensor().to_vec()?);
                    numbers.extend_from_slice(&all[row * size..][..size]);
                    Ok(())
                })?,
            }
        }
        Ok(numbers)
    }

    /// Replaces a row's states by as many numbers.
    pub(super) fn set_state(&mut self, row: usize, mut numbers: &[f32]) -> Result<()> {
        let mut take = |len: usize| numbers.split_off(..len).unwrap_or_default();
        let mut stacks = Vec::new();
        for stage in &mut self.all {
            match &mut stage.kind {
                Kind::Stack(stacked) => {
                    let numbers = take(stacked.stack.state_len());
                    stacks.push((stacked, numbers));
                }
                Kind::Tensors { state, next } => {
                    *next = of_each(state, |part| {
                        let (size, mut all) = (width(part), part.tensor().to_vec()?);
                        all[row * size..][..size].copy_from_slice(take(size));
                        Tensor::from_slice(&all, part.shape(), &self.device)
                    })?;
                }
            }
        }
        // Nothing fails from here on.
        stacks.into_iter().for_each(|(stacked, numbers)| stacked.stack.set_state(row, numbers));
        for stage in &mut self.all {
            if let Kind::Tensors { state, next } = &mut stage.kind {
                *state = std::mem::take(next);
            }
        }
        Ok(())
    }

    /// Values of `n` rows as a layer takes them: tokens `[n,1]` if it is the first, a frame of each `[n,1,F]` or,
    /// behind a layer that gives no sequence, `[n,F]`.
    pub(super) fn input(&self, values: &[f32], n: usize, first: bool) -> Result<Tensor> {
        if first && self.takes_tokens() {
            // What is no token is none of the table's, either.
            let token = |&value: &f32| match value >= 0.0 && value.fract() == 0.0 {
                true => value as u32,
                false => u32::MAX,
            };
            let tokens: Vec<_> = values.iter().map(token).collect();
            return Tensor::from_u32(&tokens, [n, 1], &self.device);
        }
        Tensor::from_slice(values, [n, 1, values.len() / n], &self.device)
    }

    /// Runs all layers on the frames of some rows on the CPU. The outputs take the place of the frames, unless the
    /// last layer runs on tensors: then it gives them. After an error the states are those before.
    pub(super) fn run_rows(
        &mut self,
        values: &mut Vec<f32>,
        rows: &[usize],
    ) -> Result<Option<Given>> {
        let now = (self.params.generation(), self.params.version());
        for Stage { layer, kind } in &mut self.all {
            let Kind::Stack(stacked) = kind else { continue };
            if stacked.at != now
                && let Some(of) = layer.stack(Own, &self.params)?
            {
                stacked.stack.set_weights(of.layers);
                stacked.at = now;
            }
            stacked.stack.prepare()?;
        }
        let mut done = 0;
        let found = self.run_each(values, rows, &mut done).inspect_err(|_| {
            for stage in &mut self.all[..done] {
                if let Kind::Stack(stacked) = &mut stage.kind {
                    stacked.roll_back(rows);
                }
            }
        })?;
        for stage in &mut self.all {
            if let Kind::Tensors { state, next } = &mut stage.kind {
                put(state, &std::mem::take(next), rows);
            }
        }
        self.tried = true;
        Ok(found)
    }

    /// Runs the layers of [`Self::run_rows`]; `done` counts those whose states are those after it.
    fn run_each(
        &mut self,
        values: &mut Vec<f32>,
        rows: &[usize],
        done: &mut usize,
    ) -> Result<Option<Given>> {
        let (mut tape, mut value, mut logits) = (None, None::<Var>, None);
        // Whether the values are sequences; and the frames that a layer left out of them.
        let (mut sequence, mut mask) = (true, None::<Mask>);
        let on_tensors = |stage: &Stage| matches!(stage.kind, Kind::Tensors { .. });
        let fallible = self.all.iter().rposition(on_tensors);
        for number in 0..self.all.len() {
            if let Kind::Stack(stacked) = &mut self.all[number].kind {
                if let Some(x) = value.take() {
                    values.clear();
                    values.extend_from_slice(&x.tensor().cpu());
                    mask = x.mask().cloned();
                }
                let counts = mask.as_ref().map(Mask::values);
                stacked.step(values, rows, counts, fallible > Some(number));
                sequence = stacked.sequences;
                mask = mask.filter(|_| sequence);
            } else {
                let x = match value.take() {
                    Some(x) => x,
                    None => {
                        let x = self.input(values, rows.len(), number == 0)?;
                        let flat = [rows.len(), values.len() / rows.len()];
                        Var::from(if sequence { x } else { x.reshape(flat)? })
                            .with_mask(mask.take())
                    }
                };
                let tape = tape.get_or_insert_with(|| Tape::inference(&self.params));
                let activated = self.tried && number + 1 == self.all.len();
                let stage = &mut self.all[number];
                if let Kind::Tensors { state, next } = &mut stage.kind {
                    let before = of_each(state, |part| gather(part.tensor(), rows))?;
                    let found = step(stage.layer.as_ref(), tape, &x, before, activated)?;
                    (value, *next, logits) = (Some(found.0), found.1, found.2);
                    if state.0.is_none() {
                        let shape = |part: &Var| [self.streams, width(part)];
                        *state = of_each(next, |part| Tensor::zeros(shape(part), &self.device))?;
                    }
                }
            }
            *done = number + 1;
        }
        Ok(value.map(|y| (y.tensor().clone(), logits)))
    }

    /// Runs all layers on a frame of each place on a GPU. The mask has those without a frame, `keep` those whose
    /// states are zeros. After an error the states are those before.
    pub(super) fn run_all(
        &mut self,
        x: Tensor,
        mask: Option<&Mask>,
        keep: Option<&Mask>,
    ) -> Result<Given> {
        let (mut x, mut logits, count) = (Var::from(x), None, self.all.len());
        let tape = Tape::inference(&self.params);
        for (number, Stage { layer, kind }) in self.all.iter_mut().enumerate() {
            let Kind::Tensors { state, next } = kind else { continue };
            // A mask is one of sequences; a layer may have left out more.
            if x.mask().is_none() && (x.shape().len() == 3 || number == 0) {
                x = x.with_mask(mask.cloned());
            }
            let before = match keep {
                Some(keep) => of_each(state, |part| keep_rows(part, keep))?,
                None => state.clone(),
            };
            let activated = self.tried && number + 1 == count;
            let found = step(layer.as_ref(), &tape, &x, before, activated)?;
            (x, *next, logits) = found;
        }
        let shape = [self.streams, width(&x)];
        let given = (x.tensor().reshape(shape)?, logits.map(|l| l.reshape(shape)).transpose()?);
        for stage in &mut self.all {
            if let Kind::Tensors { state, next } = &mut stage.kind {
                *state = std::mem::take(next);
            }
        }
        self.tried = true;
        Ok(given)
    }
}

impl Stacked {
    /// Takes a frame of some rows, in whose place the outputs come. Those that do not count keep their state.
    fn step(
        &mut self,
        values: &mut Vec<f32>,
        rows: &[usize],
        counts: Option<&[bool]>,
        may_fail: bool,
    ) {
        self.before.clear();
        if may_fail {
            rows.iter().for_each(|&row| self.stack.state(row, &mut self.before));
        }
        match counts {
            None => self.stack.step(values, rows),
            Some(counts) => {
                let size = values.len() / rows.len();
                let counting = || counts.iter().enumerate().filter(|(_, on)| **on).map(|(n, _)| n);
                let frames: Vec<_> =
                    counting().flat_map(|n| &values[n * size..][..size]).copied().collect();
                self.stack.step(&frames, &counting().map(|n| rows[n]).collect::<Vec<_>>());
            }
        }
        values.clear();
        for (n, &row) in rows.iter().enumerate() {
            values.extend_from_slice(self.stack.output(row));
            let repeats = self.repeats || counts.is_none_or(|counts| counts[n]) || !self.sequences;
            if !repeats {
                let size = self.stack.output_size();
                let at = values.len() - size;
                values[at..].fill(0.0);
            }
        }
    }

    fn roll_back(&mut self, rows: &[usize]) {
        let len = self.stack.state_len().max(1);
        for (row, state) in rows.iter().zip(self.before.chunks_exact(len)) {
            self.stack.set_state(*row, state);
        }
    }
}

/// Steps a layer: its output, its state and, if it is the last one's and has no state, what it activates.
fn step(
    layer: &dyn Layer,
    tape: &Tape,
    x: &Var,
    state: LayerState,
    last: bool,
) -> Result<(Var, LayerState, Option<Tensor>)> {
    let (y, state, logits) = match last && state.0.is_none() {
        true => {
            let (logits, activation) = layer.forward_logits(tape, x)?;
            let y = activation.forward(tape, &logits)?;
            let logits = Some(logits.tensor().clone());
            (y, state, logits.filter(|_| activation != Activation::Linear))
        }
        false => {
            let (y, state) = layer.step(tape, x, state)?;
            (y, state, None)
        }
    };
    let (n, size) = (x.shape().first().copied().unwrap_or(0), layer.output_size());
    let of_rows = |part: &Var| matches!(*part.shape(), [rows, _] if rows == n);
    if (y.shape() != [n, 1, size] && y.shape() != [n, size]) || !parts(&state).all(of_rows) {
        return Err(Error::Layer {
            kind: layer.kind(),
            method: "step",
            said: format!(
                "an output {:?} or {:?}, and states of {n} rows",
                [n, 1, size],
                [n, size]
            ),
            gave: format!("{:?}", y.shape()),
        });
    }
    Ok((y, state, logits))
}
