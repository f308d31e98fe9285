//! Models of layers in sequence, and their training.

#[cfg_attr(not(feature = "progress"), path = "no_bar.rs")]
mod bar;
mod batch;
mod check;
mod evaluate;
mod fit;
mod layer_check;
mod optimizer;
mod predict;
mod prediction;
mod progress;
mod sequential;
mod summary;
mod total;
mod training;

pub use fit::{Epoch, Evaluation, Fit, History, Loss, Metric};
pub use optimizer::{Adam, Optimizer, Sgd};
pub use prediction::Prediction;
pub use sequential::Sequential;

use progress::Progress;
use total::Total;
