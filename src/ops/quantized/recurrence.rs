//! LSTMs of 8-bit weights on the CPU.
//!
//! a = W x_t + R h_{t-1} + b    i,f,o = σ(a_i, a_f, a_o)    g = tanh(a_g)
//! c' = f∘c + i∘g               h' = o∘tanh(c')
//!
//! x and h are quantised by row at each step; gates and cell states are floats. Outputs lie in blocks of 16 units: of
//! each block its 16 i, then f, g, o.

use super::dot::{Isa, LANES, Sums};
use super::lines::Weight;
use super::product::{centred, floats, sums_of};
use super::rows::{Affine, Rows, range};
use super::team::Team;
use crate::Result;
use crate::device::{lock, threads};
use crate::ops::common::math::{sigmoid, tanh};
use crate::tensor::room_for;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;
use std::sync::Mutex;
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
    pub(crate) range: HRange,
}

/// By whose range h of a row is quantised at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HRange {
    /// By its own.
    Row,
    /// By that of all rows that run, and of those that have just ended.
    Running,
    /// By that of all rows: of those that have ended, of their last h.
    All,
}

/// A row of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The row in the batch.
    pub(crate) at: usize,
    /// Its first frame.
    pub(crate) start: usize,
    /// Its first frame among the outputs.
    pub(crate) to: usize,
    pub(crate) length: usize,
}

/// Where frames lie: the rows, the longest first, and the frames from one step of a row to its next.
pub(crate) struct Frames {
    pub(crate) rows: Vec<Row>,
    pub(crate) stride: usize,
}

impl Frames {
    /// The frame of a step, from the row's first on.
    fn at(&self, row: Row, step: usize, reverse: bool) -> usize {
        self.stride * if reverse { row.length - 1 - step } else { step }
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
    let team = match count * 4 * units * size {
        0..SHARED => 1,
        _ => threads::count(),
    };
    // Each thread takes some rows, or some units of all.
    let parts = match count >= 2 * team && direction.range == HRange::Row {
        true => Parts { rows: team, units: 1 },
        false => Parts { rows: 1, units: team.min(units / LANES) },
    };
    let shared = Shared::new(ahead, [count, units], parts)?;
    shared.begin(frames, size, [h, c]);
    let mut gates = Vec::new();
    for first in (0..steps).step_by(ahead) {
        let steps = ahead.min(steps - first);
        let mut which = Vec::new();
        let mut begins = vec![0; steps];
        for (step, begin) in begins.iter_mut().enumerate() {
            *begin = which.len();
            let running = &frames.rows[..frames.running(first + step)];
            let at = |row| frames.at(row, first + step, direction.reverse);
            which.extend(running.iter().map(|&row| row.start + at(row)));
        }
        gates.clear();
        let len = which.len() * 4 * units;
        if gates.capacity() < len {
            gates = room_for("the gates of an LSTM", len)?;
        }
        gates.resize(len, 0.0);
        floats((x, &which), direction.w, direction.bias, &mut gates);
        let part = Part { direction, frames, first, x_part: &gates, begins, shared: &shared };
        let tickets = Team::new(steps, parts.rows * parts.units);
        threads::each(0..team, team, |member| {
            let mut own = Own::new(count, size);
            tickets.work(member, |step, chunk| part.step(&mut own, step, chunk));
        });
        if let Some((y, width, column)) = &mut y {
            for step in 0..steps {
                for (n, &row) in frames.rows[..frames.running(first + step)].iter().enumerate() {
                    let frame = row.to + frames.at(row, first + step, direction.reverse);
                    let to = &mut y[frame * *width + *column..][..size];
                    load(shared.h(step + 1, n), to);
                }
            }
        }
        shared.end(frames, first, steps);
    }
    for (n, row) in frames.rows.iter().enumerate() {
        load(shared.h(0, n), &mut h[row.at * size..][..size]);
        shared.each_c(n, size, |units, from| c[row.at * size..][units].copy_from_slice(from));
    }
    Ok(())
}

/// How a step is split: by rows, each of so many of one part, or by units.
#[derive(Debug, Clone, Copy)]
struct Parts {
    rows: usize,
    units: usize,
}

impl Parts {
    /// The rows of a part, of so many.
    fn rows(self, part: usize, count: usize) -> impl Iterator<Item = usize> {
        (part % self.rows..count).step_by(self.rows)
    }

    /// The blocks of units of a part, of so many.
    fn blocks(self, part: usize, count: usize) -> Range<usize> {
        let (part, each) = (part / self.rows, count.div_ceil(self.units));
        count.min(part * each)..count.min((part + 1) * each)
    }
}

/// The states that the threads share. h is read and written by one thread at a time, or read alone: see [`Team`].
struct Shared {
    count: usize,
    units: usize,
    parts: Parts,
    /// h before the first step, and after each: `[steps + 1, rows, units]`.
    h: Vec<AtomicU32>,
    /// Of each part the cell states of its rows and units. One thread at a time wants them.
    c: Vec<Mutex<Vec<f32>>>,
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
    fn new(ahead: usize, [count, units]: [usize; 2], parts: Parts) -> Result<Self> {
        const WHAT: &str = "the states of an LSTM";
        let len = (ahead + 1) * count * units;
        let mut h = room_for(WHAT, len)?;
        h.resize_with(len, || AtomicU32::new(0));
        let c = (0..parts.rows * parts.units).map(|part| {
            let len =
                parts.rows(part, count).count() * LANES * parts.blocks(part, units / LANES).len();
            let mut c = room_for(WHAT, len)?;
            c.resize(len, 0.0);
            Ok(Mutex::new(c))
        });
        Ok(Self { count, units, parts, h, c: c.collect::<Result<_>>()? })
    }

    fn h(&self, step: usize, row: usize) -> &[AtomicU32] {
        &self.h[(step * self.count + row) * self.units..][..self.units]
    }

    /// Hands on the cell states of a row: the units, and their numbers.
    fn each_c(&self, row: usize, size: usize, mut f: impl FnMut(Range<usize>, &mut [f32])) {
        let Parts { rows, units } = self.parts;
        for part in (0..units).map(|n| n * rows + row % rows) {
            let blocks = self.parts.blocks(part, self.units / LANES);
            let width = LANES * blocks.len();
            let units = size.min(LANES * blocks.start)..size.min(LANES * blocks.end);
            let len = units.len();
            f(units, &mut lock(&self.c[part])[row / rows * width..][..len]);
        }
    }

    fn begin(&self, frames: &Frames, size: usize, [h, c]: [&[f32]; 2]) {
        for (n, row) in frames.rows.iter().enumerate() {
            store(&h[row.at * size..][..size], self.h(0, n));
            self.each_c(n, size, |units, to| to.copy_from_slice(&c[row.at * size..][units]));
        }
    }

    /// Makes the last states of some steps those before the next.
    fn end(&self, frames: &Frames, first: usize, steps: usize) {
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
}

impl Own {
    fn new(rows: usize, size: usize) -> Self {
        Self { of: None, h: Rows::zeros_of(rows, size), row: vec![0.0; size] }
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
}

/// The blocks of units whose sums are made before their cells.
const GROUP: usize = 8;

impl Part<'_> {
    fn step(&self, own: &mut Own, step: usize, part: usize) {
        let Shared { parts, units, .. } = *self.shared;
        let running = self.frames.running(self.first + step);
        let mine = || parts.rows(part, running);
        if own.of != Some((step, part % parts.rows)) {
            self.quantise(own, step, mine());
            own.of = Some((step, part % parts.rows));
        }
        let blocks = parts.blocks(part, units / LANES);
        let c = &mut lock(&self.shared.c[part])[..];
        let (start, width) = (blocks.start, LANES * blocks.len());
        for first in blocks.clone().step_by(GROUP) {
            let at = At { step, blocks: first..blocks.end.min(first + GROUP), first: start, width };
            let mut rows = mine();
            loop {
                match [(); 4].map(|()| rows.next()) {
                    [Some(i), Some(j), Some(k), Some(l)] => self.cells(own, &at, [i, j, k, l], c),
                    [Some(i), Some(j), Some(k), None] => self.cells(own, &at, [i, j, k], c),
                    [Some(i), Some(j), ..] => self.cells(own, &at, [i, j], c),
                    [Some(i), ..] => self.cells(own, &at, [i], c),
                    _ => break,
                }
            }
        }
    }

    /// Some rows of some units.
    fn cells<const R: usize>(&self, own: &Own, at: &At, rows: [usize; R], c: &mut [f32]) {
        let (isa, lines) = (Isa::best(), &self.direction.r.lines);
        let mut sums = [[[[0; LANES]; 4]; R]; GROUP];
        for (block, sums) in at.blocks.clone().zip(&mut sums) {
            sums_of(isa, (&own.h, rows), lines, 4 * block, sums);
        }
        Arch::new().dispatch(Cells { part: self, at, rows, h: &own.h, sums: &sums, c });
    }

    fn quantise(&self, own: &mut Own, step: usize, rows: impl Iterator<Item = usize>) {
        let Own { h, row: x, .. } = own;
        // A row that has just ended still counts where the running do.
        let counted = match (self.direction.range, self.first + step) {
            (HRange::Row, _) => 0,
            (HRange::All, _) | (_, 0) => self.frames.rows.len(),
            (HRange::Running, step) => self.frames.running(step - 1),
        };
        let mut shared = None;
        if counted > 0 {
            let mut all = [0.0f32; 2];
            for (row, of) in self.frames.rows[..counted].iter().enumerate() {
                let last = of.length.saturating_sub(self.first);
                load(self.shared.h(step.min(last), row), x);
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

/// Where a part is: a step and some of its blocks of units, which begin at `first` and are `width` units in all.
struct At {
    step: usize,
    blocks: Range<usize>,
    first: usize,
    width: usize,
}

/// The cells of some rows and units, whose sums are there.
struct Cells<'a, const R: usize> {
    part: &'a Part<'a>,
    at: &'a At,
    rows: [usize; R],
    h: &'a Rows,
    sums: &'a [Sums<R, 4>],
    c: &'a mut [f32],
}

impl<const R: usize> WithSimd for Cells<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { part, at, rows, h, sums, c } = self;
        let (r, shared) = (part.direction.r, part.shared);
        for (n, &row) in rows.iter().enumerate() {
            let of_row = h.scale[row];
            let x_part = &part.x_part[(part.begins[at.step] + row) * 4 * shared.units..];
            let c = &mut c[row / shared.parts.rows * at.width..][..at.width];
            for (block, sums) in at.blocks.clone().zip(sums) {
                let (mut found, mut a) = ([0; BLOCK], [0.0; BLOCK]);
                let lines = (&r.lines, r.zero.as_deref());
                centred(h, row, lines, (4 * block, sums[n].as_flattened()), &mut found);
                let x_part = &x_part[block * BLOCK..][..BLOCK];
                let scale = &r.scale[block * BLOCK..][..BLOCK];
                for k in 0..BLOCK {
                    a[k] = x_part[k] + found[k] as f32 * (of_row * scale[k]);
                }
                let c = &mut c[(block - at.first) * LANES..][..LANES];
                let mut y = [0.0; LANES];
                for lane in (0..LANES).step_by(S::F32_LANES) {
                    let gate = |g: usize| {
                        let a: &[f32] = &a[g * LANES + lane..][..S::F32_LANES];
                        S::as_simd_f32s(a).0[0]
                    };
                    let (i, f, o) =
                        (sigmoid(simd, gate(0)), sigmoid(simd, gate(1)), sigmoid(simd, gate(3)));
                    let g = tanh(simd, gate(2));
                    let cell = &mut S::as_mut_simd_f32s(&mut c[lane..][..S::F32_LANES]).0[0];
                    *cell = simd.mul_add_f32s(f, *cell, simd.mul_f32s(i, g));
                    let found = simd.mul_f32s(o, tanh(simd, *cell));
                    S::as_mut_simd_f32s(&mut y[lane..][..S::F32_LANES]).0[0] = found;
                }
                store(&y, &shared.h(at.step + 1, row)[block * LANES..][..LANES]);
            }
        }
    }
}
