//! Every kernel against its twin and the f64 oracle, in every mode of the device; and every
//! kernel through the translators of every graphics API. Part of the library's unit tests, since
//! kernels are not public.

#[cfg(feature = "gpu")]
mod as_hardware;
mod batches;
mod combinations;
#[cfg(feature = "gpu")]
mod compiling;
mod conv;
mod crf;
mod dense;
mod density_loss;
mod exchange_model;
#[cfg(feature = "gpu")]
mod fused;
#[cfg(feature = "gpu")]
mod gemm_cooperative;
mod gemm_cpu;
mod gradients;
mod harness;
mod layers;
mod lstm;
mod metrics;
#[cfg(feature = "gpu")]
mod mixed;
mod nd;
mod optimizers;
#[path = "../oracle/mod.rs"]
mod oracle;
mod parts;
mod persistent;
mod poison;
mod poison_answer;
mod poison_norm;
mod quantized;
#[cfg(feature = "gpu")]
mod recording;
mod row_sizes;
mod rows;
mod shaders_folder;
mod soft_losses;
mod specials;
#[cfg(feature = "gpu")]
mod step_matrices;
mod sums;
mod top_k;
#[cfg(feature = "gpu")]
mod translation;
#[cfg(feature = "cache")]
mod trust;
mod uniform;
#[cfg(feature = "gpu")]
mod wave;
mod ways;

#[cfg_attr(
    not(feature = "cache"),
    allow(unused_imports, reason = "for tests that need a feature")
)]
use harness::{
    Folder, Training, assert_close, assert_equal, assert_same_bits, close, close_from,
    close_values, devices, ends, forced, gpu, has_f16, inner, lacks, lacks_f16, lacks_software,
    open, patience, quick, tensor,
};
