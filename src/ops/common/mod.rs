//! What ops of several rooms have in common: launches, texts of WGSL, the CPU's sums and functions, and
//! the generator of random numbers.

mod each;
mod launch;
pub(crate) mod long_sum;
pub(crate) mod math;
pub(crate) mod threefry;
pub(crate) mod vector;

pub(crate) use each::{elementwise, row_shared, rowwise};
pub(crate) use launch::Launch;

use crate::Tensor;
use crate::device::kernel::{Constants, Wgsl, wgsl};

pub(crate) const ACTIVATIONS: Wgsl = wgsl!("common/activations.wgsl");
pub(crate) const INDEX: Wgsl = wgsl!("common/index.wgsl");
pub(crate) const ELEMENTWISE: Wgsl = wgsl!("common/elementwise.wgsl");
pub(crate) const IS_NAN: Wgsl = wgsl!("common/is_nan.wgsl");
pub(crate) const LONG_SUM: Wgsl = wgsl!("common/long_sum.wgsl");
pub(crate) const ROW_EXPS: Wgsl = wgsl!("common/row_exps.wgsl");
pub(crate) const ROW_REDUCE: Wgsl = wgsl!("common/row_reduce.wgsl");
pub(crate) const ROW_SHARED: Wgsl = wgsl!("common/row_shared.wgsl");
pub(crate) const ROWWISE: Wgsl = wgsl!("common/rowwise.wgsl");
pub(crate) const STEPS: Wgsl = wgsl!("common/steps.wgsl");

/// The size of the last axis, at least 1.
pub(crate) fn last_axis(x: &Tensor) -> usize {
    x.shape().last().copied().unwrap_or(1).max(1)
}

/// Every combination of constants that are 0 or 1.
pub(crate) fn switches<const N: usize>(names: [&'static str; N]) -> Vec<Constants> {
    (0..1u32 << N)
        .map(|bits| names.iter().enumerate().map(|(i, &name)| (name, bits >> i & 1)).collect())
        .collect()
}

/// Every combination of two lists of constants.
pub(crate) fn product(a: Vec<Constants>, b: &[Constants]) -> Vec<Constants> {
    a.into_iter().flat_map(|a| b.iter().map(move |b| [a.clone(), b.clone()].concat())).collect()
}
