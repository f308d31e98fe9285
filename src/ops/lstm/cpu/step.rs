//! One timestep of a stack of layers, for streams: each active row goes through all layers on one thread, in
//! memory that is reused. A step is bound by reading the weights; allocating tensors would take as long
//! again.

use super::micro::{accumulate, load, most_rows, row_of, store, tiles, weights_of};
use super::{Blocks, WAKING, cell_of, lanes};
use crate::device::cpu::Aligned;
use crate::device::threads::each as each_job;
use crate::ops::gemm::cpu::{View, alone};
use crate::ops::lstm::{CellConfig, Weights};
use crate::tensor::room_for;
use crate::{Result, Tensor};
use pulp::{Arch, Simd, WithSimd};
use std::sync::Arc;

/// Stacked layers of one width, with a state for each row.
pub(crate) struct Stack {
    blocks: Blocks,
    input_size: usize,
    config: CellConfig,
    layers: Vec<Layer>,
    /// The rows in even shares, one for each thread that is worth waking.
    shares: Vec<Share>,
    /// The rows of each share but the last.
    each: usize,
}

/// A layer of a [`Stack`], with weights on the CPU.
pub(crate) struct StackLayer {
    pub(crate) weights: Weights,
    /// The weight `[H,P]` of what the layer gives, if that is not h.
    pub(crate) projection: Option<Tensor>,
}

impl StackLayer {
    fn input_size(&self) -> usize {
        self.weights.weight_ih.shape()[0]
    }

    fn output_size(&self) -> usize {
        let [hidden_size, ..] = *self.weights.weight_hh.shape() else { return 0 };
        self.projection.as_ref().map_or(hidden_size, |weight| weight.len() / hidden_size)
    }
}

struct Layer {
    of: StackLayer,
    packed: Option<Packed>,
}

struct Packed {
    weight_ih: Arc<Aligned>,
    r: Arc<Aligned>,
    bias: Option<Arc<Aligned>>,
    peepholes: Option<Arc<Aligned>>,
    /// A copy: who holds on to parameters makes each step of a training copy them all.
    projection: Option<Vec<f32>>,
}

/// The rows of one thread.
struct Share {
    /// The first row in the stack.
    first: usize,
    /// The h of each layer, `[rows, units]`.
    h: Vec<Vec<f32>>,
    c: Vec<Vec<f32>>,
    h_next: Vec<f32>,
    /// The projected h of each layer, `[rows,P]`, or nothing.
    projected: Vec<Vec<f32>>,
    /// The rows of the share that have a frame in this step, and the place of each frame.
    running: Vec<usize>,
    frames: Vec<usize>,
}

/// `len` zeros, or an error if there is no memory for them.
fn zeros(len: usize) -> Result<Vec<f32>> {
    let mut zeros: Vec<f32> = room_for("the states of streams", len)?;
    zeros.resize(len, 0.0);
    Ok(zeros)
}

impl Stack {
    /// A stack with states of zeros; `layers` are the lowest first.
    pub(crate) fn new(rows: usize, layers: Vec<StackLayer>, config: CellConfig) -> Result<Self> {
        let hidden_size = layers.first().map_or(0, |layer| layer.weights.weight_hh.shape()[0]);
        let input_size = layers.first().map_or(0, StackLayer::input_size);
        let blocks = Blocks::new(lanes(), hidden_size);
        let len =
            |layer: &StackLayer| layer.weights.weight_ih.len() + layer.weights.weight_hh.len();
        let weights: usize = layers.iter().map(len).sum();
        let threads = layers.first().map_or(1, |layer| layer.weights.weight_ih.threads());
        let shares = match rows.saturating_mul(weights) < WAKING {
            true => 1,
            false => rows.clamp(1, threads.max(1)),
        };
        let each = rows.div_ceil(shares).max(1);
        let shares = (0..rows).step_by(each).map(|first| {
            let rows = each.min(rows - first);
            let state = || zeros(rows * blocks.units());
            let all = || layers.iter().map(|_| state()).collect::<Result<Vec<_>>>();
            let projected = |layer: &StackLayer| match layer.projection {
                Some(_) => zeros(rows * layer.output_size()),
                None => Ok(Vec::new()),
            };
            Ok(Share {
                first,
                h: all()?,
                c: all()?,
                h_next: state()?,
                projected: layers.iter().map(projected).collect::<Result<_>>()?,
                running: Vec::with_capacity(rows),
                frames: Vec::with_capacity(rows),
            })
        });
        let shares = shares.collect::<Result<_>>()?;
        let mut stack = Self { blocks, input_size, config, layers: vec![], shares, each };
        stack.set_weights(layers);
        Ok(stack)
    }

    /// Replaces the weights by others of the same shapes.
    pub(crate) fn set_weights(&mut self, layers: Vec<StackLayer>) {
        self.layers = layers.into_iter().map(|of| Layer { of, packed: None }).collect();
    }

    /// The features of an output.
    pub(crate) fn output_size(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.of.output_size())
    }

    /// The numbers of a row's state.
    pub(crate) fn state_len(&self) -> usize {
        let projected =
            |layer: &Layer| layer.of.projection.as_ref().map(|_| layer.of.output_size());
        let projected: usize = self.layers.iter().filter_map(projected).sum();
        2 * self.layers.len() * self.blocks.hidden_size + projected
    }

    /// Appends a row's state: h and c of each layer, then the projected h of each that projects.
    pub(crate) fn state(&self, row: usize, to: &mut Vec<f32>) {
        let (share, size) = (&self.shares[row / self.each], self.blocks.hidden_size);
        for state in share.h.iter().zip(&share.c).flat_map(|(h, c)| [h, c]) {
            to.extend_from_slice(&state[row % self.each * self.blocks.units()..][..size]);
        }
        for (outputs, layer) in share.projected.iter().zip(&self.layers) {
            if !outputs.is_empty() {
                let size = layer.of.output_size();
                to.extend_from_slice(&outputs[row % self.each * size..][..size]);
            }
        }
    }

    /// Calls `f` with each part of a row's state, in the order of [`Self::state`].
    fn each_part(&mut self, row: usize, mut f: impl FnMut(&mut [f32])) {
        let (share, size) = (&mut self.shares[row / self.each], self.blocks.hidden_size);
        for state in share.h.iter_mut().zip(&mut share.c).flat_map(|(h, c)| [h, c]) {
            f(&mut state[row % self.each * self.blocks.units()..][..size]);
        }
        for (outputs, layer) in share.projected.iter_mut().zip(&self.layers) {
            if !outputs.is_empty() {
                let size = layer.of.output_size();
                f(&mut outputs[row % self.each * size..][..size]);
            }
        }
    }

    /// Replaces a row's state by what [`Self::state`] gave.
    pub(crate) fn set_state(&mut self, row: usize, mut state: &[f32]) {
        self.each_part(row, |to| {
            if let Some(from) = state.split_off(..to.len()) {
                to.copy_from_slice(from);
            }
        });
    }

    /// Sets a row's state to zero.
    pub(crate) fn reset(&mut self, row: usize) {
        self.each_part(row, |part| part.fill(0.0));
    }

    /// Packs the weights, unless they are. Only this can fail, and it changes no state.
    pub(crate) fn prepare(&mut self) -> Result<()> {
        for Layer { of, packed, .. } in &mut self.layers {
            if packed.is_none() {
                let weights = &of.weights;
                let [bias, peepholes] = self.blocks.packed_rows(weights)?;
                *packed = Some(Packed {
                    weight_ih: self.blocks.packed_forward(&weights.weight_ih)?,
                    r: self.blocks.packed_forward(&weights.weight_hh)?,
                    bias,
                    peepholes,
                    projection: of.projection.as_ref().map(|weight| weight.cpu().to_vec()),
                });
            }
        }
        Ok(())
    }

    /// Takes a frame of some rows, each at most once: `x` is `[frames, input_size]`. Call `prepare` before.
    pub(crate) fn step(&mut self, x: &[f32], rows: &[usize]) {
        let Self { blocks, input_size, ref config, ref layers, ref mut shares, each } = *self;
        for share in &mut *shares {
            share.running.clear();
            share.frames.clear();
        }
        for (frame, row) in rows.iter().enumerate() {
            let share = &mut shares[row / each];
            share.running.push(row - share.first);
            share.frames.push(frame);
        }
        let busy = |share: &&mut Share| !share.running.is_empty();
        let threads = shares.iter_mut().filter(busy).count();
        let run = || {
            each_job(shares.iter_mut().filter(busy), threads, |share| {
                Arch::new().dispatch(Step { blocks, config, layers, x, input_size, share });
            });
        };
        if let Some(weight) = layers.first().map(|layer| &layer.of.weights.weight_ih) {
            weight.on_threads(run);
        }
    }

    /// A row's output after the last step.
    pub(crate) fn output(&self, row: usize) -> &[f32] {
        let (share, size) = (&self.shares[row / self.each], self.output_size());
        let at = row - share.first;
        match (share.projected.last(), share.h.last()) {
            (Some(outputs), _) if !outputs.is_empty() => &outputs[at * size..][..size],
            (_, Some(h)) => &h[at * self.blocks.units()..][..size],
            _ => &[],
        }
    }
}

/// A timestep of a share's rows.
struct Step<'a> {
    blocks: Blocks,
    config: &'a CellConfig,
    layers: &'a [Layer],
    x: &'a [f32],
    input_size: usize,
    share: &'a mut Share,
}

/// The data that the tiles of a layer read and write.
struct Tiles<'a> {
    blocks: Blocks,
    config: &'a CellConfig,
    packed: &'a Packed,
    /// The frames, of `input_size` words each, `stride` apart; and which of them each running row takes.
    input: &'a [f32],
    stride: usize,
    from: &'a [usize],
    input_size: usize,
    running: &'a [usize],
    h: &'a [f32],
    c: &'a mut [f32],
    h_next: &'a mut [f32],
}

impl WithSimd for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { blocks, config, layers, x, input_size, share } = self;
        let Share { h, c, h_next, projected, running, frames, .. } = share;
        let units = blocks.units();
        for (number, layer) in layers.iter().enumerate() {
            let Some(packed) = &layer.packed else { return };
            let (below, h) = h.split_at_mut(number);
            let (projected_below, projected) = projected.split_at_mut(number);
            let (input, stride, from) = match (below.last(), projected_below.last()) {
                (Some(_), Some(outputs)) if !outputs.is_empty() => {
                    (&outputs[..], layer.of.input_size(), &*running)
                }
                (Some(h), _) => (&h[..], units, &*running),
                _ => (x, input_size, &*frames),
            };
            let mut tiles = Tiles {
                blocks,
                config,
                packed,
                input,
                stride,
                from,
                input_size: layer.of.input_size(),
                running,
                h: &h[0],
                c: &mut c[number],
                h_next,
            };
            for block in 0..blocks.blocks {
                tiles!(running.len(), most_rows::<S>(), |row, M| {
                    tiles.tile::<S, M>(simd, row, block);
                });
            }
            for row in running.iter().map(|row| row * units..(row + 1) * units) {
                h[0][row.clone()].copy_from_slice(&h_next[row]);
            }
            if let Some(weight) = &packed.projection {
                let (hidden_size, size) = (blocks.hidden_size, layer.of.output_size());
                for &row in &*running {
                    let h = View::of(&h[0][row * units..], hidden_size, false);
                    let to = &mut projected[0][row * size..][..size];
                    alone([1, size, hidden_size], h, View::of(weight, size, false), (to, size));
                }
            }
        }
    }
}

impl Tiles<'_> {
    /// A step of a block of units of `M` rows, in the order in which a longer sequence computes it.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(&mut self, simd: S, first: usize, block: usize) {
        let Blocks { hidden_size, lanes, .. } = self.blocks;
        let units = self.blocks.units();
        let rows: [usize; M] = std::array::from_fn(|m| self.running[first + m]);
        let mut sums = [row_of(simd, self.packed.bias.as_deref().map(|b| &**b), block); M];
        let x: [&[f32]; M] = std::array::from_fn(|m| {
            &self.input[self.from[first + m] * self.stride..][..self.input_size]
        });
        let weights = weights_of::<S>(&self.packed.weight_ih, self.input_size, block);
        accumulate(simd, &mut sums, x, weights);
        let h = rows.map(|row| &self.h[row * units..][..hidden_size]);
        accumulate(simd, &mut sums, h, weights_of::<S>(&self.packed.r, hidden_size, block));
        let peepholes = row_of(simd, self.packed.peepholes.as_deref().map(|p| &**p), block);
        for (&row, &sums) in rows.iter().zip(&sums) {
            let place = row * units + block * lanes;
            let old = [load::<S>(&self.h[place..]), load::<S>(&self.c[place..])];
            let new = cell_of(simd, self.config, self.blocks, sums, old, peepholes, (0, block));
            store::<S>(&mut self.c[place..], new.c);
            store::<S>(&mut self.h_next[place..], new.h);
            if self.config.cell.is_variant() {
                self.c[place + self.blocks.range(block).len()..place + lanes].fill(0.0);
            }
        }
    }
}
