//! One timestep of a stack of layers, for streams: each active row goes through all layers on one thread, in
//! memory that is reused. A step is bound by reading the weights; allocating tensors would take as long
//! again.

use super::micro::{accumulate, load, most_rows, row_of, store, tiles, weights_of};
use super::{Blocks, SMALL, cell_of, lanes};
use crate::device::cpu::Aligned;
use crate::device::threads::each as each_job;
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
    /// The version of the weights that are packed.
    version: Option<u64>,
}

struct Layer {
    input_size: usize,
    weights: Weights,
    packed: Option<Packed>,
}

struct Packed {
    weight_ih: Arc<Aligned>,
    r: Arc<Aligned>,
    bias: Option<Arc<Aligned>>,
    peepholes: Option<Arc<Aligned>>,
}

/// The rows of one thread.
struct Share {
    /// The first row in the stack.
    first: usize,
    /// The h of each layer, `[rows, units]`.
    h: Vec<Vec<f32>>,
    c: Vec<Vec<f32>>,
    h_next: Vec<f32>,
    /// The rows of the share that have a frame in this step.
    running: Vec<usize>,
}

/// `len` zeros, or an error if there is no memory for them.
fn zeros(len: usize) -> Result<Vec<f32>> {
    let mut zeros: Vec<f32> = room_for("the states of streams", len)?;
    zeros.resize(len, 0.0);
    Ok(zeros)
}

impl Stack {
    /// A stack with states of zeros; `layers` are the lowest first, with weights on the CPU.
    pub(crate) fn new(rows: usize, layers: Vec<Weights>, config: CellConfig) -> Result<Self> {
        let shape = |layer: &Weights| [layer.weight_ih.shape()[0], layer.weight_hh.shape()[0]];
        let [input_size, hidden_size] = layers.first().map_or([0; 2], shape);
        let blocks = Blocks::new(lanes(), hidden_size);
        let weights: usize = layers.iter().map(|l| l.weight_ih.len() + l.weight_hh.len()).sum();
        let threads = layers.first().map_or(1, |layer| layer.weight_ih.threads());
        let shares = match rows.saturating_mul(weights) < SMALL * 16 {
            true => 1,
            false => rows.clamp(1, threads.max(1)),
        };
        let each = rows.div_ceil(shares);
        let firsts = (0..rows).step_by(each.max(1));
        let shares = firsts.map(|first| {
            let zeros = || zeros(each.min(rows - first) * blocks.units());
            let all = || layers.iter().map(|_| zeros()).collect::<Result<Vec<_>>>();
            let running = Vec::with_capacity(each);
            Ok(Share { first, h: all()?, c: all()?, h_next: zeros()?, running })
        });
        let shares = shares.collect::<Result<_>>()?;
        let mut stack =
            Self { blocks, input_size, config, layers: vec![], shares, each, version: None };
        stack.set_weights(layers);
        Ok(stack)
    }

    /// Replaces the weights by others of the same shapes.
    pub(crate) fn set_weights(&mut self, layers: Vec<Weights>) {
        let layers = layers.into_iter().map(|weights| {
            let input_size = weights.weight_ih.shape()[0];
            Layer { input_size, weights, packed: None }
        });
        self.layers = layers.collect();
        self.version = None;
    }

    /// A weight of the lowest layer.
    pub(crate) fn weight(&self) -> Option<&Tensor> {
        self.layers.first().map(|layer| &layer.weights.weight_ih)
    }

    /// Sets a row's state to zero.
    pub(crate) fn reset(&mut self, row: usize) {
        let (share, units) = (&mut self.shares[row / self.each], self.blocks.units());
        let row = (row - share.first) * units..(row - share.first + 1) * units;
        for state in share.h.iter_mut().chain(&mut share.c) {
            state[row.clone()].fill(0.0);
        }
    }

    /// Packs the weights, if they have changed. Only this can fail, and it changes no state.
    pub(crate) fn prepare(&mut self) -> Result<()> {
        // They share one buffer.
        let version = self.layers.first().map(|layer| layer.weights.weight_hh.version());
        if self.version == version {
            return Ok(());
        }
        for Layer { weights, packed, .. } in &mut self.layers {
            *packed = None;
            let [bias, peepholes] = self.blocks.packed_rows(weights)?;
            *packed = Some(Packed {
                weight_ih: self.blocks.packed_forward(&weights.weight_ih)?,
                r: self.blocks.packed_forward(&weights.weight_hh)?,
                bias,
                peepholes,
            });
        }
        self.version = version;
        Ok(())
    }

    /// Takes a frame of each active row: `x` is `[rows, input_size]`. Call `prepare` before.
    pub(crate) fn step(&mut self, x: &[f32], active: &[bool]) {
        let Self { blocks, input_size, ref config, ref layers, ref mut shares, each, .. } = *self;
        for share in &mut *shares {
            let active = active[share.first..].iter().take(each).enumerate();
            share.running.clear();
            share.running.extend(active.filter(|(_, on)| **on).map(|(row, _)| row));
        }
        let busy = |share: &&mut Share| !share.running.is_empty();
        let threads = shares.iter_mut().filter(busy).count();
        let run = || {
            each_job(shares.iter_mut().filter(busy), threads, |share| {
                let x = &x[share.first * input_size..];
                Arch::new().dispatch(Step { blocks, config, layers, x, input_size, share });
            });
        };
        if let Some(weight) = layers.first().map(|layer| &layer.weights.weight_ih) {
            weight.on_threads(run);
        }
    }

    /// A row's output after the last step.
    pub(crate) fn output(&self, row: usize) -> &[f32] {
        let share = &self.shares[row / self.each];
        let h = share.h.last().map_or(&[][..], |h| h);
        &h[(row - share.first) * self.blocks.units()..][..self.blocks.hidden_size]
    }

    /// Copies the outputs of all rows after the last step to `y`.
    pub(crate) fn outputs(&self, into: &Tensor) {
        into.cpu_mut(|into| {
            for (row, into) in into.chunks_exact_mut(self.blocks.hidden_size).enumerate() {
                into.copy_from_slice(self.output(row));
            }
        });
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
    /// The frames, of `input_size` words each, `stride` apart.
    input: &'a [f32],
    stride: usize,
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
        let Share { h, c, h_next, running, .. } = share;
        let units = blocks.units();
        for (number, layer) in layers.iter().enumerate() {
            let Some(packed) = &layer.packed else { return };
            let (below, h) = h.split_at_mut(number);
            let (input, stride) = match below.last() {
                Some(h) => (&h[..], units),
                None => (x, input_size),
            };
            let mut tiles = Tiles {
                blocks,
                config,
                packed,
                input,
                stride,
                input_size: layer.input_size,
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
        let x = rows.map(|row| &self.input[row * self.stride..][..self.input_size]);
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
