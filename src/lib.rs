//! WIP
pub mod data;
mod device;
mod error;
pub mod loss;
pub mod nn;
mod ops;
mod tape;
mod tensor;
pub mod train;
pub use device::{AdapterInfo, Counters, DEVICE_VARIABLE, Device, GpuOptions, Memory};
pub use error::{Error, Result};
pub use ops::lstm::Strategy;
pub use tape::{Gradients, Lengths, Tape, Var};
pub use tensor::{DType, Tensor};

#[cfg(test)]
#[path = "../tests/kernels/mod.rs"]
mod kernel_tests;
