//! The thread pool of the CPU device: its own, so that no job of the program blocks it, and with subnormals
//! flushed (see [`super::float_mode`]).
//!
//! The calling thread always works too. It lends work to the others, and when nothing is left it waits only
//! for those that have begun: if all threads are busy, it does the work alone.

use super::float_mode::{Flushed, flush_for_good};
use super::lock;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

/// A pool of `count` threads, of which the caller is one.
pub(crate) struct Threads {
    count: usize,
    /// The pool, created at first use; `None` if the system gives no threads.
    pool: OnceLock<Option<rayon::ThreadPool>>,
}

thread_local! {
    /// The pool that this thread works for at present.
    static CURRENT: RefCell<Option<Arc<Threads>>> = const { RefCell::new(None) };
}

/// Restores the pool that the thread worked for before.
struct Entered(Option<Arc<Threads>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl Threads {
    /// A pool of `count` threads; `None`: as many as `RAYON_NUM_THREADS` says, or as the processor runs at a
    /// time.
    pub(crate) fn new(count: Option<usize>) -> Arc<Self> {
        let asked = || std::env::var("RAYON_NUM_THREADS").ok()?.trim().parse().ok();
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = count.or_else(asked).filter(|&n| n > 0).unwrap_or_else(cores);
        Arc::new(Self { count, pool: OnceLock::new() })
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn pool(&self) -> Option<&rayon::ThreadPool> {
        if self.count < 2 {
            return None;
        }
        let pool = self.pool.get_or_init(|| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(self.count)
                .thread_name(|n| format!("wgpu-lstm {n}"))
                .start_handler(|_| flush_for_good())
                .build();
            pool.map_err(|error| log::info!("the CPU device has one thread: {error}")).ok()
        });
        pool.as_ref()
    }

    /// Runs `f` with subnormals flushed; its parallel work uses this pool.
    pub(crate) fn enter<R>(self: &Arc<Self>, f: impl FnOnce() -> R) -> R {
        let _mode = Flushed::new();
        let inside = CURRENT
            .with_borrow(|current| current.as_ref().is_some_and(|now| Arc::ptr_eq(now, self)));
        let _entered = (!inside).then(|| Entered(CURRENT.replace(Some(self.clone()))));
        f()
    }
}

/// The pool that this thread works for at present.
fn current() -> Option<Arc<Threads>> {
    CURRENT.with_borrow(Clone::clone)
}

/// The number of threads of the pool that this thread works for; 1 without.
pub(crate) fn count() -> usize {
    CURRENT.with_borrow(|current| current.as_ref().map_or(1, |threads| threads.count))
}

/// Runs `f` on each job, on up to `threads` threads. The calling thread is one of them: it starts at once,
/// and with one thread no other is woken.
pub(crate) fn each<J: Send>(
    jobs: impl Iterator<Item = J> + Send,
    threads: usize,
    f: impl Fn(J) + Sync,
) {
    let here = current().filter(|_| threads > 1);
    let Some(pool) = here.as_deref().and_then(Threads::pool) else {
        jobs.for_each(f);
        return;
    };
    let jobs = Mutex::new(jobs);
    let next = || lock(&jobs).next();
    let work = || {
        while let Some(job) = next() {
            f(job);
        }
    };
    lend(pool, threads.min(pool.current_num_threads()) - 1, &work);
}

/// Runs `f` on each chunk of `len` words and its number, on all threads.
pub(crate) fn each_chunk<T: Send>(words: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let threads = count().min(words.len().div_ceil(len.max(1)));
    each(words.chunks_mut(len.max(1)).enumerate(), threads, |(n, chunk)| f(n, chunk));
}

/// The words that a thread copies or sets at a time.
const BLOCK: usize = 1 << 16;

/// Copies words, on all threads if they are many.
pub(crate) fn copy(from: &[f32], to: &mut [f32]) {
    let from = &from[..to.len()];
    each_chunk(to, BLOCK, |n, to| to.copy_from_slice(&from[n * BLOCK..][..to.len()]));
}

/// Sets words, on all threads if they are many.
pub(crate) fn fill(words: &mut [f32], value: f32) {
    each_chunk(words, BLOCK, |_, words| match value.to_bits() {
        // Of a constant the compiler makes the system's own function, which is faster.
        0 => words.fill(0.0),
        _ => words.fill(value),
    });
}

/// Queues `f` for a thread of the pool.
pub(crate) fn spawn(f: impl FnOnce() + Send + 'static) {
    if let Some(pool) = current().as_deref().and_then(Threads::pool) {
        pool.spawn(f);
    }
}

/// Runs `f` where rayon's parallel loops, as in products of matrices, use this pool. The argument is
/// `false` if there is none, and `f` must not run in parallel.
pub(crate) fn inside<R: Send>(mut f: impl FnMut(bool) -> R + Send) -> R {
    match current().as_deref().and_then(Threads::pool) {
        Some(pool) if pool.current_thread_index().is_some() => f(true),
        Some(pool) if rayon::current_thread_index().is_none() => pool.install(|| f(true)),
        // If a thread of another pool waited here, rayon would give it jobs of that pool.
        Some(pool) => {
            let done = std::thread::scope(|scope| {
                let there = || pool.install(|| f(true));
                let helper = std::thread::Builder::new().spawn_scoped(scope, there).ok()?;
                Some(helper.join().unwrap_or_else(|panic| resume_unwind(panic)))
            });
            done.unwrap_or_else(|| f(false))
        }
        None => f(false),
    }
}

/// Work lent to other threads for a limited time.
#[derive(Default)]
struct Loan {
    state: Mutex<LoanState>,
    changed: Condvar,
}

#[derive(Default)]
struct LoanState {
    /// Whether the loan is over, so that no thread may begin.
    closed: bool,
    running: usize,
    panic: Option<Box<dyn Any + Send>>,
}

/// A pointer to lent work. Not a reference, since it outlives the work in a helper that comes too late.
#[derive(Clone, Copy)]
struct Lent(*const (dyn Fn() + Sync));

// SAFETY: what it points to is `Sync`, so that any thread may call it while it lives; that it does is what
// `Loan::help` makes sure of before it looks.
unsafe impl Send for Lent {}

impl Loan {
    /// Runs the work, unless the loan is over.
    fn help(&self, lent: Lent) {
        {
            let mut state = lock(&self.state);
            if state.closed {
                return;
            }
            state.running += 1;
        }
        // SAFETY: `running` counts this call since before the loan was closed, and `Closing` waits for it
        // before the work that `lend` borrows goes away.
        let work = unsafe { &*lent.0 };
        let panic = catch_unwind(AssertUnwindSafe(work)).err();
        let mut state = lock(&self.state);
        state.running -= 1;
        if panic.is_some() {
            state.panic = panic;
        }
        drop(state);
        self.changed.notify_one();
    }
}

/// Ends a loan when dropped: no thread runs the work from then on.
struct Closing<'a>(&'a Loan);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).closed = true;
        // Threads that have begun are nearly done: sleeping and waking up would take longer.
        for _ in 0..256 {
            if lock(&self.0.state).running == 0 {
                return;
            }
            (0..64).for_each(|_| std::hint::spin_loop());
        }
        let mut state = lock(&self.0.state);
        while state.running > 0 {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Runs `work` here and, if they are free, on up to `helpers` other threads. Resumes a helper's panic.
fn lend(pool: &rayon::ThreadPool, helpers: usize, work: &(dyn Fn() + Sync)) {
    let loan = Arc::new(Loan::default());
    {
        let _closing = Closing(&loan);
        // SAFETY: only the lifetime that the type shows changes, of a pointer that is looked at while the
        // loan is open alone: until `_closing` is dropped, which is before this function returns or
        // unwinds.
        let lent = Lent(unsafe {
            std::mem::transmute::<*const (dyn Fn() + Sync), *const (dyn Fn() + Sync)>(work)
        });
        for _ in 0..helpers {
            let loan = loan.clone();
            pool.spawn(move || loan.help(lent));
        }
        work();
    }
    let panic = lock(&loan.state).panic.take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    #[test]
    fn every_job_is_done_once_on_however_many_threads() {
        for count in [1, 2, 3, 8] {
            let threads = Threads::new(Some(count));
            let done: Vec<_> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
            threads.enter(|| {
                assert_eq!(super::count(), count);
                each(0..done.len(), count, |i| {
                    done[i].fetch_add(1, Ordering::Relaxed);
                });
            });
            assert!(done.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{count} threads");
        }
    }

    #[test]
    fn words_are_copied_and_set_however_many() {
        for n in [0, 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let from: Vec<f32> = (0..n).map(|i| i as f32).collect();
            for count in [1, 3] {
                let mut to = vec![f32::NAN; n];
                Threads::new(Some(count)).enter(|| copy(&from, &mut to));
                assert_eq!(to, from);
                Threads::new(Some(count)).enter(|| fill(&mut to, 2.5));
                assert!(to.iter().all(|&v| v == 2.5));
            }
        }
    }

    #[test]
    fn a_busy_pool_leaves_the_work_to_the_caller() {
        let threads = Threads::new(Some(2));
        let begun = Arc::new(AtomicUsize::new(0));
        let release = Arc::new((Mutex::new(false), Condvar::new()));
        threads.enter(|| {
            for _ in 0..2 {
                let (begun, release) = (begun.clone(), release.clone());
                spawn(move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    let free = lock(&release.0);
                    let wait = release.1.wait_timeout_while(free, Duration::from_secs(60), |f| !*f);
                    drop(wait);
                });
            }
            let began = Instant::now();
            while begun.load(Ordering::Relaxed) < 2 && began.elapsed() < Duration::from_secs(10) {
                std::thread::yield_now();
            }
            // Both threads hold on: without the caller nothing would ever be done.
            let done = AtomicUsize::new(0);
            each(0..10, 2, |_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.into_inner(), 10);
            assert!(!*lock(&release.0));
        });
        *lock(&release.0) = true;
        release.1.notify_all();
    }

    #[test]
    fn a_panic_of_a_helper_reaches_the_caller_and_the_pool_goes_on() {
        let threads = Threads::new(Some(4));
        for _ in 0..50 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                threads.enter(|| each(0..64, 4, |i| assert!(i != 40, "job {i}")))
            }));
            assert!(caught.is_err());
            let sum = AtomicUsize::new(0);
            threads.enter(|| {
                each(0..64, 4, |i| {
                    sum.fetch_add(i, Ordering::Relaxed);
                });
            });
            assert_eq!(sum.into_inner(), 64 * 63 / 2);
        }
    }

    #[test]
    fn loops_of_rayon_find_the_devices_threads_whoever_calls() {
        let threads = Threads::new(Some(3));
        let seen = || threads.enter(|| inside(|_| rayon::current_num_threads()));
        assert_eq!(seen(), 3);
        let other = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        assert_eq!(other.install(seen), 3);
    }
}
