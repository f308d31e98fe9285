//! One row on two threads, without saving: a step reads all of R, and two cores have twice the cache and twice
//! the bandwidth.
//!
//! The calling thread leads, a helper follows: each computes its share of the units of a step and exchanges h
//! on a board. The helper is a worker of the pool that may come late, be preempted during a step, or never
//! come. So the leader waits for it no longer than the helper's share takes: then it computes that share
//! itself, goes on alone, and lets the helper join again once it is back. Both run the same code on the same
//! words, so the bits do not depend on which thread computed them.
//!
//! The word of each thread is the number of steps that it has made. When the leader is alone, its word is the
//! number of that pause, which the helper acknowledges by repeating it. Only then does the leader publish a
//! state to start from: a helper that missed a pause can neither take a new board for an old one, nor write
//! to it.

use super::micro::{accumulate, load, row_of, store, weights_of};
use super::{Blocks, Row, WAKING, cell_of};
use crate::device::cpu::Aligned;
use crate::device::threads;
use crate::ops::lstm::{CellConfig, Sizes};
use crate::tensor::Words;
use pulp::bytemuck::cast_slice;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// The least units for which two threads pay: with half of them a step takes as long as an exchange.
const UNITS: usize = 64;

/// Whether a batch is one row that two of the threads share.
pub(in crate::ops::lstm) fn pays(sizes: Sizes, threads: usize) -> bool {
    let Sizes { batch, timesteps, hidden_size, .. } = sizes;
    let products = [4, hidden_size, hidden_size].into_iter().fold(timesteps, usize::saturating_mul);
    batch == 1 && threads > 1 && hidden_size >= UNITS && products >= WAKING
}

/// The sequence of one row.
pub(super) struct Job {
    pub(super) blocks: Blocks,
    pub(super) config: CellConfig,
    pub(super) row: Row,
    /// The sums W x + b of all frames.
    pub(super) sums: Words,
    pub(super) r: Arc<Aligned>,
    pub(super) peepholes: Option<Arc<Aligned>>,
}

/// The memory by which the two threads exchange states.
struct Board {
    /// The steps made by the leader, whose h is here; or a pause, from `ALONE` on; or `OVER`.
    lead: Word,
    /// The steps made by the helper; or the last pause that it has seen; or `OVER` if there is no helper.
    follow: Word,
    /// The step at which sharing began, whose whole state is here.
    first: AtomicUsize,
    /// The states before the last steps. Neither thread makes a step before the other has made its share of
    /// all steps before, so they are at most one step apart. A helper that the leader no longer waits for may
    /// still write to the two states after the one to which the leader returns.
    states: [[Vec<Line>; 3]; 4],
    /// The number of times that a thread polls for the other's result before it gives up.
    patience: usize,
}

const ALONE: usize = 1 << (usize::BITS - 1);
const OVER: usize = usize::MAX;

/// A part of a state: h of the leader's units, h and c of the helper's.
#[derive(Clone, Copy)]
enum Part {
    LeadH,
    FollowH,
    FollowC,
}

#[repr(align(64))]
struct Line([AtomicU32; 16]);

/// A word on cache lines of its own.
#[repr(align(128))]
struct Word(AtomicUsize);

impl Word {
    /// Publishes the word: a thread that reads it sees all writes before.
    fn set(&self, word: usize) {
        self.0.store(word, Ordering::Release);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    fn wait(&self, looks: usize, will_do: impl Fn(usize) -> bool) -> Option<usize> {
        for _ in 0..looks {
            let word = self.get();
            if will_do(word) {
                return Some(word);
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Waits longer, but yields to other threads.
    fn wait_longer(&self, looks: usize, will_do: impl Fn(usize) -> bool) -> Option<usize> {
        self.wait(looks, &will_do).or_else(|| {
            (0..200).find_map(|_| {
                std::thread::yield_now();
                self.wait(1, &will_do)
            })
        })
    }
}

impl Board {
    fn new(job: &Job) -> Self {
        let share = job.blocks.units() - job.split();
        let line = |_| Line([const { AtomicU32::new(0) }; 16]);
        let part = |_| (0..share.div_ceil(16)).map(line).collect();
        let word = |word| Word(AtomicUsize::new(word));
        Self {
            lead: word(ALONE),
            follow: word(OVER),
            first: AtomicUsize::new(0),
            states: [(); 4].map(|()| [(); 3].map(part)),
            // About as long as the helper's share takes: a vector of weights a cycle, and some 64
            // cycles a poll.
            patience: share / job.blocks.lanes * job.blocks.hidden_size / 16 + 16,
        }
    }

    fn part(&self, step: usize, part: Part) -> &[Line] {
        &self.states[step % 4][part as usize]
    }

    fn put(&self, step: usize, part: Part, values: &[f32]) {
        for (to, values) in self.part(step, part).iter().zip(values.chunks(16)) {
            for (to, value) in to.0.iter().zip(values) {
                to.store(value.to_bits(), Ordering::Relaxed);
            }
        }
    }

    fn take(&self, step: usize, part: Part, values: &mut [f32]) {
        for (from, values) in self.part(step, part).iter().zip(values.chunks_mut(16)) {
            for (from, value) in from.0.iter().zip(values) {
                *value = f32::from_bits(from.load(Ordering::Relaxed));
            }
        }
    }
}

/// A state, before and after a step, of all units.
struct State<'a> {
    h: &'a [f32],
    c: &'a mut [f32],
    h_next: &'a mut [f32],
}

impl Job {
    /// The helper's first block.
    fn split_block(&self) -> usize {
        self.blocks.blocks / 2
    }

    /// The helper's first unit.
    fn split(&self) -> usize {
        self.split_block() * self.blocks.lanes
    }

    /// Makes a step of some blocks, exactly as a task with one row does.
    #[inline(always)]
    fn step<S: Simd>(&self, simd: S, step: usize, blocks: Range<usize>, state: State<'_>) {
        let (lanes, hidden_size) = (S::F32_LANES, self.blocks.hidden_size);
        let State { h, c, h_next } = state;
        let frame = self.row.frame(step, self.config.reverse);
        let sums: &[[S::f32s; 4]] = cast_slice(&self.sums);
        for block in blocks {
            let place = block * lanes;
            let mut sums = [sums[frame * self.blocks.blocks + block]];
            let r = weights_of::<S>(&self.r, hidden_size, block);
            accumulate(simd, &mut sums, [&h[..hidden_size]], r);
            let old = [load::<S>(&h[place..]), load::<S>(&c[place..])];
            let peepholes = row_of(simd, self.peepholes.as_deref().map(|p| &**p), block);
            let at = (frame, block);
            let new = cell_of(simd, &self.config, self.blocks, sums[0], old, peepholes, at);
            store::<S>(&mut c[place..], new.c);
            store::<S>(&mut h_next[place..], new.h);
            if self.config.cell.is_variant() {
                c[place + self.blocks.range(block).len()..place + lanes].fill(0.0);
            }
        }
    }
}

/// Runs the sequence from a state, and writes the outputs to `y`, if it has room for them. Returns h and c
/// after the last step.
pub(super) fn run(job: Job, state: [Vec<f32>; 2], y: &mut [f32]) -> [Vec<f32>; 2] {
    let board = Board::new(&job);
    lead(job, board, state, y, |helper| threads::spawn(move || helper.run(|_| true)))
}

/// Runs as [`run`], with a `call` that starts the helper, or does not.
fn lead(
    job: Job,
    board: Board,
    [h, c]: [Vec<f32>; 2],
    y: &mut [f32],
    call: impl Fn(Helper),
) -> [Vec<f32>; 2] {
    let (job, board) = (Arc::new(job), Arc::new(board));
    let ends = Arch::new().dispatch(Lead { job: &job, board: &board, h, c, y, call });
    board.lead.set(OVER);
    // The helper must not keep buffers from going back to their pool.
    for _ in 0..board.patience {
        if Arc::strong_count(&job) == 1 {
            break;
        }
        std::hint::spin_loop();
    }
    ends
}

struct Lead<'a, F> {
    job: &'a Arc<Job>,
    board: &'a Arc<Board>,
    h: Vec<f32>,
    c: Vec<f32>,
    y: &'a mut [f32],
    call: F,
}

/// The shared steps that gain as much as one vain wait for a helper loses.
const PRICE: usize = 16;
/// The loss that is accepted in advance, in shared steps.
const CREDIT: usize = 4 * PRICE;
/// The steps alone after which a lost helper is called again.
const CALL: usize = 1024;

impl<F: Fn(Helper)> WithSimd for Lead<'_, F> {
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let Self { job, board, mut h, mut c, y, call } = self;
        let Job { blocks, ref config, row, .. } = **job;
        let (split_block, split) = (job.split_block(), job.split());
        let (steps, width) = (row.length, y.len() / row.length);
        let mut h_next = h.clone();
        // The step from which on there is a helper, if there is one; and the number of the pause.
        let (mut paired_at, mut pause) = (None, ALONE);
        let (mut credit, mut alone) = (CREDIT, 0);
        for step in 0..=steps {
            if paired_at.is_some_and(|first| first < step) {
                // The helper may already have made its share of this step, too.
                let made = |word: usize| word >= step && word < ALONE;
                if board.follow.wait(board.patience, made).is_some() {
                    board.take(step, Part::FollowH, &mut h[split..]);
                    credit = (credit + 1).min(CREDIT);
                } else {
                    // Recomputes the helper's share of the step before, from the state before that.
                    pause += 1;
                    board.lead.set(pause);
                    (paired_at, alone) = (None, 0);
                    credit -= PRICE;
                    board.take(step - 1, Part::LeadH, &mut h_next[..split]);
                    board.take(step - 1, Part::FollowH, &mut h_next[split..]);
                    board.take(step - 1, Part::FollowC, &mut c[split..]);
                    let state = State { h: &h_next, c: &mut c, h_next: &mut h };
                    job.step(simd, step - 1, split_block..blocks.blocks, state);
                }
            }
            if step > 0 && width > 0 {
                let frame = row.frame(step - 1, config.reverse);
                y[frame * width..][..width].copy_from_slice(&h[..width]);
            }
            if step == steps {
                break;
            }
            if paired_at.is_none() && credit >= PRICE {
                let word = board.follow.get();
                if word == pause {
                    board.put(step, Part::LeadH, &h[..split]);
                    board.put(step, Part::FollowH, &h[split..]);
                    board.put(step, Part::FollowC, &c[split..]);
                    board.first.store(step, Ordering::Relaxed);
                    board.lead.set(step);
                    paired_at = Some(step);
                } else if alone % CALL == 0 && word == OVER && Arc::weak_count(job) == 0 {
                    call(Helper { job: Arc::downgrade(job), board: board.clone() });
                }
                alone += 1;
            }
            let own = if paired_at.is_some() { split_block } else { blocks.blocks };
            job.step(simd, step, 0..own, State { h: &h, c: &mut c, h_next: &mut h_next });
            std::mem::swap(&mut h, &mut h_next);
            if paired_at.is_some() {
                board.put(step + 1, Part::LeadH, &h[..split]);
                board.lead.set(step + 1);
            }
        }
        if paired_at.is_some() {
            board.take(steps, Part::FollowC, &mut c[split..]);
        }
        [h, c]
    }
}

/// The helper. It holds the leader's data weakly, except while both work.
struct Helper {
    job: Weak<Job>,
    board: Arc<Board>,
}

impl Helper {
    /// Runs until the sequence is over. `stays` is called before each step; only tests make the helper leave.
    fn run(self, stays: impl Fn(usize) -> bool) {
        let Board { lead, follow, patience, .. } = &*self.board;
        let mut known = None;
        while let Some(word) = lead.wait_longer(*patience, |word| Some(word) != known) {
            known = Some(word);
            if word < ALONE {
                let Some(job) = self.job.upgrade() else { break };
                match Arch::new().dispatch(Follow { job: &job, board: &self.board, stays: &stays })
                {
                    Parted::Paused => {}
                    Parted::Done => return,
                    Parted::Left => break,
                }
            } else if word < OVER {
                follow.set(word);
            } else {
                break;
            }
        }
        follow.set(OVER);
    }
}

enum Parted {
    Paused,
    Done,
    Left,
}

/// The helper's share of the steps, until they part.
struct Follow<'a, F> {
    job: &'a Job,
    board: &'a Board,
    stays: &'a F,
}

impl<F: Fn(usize) -> bool> WithSimd for Follow<'_, F> {
    type Output = Parted;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Parted {
        let Self { job, board, stays } = self;
        // The leader may have made this step already, but waits before the next.
        let first = board.first.load(Ordering::Relaxed);
        let Job { blocks, row, .. } = *job;
        let (split_block, split) = (job.split_block(), job.split());
        let mut h = vec![0.0; blocks.units()];
        let (mut h_next, mut c) = (h.clone(), h.clone());
        board.take(first, Part::FollowH, &mut h[split..]);
        board.take(first, Part::FollowC, &mut c[split..]);
        for step in first..row.length {
            if step > first {
                match board.lead.wait_longer(board.patience, |word| word >= step) {
                    // The leader has made its share of the step before, and maybe of this one.
                    Some(word) if word < ALONE => {}
                    Some(_) => return Parted::Paused,
                    None => return Parted::Left,
                }
            }
            if !stays(step) {
                return Parted::Left;
            }
            board.take(step, Part::LeadH, &mut h[..split]);
            let state = State { h: &h, c: &mut c, h_next: &mut h_next };
            job.step(simd, step, split_block..blocks.blocks, state);
            std::mem::swap(&mut h, &mut h_next);
            board.put(step + 1, Part::FollowH, &h[split..]);
            board.put(step + 1, Part::FollowC, &c[split..]);
            board.follow.set(step + 1);
        }
        Parted::Done
    }
}

#[cfg(test)]
mod tests;
