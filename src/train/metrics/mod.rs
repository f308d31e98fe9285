//! Metrics: numbers that are measured besides the loss.
//!
//! [`Metric`] names those that [`crate::Sequential::compile`] takes. What else is here is for loops of your
//! own, over numbers on the host, in double precision: each takes rows as they come, and gives what all
//! of them at once would.
//!
//! ```
//! use wgpu_lstm::train::metrics::{ErrorRate, edit_distance, roc_auc};
//! assert_eq!(edit_distance(&[1, 2, 3], &[1, 3]), 1);
//! assert_eq!(roc_auc(&[0.2, 0.9], &[false, true], None)?, 1.0);
//! let mut characters = ErrorRate::new();
//! characters.add_characters("hallo", "hello");
//! assert_eq!(characters.rate(), 0.2);
//! # Ok::<(), wgpu_lstm::Error>(())
//! ```

mod average;
mod bleu;
mod confusion;
mod curves;
mod edits;
mod kept;
mod measure;
mod metric;
mod paths;
mod regression;
mod spans;

pub use average::Average;
pub use bleu::Bleu;
pub use confusion::ConfusionMatrix;
pub use curves::{average_precision, best_threshold, roc_auc};
pub use edits::{ErrorRate, edit_distance};
pub use metric::Metric;
pub use regression::{Errors, coverage, crps, naive_error, pinball};
pub use spans::SpanF1;

pub(crate) use measure::{Found, Measure};
