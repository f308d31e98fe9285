//! The ops: what a device computes, in the rooms of `shaders/`. Each file has an op's kernel as data, the
//! function that checks and launches it, and its twin on the CPU. No tape here: see [`crate::nn`] and
//! [`crate::loss`] for what can be differentiated.

pub(crate) mod attention;
pub(crate) mod common;
pub(crate) mod conv;
pub(crate) mod elementwise;
pub(crate) mod frames;
pub(crate) mod gemm;
pub(crate) mod loss;
pub(crate) mod lstm;
pub(crate) mod nd;
pub(crate) mod norm;
pub(crate) mod optim;
pub(crate) mod quantized;
pub(crate) mod sums;

pub use lstm::cell::{Coupling, GateActivation};

use crate::device::kernel::{Kernel, Need};
use conv::{batch_norm, magnitude, pool1d, reflect, unfold};
use elementwise::{activation, add, add_into, copy, dropout, half, merge, mix, multiply};
use frames::{apply_mask, copy_columns, embedding, gather, pack, pool, swap_axes};
use loss::{
    answers, crf, cross_entropy, ctc, density_loss, metric_sums, pointwise_loss,
    soft_cross_entropy, two_sided_loss,
};
use lstm::gpu::{recompute, schedule, transpose_gates};
use norm::{layer_norm, softmax, top_k};
use optim::{
    average, clip, guard, loss_scale, norm as gradient_norm, regularizer, step_factors, update,
};
use std::slice::from_ref as one;
use sums::{column_sum, reduce_sum};

/// The kernels that the ops have: see [`every_kernel`].
static KERNELS: &[&[Kernel]] = &[
    one(&attention::gpu::ADDITIVE),
    one(&attention::gpu::ADDITIVE_BACKWARD),
    one(&attention::gpu::SOFTMAX),
    one(&attention::gpu::SOFTMAX_BACKWARD),
    one(&batch_norm::KERNEL),
    one(&magnitude::FORWARD),
    one(&magnitude::BACKWARD),
    one(&pool1d::FORWARD),
    one(&pool1d::BACKWARD),
    one(&reflect::FORWARD),
    one(&reflect::BACKWARD),
    one(&unfold::UNFOLD),
    one(&unfold::FOLD),
    one(&activation::FORWARD),
    one(&activation::BACKWARD),
    one(&add::KERNEL),
    one(&add_into::KERNEL),
    one(&copy::KERNEL),
    one(&guard::KERNEL),
    one(&dropout::KERNEL),
    one(&crate::device::fill::KERNEL),
    one(&half::KERNEL),
    one(&merge::FORWARD),
    one(&merge::BACKWARD),
    one(&mix::FORWARD),
    one(&mix::BACKWARD),
    one(&multiply::KERNEL),
    one(&apply_mask::KERNEL),
    one(&copy_columns::KERNEL),
    one(&embedding::FORWARD),
    one(&embedding::BACKWARD),
    one(&gather::GATHER),
    one(&gather::SUM_RUNS),
    one(&pack::KERNEL),
    one(&pool::FORWARD),
    one(&pool::BACKWARD),
    one(&swap_axes::KERNEL),
    &gemm::TILE,
    &gemm::WIDE,
    &gemm::FOURS,
    &gemm::FOURS_WIDE,
    &gemm::ROWS,
    &gemm::REGISTER,
    &gemm::SUBGROUP,
    &gemm::cooperative::SMALL,
    &gemm::cooperative::SMALL_64,
    &gemm::cooperative::MIDDLE,
    &gemm::cooperative::WIDE,
    &gemm::cooperative::WIDE_64,
    &gemm::cooperative::WIDEST,
    &gemm::cooperative::EIGHTS,
    one(&gemm::slices::KERNEL),
    one(&answers::KERNEL),
    one(&metric_sums::KERNEL),
    one(&crf::FORWARD),
    one(&crf::MARGINALS),
    one(&crf::BACKWARD),
    one(&crf::VITERBI),
    one(&cross_entropy::FORWARD),
    one(&cross_entropy::BACKWARD),
    one(&ctc::FORWARD),
    one(&ctc::BACKWARD),
    one(&pointwise_loss::FORWARD),
    one(&pointwise_loss::BACKWARD),
    one(&soft_cross_entropy::FORWARD),
    one(&soft_cross_entropy::BACKWARD),
    one(&density_loss::FORWARD),
    one(&density_loss::BACKWARD),
    one(&two_sided_loss::FORWARD),
    one(&two_sided_loss::BACKWARD),
    &schedule::matrices::ROWS_16[0],
    &schedule::matrices::ROWS_16[1],
    &schedule::matrices::ROWS_32[0],
    &schedule::matrices::ROWS_32[1],
    &schedule::matrices::ROWS_64[0],
    &schedule::matrices::ROWS_64[1],
    &schedule::persistent::FORWARD,
    &schedule::persistent::BACKWARD,
    one(&schedule::persistent::FUSED),
    &recompute::KERNELS,
    &schedule::sequence::FORWARD,
    one(&schedule::sequence::FORWARD_SUBGROUP),
    one(&schedule::sequence::FORWARD_ROW),
    &schedule::sequence::BACKWARD,
    &schedule::sequence::BACKWARD_WIDE,
    one(&schedule::sequence::BACKWARD_SUBGROUP),
    one(&schedule::sequence::BACKWARD_ROW),
    &schedule::stepwise::FORWARD,
    &schedule::stepwise::BACKWARD,
    &transpose_gates::KERNELS,
    one(&lstm::norm::gpu::FORWARD),
    one(&lstm::norm::gpu::BACKWARD),
    one(&lstm::norm::gpu::ROW),
    one(&lstm::norm::gpu::ROW_BACK),
    one(&nd::binary::KERNEL),
    one(&nd::reduce::KERNEL),
    one(&nd::scan::KERNEL),
    one(&nd::strided::KERNEL),
    one(&nd::take::KERNEL),
    one(&nd::ternary::KERNEL),
    one(&nd::unary::KERNEL),
    one(&layer_norm::FORWARD),
    one(&layer_norm::BACKWARD),
    one(&layer_norm::GAIN),
    one(&softmax::FORWARD),
    one(&softmax::BACKWARD),
    one(&top_k::KERNEL),
    one(&quantized::gpu::QUANTIZE),
    one(&quantized::gpu::PRODUCT),
    one(&quantized::gpu::LSTM),
    one(&average::KERNEL),
    one(&clip::VALUE),
    one(&clip::UNITS),
    one(&gradient_norm::PARTS),
    one(&gradient_norm::CLIP),
    one(&loss_scale::CHECK),
    one(&loss_scale::UPDATE),
    one(&loss_scale::RESCALE),
    one(&regularizer::FORWARD),
    one(&regularizer::BACKWARD),
    one(&regularizer::MAX_NORM),
    one(&step_factors::KERNEL),
    one(&update::KERNEL),
    &column_sum::KERNELS,
    one(&reduce_sum::KERNEL),
];

/// Every kernel, for the tests and tools that go through them all.
pub(crate) fn every_kernel() -> impl Iterator<Item = &'static Kernel> {
    KERNELS.iter().copied().flatten()
}

/// A kernel's WGSL and the constants of each of its pipelines.
#[non_exhaustive]
pub struct KernelSource {
    /// The file in `shaders/`, or that and the variant.
    pub name: &'static str,
    /// All parts, one after the other.
    pub wgsl: String,
    /// The constants of each pipeline, by name.
    pub variants: Vec<Vec<(&'static str, u32)>>,
    /// Whether software adapters alone run it.
    pub software: bool,
    /// The rows and columns of the cooperative matrices that it needs.
    pub matrices: Option<u32>,
}

/// Every kernel in every configuration.
pub fn kernels() -> impl Iterator<Item = KernelSource> {
    every_kernel().map(|kernel| KernelSource {
        name: kernel.name,
        wgsl: kernel.source(),
        variants: (kernel.variants)(),
        matrices: kernel.needs().find_map(|need| match need {
            Need::Matrices(size) => Some(size),
            _ => None,
        }),
        software: kernel.files().any(|path| path.contains("/software/")),
    })
}
