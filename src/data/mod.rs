//! Sequences and targets on the host, and what a job does with them before a model learns.
//!
//! - [`Sequences`] and [`Targets`] are made of what a program has, read back, cut and selected.
//! - Files: tables of CSV (`Table`, with the feature `csv`), folders of text ([`Texts`]), arrays of numpy
//!   ([`NpyArray`]; `NpzFile` with the feature `npz`).
//! - Texts become numbers by a [`Vocabulary`], or by a `Tokenizer` with the feature `tokenizers`.
//! - [`Windows`] cuts a series into inputs and targets of a forecast.
//! - [`train_test_split`], [`KFold`] and others give the numbers of the sequences to train and to test on.
//! - [`Standardizer`] and [`MinMax`] bring columns to a size that a model learns well from.
//! - [`Targets::class_weights`] and [`Targets::sample_weights`] make up for classes of different sizes.
//! - A [`Dataset`] or an [`IterableDataset`] gives samples that need not lie in memory.

#[cfg(feature = "ndarray")]
mod arrays;
mod balanced;
pub(crate) mod columns;
mod cut;
mod dataset;
mod folds;
mod npy;
mod numbers;
mod scaler;
mod sequences;
mod split;
#[cfg(feature = "csv")]
mod table;
mod target_rows;
mod targets;
mod texts;
#[cfg(feature = "tokenizers")]
mod tokenizer;
mod vocabulary;
mod walk_forward;
mod windows;

pub use columns::Columns;
pub use dataset::{Dataset, IterableDataset, Sample, Source};
pub(crate) use dataset::{Origin, Stream};
pub use folds::{GroupKFold, KFold, StratifiedKFold};
pub use npy::NpyArray;
#[cfg(feature = "npz")]
pub use npy::NpzFile;
pub use numbers::{Element, Integer, Number, Row};
pub use scaler::{MinMax, Standardizer};
pub use sequences::Sequences;
pub use split::{Split, train_test_split, train_test_split_by_time, train_test_split_stratified};
#[cfg(feature = "csv")]
pub use table::{Column, Csv, Groups, Table};
pub(crate) use targets::Kind;
pub use targets::Targets;
pub use texts::{Texts, read_lines};
#[cfg(feature = "tokenizers")]
pub use tokenizer::Tokenizer;
pub use vocabulary::{TextSplit, Truncating, Vocabulary};
pub use walk_forward::WalkForward;
pub use windows::{Windowed, Windows};
