//! The bits do not depend on whether there was a helper, or on what it did.

use super::*;
use crate::nn::{Lstm, Merge, Params};
use crate::ops::lstm::cpu::lanes;
use crate::{Device, Tape, Tensor, Var};
use std::sync::atomic::Ordering::Relaxed;

/// Numbers between -0.25 and 0.25.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = |()| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 25) as f32 - 0.25
    };
    vec![(); len].into_iter().map(next).collect()
}

/// Runs a sequence of some length; h, c and the outputs, as bits.
fn bits(
    [hidden_size, length]: [usize; 2],
    reverse: bool,
    patience: Option<usize>,
    call: impl Fn(Helper),
) -> Vec<u32> {
    let device = Device::cpu().unwrap();
    let blocks = Blocks::new(lanes(), hidden_size);
    let tensor = |shape: [usize; 2], seed| {
        Tensor::from_slice(&numbers(shape[0] * shape[1], seed), shape, &device).unwrap()
    };
    let r = tensor([hidden_size, 4 * hidden_size], 1);
    let job = Job {
        blocks,
        config: CellConfig { reverse, ..CellConfig::default() },
        row: Row { at: 0, length, start: 0 },
        sums: tensor([length, blocks.columns()], 2).cpu(),
        r: blocks.packed_forward(&r).unwrap(),
        peepholes: None,
    };
    let mut state = [numbers(blocks.units(), 3), numbers(blocks.units(), 4)];
    for words in &mut state {
        words[hidden_size..].fill(0.0);
    }
    let mut board = Board::new(&job);
    board.patience = patience.unwrap_or(board.patience);
    let mut y = vec![f32::NAN; length * hidden_size];
    let [h, c] = lead(job, board, state, &mut y, call);
    let ends = h[..hidden_size].iter().chain(&c[..hidden_size]);
    ends.chain(&y).map(|word| word.to_bits()).collect()
}

fn alone(size: [usize; 2], reverse: bool) -> Vec<u32> {
    bits(size, reverse, None, drop)
}

/// A helper on a thread of its own that is there before the leader goes on.
fn arrive(helper: Helper, stays: impl Fn(usize) -> bool + Send + 'static) {
    let board = helper.board.clone();
    let thread = std::thread::spawn(move || helper.run(stays));
    while board.follow.get() == OVER && !thread.is_finished() {
        std::thread::yield_now();
    }
}

/// Both share each step after that in which the helper was called, since neither gives up.
#[test]
fn a_helper_changes_no_bit() {
    for size in [[1, 1], [1, 7], [7, 3], [17, 20], [64, 50], [65, 9], [100, 33], [131, 40]] {
        for reverse in [false, true] {
            let made = Arc::new(AtomicUsize::new(0));
            let shared = bits(size, reverse, Some(usize::MAX), |helper| {
                let made = made.clone();
                arrive(helper, move |_| made.fetch_add(1, Relaxed) < usize::MAX);
            });
            assert_eq!(made.load(Relaxed), size[1] - 1, "{size:?}");
            assert_eq!(shared, alone(size, reverse), "{size:?}, reverse: {reverse}");
        }
    }
}

#[test]
fn a_helper_that_leaves_at_any_step_changes_no_bit() {
    let size = [80, 12];
    for last in 0..size[1] {
        let left = bits(size, false, None, |helper| arrive(helper, move |step| step < last));
        assert_eq!(left, alone(size, false), "it leaves at step {last}");
    }
}

/// A helper that the leader has given up makes its share, comes back and goes on.
#[test]
fn a_helper_that_is_put_aside_changes_no_bit() {
    let size = [72, 9000];
    let times = Arc::new(AtomicUsize::new(0));
    let late = bits(size, false, Some(500_000), |helper| {
        let (times, board) = (times.clone(), helper.board.clone());
        let made = AtomicUsize::new(0);
        arrive(helper, move |_| {
            if [0, 1, 40].contains(&made.fetch_add(1, Relaxed)) {
                while board.lead.get() < ALONE {
                    std::thread::yield_now();
                }
                times.fetch_add(1, Relaxed);
            }
            true
        });
    });
    assert!(times.load(Relaxed) > 0);
    assert_eq!(late, alone(size, false));
}

/// Helpers one after another: each comes after a pause, and is another thread.
#[test]
fn helpers_that_come_and_go_change_no_bit() {
    let size = [64, 5 * CALL];
    let calls = AtomicUsize::new(0);
    let helped = bits(size, false, Some(200), |helper| match calls.fetch_add(1, Relaxed) % 3 {
        0 => drop(helper),
        1 => arrive(helper, |_| false),
        _ => arrive(helper, |step| step % 700 != 699),
    });
    assert!(calls.load(Relaxed) >= 2);
    assert_eq!(helped, alone(size, false));
}

/// By the layer, beside the pass that saves, which has one thread a row.
#[test]
fn threads_change_no_bit_of_one_row() {
    let device = Device::cpu().unwrap();
    let params = Params::new(&device);
    let lstm =
        Lstm::new(70).bidirectional(Merge::Concat).return_sequences().build(&params, 5).unwrap();
    let x: Var = Tensor::from_slice(&numbers(5 * 400, 5), [1, 400, 5], &device).unwrap().into();
    let want = lstm.forward(&Tape::new(&params), &x).unwrap().tensor().to_vec().unwrap();
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let got = pool.install(|| lstm.forward(&Tape::inference(&params), &x).unwrap());
        assert_eq!(got.tensor().to_vec().unwrap(), want, "{threads} threads");
    }
}
