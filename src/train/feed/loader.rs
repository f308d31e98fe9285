//! Threads that have the next batches ready.

use crate::{Error, Result};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, scope};

/// Batches that each thread has ready, or is at work on, at most: as in PyTorch.
const AHEAD: usize = 2;

/// Makes batches by their numbers, which grow; `None` past the last. One for each thread.
pub(super) type Make<'a, P> = Box<dyn FnMut(usize) -> Result<Option<P>> + 'a>;

/// What threads and caller share.
struct Shared<'s, P> {
    state: Mutex<State<P>>,
    changed: Condvar,
    /// Whether nobody waits for batches any more.
    over: &'s AtomicBool,
    /// The most batches that are ready or being made.
    most: usize,
}

struct State<P> {
    /// The next batch that a thread begins.
    begin: usize,
    /// The next batch that the caller takes.
    take: usize,
    ready: BTreeMap<usize, Result<Option<P>>>,
}

/// Runs `f`, which gets the batches from `first` on in their order, made by so many threads: at most twice as
/// many batches as threads are ready or being made. Where there are no threads, `f` makes each as it asks for it.
/// `over` tells `make` that no more batches are needed; no thread is left when this returns.
pub(super) fn load<'a, P: Send, R>(
    make: &(impl Fn() -> Result<Make<'a, P>> + Sync),
    first: usize,
    workers: usize,
    over: &AtomicBool,
    f: impl FnOnce(&mut dyn FnMut() -> Result<Option<P>>) -> Result<R>,
) -> Result<R> {
    let state = State { begin: first, take: first, ready: BTreeMap::new() };
    let (state, changed) = (Mutex::new(state), Condvar::new());
    let shared = Shared { state, changed, over, most: workers.saturating_mul(AHEAD) };
    scope(|scope| {
        // Threads end even where `f` panics.
        let _end = End(&shared);
        let spawn = || Builder::new().spawn_scoped(scope, || shared.work(make)).is_ok();
        let threads = (0..workers).take_while(|_| spawn()).count();
        if threads > 0 {
            return f(&mut || shared.take());
        }
        let (mut number, mut make) = (first, make()?);
        f(&mut || {
            number += 1;
            caught(|| make(number - 1))
        })
    })
}

impl<P> Shared<'_, P> {
    fn lock(&self) -> MutexGuard<'_, State<P>> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State<P>>) -> MutexGuard<'g, State<P>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a batch to make; `None` where no more are needed.
    fn begin(&self) -> Option<usize> {
        let mut state = self.lock();
        while !self.over.load(Ordering::Relaxed) {
            if state.begin < state.take.saturating_add(self.most) {
                state.begin += 1;
                return Some(state.begin - 1);
            }
            state = self.wait(state);
        }
        None
    }

    fn put(&self, number: usize, batch: Result<Option<P>>) {
        self.lock().ready.insert(number, batch);
        self.changed.notify_all();
    }

    /// Makes batches until there are no more, or no more are needed.
    fn work<'a>(&self, make: &impl Fn() -> Result<Make<'a, P>>) {
        let mut make = make();
        while let Some(number) = self.begin() {
            let batch = match &mut make {
                Ok(make) => caught(|| make(number)),
                Err(error) => Err(error.clone()),
            };
            let last = !matches!(batch, Ok(Some(_)));
            self.put(number, batch);
            if last {
                return;
            }
        }
    }

    /// The next batch in order.
    fn take(&self) -> Result<Option<P>> {
        let mut state = self.lock();
        loop {
            let take = state.take;
            // The end, and an error, are the same however often one asks.
            match state.ready.get(&take) {
                Some(Ok(None)) => return Ok(None),
                Some(Err(error)) => return Err(error.clone()),
                Some(Ok(Some(_))) => {
                    let batch = state.ready.remove(&take).unwrap_or(Ok(None));
                    state.take += 1;
                    drop(state);
                    self.changed.notify_all();
                    return batch;
                }
                None => state = self.wait(state),
            }
        }
    }
}

/// Runs what may be the user's own; a panic becomes an error, for nobody would hear it in a thread.
pub(in crate::train) fn caught<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    let text = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
    };
    let told = |panic| Err(Error::custom(format!("loading panicked: {}", text(panic))));
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(told)
}

struct End<'s, 'o, P>(&'s Shared<'o, P>);

impl<P> Drop for End<'_, '_, P> {
    fn drop(&mut self) {
        // Under the lock: a thread that has just looked does not miss the call.
        let _state = self.0.lock();
        self.0.over.store(true, Ordering::Relaxed);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    /// A batch that is counted while it lives.
    struct Counted<'a>(&'a AtomicUsize, usize);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn batches_come_in_order_and_few_are_alive() {
        for workers in [0, 1, 2, 5] {
            let [alive, most] = [0; 2].map(AtomicUsize::new);
            let (alive, most) = (&alive, &most);
            let make = || {
                Ok(Box::new(move |number: usize| {
                    let now = 1 + alive.fetch_add(1, Ordering::SeqCst);
                    most.fetch_max(now, Ordering::SeqCst);
                    let batch = Counted(alive, number);
                    // Some take longer, so that they are not ready in order.
                    std::thread::sleep(Duration::from_micros(300 * (number as u64 * 7 % 5)));
                    Ok((number < 40).then_some(batch))
                }) as Make<'_, Counted<'_>>)
            };
            let over = AtomicBool::new(false);
            let numbers = load(&make, 3, workers, &over, |next| {
                let mut numbers = Vec::new();
                while let Some(batch) = next()? {
                    std::thread::sleep(Duration::from_micros(500));
                    numbers.push(batch.1);
                }
                assert!(next()?.is_none());
                Ok(numbers)
            });
            assert_eq!(numbers.unwrap(), (3..40).collect::<Vec<_>>());
            assert!(over.load(Ordering::SeqCst));
            assert_eq!(alive.load(Ordering::SeqCst), 0);
            let most = most.load(Ordering::SeqCst);
            assert!(most <= AHEAD * workers + 1, "{most} of {workers} workers");
            assert!(workers == 0 || most > 1, "nothing was made ahead");
        }
    }

    #[test]
    fn an_error_comes_when_its_batch_is_due() {
        for workers in [0, 1, 4] {
            let make = || {
                Ok(Box::new(|number: usize| match number {
                    6 => Err(Error::custom("six")),
                    7 => panic!("seven"),
                    _ => Ok(Some(number)),
                }) as Make<'_, usize>)
            };
            let mut seen = Vec::new();
            let ended = load(&make, 0, workers, &AtomicBool::new(false), |next| {
                while let Some(number) = next()? {
                    seen.push(number);
                }
                Ok(())
            });
            assert_eq!(ended.unwrap_err().to_string(), "six");
            assert_eq!(seen, [0, 1, 2, 3, 4, 5], "{workers} workers");
            let ended = load(&make, 7, workers, &AtomicBool::new(false), |next| next());
            assert_eq!(ended.unwrap_err().to_string(), "loading panicked: seven");
        }
    }
}
