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
mod each;
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

use each::{elementwise, rowwise};
pub(crate) use launch::Launch;
pub use lstm::cell::{Coupling, GateActivation};

use crate::check::Check;
use crate::device::kernel::{Constants, Kernel, Need, Wgsl, wgsl};
use lstm::gpu::{recompute, schedule, transpose_gates};
use std::slice::from_ref as one;

/// The kernels that the ops have: see [`every_kernel`].
static KERNELS: &[&[Kernel]] = &[
    one(&accuracy::KERNEL),
    one(&activation::FORWARD),
    one(&activation::BACKWARD),
    one(&adam::KERNEL),
    one(&add::KERNEL),
    one(&add_into::KERNEL),
    one(&attention::FORWARD),
    one(&attention::SCORES_BACKWARD),
    one(&attention::QUERY_BACKWARD),
    one(&attention::KEY_BACKWARD),
    &column_sum::KERNELS,
    one(&columns::KERNEL),
    one(&copy::KERNEL),
    one(&cross_entropy::FORWARD),
    one(&cross_entropy::BACKWARD),
    one(&ctc::FORWARD),
    one(&ctc::BACKWARD),
    one(&dropout::KERNEL),
    one(&embedding::FORWARD),
    one(&embedding::BACKWARD),
    one(&crate::device::fill::KERNEL),
    &gemm::TILE,
    &gemm::WIDE,
    &gemm::ROWS,
    &gemm::REGISTER,
    &gemm::SUBGROUP,
    &gemm_cooperative::KERNELS,
    one(&gemm_slices::KERNEL),
    one(&half::KERNEL),
    one(&halves::FORWARD),
    one(&halves::BACKWARD),
    one(&layer_norm::FORWARD),
    one(&layer_norm::BACKWARD),
    one(&loss_scale::CHECK),
    one(&loss_scale::UPDATE),
    one(&loss_scale::RESCALE),
    &schedule::persistent::FORWARD,
    &schedule::persistent::BACKWARD,
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
    one(&mask_steps::KERNEL),
    one(&lstm::norm::FORWARD),
    one(&lstm::norm::BACKWARD),
    one(&pack::KERNEL),
    one(&penalty::FORWARD),
    one(&penalty::BACKWARD),
    one(&penalty::MAX_NORM),
    one(&pointwise_loss::FORWARD),
    one(&pointwise_loss::BACKWARD),
    one(&pool::FORWARD),
    one(&pool::BACKWARD),
    one(&reduce_sum::KERNEL),
    one(&sgd::KERNEL),
    one(&softmax::FORWARD),
    one(&softmax::BACKWARD),
    one(&swap_axes::KERNEL),
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
    /// Whether it needs cooperative matrices.
    pub matrices: bool,
}

/// Every kernel in every configuration.
pub fn kernels() -> impl Iterator<Item = KernelSource> {
    every_kernel().map(|kernel| KernelSource {
        name: kernel.name,
        wgsl: kernel.source(),
        variants: (kernel.variants)(),
        matrices: kernel.needs().any(|need| need == Need::Matrices),
        software: kernel.files().any(|path| path.contains("/software/")),
    })
}

/// WGSL that several kernels have.
pub(crate) const ACTIVATIONS: Wgsl = wgsl!("common/activations.wgsl");
pub(crate) const INDEX: Wgsl = wgsl!("common/index.wgsl");
pub(crate) const ELEMENTWISE: Wgsl = wgsl!("common/elementwise.wgsl");
pub(crate) const IS_NAN: Wgsl = wgsl!("common/is_nan.wgsl");
pub(crate) const LONG_SUM: Wgsl = wgsl!("common/long_sum.wgsl");
pub(crate) const LOSS_SCALE: Wgsl = wgsl!("optim/parts/loss_scale.wgsl");
pub(crate) const ROW_EXPS: Wgsl = wgsl!("common/row_exps.wgsl");
pub(crate) const ROW_REDUCE: Wgsl = wgsl!("common/row_reduce.wgsl");
pub(crate) const ROWWISE: Wgsl = wgsl!("common/rowwise.wgsl");
pub(crate) const STEPS: Wgsl = wgsl!("common/steps.wgsl");

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
