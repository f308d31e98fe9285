//! A guide by tasks: whole programs, and tables of names for those who come from elsewhere.
//!
//! This module holds nothing but these pages.

/// A forecast: from a file of numbers to a plot with an interval.
#[doc = include_str!("../docs/guide/forecast.md")]
pub mod forecast {}

/// Texts: words, classes of different size, and what a model got wrong.
#[doc = include_str!("../docs/guide/text.md")]
pub mod text {}

/// Streams: a model frame by frame, for many at a time.
#[doc = include_str!("../docs/guide/streams.md")]
pub mod streams {}

/// A training loop of your own.
#[doc = include_str!("../docs/guide/training_loop.md")]
pub mod training_loop {}

/// The names of Keras, and what they are here.
#[doc = include_str!("../docs/guide/from_keras.md")]
pub mod from_keras {}

/// The names of PyTorch, and what they are here.
#[doc = include_str!("../docs/guide/from_pytorch.md")]
pub mod from_pytorch {}
