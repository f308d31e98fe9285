//! Flushing subnormal numbers to zero.
//!
//! Processors compute with numbers below 1.2e-38 by microcode, at ten to a hundred times the price,
//! and an LSTM is full of them: a gradient that vanishes over time passes through them on its way to
//! zero, and so does the state of a stream in silence. None of them is of any use. So the threads that
//! compute for the CPU device read and write subnormals as zeros, and a caller's thread has its own
//! mode back as soon as the device is done.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;

/// A guard: while it lives, this thread flushes subnormals to zero; then the mode before is restored.
pub(crate) struct Flushed {
    before: arch::Mode,
    /// Makes the guard `!Send`, since a mode belongs to a thread.
    _thread: PhantomData<*const ()>,
}

impl Flushed {
    pub(crate) fn new() -> Self {
        let before = arch::mode();
        let flushed = before | arch::FLUSH;
        // Writing the register costs more than reading it, and most calls lie inside of another.
        if flushed != before {
            arch::set_mode(flushed);
        }
        Self { before, _thread: PhantomData }
    }
}

impl Drop for Flushed {
    fn drop(&mut self) {
        if self.before & arch::FLUSH != arch::FLUSH {
            arch::set_mode(self.before);
        }
    }
}

/// Flushes subnormals to zero from now on, on a thread that only works for the device.
pub(crate) fn flush_for_good() {
    arch::set_mode(arch::mode() | arch::FLUSH);
}

/// Awaits a future that is polled with subnormals flushed, on any thread. Threads started meanwhile inherit
/// the mode, so a software adapter that is opened within also flushes them.
pub(crate) async fn flushed<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let _mode = Flushed::new();
        future.as_mut().poll(context)
    })
    .await
}

// Rust gives no way to compute in another mode, so this is what audio and game engines do as well.
// The compiler takes floating-point instructions to depend on their operands alone and may move one
// across a change of the mode, or compute a constant without it. Then one number below 1.2e-38 is kept
// or becomes zero, which either way is an admissible result of every function here. No bit but those
// that concern subnormals is changed: no exception is unmasked, and rounding stays as it is.
#[cfg(target_arch = "x86_64")]
mod arch {
    use std::arch::asm;

    pub(super) type Mode = u32;

    /// MXCSR's bits that flush results (bit 15) and operands (bit 6).
    pub(super) const FLUSH: Mode = 1 << 15 | 1 << 6;

    pub(super) fn mode() -> Mode {
        let mut mode: Mode = 0;
        // SAFETY: stores the register in four bytes that live on this stack.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags)) };
        mode
    }

    pub(super) fn set_mode(mode: Mode) {
        // SAFETY: loads the register from four bytes; they came from `mode()` but for FLUSH, which
        // every x86-64 processor has, so no reserved bit is set. See above for what it changes.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    use std::arch::asm;

    pub(super) type Mode = u64;

    /// FPCR.FZ, which flushes results and operands.
    pub(super) const FLUSH: Mode = 1 << 24;

    pub(super) fn mode() -> Mode {
        let mode: Mode;
        // SAFETY: reads a register that every program may read.
        unsafe { asm!("mrs {}, fpcr", out(reg) mode, options(nostack, preserves_flags)) };
        mode
    }

    pub(super) fn set_mode(mode: Mode) {
        // SAFETY: writes what `mode()` gave but for FLUSH. See above for what it changes.
        unsafe { asm!("msr fpcr, {}", in(reg) mode, options(nostack, preserves_flags)) };
    }
}

/// A mode without effect: elsewhere, as in WebAssembly, subnormals cannot be flushed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod arch {
    pub(super) type Mode = u32;
    pub(super) const FLUSH: Mode = 0;
    pub(super) fn mode() -> Mode {
        0
    }
    pub(super) fn set_mode(_: Mode) {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// The smallest normal number, halved: a subnormal, or zero where these are flushed.
    pub(crate) fn keeps_subnormals() -> bool {
        black_box(f32::MIN_POSITIVE) * black_box(0.5) != 0.0
    }

    #[test]
    fn the_mode_is_set_nested_and_given_back_after_a_panic_too() {
        assert!(keeps_subnormals());
        {
            let _outer = Flushed::new();
            assert!(!keeps_subnormals());
            drop(Flushed::new());
            assert!(!keeps_subnormals(), "the inner one must not end the outer one");
            // A subnormal that comes from elsewhere is read as zero.
            assert_eq!(black_box(f32::from_bits(1)) * black_box(1e30), 0.0);
        }
        assert!(keeps_subnormals());
        let caught = std::panic::catch_unwind(|| {
            let _mode = Flushed::new();
            panic!("in the midst of it");
        });
        assert!(caught.is_err() && keeps_subnormals());
    }

    #[cfg(feature = "gpu")]
    #[test]
    fn threads_inherit_the_mode_while_a_future_is_polled() {
        let inherited = pollster::block_on(flushed(async {
            std::thread::spawn(|| !keeps_subnormals()).join().unwrap_or(false)
        }));
        // What a software adapter's driver relies on here. Elsewhere it costs time, no correctness.
        assert_eq!(inherited, cfg!(target_os = "linux"));
        assert!(keeps_subnormals());
    }
}
