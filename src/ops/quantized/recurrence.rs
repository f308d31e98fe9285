//! LSTMs of 8-bit weights on the CPU.
//!
//! a = W x_t + R h_{t-1} + b    i,f,o = σ(a_i, a_f, a_o)    g = tanh(a_g)
//! c' = f∘c + i∘g               h' = o∘tanh(c')
//!
//! x and h are quantised by row at each step; gates and cell states are floats. Outputs lie in blocks of 16 units: of
//! each block its 16 i, then f, g, o.

use super::dot::{Isa, LANES};
use super::lines::{Lines, Weight};
use super::product::{floats, tile};
use super::rows::{Affine, Rows, range};
use super::team::Team;
use crate::Result;
use crate::device::threads;
use crate::ops::common::math::{sigmoid, tanh};
use crate::tensor::room_for;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// The numbers of a block of units: 16 of each gate.
const BLOCK: usize = 4 * LANES;

/// The products of bytes of a step from which a second thread pays.
const SHARED: usize = 1 << 18;

/// The words of gates that are made ahead of the recurrence.
const AHEAD: usize = 1 << 20;

/// A direction of a layer, its weights in blocks of units.
pub(crate) struct Direction<'a> {
    pub(crate) hidden_size: usize,
    pub(crate) w: &'a Weight,
    pub(crate) r: &'a Weight,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) reverse: bool,
    /// Whether one range quantises h of all rows, as in ONNX Runtime; else each row has its own.
    pub(crate) one_range: bool,
}

/// A row of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The row in the batch.
    pub(crate) at: usize,
    /// Its first frame.
    pub(crate) start: usize,
    pub(crate) length: usize,
}

/// Where frames lie: the rows, the longest first, and the frames from one step of a row to its next.
pub(crate) struct Frames {
    pub(crate) rows: Vec<Row>,
    pub(crate) stride: usize,
}

impl Frames {
    fn at(&self, row: Row, step: usize, reverse: bool) -> usize {
        row.start + self.stride * if reverse { row.length - 1 - step } else { step }
    }

    /// The rows that have this step: so many of the first.
    fn running(&self, step: usize) -> usize {
        self.rows.partition_point(|row| row.length > step)
    }
}

/// The place of each output of a layer in blocks of units: `gate H + unit`, if `gates` has the number of i, f, g and
/// o in the order of memory.
pub(crate) fn in_blocks(hidden_size: usize, gates: [usize; 4]) -> Vec<Option<usize>> {
    let place = |output: usize| {
        let (block, gate, lane) = (output / BLOCK, output % BLOCK / LANES, output % LANES);
        let unit = block * LANES + lane;
        (unit < hidden_size).then(|| gates[gate] * hidden_size + unit)
    };
    (0..hidden_size.div_ceil(LANES) * BLOCK).map(place).collect()
}

/// Runs a direction over frames that are quantised, from the states h and c `[B,H]`, which it replaces. The outputs
/// go to `y`, `[frames,width]`, from a column on.
pub(crate) fn run(
    direction: &Direction<'_>,
    x: &Rows,
    frames: &Frames,
    [h, c]: [&mut [f32]; 2],
    mut y: Option<(&mut [f32], usize, usize)>,
) -> Result<()> {
    let (size, count) = (direction.hidden_size, frames.rows.len());
    let units = size.next_multiple_of(LANES);
    let steps = frames.rows.first().map_or(0, |row| row.length);
    if steps == 0 {
        return Ok(());
    }
    let ahead = (AHEAD / (4 * units * count)).clamp(1, steps);
    let mut shared: Shared = Shared::new(ahead, count, units)?;
    shared.begin(frames, size, [h, c]);
    let team = match count * 4 * units * size {
        0..SHARED => 1,
        _ => threads::count(),
    };
    // Each thread takes some rows, or some units of all.
    let parts = match count >= 2 * team && !direction.one_range {
        true => Parts { rows: team, units: 1 },
        false => Parts { rows: 1, units: team.min(units / LANES) },
    };
    let mut gates = Vec::new();
    for first in (0..steps).step_by(ahead) {
        let steps = ahead.min(steps - first);
        let mut which = Vec::new();
        let mut begins = vec![0; steps];
        for step in 0..steps {
            begins[step] = which.len();
            let running = &frames.rows[..frames.running(first + step)];
            which
                .extend(running.iter().map(|&row| frames.at(row, first + step, direction.reverse)));
        }
        gates.clear();
        let len = which.len() * 4 * units;
        if gates.capacity() < len {
            gates = room_for("the gates of an LSTM", len)?;
        }
        gates.resize(len, 0.0);
        floats((x, &which), direction.w, direction.bias, &mut gates);
        let part =
            Part { direction, frames, first, x_part: &gates, begins, shared: &shared, parts };
        let tickets = Team::new(steps, parts.rows * parts.units);
        threads::each(0..team, team, |member| {
            let mut own = Own::new(count, size);
            tickets.work(member, |step, chunk| part.step(&mut own, step, chunk));
        });
        if let Some((y, width, column)) = &mut y {
            for step in 0..steps {
                for (n, &row) in frames.rows[..frames.running(first + step)].iter().enumerate() {
                    let frame = frames.at(row, first + step, direction.reverse);
                    let to = &mut y[frame * *width + *column..][..size];
                    load(shared.h(step + 1, n), to);
                }
            }
        }
        shared.end(frames, first, steps);
    }
    for (n, row) in frames.rows.iter().enumerate() {
        load(shared.h(0, n), &mut h[row.at * size..][..size]);
        load(shared.c(n), &mut c[row.at * size..][..size]);
    }
    Ok(())
}

/// How a step is split.
#[derive(Debug, Clone, Copy)]
struct Parts {
    rows: usize,
    units: usize,
}

/// The states that the threads share. They are read and written by one thread at a time, or read alone: see [`Team`].
struct Shared {
    count: usize,
    units: usize,
    /// h before the first step, and after each: `[steps + 1, rows, units]`.
    h: Vec<AtomicU32>,
    /// `[rows, units]`
    c: Vec<AtomicU32>,
}

fn load(from: &[AtomicU32], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = f32::from_bits(from.load(Ordering::Relaxed));
    }
}

fn store(from: &[f32], to: &[AtomicU32]) {
    for (from, to) in from.iter().zip(to) {
        to.store(from.to_bits(), Ordering::Relaxed);
    }
}

impl Shared {
    fn new(ahead: usize, count: usize, units: usize) -> Result<Self> {
        let zeros = |len: usize| -> Result<Vec<AtomicU32>> {
            let mut words = room_for("the states of an LSTM", len)?;
            words.resize_with(len, || AtomicU32::new(0));
            Ok(words)
        };
        Ok(Self { count, units, h: zeros((ahead + 1) * count * units)?, c: zeros(count * units)? })
    }

    fn h(&self, step: usize, row: usize) -> &[AtomicU32] {
        &self.h[(step * self.count + row) * self.units..][..self.units]
    }

    fn c(&self, row: usize) -> &[AtomicU32] {
        &self.c[row * self.units..][..self.units]
    }

    fn begin(&mut self, frames: &Frames, size: usize, [h, c]: [&mut [f32]; 2]) {
        for (n, row) in frames.rows.iter().enumerate() {
            store(&h[row.at * size..][..size], self.h(0, n));
            store(&c[row.at * size..][..size], self.c(n));
        }
    }

    /// Makes the last states of some steps those before the next.
    fn end(&mut self, frames: &Frames, first: usize, steps: usize) {
        for (n, row) in frames.rows.iter().enumerate() {
            let last = row.length.saturating_sub(first).min(steps);
            for (to, from) in self.h(0, n).iter().zip(self.h(last, n)) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }
}

/// What a thread has of its own.
struct Own {
    /// The step and the part of the rows whose h is quantised.
    of: Option<(usize, usize)>,
    h: Rows,
    row: Vec<f32>,
    sums: Vec<[i32; BLOCK]>,
}

impl Own {
    fn new(rows: usize, size: usize) -> Self {
        Self { of: None, h: Rows::zeros_of(rows, size), row: vec![0.0; size], sums: Vec::new() }
    }
}

/// Some steps of a direction.
struct Part<'a> {
    direction: &'a Direction<'a>,
    frames: &'a Frames,
    first: usize,
    x_part: &'a [f32],
    /// The first row of each step in `x_part`.
    begins: Vec<usize>,
    shared: &'a Shared,
    parts: Parts,
}

impl Part<'_> {
    fn step(&self, own: &mut Own, step: usize, chunk: usize) {
        let (group, part) = (chunk % self.parts.rows, chunk / self.parts.rows);
        let running = self.frames.running(self.first + step);
        let mine = || (group..running).step_by(self.parts.rows);
        if own.of != Some((step, group)) {
            self.quantise(own, step, mine());
            own.of = Some((step, group));
        }
        let blocks = self.shared.units / LANES;
        let each = blocks.div_ceil(self.parts.units);
        let blocks = blocks.min(part * each)..blocks.min((part + 1) * each);
        let isa = Isa::best();
        let rows: Vec<_> = mine().collect();
        for blocks in blocks.clone().step_by(GROUP).map(|b| b..blocks.end.min(b + GROUP)) {
            let (fours, rest) = rows.as_chunks::<4>();
            for (rows, four) in fours
                .iter()
                .map(|four| (&four[..], Some(*four)))
                .chain(rest.iter().map(|row| (std::slice::from_ref(row), None)))
            {
                own.sums.clear();
                own.sums.resize(rows.len() * blocks.len(), [0; BLOCK]);
                for block in blocks.clone() {
                    let at = |r: usize| r * blocks.len() + block - blocks.start;
                    let (lines, sums) = (&self.direction.r.lines, &mut own.sums);
                    let mut put = |r: usize, c: usize, found: &[i32; LANES]| {
                        let gate = c - 4 * block;
                        sums[at(r)][gate * LANES..][..LANES].copy_from_slice(found);
                    };
                    match four {
                        Some(four) => tile::<4, 4>(isa, (&own.h, four), lines, 4 * block, &mut put),
                        None => {
                            tile::<1, 4>(isa, (&own.h, [rows[0]]), lines, 4 * block, &mut put);
                        }
                    }
                }
                let cells = Cells { part: self, step, rows, blocks: blocks.clone(), own };
                Arch::new().dispatch(cells);
            }
        }
    }

    fn quantise(&self, own: &mut Own, step: usize, rows: impl Iterator<Item = usize>) {
        let Own { h, row: x, .. } = own;
        let mut shared = None;
        if self.direction.one_range {
            let mut all = [0.0f32; 2];
            // A row that has just ended still counts there.
            let before = match self.first + step {
                0 => self.frames.rows.len(),
                step => self.frames.running(step - 1),
            };
            for row in 0..before {
                load(self.shared.h(step, row), x);
                let [low, high] = range(x);
                // What is not finite in a row is not finite in all.
                all = match low.is_nan() || all[0].is_nan() {
                    true => [f32::NAN; 2],
                    false => [all[0].min(low), all[1].max(high)],
                };
            }
            shared = Some(Affine::of(all));
        }
        for row in rows {
            load(self.shared.h(step, row), x);
            match shared {
                Some(affine) => h.set_by(row, x, affine),
                None => h.set(row, x),
            }
        }
    }
}

/// The blocks of units whose sums are made before their cells.
const GROUP: usize = 8;

/// The cells of some rows and units, whose sums are there.
struct Cells<'a> {
    part: &'a Part<'a>,
    step: usize,
    rows: &'a [usize],
    blocks: Range<usize>,
    own: &'a Own,
}

impl WithSimd for Cells<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { part, step, rows, blocks, own } = self;
        let (r, shared, h) = (part.direction.r, part.shared, &own.h);
        for (n, &row) in rows.iter().enumerate() {
            let sums = &own.sums[n * blocks.len()..][..blocks.len()];
            let x_part = &part.x_part[(part.begins[step] + row) * 4 * shared.units..];
            // What a sum of `h` without zero points has too much, for each unit of a weight's zero point.
            let sum = h.sums[row].wrapping_sub(h.zero[row].wrapping_mul(h.terms() as i32));
            for (block, sums) in blocks.clone().zip(sums) {
                let mut a = [0.0; BLOCK];
                let x_part = &x_part[block * BLOCK..][..BLOCK];
                let scale = &r.scale[block * BLOCK..][..BLOCK];
                let totals = totals(&r.lines, block);
                for k in 0..BLOCK {
                    let mut found = sums[k].wrapping_sub(h.zero[row].wrapping_mul(totals[k]));
                    if let Some(zero) = &r.zero {
                        found = found.wrapping_sub(zero[block * BLOCK + k].wrapping_mul(sum));
                    }
                    a[k] = x_part[k] + found as f32 * (h.scale[row] * scale[k]);
                }
                let (mut c, mut y) = ([0.0; LANES], [0.0; LANES]);
                let c_at = &shared.c(row)[block * LANES..][..LANES];
                let h_at = &shared.h(step + 1, row)[block * LANES..][..LANES];
                load(c_at, &mut c);
                for lane in (0..LANES).step_by(S::F32_LANES) {
                    let gate = |g: usize| {
                        let a: &[f32] = &a[g * LANES + lane..][..S::F32_LANES];
                        S::as_simd_f32s(a).0[0]
                    };
                    let (i, f, o) =
                        (sigmoid(simd, gate(0)), sigmoid(simd, gate(1)), sigmoid(simd, gate(3)));
                    let g = tanh(simd, gate(2));
                    let at = &mut c[lane..][..S::F32_LANES];
                    let cell = &mut S::as_mut_simd_f32s(at).0[0];
                    *cell = simd.mul_add_f32s(f, *cell, simd.mul_f32s(i, g));
                    let found = simd.mul_f32s(o, tanh(simd, *cell));
                    S::as_mut_simd_f32s(&mut y[lane..][..S::F32_LANES]).0[0] = found;
                }
                store(&c, c_at);
                store(&y, h_at);
            }
        }
    }
}

/// Σ b of the outputs of a block of units.
#[inline(always)]
fn totals(lines: &Lines, block: usize) -> [i32; BLOCK] {
    let mut all = [0; BLOCK];
    for gate in 0..4 {
        all[gate * LANES..][..LANES].copy_from_slice(lines.totals(4 * block + gate));
    }
    all
}
