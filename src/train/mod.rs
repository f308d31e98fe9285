//! Models of layers in sequence, and their training.

mod accumulate;
mod attention_maps;
mod average;
#[cfg_attr(not(feature = "progress"), path = "no_bar.rs")]
mod bar;
mod batch;
mod callback;
mod check;
mod crf;
mod ctc;
mod evaluate;
mod explain;
mod feed;
mod find_rate;
mod fit;
mod freeze;
mod gradient_flow;
mod history;
mod keep;
mod layer_check;
mod loss;
pub mod metrics;
mod optim;
mod predict;
mod prediction;
mod progress;
mod quantize;
mod run;
mod saliency;
mod saved;
mod schedule;
mod sequential;
mod stepper;
mod summary;
mod total;
mod training;
mod unusual;

pub use crate::autograd::Clip;
pub use crate::file::State;
pub use average::{Averaging, Ema, Swa};
pub use callback::{
    Callback, Checkpoint, CsvLog, EarlyStopping, GradientStats, Mode, ReduceOnPlateau, Statistics,
    TensorBoard,
};
pub use explain::LayerPlan;
pub use find_rate::{FindRate, RateFinder};
pub use fit::Fit;
pub use gradient_flow::GradientFlow;
pub use history::{Epoch, Evaluation, History};
pub use loss::Loss;
pub use metrics::{Average, Metric};
pub use optim::{
    Adadelta, Adagrad, Adam, AdamW, Adamax, Lion, NAdam, Optimizer, RAdam, RmsProp, Sgd,
};
pub use prediction::Prediction;
pub use quantize::{Moved, Quantization, QuantizedLayer};
pub use run::Run;
pub use saliency::Saliency;
pub use schedule::{
    Constant, CosineDecay, CosineRestarts, ExponentialDecay, InverseSquareRoot, OneCycle,
    PolynomialDecay, Schedule, StepDecay, WarmUp,
};
pub use sequential::Sequential;
pub use stepper::Stepper;

use progress::Progress;
