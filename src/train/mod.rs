//! Optimizers, and the options and results of [`crate::nn::Sequential::fit`].

mod fit;
mod optimizer;
mod progress;
mod total;

pub use fit::{Epoch, Evaluation, Fit, History, Loss, Metric};
pub use optimizer::{Adam, Optimizer, Sgd};
pub(crate) use progress::Progress;
pub(crate) use total::Total;
