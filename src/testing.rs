//! What the project's tests, benches and tools need of the inside of this crate. No part of the
//! interface: it may change in any version.
//!
//! One hidden module, and no cargo feature: `cargo test` as it stands switches none on that is off for
//! users, unless the package depends on itself, which is not published with it. A program that names
//! nothing of it carries nothing of it.

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
