//! The protocol of `shaders/lstm/parts/exchange.wgsl` in every order of events: three workgroups, three
//! steps, each of them late, slow or out of patience at any moment.

use std::collections::HashSet;

const MEMBERS: usize = 3;
const STEPS: usize = 3;

/// A value that tells all that went into it; 0 means "not there yet".
fn value(step: usize, member: usize, before: [u64; MEMBERS]) -> u64 {
    let seed = 1 + (step * MEMBERS + member) as u64;
    let mix =
        |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    before.into_iter().fold(seed, mix) | 1
}

const FIRST: [u64; MEMBERS] = [7, 8, 9];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    NotStarted,
    /// With what it has read of this step so far.
    Waiting([u64; MEMBERS]),
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    at: [At; MEMBERS],
    progress: [usize; MEMBERS],
    /// What each member computed at each step; of the last, its state.
    words: [[u64; MEMBERS]; STEPS],
    failed: bool,
}

impl State {
    fn before(&self, step: usize) -> [u64; MEMBERS] {
        if step == 0 { FIRST } else { self.words[step - 1] }
    }

    /// Everything that may happen next. A load that sees an old value is an event that did not
    /// happen yet, so relaxed loads, in any order, are all there.
    fn next(&self) -> Vec<Self> {
        let mut all = vec![];
        for m in 0..MEMBERS {
            let mut push = |change: &dyn Fn(&mut Self)| {
                let mut next = *self;
                change(&mut next);
                all.push(next);
            };
            let step = self.progress[m];
            match self.at[m] {
                At::Left => {}
                At::NotStarted => {
                    push(&|s| s.at[m] = At::Waiting([0; MEMBERS]));
                    if self.failed {
                        push(&|s| s.at[m] = At::Left);
                    }
                }
                At::Waiting(seen) => {
                    let before = self.before(step);
                    for k in (0..MEMBERS).filter(|&k| seen[k] == 0 && before[k] != 0) {
                        push(&|s| {
                            let mut seen = seen;
                            seen[k] = before[k];
                            s.at[m] = At::Waiting(seen);
                        });
                    }
                    if seen.iter().all(|&word| word != 0) {
                        push(&|s| {
                            s.words[step][m] = value(step, m, seen);
                            s.progress[m] += 1;
                            let done = s.progress[m] == STEPS;
                            s.at[m] = if done { At::Left } else { At::Waiting([0; MEMBERS]) };
                        });
                    } else {
                        // Out of patience, with or without a reason.
                        push(&|s| {
                            s.failed = true;
                            s.at[m] = At::Left;
                        });
                        if self.failed {
                            push(&|s| s.at[m] = At::Left);
                        }
                    }
                }
            }
        }
        all
    }

    /// What the launch behind the pass does.
    fn recover(mut self) -> Self {
        if !self.failed {
            return self;
        }
        let begin = self.progress.into_iter().min().unwrap();
        for step in begin..STEPS {
            let before = self.before(step);
            assert!(before.iter().all(|&word| word != 0), "step {step} of {self:?}");
            for m in (0..MEMBERS).filter(|&m| step >= self.progress[m]) {
                self.words[step][m] = value(step, m, before);
            }
        }
        self
    }
}

#[test]
fn every_order_of_events_ends_with_the_same_values() {
    let mut expected = [[0; MEMBERS]; STEPS];
    for step in 0..STEPS {
        let before = if step == 0 { FIRST } else { expected[step - 1] };
        expected[step] = std::array::from_fn(|m| value(step, m, before));
    }
    let first = State {
        at: [At::NotStarted; MEMBERS],
        progress: [0; MEMBERS],
        words: [[0; MEMBERS]; STEPS],
        failed: false,
    };
    let mut seen = HashSet::from([first]);
    let mut open = vec![first];
    let (mut ends, mut failed_at) = (0, HashSet::new());
    while let Some(state) = open.pop() {
        let next = state.next();
        if next.is_empty() {
            // Nobody waits any more: each event takes a member further, so there is always an end.
            assert!(state.at.iter().all(|at| *at == At::Left), "{state:?}");
            assert!(state.failed || state.progress == [STEPS; MEMBERS], "{state:?}");
            assert_eq!(state.recover().words, expected, "{state:?}");
            ends += 1;
            failed_at.insert(state.progress);
        }
        for next in next {
            assert!(further(&state, &next), "{state:?} to {next:?}");
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    // Every member may be the one that comes last, from never having started to the last step.
    for m in 0..MEMBERS {
        for step in 0..STEPS {
            assert!(failed_at.iter().any(|p| p[m] == step && p.iter().all(|&q| q >= step)));
        }
    }
    assert!(ends > 20 && seen.len() > 5000, "{ends} ends of {} states", seen.len());
}

/// Whether an event brought a member nearer to its end, so that there are no circles.
fn further(from: &State, to: &State) -> bool {
    let rank = |s: &State| -> usize {
        let member = |m: usize| match s.at[m] {
            At::NotStarted => 0,
            At::Waiting(seen) => 1 + seen.iter().filter(|&&word| word != 0).count(),
            At::Left => 100,
        };
        (0..MEMBERS).map(|m| 10 * s.progress[m] + member(m)).sum()
    };
    rank(to) > rank(from)
}
