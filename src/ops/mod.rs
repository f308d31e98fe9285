//! The ops: what a device computes. Each file has an op's kernel as data, the function that
//! checks and launches it, and its twin on the CPU. No tape here: see [`crate::nn`] and
//! [`crate::loss`] for what can be differentiated.

pub(crate) mod accuracy;
pub(crate) mod activation;
pub(crate) mod adam;
pub(crate) mod add;
pub(crate) mod add_into;
pub(crate) mod attention;
pub(crate) mod column_sum;
pub(crate) mod columns;
pub(crate) mod copy;
pub(crate) mod cross_entropy;
pub(crate) mod ctc;
pub(crate) mod drawn;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod gemm;
pub(crate) mod gemm_cooperative;
pub(crate) mod gemm_slices;
pub(crate) mod half;
pub(crate) mod halves;
mod launch;
pub(crate) mod layer_norm;
pub(crate) mod loss_scale;
pub(crate) mod lstm;
pub(crate) mod mask_steps;
mod math;
pub(crate) mod norm_lstm;
pub(crate) mod pack;
pub(crate) mod penalty;
pub(crate) mod pointwise_loss;
pub(crate) mod pool;
pub(crate) mod reduce_sum;
pub(crate) mod sgd;
pub(crate) mod softmax;
mod sums;
pub(crate) mod swap_axes;
pub(crate) mod threefry;

pub(crate) use launch::Launch;
pub use lstm::cell::{Coupling, GateActivation};

use crate::check::Check;
use crate::device::kernel::Constants;

/// Every kernel, for the tests and tools that go through them all.
pub(crate) static KERNELS: &[&crate::device::kernel::Kernel] = &[
    &accuracy::KERNEL,
    &activation::FORWARD,
    &activation::BACKWARD,
    &adam::KERNEL,
    &add::KERNEL,
    &add_into::KERNEL,
    &attention::FORWARD,
    &attention::SCORES_BACKWARD,
    &attention::QUERY_BACKWARD,
    &attention::KEY_BACKWARD,
    &column_sum::KERNELS[0],
    &column_sum::KERNELS[1],
    &columns::KERNEL,
    &copy::KERNEL,
    &cross_entropy::FORWARD,
    &cross_entropy::BACKWARD,
    &ctc::FORWARD,
    &ctc::BACKWARD,
    &dropout::KERNEL,
    &embedding::FORWARD,
    &embedding::BACKWARD,
    &crate::device::fill::KERNEL,
    &gemm::TILE[0],
    &gemm::TILE[1],
    &gemm::TILE[2],
    &gemm::TILE[3],
    &gemm::TILE[4],
    &gemm::WIDE[0],
    &gemm::WIDE[1],
    &gemm::WIDE[2],
    &gemm::WIDE[3],
    &gemm::WIDE[4],
    &gemm::ROWS[0],
    &gemm::ROWS[1],
    &gemm::ROWS[2],
    &gemm::ROWS[3],
    &gemm::ROWS[4],
    &gemm::REGISTER[0],
    &gemm::REGISTER[1],
    &gemm::REGISTER[2],
    &gemm::REGISTER[3],
    &gemm::REGISTER[4],
    &gemm::SUBGROUP[0],
    &gemm::SUBGROUP[1],
    &gemm::SUBGROUP[2],
    &gemm::SUBGROUP[3],
    &gemm::SUBGROUP[4],
    &gemm_cooperative::KERNELS[0],
    &gemm_cooperative::KERNELS[1],
    &gemm_cooperative::KERNELS[2],
    &gemm_cooperative::KERNELS[3],
    &gemm_slices::KERNEL,
    &half::KERNEL,
    &halves::FORWARD,
    &halves::BACKWARD,
    &layer_norm::FORWARD,
    &layer_norm::BACKWARD,
    &loss_scale::CHECK,
    &loss_scale::UPDATE,
    &loss_scale::RESCALE,
    &lstm::persistent::FORWARD[0],
    &lstm::persistent::FORWARD[1],
    &lstm::persistent::BACKWARD[0],
    &lstm::persistent::BACKWARD[1],
    &lstm::recompute::KERNELS[0][0],
    &lstm::recompute::KERNELS[0][1],
    &lstm::recompute::KERNELS[1][0],
    &lstm::recompute::KERNELS[1][1],
    &lstm::sequence::FORWARD[0][0],
    &lstm::sequence::FORWARD[0][1],
    &lstm::sequence::FORWARD[1][0],
    &lstm::sequence::FORWARD[1][1],
    &lstm::sequence::FORWARD_SUBGROUP,
    &lstm::sequence::FORWARD_ROW,
    &lstm::sequence::BACKWARD[0][0],
    &lstm::sequence::BACKWARD[0][1],
    &lstm::sequence::BACKWARD[1][0],
    &lstm::sequence::BACKWARD[1][1],
    &lstm::sequence::BACKWARD_WIDE[0],
    &lstm::sequence::BACKWARD_WIDE[1],
    &lstm::sequence::BACKWARD_SUBGROUP,
    &lstm::sequence::BACKWARD_ROW,
    &lstm::stepwise::FORWARD[0][0],
    &lstm::stepwise::FORWARD[0][1],
    &lstm::stepwise::FORWARD[1][0],
    &lstm::stepwise::FORWARD[1][1],
    &lstm::stepwise::BACKWARD[0][0],
    &lstm::stepwise::BACKWARD[0][1],
    &lstm::stepwise::BACKWARD[1][0],
    &lstm::stepwise::BACKWARD[1][1],
    &lstm::transpose_gates::KERNELS[0],
    &lstm::transpose_gates::KERNELS[1],
    &mask_steps::KERNEL,
    &norm_lstm::FORWARD,
    &norm_lstm::BACKWARD,
    &pack::KERNEL,
    &penalty::FORWARD,
    &penalty::BACKWARD,
    &penalty::MAX_NORM,
    &pointwise_loss::FORWARD,
    &pointwise_loss::BACKWARD,
    &pool::FORWARD,
    &pool::BACKWARD,
    &reduce_sum::KERNEL,
    &sgd::KERNEL,
    &softmax::FORWARD,
    &softmax::BACKWARD,
    &swap_axes::KERNEL,
];

/// A kernel's WGSL and the constants of each of its pipelines.
#[non_exhaustive]
pub struct KernelSource {
    /// The file in `shaders/`, or that and the variant.
    pub name: &'static str,
    /// All parts, one after the other.
    pub wgsl: String,
    /// The constants of each pipeline, by name.
    pub variants: Vec<Vec<(&'static str, u32)>>,
}

/// Every kernel in every configuration.
pub fn kernels() -> impl Iterator<Item = KernelSource> {
    KERNELS.iter().map(|kernel| KernelSource {
        name: kernel.name,
        wgsl: kernel.source(),
        variants: (kernel.variants)(),
    })
}

/// How the numbers of a kernel lie in memory: in 32 bits, in 16.
pub(crate) const REAL: [&str; 2] =
    [include_str!("../../shaders/common/f32.wgsl"), include_str!("../../shaders/common/f16.wgsl")];

/// WGSL that several kernels include.
pub(crate) const INDEX: &str = include_str!("../../shaders/common/index.wgsl");
pub(crate) const IS_NAN: &str = include_str!("../../shaders/common/is_nan.wgsl");
pub(crate) const ROW_EXPS: &str = include_str!("../../shaders/common/row_exps.wgsl");
pub(crate) const LONG_SUM: &str = include_str!("../../shaders/common/long_sum.wgsl");
pub(crate) const LOSS_SCALE: &str = include_str!("../../shaders/common/loss_scale.wgsl");
pub(crate) const ROW_REDUCE: &str = concat!(
    include_str!("../../shaders/common/is_nan.wgsl"),
    include_str!("../../shaders/common/long_sum.wgsl"),
    include_str!("../../shaders/common/row_reduce.wgsl")
);
pub(crate) const STEPS: &str = include_str!("../../shaders/common/steps.wgsl");
pub(crate) const ACTIVATIONS: &str = include_str!("../../shaders/common/activations.wgsl");

/// Every combination of constants that are 0 or 1.
fn switches<const N: usize>(names: [&'static str; N]) -> Vec<Constants> {
    (0..1u32 << N)
        .map(|bits| names.iter().enumerate().map(|(i, &name)| (name, bits >> i & 1)).collect())
        .collect()
}

/// Every combination of two lists of constants.
fn product(a: Vec<Constants>, b: &[Constants]) -> Vec<Constants> {
    a.into_iter().flat_map(|a| b.iter().map(move |b| [a.clone(), b.clone()].concat())).collect()
}
