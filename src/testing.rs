//! Access for the project's tests, benches and tools to the inside of this crate. It is no part of the
//! interface, and may change in any version.
//!
//! It is a hidden module and not a cargo feature: plain `cargo test` enables no feature that is off for
//! users, unless the package depends on itself, which cannot be published. A program that does not use
//! it does not contain it.

use crate::device::Backend;
use crate::{Device, GpuOptions};

pub use crate::ops::{KernelSource, kernels};

/// The CPU with new buffers full of NaN.
pub fn poisoned_cpu() -> Device {
    Device::poisoned_cpu()
}

/// The options, asking for bindings of no more than this.
pub fn binding_bytes(options: GpuOptions, bytes: u64) -> GpuOptions {
    options.binding_bytes(bytes)
}

/// The options, with a software adapter taken for a hardware GPU wherever a way is chosen.
pub fn as_hardware(options: GpuOptions) -> GpuOptions {
    options.like_hardware()
}

/// The class of a GPU in the table of strategies.
pub fn class(device: &Device) -> Option<&'static str> {
    match &device.0 {
        Backend::Gpu(gpu) => Some(gpu.class.name()),
        Backend::Cpu(_) => None,
    }
}

/// The options, cutting batches into chunks whose gates have at most this many words.
pub fn chunk_words(options: GpuOptions, words: usize) -> GpuOptions {
    options.chunk_words(words)
}

/// The options, for a software adapter that is taken to have this many cores.
pub fn threads(options: GpuOptions, threads: usize) -> GpuOptions {
    options.threads(threads)
}

pub mod read;
