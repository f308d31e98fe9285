//! The arithmetic: what a pass over a layer has to do, and how long a card needs for it at least.
//!
//! All times are in µs, all sizes in bytes.

use super::card::Card;
use super::shape::{Pass, Shape};

/// The assumptions that hold for every card; `mod.rs` says where they come from.
pub const CACHE_BYTES: f64 = 28.0; // a clock and unit, from the shared cache
pub const FIRST_CACHE_BYTES: f64 = 128.0; // a clock and unit, from its own
pub const LANES_REACHED: f64 = 0.7; // of the f32 peak
pub const MATRIX_REACHED: f64 = 0.6; // of the matrix units' peak
pub const MEMORY_REACHED: f64 = 0.8; // of the bandwidth
pub const REGISTERS_FOR_R: f64 = 0.55;
pub const CHAIN: f64 = 0.4; // µs, a step's dependent instructions
pub const BARRIER: f64 = 0.05; // µs, of a workgroup
pub const EXCHANGE: f64 = 0.9; // µs, from one workgroup to another through the shared cache

/// Rows and units of a workgroup: those of the library's kernels on hardware.
pub const ROWS: usize = 4;
pub const STEPWISE_UNITS: usize = 64;
/// Of a workgroup of `Persistent`.
const INVOCATIONS: usize = 256;
const GEMM_TILE: usize = 64;
const MAX_INVOCATIONS: usize = 1024;
/// Long sums are cut into slices, see `src/ops/gemm/slices.rs`.
const WORKGROUPS: usize = 256;
const TERMS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Stepwise,
    Sequence,
    Persistent,
}

/// Of weights and of what is exchanged; sums and states are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    F32,
    F16,
}

impl Precision {
    fn bytes(self) -> f64 {
        if self == Self::F32 { 4.0 } else { 2.0 }
    }
}

/// Where the time goes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Time {
    pub arithmetic: f64,
    pub cache: f64,
    pub memory: f64,
    /// For barriers, for other workgroups, for the instruction before.
    pub waiting: f64,
    pub dispatch: f64,
}

impl Time {
    pub fn total(&self) -> f64 {
        self.arithmetic + self.cache + self.memory + self.waiting + self.dispatch
    }

    /// The largest part.
    pub fn bound(&self) -> &'static str {
        let parts = [
            (self.arithmetic, "arithmetic"),
            (self.cache, "cache"),
            (self.memory, "memory"),
            (self.waiting, "waiting"),
            (self.dispatch, "dispatch"),
        ];
        parts.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or("", |part| part.1)
    }

    /// Arithmetic, cache and memory work at the same time: the slowest counts.
    fn overlapped(arithmetic: f64, cache: f64, memory: f64) -> Self {
        let slowest = arithmetic.max(cache).max(memory);
        let mut time = Self::default();
        if slowest == arithmetic {
            time.arithmetic = slowest;
        } else if slowest == cache {
            time.cache = slowest;
        } else {
            time.memory = slowest;
        }
        time
    }

    fn times(self, n: f64) -> Self {
        Self {
            arithmetic: self.arithmetic * n,
            cache: self.cache * n,
            memory: self.memory * n,
            waiting: self.waiting * n,
            dispatch: self.dispatch * n,
        }
    }
}

impl std::ops::AddAssign for Time {
    fn add_assign(&mut self, other: Self) {
        self.arithmetic += other.arithmetic;
        self.cache += other.cache;
        self.memory += other.memory;
        self.waiting += other.waiting;
        self.dispatch += other.dispatch;
    }
}

/// What a pass has to do, on any card.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    pub flop: f64,
    /// To and from memory, if weights stay in a cache from step to step.
    pub bytes: f64,
    pub dispatches: usize,
    /// That a workgroup of the recurrence comes to.
    pub barriers: usize,
}

/// Products outside of the recurrence, `[m, n, k]`.
fn products(shape: &Shape) -> Vec<[usize; 3]> {
    let (frames, h4) = (shape.batch * shape.timesteps, 4 * shape.hidden);
    let mut products = vec![[frames, h4, shape.input]];
    if shape.pass == Pass::Training {
        products.push([frames, shape.input, h4]); // d_x
        products.push([shape.input, h4, frames]); // d_weight_ih
        products.push([shape.hidden, h4, frames]); // d_weight_hh
    }
    products
}

fn product_flop([m, n, k]: [usize; 3]) -> f64 {
    2.0 * m as f64 * n as f64 * k as f64
}

fn product_bytes(sizes @ [m, n, k]: [usize; 3], precision: Precision) -> f64 {
    // What slices leave is written and read.
    let passes = if slices(sizes) > 1 { 1 + 2 * slices(sizes) } else { 1 };
    let (m, n, k) = (m as f64, n as f64, k as f64);
    precision.bytes() * (m * k + k * n) + 4.0 * m * n * passes as f64
}

fn tiles([m, n, _]: [usize; 3]) -> usize {
    m.div_ceil(GEMM_TILE) * n.div_ceil(GEMM_TILE)
}

/// Into how many slices a product's sums are cut.
fn slices(sizes: [usize; 3]) -> usize {
    (WORKGROUPS / tiles(sizes)).min(sizes[2] / TERMS).max(1)
}

fn product_dispatches(sizes: [usize; 3]) -> usize {
    if slices(sizes) > 1 { 2 } else { 1 }
}

/// One direction of time through the recurrence.
#[derive(Clone, Copy)]
struct Recurrence<'a> {
    shape: &'a Shape,
    strategy: Strategy,
    precision: Precision,
    backward: bool,
}

/// Forward, and in training backward.
fn recurrences(
    shape: &Shape,
    strategy: Strategy,
    precision: Precision,
) -> impl Iterator<Item = Recurrence<'_>> {
    let directions: &[bool] = if shape.pass == Pass::Training { &[false, true] } else { &[false] };
    directions.iter().map(move |&backward| Recurrence { shape, strategy, precision, backward })
}

impl Recurrence<'_> {
    /// FLOP of a step: h R, or d_a Rᵀ.
    fn flop(&self) -> f64 {
        8.0 * self.shape.batch as f64 * (self.shape.hidden as f64).powi(2)
    }

    /// Bytes of R.
    fn r(&self) -> f64 {
        4.0 * (self.shape.hidden as f64).powi(2) * self.precision.bytes()
    }

    /// To and from memory in a step, beside R.
    fn memory(&self) -> f64 {
        let words = match (self.backward, self.shape.pass) {
            // The input's part of the gates; y.
            (false, Pass::Forward) => 4 + 1,
            // And the gates, h and c, saved.
            (false, Pass::Training) => 4 + 1 + 4 + 2,
            // The gates; their gradients; c; d_y.
            (true, _) => 4 + 4 + 1 + 1,
        };
        4.0 * (words * self.shape.batch * self.shape.hidden) as f64
    }

    fn dispatches(&self) -> usize {
        if self.strategy == Strategy::Stepwise { self.shape.timesteps } else { 1 }
    }

    /// Barriers of a workgroup in a step.
    fn barriers(&self) -> usize {
        match self.strategy {
            // Two for each tile of h.
            Strategy::Stepwise => 2 * self.shape.hidden.div_ceil(STEPWISE_UNITS),
            Strategy::Sequence => 1 + usize::from(self.backward),
            Strategy::Persistent => 1,
        }
    }

    /// None if the strategy has no room for the shape.
    fn time(&self, card: &Card) -> Option<Time> {
        let mut step = match self.strategy {
            Strategy::Stepwise => self.stepwise(card),
            Strategy::Sequence => self.sequence(card)?,
            Strategy::Persistent => self.persistent(card)?,
        };
        step.waiting += CHAIN + BARRIER * self.barriers() as f64;
        let rounds = match self.strategy {
            Strategy::Sequence => (self.shape.batch.div_ceil(ROWS) as f64 / card.units).ceil(),
            _ => 1.0,
        };
        let mut time = step.times(self.shape.timesteps as f64 * rounds);
        time.dispatch += card.dispatch * self.dispatches() as f64;
        Some(time)
    }

    /// A dispatch a step; a workgroup has 64 units of 4 rows and reads its columns of R.
    fn stepwise(&self, card: &Card) -> Time {
        let rows = self.shape.batch.div_ceil(ROWS);
        let groups = (self.shape.hidden.div_ceil(STEPWISE_UNITS) * rows) as f64;
        let lanes = (groups * STEPWISE_UNITS as f64 / (card.units * card.lanes)).min(1.0);
        let units = (groups / card.units).min(1.0);
        let evicted = if self.r() > card.cache * MIB { self.r() } else { 0.0 };
        Time::overlapped(
            self.flop() / (card.peak() * LANES_REACHED * lanes),
            rows as f64 * self.r() / (card.cache_rate() * units),
            (self.memory() + evicted) / (card.memory_rate() * MEMORY_REACHED),
        )
    }

    /// A workgroup takes 4 rows through all steps and reads all of R in each. Here: one round.
    fn sequence(&self, card: &Card) -> Option<Time> {
        let h = self.shape.hidden;
        let shared = 4 * h * ROWS * if self.backward { 4 } else { 2 };
        if h > MAX_INVOCATIONS || shared as f64 > card.shared * 1024.0 {
            return None;
        }
        let groups = self.shape.batch.div_ceil(ROWS) as f64;
        let busy = groups.min(card.units);
        let lanes = (h as f64 / card.lanes).min(1.0);
        let flop = 8.0 * ROWS as f64 * (h as f64).powi(2);
        let feed = if self.r() <= card.first_cache * 1024.0 {
            FIRST_CACHE_BYTES * card.clock * 1e3
        } else {
            card.cache_rate() / card.units
        };
        let evicted = if self.r() > card.cache * MIB { busy * self.r() } else { 0.0 };
        let memory = self.memory() * busy / groups + evicted;
        Some(Time::overlapped(
            flop / (card.peak() / card.units * LANES_REACHED * lanes),
            self.r() / feed,
            memory / (card.memory_rate() * MEMORY_REACHED),
        ))
    }

    /// What of R comes from the cache in a step, since registers have no room for it; none where that does not pay,
    /// as `pays_off_chip` in `src/ops/lstm/gpu/schedule/persistent/team.rs` has it.
    fn streamed(&self, card: &Card, room: f64) -> Option<f64> {
        let missing = self.r() - room;
        if missing <= 0.0 {
            return Some(0.0);
        }
        let [staged, part] = if self.backward { [16, 4] } else { [4, 16] };
        let shared =
            |rows| (rows * (staged * self.shape.hidden + part * INVOCATIONS)) as f64 / 1024.0;
        let tile = [ROWS, 2, 1].into_iter().find(|&rows| shared(rows) <= card.shared)?;
        let streamed = missing * self.shape.batch.div_ceil(tile) as f64;
        (card.class == "discrete" && streamed <= 1.5 * self.r()).then_some(streamed)
    }

    /// R in the registers of all units; the batch in as many parts as R fits times, each with
    /// units of its own that exchange its h, or its d_a.
    fn persistent(&self, card: &Card) -> Option<Time> {
        let room = card.units * card.registers * 1024.0 * REGISTERS_FOR_R;
        let streamed = self.streamed(card, room)?;
        let copies = (room / self.r()).floor().max(1.0);
        let parts = copies.min(self.shape.batch as f64).min(card.units);
        let units = (card.units / parts).floor();
        let h = self.shape.hidden as f64;
        // The workgroup with the most hidden units is waited for.
        let balance = h / units / (h / units).ceil() * (units * parts / card.units);
        let words = if self.backward { 4.0 } else { 1.0 };
        let rows = self.shape.batch as f64 / parts;
        let exchanged = units * parts * rows * h * words * self.precision.bytes();
        let evicted = if self.r() - room > card.cache * MIB { streamed } else { 0.0 };
        let mut time = Time::overlapped(
            self.flop() / (card.peak() * LANES_REACHED * balance),
            (exchanged + streamed) / card.cache_rate(),
            (self.memory() + evicted) / (card.memory_rate() * MEMORY_REACHED),
        );
        if units > 1.0 {
            time.waiting += EXCHANGE;
        }
        Some(time)
    }
}

const MIB: f64 = 1024.0 * 1024.0;

/// What a pass does.
pub fn work(shape: &Shape, strategy: Strategy, precision: Precision) -> Work {
    let mut work = Work { flop: 0.0, bytes: 0.0, dispatches: 0, barriers: 0 };
    for product in products(shape) {
        work.flop += product_flop(product);
        work.bytes += product_bytes(product, precision);
        work.dispatches += product_dispatches(product);
    }
    for part in recurrences(shape, strategy, precision) {
        let steps = shape.timesteps as f64;
        work.flop += steps * part.flop();
        work.bytes += steps * part.memory() + part.r();
        work.dispatches += part.dispatches();
        work.barriers += shape.timesteps * part.barriers();
    }
    if shape.pass == Pass::Training {
        work.dispatches += EXTRA_DISPATCHES;
        work.bytes += bias_bytes(shape);
    }
    work
}

/// Beside products and recurrence, in training: R is transposed, d_a summed over its rows.
const EXTRA_DISPATCHES: usize = 2;

fn bias_bytes(shape: &Shape) -> f64 {
    16.0 * (shape.batch * shape.timesteps * shape.hidden) as f64
}

/// How long a card needs, at least. None if the strategy has no room for the shape.
pub fn predict(
    card: &Card,
    shape: &Shape,
    strategy: Strategy,
    precision: Precision,
) -> Option<Time> {
    let mut time = Time { dispatch: card.submit, ..Time::default() };
    for product in products(shape) {
        time += product_time(card, product, precision);
    }
    for part in recurrences(shape, strategy, precision) {
        time += part.time(card)?;
    }
    if shape.pass == Pass::Training {
        time.dispatch += EXTRA_DISPATCHES as f64 * card.dispatch;
        time.memory += bias_bytes(shape) / (card.memory_rate() * MEMORY_REACHED);
    }
    Some(time)
}

fn product_time(card: &Card, [m, n, k]: [usize; 3], precision: Precision) -> Time {
    let peak = match precision {
        Precision::F32 => card.peak() * LANES_REACHED,
        Precision::F16 => card.matrix * 1e6 * MATRIX_REACHED,
    };
    let workgroups = (tiles([m, n, k]) * slices([m, n, k])) as f64;
    let units = (workgroups / card.units).min(1.0);
    let mut time = Time::overlapped(
        product_flop([m, n, k]) / (peak * units),
        0.0,
        product_bytes([m, n, k], precision) / (card.memory_rate() * MEMORY_REACHED),
    );
    time.dispatch += card.dispatch * product_dispatches([m, n, k]) as f64;
    time
}
