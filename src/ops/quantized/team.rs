//! Threads that take the steps of a recurrence together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Steps one after the other, each of several parts, which may be done at the same time. A thread that comes late, or
/// never, leaves its part to the others: each part of a step is done once, by whoever claims it.
pub(super) struct Team {
    steps: usize,
    /// For each part, the next step that nobody has claimed.
    claimed: Vec<AtomicUsize>,
    /// The parts of all steps that are done.
    done: AtomicUsize,
}

/// Lets the others go if a thread panics at its part.
struct Guard<'a>(&'a AtomicUsize);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // More than there are parts, and far from an end at which those that others finish would wrap it.
            self.0.store(usize::MAX / 2, Ordering::Release);
        }
    }
}

/// How often a thread looks before it gives way to others: the wait for a part is shorter than this, if all threads
/// run.
const SPINS: usize = 1 << 12;

impl Team {
    pub(super) fn new(steps: usize, parts: usize) -> Self {
        let claimed = (0..parts.max(1)).map(|_| AtomicUsize::new(0)).collect();
        Self { steps, claimed, done: AtomicUsize::new(0) }
    }

    /// Does parts until all are done: `f` of the step and the part. A part of a step begins when all parts of the
    /// step before are done, and sees what they wrote. A member begins with the part of its own number, so that a
    /// cache keeps what it reads at each step.
    pub(super) fn work(&self, member: usize, mut f: impl FnMut(usize, usize)) {
        let (parts, mut spins) = (self.claimed.len(), 0);
        let _guard = Guard(&self.done);
        loop {
            let step = self.done.load(Ordering::Acquire) / parts;
            if step >= self.steps {
                return;
            }
            let part = (0..parts).map(|n| (member + n) % parts).find(|&part| {
                let claimed = &self.claimed[part];
                claimed.load(Ordering::Relaxed) == step
                    && claimed
                        .compare_exchange(step, step + 1, Ordering::AcqRel, Ordering::Relaxed)
                        .is_ok()
            });
            match part {
                Some(part) => {
                    f(step, part);
                    self.done.fetch_add(1, Ordering::AcqRel);
                    spins = 0;
                }
                None if spins < SPINS => {
                    spins += 1;
                    std::hint::spin_loop();
                }
                None => std::thread::yield_now(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_part_is_done_once_and_after_the_step_before() {
        for members in [1, 2, 3, 5] {
            let (steps, parts) = (50, 3);
            let team = Team::new(steps, parts);
            let done = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                for member in 0..members {
                    let (team, done) = (&team, &done);
                    scope
                        .spawn(move || team.work(member, |s, p| done.lock().unwrap().push((s, p))));
                }
            });
            let mut done = done.into_inner().unwrap();
            assert!(done.is_sorted_by_key(|(step, _)| *step), "{members}");
            done.sort_unstable();
            let all: Vec<_> = (0..steps).flat_map(|s| (0..parts).map(move |p| (s, p))).collect();
            assert_eq!(done, all, "{members}");
        }
    }

    #[test]
    fn a_panic_lets_the_others_go() {
        let team = Team::new(10, 2);
        let other = std::thread::scope(|scope| {
            let one = scope.spawn(|| team.work(0, |step, _| assert!(step < 3, "step {step}")));
            let other = scope.spawn(|| team.work(1, |step, _| assert!(step < 3, "step {step}")));
            (one.join().is_err(), other.join().is_err())
        });
        assert!(other.0 || other.1);
    }

    /// Also one that is within its part meanwhile.
    #[test]
    fn who_works_while_another_panics_ends() {
        let team = Team::new(10, 2);
        std::thread::scope(|scope| {
            let panics = scope.spawn(|| team.work(0, |step, part| assert!(step < 3 || part == 1)));
            let works = scope.spawn(|| {
                team.work(1, |step, part| {
                    let began = std::time::Instant::now();
                    let late = || team.done.load(Ordering::Acquire) > 20 || part == 0;
                    while step == 3 && !late() && began.elapsed().as_secs() < 20 {
                        std::thread::yield_now();
                    }
                    assert!(step < 3 || part == 1);
                });
            });
            // Whoever takes part 0 of step 3 panics; the other, if it was within part 1, ends all the same.
            assert!(panics.join().is_err() || works.join().is_err());
        });
    }
}
