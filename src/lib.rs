//! LSTMs on any GPU that wgpu drives (Vulkan, Metal, DX12, WebGPU), and on the CPU.
//!
//! A Keras-like model is a [`Sequential`]:
//!
//! ```
//! use wgpu_lstm::prelude::*;
//!
//! # fn main() -> wgpu_lstm::Result<()> {
//! // 64 sequences of 10 frames with 3 features; is the first value positive?
//! let values: Vec<f32> = (0..64 * 10 * 3).map(|i| (i as f32 * 0.7).sin()).collect();
//! let x = Sequences::from_array(&values, [64, 10, 3])?;
//! let y: Vec<f32> = (0..64).map(|i| f32::from(x.get(i)[0] > 0.0)).collect();
//! let y = Targets::values(y, 1);
//!
//! let mut model = Sequential::new(&Device::auto()?)
//!     .add(Lstm::new(16))
//!     .add(Dense::new(1).activation(Activation::Sigmoid));
//! model.compile(Adam::default(), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
//! model.fit(&x, &y, Fit::new().epochs(2).batch_size(32).validation_split(0.2))?;
//! println!("{}", model.predict(&x)?.row(0)[0]);
//! # Ok(()) }
//! ```
//!
//! The module [`guide`] goes by tasks: forecasts, texts, streams, loops of your own; and by the names of Keras and
//! PyTorch.
//!
//! A training loop of your own records the same layers on a [`Tape`]: see its example.
//!
//! [`Device::auto`] opens a hardware GPU or else the CPU; the environment variable `WGPU_LSTM_DEVICE`
//! overrides it in any program. Errors are values: see [`Error`]. The same seed on the same device gives
//! the same bits.
//!
//! # Features
//!
//! The first three are on unless `default-features = false` leaves them out. The interface is the same with
//! any of them.
//!
//! - `gpu`: wgpu. Without it the CPU is the only device, and asking for another gives
//!   [`Error::MissingFeature`].
//! - `cache`: compiled kernels, and what was learned of a GPU, are kept on disk. It enables `gpu`, since the
//!   CPU device keeps nothing.
//! - `progress`: [`train::Fit`] shows a bar on a terminal. Without it, and where the output is no terminal,
//!   it prints a line for each epoch.
//!
//! These are not, and bring the types that they name:
//!
//! - `csv`: [`data`]`::Table`, `Csv` and `Groups`, which are read from CSV files.
//! - `keras`, `onnx`, `pytorch`: the modules `io::keras`, `io::onnx` and `io::pytorch`, models of other libraries.
//! - `ndarray`: [`data::Sequences`] and [`data::Targets`] from arrays of that crate, and [`train::Prediction`] as an
//!   array.
//! - `npz`: [`data`]`::NpzFile`, arrays of `.npz` files; those of `.npy` files are always there.
//! - `plot`: the module `plot`, pictures as SVG and PNG.
//! - `tokenizers`: [`data`]`::Tokenizer`, byte pairs and others of a `tokenizer.json`.

// Lints of the library alone; `[lints]` in Cargo.toml has those of tests, benches and examples, too.
#![cfg_attr(
    not(test),
    warn(
        clippy::allow_attributes_without_reason,
        clippy::exhaustive_enums,
        clippy::exhaustive_structs,
        clippy::expect_used,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::return_self_not_must_use,
        clippy::undocumented_unsafe_blocks,
        clippy::unwrap_used,
        unreachable_pub
    )
)]
// Without the feature `gpu` ops and kernels stay as they are, but no GPU can be opened: see
// `device/no_gpu.rs`.
#![cfg_attr(
    not(feature = "gpu"),
    allow(dead_code, reason = "of GPUs, of which this build has none")
)]

mod autograd;
mod check;
pub mod data;
mod device;
mod dtype;
mod error;
mod file;
#[cfg(any(doc, doctest))]
pub mod guide;
pub mod io;
mod lengths;
pub mod loss;
pub mod nn;
mod ops;
#[cfg(feature = "plot")]
pub mod plot;
mod tensor;
#[doc(hidden)]
pub mod testing;
pub mod train;

pub use autograd::{Gradients, Tape, Var};
pub use device::{
    AdapterInfo, CACHE_VARIABLE, Counters, DEVICE_VARIABLE, Device, GpuOptions, KernelTime, Memory,
    Profile,
};
pub use dtype::DType;
pub use error::{CustomError, Error, Result};
pub use lengths::{Lengths, Mask};
pub(crate) use ops::lstm::Strategy;
pub(crate) use ops::{Coupling, GateActivation};
pub use tensor::Tensor;
pub use train::Sequential;

/// The names that a Keras-like program uses: `use wgpu_lstm::prelude::*;`.
///
/// Training loops of your own import the rest by its path: [`Tape`], [`Tensor`] and [`Var`], the losses in
/// [`loss`], [`nn::Params`]. [`Error`] and [`Result`] are not included, since the latter would hide the
/// standard library's.
pub mod prelude {
    pub use crate::data::{
        Dataset, IterableDataset, MinMax, Sample, Sequences, Standardizer, Targets, Vocabulary,
        Windows, train_test_split,
    };
    pub use crate::loss::{BinaryCrossEntropy, CrossEntropy};
    pub use crate::nn::Group;
    pub use crate::nn::{
        Activation, BatchNorm, Conv1d, Dense, Dropout, Embedding, Flatten, Graph, Init, LayerNorm,
        Lstm, Masking, Merge, Padding, Pool, Pool1d, Pooling, Precision, Regularizer, Repeat,
        TimeDistributed,
    };
    pub use crate::train::{
        Adam, AdamW, Average, Callback, Checkpoint, Clip, CosineDecay, CsvLog, EarlyStopping, Fit,
        Loss, Metric, OneCycle, ReduceOnPlateau, RmsProp, Run, Schedule, Sgd, StepDecay,
        TensorBoard,
    };
    pub use crate::{Device, Sequential};
}

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
#[path = "../tests/kernels/mod.rs"]
mod kernel_tests;
